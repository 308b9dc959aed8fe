//! axpy, scal, swap and rot on CUDA: one launch.

use super::{grid, parts};
use crate::device::cuda::{Key, Stream};
use crate::dtype::Dtype;
use crate::kernels::gpu::Space;
use crate::op::{Choice, Operand};
use crate::ops::blas::DTYPES;
use crate::ops::blas::ptx::update::{Args, Spec, write};
use crate::ops::blas::ptx::{THREADS, with_part};
use crate::ops::blas::update::{Change, Update};
use crate::ptx::{Target, Text};
use crate::status::Result;

/// Best first.
pub(in crate::ops::blas) const CHOICES: &[Choice<Update, Stream>] =
    &[Choice { name: "elements", accepts: |_, _| true, run }];

/// Bytes of a group.
const GROUP: usize = 16;

/// The space in groups of this many elements, if all of them are aligned and lie side by side.
fn by_groups(op: &Update, space: &Space<2>, lanes: usize) -> Option<Space<2>> {
    let aligned = |operand: &Operand| operand.at().is_multiple_of(GROUP as u64);
    let side_by_side = (0..2).all(|n| {
        let mut strides = space.strides(n).rev();
        strides.next() == Some(1) && strides.all(|stride| stride.unsigned_abs().is_multiple_of(lanes))
    });
    let fits = lanes > 1 && side_by_side && aligned(&op.x) && aligned(&op.y);
    if fits { space.by_vectors(lanes).filter(|space| space.count() > 0) } else { None }
}

fn run(op: &Update, stream: &Stream) -> Result<()> {
    let space = Space::new([op.x.layout(), op.y.layout()]);
    let most = GROUP / op.x.dtype().size();
    let groups = by_groups(op, &space, most);
    let lanes = if groups.is_some() { most as u32 } else { 1 };
    let space = groups.unwrap_or(space);
    let wide = space.count() >> 32 != 0;
    let spec = Spec { change: op.change, dtype: op.x.dtype(), rank: space.class(), lanes, wide };
    let args = Args {
        at: [op.x.at(), op.y.at()],
        factor: parts(op.factor),
        cosine: op.cosine,
        count: space.count(),
        space: space.words(),
    };
    let kernel = stream.kernel(
        Key("blas_update", spec.words()),
        |target| with_part!(spec.dtype, R => write::<R>(target, spec)),
    )?;
    // SAFETY: the operands were checked, and the space names their elements alone.
    unsafe {
        kernel.launch(stream, grid(space.count().div_ceil(u64::from(THREADS * spec.ahead())), 1), &args)
    }
}

/// Kernels of every kind, for the tests.
pub fn texts(target: Target) -> Vec<Result<Text>> {
    let changes = [Change::Axpy, Change::Scal, Change::Swap, Change::Rot, Change::Zero];
    let all = changes.into_iter().flat_map(|change| DTYPES.iter().map(move |&dtype| (change, dtype)));
    let spec = |change, dtype: Dtype, rank| {
        let lanes = if rank == 1 { (GROUP / dtype.size()) as u32 } else { 1 };
        Spec { change, dtype, rank, lanes, wide: rank == 8 }
    };
    let specs = all.flat_map(|(change, dtype)| [1, 2, 8].map(|rank| spec(change, dtype, rank)));
    specs.map(|spec| with_part!(spec.dtype, R => write::<R>(target, spec)).map(Text::from)).collect()
}
