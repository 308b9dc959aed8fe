//! Few rows (decoding): keys and values are read once, where they lie, and shared by all heads of their group.

use super::Attention;
use super::chunk::{self, Chunk, Cut, Job, Task};
use super::simd::{Portable, Simd};
use super::space::Space;
use crate::device::Cpu;
use crate::device::cpu::{Isa, isa};
use crate::dtype::Float;
use crate::status::Result;
use crate::with_float;

/// Rows of a chunk, at most.
const ROWS: usize = 8;

/// Whether rows of k and v are whole vectors one element after another, and few rows share them.
pub(super) fn accepts(op: &Attention, _: &Cpu) -> bool {
    let lanes = match isa() {
        Isa::Avx512 | Isa::Avx512Bf16 => 16,
        Isa::Avx2 => 8,
        Isa::Scalar => 4,
    };
    let whole = |dim: usize| dim.is_multiple_of(lanes) && dim <= 4096;
    let sequences = if op.q_starts.is_some() { op.shape.batch } else { 1 };
    let few = op.shape.group().saturating_mul(op.q.layout().dim(2)) <= ROWS.saturating_mul(sequences);
    let (k, v) = (op.k.layout().stride(3), op.v.layout().stride(3));
    few && k == 1 && v == 1 && whole(op.shape.dim) && whole(op.shape.dim_v)
}

/// Runs `op`.
pub(super) fn run(op: &Attention, cpu: &Cpu) -> Result<()> {
    let cut = Cut { rows: ROWS, ns: 0.15 };
    with_float!(op.q.dtype(), T => chunk::run::<T>(op, cpu, cut, work::<T>), _ => unreachable!("checked"))
}

fn work<T: Float>(job: &Job, task: &Task) -> Result<()> {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: `isa` answers so only on a machine that has these instructions.
    unsafe {
        use super::x86::{Avx2, Avx512};
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
        fn avx512<T: Float>(job: &Job, task: &Task) -> Result<()> {
            // SAFETY: the features are those of the instruction set.
            unsafe { rows_of::<Avx512<false>, T>(job, task) }
        }
        #[target_feature(enable = "avx2,fma,f16c")]
        fn avx2<T: Float>(job: &Job, task: &Task) -> Result<()> {
            // SAFETY: the features are those of the instruction set.
            unsafe { rows_of::<Avx2, T>(job, task) }
        }
        match isa() {
            Isa::Avx512Bf16 | Isa::Avx512 => return avx512::<T>(job, task),
            Isa::Avx2 => return avx2::<T>(job, task),
            Isa::Scalar => {}
        }
    }
    // SAFETY: plain Rust.
    unsafe { rows_of::<Portable, T>(job, task) }
}

/// The rows of a task.
///
/// # Safety
///
/// `S` is there; rows of keys and values are whole vectors.
#[inline(always)]
unsafe fn rows_of<S: Simd, T: Float>(job: &Job, task: &Task) -> Result<()> {
    let (space, count) = (Space::new::<S>(job.op.shape, task.count(), 4, false)?, task.count());
    // SAFETY: this function's contract; the space was made for this task, and keys within the hull are in use.
    unsafe {
        let chunk = Chunk::<T>::new::<S>(job, task, &space);
        for (start, end) in chunk.blocks() {
            let Some((low, high)) = chunk.hull(0, count, start, end) else { continue };
            scores::<S, T>(&chunk, start, (low, high));
            let mut shrink = [1.0f32; ROWS];
            let whole = low / S::LANES * S::LANES;
            for (row, shrink) in shrink.iter_mut().enumerate().take(count) {
                let scores = space.scores.add(row * space.block);
                let line = &mut *space.lines.add(row);
                *shrink = line.weigh::<S>(chunk.op, &job.scorer, scores, start, (whole, high), space.bias);
            }
            values::<S, T>(&chunk, &shrink, start, (low, high));
        }
        chunk.finish::<S>();
    }
    Ok(())
}

