//! The extreme of each line, or of each piece of one: the largest composite, by a thread, a warp or a block.

use super::composite::Composite;
use super::list::List;
use super::sieve::Sieve;
use super::{Args, Line, Spec, THREADS, Vals, put};
use crate::kernels::gpu::{elements, load_words, turns};
use crate::ptx::{Builder, Kernel, Load, Reg, Target};
use crate::status::Result;

/// Bytes of a vector.
const VECTOR: u32 = 16;

/// The kernel of `spec`.
pub fn extreme(target: Target, spec: Spec) -> Result<Kernel<Args>> {
    let shape = spec.shape("extreme", target);
    let shape = if spec.width == 32 && spec.packed { shape.min_blocks(4) } else { shape };
    Kernel::build(&shape, |k, v: Vals<'_>| {
        let parts = List::near(k, spec.order, spec.block() / 32);
        let (lane, each) = (k.thread_x() & (spec.width - 1), spec.block() / spec.width);
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
    if spec.packed {
        packed(k, spec, &line, &best, (length, lane));
        return best;
    }
    line.visit((v, spec), (spec.width, lane), length, |composite| best.raise(k, &composite));
    best
}

/// The same of elements side by side: a few up to an aligned address, vectors, and a few at the end.
fn packed<'k>(
    k: &'k Builder,
    spec: Spec,
    line: &Line<'k>,
    best: &Composite<'k>,
    (length, lane): (Reg<'k, u64>, Reg<'k, u32>),
) {
    let size = spec.order.dtype.size() as u32;
    let vector = u64::from(VECTOR / size);
    let below = (k.var(0u64) - line.start) & u64::from(VECTOR - 1);
    let head = k.min(below / u64::from(size), length);
    let vectors = (length - head) / vector;
    let body = k.mad(head, u64::from(size), line.start);
    let sieve = Sieve::new(k, spec.order, lane.to::<u64>());
    let vector_at =
        |number: Reg<'k, u64>| load_words(k.mad(number, u64::from(VECTOR), body), VECTOR, Load::Stream);
    let raise = |number: Reg<'k, u64>, words: &[Reg<'k, u32>]| {
        let first = k.mad(number, vector, line.first + head);
        for (i, raw) in elements(k, words, VECTOR, size).into_iter().enumerate() {
            best.raise(k, &spec.order.composite(k, raw, first + i as u64));
        }
    };
    turns(
        k,
        spec.width,
        lane,
        vectors,
        |number, displaced| {
            let number = number + u64::from(displaced);
            (number, vector_at(number))
        },
        |(number, words)| match &sieve {
            Some(sieve) => sieve.see(&words, number),
            None => raise(number, &words),
        },
    );
    if let Some(sieve) = sieve {
        k.when(lane.to::<u64>().lt(vectors), || raise(sieve.number, &vector_at(sieve.number)));
    }
    // Fewer than two vectors are left, and there are as many lanes.
    let (behind, lane) = (head + vectors * vector, lane.to::<u64>());
    k.when(lane.lt(head + (length - behind)), || {
        let number = k.select(lane.lt(head), lane, lane - head + behind);
        let raw = spec.order.load(k, k.mad(number, u64::from(size), line.start));
        best.raise(k, &spec.order.composite(k, raw, line.first + number));
    });
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
        (1..u64::from(spec.width / 32)).for_each(|warp| best.raise(k, &parts.get(k.var(warp))));
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
