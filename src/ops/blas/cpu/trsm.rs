//! trsm on the CPU: panels of columns, each solved block of rows by block of rows: what is known is subtracted by a product, then
//! the block on the diagonal is substituted.

use super::product::{Sizes, product};
use super::view::{Matrix, batch};
use super::{lanes, rows, try_parallel};
use crate::device::{Cpu, cpu::Scratch};
use crate::kernels::walk::Walk;
use crate::op::Choice;
use crate::ops::blas::factor::Factor;
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
        self.copy(b, x);
        for i in 0..self.order {
            lanes::scale(alpha, x.element(i, 0), self.columns);
        }
        for first in (0..self.order).step_by(BLOCK) {
            let rows = BLOCK.min(self.order - first);
            if first > 0 {
                let (to, sizes) = (x.skip(first, 0), Sizes { rows, columns: self.columns, depth: first });
                let left = (self.a.skip(first, 0), self.op.conjugate);
                // SAFETY: a block of a's triangle, and two blocks of rows of the scratch memory that are apart.
                unsafe { product(to, left, (x, false), sizes, [1.0, -1.0].map(Factor::real)) };
            }
            self.substitute(self.a.skip(first, first), x.skip(first, 0), rows);
        }
        self.copy(x, b);
        Ok(())
    }

    /// A panel to another: the one of b's checked layout, which is this call's alone, and the one in scratch memory of its size.
    fn copy(&self, from: Matrix<N>, to: Matrix<N>) {
        for i in 0..self.order {
            if from.col == 1 && to.col == 1 {
                // SAFETY: rows of both panels, which are apart.
                unsafe { to.element(i, 0).copy_from_nonoverlapping(from.element(i, 0), self.columns) };
                continue;
            }
            // SAFETY: elements of both panels.
            (0..self.columns).for_each(|j| unsafe { to.element(i, j).write(*from.element(i, j)) });
        }
    }

    /// The block on the diagonal, of `rows` rows, with rows of x that lie side by side.
    fn substitute(&self, a: Matrix<N>, x: Matrix<N>, rows: usize) {
        let element = |i: usize, j: usize| {
            // SAFETY: an element of a's triangle.
            let element = unsafe { *a.element(i, j) };
            if self.op.conjugate { element.conjugate() } else { element }
        };
        let mut factors = [N::ZERO; BLOCK];
        for i in 0..rows {
            let row = x.element(i, 0);
            (0..i).for_each(|j| factors[j] = N::ZERO - element(i, j));
            rows::axpy_rows(factors.as_ptr(), i, x.at, self.columns, row, self.columns);
            if !self.op.unit {
                rows::divide(element(i, i), row, self.columns);
            }
        }
    }
}
