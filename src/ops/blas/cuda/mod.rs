//! On CUDA: a file an operation, with its choices and launches. Where work is cut depends on shape and strides alone.

pub mod fold;
pub mod gemv;
pub mod ger;
mod product;
pub mod syrk;
pub mod trsm;
pub mod update;

use super::factor::Factor;
use super::{DTYPES, is_complex};
use crate::dtype::Dtype;
use crate::kernels::gpu::Space;
use crate::op::Operand;
use crate::ptx::{Target, Text};
use crate::status::Result;
use product::View;

/// Blocks along the first axis of a grid, and along the second, at the most: kernels go on from there.
const MOST: [u64; 2] = [1 << 20, 1 << 15];

/// A grid for so many units, and matrices of them.
fn grid(units: u64, matrices: u64) -> [u32; 3] {
    [units.clamp(1, MOST[0]) as u32, matrices.clamp(1, MOST[1]) as u32, 1]
}

/// A stride of an axis counted from the last, in bytes; it wraps where it is negative.
fn step(operand: &Operand, from_last: usize) -> u64 {
    let layout = operand.layout();
    layout.stride(layout.rank() - 1 - from_last).wrapping_mul(operand.dtype().size() as isize) as u64
}

/// Whether the last axis, or that before it (`axis` from the last, 1 the last), lies element by element, and every line of it
/// begins at a multiple of 16 bytes: what is read and written in groups.
fn is_packed(operand: &Operand, axis: usize) -> bool {
    let (layout, lanes) = (operand.layout(), 16 / operand.dtype().size());
    let along = layout.rank() - axis;
    let aligned =
        |other: usize| layout.dim(other) == 1 || layout.stride(other).unsigned_abs().is_multiple_of(lanes);
    let lines = (0..layout.rank()).filter(|&other| other != along).all(aligned);
    layout.stride(along) == 1 && lines && operand.at().is_multiple_of(16)
}

/// The device's address `elements` behind an operand's first.
fn address(operand: &Operand, elements: isize) -> u64 {
    operand.at().wrapping_add(elements.wrapping_mul(operand.dtype().size() as isize) as u64)
}

/// The last two axes of an operand, `skipped` elements behind its origin, as a block.
fn block(operand: &Operand, skipped: isize) -> View {
    let layout = operand.layout();
    let [row, col] = [2, 1].map(|axis| layout.stride(layout.rank() - axis));
    View { at: address(operand, skipped), row, col, batch: 0 }
}

/// The batch axes of two operands as one, if they are: how many matrices, and elements from each to the next.
fn one_batch(space: &Space<2>) -> Option<(usize, [isize; 2])> {
    match space.rank() {
        0 => Some((1, [0; 2])),
        1 => Some((space.count() as usize, [0, 1].map(|n| space.strides(n).next().unwrap_or(0)))),
        _ => None,
    }
}

/// As arguments.
fn parts(factor: Factor) -> [f64; 2] {
    [factor.re, factor.im]
}

/// Each dtype with each choice of one of two factors to be conjugated, or none; for the tests.
fn pairs() -> impl Iterator<Item = (Dtype, [bool; 2])> {
    let all = [[false; 2], [true, false], [false, true]];
    let of = move |&dtype| {
        let some = all.into_iter().filter(move |&which| is_complex(dtype) || which == [false; 2]);
        some.map(move |which| (dtype, which))
    };
    DTYPES.iter().flat_map(of)
}

/// The same of a single factor.
fn singles() -> impl Iterator<Item = (Dtype, bool)> {
    pairs().filter(|(_, which)| !which[1]).map(|(dtype, which)| (dtype, which[0]))
}

/// Kernels of every kind, for the tests.
#[doc(hidden)]
pub fn texts(target: Target) -> Vec<Result<Text>> {
    let families = [update::texts, fold::texts, gemv::texts, ger::texts, syrk::texts, trsm::texts];
    families.iter().flat_map(|texts| texts(target)).collect()
}
