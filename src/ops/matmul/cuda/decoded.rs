//! Any product with weights in blocks: they are decoded to memory, a part of the columns at a time, and multiplied from
//! there in whichever way is best.

use super::format::Format;
use super::{Task, best};
use crate::device::cuda::{Key, Stream};
use crate::dtype::Dtype;
use crate::kernels::gpu::Array;
use crate::ops::matmul::problem::{Problem, View};
use crate::ops::matmul::{WEFT_COMPUTE_F32, WEFT_COMPUTE_I8};
use crate::ptx::{Bf16x2, Builder, Global, Kernel, Ptr, Reg, Shape, Target, params};
use crate::status::Result;

const THREADS: u32 = 256;
/// Blocks of a launch for each multiprocessor, at most.
const BLOCKS: u64 = 16;
/// Bytes of decoded columns at a time, about.
const ROOM: usize = 512 << 20;
/// Columns that are decoded together are a multiple of it, where they are not all.
const COLUMNS: usize = 256;

params! {
    /// Blocks that are decoded.
    pub struct Args / Vals {
        /// The first.
        from: u64,
        /// Bytes from a column to the next.
        step: u64,
        /// Where the elements go, column after column.
        to: u64,
        /// Blocks of a column.
        blocks: u64,
        /// Lanes' shares of all of them.
        shares: u64,
    }
}

params! {
    /// Elements that change their type.
    pub struct CopyArgs / CopyVals {
        /// The first.
        from: u64,
        /// Bytes from a row, and from a column, to the next.
        row: u64,
        col: u64,
        /// Where they go, row after row.
        to: u64,
        /// Elements of a row.
        k: u64,
        /// All elements.
        count: u64,
    }
}

/// Multiplies.
pub fn run(task: &Task, stream: &Stream) -> Result<()> {
    let p = &task.problem;
    if p.k == 0 {
        return best(task, stream);
    }
    let to = decoded_type(task);
    let column = p.k.saturating_mul(to.size());
    let rows = if p.a.dtype == to { 0 } else { column.saturating_mul(p.m) };
    let most = ROOM.min(task.workspace.saturating_sub(rows)) / column;
    let at_once = if most < COLUMNS { most.max(1) } else { most / COLUMNS * COLUMNS }.min(p.n);
    let bytes = column.saturating_mul(at_once);
    let left = task.take_room(bytes.saturating_add(rows))?;
    let b = stream.scratch(bytes)?;
    let a = if rows == 0 { 0 } else { stream.scratch(rows)? };
    // One copy of the weights serves all matrices where they share them.
    let shared = a == 0 && p.axes().iter().all(|axis| axis.1[1] == 0);
    for number in 0..if shared { 1 } else { p.batches() } {
        let p = if shared { *p } else { p.matrix(number) };
        let a = if a == 0 { p.a } else { copy(&p, stream, to, a)? };
        for col in (0..p.n).step_by(at_once) {
            let cols = at_once.min(p.n - col);
            let b = decode(&p, stream, [col, cols], to, b)?;
            best(&part(task, p.columns(col, cols, [a, b]), left), stream)?;
        }
    }
    Ok(())
}

/// What weights are decoded to: f32, unless the factors may be rounded to less than bfloat16 has.
fn decoded_type(task: &Task) -> Dtype {
    if task.compute == WEFT_COMPUTE_I8 { Dtype::Bf16 } else { Dtype::F32 }
}

/// A part of the task, its weights decoded, and so much room left.
fn part(task: &Task, problem: Problem, workspace: usize) -> Task {
    Task { problem, workspace, compute: compute(task), extras: None, ..task.again() }
}

/// The same task, all of its weights decoded to f32.
pub fn in_full(task: Task, stream: &Stream) -> Result<Task> {
    let compute = compute(&task);
    let (mut task, mut count) = (Task { compute, ..task.again() }, 1usize);
    let p = task.problem;
    let Some(extras) = task.extras.as_mut().filter(|_| p.k > 0) else { return Ok(task) };
    let matrix = p.n.saturating_mul(p.k).saturating_mul(Dtype::F32.size());
    let mut steps = Vec::new();
    for (dim, strides) in extras.axes.iter_mut().rev().filter(|axis| axis.1[1] != 0) {
        steps.push((*dim, strides[1]));
        strides[1] = matrix.saturating_mul(count) as isize;
        count = count.saturating_mul(*dim);
    }
    let bytes = matrix.saturating_mul(count);
    task.workspace = task.take_room(bytes)?;
    let to = stream.scratch(bytes)?;
    for number in 0..count {
        let (mut from, mut left) = (p.b, number);
        for &(dim, step) in &steps {
            from.at = from.at.wrapping_offset(step.wrapping_mul((left % dim) as isize));
            left /= dim;
        }
        let to = to + (number * matrix) as u64;
        let mut one = p;
        one.b = from;
        decode(&one, stream, [0, p.n], Dtype::F32, to)?;
    }
    let b = View { at: to as *mut u8, dtype: Dtype::F32, row: 1, col: p.k as isize };
    task.problem.b = b;
    Ok(task)
}

/// What is computed once weights are decoded.
fn compute(task: &Task) -> u32 {
    if task.compute == WEFT_COMPUTE_I8 { WEFT_COMPUTE_F32 } else { task.compute }
}

/// A grid for so many threads' work.
fn grid(stream: &Stream, threads: u64) -> [u32; 3] {
    let most = stream.gpu().description.multiprocessors as u64 * BLOCKS;
    [threads.div_ceil(u64::from(THREADS)).clamp(1, most) as u32, 1, 1]
}