/// Products of all rows with keys `low..high` of a block.
///
/// # Safety
///
/// The keys are in use and the chunk's space was made for `S`.
#[inline(always)]
unsafe fn scores<S: Simd, T: Float>(chunk: &Chunk<T>, start: usize, (low, high): (usize, usize)) {
    let (count, mut j) = (chunk.count, low);
    while j < high {
        let (at, step, run) = chunk.keys.run(start + j);
        let end = high.min(j.saturating_add(run));
        let mut at = at;
        while j < end {
            let keys = if end - j >= 4 { 4 } else { 1 };
            let mut row = 0;
            // SAFETY: this function's contract; so many rows and keys are left.
            unsafe {
                while row < count {
                    row += match (keys, count - row) {
                        (4, 1) => dots::<S, T, 4, 1>(chunk, (at, step), j, row),
                        (4, 2 | 3) => dots::<S, T, 4, 2>(chunk, (at, step), j, row),
                        (4, _) => dots::<S, T, 4, 4>(chunk, (at, step), j, row),
                        (_, 1) => dots::<S, T, 1, 1>(chunk, (at, step), j, row),
                        (_, 2 | 3) => dots::<S, T, 1, 2>(chunk, (at, step), j, row),
                        _ => dots::<S, T, 1, 4>(chunk, (at, step), j, row),
                    };
                }
            }
            j += keys;
            at = at.wrapping_offset(step.wrapping_mul(keys as isize));
        }
    }
}

/// `K` keys times `R` rows; returns `R`.
///
/// # Safety
///
/// So many keys lie at the place and step, each of whole vectors; so many rows there are from `row` on.
#[inline(always)]
unsafe fn dots<S: Simd, T: Float, const K: usize, const R: usize>(
    chunk: &Chunk<T>,
    (at, step): (*const T, isize),
    j: usize,
    row: usize,
) -> usize {
    let space = chunk.space;
    // SAFETY: this function's contract.
    unsafe {
        let mut sums = [[S::splat(0.0); R]; K];
        for d in (0..chunk.op.shape.dim).step_by(S::LANES) {
            let mut q = [S::splat(0.0); R];
            for (r, q) in q.iter_mut().enumerate() {
                *q = S::load(space.q.add((row + r).wrapping_mul(space.padded).wrapping_add(d)));
            }
            for (k, sums) in sums.iter_mut().enumerate() {
                let key = S::load_as(at.wrapping_offset(step.wrapping_mul(k as isize)).add(d));
                for (r, sum) in sums.iter_mut().enumerate() {
                    *sum = S::fma(q[r], key, *sum);
                }
            }
        }
        for (r, _) in sums[0].iter().enumerate() {
            let to = space.scores.add((row + r) * space.block + j);
            if K == 4 {
                let four = S::sum4(sums[0][r], sums[1 % K][r], sums[2 % K][r], sums[3 % K][r]);
                to.cast::<[f32; 4]>().write_unaligned(four);
            } else {
                (0..K).for_each(|k| to.add(k).write(S::sum(sums[k][r])));
            }
        }
    }
    R
}

