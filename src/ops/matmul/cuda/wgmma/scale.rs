//! Scales of 8-bit floats, where a thread has sums: of two rows, and of its columns or of 64 columns at a time.

use super::block::{Block, Work};
use super::sum::Group;
use crate::ptx::{Builder, Global, Ptr, Reg};

/// Columns that share a block's scale at least: those of a tile begin at a multiple of it.
const SHARED: u32 = 64;

/// Where the scales of a tile lie.
pub struct Walk<'k> {
    /// Of both rows.
    rows: [Reg<'k, u64>; 2],
    /// Of each 64 columns, unless each has its own.
    columns: Vec<Reg<'k, u64>>,
    /// The thread's first column, and where the scales of B begin.
    first: Reg<'k, u32>,
    base: Reg<'k, u64>,
}

/// They.
pub struct Scales<'k> {
    rows: [Reg<'k, f32>; 2],
    columns: Vec<Reg<'k, f32>>,
    /// Sums that share one of a column, and its neighbour's.
    together: usize,
    /// The products of those of the rows and of 64 columns each.
    both: Vec<[Reg<'k, f32>; 2]>,
}

impl<'k> Scales<'k> {
    /// That of a thread's sum `number`: of every four, two are of each row, neighbours.
    pub fn of(&self, number: usize) -> Reg<'k, f32> {
        let row = number / 2 % 2;
        match self.together {
            4 => self.rows[row] * self.columns[number / 4 * 2 + number % 2],
            together => self.both[number / together][row],
        }
    }

    /// With the products that `of` tells.
    fn ready(self) -> Self {
        let shared = if self.together == 4 { &[][..] } else { &self.columns[..] };
        let both = shared.iter().map(|&column| self.rows.map(|row| row * column)).collect();
        Self { both, ..self }
    }

    /// The same in registers of their own.
    fn kept(&self, k: &'k Builder) -> Self {
        let columns = self.columns.iter().map(|&scale| k.var(scale)).collect();
        Self { rows: self.rows.map(|scale| k.var(scale)), columns, together: self.together, both: Vec::new() }
    }

    /// Becomes those.
    fn set(&self, other: &Self) {
        self.rows.iter().zip(other.rows).for_each(|(to, from)| to.set(from));
        self.columns.iter().zip(&other.columns).for_each(|(to, &from)| to.set(from));
    }
}

impl<'k> Block<'_, 'k> {
    /// Scales a tile's sums, whose rows and columns have one scale each.
    pub fn scale(&self, group: &Group<'k>, work: &Work<'k>) {
        let scales = self.walk_scales(group, work).load(self, self.k.var(0u32)).ready();
        group.sums.iter().enumerate().for_each(|(number, sum)| sum.set(*sum * scales.of(number)));
    }

    /// The scales of a tile of this warpgroup's.
    pub fn walk_scales(&self, group: &Group<'k>, work: &Work<'k>) -> Walk<'k> {
        let (k, lane) = (self.k, self.k.lane());
        let [row, col] = self.corner(group, work);
        let [_, a, b] = self.v.rest.locate_more(k, work.matrix.to::<u64>());
        let line = row + ((group.thread & 0x60u32) >> 1u32) + (lane >> 2u32);
        let first = col + (lane & 3u32) * 2u32;
        let shared = if self.form.own { 0 } else { self.form.tile.own_columns() / SHARED };
        Walk {
            rows: [0, 8].map(|below| self.scale_at(0, a, line + below)),
            // Each thread by a column of its own: what the compiler takes for the same in all threads it waits for at once.
            columns: (0..shared).map(|n| self.scale_at(1, b, first + n * SHARED)).collect(),
            first,
            base: b,
        }
    }

    /// Where the scale of a row of A, or column of B, begins; beyond the last, that of the last.
    fn scale_at(&self, operand: usize, at: Reg<'k, u64>, line: Reg<'k, u32>) -> Reg<'k, u64> {
        let base = &self.v.rest.base;
        let last = if operand == 0 { base.m } else { base.n } - 1u64;
        self.v.rest.scale_of(operand, at, self.k.min(line.to::<u64>(), last))
    }
}

impl<'k> Walk<'k> {
    /// Those of block `step` of k.
    pub fn load(&self, block: &Block<'_, 'k>, step: Reg<'k, u32>) -> Scales<'k> {
        let v = &block.v.rest;
        let [a, b] = [0, 1].map(|operand| {
            let (there, far) = (v.has_scale(operand), step.to::<u64>() * v.scale_step(operand));
            move |at: Reg<'k, u64>| Ptr::<Global<f32>>::new(at + far).load_if(there, 1.0f32)
        });
        let own = || (0..block.form.tile.own_columns() / 4).map(|n| self.first + (n / 2 * 8 + n % 2));
        let columns = match block.form.own {
            true => own().map(|col| b(block.scale_at(1, self.base, col))).collect(),
            false => self.columns.iter().map(|&at| b(at)).collect(),
        };
        let together = if block.form.own { 4 } else { SHARED as usize / 2 };
        Scales { rows: self.rows.map(a), columns, together, both: Vec::new() }
    }
}

/// Scales of blocks of k, which are asked for a step before they are needed.
pub struct Ahead<'k> {
    walk: Walk<'k>,
    /// Those of the next step.
    coming: Scales<'k>,
    /// The step that is asked for next, and the last one.
    step: Reg<'k, u32>,
    last: Reg<'k, u32>,
}

impl<'k> Ahead<'k> {
    pub fn new(block: &Block<'_, 'k>, group: &Group<'k>, work: &Work<'k>) -> Self {
        let (k, walk) = (block.k, block.walk_scales(group, work));
        let (step, last) = (k.var(work.from), work.from + work.count - 1u32);
        let coming = walk.load(block, step).kept(k);
        step.set(k.min(step + 1u32, last));
        Self { walk, coming, step, last }
    }

    /// Those of the next step.
    pub fn next(&self, block: &Block<'_, 'k>) -> Scales<'k> {
        let scales = self.coming.kept(block.k).ready();
        self.coming.set(&self.walk.load(block, self.step));
        self.step.set(block.k.min(self.step + 1u32, self.last));
        scales
    }
}
