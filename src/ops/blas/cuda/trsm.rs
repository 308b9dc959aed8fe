//! trsm on CUDA: rows are solved some at a time, and subtracted from those below by tiles of a product.

use super::{address, grid, parts, step};
use crate::device::cuda::{Key, Stream};
use crate::fail;
use crate::kernels::gpu::Space;
use crate::op::{Choice, Operand};
use crate::ops::blas::ptx::trsm::{Args, SIDE, Spec, solve, update};
use crate::ops::blas::ptx::{edge, with_part};
use crate::ops::blas::trsm::Trsm;
use crate::ops::blas::{DTYPES, is_complex};
use crate::ptx::{Kernel, Target, Text};
use crate::status::Result;

/// Best first.
pub(in crate::ops::blas) const CHOICES: &[Choice<Trsm, Stream>] =
    &[Choice { name: "blocks", accepts: |_, _| true, run }];

/// Rows that are solved before they are subtracted from those below.
const ROWS: u64 = 128;

/// Writes the kernel of a spec.
type Write = fn(Target, Spec) -> Result<Kernel<Args>>;

const SOLVE: Write = |target, spec| with_part!(spec.dtype, R => solve::<R>(target, spec));
const UPDATE: Write = |target, spec| with_part!(spec.dtype, R => update::<R>(target, spec));

fn run(op: &Trsm, stream: &Stream) -> Result<()> {
    let spec = Spec { dtype: op.b.dtype(), conjugate: op.conjugate, unit: op.unit };
    let args = arguments(op);
    let groups = tiles(op, args.sides.div_ceil(u64::from(SIDE)))?;
    let edge = u64::from(edge(spec.dtype));
    let across = args.sides.div_ceil(edge);
    for begin in (0..args.order).step_by(ROWS as usize) {
        // What is below is multiplied with alpha by the first update.
        let alpha = if begin == 0 { args.alpha } else { [1.0, 0.0] };
        let args = Args { begin, end: (begin + ROWS).min(args.order), alpha, ..args };
        launch(stream, ("blas_trsm_solve", SOLVE), spec, &Args { tiles: [groups, 1], ..args })?;
        if args.end < args.order {
            let all = tiles(op, (args.order - args.end).div_ceil(edge) * across)?;
            launch(
                stream,
                ("blas_trsm_update", UPDATE),
                spec,
                &Args { tiles: [all, across as u32], ..args },
            )?;
        }
    }
    Ok(())
}

fn launch(stream: &Stream, (name, write): (&'static str, Write), spec: Spec, args: &Args) -> Result<()> {
    let kernel = stream.kernel(Key(name, spec.words()), |target| write(target, spec))?;
    // SAFETY: the operands were checked; blocks end where the matrices do.
    unsafe { kernel.launch(stream, grid(u64::from(args.tiles[0]), args.matrices), args) }
}

/// A number of tiles that a kernel can count to.
fn tiles(op: &Trsm, tiles: u64) -> Result<u32> {
    if tiles >= 1 << 31 {
        fail!(WEFT_ERROR_UNSUPPORTED, "trsm: {} has {tiles} tiles; at most 2^31 - 1 are supported", op.b);
    }
    Ok(tiles as u32)
}

fn arguments(op: &Trsm) -> Args {
    let outer = |operand: &Operand| operand.layout().split(2).0;
    let batch = Space::new([&outer(&op.a), &outer(&op.b)]);
    let (order, sides) = op.sizes();
    Args {
        at: [address(&op.a, op.start[0]), address(&op.b, op.start[1])],
        rows: [step(&op.a, 1), step(&op.b, 1)],
        columns: [step(&op.a, 0), step(&op.b, 0)],
        order: order as u64,
        sides: sides as u64,
        begin: 0,
        end: 0,
        tiles: [0; 2],
        matrices: batch.count(),
        alpha: parts(op.alpha),
        batch: batch.words(),
    }
}

/// Kernels of every kind, for the tests.
pub fn texts(target: Target) -> Vec<Result<Text>> {
    let kinds = |&dtype| {
        let conjugates = [false, true].into_iter().filter(move |&conjugate| is_complex(dtype) || !conjugate);
        conjugates.flat_map(move |conjugate| [false, true].map(|unit| Spec { dtype, conjugate, unit }))
    };
    let specs = DTYPES.iter().flat_map(kinds);
    specs.flat_map(|spec| [SOLVE, UPDATE].map(|write| write(target, spec).map(Text::from))).collect()
}
