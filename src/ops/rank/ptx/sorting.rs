//! All of a line in order, for many that are wanted: a bitonic sort in scratch memory over all blocks, whose comparisons
//! of near composites happen in shared memory.

use super::list::{List, sort};
use super::{Args, Line, Spec, THREADS, Vals, put};
use crate::ptx::{Builder, Kernel, Reg, Target};
use crate::status::Result;

/// Composites that a block sorts in its shared memory; lines have room for a multiple of them.
pub(crate) const CHUNK: u32 = 2048;

/// A kernel of the sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Composites of the elements, and zeros up to the room.
    Fill,
    /// Comparisons of a distance.
    Compare,
    /// Runs of some sizes, as far as they lie in a chunk.
    Chunks,
    /// The results.
    Leave,
}

/// The kernel of a step.
pub fn sorting(target: Target, spec: Spec, step: Step) -> Result<Kernel<Args>> {
    let kind = format!("{step:?}").to_lowercase();
    Kernel::build(&spec.shape(&kind, target), |k, v: Vals<'_>| match step {
        Step::Chunks => chunks(k, &v, spec),
        _ => {
            let all = match step {
                Step::Fill => k.shl(v.lines, v.room),
                Step::Compare => k.shl(v.lines, v.room - 1u32),
                _ => v.lines * v.wanted,
            };
            let number = k.var(k.mad_wide(k.block_x(), THREADS, k.thread_x().to::<u64>()));
            k.repeat_while(
                || number.lt(all),
                || {
                    one(k, &v, spec, step, number);
                    number.set(number + k.mul_wide(k.grid_blocks_x(), THREADS));
                },
            );
        }
    })
}

/// One composite, pair or result.
fn one<'k>(k: &'k Builder, v: &Vals<'k>, spec: Spec, step: Step, number: Reg<'k, u64>) {
    let list = List::far(spec.order, v.to[0], v.to[1]);
    match step {
        Step::Fill => {
            let line = number >> v.room;
            let index = number - k.shl(line, v.room);
            let composite = spec.order.none(k);
            k.when(index.lt(v.count), || {
                let line = Line::new(k, v, spec, v.first + line, k.var(0u64));
                composite.set(&line.get(k, v, spec, index));
            });
            list.put(number, &composite);
        }
        // Rooms are powers of two, so that each line's pairs are its own. Every line's last run falls.
        Step::Compare => {
            let line = number >> (v.room - 1u32);
            let from = k.var(0u64) - k.shl(line, v.room);
            list.compare(k, number, [v.apart, v.sizes[0], from]);
        }
        _ => {
            let line = number / v.wanted;
            let nth = number - line * v.wanted;
            let composite = list.get(k.shl(line, v.room) + nth);
            put(v, spec, v.first + line, [nth, spec.order.index(composite)]);
        }
    }
}

/// A block a chunk.
fn chunks<'k>(k: &'k Builder, v: &Vals<'k>, spec: Spec) {
    let near = List::near(k, spec.order, CHUNK);
    let (chunk, all) = (k.var(k.block_x().to::<u64>()), k.shl(v.lines, v.room) / u64::from(CHUNK));
    k.repeat_while(
        || chunk.lt(all),
        || {
            let first = chunk * u64::from(CHUNK);
            let far = List::far(spec.order, v.to[0], v.to[1]);
            each(k, |index| near.put(index, &far.get(first + index)));
            k.barrier();
            let from = first & (k.shl(k.var(1u64), v.room) - 1u64);
            sort(k, &near, THREADS, (k.var(u64::from(CHUNK)), from), v.sizes);
            each(k, |index| far.put(first + index, &near.get(index)));
            k.barrier(); // so that the next chunk does not overwrite what is still read
            chunk.set(chunk + k.grid_blocks_x().to::<u64>());
        },
    );
}

/// Calls `body` for the numbers of a chunk that are this thread's.
fn each<'k>(k: &'k Builder, body: impl FnOnce(Reg<'k, u64>)) {
    let index = k.var(k.thread_x().to::<u64>());
    k.repeat_while(
        || index.lt(u64::from(CHUNK)),
        || {
            body(index);
            index.set(index + u64::from(THREADS));
        },
    );
}
