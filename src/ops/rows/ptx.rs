//! Rows by index as kernels: `lanes` threads a place, which look its index up and move its row's units. Of many places scatter
//! learns first which name each row, of few they look themselves: the last one alone is kept, or the first one's threads
//! add all of them in order.

use super::units::{add_words, load_unit, load_unit_if, store_unit};
use super::{WEFT_ROWS_FROM_END, WEFT_ROWS_SKIP_NEGATIVE};
use crate::device::cuda::EPOCH_BITS;
use crate::dtype::Dtype;
use crate::kernels::gpu::Space;
use crate::ptx::{Builder, Global, Kernel, Load, Ptr, Reg, Scope, Shape, Strength, Target, Words, params};
use crate::status::Result;

/// Threads of a block.
pub(crate) const THREADS: u32 = 256;
/// Of one that moves a piece of a long row: small ones keep reads and writes closer together in memory.
pub(crate) const THREADS_LONG: u32 = 64;
/// Words of the places, and of the elements of a row.
pub(crate) const WORDS: usize = Space::<2>::word_count(8);
/// Units under way at once.
pub(crate) const AHEAD: u32 = 4;
/// All lanes of a warp.
const ALL: u32 = u32::MAX;

params! {
    /// Gather or scatter of `count` places.
    pub struct Args / Vals {
        /// Address of the table.
        table: u64,
        /// Of the indices.
        indices: u64,
        /// Of the rows.
        rows: u64,
        /// Where the first stray place goes, all its bits turned.
        verdict: u64,
        /// Of each row of the table the first place that names it, for adding: the larger the earlier.
        first: u64,
        /// And the last.
        last: u64,
        /// What both are with in their top bits that are of this request.
        epoch: u64,
        /// Places.
        count: u64,
        /// Rows of the table.
        height: u64,
        /// Bytes from one to the next.
        pitch: u64,
        /// Units of a row.
        units: u64,
        /// The logarithm of `lanes` to base 2.
        lanes: u32,
        /// WEFT_ROWS bits.
        flags: u32,
        /// The places: in indices, and of their rows in rows.
        places: Words<WORDS>,
        /// The elements of a row: in table and in rows.
        elements: Words<WORDS>,
    }
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Rows from the table.
    Gather,
    /// Forgets all that was learnt of any places.
    Zero,
    /// Learns which places name each row.
    Mark,
    /// Rows to the table.
    Scatter,
    /// Rows added to the table's.
    Add,
    /// Rows to the table, of few places: each place's warps look for another of its row themselves.
    ScatterFew,
    /// The same, added.
    AddFew,
}

impl Kind {
    /// Whether whole warps have a place together.
    pub fn by_warps(self) -> bool {
        matches!(self, Kind::Add | Kind::ScatterFew | Kind::AddFew)
    }
}

/// What a kernel is specialised on.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// What is done.
    pub kind: Kind,
    /// Whether rows are added.
    pub adds: bool,
    /// Of the rows: only its size counts, but for adding.
    pub dtype: Dtype,
    /// Bytes of an index.
    pub index: u32,
    /// Bytes of a unit: a power of two up to 16.
    pub unit: u32,
    /// Axes of the places.
    pub places: u32,
    /// Axes of the elements of a row; u32::MAX where a row lies in one piece in both.
    pub elements: u32,
    /// Whether there are 2^32 places, or elements of a row.
    pub wide: bool,
    /// Whether rows are short, a unit of each a lane, so that some places are under way at once.
    pub short: bool,
    /// Whether they are long: a block has one place, and a piece of its row.
    pub long: bool,
}

impl Spec {
    /// Threads of a block.
    pub fn threads(&self) -> u32 {
        if self.long { THREADS_LONG } else { THREADS }
    }

    /// All of it, for a kernel's key.
    pub fn words(&self) -> [u32; 8] {
        let Self { kind, adds, dtype, index, unit, places, elements, wide, short, long } = *self;
        let flags = u32::from(wide) | u32::from(short) << 1 | u32::from(long) << 2;
        [kind as u32, u32::from(adds), dtype as u32, index, unit, places, elements, flags]
    }
}

