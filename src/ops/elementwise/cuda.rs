//! On CUDA: dense operands by vectors, everything else by the strided kernel.

use super::ptx::{Args, Spec, THREADS, Way};
use super::{Elementwise, Kind};
use crate::device::cuda::{Key, Stream};
use crate::kernels::gpu::Space;
use crate::op::{Choice, Operand};
use crate::status::Result;

/// Best first.
pub(super) const CHOICES: &[Choice<Elementwise, Stream>] = &[
    Choice { name: "dense", accepts: |op, _| op.dense().is_some(), run: dense },
    Choice { name: "strided", accepts: |_, _| true, run: strided },
];

/// Blocks of a multiprocessor.
const BLOCKS: u64 = 8;

impl Elementwise {
    /// The operands, those that are missing being y, then y.
    fn sides(&self) -> [&Operand; 4] {
        let side = |number: usize| self.inputs.get(number).unwrap_or(&self.y);
        [side(0), side(1), side(2), &self.y]
    }

    fn space(&self) -> Space<4> {
        Space::new(self.sides().map(Operand::layout))
    }

    fn spec(&self, way: Way) -> Spec {
        Spec { function: self.function, dtype: self.inputs[self.inputs.len() - 1].dtype(), way }
    }

    /// The dense kernel and how many vectors it moves, if it can be used.
    fn dense(&self) -> Option<(Spec, u32)> {
        let space = self.space();
        let stride = |n: usize| space.strides(n).next().unwrap_or(1);
        let runs = space.rank() <= 1 && stride(3) == 1 && (0..3).all(|n| matches!(stride(n), 0 | 1));
        let uniform = (0..self.inputs.len()).filter(|&n| stride(n) == 0).fold(0, |bits, n| bits | 1 << n);
        let spec = self.spec(Way::Dense { uniform });
        if !runs || spec.is_long() || spec.dtype.size() > 8 {
            return None;
        }
        let fits =
            |n: usize| stride(n) == 0 || self.sides()[n].at().is_multiple_of(spec.vector_bytes(n) as u64);
        let aligned = (0..self.inputs.len()).chain([3]).all(fits);
        let vectors = space.count() / u64::from(spec.lanes());
        (aligned && vectors < 1 << 31).then_some((spec, vectors as u32))
    }

    fn launch(&self, stream: &Stream, spec: Spec, vectors: u32, items: u64) -> Result<()> {
        let space = self.space();
        let arguments = Args {
            count: space.count(),
            vectors,
            alpha: self.alpha,
            beta: self.beta,
            at: self.sides().map(Operand::at),
            space: space.words(),
        };
        let most = stream.gpu().description.multiprocessors as u64 * BLOCKS;
        let blocks = items.div_ceil(u64::from(THREADS)).clamp(1, most);
        let kernel = stream.kernel(Key("elementwise", spec.key()), |target| spec.kernel(target))?;
        // SAFETY: the kernel reaches the elements of the checked layouts of operands that the request owns.
        unsafe { kernel.launch(stream, [blocks as u32, 1, 1], &arguments) }
    }
}

fn dense(op: &Elementwise, stream: &Stream) -> Result<()> {
    match op.dense() {
        Some((spec, vectors)) => {
            op.launch(stream, spec, vectors, u64::from(vectors).div_ceil(u64::from(spec.unroll())))
        }
        None => strided(op, stream),
    }
}

fn strided(op: &Elementwise, stream: &Stream) -> Result<()> {
    debug_assert!(op.function.kind != Kind::Select || op.inputs.len() == 3);
    let space = op.space();
    let (rank, count) = (space.rank(), space.count());
    op.launch(stream, op.spec(Way::Strided { rank, wide: count >> 32 != 0 }), 0, count)
}
