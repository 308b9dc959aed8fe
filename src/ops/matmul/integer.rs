//! WEFT_I8 times WEFT_I8: what becomes of sums in i32, and each element by its definition. All wraps modulo 2^32.

use super::WEFT_EPILOGUE_RELU;
use super::element::Real;
use super::finish::{self, Part};
use super::problem::{Problem, View};
use crate::device::Cpu;
use crate::dtype::Dtype;
use crate::for_each_isa;
use crate::status::Result;

const RUN: usize = 64;

/// Makes f32 of the bits of `count` sums in i32.
///
/// # Safety
///
/// `sums` holds as many.
pub unsafe fn widen(sums: *mut f32, count: usize) {
    convert(sums, count);
}

for_each_isa! {
    fn convert(sums: *mut f32, count: usize) {
        // SAFETY: the contract of `widen`, the only caller.
        let sums = unsafe { std::slice::from_raw_parts_mut(sums, count) };
        sums.iter_mut().for_each(|sum| *sum = sum.to_bits().cast_signed() as f32);
    }
}

/// Writes a part of D: act(alpha x + beta C + bias).
///
/// # Safety
///
/// As for [`finish::finish`].
pub unsafe fn finish(p: &Problem, part: Part<i32>) {
    let plain = p.is_plain() && p.d.col == 1;
    for i in 0..part.rows {
        let (from, row) = (part.sums.wrapping_add(i * part.stride), part.row + i);
        for j in (0..part.cols).step_by(RUN) {
            let (count, col) = (RUN.min(part.cols - j), part.col + j);
            // SAFETY: `count` sums, and as many elements of D that are this call's: the caller's.
            unsafe {
                if plain {
                    std::ptr::copy_nonoverlapping(from.add(j), p.d.ptr::<i32>(row, col), count);
                    continue;
                }
                let mut x = [0; RUN];
                std::ptr::copy_nonoverlapping(from.add(j), x.as_mut_ptr(), count);
                run(p, row, col, &mut x[..count]);
            }
        }
    }
}

/// # Safety
///
/// As many elements of D from (row, col) exist and are this call's.
unsafe fn run(p: &Problem, row: usize, col: usize, x: &mut [i32]) {
    // Whole numbers of 32 bits: checked.
    let (alpha, beta) = (p.after.alpha as i32, p.after.beta as i32);
    // SAFETY: this function's contract.
    let of = |view: &View, j: usize| unsafe { view.ptr::<i32>(row, col + j).read() };
    for (j, x) in x.iter_mut().enumerate() {
        let c = p.c.as_ref().map_or(0, |c| of(c, j).wrapping_mul(beta));
        let bias = p.bias.as_ref().map_or(0, |bias| of(bias, j));
        let value = x.wrapping_mul(alpha).wrapping_add(c).wrapping_add(bias);
        let value = if p.after.epilogue == WEFT_EPILOGUE_RELU { value.max(0) } else { value };
        // SAFETY: as above.
        unsafe { p.d.ptr::<i32>(row, col + j).write(value) };
    }
}

/// Multiplies one matrix, each element by its definition.
pub fn naive(p: &Problem, cpu: &Cpu) -> Result<()> {
    let item = p.n as f64 * p.k.max(1) as f64;
    cpu.parallel_ranges(p.m, item, |from, to| (from..to).for_each(|i| row(p, i)));
    Ok(())
}

fn row(p: &Problem, i: usize) {
    for col in (0..p.n).step_by(RUN) {
        let cols = RUN.min(p.n - col);
        let part = Part { row: i, col, rows: 1, cols, sums: std::ptr::null::<i32>(), stride: RUN };
        // SAFETY: columns col to col + cols of row i, which is this call's alone; there are as many sums.
        unsafe {
            if p.d.dtype == Dtype::I32 {
                let sums: [i32; RUN] = std::array::from_fn(|j| if j < cols { dot(p, i, col + j) } else { 0 });
                finish(p, part.of(sums.as_ptr()));
            } else {
                let sums: [f32; RUN] =
                    std::array::from_fn(|j| if j < cols { scaled_dot(p, i, col + j) } else { 0.0 });
                finish::finish(&p.scaled_before(true), part.of(sums.as_ptr()));
            }
        }
    }
}

fn product(p: &Problem, i: usize, j: usize, k: usize) -> i32 {
    // SAFETY: elements (i, k) of A and (k, j) of B exist.
    let (a, b) = unsafe { (p.a.ptr::<i8>(i, k).read(), p.b.ptr::<i8>(k, j).read()) };
    i32::from(a) * i32::from(b)
}

fn dot(p: &Problem, i: usize, j: usize) -> i32 {
    (0..p.k).fold(0, |sum: i32, k| sum.wrapping_add(product(p, i, j, k)))
}

/// In f64, whose sums of products of i8 are exact.
fn scaled_dot(p: &Problem, i: usize, j: usize) -> f32 {
    let factor = |k: usize| super::naive::scale::<f64>(p, i, j, k);
    (0..p.k).fold(f64::ZERO, |sum, k| sum + f64::from(product(p, i, j, k)) * factor(k)) as f32
}
