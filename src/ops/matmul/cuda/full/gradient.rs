//! Gradients of a bias: sums over the rows or columns of a matrix, of each matrix of a batch or of all together.

use crate::device::cuda::{Key, Stream};
use crate::dtype::Dtype;
use crate::kernels::gpu::Array;
use crate::ops::matmul::cuda::arguments::AXES;
use crate::ops::matmul::cuda::real::{Real, store_kind};
use crate::ptx::{Builder, Kernel, Ptr, Reg, Shape, Shared, Target, Words, params};
use crate::status::Result;

const THREADS: u32 = 256;
const WARPS: u32 = THREADS / 32;
/// Elements that a thread has under way.
const UNROLL: u32 = 16;
/// Blocks of a launch at most; they take several lines in turn.
const BLOCKS: u64 = 1 << 16;

params! {
    /// Sums of lines of elements. Strides are bytes.
    pub struct GradientArgs / GradientVals {
        /// Elements, and sums.
        from: u64,
        to: u64,
        /// Lines of a matrix, and elements of a line.
        lines: u64,
        length: u64,
        /// From a line, and from an element of a line, to the next; from a sum to the next.
        strides: [u64; 3],
        /// Batch axes, innermost first: dim, and strides of elements and sums.
        axes: Words<18>,
        /// How many of them.
        rank: u32,
        /// Matrices that are summed up together.
        together: u64,
        /// Blocks' worth of work of one sum of matrices, and of all.
        work: [u64; 2],
        /// The sums' dtype, as `real::kind` numbers it.
        kind: u32,
    }
}

/// What a gradient is computed of: in elements of `dtype`.
pub struct Source {
    pub dtype: Dtype,
    pub args: GradientArgs,
    /// How many sums of matrices there are.
    pub apart: u64,
}

/// Queues it.
pub fn run(source: &Source, stream: &Stream) -> Result<()> {
    let [line, inner, _] = source.args.strides;
    // Neighbouring threads read what lies nearer.
    let along = (inner as i64).unsigned_abs() <= (line as i64).unsigned_abs();
    let each = source.args.lines.div_ceil(u64::from(if along { WARPS } else { 32 }));
    let work = [each, each * source.apart];
    if work[1] == 0 {
        return Ok(());
    }
    let args = GradientArgs { work, ..source.args };
    let key = Key("matmul_gradient", [source.dtype as u32, u32::from(along), 0, 0, 0, 0, 0, 0]);
    let kernel = stream.kernel(key, |target| write(target, source.dtype, along))?;
    // SAFETY: the operands live as long as the request's work; the kernel stays inside them.
    unsafe { kernel.launch(stream, [work[1].min(BLOCKS) as u32, 1, 1], &args) }
}

/// The kernel for elements of this dtype, read along lines or across them.
pub fn write(target: Target, dtype: Dtype, along: bool) -> Result<Kernel<GradientArgs>> {
    let name = dtype.name().trim_start_matches("WEFT_").to_lowercase();
    let name = format!("matmul_gradient_{name}_{}", if along { "along" } else { "across" });
    let shape = Shape::new(name, target, [THREADS, 1, 1]).min_blocks(1);
    match dtype {
        Dtype::F64 => build::<f64>(&shape, dtype, along),
        _ => build::<f32>(&shape, dtype, along),
    }
}

fn build<R: Real>(shape: &Shape, dtype: Dtype, along: bool) -> Result<Kernel<GradientArgs>> {
    Kernel::build(shape, |k, v: GradientVals<'_>| {
        let shared = (!along).then(|| k.shared::<R>(THREADS));
        let number = k.var(k.block_x().to::<u64>());
        k.repeat_while(
            || number.lt(v.work[1]),
            || {
                let group = k.div(number, v.work[0]);
                let part = number - group * v.work[0];
                match shared {
                    None => sum_along::<R>(k, &v, dtype, group, part),
                    Some(shared) => sum_across(k, &v, dtype, group, part, shared),
                }
                number.set(number + k.grid_blocks_x().to::<u64>());
            },
        );
    })
}

