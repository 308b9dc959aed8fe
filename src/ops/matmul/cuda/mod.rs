//! The choices on a GPU, best first: `gemv` (one row or two, bandwidth), `cublaslt` (the vendor's library, where it is there and
//! has all that is asked for), `gemv` and `gemv_columns` (few rows), `wgmma` (half types on Hopper), `cublaslt` (to sums, which
//! are finished by a kernel of our own), `mma` (half types on the tensor cores), `simt` (anything).

mod arguments;
mod blas;
mod columns;
mod finish;
mod mma;
mod order;
mod panel;
mod real;
mod rows;
mod simt;
mod wgmma;

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
    Choice { name: "gemv", accepts: rows::is_fastest, run: rows::run },
    Choice { name: "cublaslt", accepts: blas::accepts, run: blas::run },
    Choice { name: "gemv", accepts: rows::accepts, run: rows::run },
    Choice { name: "gemv_columns", accepts: columns::accepts, run: columns::run },
    Choice { name: "wgmma", accepts: wgmma::accepts, run: wgmma::run },
    Choice { name: "cublaslt", accepts: blas::accepts_sums, run: blas::run_sums },
    Choice { name: "mma", accepts: mma::accepts, run: mma::run },
    Choice { name: "simt", accepts: |_, _| true, run: simt::run },
];

/// Queues a checked multiplication.
pub fn run(op: &Matmul, stream: &Stream) -> Result<()> {
    if op.d.layout().is_empty() {
        return Ok(());
    }
    first("matmul", CHOICES, &Task { problem: Problem::on_device(op), tf32: op.tf32 }, stream)
}

/// Of every kernel of the family, as text, what differs most: the specialisations with most registers of each type that sums
/// are computed in, and each way in which A and B can lie.
pub fn texts(target: Target) -> Vec<Result<Text>> {
    use Dtype::{Bf16, F16, F32, F64};
    let most = rows::ROWS[3];
    let simt = [[F64, F64], [F32, Bf16], [F16, F16]].map(|types| simt::write(target, types));
    let rows = [[F64, F64], [F32, F16], [Bf16, F32]].map(|types| rows::write(target, types, most));
    let columns = [[F64, F64], [Bf16, Bf16]].map(|types| columns::write(target, types, most));
    let mma =
        [(F16, [true, false]), (Bf16, [false, true])].map(|(dtype, along)| mma::write(target, dtype, along));
    let finish = [F32, F64].map(|dtype| finish::write(target, dtype));
    let few = rows.into_iter().chain(columns);
    simt.into_iter()
        .chain(few)
        .chain(mma)
        .chain(finish)
        .map(|kernel| kernel.map(Text::from))
        .chain(wgmma::texts(target))
        .collect()
}