/// Sums = sums * shrink + weights * values, for all rows.
///
/// # Safety
///
/// As for [`scores`]; the scores hold weights.
#[inline(always)]
unsafe fn values<S: Simd, T: Float>(
    chunk: &Chunk<T>,
    shrink: &[f32; ROWS],
    start: usize,
    range: (usize, usize),
) {
    let (count, width) = (chunk.count, chunk.space.width);
    let mut row = 0;
    while row < count {
        let rows = if count - row >= 4 {
            4
        } else if count - row >= 2 {
            2
        } else {
            1
        };
        let mut column = 0;
        while column < width {
            let wide = (width - column) / S::LANES >= 4;
            // SAFETY: this function's contract; so many rows and vectors are left.
            column += unsafe {
                match (rows, wide) {
                    (4, true) => weighted::<S, T, 4, 4>(chunk, shrink, start, range, (row, column)),
                    (4, false) => weighted::<S, T, 4, 1>(chunk, shrink, start, range, (row, column)),
                    (2, true) => weighted::<S, T, 2, 4>(chunk, shrink, start, range, (row, column)),
                    (2, false) => weighted::<S, T, 2, 1>(chunk, shrink, start, range, (row, column)),
                    (_, true) => weighted::<S, T, 1, 4>(chunk, shrink, start, range, (row, column)),
                    _ => weighted::<S, T, 1, 1>(chunk, shrink, start, range, (row, column)),
                }
            };
        }
        row += rows;
    }
}

/// `NV` vectors of columns for `R` rows; returns the columns.
///
/// # Safety
///
/// As for [`values`]; `R` rows and `NV` vectors are left.
#[inline(always)]
unsafe fn weighted<S: Simd, T: Float, const R: usize, const NV: usize>(
    chunk: &Chunk<T>,
    shrink: &[f32; ROWS],
    start: usize,
    (low, high): (usize, usize),
    (row, column): (usize, usize),
) -> usize {
    let (space, columns) = (chunk.space, NV * S::LANES);
    let sums = space.o.wrapping_add(row * space.width + column);
    let weights = space.scores.wrapping_add(row * space.block);
    // SAFETY: this function's contract.
    unsafe {
        let mut acc = [[S::splat(0.0); NV]; R];
        for (r, acc) in acc.iter_mut().enumerate() {
            let shrink = S::splat(shrink[row + r]);
            for (c, acc) in acc.iter_mut().enumerate() {
                *acc = S::mul(shrink, S::load(sums.add(r * space.width + c * S::LANES)));
            }
        }
        let mut j = low;
        while j < high {
            let (at, step, run) = chunk.values.run(start + j);
            let end = high.min(j.saturating_add(run));
            sum_run::<S, T, R, NV>(&mut acc, weights.add(j), space.block, at.add(column), step, end - j);
            j = end;
        }
        let zero = S::splat(0.0);
        let odd = acc.iter().flatten().fold(zero, |odd, x| S::fma(*x, zero, odd));
        for (r, acc) in acc.iter().enumerate() {
            if S::sum(odd) != 0.0 {
                let (weights, sums) = (weights.add(r * space.block), space.o.add((row + r) * space.width));
                let columns = column..column + columns;
                chunk.add_guarded(weights, sums, shrink[row + r], start, (low, high), columns);
                continue;
            }
            for (c, acc) in acc.iter().enumerate() {
                S::store(sums.add(r * space.width + c * S::LANES), *acc);
            }
        }
    }
    columns
}

/// Adds `count` values at `at` and `step`, each times its weight.
///
/// # Safety
///
/// There are so many values, each of `NV` vectors, and weights for `R` rows at `weights` in steps of `block`.
#[inline(always)]
unsafe fn sum_run<S: Simd, T: Float, const R: usize, const NV: usize>(
    acc: &mut [[S::V; NV]; R],
    weights: *const f32,
    block: usize,
    mut at: *const T,
    step: isize,
    count: usize,
) {
    // SAFETY: this function's contract.
    unsafe {
        for j in 0..count {
            let mut value = [S::splat(0.0); NV];
            for (c, value) in value.iter_mut().enumerate() {
                *value = S::load_as(at.wrapping_add(c.wrapping_mul(S::LANES)));
            }
            for (r, acc) in acc.iter_mut().enumerate() {
                let weight = S::splat_word(weights.wrapping_add(r.wrapping_mul(block).wrapping_add(j)));
                for (acc, value) in acc.iter_mut().zip(value) {
                    *acc = S::fma(weight, value, *acc);
                }
            }
            at = at.wrapping_offset(step);
        }
    }
}
