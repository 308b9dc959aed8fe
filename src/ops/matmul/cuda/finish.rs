//! From sums to D: act(alpha x + beta C + bias), rounded once; and the kernel that does it for sums in memory, in one part
//! or several.

use super::arguments::{Args, Place, Vals, arguments, each};
use super::real::{Real, load_kind, store_kind};
use crate::device::cuda::{Key, Stream};
use crate::dtype::Dtype;
use crate::kernels::gpu::math;
use crate::ops::matmul::problem::Problem;
use crate::ops::matmul::{
    WEFT_EPILOGUE_GELU, WEFT_EPILOGUE_GELU_TANH, WEFT_EPILOGUE_RELU, WEFT_EPILOGUE_SILU,
};
use crate::ptx::{Builder, Global, Kernel, Ptr, Reg, Shape, Target};
use crate::status::Result;

const THREADS: u32 = 256;
/// Columns of a row that a block finishes.
const COLUMNS: u32 = 4 * THREADS;

/// Writes element (row, col) of D.
pub fn finish<'k, R: Real>(
    k: &'k Builder,
    v: &Vals<'k>,
    place: &Place<'k>,
    [row, col]: [Reg<'k, u64>; 2],
    sum: Reg<'k, R>,
) {
    let x = k.var(k.mul(sum, R::of(v.alpha)));
    let [d_kind, bias_kind] = v.kinds;
    let [.., d, c, bias] = place.at;
    k.when(v.at[3].ne(0u64), || {
        let c = load_kind::<R>(k, d_kind, v.element(c, 3, row, col));
        x.set(k.fma(c, R::of(v.beta), x));
    });
    k.when(v.at[4].ne(0u64), || {
        x.set(k.add(x, load_kind::<R>(k, bias_kind, v.element(bias, 4, row, col))));
    });
    apply(k, v.epilogue, &[x]);
    store_kind(k, d_kind, v.element(d, 2, row, col), x);
}

/// Applies an epilogue, a WEFT_EPILOGUE number, to each of `values`.
pub fn apply<'k, R: Real>(k: &'k Builder, epilogue: Reg<'k, u32>, values: &[Reg<'k, R>]) {
    let each = |f: fn(&'k Builder, Reg<'k, R>) -> Reg<'k, R>| values.iter().for_each(|x| x.set(f(k, *x)));
    k.when(epilogue.ne(0u32), || {
        k.when(epilogue.eq(WEFT_EPILOGUE_RELU), || each(math::relu));
        k.when(epilogue.eq(WEFT_EPILOGUE_GELU), || each(math::gelu));
        k.when(epilogue.eq(WEFT_EPILOGUE_GELU_TANH), || each(math::gelu_tanh));
        k.when(epilogue.eq(WEFT_EPILOGUE_SILU), || each(math::silu));
    });
}

/// Queues the finishing of sums that lie at `sums`: `parts` times [batches, m, n], packed, of the type that the elements of
/// `factors` sum up in.
pub fn run(p: &Problem, stream: &Stream, sums: u64, parts: u32) -> Result<()> {
    let across = (p.n as u64).div_ceil(u64::from(COLUMNS));
    let args = Args { sums, more: [across as u32, parts, 0], ..arguments(p) };
    let key = Key("matmul_finish", [u32::from(p.a.dtype == Dtype::F64), 0, 0, 0, 0, 0, 0, 0]);
    let kernel = stream.kernel(key, |target| write(target, p.a.dtype))?;
    each(p, stream, p.m as u64 * across, &args, |stream, grid, args| {
        // SAFETY: the operands live as long as the request's work, and so do the sums; the kernel stays inside them.
        unsafe { kernel.launch(stream, grid, args) }
    })
}

/// The kernel that finishes sums of what `factors` sums up in.
pub fn write(target: Target, factors: Dtype) -> Result<Kernel<Args>> {
    match factors {
        Dtype::F64 => build::<f64>(target, "f64"),
        _ => build::<f32>(target, "f32"),
    }
}

fn build<R: Real>(target: Target, name: &str) -> Result<Kernel<Args>> {
    // As many registers as it likes: it waits for memory anyway.
    let shape = Shape::new(format!("matmul_finish_{name}"), target, [THREADS, 1, 1]).min_blocks(1);
    Kernel::build(&shape, |k, v: Vals<'_>| v.each_place(k, |place| row_part::<R>(k, &v, place)))
}

/// A part of a row, a column a thread.
fn row_part<'k, R: Real>(k: &'k Builder, v: &Vals<'k>, place: &Place<'k>) {
    let [across, parts, _] = v.more;
    let row = k.div(place.part, across);
    let start = (place.part - row * across).to::<u64>() * u64::from(COLUMNS);
    let (row, matrix) = (row.to::<u64>(), v.first + place.matrix.to::<u64>());
    let line = k.mad(k.mad(matrix, v.m, row), v.n, start);
    let size = u64::from(R::SIZE);
    let line = k.mad(line, size, v.sums);
    let part = v.all * v.m * v.n * size;
    k.steps(k.thread_x(), COLUMNS, THREADS, |i| {
        let col = start + i.to::<u64>();
        k.when(col.lt(v.n), || {
            let sum = sum_parts(k, k.mad(i.to::<u64>(), size, line), part, parts);
            finish::<R>(k, v, place, [row, col], sum);
        });
    });
}

/// The sum of a value of each part, in order.
fn sum_parts<'k, R: Real>(
    k: &'k Builder,
    at: Reg<'k, u64>,
    step: Reg<'k, u64>,
    parts: Reg<'k, u32>,
) -> Reg<'k, R> {
    let at = k.var(at);
    let sum = k.var(Ptr::<Global<R>>::new(at).load());
    k.steps(1u32, parts, 1u32, |_| {
        at.set(at + step);
        sum.set(k.add(sum, Ptr::<Global<R>>::new(at).load()));
    });
    sum
}