/// What a place's index says.
struct Found<'k> {
    /// The row of the table.
    row: Reg<'k, u64>,
    /// Whether it is one.
    valid: Reg<'k, bool>,
    /// Whether it is none where there should be one.
    stray: Reg<'k, bool>,
    /// Address of the place's row in rows.
    rows: Reg<'k, u64>,
}

/// The kernel of `spec`.
pub fn kernel(target: Target, spec: Spec) -> Result<Kernel<Args>> {
    let words = spec.words().map(|word| word.to_string());
    let name = format!("rows_{}", words.join("_"));
    Kernel::build(&Shape::new(name, target, [spec.threads(), 1, 1]).min_blocks(1), |k, v: Vals<'_>| {
        let each = k.shr(k.var(THREADS), v.lanes);
        let (place, step) = match spec.long {
            true => (k.block_y(), k.grid_blocks_y()),
            false => (k.block_x() * each + (k.thread_x() >> v.lanes), k.grid_blocks_x() * each),
        };
        let (place, step) = (k.var(place.to::<u64>()), step.to::<u64>());
        match spec.kind {
            Kind::Zero => zero(k, &v, place, step),
            Kind::Gather | Kind::Scatter if spec.short => several(k, &v, spec, place, step),
            _ => k.repeat_while(
                || place.lt(v.count),
                || {
                    one(k, &v, spec, (place, find(k, &v, spec, place, spec.kind.by_warps())));
                    place.set(place + step);
                },
            ),
        }
    })
}

/// Makes slots 0.
fn zero<'k>(k: &'k Builder, v: &Vals<'k>, slot: Reg<'k, u64>, step: Reg<'k, u64>) {
    k.repeat_while(
        || slot.lt(v.count),
        || {
            Ptr::<Global<u64>>::new(v.last).at_far(slot).store(0u64);
            slot.set(slot + step);
        },
    );
}

/// A unit of each of this thread's places, some places at a time: all their indices are under way at once, and all their units.
fn several<'k>(k: &'k Builder, v: &Vals<'k>, spec: Spec, place: Reg<'k, u64>, step: Reg<'k, u64>) {
    let lane = lane(k, v);
    let number = k.mad(k.block_y(), k.shl(k.var(1u32), v.lanes), lane).to::<u64>();
    k.repeat_while(
        || place.lt(v.count),
        || {
            let places: Vec<_> = (0..AHEAD).map(|i| k.mad(step, u64::from(i), place)).collect();
            let last = v.count - 1u64;
            let found: Vec<_> = places.iter().map(|&one| find(k, v, spec, k.min(one, last), false)).collect();
            let moved: Vec<_> = places
                .iter()
                .zip(&found)
                .map(|(&one, found)| {
                    let there = one.lt(v.count);
                    k.when(there & found.stray & number.eq(0u64), || report(v, one));
                    moves(k, v, spec, (there & found.valid & number.lt(v.units), one, found))
                })
                .collect();
            let unit = unit_at(k, v, spec, number);
            let ends: Vec<_> = found.iter().map(|found| ends(k, v, spec, found, unit)).collect();
            let load = |([from, _], there): (&[Reg<'k, u64>; 2], &Reg<'k, bool>)| {
                load_unit_if(Ptr::new(*from), spec.unit, Load::Stream, *there)
            };
            let loaded: Vec<_> = ends.iter().zip(&moved).map(load).collect();
            for ((words, [_, to]), &there) in loaded.iter().zip(&ends).zip(&moved) {
                k.only(there, || store_unit(*to, spec.unit, words));
            }
            place.set(k.mad(step, u64::from(AHEAD), place));
        },
    );
}

/// Whether a place that is `valid` moves its row.
fn moves<'k>(
    k: &'k Builder,
    v: &Vals<'k>,
    spec: Spec,
    (valid, place, found): (Reg<'k, bool>, Reg<'k, u64>, &Found<'k>),
) -> Reg<'k, bool> {
    if spec.kind == Kind::Gather {
        return valid;
    }
    // The table has a slot at least.
    let row = k.select(found.valid, found.row, 0u64);
    valid & last(v, row).eq(place)
}

