//! Elements as bits: loads and stores of 1 to 16 bytes in 32-bit words, and the elements that lie in them.

use crate::ptx::{Builder, Global, Load, Ptr, Reg};

/// The bits of one element: of up to 4 bytes, with zeros above them, or of 8.
#[derive(Clone, Copy)]
pub enum Raw<'k> {
    /// 1, 2 or 4 bytes.
    Word(Reg<'k, u32>),
    /// 8 bytes.
    Wide(Reg<'k, u64>),
}

impl<'k> Raw<'k> {
    /// The bits of an element that has 4 bytes at the most.
    pub fn word(self) -> Reg<'k, u32> {
        match self {
            Raw::Word(word) => word,
            Raw::Wide(wide) => wide.to(),
        }
    }

    /// The bits with zeros above them.
    pub fn wide(self) -> Reg<'k, u64> {
        match self {
            Raw::Word(word) => word.to(),
            Raw::Wide(wide) => wide,
        }
    }
}

/// Loads `bytes` (1, 2, 4, 8 or 16, to which `at` is aligned); fewer than 4 come with zeros above them.
pub fn load_words<'k>(at: Reg<'k, u64>, bytes: u32, load: Load) -> Vec<Reg<'k, u32>> {
    let words = Ptr::<Global<u32>>::new(at).loading(load);
    match bytes {
        1 => vec![words.cast::<u8>().load().to()],
        2 => vec![words.cast::<u16>().load().to()],
        4 => vec![words.load()],
        8 => words.load_vec::<2>().to_vec(),
        _ => words.load_vec::<4>().to_vec(),
    }
}

/// As [`load_words`] where `there` holds, elsewhere zeros; at a place that may lie some elements behind a register.
pub fn load_words_if<'k>(
    at: Ptr<'k, Global<u32>>,
    bytes: u32,
    load: Load,
    there: Reg<'k, bool>,
) -> Vec<Reg<'k, u32>> {
    let words = at.loading(load);
    match bytes {
        1 => vec![words.cast::<u8>().load_if(there, 0u8).to()],
        2 => vec![words.cast::<u16>().load_if(there, 0u16).to()],
        4 => vec![words.load_if(there, 0u32)],
        8 => words.load_vec_if::<2>(there, 0u32).to_vec(),
        _ => words.load_vec_if::<4>(there, 0u32).to_vec(),
    }
}

/// Stores what [`load_words`] loads.
pub fn store_words<'k>(at: Reg<'k, u64>, bytes: u32, words: &[Reg<'k, u32>]) {
    store_words_at(Ptr::new(at), bytes, words);
}

/// The same, at a place that may lie some elements behind a register.
pub fn store_words_at<'k>(to: Ptr<'k, Global<u32>>, bytes: u32, words: &[Reg<'k, u32>]) {
    match (bytes, words) {
        (1, [word]) => to.cast::<u8>().store(word.to::<u8>()),
        (2, [word]) => to.cast::<u16>().store(word.to::<u16>()),
        (_, [word]) => to.store(*word),
        (_, [a, b]) => to.store_vec([*a, *b]),
        (_, words) => to.store_vec([words[0], words[1], words[2], words[3]]),
    }
}

/// The elements of `size` bytes in what was loaded as `bytes`.
pub fn elements<'k>(k: &'k Builder, words: &[Reg<'k, u32>], bytes: u32, size: u32) -> Vec<Raw<'k>> {
    match size {
        _ if bytes == size && size < 8 => vec![Raw::Word(words[0])],
        1 => words.iter().flat_map(|&w| (0..4).map(move |i| Raw::Word(k.bfe(w, i * 8u32, 8u32)))).collect(),
        2 => words.iter().flat_map(|&w| [Raw::Word(w & 0xFFFFu32), Raw::Word(w >> 16u32)]).collect(),
        4 => words.iter().map(|&w| Raw::Word(w)).collect(),
        _ => words.chunks(2).map(|pair| Raw::Wide(k.pack(pair[0], pair[1]))).collect(),
    }
}