/// A line a warp.
fn sum_along<'k, R: Real>(
    k: &'k Builder,
    v: &GradientVals<'k>,
    dtype: Dtype,
    group: Reg<'k, u64>,
    part: Reg<'k, u64>,
) {
    let line = part * u64::from(WARPS) + k.warp().to::<u64>();
    let sum = sum_line::<R>(k, v, dtype, group, line, [k.lane(), k.var(32u32)]);
    let total = k.warp_sum(sum);
    k.when(k.lane().eq(0u32), || put(k, v, group, line, total));
}

/// A line a lane, whose elements the warps share.
fn sum_across<'k, R: Real>(
    k: &'k Builder,
    v: &GradientVals<'k>,
    dtype: Dtype,
    group: Reg<'k, u64>,
    part: Reg<'k, u64>,
    shared: Ptr<'k, Shared<R>>,
) {
    let line = part * 32u64 + k.lane().to::<u64>();
    let sum = sum_line::<R>(k, v, dtype, group, line, [k.warp(), k.var(WARPS)]);
    shared.at(k.thread_x()).store(sum);
    k.barrier();
    k.when(k.warp().eq(0u32), || {
        let total = k.var(R::ZERO);
        for warp in 0..WARPS {
            total.set(k.add(total, shared.at(k.lane()).plus((warp * 32) as i32).load()));
        }
        put(k, v, group, line, total);
    });
    k.barrier(); // so that the next sums do not overwrite what is still read
}

/// Every `step`-th element of a line from `first` on, of all matrices that are summed up together.
fn sum_line<'k, R: Real>(
    k: &'k Builder,
    v: &GradientVals<'k>,
    dtype: Dtype,
    group: Reg<'k, u64>,
    line: Reg<'k, u64>,
    [first, step]: [Reg<'k, u32>; 2],
) -> Reg<'k, R> {
    let [stride, inner, _] = v.strides;
    let (sum, matrix) = (k.var(R::ZERO), k.var(0u64));
    let length = k.select(line.lt(v.lines), v.length, 0u64);
    let (first, step) = (first.to::<u64>(), step.to::<u64>());
    k.repeat_while(
        || matrix.lt(v.together),
        || {
            let start = locate(k, v, k.mad(group, v.together, matrix), 0, v.from);
            let start = k.mad(line, stride, start);
            let at = k.var(k.mad(first, inner, start));
            let number = k.var(first);
            let further = step * inner;
            k.repeat_while(
                || (number + step * u64::from(UNROLL - 1)).lt(length),
                || {
                    let place = |i: u32| Array::new(k, dtype, k.mad(further, u64::from(i), at));
                    let values: Vec<Reg<'k, R>> = (0..UNROLL).map(|i| place(i).load::<R>()).collect();
                    values.into_iter().for_each(|value| sum.set(k.add(sum, value)));
                    at.set(k.mad(further, u64::from(UNROLL), at));
                    number.set(number + step * u64::from(UNROLL));
                },
            );
            k.repeat_while(
                || number.lt(length),
                || {
                    sum.set(k.add(sum, Array::new(k, dtype, at).load::<R>()));
                    at.set(at + further);
                    number.set(number + step);
                },
            );
            matrix.set(matrix + 1u64);
        },
    );
    sum
}

/// Writes the sum of a line.
fn put<'k, R: Real>(
    k: &'k Builder,
    v: &GradientVals<'k>,
    group: Reg<'k, u64>,
    line: Reg<'k, u64>,
    sum: Reg<'k, R>,
) {
    k.when(line.lt(v.lines), || {
        let to = locate(k, v, group * v.together, 1, v.to);
        store_kind(k, v.kind, k.mad(line, v.strides[2], to), sum);
    });
}

/// Where elements (0) or sums (1) of matrix `number` begin.
fn locate<'k>(
    k: &'k Builder,
    v: &GradientVals<'k>,
    number: Reg<'k, u64>,
    which: usize,
    start: Reg<'k, u64>,
) -> Reg<'k, u64> {
    let (at, left) = (k.var(start), k.var(number));
    for axis in 0..AXES {
        k.when(v.rank.gt(axis as u32), || {
            let (dim, stride) = (v.axes.get(3 * axis), v.axes.get(3 * axis + 1 + which));
            let quotient = k.div(left, dim);
            at.set(k.mad(left - quotient * dim, stride, at));
            left.set(quotient);
        });
    }
    at
}