/// Where a unit is read and written that lies at `unit` in the table's row and in the place's.
fn ends<'k>(
    k: &'k Builder,
    v: &Vals<'k>,
    spec: Spec,
    found: &Found<'k>,
    unit: [Reg<'k, u64>; 2],
) -> [Reg<'k, u64>; 2] {
    let table = k.mad(found.row, v.pitch, v.table) + unit[0];
    let rows = found.rows + unit[1];
    if spec.kind == Kind::Gather { [table, rows] } else { [rows, table] }
}

/// This thread's number among those that share a place.
fn lane<'k>(k: &'k Builder, v: &Vals<'k>) -> Reg<'k, u32> {
    k.thread_x() & (k.shl(k.var(1u32), v.lanes) - 1u32)
}

/// This block's number among those that share a place, and how many they are.
fn piece<'k>(k: &'k Builder, spec: Spec) -> [Reg<'k, u32>; 2] {
    if spec.long { [k.block_x(), k.grid_blocks_x()] } else { [k.block_y(), k.grid_blocks_y()] }
}

/// This thread's part of a place.
fn one<'k>(k: &'k Builder, v: &Vals<'k>, spec: Spec, (place, found): (Reg<'k, u64>, Found<'k>)) {
    let lane = lane(k, v);
    match spec.kind {
        Kind::Mark => {
            return k.when(found.valid & lane.eq(0u32), || mark(v, spec, (found.row, place)));
        }
        _ => k.when(found.stray & lane.eq(0u32) & piece(k, spec)[0].eq(0u32), || report(v, place)),
    }
    k.when(found.valid, || {
        let table = k.mad(found.row, v.pitch, v.table);
        match spec.kind {
            Kind::Gather => transfer(k, v, spec, lane, [table, found.rows]),
            Kind::Scatter | Kind::ScatterFew => {
                let kept = is_kept(k, v, spec, (place, found.row));
                k.when(kept, || transfer(k, v, spec, lane, [found.rows, table]));
            }
            _ => {
                let last = if spec.kind == Kind::Add { last(v, found.row) } else { v.count - 1u64 };
                let first = is_first(k, v, spec, (place, found.row));
                let alone = if spec.kind == Kind::Add { last.eq(place) } else { k.var(false) };
                k.when(first & alone, || add_row(k, v, spec, lane, [table, found.rows]));
                k.when(first & !alone, || add_all(k, v, spec, lane, (place, found.row, table), last));
            }
        }
    });
}

/// Whether no later place names the row.
fn is_kept<'k>(
    k: &'k Builder,
    v: &Vals<'k>,
    spec: Spec,
    (place, row): (Reg<'k, u64>, Reg<'k, u64>),
) -> Reg<'k, bool> {
    match spec.kind {
        Kind::Scatter => last(v, row).eq(place),
        _ => !named(k, v, spec, row, [place + 1u64, v.count]),
    }
}

/// Whether no earlier place does.
fn is_first<'k>(
    k: &'k Builder,
    v: &Vals<'k>,
    spec: Spec,
    (place, row): (Reg<'k, u64>, Reg<'k, u64>),
) -> Reg<'k, bool> {
    match spec.kind {
        Kind::Add => (k.var(PLACES) - slot(v.first, row)).eq(place),
        _ => !named(k, v, spec, row, [k.var(0u64), place]),
    }
}

/// Whether one of the places `start..end` names `row`. The lanes of a warp are here together.
fn named<'k>(
    k: &'k Builder,
    v: &Vals<'k>,
    spec: Spec,
    row: Reg<'k, u64>,
    [start, end]: [Reg<'k, u64>; 2],
) -> Reg<'k, bool> {
    let (start, seen) = (k.var(start), k.var(0u32));
    k.repeat_while(
        || start.lt(end),
        || {
            for i in 0..AHEAD {
                let place = start + k.lane().to::<u64>() + u64::from(32 * i);
                let found = find(k, v, spec, k.min(place, v.count - 1u64), false);
                let named = place.lt(end) & found.row.eq(row);
                seen.set(k.select(named, 1u32, seen));
            }
            start.set(start + u64::from(32 * AHEAD));
        },
    );
    k.ballot(seen.ne(0u32), ALL).ne(0u32)
}

