//! Few rows times columns of B that are contiguous: a language model's decoding, whose weights [n, k] are read transposed.
//! A warp, or several, multiply four columns with all rows: B is read once, 16 bytes a lane, and A comes from the caches.

use super::Task;
use super::arguments::{Args, Place, Vals, arguments, bytes, each};
use super::finish::finish;
use super::format::Format;
use super::real::Real;
use crate::device::cuda::{Key, Stream};
use crate::dtype::Dtype;
use crate::kernels::gpu::Array;
use crate::ops::matmul::problem::{Problem, View};
use crate::ptx::{Builder, Global, Kernel, Load, Ptr, Reg, Shape, Shared, Target};
use crate::status::Result;

/// How many rows of A there are kernels for; between them, the last row is computed more than once.
pub(super) const ROWS: [u32; 4] = [1, 2, 4, 8];
/// Columns of B that a warp multiplies at once.
pub(super) const COLUMNS: u32 = 4;
/// 16 bytes that a lane has under way of each column.
const UNROLL: u32 = 2;
const THREADS: u32 = 256;
const WARPS: u32 = THREADS / 32;

/// Few rows, and rows of A and columns of B that are contiguous and aligned to 16 bytes; columns of blocks need not be.
pub fn accepts(task: &Task, _: &Stream) -> bool {
    let p = &task.problem;
    p.m <= 8 && p.k > 0 && p.a.col == 1 && p.b.row == 1 && is_aligned(p, &p.a, p.a.row, 0, p.m) && {
        p.b.dtype.is_quantised() || is_aligned(p, &p.b, p.b.col, 1, p.n)
    }
}

/// So few of them that nothing else reads B faster.
pub fn is_fastest(task: &Task, stream: &Stream) -> bool {
    task.problem.m <= 2 && accepts(task, stream)
}

/// Whether all of a view's lines, of which there are `count`, `stride` elements apart, begin at multiples of 16 bytes.
pub fn is_aligned(p: &Problem, view: &View, stride: isize, operand: usize, count: usize) -> bool {
    let stride = if count == 1 { 0 } else { bytes(view, stride) };
    let batch = p.axes().iter().fold(0, |all, axis| all | bytes(view, axis.1[operand]));
    (view.at as u64 | stride | batch).is_multiple_of(16)
}

/// Multiplies.
pub fn run(task: &Task, stream: &Stream) -> Result<()> {
    let p = &task.problem;
    let (types, rows) = ([p.a.dtype, p.b.dtype], rows_for(p.m));
    let split = split(p, stream.gpu().description.multiprocessors);
    let args = Args { more: [split, 0, 0], ..arguments(p) };
    let [a, b] = types.map(|dtype| dtype as u32);
    let format = p.b.dtype.is_quantised().then(|| Format::of(p));
    let key = Key("matmul_rows", [a, b, rows, format.map_or(0, Format::number), 0, 0, 0, 0]);
    let kernel = stream.kernel(key, |target| write(target, types, rows, format))?;
    let blocks = (p.n as u64).div_ceil(u64::from(COLUMNS * (WARPS >> split)));
    each(p, stream, blocks, &args, |stream, grid, args| {
        // SAFETY: the operands live as long as the request's work; the kernel stays inside them, 16 bytes of which are
        // aligned.
        unsafe { kernel.launch(stream, grid, args) }
    })
}

/// The kernel's rows for `m` rows.
pub fn rows_for(m: usize) -> u32 {
    (m as u32).next_power_of_two()
}

/// How many warps share a column, as a power of two: more where there would be too few for the device, as long as each has
/// something to do.
fn split(p: &Problem, multiprocessors: u32) -> u32 {
    let warps = p.batches() as f64 * (p.n as f64 / f64::from(COLUMNS)).ceil();
    let enough = f64::from(multiprocessors * 2 * WARPS);
    let turns = match p.b.dtype.is_quantised() {
        true => p.k / 256,
        false => p.k * p.b.dtype.size() / (512 * UNROLL as usize),
    };
    (0..WARPS.ilog2())
        .take_while(|split| warps * f64::from(1 << split) < enough && turns >> split > 1)
        .count() as u32
}

