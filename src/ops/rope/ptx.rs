//! The kernel that turns: a thread has some pairs of a position, whose cosines and sines it reads once, and turns them in the
//! rows of several heads.

use crate::device::cuda::Key;
use crate::dtype::Dtype;
use crate::kernels::gpu::{Array, Chunk, Real, Space, piece_len};
use crate::ptx::{Builder, Kernel, Reg, Shape, Target, Text, Words, params};
use crate::status::Result;

/// Threads of a block.
pub(super) const THREADS: u32 = 256;
/// Heads that a thread has in flight.
const FLIGHT: u32 = 2;
/// Axes of the space that is walked: batch, some heads, position, some pairs.
pub(super) const AXES: usize = 4;
/// What is located in it: x, y, the position, cos, sin (in elements), and the first head.
pub(super) const LOCATED: usize = 6;
/// Numbers that describe it.
pub(super) const WORDS: usize = AXES * (1 + LOCATED);

params! {
    /// What the kernel is given.
    pub(super) struct Args / Vals {
        /// Threads' worth of work.
        count: u64,
        /// x and y.
        rows: [u64; 2],
        /// Of the second elements of pairs from the first ones, in x and y.
        seconds: [u64; 2],
        /// From head to head, in x and y.
        strides: [u64; 2],
        heads: u64,
        /// Heads of a thread.
        some: u64,
        positions: u64,
        /// cos and sin.
        tables: [u64; 2],
        /// From pair to pair.
        pair_strides: [u64; 2],
        /// From position to position, and how many there are: for positions alone.
        position_strides: [u64; 2],
        positions_end: u64,
        /// What cosines and sines are scaled by.
        factors: [f64; 2],
        /// Where it says that nothing may be written, or 0.
        bad: u64,
        space: Words<WORDS>,
    }
}

/// What a kernel is written for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spec {
    pub dtype: Dtype,
    /// Of cos and sin.
    pub tables: [Dtype; 2],
    /// The dtype of the positions that tables are indexed by.
    pub indexed: Option<Dtype>,
    pub half_split: bool,
    /// Whether a thread takes pieces of 16 bytes, else single elements.
    pub pieces: bool,
    pub wide: bool,
}

impl Spec {
    /// Tells it from all others.
    pub fn key(&self) -> Key {
        let flags = [self.half_split, self.pieces, self.wide];
        let flags = flags.into_iter().fold(0, |bits, flag| bits << 1 | u32::from(flag));
        let [cos, sin] = self.tables;
        let indexed = self.indexed.map_or(0, |dtype| dtype as u32 + 1);
        Key("rope", [self.dtype as u32, cos as u32, sin as u32, indexed, flags, 0, 0, 0])
    }

    /// Pairs that a thread has.
    pub fn pairs(&self) -> u32 {
        if self.pieces { piece_len(self.dtype) } else { 1 }
    }

    /// Writes the kernel.
    pub fn write(&self, target: Target) -> Result<Kernel<Args>> {
        let name =
            self.key().1[..5].iter().fold("rope".to_owned(), |name, number| format!("{name}_{number}"));
        Kernel::build(&Shape::new(name, target, [THREADS, 1, 1]), |_, v: Vals<'_>| match self.dtype {
            Dtype::F64 => turn::<f64>(self, &v),
            _ => turn::<f32>(self, &v),
        })
    }
}

/// Ends the kernel where `bad`, if there is such an address, does not hold 0.
pub(super) fn end_if_bad<'k>(k: &'k Builder, bad: Reg<'k, u64>) {
    k.when(bad.ne(0u64), || {
        let word = crate::ptx::Ptr::<crate::ptx::Global<u32>>::new(bad).load();
        k.ret_if(word.ne(0u32));
    });
}

/// Runs `body` for every number below `count`, spread over the threads of the grid.
pub(super) fn each_number<'k>(k: &'k Builder, count: Reg<'k, u64>, body: impl FnOnce(Reg<'k, u64>)) {
    let number = k.var(k.mad_wide(k.block_x(), THREADS, k.thread_x().to::<u64>()));
    let step = k.mul_wide(k.grid_blocks_x(), THREADS);
    k.repeat_while(
        || number.lt(count),
        || {
            body(number);
            number.set(number + step);
        },
    );
}

fn turn<F: Real>(spec: &Spec, v: &Vals<'_>) {
    let k = v.kernel;
    end_if_bad(k, v.bad);
    each_number(k, v.count, |number| {
        let at = Space::<LOCATED>::locate(k, &v.space, AXES, spec.wide, number);
        let [x, y, position, cos, sin, head] = at;
        let tables = match spec.indexed {
            None => [cos, sin],
            Some(dtype) => {
                let row =
                    clamped(k, integer(Array::new(k, dtype, v.positions).at(position)), v.positions_end);
                [k.mad(row, v.position_strides[0], cos), k.mad(row, v.position_strides[1], sin)]
            }
        };
        let waves = [0, 1].map(|n| waves::<F>(spec, v, n, tables[n]));
        let rows = [0, 1].map(|n| Array::new(k, spec.dtype, v.rows[n]).at([x, y][n]));
        each_head(v, head, |heads| {
            let turned: Vec<_> = heads.iter().map(|head| load::<F>(spec, v, rows[0], head)).collect();
            for (head, pair) in heads.iter().zip(turned) {
                store(spec, v, rows[1], head, turned_pair(spec.half_split, pair, &waves));
            }
        });
    });
}

