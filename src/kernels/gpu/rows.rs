//! Work on rows: how many threads share one, and how each finds its part of it. Short rows get a warp each and long ones a
//! block, packed rows are read in pieces of 16 bytes, and those that fit are held in registers.

use super::{Chunk, Real, Space, fold_block, piece_len};
use crate::dtype::Dtype;
use crate::kernels::gpu::Array;
use crate::ptx::{Builder, Element, Reg, Target, WordList};

/// Pieces or elements that a thread has in flight.
const FLIGHT: u32 = 4;
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
            return Self { team, way, edged, axes: [axes[0], false], wide };
        }
        Self { team: of_elements(given), way: Way::Elements, edged, axes: [true, axes[1]], wide }
    }

    /// Two numbers that tell plans apart.
    pub fn code(&self) -> [u32; 2] {
        let way = match self.way {
            Way::Held(pieces) => pieces,
            Way::Pieces => 0,
            Way::Elements => 100,
        };
        let bits = u32::from(self.axes[0]) | u32::from(self.axes[1]) << 1 | u32::from(self.wide) << 2;
        [self.team, way << 4 | u32::from(self.edged) << 3 | bits]
    }

    /// Threads of a block.
    pub fn block(&self) -> u32 {
        if self.team <= 32 { SHARED_BLOCK } else { self.team }
    }

    /// Blocks that a multiprocessor should hold at once, so that some load while others compute: of f64, whose arithmetic
    /// takes registers, fewer.
    pub fn resident(&self, dtype: Dtype, target: Target) -> u32 {
        // Half of the threads that it can hold; the elements at edges take registers too.
        let small = matches!(target.sm(), 86..=89 | 120..);
        let threads = if small || self.edged { 768 } else { 1024 };
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
            Self { team, way, edged, axes: [wide || elements, elements && team != 32], wide }
        };
        vec![
            plan(512, Way::Held(8), [false, false]),
            plan(256, Way::Held(4), [false, false]),
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
        129..=256 => (128, Way::Held(2)),
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

/// The threads that work on one row, in the kernel.
#[derive(Clone, Copy)]
pub struct Team<'k> {
    /// The kernel.
    pub k: &'k Builder,
    /// How they work.
    pub plan: Plan,
    /// What the rows are of.
    pub dtype: Dtype,
}

/// How far a row goes.
#[derive(Clone, Copy)]
pub struct Extent<'k> {
    /// Its elements.
    pub count: Reg<'k, u64>,
    /// Those ahead of the first whole piece, where there may be some.
    head: Option<Reg<'k, u64>>,
}

/// One piece or element of a row, of `N` operands.
#[derive(Clone, Copy)]
pub struct Place<'k, const N: usize> {
    /// Where it is from the row's origin, in elements, of each.
    pub at: [Reg<'k, u64>; N],
    /// Whether the row reaches so far; where not, `at` is the row's first.
    pub there: Reg<'k, bool>,
    /// Whether it is an element.
    pub single: bool,
}

