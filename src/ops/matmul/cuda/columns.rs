//! Few rows times rows of B that are contiguous: weights [k, n] as they are. Eight lanes read 128 bytes of a row, the
//! block 32 rows at once; blocks share k where there are too few of them, and a second kernel adds up what they have.

use super::Task;
use super::arguments::{Args, Place, Vals, arguments, each};
use super::finish::{self, finish};
use super::real::Real;
use super::rows::{is_aligned, rows_for};
use crate::device::cuda::{Key, Stream};
use crate::dtype::Dtype;
use crate::kernels::gpu::Array;
use crate::ops::matmul::problem::Problem;
use crate::ptx::{Builder, Global, Kernel, Load, Ptr, Reg, Shape, Shared, Target};
use crate::status::Result;

const THREADS: u32 = 256;
const WARPS: u32 = THREADS / 32;
/// Lanes beside each other in a row of B.
const LANES: u32 = 8;
/// Rows of B that a block reads at once.
const DEPTH: u32 = THREADS / LANES;
/// 16 bytes that a thread has under way.
const UNROLL: u32 = 4;

/// Columns of B in 16 bytes.
fn width(dtype: Dtype) -> u32 {
    16 / dtype.size() as u32
}

/// Few rows, and rows of B that are contiguous, aligned to 16 bytes and a multiple of 16 bytes long.
pub fn accepts(task: &Task, _: &Stream) -> bool {
    let p = &task.problem;
    let whole = p.n.is_multiple_of(width(p.b.dtype) as usize);
    p.m <= 8 && p.k > 0 && p.b.col == 1 && whole && is_aligned(p, &p.b, p.b.row, 1, p.k)
}

/// Multiplies.
pub fn run(task: &Task, stream: &Stream) -> Result<()> {
    let p = &task.problem;
    let (types, rows) = ([p.a.dtype, p.b.dtype], rows_for(p.m));
    let across = (p.n as u64).div_ceil(u64::from(LANES * width(p.b.dtype)));
    let wanted = parts(p, across, stream.gpu().description.multiprocessors);
    let parts = if bytes_of_sums(p).saturating_mul(wanted as usize) <= task.workspace { wanted } else { 1 };
    let sums = if parts > 1 { stream.scratch(bytes_of_sums(p) * parts as usize)? } else { 0 };
    let args = Args { more: [across as u32, parts, 0], sums, ..arguments(p) };
    let [a, b] = types.map(|dtype| dtype as u32);
    let key = Key("matmul_columns", [a, b, rows, 0, 0, 0, 0, 0]);
    let kernel = stream.kernel(key, |target| write(target, types, rows))?;
    each(p, stream, across * u64::from(parts), &args, |stream, grid, args| {
        // SAFETY: the operands live as long as the request's work, and so do the sums; the kernel stays inside them, 16
        // bytes of B are aligned.
        unsafe { kernel.launch(stream, grid, args) }
    })?;
    if parts > 1 { finish::run(p, stream, sums, parts) } else { Ok(()) }
}

/// Bytes of [batches, m, n] sums.
pub fn bytes_of_sums(p: &Problem) -> usize {
    let size = if p.a.dtype == Dtype::F64 { 8 } else { 4 };
    p.batches().saturating_mul(p.m).saturating_mul(p.n).saturating_mul(size)
}

/// Among how many blocks k is shared: so that there are a few for each multiprocessor, each with something to do.
fn parts(p: &Problem, across: u64, multiprocessors: u32) -> u32 {
    let blocks = across.saturating_mul(p.batches() as u64);
    let wanted = u64::from(multiprocessors * 4).div_ceil(blocks);
    wanted.min(p.k as u64 / u64::from(2 * DEPTH * UNROLL)).clamp(1, 32) as u32
}

/// The kernel for these types of A and B and so many rows.
pub fn write(target: Target, types: [Dtype; 2], rows: u32) -> Result<Kernel<Args>> {
    let name = types.map(|dtype| dtype.name().to_lowercase()).join("_");
    let shape = Shape::new(format!("matmul_columns_{name}_{rows}"), target, [THREADS, 1, 1]);
    match types[0] {
        Dtype::F64 => build::<f64>(&shape.min_blocks(1), types, rows),
        _ => build::<f32>(&shape, types, rows),
    }
}

fn build<R: Real>(shape: &Shape, types: [Dtype; 2], rows: u32) -> Result<Kernel<Args>> {
    Kernel::build(shape, |k, v: Vals<'_>| {
        let parts = k.shared::<R>(WARPS * rows * LANES * width(types[1]));
        let block = Block::<R> { k, v: &v, types, rows, parts };
        v.each_place(k, |place| block.slice(place));
    })
}

/// What a block keeps from part to part.
struct Block<'v, 'k, R: Real> {
    k: &'k Builder,
    v: &'v Vals<'k>,
    types: [Dtype; 2],
    rows: u32,
    /// Of each warp, its sums.
    parts: Ptr<'k, Shared<R>>,
}

/// A thread's rows of A, its columns of B, and its sums of each row, those with each column.
struct Thread<'k, R: Real> {
    a: Vec<Reg<'k, u64>>,
    b: Reg<'k, u64>,
    sums: Vec<Reg<'k, R>>,
}

