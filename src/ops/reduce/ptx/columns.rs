//! Down columns: a warp reads neighbouring results' elements side by side, a vector of them a lane; the warps of a block
//! share the elements of each and meet in shared memory.

use super::{Args, Number, Spec, State, THREADS, Vals, leave};
use crate::dtype::Dtype;
use crate::kernels::gpu::{Raw, Space, load_words};
use crate::ptx::{Builder, Kernel, Load, Ptr, Reg, Shared, Target};
use crate::status::Result;

/// Loads under way at once.
const AHEAD: u32 = 4;
/// Blocks of sums of 16-bit floats that a multiprocessor has at once.
const RESIDENT: u32 = 4;
/// Warps of a block.
const WARPS: u32 = THREADS / 32;

/// Where the running values of a block's warps meet: [warp][column].
struct Meeting<'k, A: Number> {
    mains: Ptr<'k, Shared<A>>,
    sums: Ptr<'k, Shared<f64>>,
}

/// The kernel of `spec`, whose `vector` is at most 8.
pub fn columns<A: Number>(target: Target, spec: Spec) -> Result<Kernel<Args>> {
    let across = 32 * spec.vector();
    let narrow = matches!(spec.fold.dtype, Dtype::F16 | Dtype::Bf16) && !spec.fold.has_sum();
    let shape = spec.shape("columns", target).min_blocks(if narrow { RESIDENT } else { 1 });
    Kernel::build(&shape, |k, v: Vals<'_>| {
        let sums = if spec.fold.has_sum() { WARPS * across } else { 1 };
        let meeting = Meeting { mains: k.shared(WARPS * across), sums: k.shared(sums) };
        let strips = (v.results + u64::from(across - 1)) / u64::from(across);
        let (unit, units) = (k.var(k.block_x().to::<u64>()), strips * v.pieces);
        k.repeat_while(
            || unit.lt(units),
            || {
                let piece = unit / strips;
                let first = (unit - piece * strips) * u64::from(across);
                share::<A>(k, &v, spec, &meeting, (first, piece));
                k.barrier();
                meet::<A>(k, &v, spec, &meeting, (first, piece));
                k.barrier(); // so that the next strip does not overwrite what is still read
                unit.set(unit + k.grid_blocks_x().to::<u64>());
            },
        );
    })
}

/// A warp's part of a strip of results from number `first` on.
fn share<'k, A: Number>(
    k: &'k Builder,
    v: &Vals<'k>,
    spec: Spec,
    meeting: &Meeting<'k, A>,
    (first, piece): (Reg<'k, u64>, Reg<'k, u64>),
) {
    let vector = spec.vector();
    let states: Vec<_> = (0..vector).map(|_| State::<A>::new(k, spec.fold)).collect();
    let column = k.lane() * vector;
    let result = first + column.to::<u64>();
    // Results are a multiple of the vector: all of a lane's are there or none.
    k.when(result.lt(v.results), || {
        let [from, _] = Space::<2>::locate(k, &v.kept, spec.kept as usize, spec.wide, result);
        let line = spec.array(k, v.x).at(from);
        let load = |row: Reg<'k, u64>| {
            let [at] = Space::<1>::locate(k, &v.reduced, spec.reduced as usize, spec.wide, row);
            let words = load_words(line.at(at).address(), spec.bytes, Load::Stream);
            states[0].elements(&words, spec.bytes)
        };
        down(k, v, piece, &states, load);
    });
    let at = k.warp() * (32 * vector) + column;
    for (i, state) in states.iter().enumerate() {
        meeting.mains.at(at).plus(i as i32).store(state.main);
        if spec.fold.has_sum() {
            meeting.sums.at(at).plus(i as i32).store(state.sum);
        }
    }
}

/// The rows of a piece that are this warp's.
fn down<'k, A: Number>(
    k: &'k Builder,
    v: &Vals<'k>,
    piece: Reg<'k, u64>,
    states: &[State<'k, A>],
    load: impl Fn(Reg<'k, u64>) -> Vec<Raw<'k>>,
) {
    let start = piece * v.length;
    let end = k.min(start + v.length, v.count);
    let row = k.var(start + k.warp().to::<u64>());
    k.repeat_while(
        || (row + u64::from((AHEAD - 1) * WARPS)).lt(end),
        || {
            let rows: Vec<_> = (0..AHEAD).map(|i| load(row + u64::from(i * WARPS))).collect();
            for (i, state) in states.iter().enumerate() {
                state.take(&rows.iter().map(|row| row[i]).collect::<Vec<_>>());
            }
            row.set(row + u64::from(AHEAD * WARPS));
        },
    );
    k.repeat_while(
        || row.lt(end),
        || {
            states.iter().zip(load(row)).for_each(|(state, raw)| state.take(&[raw]));
            row.set(row + u64::from(WARPS));
        },
    );
}

/// The warps' running values of a column, joined by a thread of its own.
fn meet<'k, A: Number>(
    k: &'k Builder,
    v: &Vals<'k>,
    spec: Spec,
    meeting: &Meeting<'k, A>,
    (first, piece): (Reg<'k, u64>, Reg<'k, u64>),
) {
    let (column, across) = (k.thread_x(), 32 * spec.vector());
    let result = first + column.to::<u64>();
    k.when(column.lt(across) & result.lt(v.results), || {
        let (mains, sums) = (meeting.mains.at(column), meeting.sums.at(column));
        let state = State::<A>::new(k, spec.fold);
        for warp in 0..WARPS as i32 {
            let place = warp * across as i32;
            let sum = if spec.fold.has_sum() { sums.plus(place).load() } else { state.sum };
            state.join(&state.of(mains.plus(place).load(), sum));
        }
        let [_, to] = Space::<2>::locate(k, &v.kept, spec.kept as usize, spec.wide, result);
        leave(v, spec, &state, (result, piece, to));
    });
}
