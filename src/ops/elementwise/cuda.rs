//! On CUDA: dense operands by vectors, rows that are dense too, everything else by the strided kernel.

use super::ptx::{Args, Spec, THREADS, Way};
use super::{Elementwise, Kind};
use crate::device::cuda::{Key, Stream};
use crate::kernels::gpu::Space;
use crate::op::{Choice, Operand};
use crate::status::Result;

/// Best first.
pub(super) const CHOICES: &[Choice<Elementwise, Stream>] = &[
    Choice { name: "dense", accepts: |op, _| op.dense().is_some(), run: dense },
    Choice { name: "rows", accepts: |op, _| op.rows().is_some(), run: rows },
    Choice { name: "strided", accepts: |_, _| true, run: strided },
];

/// Blocks of a grid: one for each tile as far as that goes, so that the last ones to finish are few.
const BLOCKS: u64 = 1 << 20;

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

    /// Whether the formula's operands can be taken by vectors where they lie packed.
    fn suits_vectors(&self, spec: Spec) -> bool {
        !spec.is_long() && spec.dtype.size() <= 8
    }

    /// The inputs that have stride 0 along the innermost axis.
    fn uniform(&self, space: &Space<4>) -> u32 {
        let stride = |n: usize| space.strides(n).next_back();
        (0..self.inputs.len()).filter(|&n| stride(n) == Some(0)).fold(0, |bits, n| bits | 1 << n)
    }

    /// Whether the vectors of every operand and y begin where a vector may, `uniform` ones aside.
    fn is_aligned(&self, space: &Space<4>, spec: Spec, uniform: u32) -> bool {
        let lanes = spec.lanes() as isize;
        (0..self.inputs.len()).chain([3]).filter(|n| uniform >> n & 1 == 0).all(|n| {
            let begins = self.sides()[n].at().is_multiple_of(spec.vector_bytes(n) as u64);
            let outer = space.strides(n).rev().skip(1);
            begins && outer.into_iter().all(|stride| stride % lanes == 0)
        })
    }

    /// The dense kernel and how many vectors it moves, if it can be used.
    fn dense(&self) -> Option<(Spec, u32)> {
        let space = self.space();
        let stride = |n: usize| space.strides(n).next().unwrap_or(1);
        let runs = space.rank() <= 1 && stride(3) == 1 && (0..3).all(|n| matches!(stride(n), 0 | 1));
        let uniform = self.uniform(&space);
        let spec = self.spec(Way::Dense { uniform });
        let fits = runs && self.suits_vectors(spec) && self.is_aligned(&space, spec, uniform);
        let vectors = space.count() / u64::from(spec.lanes());
        (fits && vectors < 1 << 31).then_some((spec, vectors as u32))
    }

    /// The kernel of rows and the space in vectors, if it can be used.
    fn rows(&self) -> Option<(Spec, Space<4>)> {
        let space = self.space();
        let uniform = self.uniform(&space);
        let spec = self.spec(Way::Rows { uniform, rank: space.rank() });
        let packed = space.strides(3).next_back() == Some(1);
        if !packed || !self.suits_vectors(spec) || !self.is_aligned(&space, spec, uniform) {
            return None;
        }
        let vectors = space.by_vectors(spec.lanes() as usize)?;
        (vectors.count() < 1 << 31).then_some((spec, vectors))
    }

    /// By a kernel whose threads have `items` to share.
    fn launch(&self, stream: &Stream, spec: Spec, space: &Space<4>, vectors: u32, items: u64) -> Result<()> {
        let arguments = Args {
            count: space.count(),
            vectors,
            alpha: self.alpha,
            beta: self.beta,
            at: self.sides().map(Operand::at),
            space: space.words(),
        };
        let blocks = items.div_ceil(u64::from(THREADS)).clamp(1, BLOCKS);
        let kernel = stream.kernel(Key("elementwise", spec.key()), |target| spec.kernel(target))?;
        // SAFETY: the kernel reaches the elements of the checked layouts of operands that the request owns.
        unsafe { kernel.launch(stream, [blocks as u32, 1, 1], &arguments) }
    }
}

fn dense(op: &Elementwise, stream: &Stream) -> Result<()> {
    let Some((spec, vectors)) = op.dense() else { return strided(op, stream) };
    let items = vectors.div_ceil(spec.unroll());
    op.launch(stream, spec, &op.space(), vectors, u64::from(items))
}

fn rows(op: &Elementwise, stream: &Stream) -> Result<()> {
    let Some((spec, space)) = op.rows() else { return strided(op, stream) };
    let vectors = space.count() as u32;
    op.launch(stream, spec, &space, vectors, u64::from(vectors.div_ceil(spec.unroll())))
}

fn strided(op: &Elementwise, stream: &Stream) -> Result<()> {
    debug_assert!(op.function.kind != Kind::Select || op.inputs.len() == 3);
    let space = op.space();
    let (rank, count) = (space.rank(), space.count());
    op.launch(stream, op.spec(Way::Strided { rank, wide: count >> 32 != 0 }), &space, 0, count)
}
