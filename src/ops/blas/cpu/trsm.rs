//! trsm on the CPU: panels of columns, each solved block of rows by block of rows: what is known is subtracted by a product, then
//! the block on the diagonal is substituted.

use super::product::{Sizes, product};
use super::view::{Matrix, batch};
use super::{lanes, try_parallel};
use crate::device::{Cpu, cpu::Scratch};
use crate::kernels::walk::Walk;
use crate::op::Choice;
use crate::ops::blas::number::{Number, with_number};
use crate::ops::blas::trsm::Trsm;
use crate::status::Result;

/// Best first.
pub(in crate::ops::blas) const CHOICES: &[Choice<Trsm, Cpu>] =
    &[Choice { name: "panels", accepts: |_, _| true, run }];

/// Columns of a panel.
const PANEL: usize = 64;
/// Rows of a block.
const BLOCK: usize = 64;
/// Rough multiplications with addition a nanosecond.
const RATE: f64 = 8.0;

fn run(op: &Trsm, cpu: &Cpu) -> Result<()> {
    with_number!(op.b.dtype(), N => panels::<N>(op, cpu))
}

fn panels<N: Number>(op: &Trsm, cpu: &Cpu) -> Result<()> {
    let walk = Walk::new([&batch(&op.a, 2), &batch(&op.b, 2)]);
    let (order, columns) = op.sizes();
    let panels = columns.div_ceil(PANEL);
    let work = order as f64 * (order + 2) as f64 / 2.0 * columns as f64 * (N::PARTS * N::PARTS) as f64;
    try_parallel(cpu, walk.count() * panels, walk.count() as f64 * (work / RATE + 200.0), |item| {
        let ([a, b], from) = (walk.at(item / panels), item % panels * PANEL);
        let (a, b) = (Matrix::<N>::of(&op.a, a + op.start[0]), Matrix::<N>::of(&op.b, b + op.start[1]));
        let panel = Panel { op, a, order, columns: PANEL.min(columns - from) };
        panel.solve(b.skip(0, from))
    })
}

/// Some columns of B.
struct Panel<'a, N> {
    op: &'a Trsm,
    a: Matrix<N>,
    order: usize,
    columns: usize,
}

impl<N: Number> Panel<'_, N> {
    /// Solves for the panel that begins at `b`, in scratch memory.
    fn solve(&self, b: Matrix<N>) -> Result<()> {
        let scratch = Scratch::<N>::new(self.order * self.columns)?;
        let x = Matrix { at: scratch.ptr(), row: self.columns as isize, col: 1 };
        let alpha = N::of(self.op.alpha.re, self.op.alpha.im);
        // SAFETY: the panel of b's checked layout, which is this call's alone, and scratch memory of its size.
        self.each(|i, j| unsafe { x.element(i, j).write(alpha * *b.element(i, j)) });
        for first in (0..self.order).step_by(BLOCK) {
            let rows = BLOCK.min(self.order - first);
            if first > 0 {
                let (to, sizes) = (x.skip(first, 0), Sizes { rows, columns: self.columns, depth: first });
                let left = (self.a.skip(first, 0), self.op.conjugate);
                // SAFETY: a block of a's triangle, and two blocks of rows of the scratch memory that are apart.
                unsafe { product(to, left, (x, false), sizes, true) };
            }
            self.substitute(self.a.skip(first, first), x.skip(first, 0), rows);
        }
        // SAFETY: as above.
        self.each(|i, j| unsafe { b.element(i, j).write(*x.element(i, j)) });
        Ok(())
    }

    fn each(&self, work: impl Fn(usize, usize)) {
        for i in 0..self.order {
            (0..self.columns).for_each(|j| work(i, j));
        }
    }

    /// The block on the diagonal, of `rows` rows, with rows of x that lie side by side.
    fn substitute(&self, a: Matrix<N>, x: Matrix<N>, rows: usize) {
        let element = |i: usize, j: usize| {
            // SAFETY: an element of a's triangle.
            let element = unsafe { *a.element(i, j) };
            if self.op.conjugate { element.conjugate() } else { element }
        };
        for i in 0..rows {
            let row = x.element(i, 0);
            for j in 0..i {
                lanes::axpy(N::ZERO - element(i, j), x.element(j, 0), row, self.columns);
            }
            if !self.op.unit {
                let diagonal = element(i, i);
                // SAFETY: the row of the scratch memory.
                (0..self.columns).for_each(|j| unsafe { row.add(j).write(*row.add(j) / diagonal) });
            }
        }
    }
}
