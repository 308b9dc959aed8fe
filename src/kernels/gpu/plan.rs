//! How rows are shared out: how many threads share one, and how each finds its part of it. Short rows get a warp each and
//! long ones a block, packed rows are read in pieces of 16 bytes, and those that fit are held in registers.

use super::{Space, piece_len};
use crate::dtype::Dtype;
use crate::ptx::Target;

/// Threads of a block in which several teams work.
const SHARED_BLOCK: u32 = 256;

/// How a thread finds its part of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Packed pieces, so many a thread, held in registers: the row is read once.
    Held(u32),
    /// Packed pieces, read again by each pass.
    Pieces,
    /// Elements anywhere, one by one.
    Elements,
}

/// How rows are shared out: what a kernel is specialised on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Threads that work on a row: 1, 32, or a whole block.
    pub team: u32,
    /// How each finds its part.
    pub way: Way,
    /// Whether rows begin and end anywhere: elements ahead of the first whole piece and behind the last go one by one.
    pub edged: bool,
    /// Whether the space of the rows, and that of a row's elements, may have more than one axis.
    pub axes: [bool; 2],
    /// Whether numbers may pass 2^32.
    pub wide: bool,
    /// Whether the pieces that threads hold are all there: rows are as long as they can be.
    pub full: bool,
}

/// What a plan is chosen by.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    /// What the rows are of.
    pub dtype: Dtype,
    /// Rows.
    pub rows: u64,
    /// Elements of a row.
    pub count: u64,
    /// Ranks of the space of the rows, and of that of a row's elements.
    pub ranks: [usize; 2],
    /// How their elements lie.
    pub lie: Lie,
    /// Pieces that a thread has registers for, 4 or more.
    pub most: u32,
    /// Whether rows lie side by side, so that the elements of one do not.
    pub aside: bool,
}

/// How the elements of rows lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Anywhere.
    Apart,
    /// One after another, from addresses that differ between operands by whole pieces.
    Packed,
    /// In whole pieces.
    Whole,
}

impl Lie {
    /// That of rows of `count` elements of `dtype` in `lines`: operands of both spaces, and their addresses.
    pub fn new<const N: usize>(
        [outer, inner]: [&Space<N>; 2],
        dtype: Dtype,
        count: u64,
        lines: &[(usize, u64)],
    ) -> Self {
        let (first, len) = (lines[0], piece_len(dtype) as usize);
        let fits = |stride: isize| stride.unsigned_abs().is_multiple_of(len);
        let alike = |&(n, at): &(usize, u64)| {
            let mut pairs = outer.strides(n).zip(outer.strides(first.0));
            pairs.all(|(a, b)| fits(a.wrapping_sub(b))) && at.abs_diff(first.1).is_multiple_of(16)
        };
        if count == 0 || !inner.is_dense() || !lines.iter().all(alike) {
            return Self::Apart;
        }
        let whole = count.is_multiple_of(len as u64) && first.1.is_multiple_of(16);
        if whole && outer.strides(first.0).all(fits) { Self::Whole } else { Self::Packed }
    }
}

impl Plan {
    /// The best one.
    pub fn new(given: &Rows) -> Self {
        let wide = given.rows >> 32 != 0 || given.count >> 32 != 0;
        let axes = given.ranks.map(|rank| rank > 1);
        let edged = given.lie == Lie::Packed;
        if given.lie != Lie::Apart {
            let (team, way) = in_pieces(given);
            let pieces = if let Way::Held(pieces) = way { u64::from(pieces * team) } else { 0 };
            let full = given.lie == Lie::Whole && given.count == pieces * u64::from(piece_len(given.dtype));
            return Self { team, way, edged, axes: [axes[0], false], wide, full };
        }
        Self { team: of_elements(given), way: Way::Elements, edged, axes: [true, axes[1]], wide, full: false }
    }

    /// Two numbers that tell plans apart.
    pub fn code(&self) -> [u32; 2] {
        let way = match self.way {
            Way::Held(pieces) => pieces,
            Way::Pieces => 0,
            Way::Elements => 100,
        };
        let flags = [self.full, self.edged, self.wide, self.axes[1], self.axes[0]];
        [self.team, flags.into_iter().fold(way, |bits, flag| bits << 1 | u32::from(flag))]
    }

    /// Threads of a block.
    pub fn block(&self) -> u32 {
        if self.team <= 32 { SHARED_BLOCK } else { self.team }
    }

    /// Blocks that a multiprocessor should hold at once, so that some load while others compute: of f64, whose arithmetic
    /// takes registers, fewer.
    pub fn resident(&self, dtype: Dtype, target: Target) -> u32 {
        // Half of the threads that it can hold.
        let threads = if matches!(target.sm(), 86..=89 | 120..) { 768 } else { 1024 };
        match self.way {
            Way::Held(pieces) if pieces <= 4 && dtype != Dtype::F64 => threads / self.block(),
            _ => 1,
        }
    }

    /// Blocks for `rows` rows.
    pub fn grid(&self, rows: u64) -> [u32; 3] {
        let blocks = rows.div_ceil(u64::from(self.block() / self.team));
        [blocks.clamp(1, 1 << 30) as u32, 1, 1]
    }

    /// Those that tests assemble.
    pub fn samples() -> Vec<Self> {
        let plan = |team, way, [edged, wide]: [bool; 2]| {
            let elements = way == Way::Elements;
            Self { team, way, edged, axes: [wide || elements, elements && team != 32], wide, full: false }
        };
        vec![
            plan(512, Way::Held(8), [false, false]),
            Self { full: true, ..plan(256, Way::Held(4), [false, false]) },
            plan(64, Way::Held(4), [false, false]),
            plan(512, Way::Held(4), [true, false]),
            plan(32, Way::Held(1), [true, true]),
            plan(128, Way::Held(4), [true, false]),
            plan(512, Way::Pieces, [true, true]),
            plan(1, Way::Elements, [false, true]),
            plan(32, Way::Elements, [false, false]),
        ]
    }
}

fn in_pieces(given: &Rows) -> (u32, Way) {
    // Finding the rows takes registers too.
    let eight = given.most >= 8 && given.ranks[0] <= 1 && given.rows >> 32 == 0 && given.lie == Lie::Whole;
    match given.count / u64::from(piece_len(given.dtype)) {
        0..=32 => (32, Way::Held(1)),
        33..=64 => (32, Way::Held(2)),
        65..=128 => (32, Way::Held(4)),
        129..=256 => (64, Way::Held(4)),
        257..=512 => (128, Way::Held(4)),
        513..=1024 => (256, Way::Held(4)),
        1025..=2048 => (512, Way::Held(4)),
        2049..=4096 if eight => (512, Way::Held(8)),
        _ => (512, Way::Pieces),
    }
}

fn of_elements(given: &Rows) -> u32 {
    let many = given.rows >= 4096 || given.rows >= given.count;
    match given.count {
        _ if given.aside && many => 1,
        0..=1024 => 32,
        _ => 512,
    }
}

/// The words of a space as [`Team`] reads them: axes that are not there have one element.
pub fn row_words<const N: usize, const W: usize>(space: &Space<N>) -> [u64; W] {
    let mut words: [u64; W] = space.words();
    words.chunks_mut(1 + N).skip(space.rank()).for_each(|axis| axis[0] = 1);
    words
}
