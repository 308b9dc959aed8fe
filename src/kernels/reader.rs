//! Strided elements of any type read a chunk at a time: side by side, as the type that a kernel computes in.

use super::convert::Converter;
use super::moves::{Run, copy};
use crate::dtype::Dtype;
use std::mem::MaybeUninit;

/// Elements looked at together.
pub(crate) const CHUNK: usize = 1024;

/// Room for a chunk: as it was read, and converted. Its contents are undefined at first.
pub struct Room {
    raw: MaybeUninit<[u64; CHUNK]>,
    converted: MaybeUninit<[u64; CHUNK]>,
}

impl Default for Room {
    fn default() -> Self {
        Self { raw: MaybeUninit::uninit(), converted: MaybeUninit::uninit() }
    }
}

/// How elements of one type are read as another.
#[derive(Clone, Copy)]
pub struct Reader {
    size: usize,
    converter: Converter,
}

impl Reader {
    /// From one type to another, both of at most 8 bytes.
    pub fn new(from: Dtype, to: Dtype) -> Self {
        Self { size: from.size(), converter: Converter::new(from, to, false) }
    }

    /// Whether elements of `run` are read where they lie, however many there are.
    pub fn reads_in_place(&self, run: Run) -> bool {
        run.step == self.size as isize && self.converter.moves()
    }

    /// `count` elements, at most [`CHUNK`], (unless read in place) of `run` side by side and converted.
    ///
    /// # Safety
    ///
    /// `run` holds `count` elements of the type it reads from.
    pub unsafe fn read(&self, run: Run, count: usize, room: &mut Room) -> *const u8 {
        let mut at = run.at;
        if run.step != self.size as isize {
            let raw = Run { at: room.raw.as_mut_ptr().cast(), step: self.size as isize };
            // SAFETY: this function's contract, and a chunk of the widest type fits the room.
            unsafe { copy(self.size, run, raw, count) };
            at = raw.at;
        }
        if self.converter.moves() {
            return at;
        }
        let converted = room.converted.as_mut_ptr().cast();
        // SAFETY: `count` elements side by side, and room for as many.
        unsafe { self.converter.run(at, converted, count) };
        converted
    }
}
