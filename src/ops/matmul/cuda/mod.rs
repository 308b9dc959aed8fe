//! The choices on a GPU, best first: `gemv` (one row or two, bandwidth), `cublaslt` (the vendor's library, where it is there and
//! has all that is asked for), `gemv` and `gemv_columns` (few rows), `wgmma` (half types on Hopper), `cublaslt` (to sums, which
//! are finished by a kernel of our own; or from copies of factors of 8 bits, which it takes only where they are contiguous along
//! k), `mma` (half types on the tensor cores), `simt` (anything: `full` is what it does that the other kernels do not).
//! Weights in blocks: `gemv` (few rows), `decoded` (decodes them for one of the others).

mod arguments;
mod blas;
mod blocks;
mod columns;
mod decoded;
mod epilogue;
mod fetch;
mod finish;
mod format;
mod full;
mod mma;
mod order;
mod panel;
mod product;
mod real;
mod rows;
mod scaling;
mod simt;
mod task;
mod turned;
mod turning;
mod wgmma;

use super::Matmul;
use crate::device::cuda::Stream;
use crate::dtype::Dtype;
use crate::op::{Choice, first};
use crate::ptx::{Kernel, Target, Text};
use crate::status::Result;
use arguments::Args;
use format::Format;
use simt::Form;
use task::Task;

const CHOICES: &[Choice<Task, Stream>] = &[
    Choice {
        name: "gemv",
        accepts: |task, stream| task.is_plain() && rows::is_fastest(task, stream),
        run: rows::run,
    },
    Choice { name: "cublaslt", accepts: turned::is_faster, run: turned::run },
    Choice { name: "cublaslt", accepts: blas::accepts, run: blas::run },
    Choice {
        name: "gemv",
        accepts: |task, stream| task.is_plain() && rows::accepts(task, stream),
        run: rows::run,
    },
    Choice {
        name: "gemv_columns",
        accepts: |task, stream| task.is_plain() && columns::accepts(task, stream),
        run: columns::run,
    },
    Choice { name: "wgmma", accepts: wgmma::accepts, run: wgmma::run },
    Choice { name: "cublaslt", accepts: blas::accepts_sums, run: blas::run_sums },
    Choice { name: "cublaslt", accepts: turned::accepts, run: turned::run },
    Choice { name: "wgmma", accepts: turned::accepts_hopper, run: turned::run_hopper },
    Choice {
        name: "mma",
        accepts: |task, stream| task.is_plain() && mma::accepts(task, stream),
        run: mma::run,
    },
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
    let task = Task::new(op);
    if op.d.layout().is_empty() {
        task.begin(stream)?;
        return task.end(stream, 0, 0);
    }
    if !op.b.dtype().is_quantised() {
        return first("matmul", CHOICES, &task, stream);
    }
    if task.extras.is_none() {
        return first("matmul", QUANTISED, &task, stream);
    }
    best(&decoded::in_full(task, stream)?, stream)
}

/// Of every kernel of the family, as text, what differs most: the specialisations with most registers of each type that sums
/// are computed in, and each way in which A and B can lie.
pub fn texts(target: Target) -> Vec<Result<Text>> {
    use Dtype::{Bf16, F16, F32, F64};
    let most = rows::ROWS[3];
    let rows = [[F64, F64], [F32, F16], [Bf16, F32]].map(|types| rows::write(target, types, most, None));
    let columns = [[F64, F64], [Bf16, Bf16]].map(|types| columns::write(target, types, most));
    let mma =
        [(F16, [true, false]), (Bf16, [false, true])].map(|(dtype, along)| mma::write(target, dtype, along));
    let finish = [F32, F64].map(|dtype| finish::write(target, dtype));
    let few = rows.into_iter().chain(columns).chain(blocks(target));
    few.chain(mma)
        .chain(finish)
        .map(|kernel| kernel.map(Text::from))
        .chain(simt_forms().map(|form| simt::write(target, form).map(Text::from)))
        .chain(full::texts(target))
        .chain(decoders(target))
        .chain(wgmma::texts(target))
        .chain(turning::texts(target))
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

/// Of the simple kernel, what differs most.
fn simt_forms() -> impl Iterator<Item = Form> {
    use Dtype::{Bf16, C32, C64, F8E4m3, F8E5m2, F16, F32, F64, I8, I32};
    let plain = [[F64, F64], [F32, Bf16], [F16, F16]];
    let full = [[F64, F64], [F32, F32], [F8E4m3, F8E5m2], [Bf16, Bf16], [C32, C32], [C64, C64]];
    let form = |types: [Dtype; 2], sum| Form { types, sum, scaled: false, full: true, columns: false };
    let sum = |types: [Dtype; 2]| real::sum_of(types[0], true);
    let plain = plain.map(|types| Form { full: false, ..form(types, sum(types)) });
    let full = full.map(|types| form(types, sum(types)));
    let columns = [[F64, F64], [F16, F16]].map(|types| Form { columns: true, ..form(types, sum(types)) });
    let scaled = [[F8E4m3, F8E4m3], [I8, I8]].map(|types| Form { scaled: true, ..form(types, F32) });
    let both = Form { scaled: true, columns: true, ..form([F8E5m2, F8E4m3], F32) };
    let whole = [I32, F32].map(|sum| form([I8, I8], sum));
    plain.into_iter().chain(full).chain(columns).chain(scaled).chain([both]).chain(whole)
}
