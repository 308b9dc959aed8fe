//! syrk on the CPU: tiles on and below the diagonal, each a product of two blocks of rows of A.

use super::product::{Sizes, product};
use super::try_parallel;
use super::view::{Matrix, batch};
use crate::device::{Cpu, cpu::Scratch};
use crate::kernels::walk::Walk;
use crate::op::Choice;
use crate::ops::blas::number::{Number, with_number};
use crate::ops::blas::syrk::Syrk;
use crate::status::Result;

/// Best first.
pub(in crate::ops::blas) const CHOICES: &[Choice<Syrk, Cpu>] =
    &[Choice { name: "tiles", accepts: |_, _| true, run }];

/// Rows and columns of a tile.
const TILE: usize = 128;
/// Rough multiplications with addition a nanosecond.
const RATE: f64 = 15.0;

fn run(op: &Syrk, cpu: &Cpu) -> Result<()> {
    with_number!(op.c.dtype(), N => tiles::<N>(op, cpu))
}

/// Row and column of tile `number` of a triangle, row by row.
fn place(number: usize) -> (usize, usize) {
    let mut row = ((2.0 * number as f64 + 0.25).sqrt() - 0.5) as usize;
    while row * (row + 1) / 2 > number {
        row -= 1;
    }
    while (row + 1) * (row + 2) / 2 <= number {
        row += 1;
    }
    (row, number - row * (row + 1) / 2)
}

fn tiles<N: Number>(op: &Syrk, cpu: &Cpu) -> Result<()> {
    let walk = Walk::new([&batch(&op.a, 2), &batch(&op.c, 2)]);
    let (side, depth) = op.sizes();
    let across = side.div_ceil(TILE);
    let tiles = across * (across + 1) / 2;
    let work = (side * side / 2) as f64 * depth as f64 * (N::PARTS * N::PARTS) as f64 / RATE;
    let ns = walk.count() as f64 * (work + (side * side) as f64);
    try_parallel(cpu, walk.count() * tiles, ns, |item| {
        let ([a, c], (row, col)) = (walk.at(item / tiles), place(item % tiles));
        let (a, c) = (Matrix::<N>::of(&op.a, a), Matrix::<N>::of(&op.c, c));
        tile(op, a, if op.upper { c.turned() } else { c }, (row * TILE, col * TILE))
    })
}

/// One tile of `c`, of which the triangle below the diagonal is wanted.
fn tile<N: Number>(op: &Syrk, a: Matrix<N>, c: Matrix<N>, (row, col): (usize, usize)) -> Result<()> {
    let (side, depth) = op.sizes();
    let sizes = Sizes { rows: TILE.min(side - row), columns: TILE.min(side - col), depth };
    let sums = Scratch::<N>::zeroed(sizes.rows * sizes.columns)?;
    let to = Matrix { at: sums.ptr(), row: sizes.columns as isize, col: 1 };
    if depth > 0 {
        let (left, right) = (a.skip(row, 0), a.skip(col, 0).turned());
        // The upper triangle is the lower one of the transpose, which is the conjugate of a Hermitian product.
        let (first, second) = (op.hermitian && op.upper, op.hermitian && !op.upper);
        // SAFETY: blocks of a's checked layout; scratch memory of the tile's size.
        unsafe { product(to, (left, first), (right, second), sizes, false) };
    }
    for i in 0..sizes.rows {
        let columns = (row + i + 1).saturating_sub(col).min(sizes.columns);
        // SAFETY: elements of c's checked layout on and below the diagonal, this tile's alone; and its sums.
        unsafe { finish(op, to.row(i).at, c.skip(row + i, col), (columns, row + i - col)) };
    }
    Ok(())
}

/// c = alpha sum + beta c along `columns` elements of a row of which number `diagonal` lies on the diagonal.
///
/// # Safety
///
/// Both rows hold as many elements, and c's are the caller's to write.
unsafe fn finish<N: Number>(op: &Syrk, sums: *const N, c: Matrix<N>, (columns, diagonal): (usize, usize)) {
    let (alpha, beta) = (N::of(op.alpha.re, op.alpha.im), N::of(op.beta.re, op.beta.im));
    let unread = op.sizes().1 == 0;
    for j in 0..columns {
        let (at, real) = (c.element(0, j), op.hermitian && j == diagonal);
        // SAFETY: this function's contract.
        let sum = if unread { N::ZERO } else { alpha * unsafe { *sums.add(j) } };
        // SAFETY: as above; c is read only where beta says so.
        let before = || unsafe { if real { (*at).real() } else { *at } };
        let value = if op.beta.is_zero() { sum } else { sum + beta * before() };
        // SAFETY: as above.
        unsafe { at.write(if real { value.real() } else { value }) };
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn tiles_are_numbered_row_by_row() {
        let all = (0..40usize).flat_map(|row| (0..=row).map(move |col| (row, col)));
        assert!(all.enumerate().all(|(number, at)| super::place(number) == at));
    }
}
