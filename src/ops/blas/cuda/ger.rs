//! ger on CUDA: one launch of tiles; A is turned so that its rows' elements lie nearer.

use super::{grid, is_packed, pairs, parts, step};
use crate::device::cuda::{Key, Stream};
use crate::fail;
use crate::kernels::gpu::Space;
use crate::op::{Choice, Operand};
use crate::ops::blas::ger::Ger;
use crate::ops::blas::ptx::ger::{Args, Spec, write};
use crate::ops::blas::ptx::{lanes, with_part};
use crate::ptx::{Kernel, Target, Text};
use crate::status::Result;

/// Best first.
pub(in crate::ops::blas) const CHOICES: &[Choice<Ger, Stream>] =
    &[Choice { name: "tiles", accepts: |_, _| true, run }];

const WRITE: fn(Target, Spec) -> Result<Kernel<Args>> =
    |target, spec| with_part!(spec.dtype, R => write::<R>(target, spec));

fn run(op: &Ger, stream: &Stream) -> Result<()> {
    let rank = op.a.dims().len();
    let [row, col] = [1, 0].map(|axis| step(&op.a, axis));
    let [rows, columns] = [rank - 2, rank - 1].map(|axis| op.a.layout().dim(axis) as u64);
    let reach = |step: u64| step.cast_signed().unsigned_abs();
    let turned = columns == 1 || (rows != 1 && reach(row) < reach(col));
    let (vectors, strides, sides, conjugate) = match turned {
        true => ([&op.y, &op.x], [col, row], [columns, rows], [op.conjugate, false]),
        false => ([&op.x, &op.y], [row, col], [rows, columns], [false, op.conjugate]),
    };
    let outer = |operand: &Operand, axes: usize| operand.layout().split(axes).0;
    let batch = Space::new([&outer(vectors[0], 1), &outer(vectors[1], 1), &outer(&op.a, 2)]);
    let whole = sides[1].is_multiple_of(u64::from(lanes(op.a.dtype())));
    let packed = whole && is_packed(&op.a, if turned { 2 } else { 1 });
    let spec = Spec { dtype: op.a.dtype(), conjugate, packed };
    let tiles = [0, 1].map(|n| sides[n].div_ceil(u64::from(spec.tile()[n])));
    let args = Args {
        at: [vectors[0].at(), vectors[1].at(), op.a.at()],
        steps: vectors.map(|vector| step(vector, 0)),
        strides,
        sides,
        tiles: [tiles[1], count(op, tiles[0] * tiles[1])?].map(|tiles| tiles as u32),
        matrices: batch.count(),
        alpha: parts(op.alpha),
        batch: batch.words(),
    };
    let kernel = stream.kernel(Key("blas_ger", spec.words()), |target| WRITE(target, spec))?;
    // SAFETY: the operands were checked; tiles end where the matrices do.
    unsafe { kernel.launch(stream, grid(u64::from(args.tiles[1]), args.matrices), &args) }
}

/// A number of tiles that a kernel can count to.
fn count(op: &Ger, tiles: u64) -> Result<u64> {
    if tiles >= 1 << 31 {
        fail!(WEFT_ERROR_UNSUPPORTED, "ger: {} has {tiles} tiles; at most 2^31 - 1 are supported", op.a);
    }
    Ok(tiles)
}

/// Kernels of every kind, for the tests.
pub fn texts(target: Target) -> Vec<Result<Text>> {
    let specs =
        pairs().flat_map(|(dtype, conjugate)| [false, true].map(|packed| Spec { dtype, conjugate, packed }));
    specs.map(|spec| WRITE(target, spec).map(Text::from)).collect()
}
