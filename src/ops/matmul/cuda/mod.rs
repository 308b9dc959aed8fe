//! The choices on a GPU, best first: `gemv` (one row or two, bandwidth), `cublaslt` (the vendor's library, where it is there),
//! `gemv` and `gemv_columns` (few rows), `wgmma` (half types on Hopper), `mma` (half types on the tensor cores), `simt` (anything).
//! Weights in blocks: `gemv` (few rows), `decoded` (decodes them for one of the others).

mod arguments;
mod blas;
mod blocks;
mod columns;
mod decoded;
mod finish;
mod format;
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
use crate::ptx::{Kernel, Target, Text};
use crate::status::Result;
use arguments::Args;
use format::Format;

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
    Choice { name: "mma", accepts: mma::accepts, run: mma::run },
    Choice { name: "simt", accepts: |_, _| true, run: simt::run },
];

/// Those for weights in blocks.
const QUANTISED: &[Choice<Task, Stream>] = &[
    Choice { name: "gemv", accepts: rows::accepts, run: rows::run },
    Choice { name: "decoded", accepts: |_, _| true, run: decoded::run },
];

/// Queues what is left to do once weights are decoded, by the best choice.
fn best(task: &Task, stream: &Stream) -> Result<()> {
    let choice = CHOICES.iter().find(|choice| (choice.accepts)(task, stream));
    choice.map_or(Ok(()), |choice| (choice.run)(task, stream))
}

/// Queues a checked multiplication.
pub fn run(op: &Matmul, stream: &Stream) -> Result<()> {
    if op.d.layout().is_empty() {
        return Ok(());
    }
    let choices = if op.b.dtype().is_quantised() { QUANTISED } else { CHOICES };
    first("matmul", choices, &Task { problem: Problem::on_device(op), tf32: op.tf32 }, stream)
}

/// Of every kernel of the family, as text, what differs most: the specialisations with most registers of each type that sums
/// are computed in, and each way in which A and B can lie.
pub fn texts(target: Target) -> Vec<Result<Text>> {
    use Dtype::{Bf16, F16, F32, F64};
    let most = rows::ROWS[3];
    let simt = [[F64, F64], [F32, Bf16], [F16, F16]].map(|types| simt::write(target, types));
    let rows = [[F64, F64], [F32, F16], [Bf16, F32]].map(|types| rows::write(target, types, most, None));
    let columns = [[F64, F64], [Bf16, Bf16]].map(|types| columns::write(target, types, most));
    let mma =
        [(F16, [true, false]), (Bf16, [false, true])].map(|(dtype, along)| mma::write(target, dtype, along));
    let finish = [F32, F64].map(|dtype| finish::write(target, dtype));
    let few = rows.into_iter().chain(columns).chain(blocks(target));
    simt.into_iter()
        .chain(few)
        .chain(mma)
        .chain(finish)
        .map(|kernel| kernel.map(Text::from))
        .chain(decoders(target))
        .chain(wgmma::texts(target))
        .collect()
}

/// The kernels for few rows of weights in blocks.
fn blocks(target: Target) -> impl Iterator<Item = Result<Kernel<Args>>> {
    let write = move |(dtype, a, rows, aligned)| {
        rows::write(target, [a, dtype], rows, Some(Format::new(dtype, aligned)))
    };
    use Dtype::{Bf16, F16, F32, Q4_0, Q4_1, Q4K, Q6K, Q8_0};
    let all = [Q8_0, Q4_0, Q4_1, Q4K, Q6K].map(|dtype| (dtype, F32, rows::ROWS[3], false));
    let others = [(Q8_0, F16, 1, false), (Q4_1, Bf16, 2, true), (Q4K, Bf16, 4, true), (Q6K, F16, 8, false)];
    all.into_iter().chain(others).map(write)
}

/// Those that decode them.
fn decoders(target: Target) -> Vec<Result<Text>> {
    use Dtype::{Bf16, F16, F32, Q4_0, Q4_1, Q4K, Q6K, Q8_0};
    let write =
        |(dtype, aligned, to)| decoded::write(target, dtype, Format::new(dtype, aligned), to).map(Text::from);
    let kinds =
        [(Q8_0, false, F32), (Q4_0, false, Bf16), (Q4_1, true, F32), (Q4K, true, Bf16), (Q4K, false, F32)];
    let copies = [[F16, F32], [F32, Bf16]].map(|types| decoded::write_copy(target, types).map(Text::from));
    kinds.map(write).into_iter().chain([write((Q6K, false, F32))]).chain(copies).collect()
}
