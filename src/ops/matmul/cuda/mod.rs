//! The choices on a GPU, best first: `gemv` (few rows, bandwidth), `cublaslt` (the vendor's library, where it is there),
//! `simt` (anything).

mod arguments;
mod blas;
mod columns;
mod finish;
mod real;
mod rows;
mod simt;

use super::Matmul;
use super::problem::Problem;
use crate::device::cuda::Stream;
use crate::dtype::Dtype;
use crate::op::{Choice, first};
use crate::ptx::{Target, Text};
use crate::status::Result;

/// A multiplication as a GPU sees it.
pub struct Task {
    pub problem: Problem,
    /// Whether f32 may be cut to TF32.
    pub tf32: bool,
}

const CHOICES: &[Choice<Task, Stream>] = &[
    Choice { name: "gemv", accepts: rows::accepts, run: rows::run },
    Choice { name: "gemv_columns", accepts: columns::accepts, run: columns::run },
    Choice { name: "cublaslt", accepts: blas::accepts, run: blas::run },
    Choice { name: "simt", accepts: |_, _| true, run: simt::run },
];

/// The types of A and B.
const FACTORS: [[Dtype; 2]; 6] = [
    [Dtype::F32, Dtype::F32],
    [Dtype::F64, Dtype::F64],
    [Dtype::F16, Dtype::F16],
    [Dtype::Bf16, Dtype::Bf16],
    [Dtype::F32, Dtype::F16],
    [Dtype::F32, Dtype::Bf16],
];

/// Queues a checked multiplication.
pub fn run(op: &Matmul, stream: &Stream) -> Result<()> {
    if op.d.layout().is_empty() {
        return Ok(());
    }
    first("matmul", CHOICES, &Task { problem: Problem::on_device(op), tf32: op.tf32 }, stream)
}

/// Every kernel of the family, as text.
pub fn texts(target: Target) -> Vec<Result<Text>> {
    let kernels = FACTORS.iter().flat_map(|types| {
        let simt = [simt::write(target, *types), finish::write(target, types[0])];
        let few = rows::ROWS.iter().map(|&rows| rows::write(target, *types, rows));
        let columns = rows::ROWS.iter().map(|&rows| columns::write(target, *types, rows));
        simt.into_iter().chain(few.chain(columns)).collect::<Vec<_>>()
    });
    let mut texts: Vec<Result<Text>> = kernels.map(|kernel| kernel.map(Text::from)).collect();
    // The last step is the same kernel for all types that sum up in f32.
    let mut seen = std::collections::HashSet::new();
    texts.retain(|text| text.as_ref().map_or(true, |text| seen.insert(text.name.clone())));
    texts
}
