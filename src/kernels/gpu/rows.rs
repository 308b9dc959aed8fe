//! Work on rows: how many threads share one, and how each finds its part of it. Short rows get a warp each and long ones a
//! block, packed rows are read in pieces of 16 bytes, and those that fit are held in registers.

use super::{Chunk, Real, Space, fold_block, piece_len};
use crate::dtype::Dtype;
use crate::kernels::gpu::Array;
use crate::ptx::{Builder, Element, Reg, WordList};

/// Pieces or elements that a thread has in flight.
const FLIGHT: u32 = 4;
/// The rank that spaces of rank 2 and more are padded to.
const PADDED: usize = crate::layout::WEFT_MAX_RANK;
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
    /// Whether the space of the rows, and that of a row's elements, has more than one axis.
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
    /// Whether pieces can be taken: packed, whole and aligned.
    pub pieces: bool,
    /// Pieces that a thread has registers for, 4 or more.
    pub most: u32,
    /// Whether rows lie side by side, so that the elements of one do not.
    pub aside: bool,
}

impl Plan {
    /// The best one.
    pub fn new(given: &Rows) -> Self {
        let axes = given.ranks.map(|rank| rank > 1);
        let wide = given.rows >> 32 != 0 || given.count >> 32 != 0;
        let (team, way) = if given.pieces { in_pieces(given) } else { (of_elements(given), Way::Elements) };
        Self { team, way, axes, wide }
    }

    /// Two numbers that tell plans apart.
    pub fn code(&self) -> [u32; 2] {
        let way = match self.way {
            Way::Held(pieces) => pieces,
            Way::Pieces => 0,
            Way::Elements => 100,
        };
        let bits = u32::from(self.axes[0]) | u32::from(self.axes[1]) << 1 | u32::from(self.wide) << 2;
        [self.team, way << 3 | bits]
    }

    /// Threads of a block.
    pub fn block(&self) -> u32 {
        if self.team <= 32 { SHARED_BLOCK } else { self.team }
    }

    /// Blocks for `rows` rows.
    pub fn grid(&self, rows: u64) -> [u32; 3] {
        let blocks = rows.div_ceil(u64::from(self.block() / self.team));
        [blocks.clamp(1, 1 << 30) as u32, 1, 1]
    }

    /// The rank that the space of the rows is written with.
    fn rank(multiple: bool) -> usize {
        if multiple { PADDED } else { 1 }
    }

    /// Those that tests assemble.
    pub fn samples() -> Vec<Self> {
        let plan = |team, way, wide| Self { team, way, axes: [wide, wide], wide };
        vec![
            plan(32, Way::Held(1), false),
            plan(32, Way::Held(4), false),
            plan(256, Way::Held(4), false),
            plan(512, Way::Held(8), false),
            plan(128, Way::Held(4), true),
            plan(512, Way::Pieces, false),
            plan(1, Way::Elements, true),
            plan(32, Way::Elements, false),
            plan(512, Way::Elements, true),
        ]
    }
}

fn in_pieces(given: &Rows) -> (u32, Way) {
    // Finding the rows takes registers too.
    let eight = given.most >= 8 && given.ranks[0] <= 1 && given.rows >> 32 == 0;
    match given.count / u64::from(piece_len(given.dtype)) {
        0..=32 => (32, Way::Held(1)),
        33..=64 => (32, Way::Held(2)),
        65..=128 => (32, Way::Held(4)),
        129..=512 => (128, Way::Held(4)),
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

/// One piece or element of a row, of `N` operands.
#[derive(Clone, Copy)]
pub struct Place<'k, const N: usize> {
    /// Where it is from the row's origin, in elements, of each.
    pub at: [Reg<'k, u64>; N],
    /// Whether the row reaches so far; where not, `at` is the row's first.
    pub there: Reg<'k, bool>,
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
        Space::<N>::locate(self.k, words, Plan::rank(self.plan.axes[0]), self.plan.wide, row)
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

    /// The places that are held, of a row of `count` elements.
    pub fn held<const N: usize>(&self, count: Reg<'k, u64>) -> Option<Vec<Place<'k, N>>> {
        let Way::Held(pieces) = self.plan.way else { return None };
        let first = self.member().to::<u64>();
        let place = |i: u32| self.place_of_piece(first + u64::from(i * self.plan.team), count);
        Some((0..pieces).map(place).collect())
    }

    /// Runs `body` for the places of this thread, some at a time, where they are not held.
    pub fn each_place<const N: usize>(
        &self,
        count: Reg<'k, u64>,
        words: &WordList<'k>,
        body: impl FnOnce(&[Place<'k, N>]),
    ) {
        let (k, team) = (self.k, self.plan.team);
        let first = k.var(self.member().to::<u64>());
        let total = if self.takes_pieces() { k.div(count, u64::from(piece_len(self.dtype))) } else { count };
        let place = |i: u32| {
            let number = first + u64::from(i * team);
            if self.takes_pieces() {
                self.place_of_piece(number, count)
            } else {
                self.place_of_element(number, count, words)
            }
        };
        k.repeat_while(
            || first.lt(total),
            || {
                let places: Vec<_> = (0..FLIGHT).map(place).collect();
                body(&places);
                first.set(first + u64::from(FLIGHT * team));
            },
        );
    }

    fn place_of_piece<const N: usize>(&self, number: Reg<'k, u64>, count: Reg<'k, u64>) -> Place<'k, N> {
        let at = number << piece_len(self.dtype).ilog2();
        let there = at.lt(count);
        Place { at: [self.k.select(there, at, 0u64); N], there }
    }

    fn place_of_element<const N: usize>(
        &self,
        number: Reg<'k, u64>,
        count: Reg<'k, u64>,
        words: &WordList<'k>,
    ) -> Place<'k, N> {
        let there = number.lt(count);
        let number = self.k.select(there, number, 0u64);
        let rank = Plan::rank(self.plan.axes[1]);
        Place { at: Space::<N>::locate(self.k, words, rank, self.plan.wide, number), there }
    }

    /// What this thread takes at `at`; of a piece that is not there, zeros.
    pub fn load<F: Real>(&self, at: Array<'k>, there: Reg<'k, bool>) -> Chunk<'k, F> {
        if self.takes_pieces() { Chunk::piece(self.k, at, there) } else { Chunk::one(at) }
    }
}
