//! f32 and f64 through the crate `gemm`, run serially on tiles of D; epilogues follow each tile.

use super::cpu::try_parallel;
use super::element::Real;
use super::finish::{Part, finish};
use super::problem::Problem;
use crate::device::{Cpu, cpu::Scratch};
use crate::dtype::Dtype;
use crate::status::Result;

/// Rows and columns of a tile that needs scratch memory for its product.
const TILE: usize = 512;
/// Rough multiplications with addition a nanosecond.
const RATE: f64 = 25.0;

/// Whether the element types are the crate's.
pub fn accepts(p: &Problem, _: &Cpu) -> bool {
    p.k > 0 && p.a.dtype == p.b.dtype && matches!(p.a.dtype, Dtype::F32 | Dtype::F64)
}

/// Multiplies one matrix.
pub fn run(p: &Problem, cpu: &Cpu) -> Result<()> {
    let (rows, cols) = tile(p, cpu);
    let across = p.n.div_ceil(cols);
    let ns = (p.work() / RATE) as u64;
    try_parallel(cpu, p.m.div_ceil(rows) * across, ns, |tile| {
        let (row, col) = (tile / across * rows, tile % across * cols);
        let part = Span { row, col, rows: rows.min(p.m - row), cols: cols.min(p.n - col) };
        if p.a.dtype == Dtype::F64 { multiply::<f64>(p, part) } else { multiply::<f32>(p, part) }
    })
}

struct Span {
    row: usize,
    col: usize,
    rows: usize,
    cols: usize,
}

/// Tiles large enough that packing does not matter, and enough of them for every thread.
fn tile(p: &Problem, cpu: &Cpu) -> (usize, usize) {
    let most = if p.is_plain() { usize::MAX / 2 } else { TILE };
    let (mut rows, mut cols) = (p.m.min(most), p.n.min(most));
    if p.work() < 2e6 {
        return (rows, cols);
    }
    while p.m.div_ceil(rows) * p.n.div_ceil(cols) < cpu.threads() && rows.max(cols) > 64 {
        let half = |size: usize| size.div_ceil(2).next_multiple_of(16);
        if rows >= cols { rows = half(rows) } else { cols = half(cols) }
    }
    (rows, cols)
}

fn multiply<R: Real>(p: &Problem, at: Span) -> Result<()> {
    if p.is_plain() {
        // SAFETY: the part is inside D and this call's alone; nothing else of the problem shares memory with D.
        unsafe { product(p, &at, p.d.ptr::<R>(at.row, at.col), p.d.row, p.d.col) };
        return Ok(());
    }
    let sums = Scratch::<R>::new(at.rows * at.cols)?;
    // SAFETY: the scratch holds `rows` rows of `cols` sums, written first and read then; the part is inside D.
    unsafe {
        product(p, &at, sums.ptr(), at.cols as isize, 1);
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

/// # Safety
///
/// `dst` with these strides is writable for the part; the problem's views are valid and hold `R`.
unsafe fn product<R: Real>(p: &Problem, at: &Span, dst: *mut R, row: isize, col: isize) {
    let (a, b) = (p.a.ptr::<R>(at.row, 0), p.b.ptr::<R>(0, at.col));
    // SAFETY: this function's contract; sizes and strides are those of the part.
    unsafe {
        ::gemm::gemm(
            at.rows,
            at.cols,
            p.k,
            dst,
            col,
            row,
            false,
            a,
            p.a.col,
            p.a.row,
            b,
            p.b.col,
            p.b.row,
            R::ZERO,
            R::from_f64(1.0),
            false,
            false,
            false,
            ::gemm::Parallelism::None,
        );
    }
}