impl<'k, R: Real> Block<'_, 'k, R> {
    /// Columns of a slice.
    fn columns(&self) -> u32 {
        LANES * width(self.types[1])
    }

    /// A slice of columns, for a part of k.
    fn slice(&self, place: &Place<'k>) {
        let (k, [across, ..]) = (self.k, self.v.more);
        let part = k.div(place.part, across);
        let from = (place.part - part * across).to::<u64>() * u64::from(self.columns());
        let thread = self.thread(place, from);
        self.multiply(&thread, part);
        self.gather(&thread);
        k.barrier();
        self.write(place, part, from);
        k.barrier(); // so that the next sums do not overwrite what others still read
    }

    /// Columns from `from` on. Where there are no more, or no more rows, the last ones are taken again.
    fn thread(&self, place: &Place<'k>, from: Reg<'k, u64>) -> Thread<'k, R> {
        let (k, v, width) = (self.k, self.v, width(self.types[1]));
        let (last_row, last_col) = (v.m - 1u64, v.n - u64::from(width));
        let a = |row: u32| k.mad(k.min(last_row, u64::from(row)), v.strides.get(0), place.at[0]);
        let col = from + ((k.thread_x() & (LANES - 1)) * width).to::<u64>();
        Thread {
            a: (0..self.rows).map(a).collect(),
            b: k.mad(k.min(last_col, col), self.types[1].size() as u64, place.at[1]),
            sums: (0..self.rows * width).map(|_| k.var(R::constant(0.0))).collect(),
        }
    }

    /// Sums up this thread's share of part `part` of k.
    fn multiply(&self, thread: &Thread<'k, R>, part: Reg<'k, u32>) {
        let (k, v) = (self.k, self.v);
        let parts = v.more[1].to::<u64>();
        let share = k.div(v.k + parts - 1u64, parts);
        let begin = share * part.to::<u64>();
        let end = k.min(begin + share, v.k);
        let at = k.var(begin + (k.thread_x() / LANES).to::<u64>());
        let turn = |unroll: u32| {
            let far = u64::from((unroll - 1) * DEPTH);
            k.repeat_while(
                || (at + far).lt(end),
                || {
                    self.turn(thread, at, unroll);
                    at.set(at + u64::from(unroll * DEPTH));
                },
            );
        };
        turn(UNROLL);
        turn(1);
    }

    /// `unroll` rows of B from `at` on, DEPTH apart.
    fn turn(&self, thread: &Thread<'k, R>, at: Reg<'k, u64>, unroll: u32) {
        let (k, v) = (self.k, self.v);
        let starts: Vec<Reg<'k, u64>> = (0..unroll).map(|n| at + u64::from(n * DEPTH)).collect();
        let load = |&at: &Reg<'k, u64>| {
            let from = k.mad(at, v.strides.get(2), thread.b);
            Ptr::<Global<u32>>::new(from).loading(Load::Stream).load_vec::<4>()
        };
        let words: Vec<_> = starts.iter().map(load).collect();
        for (&at, words) in starts.iter().zip(words) {
            let b = R::values(k, self.types[1], &words);
            for (&a, sums) in thread.a.iter().zip(thread.sums.chunks(b.len())) {
                let a = k.mad(at, v.strides.get(1), a);
                let a = Array::new(k, self.types[0], a).load::<R>();
                sums.iter().zip(&b).for_each(|(sum, &b)| sum.set(k.fma(a, b, *sum)));
            }
        }
    }

    /// Adds up what the lanes of a warp have of each column, and leaves it in shared memory.
    fn gather(&self, thread: &Thread<'k, R>) {
        let (k, width) = (self.k, width(self.types[1]));
        let first = k.mad(k.warp(), self.rows * self.columns(), (k.lane() & (LANES - 1)) * width);
        let to = self.parts.at(first);
        for (number, sum) in (0..).zip(&thread.sums) {
            let sum = *sum + k.shuffle_xor(*sum, LANES);
            let sum = sum + k.shuffle_xor(sum, 2 * LANES);
            let place = number / width * self.columns() + number % width;
            to.plus(place as i32).store_if(k.lane().lt(LANES), sum);
        }
    }

    /// Adds up what the warps have, and writes D, or the sums.
    fn write(&self, place: &Place<'k>, part: Reg<'k, u32>, from: Reg<'k, u64>) {
        let (k, v, all) = (self.k, self.v, self.rows * self.columns());
        k.steps(k.thread_x(), all, THREADS, |number| {
            let part_of = |warp: u32| self.parts.at(number).plus((warp * all) as i32).load();
            let sum = (1..WARPS).fold(part_of(0), |sum, warp| sum + part_of(warp));
            let row = (number / self.columns()).to::<u64>();
            let col = from + (number % self.columns()).to::<u64>();
            k.when(row.lt(v.m) & col.lt(v.n), || {
                let single = v.sums.eq(0u64);
                k.if_else(
                    single,
                    || finish(k, v, place, [row, col], sum),
                    || {
                        let matrix = k.mad(part.to::<u64>(), v.all, v.first + place.matrix.to::<u64>());
                        let element = k.mad(k.mad(matrix, v.m, row), v.n, col);
                        let at = k.mad(element, u64::from(R::SIZE), v.sums);
                        Ptr::<Global<R>>::new(at).store(sum);
                    },
                );
            });
        });
    }
}