/// Looks a place up; its index is read once: another queue may be writing it. Where a warp looks `together`, its first
/// lane's counts, so that all of them go the same way.
fn find<'k>(k: &'k Builder, v: &Vals<'k>, spec: Spec, place: Reg<'k, u64>, together: bool) -> Found<'k> {
    let (value, rows) = index(k, v, spec, place);
    Found::new(k, v, if together { k.broadcast(value, 0u32) } else { value }, rows)
}

/// A place's index, and the address of its row in rows.
fn index<'k>(k: &'k Builder, v: &Vals<'k>, spec: Spec, place: Reg<'k, u64>) -> (Reg<'k, i64>, Reg<'k, u64>) {
    let [at, row] = Space::<2>::locate(k, &v.places, spec.places as usize, spec.wide, place);
    let index = Ptr::<Global<i64>>::new(k.mad(at, u64::from(spec.index), v.indices));
    let volatile = (Strength::Volatile, Scope::Device);
    let value = match spec.index {
        4 => index.cast::<i32>().load_strong(volatile.0, volatile.1).to::<i64>(),
        _ => index.load_strong(volatile.0, volatile.1),
    };
    (value, k.mad(row, spec.dtype.size() as u64, v.rows))
}

impl<'k> Found<'k> {
    /// What index `value` says.
    fn new(k: &'k Builder, v: &Vals<'k>, value: Reg<'k, i64>, rows: Reg<'k, u64>) -> Self {
        let negative = value.lt(0i64);
        let from_end = negative & (v.flags & WEFT_ROWS_FROM_END).ne(0u32);
        let number = k.select(from_end, value + v.height.bits::<i64>(), value);
        // As an unsigned number, a negative one is above all rows.
        let row = number.bits::<u64>();
        let valid = row.lt(v.height);
        let skipped = negative & (v.flags & WEFT_ROWS_SKIP_NEGATIVE).ne(0u32);
        Self { row, valid, stray: !valid & !skipped, rows: k.var(rows) }
    }
}

/// Tells the host of a stray place, if it is the first so far: no place is 0, and the first one is the largest.
fn report<'k>(v: &Vals<'k>, place: Reg<'k, u64>) {
    let place = v.kernel.min(place, u64::from(u32::MAX - 1)).to::<u32>();
    Ptr::<Global<u32>>::new(v.verdict).atomic().max(!place);
}

/// The largest number of a place that a slot holds below its epoch.
const PLACES: u64 = (1 << (64 - EPOCH_BITS)) - 1;

/// The last place that names a row.
fn last<'k>(v: &Vals<'k>, row: Reg<'k, u64>) -> Reg<'k, u64> {
    slot(v.last, row)
}

fn slot<'k>(base: Reg<'k, u64>, row: Reg<'k, u64>) -> Reg<'k, u64> {
    Ptr::<Global<u64>>::new(base).at_far(row).load() & PLACES
}

/// The larger number stays: one of this request's epoch is larger than all that earlier ones left.
fn mark<'k>(v: &Vals<'k>, spec: Spec, (row, place): (Reg<'k, u64>, Reg<'k, u64>)) {
    let put = |base, number: Reg<'k, u64>| {
        Ptr::<Global<u64>>::new(base).at_far(row).atomic().max(v.epoch | number);
    };
    put(v.last, place);
    if spec.adds {
        put(v.first, v.kernel.var(PLACES) - place);
    }
}

/// Where unit `unit` of two rows lies: of the table's row, and of the place's.
fn unit_at<'k>(k: &'k Builder, v: &Vals<'k>, spec: Spec, unit: Reg<'k, u64>) -> [Reg<'k, u64>; 2] {
    if spec.elements == u32::MAX {
        let bytes = unit * u64::from(spec.unit);
        return [bytes, bytes];
    }
    let at = Space::<2>::locate(k, &v.elements, spec.elements as usize, spec.wide, unit);
    at.map(|at| at * spec.dtype.size() as u64)
}

