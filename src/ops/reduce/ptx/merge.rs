//! The second stage: a warp or a block a result joins the running values of its pieces, always in the same order.

use super::{Args, Number, Spec, State, THREADS, Vals, far, leave};
use crate::kernels::gpu::{Space, turns};
use crate::ptx::{Builder, Kernel, Reg, Target};
use crate::status::Result;

/// The kernel of `spec`, which is not partial.
pub fn merge<A: Number>(target: Target, spec: Spec) -> Result<Kernel<Args>> {
    let each = THREADS / spec.width;
    Kernel::build(&spec.shape("merge", target), |k, v: Vals<'_>| {
        let lane = k.thread_x() & (spec.width - 1);
        let result = k.var((k.block_x() * each + k.thread_x() / spec.width).to::<u64>());
        let step = (k.grid_blocks_x() * each).to::<u64>();
        k.repeat_while(
            || result.lt(v.results),
            || {
                let state = State::<A>::new(k, spec.fold);
                pieces(k, &v, spec, &state, (result, lane));
                state.join_lanes(32);
                if spec.width == THREADS {
                    state.join_warps(THREADS);
                }
                let [_, to] = Space::<2>::locate(k, &v.kept, spec.kept as usize, spec.wide, result);
                k.when(lane.eq(0u32), || leave(&v, spec, &state, (result, k.var(0u64), to)));
                result.set(result + step);
            },
        );
    })
}

/// The pieces that are this lane's.
fn pieces<'k, A: Number>(
    k: &'k Builder,
    v: &Vals<'k>,
    spec: Spec,
    state: &State<'k, A>,
    (result, lane): (Reg<'k, u64>, Reg<'k, u32>),
) {
    turns(
        k,
        spec.width,
        lane,
        v.pieces,
        |number, displaced| {
            let slot = k.mad(result, v.pieces, number + u64::from(displaced));
            let sum = if state.has_sum() { far(v.sums, slot).load() } else { state.sum };
            (far(v.mains, slot).load(), sum)
        },
        |(main, sum)| state.join(&state.of(main, sum)),
    );
}
