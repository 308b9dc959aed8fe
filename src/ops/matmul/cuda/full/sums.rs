//! The kernel that finishes sums in memory with all that a multiplication may ask for. Where gradients of a bias are wanted, the
//! values stay in place of the sums.

use super::after::{Largest, Spot, Values};
use super::arguments::{FullArgs, FullVals};
use crate::device::cuda::{Key, Stream};
use crate::dtype::Dtype;
use crate::ops::matmul::cuda::arguments::{Place, each};
use crate::ops::matmul::cuda::real::Number;
use crate::ops::matmul::problem::Problem;
use crate::ptx::{Builder, Global, Kernel, Ptr, Reg, Shape, Target};
use crate::status::Result;

const THREADS: u32 = 256;
/// Columns of a row that a block finishes.
const COLUMNS: u32 = 4 * THREADS;

/// Queues the finishing of sums that lie at `sums`, [batches, m, n], packed, of type `sum`. D is of integers if `whole`.
pub fn run(p: &Problem, stream: &Stream, args: &FullArgs, sum: Dtype) -> Result<()> {
    let across = (p.n as u64).div_ceil(u64::from(COLUMNS));
    let whole = p.d.dtype == Dtype::I32;
    let mut args = *args;
    args.base.more = [across as u32, 0, 0];
    let key = Key("matmul_finish_full", [sum as u32, u32::from(whole), 0, 0, 0, 0, 0, 0]);
    let kernel = stream.kernel(key, |target| write(target, sum, whole))?;
    each(p, stream, p.m as u64 * across, &args.base, |stream, grid, base| {
        let args = args.of(base);
        // SAFETY: the operands live as long as the request's work, and so do the sums; the kernel stays inside them.
        unsafe { kernel.launch(stream, grid, &args) }
    })
}

/// The kernel that finishes sums of this type, as integers if `whole`.
pub fn write(target: Target, sum: Dtype, whole: bool) -> Result<Kernel<FullArgs>> {
    let name = sum.name().trim_start_matches("WEFT_").to_lowercase();
    let name = format!("matmul_finish_full_{name}{}", if whole { "_whole" } else { "" });
    // As many registers as it likes: it waits for memory anyway.
    let shape = Shape::new(name, target, [THREADS, 1, 1]).min_blocks(1);
    match (sum, whole) {
        (Dtype::F64, _) => build::<f64>(&shape, load),
        (Dtype::I32, true) => build::<i32>(&shape, load),
        (Dtype::I32, false) => build::<f32>(&shape, |at| Ptr::<Global<i32>>::new(at).load().to()),
        _ => build::<f32>(&shape, load),
    }
}

fn load<R: Number>(at: Reg<'_, u64>) -> Reg<'_, R> {
    Ptr::<Global<R>>::new(at).load()
}

fn build<R: Values>(
    shape: &Shape,
    load: impl for<'k> Fn(Reg<'k, u64>) -> Reg<'k, R>,
) -> Result<Kernel<FullArgs>> {
    Kernel::build(shape, |k, v: FullVals<'_>| {
        let largest = Largest::new(k);
        v.base.each_place(k, |place| row_part::<R>(k, &v, place, &largest, &load));
        largest.tell(k, &v);
    })
}

/// A part of a row, a column a thread.
fn row_part<'k, R: Values>(
    k: &'k Builder,
    v: &FullVals<'k>,
    place: &Place<'k>,
    largest: &Largest<'k>,
    load: impl Fn(Reg<'k, u64>) -> Reg<'k, R>,
) {
    let base = &v.base;
    let [across, ..] = base.more;
    let row = k.div(place.part, across);
    let start = (place.part - row * across).to::<u64>() * u64::from(COLUMNS);
    let (row, matrix) = (row.to::<u64>(), base.first + place.matrix.to::<u64>());
    let more = v.locate_more(k, matrix);
    let line = k.mad(k.mad(matrix, base.m, row), base.n, start);
    let line = k.mad(line, u64::from(R::SIZE), base.sums);
    k.steps(k.thread_x(), COLUMNS, THREADS, |i| {
        let col = start + i.to::<u64>();
        let inside = col.lt(base.n);
        let (at, sum) = (k.mad(i.to::<u64>(), u64::from(R::SIZE), line), k.var(R::ZERO));
        k.when(inside, || sum.set(load(at)));
        let spot = Spot { row, col, inside, at: place.at, more };
        let value = R::whole(k, v, &spot, sum, largest);
        let kept = inside & v.columns.ne(0u64);
        k.when(kept, || Ptr::<Global<R>>::new(at).store(value));
    });
}