impl<'k> Team<'k> {
    /// This thread's number in its team.
    pub fn member(&self) -> Reg<'k, u32> {
        match self.plan.team {
            1 => self.k.var(0u32),
            32 => self.k.lane(),
            _ => self.k.thread_x(),
        }
    }

    /// Runs `body` for each row of this team, by its number.
    pub fn each_row(&self, rows: Reg<'k, u64>, body: impl FnOnce(Reg<'k, u64>)) {
        let (k, teams) = (self.k, self.plan.block() / self.plan.team);
        let within = match self.plan.team {
            1 => k.thread_x(),
            32 => k.warp(),
            _ => k.var(0u32),
        };
        let row = k.var(k.mad_wide(k.block_x(), teams, within.to::<u64>()));
        let step = k.mul_wide(k.grid_blocks_x(), teams);
        k.repeat_while(
            || row.lt(rows),
            || {
                body(row);
                row.set(row + step);
            },
        );
    }

    /// Where row `row` begins, of each of `N` operands.
    pub fn begin<const N: usize>(&self, words: &WordList<'k>, row: Reg<'k, u64>) -> [Reg<'k, u64>; N] {
        self.locate(words, 0, &[row])[0]
    }

    /// Numbers in the space of the rows (0) or of a row's elements (1).
    fn locate<const N: usize>(
        &self,
        words: &WordList<'k>,
        which: usize,
        numbers: &[Reg<'k, u64>],
    ) -> Vec<[Reg<'k, u64>; N]> {
        let (k, wide) = (self.k, self.plan.wide);
        match self.plan.axes[which] {
            true => Space::locate_all(k, words, wide, numbers),
            false => numbers.iter().map(|&number| Space::locate(k, words, 1, wide, number)).collect(),
        }
    }

    /// The fold of `value` over the team, in every thread of it. All of them must come here.
    pub fn fold<T: Element>(
        &self,
        value: Reg<'k, T>,
        none: Reg<'k, T>,
        join: impl Fn(Reg<'k, T>, Reg<'k, T>) -> Reg<'k, T>,
    ) -> Reg<'k, T> {
        match self.plan.team {
            1 => value,
            32 => self.k.reduce_lanes(value, 32, join),
            threads => fold_block(self.k, threads, value, none, join),
        }
    }

    /// Whether a chunk is a piece.
    pub fn takes_pieces(&self) -> bool {
        self.plan.way != Way::Elements
    }

    /// The extent of a row of `count` elements that begins at `row`.
    pub fn extent(&self, count: Reg<'k, u64>, row: Array<'k>) -> Extent<'k> {
        let head = self.plan.edged.then(|| {
            let ahead = (self.k.var(0u64) - row.address()) & 15u64;
            self.k.min(ahead >> (self.dtype.size() as u32).ilog2(), count)
        });
        Extent { count, head }
    }

    /// The places that are held of a row.
    pub fn held<const N: usize>(&self, extent: Extent<'k>) -> Option<Vec<Place<'k, N>>> {
        let Way::Held(pieces) = self.plan.way else { return None };
        let first = self.member().to::<u64>();
        let piece = |i: u32| self.piece(first + u64::from(i * self.plan.team), extent);
        Some((0..pieces).map(piece).chain(self.edge(extent)).collect())
    }

    /// Runs `body` for the places of this thread, some at a time, where they are not held.
    pub fn each_place<const N: usize>(
        &self,
        extent: Extent<'k>,
        words: &WordList<'k>,
        body: impl Fn(&[Place<'k, N>]),
    ) {
        let (k, team) = (self.k, self.plan.team);
        let first = k.var(self.member().to::<u64>());
        let total = if self.takes_pieces() { self.pieces(extent) } else { extent.count };
        k.repeat_while(
            || first.lt(total),
            || {
                let numbers: Vec<_> = (0..FLIGHT).map(|i| first + u64::from(i * team)).collect();
                match self.takes_pieces() {
                    true => body(&numbers.iter().map(|&n| self.piece(n, extent)).collect::<Vec<_>>()),
                    false => body(&self.elements(&numbers, extent.count, words)),
                }
                first.set(first + u64::from(FLIGHT * team));
            },
        );
        if let Some(edge) = self.edge(extent) {
            body(&[edge]);
        }
    }

    /// Whole pieces of a row.
    fn pieces(&self, extent: Extent<'k>) -> Reg<'k, u64> {
        let behind = extent.head.map_or(extent.count, |head| extent.count - head);
        behind >> piece_len(self.dtype).ilog2()
    }

    fn piece<const N: usize>(&self, number: Reg<'k, u64>, extent: Extent<'k>) -> Place<'k, N> {
        let there = number.lt(self.pieces(extent));
        let at = number << piece_len(self.dtype).ilog2();
        let at = extent.head.map_or(at, |head| at + head);
        Place { at: [self.k.select(there, at, 0u64); N], there, single: false }
    }

    /// An element ahead of the pieces or behind them; at most 7 of each, so that a team has threads for all.
    fn edge<const N: usize>(&self, extent: Extent<'k>) -> Option<Place<'k, N>> {
        let (k, len, head) = (self.k, u64::from(piece_len(self.dtype)), extent.head?);
        let member = self.member().to::<u64>();
        let pieces_end = head + (self.pieces(extent) << len.ilog2());
        let ahead = member.lt(head);
        let at = k.select(ahead, member, pieces_end + member - len);
        let there = ahead | (member.ge(len) & at.lt(extent.count));
        Some(Place { at: [k.select(there, at, 0u64); N], there, single: true })
    }

    fn elements<const N: usize>(
        &self,
        numbers: &[Reg<'k, u64>],
        count: Reg<'k, u64>,
        words: &WordList<'k>,
    ) -> Vec<Place<'k, N>> {
        let there: Vec<_> = numbers.iter().map(|number| number.lt(count)).collect();
        let inside: Vec<_> =
            numbers.iter().zip(&there).map(|(&n, &there)| self.k.select(there, n, 0u64)).collect();
        let places = self.locate(words, 1, &inside).into_iter().zip(there);
        places.map(|(at, there)| Place { at, there, single: true }).collect()
    }

    /// What this thread takes at `at`, for `place`; of a piece that is not there, zeros.
    pub fn load<F: Real, const N: usize>(&self, at: Array<'k>, place: &Place<'k, N>) -> Chunk<'k, F> {
        if place.single { Chunk::one(at) } else { Chunk::piece(self.k, at, place.there) }
    }
}
