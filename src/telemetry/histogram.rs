//! Histograms of nanoseconds in powers of two, written by one thread and read by any.

use std::sync::atomic::{AtomicU64, Ordering::*};

/// How many buckets a histogram has: one for each bit of a number.
pub(super) const BUCKETS: usize = 64;

/// What a histogram held when it was read: entry i counts 2^i to 2^(i+1) - 1, entry 0 also 0.
pub type Buckets = [u64; BUCKETS];

/// Counts of nanoseconds.
pub struct Histogram([AtomicU64; BUCKETS]);

impl Histogram {
    /// An empty one.
    pub const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; BUCKETS])
    }

    /// Counts `ns`. One thread alone may call it.
    pub fn note(&self, ns: u64) {
        bump(&self.0[ns.max(1).ilog2() as usize], 1);
    }

    /// What it holds.
    pub fn read(&self) -> Buckets {
        std::array::from_fn(|bucket| self.0[bucket].load(Acquire))
    }

    /// Empties it.
    pub fn clear(&self) {
        self.0.iter().for_each(|bucket| bucket.store(0, Relaxed));
    }
}

/// Raises a counter that this thread alone writes: no locked instruction.
pub fn bump(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(by), Release);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_powers_of_two() {
        let histogram = Histogram::new();
        [0, 1, 2, 3, 4, 1023, 1024, u64::MAX].iter().for_each(|&ns| histogram.note(ns));
        let held = histogram.read();
        assert_eq!((held[0], held[1], held[2], held[9], held[10], held[63]), (2, 2, 1, 1, 1, 1));
        assert_eq!(held.iter().sum::<u64>(), 8);
    }
}
