//! Chunks: rows of the query heads that share a head of keys, taken through the blocks of keys together by one thread.

use super::Attention;
use super::keys::Rows;
use super::line::{Line, Scorer};
use super::pack;
use super::plain::clear_outside;
use super::plan::Plan;
use super::simd::Simd;
use super::space::Space;
use crate::device::Cpu;
use crate::dtype::Float;
use crate::status::{Error, Result};
use parking_lot::Mutex;
use std::ops::Range;

/// What all chunks of a request share.
pub(super) struct Job<'a> {
    pub op: &'a Attention,
    pub plan: &'a Plan,
    pub scorer: Scorer,
}

/// Rows `first..end` of sequence `b` and head `kv_head` of the keys, counted over the heads of its group.
#[derive(Clone, Copy)]
pub(super) struct Task {
    b: usize,
    kv_head: usize,
    first: usize,
    end: usize,
}

/// How a request is cut into chunks.
pub(super) struct Cut {
    /// Rows a chunk, at most.
    pub rows: usize,
    /// Nanoseconds that a row takes for a key and an element of k and v.
    pub ns: f64,
}

/// Runs `chunk` over all rows of `op`.
pub(super) fn run<T: Float>(
    op: &Attention,
    cpu: &Cpu,
    cut: Cut,
    chunk: impl Fn(&Job, &Task) -> Result<()> + Sync,
) -> Result<()> {
    let plan = Plan::new(op)?;
    clear_outside::<T>(op, &plan);
    let tasks = tasks(op, &plan, cut.rows)?;
    let job = Job { op, plan: &plan, scorer: Scorer::new(op) };
    let pairs: f64 = plan.sequences.iter().map(|s| s.rows as f64 * s.keys as f64).sum();
    let total_ns = pairs * op.shape.heads as f64 * (op.shape.dim + op.shape.dim_v + 8) as f64 * cut.ns;
    let failed: Mutex<Option<Error>> = Mutex::new(None);
    cpu.parallel(tasks.len(), total_ns as u64, |number| {
        if let Err(error) = chunk(&job, &tasks[number]) {
            *failed.lock() = Some(error);
        }
    });
    failed.into_inner().map_or(Ok(()), Err)
}

fn tasks(op: &Attention, plan: &Plan, rows: usize) -> Result<Vec<Task>> {
    let group = op.shape.group();
    let each = |rows_in: usize| (rows_in * group).div_ceil(rows) * op.shape.kv_heads;
    let count = plan.sequences.iter().map(|sequence| each(sequence.rows)).sum::<usize>();
    let mut tasks = Vec::new();
    let bytes = count.saturating_mul(size_of::<Task>());
    tasks.try_reserve_exact(count).map_err(|_| Error::out_of_memory(bytes))?;
    for (b, sequence) in plan.sequences.iter().enumerate() {
        let all = sequence.rows * group;
        for kv_head in 0..op.shape.kv_heads {
            let starts = (0..all).step_by(rows);
            tasks.extend(starts.map(|first| Task { b, kv_head, first, end: (first + rows).min(all) }));
        }
    }
    Ok(tasks)
}

/// A chunk at work.
pub(super) struct Chunk<'a, T> {
    pub op: &'a Attention,
    pub plan: &'a Plan,
    pub count: usize,
    pub keys: Rows<'a, T>,
    pub values: Rows<'a, T>,
    pub space: &'a Space,
}

impl<'a, T: Float> Chunk<'a, T> {
    /// Packs the queries and clears the sums.
    ///
    /// # Safety
    ///
    /// `space` was made for `S`, this request's shape and the rows of the task; `S` is there.
    #[inline(always)]
    pub unsafe fn new<S: Simd>(job: &Job<'a>, task: &Task, space: &'a Space) -> Self {
        let (op, plan, count) = (job.op, job.plan, task.end - task.first);
        for row in 0..count {
            let line = Line::new(op, plan, task.b, task.kv_head, task.first + row);
            let stride = op.q.layout().stride(3);
            let at = space.q.wrapping_add(row * space.padded);
            // SAFETY: `space` has lines and packed queries for every row; a row of q has D elements.
            unsafe {
                space.lines.add(row).write(line);
                pack::row::<S, T>(line.query(op, plan), stride, op.shape.dim, at, space.padded);
            }
        }
        // SAFETY: the sums have `count` rows of `width`.
        unsafe { space.o.write_bytes(0, count * space.width) };
        let keys = Rows::new(op, &op.k, plan, task.b, task.kv_head);
        let values = Rows::new(op, &op.v, plan, task.b, task.kv_head);
        Self { op, plan, count, keys, values, space }
    }

    /// The rows, of which `new` has written every one.
    fn lines(&self) -> &[Line] {
        // SAFETY: written by `new`; what changes them (a part, `decode`) holds a reference only while it is called.
        unsafe { std::slice::from_raw_parts(self.space.lines, self.count) }
    }

    /// The blocks of keys that rows may see: where one starts, and how many keys it has.
    pub fn blocks(&self) -> impl Iterator<Item = (usize, usize)> + use<T> {
        let block = self.space.block;
        let end = self.lines().iter().map(|line| line.seen.to.max(line.seen.kept)).max().unwrap_or(0);
        let kept = self.lines().iter().map(|line| line.seen.kept).max().unwrap_or(0);
        let from =
            self.lines().iter().filter(|line| line.seen.from < line.seen.to).map(|line| line.seen.from);
        let from = from.min().unwrap_or(end);
        let starts = (0..end).step_by(block).filter(move |start| *start < kept || start + block > from);
        starts.map(move |start| (start, block.min(end - start)))
    }

    /// What rows `first..first + count` see of a block, from its start.
    pub fn hull(&self, first: usize, count: usize, start: usize, end: usize) -> Option<(usize, usize)> {
        let hulls =
            self.lines()[first..first + count].iter().filter_map(|line| line.seen.hull(start, start + end));
        let hull = hulls.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        hull.map(|(low, high)| (low - start, high - start))
    }

    /// Writes the results.
    ///
    /// # Safety
    ///
    /// `S` is there.
    #[inline(always)]
    pub unsafe fn finish<S: Simd>(&self) {
        for (row, line) in self.lines().iter().enumerate() {
            // SAFETY: this function's contract; the sums have a row of `width` for each line.
            unsafe { line.finish::<S, T>(self.op, self.plan, self.space.o.add(row * self.space.width)) };
        }
    }

    /// Adds `columns` of the values of keys `low..high` of a block to the sums of a row one by one, those of weight 0 never: what is
    /// infinite or NaN in them must not reach a row that does not see it.
    ///
    /// # Safety
    ///
    /// The row's scores hold its weights for these keys, which are in use.
    pub unsafe fn add_guarded(
        &self,
        weights: *const f32,
        sums: *mut f32,
        shrink: f32,
        start: usize,
        (low, high): (usize, usize),
        columns: Range<usize>,
    ) {
        // SAFETY: this function's contract; sums has a row of Dv, and so has each value in use.
        unsafe {
            columns.clone().for_each(|d| sums.add(d).write(sums.add(d).read() * shrink));
            for j in low..high {
                let weight = weights.add(j).read();
                if weight == 0.0 {
                    continue;
                }
                let value = self.values.row(start + j);
                for d in columns.clone() {
                    let x = value.wrapping_offset(d as isize * self.values.stride).read().to_f32();
                    sums.add(d).write(sums.add(d).read() + weight * x);
                }
            }
        }
    }
}

impl Task {
    /// How many rows.
    pub fn count(&self) -> usize {
        self.end - self.first
    }
}
