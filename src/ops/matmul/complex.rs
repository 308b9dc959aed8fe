//! Complex matrices: the product by the crate `gemm` on tiles of D, or each element by its definition; then
//! alpha x + beta C + bias.

use super::cpu::try_parallel;
use super::gemm::{Span, product};
use super::problem::{Problem, View};
use crate::device::{Cpu, cpu::Scratch};
use crate::dtype::Dtype;
use crate::status::Result;
use ::gemm::{c32, c64};
use std::ops::{Add, Mul};

/// Rows and columns of a tile.
const TILE: usize = 192;
/// Rough multiplications with addition a nanosecond.
const RATE: f64 = 6.0;

/// A complex number.
trait Complex: Copy + Add<Output = Self> + Mul<Output = Self> + 'static {
    fn of(real: f64, imaginary: f64) -> Self;
    fn conjugate(self) -> Self;
}

macro_rules! complex {
    ($($type:ty: $real:ty;)*) => {$(
        impl Complex for $type {
            fn of(real: f64, imaginary: f64) -> Self {
                Self { re: real as $real, im: imaginary as $real }
            }
            #[inline(always)]
            fn conjugate(self) -> Self {
                Self { re: self.re, im: -self.im }
            }
        }
    )*};
}
complex! { c32: f32; c64: f64; }

/// Whether there is something to multiply.
pub fn accepts(p: &Problem, _: &Cpu) -> bool {
    p.k > 0
}

/// Multiplies one matrix.
pub fn run(p: &Problem, cpu: &Cpu) -> Result<()> {
    match p.a.dtype {
        Dtype::C64 => tiles::<c64>(p, cpu),
        _ => tiles::<c32>(p, cpu),
    }
}

/// The same cut whatever the number of threads: the crate adds up in an order of its own for each shape.
fn tiles<C: Complex>(p: &Problem, cpu: &Cpu) -> Result<()> {
    let (rows, cols) = (p.m.min(TILE), p.n.min(TILE));
    let across = p.n.div_ceil(cols);
    try_parallel(cpu, p.m.div_ceil(rows) * across, (p.work() / RATE) as u64, |tile| {
        let (row, col) = (tile / across * rows, tile % across * cols);
        multiply::<C>(p, Span { row, col, rows: rows.min(p.m - row), cols: cols.min(p.n - col) })
    })
}

fn multiply<C: Complex>(p: &Problem, at: Span) -> Result<()> {
    let numbers = [C::of(0.0, 0.0), C::of(1.0, 0.0)];
    if p.is_plain() && p.after.imaginary[0] == 0.0 {
        let d = (p.d.ptr(at.row, at.col), p.d.row, p.d.col);
        // SAFETY: the part is inside D and this call's alone; nothing else of the problem shares memory with D.
        unsafe { product(p, at, numbers, p.conjugate, d) };
        return Ok(());
    }
    let sums = Scratch::<C>::new(at.rows * at.cols)?;
    // SAFETY: the scratch holds `rows` rows of `cols` sums, written first and read then; the part is inside D.
    unsafe {
        product(p, at, numbers, p.conjugate, (sums.ptr(), at.cols as isize, 1));
        finish(p, at, |i, j| sums.ptr().add(i * at.cols + j).read());
    }
    Ok(())
}

/// Writes a part of D of the sums that `sum` gives.
///
/// # Safety
///
/// The part is inside D, and this call's alone.
unsafe fn finish<C: Complex>(p: &Problem, at: Span, sum: impl Fn(usize, usize) -> C) {
    let alpha = C::of(p.after.alpha, p.after.imaginary[0]);
    let beta = C::of(p.after.beta, p.after.imaginary[1]);
    // SAFETY: this function's contract: the element exists.
    let of = |view: &View, i: usize, j: usize| unsafe { view.ptr::<C>(at.row + i, at.col + j).read() };
    let plain = p.after.alpha == 1.0 && p.after.imaginary[0] == 0.0;
    for i in 0..at.rows {
        for j in 0..at.cols {
            let mut x = if plain { sum(i, j) } else { alpha * sum(i, j) };
            if let Some(c) = &p.c {
                x = x + beta * of(c, i, j);
            }
            if let Some(bias) = &p.bias {
                x = x + of(bias, i, j);
            }
            // SAFETY: as above.
            unsafe { p.d.ptr::<C>(at.row + i, at.col + j).write(x) };
        }
    }
}

/// Multiplies one matrix, each element by its definition.
pub fn naive(p: &Problem, cpu: &Cpu) -> Result<()> {
    match p.a.dtype {
        Dtype::C64 => rows::<c64>(p, cpu),
        _ => rows::<c32>(p, cpu),
    }
    Ok(())
}

fn rows<C: Complex>(p: &Problem, cpu: &Cpu) {
    let item = p.n as f64 * p.k.max(1) as f64 * 4.0;
    cpu.parallel_ranges(p.m, item, |from, to| {
        let part = Span { row: from, col: 0, rows: to - from, cols: p.n };
        // SAFETY: these rows of D are this call's alone.
        unsafe { finish(p, part, |i, j| dot::<C>(p, from + i, j)) };
    });
}

fn dot<C: Complex>(p: &Problem, i: usize, j: usize) -> C {
    let conjugated = |x: C, too: bool| if too { x.conjugate() } else { x };
    (0..p.k).fold(C::of(0.0, 0.0), |sum, k| {
        // SAFETY: elements (i, k) of A and (k, j) of B exist.
        let (a, b) = unsafe { (p.a.ptr::<C>(i, k).read(), p.b.ptr::<C>(k, j).read()) };
        sum + conjugated(a, p.conjugate[0]) * conjugated(b, p.conjugate[1])
    })
}
