//! syrk on the CPU: tiles on and below the diagonal, each a product of two blocks of rows of A; those on the diagonal in smaller
//! products, and in smallest ones of which a triangle is kept.

use super::product::{Sizes, product};
use super::view::{Matrix, batch};
use super::{rows, try_parallel};
use crate::device::{Cpu, cpu::Scratch};
use crate::kernels::walk::Walk;
use crate::op::Choice;
use crate::ops::blas::factor::Factor;
use crate::ops::blas::number::{Number, with_number};
use crate::ops::blas::reach;
use crate::ops::blas::syrk::Syrk;
use crate::status::Result;

/// Best first.
pub(in crate::ops::blas) const CHOICES: &[Choice<Syrk, Cpu>] =
    &[Choice { name: "tiles", accepts: |_, _| true, run }];

/// Rows and columns of what a triangle is kept of.
const TILE: usize = 64;

/// Rows and columns of what a thread takes at once.
fn large(side: usize) -> usize {
    match side {
        0..=512 => 128,
        513..=2047 => 256,
        _ => 512,
    }
}

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
    let large = large(side);
    let across = side.div_ceil(large);
    let tiles = across * (across + 1) / 2;
    let work = (side * side / 2) as f64 * depth as f64 * (N::PARTS * N::PARTS) as f64 / RATE;
    let ns = walk.count() as f64 * (work + (side * side) as f64);
    try_parallel(cpu, walk.count() * tiles, ns, |item| {
        let ([a, c], (row, col)) = (walk.at(item / tiles), place(item % tiles));
        let (a, c) = (Matrix::<N>::of(&op.a, a), Matrix::<N>::of(&op.c, c));
        let c = if op.upper { c.turned() } else { c };
        let base = col * large;
        let columns = large.min(side - base);
        let turned = turns(a, columns * depth);
        let panel = Scratch::<N>::new(if turned { columns * depth } else { 0 })?;
        let mut right = a.skip(base, 0).turned();
        if turned {
            rows::transpose(right.at, a.row as usize, panel.ptr(), columns, columns, depth);
            right = Matrix { at: panel.ptr(), row: columns as isize, col: 1 };
        }
        Task { op, a, c, right, base }.run((row * large, base), large)
    })
}

/// Whether rows of A are transposed before they are multiplied with: such of which each lies element by element, of so many elements
/// altogether.
fn turns<N: Number>(a: Matrix<N>, elements: usize) -> bool {
    const BYTES: std::ops::RangeInclusive<usize> = 1 << 16..=32 << 20;
    a.col == 1 && a.row > 0 && BYTES.contains(&elements.saturating_mul(size_of::<N>()))
}

/// A product whose triangle below the diagonal is wanted.
struct Task<'a, N> {
    op: &'a Syrk,
    a: Matrix<N>,
    c: Matrix<N>,
    /// The transpose of A's rows from number `base` on.
    right: Matrix<N>,
    base: usize,
}

impl<N: Number> Task<'_, N> {
    /// The tile that begins at `row` and `col`, of at most `large` of both.
    fn run(&self, (row, col): (usize, usize), large: usize) -> Result<()> {
        let (side, depth) = self.op.sizes();
        let (rows, columns) = (large.min(side - row), large.min(side - col));
        if row > col && depth > 0 {
            self.below((row, col), Sizes { rows, columns, depth });
            return Ok(());
        }
        for number in 1..if row > col { 0 } else { rows.div_ceil(TILE) } {
            let reach = reach(number);
            let (first, columns) = (number * TILE, reach * TILE);
            let sizes = Sizes { rows: columns.min(rows - first), columns, depth };
            let at = (row + first, col + first - columns);
            if depth > 0 { self.below(at, sizes) } else { self.kept(at, sizes)? }
        }
        match row > col {
            true => self.kept((row, col), Sizes { rows, columns, depth }),
            false => (0..rows).step_by(TILE).try_for_each(|first| {
                let rows = TILE.min(rows - first);
                self.kept((row + first, col + first), Sizes { rows, columns: rows, depth })
            }),
        }
    }

    /// Rows of A, and those that they are multiplied with; which of both are conjugated. The upper triangle is the lower one of the
    /// transpose, which is the conjugate of a Hermitian product.
    fn factors(&self, (row, col): (usize, usize)) -> [(Matrix<N>, bool); 2] {
        let [first, second] = [self.op.upper, !self.op.upper].map(|which| self.op.hermitian && which);
        [(self.a.skip(row, 0), first), (self.right.skip(0, col - self.base), second)]
    }

    /// A product below the diagonal.
    fn below(&self, (row, col): (usize, usize), sizes: Sizes) {
        let [left, right] = self.factors((row, col));
        // SAFETY: blocks of a's and c's checked layouts; that of c is this call's alone.
        unsafe { product(self.c.skip(row, col), left, right, sizes, [self.op.beta, self.op.alpha]) };
    }

    /// A product of which what is on and below the diagonal is kept.
    fn kept(&self, (row, col): (usize, usize), sizes: Sizes) -> Result<()> {
        let sums = Scratch::<N>::zeroed(sizes.rows * sizes.columns)?;
        let to = Matrix { at: sums.ptr(), row: sizes.columns as isize, col: 1 };
        if sizes.depth > 0 {
            let [left, right] = self.factors((row, col));
            // SAFETY: blocks of a's checked layout; scratch memory of the tile's size.
            unsafe { product(to, left, right, sizes, [0.0, 1.0].map(Factor::real)) };
        }
        for i in 0..sizes.rows {
            let columns = (row + i + 1).saturating_sub(col).min(sizes.columns);
            let c = self.c.skip(row + i, col);
            // SAFETY: elements of c's checked layout on and below the diagonal, this tile's alone; and its sums.
            unsafe { finish(self.op, to.row(i).at, c, (columns, row + i - col)) };
        }
        Ok(())
    }
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
