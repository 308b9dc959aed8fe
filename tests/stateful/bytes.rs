//! From bytes to choices: every input of any length means some sequence of calls, and a shorter input a shorter one.

/// A reader that answers zero once the bytes are used up.
pub struct Bytes<'a> {
    rest: &'a [u8],
}

impl<'a> Bytes<'a> {
    pub fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        first
    }

    /// Below `count`.
    pub fn below(&mut self, count: usize) -> usize {
        self.byte() as usize % count.max(1)
    }

    /// True for `in_256` bytes of 256, and never once the bytes are used up.
    pub fn chance(&mut self, in_256: u32) -> bool {
        u32::from(self.byte()) >= 256 - in_256
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn word(&mut self) -> u64 {
        (0..8).fold(0, |word, _| word << 8 | u64::from(self.byte()))
    }

    /// Any number, most of them next to a boundary.
    pub fn hostile(&mut self) -> u64 {
        let near = u64::from(self.byte());
        match self.byte() % 8 {
            0 => near,
            1 => u64::MAX - near,
            2 => (1u64 << (near % 64)).wrapping_sub(1),
            3 => 1u64 << (near % 64),
            4 => (1u64 << (near % 64)) + 1,
            5 => (i64::MAX as u64).wrapping_add(near),
            6 => u64::from(u32::MAX).wrapping_add(near),
            _ => self.word(),
        }
    }

    /// A number that should lie in `0..=most`: usually does, often on an end of it or one past it, sometimes anywhere.
    pub fn around(&mut self, most: u64) -> u64 {
        match self.byte() {
            0..=99 => u64::from(self.byte()) % (most + 1),
            100..=129 => 0,
            130..=179 => most,
            180..=209 => most + 1,
            210..=229 => most.saturating_sub(1),
            _ => self.hostile(),
        }
    }
}
