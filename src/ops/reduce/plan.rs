//! How a reduction is cut: blocks of neighbouring results, and pieces of what each is reduced from. By the shape alone.

use crate::kernels::walk::Walk;
use crate::layout::Layout;

/// Most results a block.
pub(super) const WIDTH: usize = 512;
/// Results a block when each is reduced along rows of its own.
const FEW: usize = 32;
/// Elements a piece along rows, and rows a piece down columns.
const LONG: usize = 1 << 16;
const TALL: usize = 1 << 10;

/// The axes of a reduction, and in which order they are met.
pub struct Plan {
    /// The kept axes: of x and y.
    pub kept: Walk<2>,
    /// The reduced axes of x.
    pub reduced: Walk<1>,
    /// Whether a result's elements are read one after another; else a row of results advances together.
    pub along: bool,
}

/// Neighbouring results.
#[derive(Clone, Copy)]
pub struct Block {
    /// The first one's elements: in x and y.
    pub at: [isize; 2],
    /// The first one's number.
    pub first: usize,
    /// How many.
    pub width: usize,
}

impl Plan {
    /// `y` has the dims of the kept axes.
    pub fn new(x: &Layout, y: &Layout, axes: u32) -> Self {
        let of = |reduced: bool| {
            let mut axes: Vec<usize> =
                (0..x.rank()).filter(|axis| (axes & 1 << axis != 0) == reduced).collect();
            axes.sort_by_key(|&axis| -x.stride(axis).abs());
            axes
        };
        let mut order: Vec<usize> = (0..y.rank()).collect();
        let kept = (0..x.rank()).filter(|axis| axes & 1 << axis == 0).collect::<Vec<_>>();
        order.sort_by_key(|&axis| -x.stride(kept[axis]).abs());
        let kept = Walk::new([&x.permuted(&of(false)), &y.permuted(&order)]);
        let reduced = Walk::new([&x.permuted(&of(true))]);
        let nearer = reduced.strides[0].abs() <= kept.strides[0].abs();
        let (short, narrow) = (reduced.run < 16 && kept.run >= 64, kept.run < 8);
        Self { along: narrow || (nearer && !short), kept, reduced }
    }

    /// How many results.
    pub fn outputs(&self) -> usize {
        self.kept.count()
    }

    fn width(&self) -> usize {
        if self.along { FEW } else { WIDTH }
    }

    fn blocks_a_run(&self) -> usize {
        self.kept.run.div_ceil(self.width())
    }

    /// How many blocks.
    pub fn blocks(&self) -> usize {
        self.kept.runs() * self.blocks_a_run()
    }

    /// Block `number`.
    pub fn block(&self, number: usize) -> Block {
        let (run, column) = (number / self.blocks_a_run(), number % self.blocks_a_run() * self.width());
        let start = self.kept.start(run);
        let at = [0, 1].map(|n| start[n] + column as isize * self.kept.strides[n]);
        let width = self.width().min(self.kept.run - column);
        Block { at, first: run * self.kept.run + column, width }
    }

    fn piece_length(&self) -> usize {
        if self.along { LONG } else { TALL }
    }

    /// Into how many pieces each result's elements are cut; at least one.
    pub fn pieces(&self) -> usize {
        self.reduced.count().div_ceil(self.piece_length()).max(1)
    }

    /// The elements of piece `number`: the first, and that after the last.
    pub fn piece(&self, number: usize) -> (usize, usize) {
        let length = self.piece_length();
        (number * length, ((number + 1) * length).min(self.reduced.count()))
    }
}
