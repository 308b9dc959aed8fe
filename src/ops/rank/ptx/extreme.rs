//! The extreme of each line, or of each piece of one: the largest composite, by a thread, a warp or a block.

use super::composite::Composite;
use super::list::List;
use super::{Args, Line, Spec, THREADS, Vals, put};
use crate::kernels::gpu::turns;
use crate::ptx::{Builder, Kernel, Reg, Target};
use crate::status::Result;

/// The kernel of `spec`.
pub fn extreme(target: Target, spec: Spec) -> Result<Kernel<Args>> {
    Kernel::build(&spec.shape("extreme", target), |k, v: Vals<'_>| {
        let parts = List::near(k, spec.order, THREADS / 32);
        let (lane, each) = (k.thread_x() & (spec.width - 1), THREADS / spec.width);
        let unit = k.var((k.block_x() * each + k.thread_x() / spec.width).to::<u64>());
        let (units, step) = (v.lines * v.pieces, (k.grid_blocks_x() * each).to::<u64>());
        k.repeat_while(
            || unit.lt(units),
            || {
                // Neighbouring units are neighbouring lines.
                let piece = unit / v.lines;
                let line = unit - piece * v.lines;
                let best = search(k, &v, spec, lane, (line, piece));
                join(k, spec, &best, &parts);
                k.when(lane.eq(0u32), || leave(k, &v, spec, &best, (line, piece)));
                unit.set(unit + step);
            },
        );
    })
}

/// The largest of those that are this lane's.
fn search<'k>(
    k: &'k Builder,
    v: &Vals<'k>,
    spec: Spec,
    lane: Reg<'k, u32>,
    (line, piece): (Reg<'k, u64>, Reg<'k, u64>),
) -> Composite<'k> {
    let start = piece * v.length;
    let length = k.min(v.length, v.count - start);
    let (line, best) = (Line::new(k, v, spec, line, start), spec.order.none(k));
    turns(
        k,
        spec.width,
        lane,
        length,
        |number, displaced| line.get(k, v, spec, number + u64::from(displaced)),
        |composite| best.raise(k, &composite),
    );
    best
}

/// With the other lanes' and warps' of the width, in its first thread.
fn join<'k>(k: &'k Builder, spec: Spec, best: &Composite<'k>, parts: &List<'k>) {
    if spec.width >= 32 {
        for step in [16, 8, 4, 2, 1] {
            best.raise(k, &best.map(|half| k.shuffle_xor(half, step)));
        }
    }
    if spec.width < THREADS {
        return;
    }
    k.when(k.lane().eq(0u32), || parts.put(k.warp().to::<u64>(), best));
    k.barrier();
    k.when(k.thread_x().eq(0u32), || {
        (1..u64::from(THREADS / 32)).for_each(|warp| best.raise(k, &parts.get(k.var(warp))));
    });
    k.barrier(); // so that the next line does not overwrite what is still read
}

fn leave<'k>(
    k: &'k Builder,
    v: &Vals<'k>,
    spec: Spec,
    best: &Composite<'k>,
    (line, piece): (Reg<'k, u64>, Reg<'k, u64>),
) {
    if spec.partial {
        return List::far(spec.order, v.to[0], v.to[1]).put(k.mad(line, v.pieces, piece), best);
    }
    put(v, spec, line, [k.var(0u64), spec.order.index(*best)]);
}
