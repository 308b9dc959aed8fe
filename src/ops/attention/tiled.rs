//! Many rows: a block of keys and values is packed once for a chunk of rows, and products are made in tiles of registers
//! (Dao, Fu, Ermon, Rudra, Re: FlashAttention, 2022).

use super::Attention;
use super::chunk::{Chunk, Cut, Job, Task};
use super::line::Scorer;
use super::simd::{Portable, Simd};
use super::space::{GROUP, SUB, Space};
#[cfg(target_arch = "x86_64")]
use super::x86::{Avx2, Avx512};
use super::{chunk, pack};
use crate::device::Cpu;
use crate::device::cpu::{Isa, isa};
use crate::dtype::{Dtype, Float, bf16};
use crate::status::Result;
use crate::with_float;

/// Rows that share the packing of a block of keys, where there are enough.
const ROWS: usize = 192;

/// Whether scratch memory for `op` is of reasonable size.
pub(super) fn accepts(op: &Attention, _: &Cpu) -> bool {
    op.shape.dim.max(op.shape.dim_v) <= 4096
}

/// Runs `op`.
pub(super) fn run(op: &Attention, cpu: &Cpu) -> Result<()> {
    let cut = Cut { rows: rows(op, cpu), ns: 0.02 };
    with_float!(op.q.dtype(), T => chunk::run::<T>(op, cpu, cut, work::<T>), _ => unreachable!("checked"))
}

/// Fewer rows where chunks would not occupy all threads. A row's result does not depend on its chunk.
fn rows(op: &Attention, cpu: &Cpu) -> usize {
    let all = op.shape.group() * op.q.layout().dim(2);
    let chunks = |rows: usize| all.div_ceil(rows) * op.shape.kv_heads * op.q.layout().dim(0).max(1);
    [ROWS, ROWS / 2].into_iter().find(|&rows| chunks(rows) >= 4 * cpu.threads()).unwrap_or(ROWS / 4)
}

/// What works on a part, compiled for one instruction set and all element types.
type Attend = unsafe fn(&mut Part, (usize, usize));

