//! Dropout: which weights are dropped, a pure function of seed, offset and place (the formula is in the descriptor).

use crate::kernels::philox::philox4x32;

/// The dropout of one request.
#[derive(Clone, Copy)]
pub(super) struct Dropout {
    /// A word is kept when it is at least this: the rate times 2^32, rounded up, which decides exactly as w / 2^32 >= rate.
    threshold: u64,
    key: [u32; 2],
    offset: u32,
    /// 1 / (1 - rate).
    pub gain: f64,
}

impl Dropout {
    pub fn new(rate: f64, seed: u64, offset: u64) -> Self {
        let key = [seed as u32, (seed >> 32) as u32 ^ (offset >> 32) as u32];
        let threshold = (rate * 4_294_967_296.0).ceil() as u64;
        Self { threshold, key, offset: offset as u32, gain: 1.0 / (1.0 - rate) }
    }

    /// Whether anything can be dropped.
    pub fn is_on(&self) -> bool {
        self.threshold > 0
    }

    /// Key, offset and threshold, for kernels that draw the same words.
    pub fn words(&self) -> ([u32; 2], u32, u64) {
        (self.key, self.offset, self.threshold)
    }

    /// Whether the weights of query `i` for keys `4 block` to `4 block + 3` are kept; `head` is b Hq + h.
    pub fn keeps(&self, head: usize, i: usize, block: usize) -> [bool; 4] {
        let words = philox4x32([block as u32, i as u32, head as u32, self.offset], self.key);
        words.map(|word| u64::from(word) >= self.threshold)
    }
}
