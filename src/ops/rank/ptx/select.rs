//! The first few of each line, or of each piece of one, by a block: a radix selection narrows down, eight bits a round, which
//! composite is the last that is wanted; those above it are gathered in shared memory and sorted there.

use super::composite::{Composite, Order};
use super::list::{List, sort};
use super::{Args, Line, Spec, THREADS, Vals, put};
use crate::ptx::{Builder, Kernel, Ptr, Reg, Scope, Shared, Target};
use crate::status::Result;

/// As many as are wanted at the most.
pub(crate) const ROOM: u32 = 2048;
/// Values of a round's digit, one a thread.
const DIGITS: u32 = THREADS;
const BITS: u32 = 8;

/// A block's shared memory.
struct Near<'k> {
    /// How many composites have each digit.
    counts: Ptr<'k, Shared<u32>>,
    /// Of the warps, while counts are summed up.
    sums: Ptr<'k, Shared<u32>>,
    /// What a round found: the digit, how many of those that have it are wanted, and how many have it.
    found: Ptr<'k, Shared<u32>>,
    /// How many were gathered.
    filled: Ptr<'k, Shared<u32>>,
    list: List<'k>,
}

/// The composites from a number on, seen without their `shift` lowest bits.
struct Cut<'k> {
    k: &'k Builder,
    shift: Reg<'k, u32>,
    seen: Composite<'k>,
}

impl<'k> Cut<'k> {
    fn new(k: &'k Builder, order: Order, number: &Composite<'k>, shift: Reg<'k, u32>) -> Self {
        debug_assert_eq!(order.wide, number.high.is_some());
        let cut = Self { k, shift, seen: *number };
        Self { seen: cut.see(number), ..cut }
    }

    /// Shifts of 64 and more leave nothing.
    fn see(&self, number: &Composite<'k>) -> Composite<'k> {
        let k = self.k;
        let above = k.max(self.shift, 64u32) - 64u32;
        Composite { high: number.high.map(|high| high >> above), low: number.low >> k.min(self.shift, 64u32) }
    }

    /// Whether `number` looks the same.
    fn equal(&self, number: &Composite<'k>) -> Reg<'k, bool> {
        let other = self.see(number);
        let low = other.low.eq(self.seen.low);
        match (other.high, self.seen.high) {
            (Some(a), Some(b)) => low & a.eq(b),
            _ => low,
        }
    }

    /// Whether `number` looks the same or larger.
    fn reached(&self, number: &Composite<'k>) -> Reg<'k, bool> {
        !self.see(number).below(self.k, &self.seen)
    }
}

/// The kernel of `spec`: `wanted` is at most [`ROOM`], a piece has less than 2^31 elements.
pub fn select(target: Target, spec: Spec) -> Result<Kernel<Args>> {
    Kernel::build(&spec.shape("select", target), |k, v: Vals<'_>| {
        let near = Near {
            counts: k.shared(DIGITS),
            sums: k.shared(THREADS / 32),
            found: k.shared(4),
            filled: k.shared(1),
            list: List::near(k, spec.order, ROOM),
        };
        let (unit, units) = (k.var(k.block_x().to::<u64>()), v.lines * v.pieces);
        k.repeat_while(
            || unit.lt(units),
            || {
                let number = unit / v.pieces;
                one(k, &v, spec, &near, (number, unit - number * v.pieces));
                unit.set(unit + k.grid_blocks_x().to::<u64>());
            },
        );
    })
}

fn one<'k>(
    k: &'k Builder,
    v: &Vals<'k>,
    spec: Spec,
    near: &Near<'k>,
    (number, piece): (Reg<'k, u64>, Reg<'k, u64>),
) {
    let start = piece * v.length;
    let length = k.min(v.length, v.count - start);
    let line = Line::new(k, v, spec, number, start);
    let (last, shift) = (spec.order.none(k), k.var(spec.order.top()));
    let wanted = k.var(k.min(v.wanted, length).to::<u32>());
    let there = k.var(length.to::<u32>());
    // All threads see the same numbers, which came from shared memory.
    k.repeat_while(
        || there.ne(wanted),
        || round(k, v, spec, near, (&line, length), (&last, shift), [wanted, there]),
    );
    gather(k, v, spec, near, (&line, length), &Cut::new(k, spec.order, &last, shift));
    let room = k.shl(k.var(1u64), v.room);
    sort(k, &near.list, THREADS, (room, k.var(0u64)), [k.var(2u64), room]);
    leave(k, v, spec, near, (number, piece));
    k.barrier(); // so that the next line does not overwrite what is still read
}

/// Counts the next digit of those that begin as `last` does, and finds that of the last one wanted.
fn round<'k>(
    k: &'k Builder,
    v: &Vals<'k>,
    spec: Spec,
    near: &Near<'k>,
    (line, length): (&Line<'k>, Reg<'k, u64>),
    (last, shift): (&Composite<'k>, Reg<'k, u32>),
    [wanted, there]: [Reg<'k, u32>; 2],
) {
    let before = Cut::new(k, spec.order, last, k.var(shift));
    shift.set(shift - BITS);
    near.counts.at(k.thread_x()).store(0u32);
    k.barrier();
    line.visit((v, spec), (THREADS, k.thread_x()), length, |composite| {
        k.when(before.equal(&composite), || {
            let digit = digit_of(k, &composite, shift);
            near.counts.at(digit).atomic().scope(Scope::Block).add(1u32);
        });
    });
    k.barrier();
    find(k, near, wanted);
    k.barrier();
    let [digit, left, count] = [0, 1, 2].map(|i| near.found.plus(i).load());
    let digit = digit.to::<u64>();
    // Shifts of 64 and more, also those that went below 0, leave nothing.
    let high = last.high.map(|high| high | (digit << (shift - 64u32)));
    last.set(&Composite { high, low: last.low | (digit << shift) });
    wanted.set(left);
    there.set(count);
}

fn digit_of<'k>(k: &'k Builder, number: &Composite<'k>, shift: Reg<'k, u32>) -> Reg<'k, u32> {
    let low = number.low >> shift;
    let part = match number.high {
        Some(high) => k.select(shift.ge(64u32), high >> (shift - 64u32), low),
        None => low,
    };
    part.to::<u32>() & (DIGITS - 1)
}