/// The kernel for these types of A and B, how B's blocks lie if it has any, and so many rows.
pub fn write(target: Target, types: [Dtype; 2], rows: u32, format: Option<Format>) -> Result<Kernel<Args>> {
    let name = types.map(|dtype| dtype.name().to_lowercase()).join("_");
    let aligned = format.map_or(0, Format::number);
    let shape = Shape::new(format!("matmul_rows_{name}_{rows}_{aligned}"), target, [THREADS, 1, 1]);
    match types[0] {
        Dtype::F64 => build::<f64>(&shape.min_blocks(1), types, rows, format),
        _ => build::<f32>(&shape, types, rows, format),
    }
}

fn build<R: Real>(
    shape: &Shape,
    types: [Dtype; 2],
    rows: u32,
    format: Option<Format>,
) -> Result<Kernel<Args>> {
    Kernel::build(shape, |k, v: Vals<'_>| {
        let parts = k.shared::<R>(WARPS * rows * COLUMNS);
        let block = Block::<R> { k, v: &v, types, rows, format, parts };
        v.each_place(k, |place| block.columns(place));
    })
}

/// What a block keeps from part to part.
pub(super) struct Block<'v, 'k, R: Real> {
    pub k: &'k Builder,
    pub v: &'v Vals<'k>,
    pub types: [Dtype; 2],
    rows: u32,
    format: Option<Format>,
    /// Of each warp, its sums.
    parts: Ptr<'k, Shared<R>>,
}

/// A lane's lines of A and B, and its sums.
pub(super) struct Lane<'k, R: Real> {
    /// Addresses.
    pub a: Vec<Reg<'k, u64>>,
    pub b: Vec<Reg<'k, u64>>,
    /// Of each row, those with each column.
    pub sums: Vec<Reg<'k, R>>,
}

