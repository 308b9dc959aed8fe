//! The k first of a long line: candidates above a rising threshold, thinned out by selection whenever they fill their
//! room, sorted at the end.

use crate::device::cpu::Scratch;
use crate::status::Result;

/// A key and its index as one integer: larger keys first, lower indices first among equals.
pub trait Candidate: Ord + Copy {
    /// Of a key and an index.
    fn new(key: u64, index: usize) -> Self;
    /// The key.
    fn key(self) -> u64;
    /// The index.
    fn index(self) -> usize;
}

/// 32 bits each.
impl Candidate for u64 {
    #[inline(always)]
    fn new(key: u64, index: usize) -> Self {
        key << 32 | u64::from(!(index as u32))
    }
    #[inline(always)]
    fn key(self) -> u64 {
        self >> 32
    }
    #[inline(always)]
    fn index(self) -> usize {
        !(self as u32) as usize
    }
}

/// 64 bits each.
impl Candidate for u128 {
    #[inline(always)]
    fn new(key: u64, index: usize) -> Self {
        u128::from(key) << 64 | u128::from(!(index as u64))
    }
    #[inline(always)]
    fn key(self) -> u64 {
        (self >> 64) as u64
    }
    #[inline(always)]
    fn index(self) -> usize {
        !(self as u64) as usize
    }
}

/// The candidates of one line after another.
pub struct Selection<C: Candidate> {
    room: Scratch<C>,
    filled: usize,
    k: usize,
    /// A key must be above this to be a candidate: k candidates at least are not below it, with lower indices.
    threshold: Option<u64>,
}

impl<C: Candidate> Selection<C> {
    /// For the `k` first (at least 1) of lines of `length`.
    pub fn new(k: usize, length: usize) -> Result<Self> {
        let room = Scratch::new(length.min(k + k.max(64)))?;
        Ok(Self { room, filled: 0, k, threshold: None })
    }

    /// For the next line.
    pub fn clear(&mut self) {
        (self.filled, self.threshold) = (0, None);
    }

    /// Whether an element with this key may be among the first, if it comes after all that were offered.
    #[inline(always)]
    pub fn wants(&self, key: u64) -> bool {
        self.threshold.is_none_or(|threshold| key > threshold)
    }

    /// Offers an element; indices rise from one offer to the next.
    #[inline(always)]
    pub fn offer(&mut self, key: u64, index: usize) {
        if !self.wants(key) {
            return;
        }
        if self.filled == self.room.count() {
            self.thin();
        }
        // SAFETY: thinned out to k, which is less than the room where a line is longer than the room.
        unsafe { self.room.ptr().add(self.filled).write(C::new(key, index)) };
        self.filled += 1;
    }

    fn candidates(&mut self) -> &mut [C] {
        // SAFETY: that many were written, and the room belongs to this selection alone.
        unsafe { std::slice::from_raw_parts_mut(self.room.ptr(), self.filled) }
    }

    /// Keeps the k first.
    fn thin(&mut self) {
        let k = self.k;
        let (_, last, _) = self.candidates().select_nth_unstable_by(k - 1, |a, b| b.cmp(a));
        let threshold = last.key();
        (self.filled, self.threshold) = (k, Some(threshold));
    }

    /// The k first in order, when all of a line was offered.
    pub fn finish(&mut self) -> &[C] {
        if self.filled > self.k {
            self.thin();
        }
        self.candidates().sort_unstable_by(|a, b| b.cmp(a));
        self.candidates()
    }
}
