//! gemv on CUDA: along rows or down columns, whichever lie nearer; in pieces where there are few rows.

use super::{grid, parts, step};
use crate::device::cuda::{Key, Stream};
use crate::kernels::gpu::Space;
use crate::op::{Choice, Operand};
use crate::ops::blas::gemv::Gemv;
use crate::ops::blas::ptx::gemv::{Args, Spec, columns, merge, rows};
use crate::ops::blas::ptx::{THREADS, with_part};
use crate::ops::blas::{DTYPES, is_complex};
use crate::ptx::{Kernel, Target, Text};
use crate::status::Result;

/// Best first.
pub(in crate::ops::blas) const CHOICES: &[Choice<Gemv, Stream>] = &[
    Choice { name: "columns", accepts: |op, _| is_down(op), run: run_columns },
    Choice { name: "rows", accepts: |_, _| true, run: run_rows },
];

/// Columns of a row that a warp sums by itself.
const SOME: u64 = 2048;
/// Blocks that sums are cut for, if there are the columns, and least columns of a piece.
const BLOCKS: u64 = 528;
const WIDE: u64 = 4096;
const NARROW: u64 = 128;
/// Rows of a tile down columns.
const TILE: u64 = 32;

/// Writes the kernel of a spec.
type Write = fn(Target, Spec) -> Result<Kernel<Args>>;

const ROWS: Write = |target, spec| with_part!(spec.dtype, R => rows::<R>(target, spec));
const COLUMNS: Write = |target, spec| with_part!(spec.dtype, R => columns::<R>(target, spec));
const MERGE: Write = |target, spec| with_part!(spec.dtype, R => merge::<R>(target, spec));

/// Whether the elements of a column lie nearer than those of a row.
fn is_down(op: &Gemv) -> bool {
    let (m, n) = op.sizes();
    let [row, col] = [1, 0].map(|axis| step(&op.a, axis).cast_signed().unsigned_abs());
    m > 1 && (n <= 1 || row < col)
}

fn run_rows(op: &Gemv, stream: &Stream) -> Result<()> {
    let n = op.sizes().1 as u64;
    let width = if n <= SOME { 32 } else { THREADS };
    let each = u64::from(THREADS / width);
    launch(op, stream, ("blas_gemv_rows", ROWS), width, (each, WIDE))
}

fn run_columns(op: &Gemv, stream: &Stream) -> Result<()> {
    launch(op, stream, ("blas_gemv_columns", COLUMNS), 1, (TILE, NARROW))
}

/// A kernel whose blocks have `each` rows at once, and pieces at least `least` columns; then the joining of pieces.
fn launch(
    op: &Gemv,
    stream: &Stream,
    (name, write): (&'static str, Write),
    width: u32,
    (each, least): (u64, u64),
) -> Result<()> {
    let args = arguments(op, each, least);
    let spec = Spec { dtype: op.y.dtype(), width, conjugate: op.conjugate, partial: args.pieces > 1 };
    let sums = args.matrices * args.pieces * args.m * spec.dtype.size() as u64;
    let sums = if spec.partial { stream.scratch(sums as usize)? } else { 0 };
    let args = Args { sums, ..args };
    let kernel = stream.kernel(Key(name, spec.words()), |target| write(target, spec))?;
    // SAFETY: the operands were checked; the scratch memory has a sum for every row of every piece.
    unsafe { kernel.launch(stream, grid(args.m.div_ceil(each), args.matrices * args.pieces), &args)? };
    if !spec.partial {
        return Ok(());
    }
    let spec = Spec { width: 1, conjugate: false, partial: false, ..spec };
    let kernel = stream.kernel(Key("blas_gemv_merge", spec.words()), |target| MERGE(target, spec))?;
    let rows = args.matrices * args.m;
    // SAFETY: as above.
    unsafe { kernel.launch(stream, grid(rows.div_ceil(u64::from(THREADS)), 1), &args) }
}

fn arguments(op: &Gemv, each: u64, least: u64) -> Args {
    let outer = |operand: &Operand, axes: usize| operand.layout().split(axes).0;
    let batch = Space::new([&outer(&op.a, 2), &outer(&op.x, 1), &outer(&op.y, 1)]);
    let ((m, n), matrices) = (op.sizes(), batch.count());
    let (m, n) = (m as u64, n as u64);
    let units = matrices * m.div_ceil(each);
    let pieces = BLOCKS.div_ceil(units).min(n / least).max(1);
    let length = n.div_ceil(pieces).max(1);
    Args {
        at: [op.a.at(), op.x.at(), op.y.at()],
        strides: [step(&op.a, 1), step(&op.a, 0)],
        steps: [step(&op.x, 0), step(&op.y, 0)],
        m,
        n,
        pieces: n.div_ceil(length).max(1),
        length,
        matrices,
        sums: 0,
        alpha: parts(op.alpha),
        beta: parts(op.beta),
        reads: u32::from(!op.beta.is_zero()),
        batch: batch.words(),
    }
}

/// Kernels of every kind, for the tests.
pub fn texts(target: Target) -> Vec<Result<Text>> {
    let kinds = |dtype| {
        let conjugates = [false, true].into_iter().filter(move |&conjugate| is_complex(dtype) || !conjugate);
        let specs = conjugates.flat_map(move |conjugate| {
            [false, true].map(|partial| Spec { dtype, width: 1, conjugate, partial })
        });
        specs.flat_map(|spec| {
            let [narrow, wide] = [32, THREADS].map(|width| Spec { width, ..spec });
            [(COLUMNS, spec), (ROWS, narrow), (ROWS, wide), (MERGE, spec)]
        })
    };
    let all = DTYPES.iter().flat_map(|&dtype| kinds(dtype));
    all.map(|(write, spec)| write(target, spec).map(Text::from)).collect()
}
