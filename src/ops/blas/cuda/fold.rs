//! dot, nrm2, asum and iamax on CUDA: one launch, or two where vectors are cut into pieces.

use super::{grid, is_packed, step};
use crate::device::cuda::{Key, Stream};
use crate::dtype::Dtype::{self, *};
use crate::kernels::gpu::Space;
use crate::op::{Choice, Operand};
use crate::ops::blas::DTYPES;
use crate::ops::blas::fold::{Fold, Measure};
use crate::ops::blas::ptx::fold::{Args, Spec, merge, write};
use crate::ops::blas::ptx::{THREADS, lanes, with_part};
use crate::ptx::{Kernel, Target, Text};
use crate::status::Result;

/// Best first.
pub(in crate::ops::blas) const CHOICES: &[Choice<Fold, Stream>] =
    &[Choice { name: "pieces", accepts: |_, _| true, run }];

/// Elements of a vector that a warp folds by itself: of a few vectors, and of many.
const SOME: [u64; 2] = [128, 1024];
/// Blocks that vectors are cut for, if they have the elements, and least elements of a piece.
const BLOCKS: u64 = 1056;
const PIECE: u64 = 8192;
/// Elements, or groups of them, that a thread has under way.
const AHEAD: u64 = 4;

/// Writes the kernel of a spec.
type Write = fn(Target, Spec) -> Result<Kernel<Args>>;

const FOLD: Write = |target, spec| with_part!(spec.dtype, R => write::<R>(target, spec));
const MERGE: Write = |target, spec| with_part!(spec.dtype, R => merge::<R>(target, spec));

fn run(op: &Fold, stream: &Stream) -> Result<()> {
    let (args, spec) = (arguments(op), spec(op));
    let some = SOME[usize::from(args.vectors >= BLOCKS)];
    let spec = Spec { width: if args.count <= some { 32 } else { THREADS }, ..spec };
    let units = args.vectors * args.pieces;
    if args.pieces == 1 {
        let each = u64::from(THREADS / spec.width);
        return launch(stream, ("blas_fold", FOLD), spec, &args, units.div_ceil(each));
    }
    let states = stream.scratch((units * u64::from(spec.states())) as usize * 8)?;
    let args = Args { states, ..args };
    launch(stream, ("blas_fold", FOLD), Spec { partial: true, ..spec }, &args, units)?;
    launch(stream, ("blas_fold_merge", MERGE), Spec { width: 32, ..spec }, &args, args.vectors.div_ceil(8))
}

fn launch(
    stream: &Stream,
    (name, write): (&'static str, Write),
    spec: Spec,
    args: &Args,
    blocks: u64,
) -> Result<()> {
    let kernel = stream.kernel(Key(name, spec.words()), |target| write(target, spec))?;
    // SAFETY: the operands were checked; the scratch memory has a running value for every piece.
    unsafe { kernel.launch(stream, grid(blocks, 1), args) }
}

fn spec(op: &Fold) -> Spec {
    Spec {
        measure: op.measure,
        dtype: op.x.dtype(),
        result: op.result.dtype(),
        width: THREADS,
        conjugate: op.conjugate,
        partial: false,
        packed: [&op.x, &op.y].iter().all(|operand| is_packed(operand, 1)),
    }
}

fn arguments(op: &Fold) -> Args {
    let outer = |operand: &Operand| operand.layout().split(1).0;
    let batch = Space::new([&outer(&op.x), &outer(&op.y), op.result.layout()]);
    let (count, vectors) = (op.count() as u64, batch.count());
    let pieces = BLOCKS.div_ceil(vectors).min(count / PIECE).max(1);
    // Whole turns of whole blocks, so that threads end together.
    let turn = AHEAD * u64::from(THREADS * lanes(op.x.dtype()));
    let length = count.div_ceil(pieces).max(1).next_multiple_of(turn);
    Args {
        at: [op.x.at(), op.y.at(), op.result.at()],
        steps: [step(&op.x, 0), step(&op.y, 0)],
        count,
        pieces: count.div_ceil(length).max(1),
        length,
        vectors,
        states: 0,
        batch: batch.words(),
    }
}

/// Kernels of every kind, for the tests.
pub fn texts(target: Target) -> Vec<Result<Text>> {
    let specs = DTYPES.iter().flat_map(|&dtype| specs(dtype));
    let all = specs.flat_map(|spec| {
        let whole = Spec { width: THREADS, packed: true, ..spec };
        let partial = Spec { partial: true, ..whole };
        let loose = Spec { packed: false, ..partial };
        [(FOLD, spec), (FOLD, whole), (FOLD, partial), (FOLD, loose), (MERGE, spec)]
    });
    all.map(|(write, spec)| write(target, spec).map(Text::from)).collect()
}

/// Each measure of vectors of a dtype.
fn specs(dtype: Dtype) -> Vec<Spec> {
    let real = if matches!(dtype, F32 | C32) { F32 } else { F64 };
    let complex = matches!(dtype, C32 | C64);
    let spec = |measure, result, conjugate| {
        let (width, partial, packed) = (32, false, false);
        Spec { measure, dtype, result, width, conjugate, partial, packed }
    };
    let dots = [false, true].into_iter().filter(|&conjugate| complex || !conjugate);
    let dots = dots.map(|conjugate| spec(Measure::Dot, dtype, conjugate));
    let others = [(Measure::Nrm2, real), (Measure::Asum, real), (Measure::Iamax, I32), (Measure::Iamax, I64)];
    dots.chain(others.map(|(measure, result)| spec(measure, result, false))).collect()
}