impl<'k, R: Real> Block<'_, 'k, R> {
    /// The columns of one part of the work.
    fn columns(&self, place: &Place<'k>) {
        let (k, split) = (self.k, self.v.more[0]);
        let groups = k.shr(WARPS, split);
        let first = k.mul_wide(place.part, groups);
        let lane = self.lane(place, (first + (k.warp() >> split).to::<u64>()) * u64::from(COLUMNS));
        match self.format {
            Some(format) => self.multiply_blocks(&lane, format),
            None => self.multiply(&lane),
        }
        for (index, sum) in lane.sums.iter().enumerate() {
            let total = k.warp_sum(*sum);
            let to = self.parts.at(k.warp() * (self.rows * COLUMNS)).plus(index as i32);
            to.store_if(k.lane().eq(0u32), total);
        }
        k.barrier();
        self.finish(place, first, groups);
        k.barrier(); // so that the next sums do not overwrite what others still read
    }

    /// Columns from `col` on. Where there are no more, or no more rows, the last one is taken again.
    fn lane(&self, place: &Place<'k>, col: Reg<'k, u64>) -> Lane<'k, R> {
        let (k, v) = (self.k, self.v);
        let (last_row, last_col) = (v.m - 1u64, v.n - 1u64);
        let a = |row: u32| k.mad(k.min(last_row, u64::from(row)), v.strides.get(0), place.at[0]);
        let b = |n: u32| k.mad(k.min(last_col, col + u64::from(n)), v.strides.get(3), place.at[1]);
        Lane {
            a: (0..self.rows).map(a).collect(),
            b: (0..COLUMNS).map(b).collect(),
            sums: (0..self.rows * COLUMNS).map(|_| k.var(R::constant(0.0))).collect(),
        }
    }

    /// Elements that a lane takes at once.
    fn width(&self) -> u64 {
        16 / self.types[1].size() as u64
    }

    /// Sums up this lane's share.
    fn multiply(&self, lane: &Lane<'k, R>) {
        let (k, end, split) = (self.k, self.v.k, self.v.more[0]);
        let part = k.warp() & (k.shl(1u32, split) - 1u32);
        let at = k.var(k.mad(part, 32u32, k.lane()).to::<u64>() * self.width());
        let step = k.shl(32u32, split).to::<u64>() * self.width();
        let far = step * u64::from(UNROLL - 1) + self.width();
        k.repeat_while(
            || (at + far).le(end),
            || {
                self.turn(lane, at, step, UNROLL);
                at.set(k.mad(step, u64::from(UNROLL), at));
            },
        );
        k.repeat_while(
            || (at + self.width()).le(end),
            || {
                self.turn(lane, at, step, 1);
                at.set(at + step);
            },
        );
        self.tail(lane, part);
    }

    /// `unroll` times 16 bytes of each column, from element `at` on, `step` elements apart.
    fn turn(&self, lane: &Lane<'k, R>, at: Reg<'k, u64>, step: Reg<'k, u64>, unroll: u32) {
        let k = self.k;
        let starts: Vec<Reg<'k, u64>> = (0..unroll).map(|n| k.mad(step, u64::from(n), at)).collect();
        let words: Vec<Vec<[Reg<'k, u32>; 4]>> = starts
            .iter()
            .map(|&at| lane.b.iter().map(|&b| self.words(1, b, at).load_vec::<4>()).collect())
            .collect();
        for (&at, words) in starts.iter().zip(&words) {
            let b: Vec<Vec<Reg<'k, R>>> = words.iter().map(|words| self.values(1, words)).collect();
            for (row, &a) in lane.a.iter().enumerate() {
                let a = self.row_values(a, at);
                for (column, b) in b.iter().enumerate() {
                    let sum = lane.sums[row * COLUMNS as usize + column];
                    a.iter().zip(b).for_each(|(&a, &b)| sum.set(k.fma(a, b, sum)));
                }
            }
        }
    }

    /// The elements of operand `operand` in these words.
    pub fn values(&self, operand: usize, words: &[Reg<'k, u32>]) -> Vec<Reg<'k, R>> {
        R::values(self.k, self.types[operand], words)
    }

    /// Where element `at` of operand `operand`'s line `line` is.
    pub fn words(&self, operand: usize, line: Reg<'k, u64>, at: Reg<'k, u64>) -> Ptr<'k, Global<u32>> {
        let at = self.k.mad(at, self.types[operand].size() as u64, line);
        Ptr::new(at).loading(if operand == 0 { Load::ReadOnly } else { Load::Stream })
    }

    /// As many elements of a row of A as 16 bytes of B hold: 8, 16 or 32 bytes.
    fn row_values(&self, line: Reg<'k, u64>, at: Reg<'k, u64>) -> Vec<Reg<'k, R>> {
        let words = self.words(0, line, at);
        match self.width() as usize * self.types[0].size() {
            8 => self.values(0, &words.load_vec::<2>()),
            16 => self.values(0, &words.load_vec::<4>()),
            _ => self.values(0, &[words.load_vec::<4>(), words.plus(4).load_vec::<4>()].concat()),
        }
    }

    /// What is left of k after whole 16 bytes, an element a lane of the first warp of a column.
    fn tail(&self, lane: &Lane<'k, R>, part: Reg<'k, u32>) {
        let (k, end) = (self.k, self.v.k);
        let rest = end & (self.width() - 1);
        let at = end - rest + k.lane().to::<u64>();
        k.when(part.eq(0u32) & at.lt(end), || {
            let element = |operand: usize, line: Reg<'k, u64>| {
                let dtype = self.types[operand];
                Array::new(k, dtype, line).at(at).load::<R>()
            };
            let b: Vec<Reg<'k, R>> = lane.b.iter().map(|&line| element(1, line)).collect();
            for (a, sums) in lane.a.iter().zip(lane.sums.chunks(COLUMNS as usize)) {
                let a = element(0, *a);
                sums.iter().zip(&b).for_each(|(sum, &b)| sum.set(k.fma(a, b, *sum)));
            }
        });
    }

    /// Adds up what the warps of a column have, and writes D.
    fn finish(&self, place: &Place<'k>, first: Reg<'k, u64>, groups: Reg<'k, u32>) {
        let (k, v, each) = (self.k, self.v, self.rows * COLUMNS);
        let warps = k.shl(1u32, v.more[0]);
        k.steps(k.thread_x(), groups * each, THREADS, |number| {
            let group = number / each;
            let index = number - group * each;
            let sum = k.var(R::constant(0.0));
            let from = k.var(k.mad(group * warps, each, index));
            k.steps(0u32, warps, 1u32, |_| {
                sum.set(k.add(sum, self.parts.at(from).load()));
                from.set(from + each);
            });
            let row = (index / COLUMNS).to::<u64>();
            let col = (first + group.to::<u64>()) * u64::from(COLUMNS) + (index % COLUMNS).to::<u64>();
            k.when(row.lt(v.m) & col.lt(v.n), || finish(k, v, place, [row, col], sum));
        });
    }
}