/// Calls `body(unit, ahead)` for the units that are this thread's: `ahead` of them together, `step` apart, if they are
/// there.
fn units<'k>(
    k: &'k Builder,
    v: &Vals<'k>,
    spec: Spec,
    lane: Reg<'k, u32>,
    body: impl Fn(Reg<'k, u64>, Reg<'k, u64>, u32),
) {
    let lanes = k.shl(k.var(1u32), v.lanes).to::<u64>();
    let [number, count] = piece(k, spec).map(|number| number.to::<u64>());
    let unit = k.var(k.mad(number, lanes, lane.to::<u64>()));
    let step = count * lanes;
    k.repeat_while(
        || k.mad(step, u64::from(AHEAD - 1), unit).lt(v.units),
        || {
            body(unit, step, AHEAD);
            unit.set(k.mad(step, u64::from(AHEAD), unit));
        },
    );
    k.repeat_while(
        || unit.lt(v.units),
        || {
            body(unit, step, 1);
            unit.set(unit + step);
        },
    );
}

/// Copies a row: `ends` are the addresses read from and written to.
fn transfer<'k>(k: &'k Builder, v: &Vals<'k>, spec: Spec, lane: Reg<'k, u32>, ends: [Reg<'k, u64>; 2]) {
    units(k, v, spec, lane, |first, step, count| {
        let place = |i| {
            let [table, rows] = unit_at(k, v, spec, k.mad(step, u64::from(i), first));
            if spec.kind == Kind::Gather { [table, rows] } else { [rows, table] }
        };
        let places: Vec<_> = (0..count).map(place).collect();
        // Lines of long rows that pass through the nearest cache arrive in better order.
        let load = if spec.long { Load::Plain } else { Load::Stream };
        let loaded: Vec<_> = places.iter().map(|at| load_unit(ends[0] + at[0], spec.unit, load)).collect();
        for (at, words) in places.iter().zip(loaded) {
            store_unit(ends[1] + at[1], spec.unit, &words);
        }
    });
}

/// Adds the rows of all places that name `row`, from `place`, the first, to the last, in order. The lanes of a warp are here
/// together, and each has its own units throughout.
fn add_all<'k>(
    k: &'k Builder,
    v: &Vals<'k>,
    spec: Spec,
    lane: Reg<'k, u32>,
    (place, row, table): (Reg<'k, u64>, Reg<'k, u64>, Reg<'k, u64>),
    last: Reg<'k, u64>,
) {
    let first = k.var(place);
    k.repeat_while(
        || first.le(last),
        || {
            let mine = k.min(first + k.lane().to::<u64>(), last);
            let found = find(k, v, spec, mine, false);
            let inside = (first + k.lane().to::<u64>()).le(last);
            let named = k.var(k.ballot(inside & found.valid & found.row.eq(row), ALL));
            k.repeat_while(
                || named.ne(0u32),
                || {
                    let next = k.clz(k.brev(named));
                    let rows = k.broadcast(found.rows, next);
                    add_row(k, v, spec, lane, [table, rows]);
                    named.set(named & (named - 1u32));
                },
            );
            first.set(first + 32u64);
        },
    );
}

/// Adds one row to another.
fn add_row<'k>(
    k: &'k Builder,
    v: &Vals<'k>,
    spec: Spec,
    lane: Reg<'k, u32>,
    [table, rows]: [Reg<'k, u64>; 2],
) {
    units(k, v, spec, lane, |first, step, count| {
        let place = |i| unit_at(k, v, spec, k.mad(step, u64::from(i), first));
        let places: Vec<_> = (0..count).map(place).collect();
        let load = |at: &[Reg<'k, u64>; 2]| {
            let old = load_unit(table + at[0], spec.unit, Load::Plain);
            (old, load_unit(rows + at[1], spec.unit, Load::ReadOnly))
        };
        let loaded: Vec<_> = places.iter().map(load).collect();
        for (at, (old, more)) in places.iter().zip(loaded) {
            store_unit(table + at[0], spec.unit, &add_words(k, spec.dtype, &old, &more));
        }
    });
}