/// An i32 or i64.
pub(super) fn integer(at: Array<'_>) -> Reg<'_, i64> {
    match at.dtype {
        Dtype::I64 => at.ptr::<i64>().load(),
        _ => at.ptr::<i32>().load().to::<i64>(),
    }
}

/// Between 0 and `end` - 1: the check saw good positions, but another queue may have written others since.
pub(super) fn clamped<'k>(k: &'k Builder, position: Reg<'k, i64>, end: Reg<'k, u64>) -> Reg<'k, u64> {
    let last = k.max((end - 1u64).bits::<i64>(), 0i64);
    k.min(k.max(position, 0i64), last).bits()
}

/// The cosines (`n` = 0) or sines of this thread's pairs, scaled.
fn waves<'k, F: Real>(spec: &Spec, v: &Vals<'k>, n: usize, from: Reg<'k, u64>) -> Vec<Reg<'k, F>> {
    let k = v.kernel;
    let (at, by) = (k.var(from), F::narrow(v.factors[n]));
    let wave = |_| {
        let wave = Array::new(k, spec.tables[n], v.tables[n]).at(at).load::<F>() * by;
        at.set(at + v.pair_strides[n]);
        wave
    };
    (0..spec.pairs()).map(wave).collect()
}

/// One head's row.
struct Head<'k> {
    /// From the thread's first head on, 0 where it is not there.
    number: Reg<'k, u64>,
    there: Reg<'k, bool>,
}

/// Runs `body` for the heads of this thread, some at a time.
fn each_head<'k>(v: &Vals<'k>, first: Reg<'k, u64>, body: impl FnOnce(&[Head<'k>])) {
    let k = v.kernel;
    let (number, end) = (k.var(0u64), k.min(v.some, v.heads - first));
    let head = |i: u32| {
        let number = number + u64::from(i);
        let there = number.lt(end);
        Head { number: k.select(there, number, 0u64), there }
    };
    k.repeat_while(
        || number.lt(end),
        || {
            body(&(0..FLIGHT).map(head).collect::<Vec<_>>());
            number.set(number + u64::from(FLIGHT));
        },
    );
}

/// The first and the second elements of the thread's pairs in a head's row.
fn places<'k>(v: &Vals<'k>, n: usize, row: Array<'k>, head: &Head<'k>) -> [Array<'k>; 2] {
    let first = row.at(head.number * v.strides[n]);
    [first, first.at(v.seconds[n])]
}

fn load<'k, F: Real>(spec: &Spec, v: &Vals<'k>, row: Array<'k>, head: &Head<'k>) -> [Chunk<'k, F>; 2] {
    places(v, 0, row, head).map(|at| match spec.pieces {
        true => Chunk::piece(v.kernel, at, head.there),
        false => Chunk::one(at),
    })
}

fn store<'k, F: Real>(spec: &Spec, v: &Vals<'k>, row: Array<'k>, head: &Head<'k>, pair: [Chunk<'k, F>; 2]) {
    debug_assert_eq!(spec.dtype, row.dtype);
    let places = places(v, 1, row, head);
    pair.iter().zip(places).for_each(|(chunk, at)| chunk.store(v.kernel, at, head.there));
}

/// Pairs are elements of the same place in both chunks, or neighbours.
fn turned_pair<'k, F: Real>(
    half_split: bool,
    pair: [Chunk<'k, F>; 2],
    waves: &[Vec<Reg<'k, F>>; 2],
) -> [Chunk<'k, F>; 2] {
    let values: Vec<_> = pair.iter().flat_map(Chunk::values).collect();
    let count = values.len() / 2;
    let mut turned = values.clone();
    for (i, (&cos, &sin)) in waves[0].iter().zip(&waves[1]).enumerate() {
        let [first, second] = if half_split { [i, i + count] } else { [2 * i, 2 * i + 1] };
        let (a, b) = (values[first], values[second]);
        turned[first] = a * cos - b * sin;
        turned[second] = b * cos + a * sin;
    }
    let (low, high) = turned.split_at(count);
    [pair[0].with(low), pair[1].with(high)]
}

/// The kernels that tests assemble.
pub(super) fn texts(target: Target) -> Vec<Result<Text>> {
    let mut texts = Vec::new();
    for dtype in [Dtype::F32, Dtype::F64, Dtype::F16, Dtype::Bf16] {
        for (half_split, pieces) in [(true, true), (false, true), (true, false), (false, false)] {
            let plain =
                Spec { dtype, tables: [Dtype::F32; 2], indexed: None, half_split, pieces, wide: false };
            let indexed = Spec { tables: [dtype; 2], indexed: Some(Dtype::I64), wide: true, ..plain };
            let narrow = Spec { tables: [dtype, Dtype::F32], indexed: Some(Dtype::I32), ..plain };
            let specs = if dtype == Dtype::F16 { vec![indexed] } else { vec![plain, indexed, narrow] };
            texts.extend(specs.into_iter().map(|spec| spec.write(target).map(Text::from)));
        }
    }
    texts
}
