//! On CUDA: a file an operation, with its choices and launches. Where work is cut depends on shape and strides alone.

pub mod fold;
pub mod gemv;
pub mod ger;
pub mod syrk;
pub mod trsm;
pub mod update;

use super::factor::Factor;
use crate::op::Operand;
use crate::ptx::{Target, Text};
use crate::status::Result;

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

/// The device's address `elements` behind an operand's first.
fn address(operand: &Operand, elements: isize) -> u64 {
    operand.at().wrapping_add(elements.wrapping_mul(operand.dtype().size() as isize) as u64)
}

/// As arguments.
fn parts(factor: Factor) -> [f64; 2] {
    [factor.re, factor.im]
}

/// Kernels of every kind, for the tests.
#[doc(hidden)]
pub fn texts(target: Target) -> Vec<Result<Text>> {
    let families = [update::texts, fold::texts, gemv::texts, ger::texts, syrk::texts, trsm::texts];
    families.iter().flat_map(|texts| texts(target)).collect()
}
