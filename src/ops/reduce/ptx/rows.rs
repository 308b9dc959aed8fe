//! Along rows: each result, or piece of one, by a thread, a warp or a block that reads its elements side by side.

use super::{Args, Number, Spec, State, THREADS, Vals, leave};
use crate::kernels::gpu::{Array, Space, load_words, turns};
use crate::ptx::{Builder, Global, Kernel, Load, Ptr, Reg, Target};
use crate::status::Result;

/// The kernel of `spec`.
pub fn rows<A: Number>(target: Target, spec: Spec) -> Result<Kernel<Args>> {
    Kernel::build(&spec.shape("rows", target), |k, v: Vals<'_>| {
        let (lane, each) = (k.thread_x() & (spec.width - 1), THREADS / spec.width);
        let unit = k.var((k.block_x() * each + k.thread_x() / spec.width).to::<u64>());
        let units = v.results * v.pieces;
        let step = (k.grid_blocks_x() * each).to::<u64>();
        // The same number of turns for all threads of a unit, which meet at barriers and shuffles.
        k.repeat_while(
            || unit.lt(units),
            || {
                one::<A>(k, &v, spec, unit, lane);
                unit.set(unit + step);
            },
        );
    })
}

/// One unit: a piece of a result.
fn one<'k, A: Number>(k: &'k Builder, v: &Vals<'k>, spec: Spec, unit: Reg<'k, u64>, lane: Reg<'k, u32>) {
    let (result, piece) = match spec.partial {
        true => {
            let result = unit / v.pieces;
            (result, unit - result * v.pieces)
        }
        false => (unit, k.var(0u64)),
    };
    let [from, to] = Space::<2>::locate(k, &v.kept, spec.kept as usize, spec.wide, result);
    let start = piece * v.length;
    let length = k.min(v.length, v.count - start);
    let state = State::<A>::new(k, spec.fold);
    let line = spec.array(k, v.x).at(from);
    match spec.packed {
        true => packed(k, spec, &state, line.at(start), (length, lane)),
        false => spread(k, v, spec, &state, line, (start, length, lane)),
    }
    if spec.width >= 32 {
        state.join_lanes(32);
    }
    if spec.width == THREADS {
        state.join_warps(THREADS);
    }
    k.when(lane.eq(0u32), || leave(v, spec, &state, (result, piece, to)));
}

/// `length` elements side by side from `line` on: a few up to an aligned address, vectors, and a few at the end.
fn packed<'k, A: Number>(
    k: &'k Builder,
    spec: Spec,
    state: &State<'k, A>,
    line: Array<'k>,
    (length, lane): (Reg<'k, u64>, Reg<'k, u32>),
) {
    let (size, vector) = (line.dtype.size() as u64, u64::from(spec.vector()));
    let below = (k.var(0u64) - line.address()) & u64::from(spec.bytes - 1);
    let head = k.min(below / size, length);
    let vectors = (length - head) / vector;
    let body = line.at(head);
    turns(
        k,
        spec.width,
        lane,
        vectors,
        |number, displaced| {
            let at = k.mad(number, u64::from(spec.bytes), body.address());
            let load = Ptr::<Global<u32>>::new(at).loading(Load::Stream);
            load.plus((displaced * spec.bytes / 4) as i32).load_vec::<4>().to_vec()
        },
        |words| state.take_words(&words, spec.bytes),
    );
    // Fewer than two vectors are left, and there are as many lanes.
    let (behind, lane) = (head + vectors * vector, lane.to::<u64>());
    let rest = head + (length - behind);
    k.when(lane.lt(rest), || {
        let number = k.select(lane.lt(head), lane, lane - head + behind);
        let words = load_words(line.at(number).address(), size as u32, Load::ReadOnly);
        state.take_words(&words, size as u32);
    });
}

/// `length` elements from number `start` on, wherever they lie; as many as a load has lie side by side, aligned.
fn spread<'k, A: Number>(
    k: &'k Builder,
    v: &Vals<'k>,
    spec: Spec,
    state: &State<'k, A>,
    line: Array<'k>,
    (start, length, lane): (Reg<'k, u64>, Reg<'k, u64>, Reg<'k, u32>),
) {
    let vector = u64::from(spec.vector());
    turns(
        k,
        spec.width,
        lane,
        length / vector,
        |number, displaced| {
            let element = k.mad(number + u64::from(displaced), vector, start);
            let [at] = Space::<1>::locate(k, &v.reduced, spec.reduced as usize, spec.wide, element);
            load_words(line.at(at).address(), spec.bytes, Load::ReadOnly)
        },
        |words| state.take_words(&words, spec.bytes),
    );
}