/// Queues the decoding of some columns of B to `at`; how they lie there.
fn decode(p: &Problem, stream: &Stream, [col, cols]: [usize; 2], to: Dtype, at: u64) -> Result<View> {
    let format = Format::of(p);
    let first = p.b.moved((col as isize).wrapping_mul(p.b.col));
    let blocks = (p.k / p.b.dtype.block()) as u64;
    let args = Args {
        from: first.at as u64,
        step: super::arguments::bytes(&p.b, p.b.col),
        to: at,
        blocks,
        shares: cols as u64 * blocks * u64::from(format.lanes()),
    };
    let dtype = p.b.dtype;
    let key = Key("matmul_decode", [dtype as u32, format.number(), to as u32, 0, 0, 0, 0, 0]);
    let kernel = stream.kernel(key, |target| write(target, dtype, format, to))?;
    // SAFETY: the columns' blocks live as long as the request's work, and so does the scratch memory, which holds their
    // elements; blocks are aligned as the format says.
    unsafe { kernel.launch(stream, grid(stream, args.shares), &args)? };
    Ok(View { at: at as *mut u8, dtype: to, row: 1, col: p.k as isize })
}

/// Queues the conversion of A to `at`; how it lies there.
fn copy(p: &Problem, stream: &Stream, to: Dtype, at: u64) -> Result<View> {
    let stride = |stride| super::arguments::bytes(&p.a, stride);
    let (row, col) = (stride(p.a.row), stride(p.a.col));
    let count = p.m as u64 * p.k as u64;
    let args = CopyArgs { from: p.a.at as u64, row, col, to: at, k: p.k as u64, count };
    let from = p.a.dtype;
    let key = Key("matmul_convert", [from as u32, to as u32, 0, 0, 0, 0, 0, 0]);
    let kernel = stream.kernel(key, |target| write_copy(target, [from, to]))?;
    // SAFETY: A lives as long as the request's work, and so does the scratch memory, which holds as many elements.
    unsafe { kernel.launch(stream, grid(stream, count), &args)? };
    Ok(View { at: at as *mut u8, dtype: to, row: p.k as isize, col: 1 })
}

/// The kernel that decodes blocks of `dtype` to elements of `to`.
pub fn write(target: Target, dtype: Dtype, format: Format, to: Dtype) -> Result<Kernel<Args>> {
    let name = [dtype, to].map(|dtype| dtype.name().to_lowercase()).join("_");
    let name = format!("matmul_decode_{name}_{}", format.number());
    Kernel::build(&Shape::new(name, target, [THREADS, 1, 1]), |k, v: Vals<'_>| {
        each(k, v.shares, |share| {
            let lane = share.to::<u32>() & (format.lanes() - 1);
            let number = share >> format.lanes().ilog2();
            let column = k.div(number, v.blocks);
            let start = k.mad(column, v.step, v.from);
            let at = k.mad(number - column * v.blocks, format.bytes(), start);
            let values = format.values(k, &format.fetch(k, at, lane), lane);
            let first = number << format.items().ilog2();
            for (values, offset) in values.iter().zip(format.offsets(k, lane)) {
                store(k, to, k.mad(first + offset.to::<u64>(), to.size() as u64, v.to), values);
            }
        });
    })
}

/// The kernel that converts elements.
pub fn write_copy(target: Target, [from, to]: [Dtype; 2]) -> Result<Kernel<CopyArgs>> {
    let name = format!("matmul_convert_{}", [from, to].map(|dtype| dtype.name().to_lowercase()).join("_"));
    Kernel::build(&Shape::new(name, target, [THREADS, 1, 1]), |k, v: CopyVals<'_>| {
        each(k, v.count, |number| {
            let row = k.div(number, v.k);
            let at = k.mad(number - row * v.k, v.col, k.mad(row, v.row, v.from));
            let value = Array::new(k, from, at).load::<f32>();
            Array::new(k, to, v.to).at(number).store(value);
        });
    })
}

/// Runs `body` for each number below `count`, one thread each.
fn each<'k>(k: &'k Builder, count: Reg<'k, u64>, body: impl FnOnce(Reg<'k, u64>)) {
    let number = k.var(k.mad_wide(k.block_x(), THREADS, k.thread_x().to::<u64>()));
    let step = k.mul_wide(k.grid_blocks_x(), THREADS);
    k.repeat_while(
        || number.lt(count),
        || {
            body(number);
            number.set(number + step);
        },
    );
}

/// Stores two or four neighbours, aligned to all of them.
fn store<'k>(k: &'k Builder, to: Dtype, at: Reg<'k, u64>, values: &[Reg<'k, f32>]) {
    match (to, values) {
        (Dtype::Bf16, &[a, b]) => Ptr::<Global<Bf16x2>>::new(at).store(k.pair::<Bf16x2>(a, b)),
        (Dtype::Bf16, &[a, b, c, d]) => {
            Ptr::<Global<Bf16x2>>::new(at).store_vec([k.pair::<Bf16x2>(a, b), k.pair::<Bf16x2>(c, d)]);
        }
        (_, &[a, b]) => Ptr::<Global<f32>>::new(at).store_vec([a, b]),
        (_, &[a, b, c, d]) => Ptr::<Global<f32>>::new(at).store_vec([a, b, c, d]),
        _ => unreachable!("runs are of two or four"),
    }
}
