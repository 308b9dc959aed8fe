//! Scales of 8-bit floats, where a thread has sums: of two rows, and of its columns or of 64 columns at a time.

use super::block::{Block, Work};
use super::sum::Group;
use crate::ptx::{Global, Ptr, Reg};

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
}

impl<'k> Scales<'k> {
    /// That of a thread's sum `number`: of every four, two are of each row, neighbours.
    pub fn of(&self, number: usize) -> Reg<'k, f32> {
        let column = match self.together {
            4 => self.columns[number / 4 * 2 + number % 2],
            together => self.columns[number / together],
        };
        self.rows[number / 2 % 2] * column
    }
}

impl<'k> Block<'_, 'k> {
    /// Scales a tile's sums, whose rows and columns have one scale each.
    pub fn scale(&self, group: &Group<'k>, work: &Work<'k>) {
        let scales = self.walk_scales(group, work).load(self, self.k.var(0u32));
        group.sums.iter().enumerate().for_each(|(number, sum)| sum.set(*sum * scales.of(number)));
    }

    /// The scales of a tile of this warpgroup's.
    pub fn walk_scales(&self, group: &Group<'k>, work: &Work<'k>) -> Walk<'k> {
        let (k, lane) = (self.k, self.k.lane());
        let [row, col] = self.corner(group, work);
        let [_, a, b] = self.v.rest.locate_more(k, work.matrix.to::<u64>());
        let line = row + ((group.thread & 0x60u32) >> 1u32) + (lane >> 2u32);
        let shared = if self.form.own { 0 } else { self.form.tile.own_columns() / SHARED };
        Walk {
            rows: [0, 8].map(|below| self.scale_at(0, a, line + below)),
            columns: (0..shared).map(|n| self.scale_at(1, b, col + n * SHARED)).collect(),
            first: col + (lane & 3u32) * 2u32,
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
        Scales { rows: self.rows.map(a), columns, together }
    }
}