/// `rows_of` and the part it works with, for one instruction set.
macro_rules! version {
    ($name:ident, $($feature:literal,)? $S:ty, $NV:literal) => {
        $(#[target_feature(enable = $feature)])?
        fn $name<T: Float>(job: &Job, task: &Task) -> Result<()> {
            $(#[target_feature(enable = $feature)])?
            unsafe fn attend(part: &mut Part, hull: (usize, usize)) {
                // SAFETY: the contract of `Part::attend`; the features are those of the instruction set.
                unsafe { part.attend::<$S, $NV>(hull) }
            }
            // SAFETY: the features are those of the instruction set.
            unsafe { rows_of::<$S, T>(job, task, $NV, attend) }
        }
    };
}
#[cfg(target_arch = "x86_64")]
version!(avx512_bf16, "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c", Avx512<true>, 4);
#[cfg(target_arch = "x86_64")]
version!(avx512, "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c", Avx512<false>, 4);
#[cfg(target_arch = "x86_64")]
version!(avx2, "avx2,fma,f16c", Avx2, 2);
version!(portable, Portable, 2);

fn work<T: Float>(job: &Job, task: &Task) -> Result<()> {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: `isa` answers so only on a machine that has these instructions.
    unsafe {
        match isa() {
            Isa::Avx512Bf16 if T::DTYPE == Dtype::Bf16 => return avx512_bf16::<bf16>(job, task),
            Isa::Avx512Bf16 | Isa::Avx512 => return avx512::<T>(job, task),
            Isa::Avx2 => return avx2::<T>(job, task),
            Isa::Scalar => {}
        }
    }
    portable::<T>(job, task)
}

/// The rows of a task.
///
/// # Safety
///
/// `S` is there.
#[inline(always)]
unsafe fn rows_of<S: Simd, T: Float>(job: &Job, task: &Task, vectors: usize, attend: Attend) -> Result<()> {
    let (op, count) = (job.op, task.count());
    let space = Space::new::<S>(op.shape, count, vectors, true)?;
    // SAFETY: this function's contract; the space was made for this task, and keys within the hull are in use.
    unsafe {
        let chunk = Chunk::<T>::new::<S>(job, task, &space);
        for (start, end) in chunk.blocks() {
            let Some(hull) = chunk.hull(0, count, start, end) else { continue };
            pack::keys::<S, T>(&chunk.keys, op.shape.dim, start, hull, &space);
            let finite = pack::values::<S, T>(&chunk.values, op.shape.dim_v, start, hull, &space);
            for first in (0..count).step_by(SUB) {
                let held = SUB.min(count - first);
                let Some(hull) = chunk.hull(first, held, start, end) else { continue };
                let mut part = Part {
                    op,
                    scorer: job.scorer,
                    space: &space,
                    first,
                    count: held,
                    start,
                    finite,
                    shrink: [1.0; SUB],
                };
                attend(&mut part, hull);
                if !finite {
                    part.guarded(&chunk, hull);
                }
            }
        }
        chunk.finish::<S>();
    }
    Ok(())
}

/// Rows `first..first + count` of a chunk against the block of keys that begins at `start`.
struct Part<'a> {
    op: &'a Attention,
    scorer: Scorer,
    space: &'a Space,
    first: usize,
    count: usize,
    start: usize,
    /// Whether all values of the block are; if not, their sums are left to `guarded`.
    finite: bool,
    /// What the earlier sums of each row must be multiplied with.
    shrink: [f32; SUB],
}

impl Part<'_> {
    /// # Safety
    ///
    /// The block's keys and values from `low` to `high` are packed in the space, which was made for `S`; `S` is there, and
    /// nobody else refers to the rows' lines.
    #[inline(always)]
    unsafe fn attend<S: Simd, const NV: usize>(&mut self, (low, high): (usize, usize)) {
        let (space, low) = (self.space, low / S::LANES * S::LANES);
        // SAFETY: this function's contract; scores have `SUB` rows of `block`, and low..high is within a block.
        unsafe {
            self.scores::<S, NV>(space, (low, high));
            for row in 0..self.count {
                let scores = space.scores.add(row * space.block);
                let line = &mut *space.lines.add(self.first + row);
                let span = (low, high);
                self.shrink[row] =
                    line.weigh::<S>(self.op, &self.scorer, scores, self.start, span, space.bias);
            }
            if self.finite && S::PAIR == 2 {
                self.narrow::<S>(space, (low, high));
            }
            if self.finite {
                self.values::<S, NV>(space, &self.shrink, (low, high));
            }
        }
    }

    /// # Safety
    ///
    /// As for [`attend`](Self::attend), which was called.
    unsafe fn guarded<T: Float>(&self, chunk: &Chunk<T>, (low, high): (usize, usize)) {
        let space = self.space;
        for (row, shrink) in self.shrink.iter().enumerate().take(self.count) {
            let sums = space.o.wrapping_add((self.first + row) * space.width);
            let weights = space.scores.wrapping_add(row * space.block);
            let columns = 0..self.op.shape.dim_v;
            // SAFETY: the scores of the row are its weights; those above 0 belong to keys in use.
            unsafe { chunk.add_guarded(weights, sums, *shrink, self.start, (low, high), columns) };
        }
    }

    /// Products of queries and keys, panel by panel.
    ///
    /// # Safety
    ///
    /// As for [`attend`](Self::attend).
    #[inline(always)]
    unsafe fn scores<S: Simd, const NV: usize>(&self, space: &Space, (low, high): (usize, usize)) {
        for key in (low / space.panel * space.panel..high).step_by(space.panel) {
            let mut row = 0;
            while row < self.count {
                // A panel that ends within its first two vectors needs no more of them.
                let short = high - key <= 2 * S::LANES;
                // SAFETY: this function's contract.
                row += unsafe {
                    match (self.count - row > 2, short) {
                        (true, false) => self.score_tile::<S, GROUP, NV>(space, row, key),
                        (true, true) => self.score_tile::<S, GROUP, 2>(space, row, key),
                        (false, false) => self.score_tile::<S, 2, NV>(space, row, key),
                        (false, true) => self.score_tile::<S, 2, 2>(space, row, key),
                    }
                };
            }
        }
    }

    /// # Safety
    ///
    /// As for [`attend`](Self::attend); `row` begins a group of `MR` rows of the scores, `key` a panel. Returns `MR`.
    #[inline(always)]
    unsafe fn score_tile<S: Simd, const MR: usize, const NV: usize>(
        &self,
        space: &Space,
        row: usize,
        key: usize,
    ) -> usize {
        let panel = space.k.wrapping_add(key * space.padded);
        let mut a = [space.q.cast_const(); MR];
        for (t, a) in a.iter_mut().enumerate() {
            *a = a.wrapping_add((self.first + (row + t).min(self.count - 1)) * space.padded);
        }
        // SAFETY: a row of q has `depth` words, a panel `depth` rows of `panel` words; scores hold whole groups of rows.
        unsafe {
            let mut sums = [[S::splat(0.0); NV]; MR];
            multiply::<S, MR, NV>(space.depth, a, panel, space.panel, &mut sums);
            for (t, sums) in sums.iter().enumerate() {
                for (c, sum) in sums.iter().enumerate() {
                    S::store(space.scores.add((row + t) * space.block + key + c * S::LANES), *sum);
                }
            }
        }
        MR
    }

    /// Weights as pairs.
    ///
    /// # Safety
    ///
    /// As for [`attend`](Self::attend).
    #[inline(always)]
    unsafe fn narrow<S: Simd>(&self, space: &Space, (low, high): (usize, usize)) {
        for row in 0..self.count {
            let (from, to) = (
                space.scores.wrapping_add(row * space.block),
                space.weights.wrapping_add(row * space.block / 2),
            );
            // Whole double vectors: what is beside the weights is not used.
            for j in (low / (2 * S::LANES) * (2 * S::LANES)..high).step_by(2 * S::LANES) {
                // SAFETY: scores have `block` columns, a multiple of the step.
                unsafe { S::narrow(from.add(j), to.add(j / 2)) };
            }
        }
    }

    /// Sums = sums * shrink + weights * values.
    ///
    /// # Safety
    ///
    /// As for [`attend`](Self::attend).
    #[inline(always)]
    unsafe fn values<S: Simd, const NV: usize>(
        &self,
        space: &Space,
        shrink: &[f32; SUB],
        range: (usize, usize),
    ) {
        let mut column = 0;
        while column < space.width {
            let vectors = (space.width - column) / S::LANES;
            // SAFETY: this function's contract; so many vectors are left of the width.
            unsafe {
                if vectors >= NV {
                    self.value_rows::<S, NV>(space, shrink, range, column);
                    column += NV * S::LANES;
                } else if vectors >= 2 {
                    self.value_rows::<S, 2>(space, shrink, range, column);
                    column += 2 * S::LANES;
                } else {
                    self.value_rows::<S, 1>(space, shrink, range, column);
                    column += S::LANES;
                }
            }
        }
    }

    /// # Safety
    ///
    /// As for [`attend`](Self::attend); `NV` vectors are left from `column` on.
    #[inline(always)]
    unsafe fn value_rows<S: Simd, const NV: usize>(
        &self,
        space: &Space,
        shrink: &[f32; SUB],
        range: (usize, usize),
        column: usize,
    ) {
        let mut row = 0;
        while row < self.count {
            // SAFETY: this function's contract.
            unsafe {
                if self.count - row > 2 {
                    self.value_tile::<S, GROUP, NV>(space, shrink, range, column, row);
                    row += GROUP;
                } else {
                    self.value_tile::<S, 2, NV>(space, shrink, range, column, row);
                    row += 2;
                }
            }
        }
    }

    /// # Safety
    ///
    /// As for [`value_rows`](Self::value_rows); `row` begins a group of `MR` rows.
    #[inline(always)]
    unsafe fn value_tile<S: Simd, const MR: usize, const NV: usize>(
        &self,
        space: &Space,
        shrink: &[f32; SUB],
        (low, high): (usize, usize),
        column: usize,
        row: usize,
    ) {
        let (word, words) = (low / S::PAIR, high.div_ceil(S::PAIR) - low / S::PAIR);
        let mut a = [space.weights.cast_const(); MR];
        for (t, a) in a.iter_mut().enumerate() {
            *a = a.wrapping_add((row + t).min(self.count - 1) * (space.block / S::PAIR) + word);
        }
        let values = space.v.wrapping_add(word * space.width + column);
        let sums = space.o.wrapping_add((self.first + row) * space.width + column);
        // SAFETY: weights have `words` words from `word` on, values as many rows of `width`; the sums hold whole groups.
        unsafe {
            let mut acc = [[S::splat(0.0); NV]; MR];
            for (t, acc) in acc.iter_mut().enumerate() {
                let shrink = S::splat(shrink[row + t]);
                for (c, acc) in acc.iter_mut().enumerate() {
                    *acc = S::mul(shrink, S::load(sums.add(t * space.width + c * S::LANES)));
                }
            }
            multiply::<S, MR, NV>(words, a, values, space.width, &mut acc);
            for (t, acc) in acc.iter().enumerate() {
                for (c, acc) in acc.iter().enumerate() {
                    S::store(sums.add(t * space.width + c * S::LANES), *acc);
                }
            }
        }
    }
}

/// sums[i][j] += sum over k of a[i][k] * b[k][j]: `MR` x `NV` vectors that stay in registers.
///
/// # Safety
///
/// Each of `a` is valid for `depth` words, `b` for `depth` rows of `NV` vectors at `step`; `S` is there.
#[inline(always)]
unsafe fn multiply<S: Simd, const MR: usize, const NV: usize>(
    depth: usize,
    a: [*const f32; MR],
    mut b: *const f32,
    step: usize,
    sums: &mut [[S::V; NV]; MR],
) {
    // SAFETY: this function's contract.
    unsafe {
        let zero = S::splat(0.0);
        for k in 0..depth {
            let mut row = [zero; NV];
            for (c, x) in row.iter_mut().enumerate() {
                *x = S::load(b.add(c.wrapping_mul(S::LANES)));
            }
            for (a, sums) in a.iter().zip(sums.iter_mut()) {
                let x = S::splat_word(a.add(k));
                for (sum, row) in sums.iter_mut().zip(row) {
                    *sum = S::dot(x, row, *sum);
                }
            }
            b = b.wrapping_add(step);
        }
    }
}
