//! syrk on CUDA: one launch of the tiles of a triangle, which is put below the diagonal.

use super::{grid, parts, step};
use crate::device::cuda::{Key, Stream};
use crate::fail;
use crate::kernels::gpu::Space;
use crate::op::{Choice, Operand};
use crate::ops::blas::ptx::syrk::{Args, Spec, numbering, write};
use crate::ops::blas::ptx::{edge, with_part};
use crate::ops::blas::syrk::Syrk;
use crate::ops::blas::{DTYPES, is_complex};
use crate::ptx::{Target, Text};
use crate::status::Result;

/// Best first.
pub(in crate::ops::blas) const CHOICES: &[Choice<Syrk, Stream>] =
    &[Choice { name: "tiles", accepts: |_, _| true, run }];

/// Tiles of a side that a kernel can number.
const MOST: u64 = 1 << 15;

fn run(op: &Syrk, stream: &Stream) -> Result<()> {
    let (side, depth) = op.sizes();
    let across = (side as u64).div_ceil(u64::from(edge(op.c.dtype())));
    if across > MOST {
        fail!(WEFT_ERROR_UNSUPPORTED, "syrk: c has {side} rows; at most {MOST} tiles of them are supported");
    }
    let outer = |operand: &Operand| operand.layout().split(2).0;
    let batch = Space::new([&outer(&op.a), &outer(&op.c)]);
    // The upper triangle is the lower one of the transpose, which is the conjugate of a Hermitian product.
    let axes = if op.upper { [0, 1] } else { [1, 0] };
    let args = Args {
        at: [op.a.at(), op.c.at()],
        rows: [step(&op.a, 1), step(&op.c, axes[0])],
        columns: [step(&op.a, 0), step(&op.c, axes[1])],
        side: side as u64,
        depth: depth as u64,
        tiles: numbering(across as u32),
        matrices: batch.count(),
        alpha: parts(op.alpha),
        beta: parts(op.beta),
        reads: u32::from(!op.beta.is_zero()),
        batch: batch.words(),
    };
    let conjugate = [op.hermitian && op.upper, op.hermitian && !op.upper];
    let spec = Spec { dtype: op.c.dtype(), conjugate };
    let kernel = stream.kernel(
        Key("blas_syrk", spec.words()),
        |target| with_part!(spec.dtype, R => write::<R>(target, spec)),
    )?;
    // SAFETY: the operands were checked; tiles end where the matrices do.
    unsafe { kernel.launch(stream, grid(u64::from(args.tiles[0]), args.matrices), &args) }
}

/// Kernels of every kind, for the tests.
pub fn texts(target: Target) -> Vec<Result<Text>> {
    let kinds = |&dtype| {
        let complex = is_complex(dtype);
        let conjugates = [[false; 2], [true, false], [false, true]].into_iter();
        conjugates
            .filter(move |&which| complex || which == [false; 2])
            .map(move |conjugate| Spec { dtype, conjugate })
    };
    let specs = DTYPES.iter().flat_map(kinds);
    specs.map(|spec| with_part!(spec.dtype, R => write::<R>(target, spec)).map(Text::from)).collect()
}