/// Each thread has a digit, the first the largest: that of the last one wanted tells so.
fn find<'k>(k: &'k Builder, near: &Near<'k>, wanted: Reg<'k, u32>) {
    let digit = (k.thread_x() ^ (DIGITS - 1)) & (DIGITS - 1);
    let count = near.counts.at(digit).load();
    let sum = k.var(count);
    for step in [1, 2, 4, 8, 16] {
        let below = k.shuffle_up(sum, step);
        sum.set(k.select(k.lane().ge(step), sum + below, sum));
    }
    k.when(k.lane().eq(31u32), || near.sums.at(k.warp()).store(sum));
    k.barrier();
    for warp in 0..THREADS / 32 - 1 {
        let part = near.sums.plus(warp as i32).load();
        sum.set(k.select(k.warp().gt(warp), sum + part, sum));
    }
    let above = sum - count;
    k.when(above.lt(wanted) & sum.ge(wanted), || {
        near.found.store_vec([digit, wanted - above, count, count]);
    });
}

/// Puts those that are wanted on the list, in any order, and fills it up with zeros.
fn gather<'k>(
    k: &'k Builder,
    v: &Vals<'k>,
    spec: Spec,
    near: &Near<'k>,
    (line, length): (&Line<'k>, Reg<'k, u64>),
    cut: &Cut<'k>,
) {
    let (none, index) = (spec.order.none(k), k.var(k.thread_x()));
    let room = k.shl(k.var(1u32), v.room);
    k.repeat_while(
        || index.lt(room),
        || {
            near.list.put(index.to::<u64>(), &none);
            index.set(index + THREADS);
        },
    );
    k.when(k.thread_x().eq(0u32), || near.filled.store(0u32));
    k.barrier();
    line.visit((v, spec), (THREADS, k.thread_x()), length, |composite| {
        k.when(cut.reached(&composite), || {
            let slot = near.filled.atomic().scope(Scope::Block).fetch_add(1u32);
            near.list.put(slot.to::<u64>(), &composite);
        });
    });
    k.barrier();
}

/// Writes the first of the sorted list.
fn leave<'k>(
    k: &'k Builder,
    v: &Vals<'k>,
    spec: Spec,
    near: &Near<'k>,
    (number, piece): (Reg<'k, u64>, Reg<'k, u64>),
) {
    let nth = k.var(k.thread_x().to::<u64>());
    let first = k.mad(number, v.pieces, piece) * v.wanted;
    k.repeat_while(
        || nth.lt(v.wanted),
        || {
            let composite = near.list.get(nth);
            match spec.partial {
                true => List::far(spec.order, v.to[0], v.to[1]).put(first + nth, &composite),
                false => put(v, spec, number, [nth, spec.order.index(composite)]),
            }
            nth.set(nth + u64::from(THREADS));
        },
    );
}
