//! The second stage: a warp a result joins the running values of its pieces, always in the same order.

use super::{Args, Number, Spec, State, THREADS, Vals, far, leave};
use crate::kernels::gpu::Space;
use crate::ptx::{Builder, Kernel, Reg, Target};
use crate::status::Result;

/// The kernel of `spec`, which is not partial.
pub fn merge<A: Number>(target: Target, spec: Spec) -> Result<Kernel<Args>> {
    let each = THREADS / 32;
    Kernel::build(&spec.shape("merge", target), |k, v: Vals<'_>| {
        let result = k.var((k.block_x() * each + k.warp()).to::<u64>());
        let step = (k.grid_blocks_x() * each).to::<u64>();
        k.repeat_while(
            || result.lt(v.results),
            || {
                let state = State::<A>::new(k, spec.fold);
                pieces(k, &v, &state, result);
                state.join_lanes(32);
                let [_, to] = Space::<2>::locate(k, &v.kept, spec.kept as usize, spec.wide, result);
                k.when(k.lane().eq(0u32), || leave(&v, spec, &state, (result, k.var(0u64), to)));
                result.set(result + step);
            },
        );
    })
}

/// The pieces that are this lane's.
fn pieces<'k, A: Number>(k: &'k Builder, v: &Vals<'k>, state: &State<'k, A>, result: Reg<'k, u64>) {
    let piece = k.var(k.lane().to::<u64>());
    k.repeat_while(
        || piece.lt(v.pieces),
        || {
            let slot = k.mad(result, v.pieces, piece);
            let sum = if state.has_sum() { far(v.sums, slot).load() } else { state.sum };
            state.join(&state.of(far(v.mains, slot).load(), sum));
            piece.set(piece + 32u64);
        },
    );
}
