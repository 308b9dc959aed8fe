//! Scales of 8-bit floats, where a thread has sums: of two rows, and of its columns or of 64 columns at a time.

use super::block::{Block, Work};
use super::sum::Group;
use crate::ptx::{Global, Ptr, Reg};

/// Columns that share a block's scale at least: those of a tile begin at a multiple of it.
pub(super) const SHARED: u32 = 64;

/// As they lie in memory.
pub struct Loaded<'k> {
    /// Of a thread's rows.
    pub rows: [Reg<'k, f32>; 2],
    /// Of its columns, or of 64 columns each.
    pub columns: Vec<Reg<'k, f32>>,
    /// Whether each column has its own.
    pub own: bool,
}

/// Those of a thread's sums.
pub struct Scales<'k> {
    loaded: Loaded<'k>,
    /// The products of those of the rows and of 64 columns each, unless each column has its own.
    both: Vec<[Reg<'k, f32>; 2]>,
}

impl<'k> Loaded<'k> {
    fn ready(self) -> Scales<'k> {
        let shared = if self.own { &[][..] } else { &self.columns[..] };
        let both = shared.iter().map(|&column| self.rows.map(|row| row * column)).collect();
        Scales { both, loaded: self }
    }

    /// They, made ready once `product` is there. The compiler would otherwise multiply them between the instructions that make
    /// the products, which then waited for them. `zero` is 0, of which it does not know.
    pub fn ready_after(&self, product: Reg<'k, f32>, zero: Reg<'k, u32>) -> Scales<'k> {
        let nothing = product.bits::<u32>() & zero;
        let rows = self.rows.map(|row| (row.bits::<u32>() | nothing).bits());
        Loaded { rows, columns: self.columns.clone(), own: self.own }.ready()
    }
}

impl<'k> Scales<'k> {
    /// That of a thread's sum `number`: of every four, two are of each row, neighbours.
    pub fn of(&self, number: usize) -> Reg<'k, f32> {
        let row = number / 2 % 2;
        match self.both.get(number / (SHARED as usize / 2)) {
            Some(both) => both[row],
            None => self.loaded.rows[row] * self.loaded.columns[number / 4 * 2 + number % 2],
        }
    }
}

impl<'k> Block<'_, 'k> {
    /// Scales a tile's sums, whose rows and columns have one scale each.
    pub fn scale(&self, group: &Group<'k>, work: &Work<'k>) {
        let scales = self.scales_of_lines(group, work);
        group.sums.iter().enumerate().for_each(|(number, sum)| sum.set(*sum * scales.of(number)));
    }

    fn scales_of_lines(&self, group: &Group<'k>, work: &Work<'k>) -> Scales<'k> {
        let (k, v, own) = (self.k, &self.v.rest, self.form.own);
        let ([row, col], [line, across]) = (self.corner(group, work), self.first(group));
        let [row, col] = [row + line, col + across];
        let [_, a, b] = v.locate_more(k, work.matrix.to::<u64>());
        let load = |operand, at, line| {
            let at = Ptr::<Global<f32>>::new(self.scale_at(operand, at, line));
            at.load_if(v.has_scale(operand), 1.0f32)
        };
        let columns = self.form.tile.own_columns();
        let columns = match own {
            true => (0..columns / 4).map(|n| load(1, b, col + (n / 2 * 8 + n % 2))).collect(),
            false => (0..columns / SHARED).map(|n| load(1, b, col + n * SHARED)).collect(),
        };
        Loaded { rows: [0, 8].map(|below| load(0, a, row + below)), columns, own }.ready()
    }

    /// The row and the column of a thread's first sum among those of its warpgroup.
    pub fn first(&self, group: &Group<'k>) -> [Reg<'k, u32>; 2] {
        let lane = self.k.lane();
        [((group.thread & 0x60u32) >> 1u32) + (lane >> 2u32), (lane & 3u32) * 2u32]
    }

    /// Where the scale of a row of A, or column of B, begins; beyond the last, that of the last.
    pub fn scale_at(&self, operand: usize, at: Reg<'k, u64>, line: Reg<'k, u32>) -> Reg<'k, u64> {
        let base = &self.v.rest.base;
        let last = if operand == 0 { base.m } else { base.n } - 1u64;
        self.v.rest.scale_of(operand, at, self.k.min(line.to::<u64>(), last))
    }
}
