//! f32 and f64 through the crate `gemm`, run serially on tiles of D; epilogues follow each tile.

use super::cpu::try_parallel;
use super::element::Real;
use super::finish::{Part, finish};
use super::problem::Problem;
use crate::device::{Cpu, cpu::Scratch};
use crate::dtype::Dtype;
use crate::status::Result;

/// Rows and columns of a tile; half as many where D has at most SMALL of both.
const TILE: usize = 256;
const SMALL: usize = 512;
/// Rough multiplications with addition a nanosecond.
const RATE: f64 = 25.0;

/// Whether the element types are the crate's.
pub fn accepts(p: &Problem, _: &Cpu) -> bool {
    p.k > 0 && p.a.dtype == p.b.dtype && matches!(p.a.dtype, Dtype::F32 | Dtype::F64)
}

/// Multiplies one matrix.
pub fn run(p: &Problem, cpu: &Cpu) -> Result<()> {
    let (rows, cols) = tile(p);
    let across = p.n.div_ceil(cols);
    let ns = (p.work() / RATE) as u64;
    try_parallel(cpu, p.m.div_ceil(rows) * across, ns, |tile| {
        let (row, col) = (tile / across * rows, tile % across * cols);
        let part = Span { row, col, rows: rows.min(p.m - row), cols: cols.min(p.n - col) };
        if p.a.dtype == Dtype::F64 { multiply::<f64>(p, part) } else { multiply::<f32>(p, part) }
    })
}

/// A part of D.
#[derive(Clone, Copy)]
pub struct Span {
    /// Its first row of D's.
    pub row: usize,
    /// Its first column.
    pub col: usize,
    /// How many rows there are.
    pub rows: usize,
    /// How many columns.
    pub cols: usize,
}

/// Rows and columns of a tile: large enough that packing matters little, enough of them for several threads. Never a
/// matter of how many threads there are: the crate adds up in another order where a tile is a single row.
fn tile(p: &Problem) -> (usize, usize) {
    let side = if p.m.max(p.n) <= SMALL { TILE / 2 } else { TILE };
    (p.m.min(side), p.n.min(side))
}

fn multiply<R: Real>(p: &Problem, at: Span) -> Result<()> {
    let numbers = [R::ZERO, R::from_f64(1.0)];
    if p.is_plain() {
        let d = (p.d.ptr(at.row, at.col), p.d.row, p.d.col);
        // SAFETY: the part is inside D and this call's alone; nothing else of the problem shares memory with D.
        unsafe { product(p, at, numbers, [false; 2], d) };
        return Ok(());
    }
    let sums = Scratch::<R>::new(at.rows * at.cols)?;
    // SAFETY: the scratch holds `rows` rows of `cols` sums, written first and read then; the part is inside D.
    unsafe {
        product(p, at, numbers, [false; 2], (sums.ptr(), at.cols as isize, 1));
        finish(
            p,
            Part {
                row: at.row,
                col: at.col,
                rows: at.rows,
                cols: at.cols,
                sums: sums.ptr(),
                stride: at.cols,
            },
        );
    }
    Ok(())
}

/// A B of a part by the crate, of numbers with these for 0 and 1, A or B conjugated.
///
/// # Safety
///
/// `dst` with these strides of rows and columns is writable for the part; the problem's views are valid and hold `T`.
#[rustfmt::skip] // of the crate's arguments a matrix a line
pub unsafe fn product<T: 'static>(
    p: &Problem,
    at: Span,
    [zero, one]: [T; 2],
    [a_too, b_too]: [bool; 2],
    (dst, row, col): (*mut T, isize, isize),
) {
    let (a, b) = (p.a.ptr::<T>(at.row, 0), p.b.ptr::<T>(0, at.col));
    let alone = ::gemm::Parallelism::None;
    // SAFETY: this function's contract; sizes and strides are those of the part.
    unsafe {
        ::gemm::gemm(
            at.rows, at.cols, p.k,
            dst, col, row, false,
            a, p.a.col, p.a.row,
            b, p.b.col, p.b.row,
            zero, one, false, a_too, b_too, alone,
        );
    }
}
