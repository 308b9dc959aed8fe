//! dot, nrm2, asum and iamax: a warp or a block a vector, or piece of one; then a warp a vector that joins pieces, in their order.
//! Running values are f64: sums, or the largest size and its number.

use super::THREADS;
use super::value::{Part, Value, far, lanes};
use crate::dtype::Dtype;
use crate::kernels::gpu::{Space, turns};
use crate::ops::blas::fold::Measure;
use crate::ops::blas::is_complex;
use crate::ptx::{Builder, Global, Kernel, Load, Ptr, Reg, Shape, Target, Words, params};
use crate::status::Result;

/// Words of the batch axes of three operands.
const WORDS: usize = Space::<3>::word_count(8);

params! {
    /// Folds of `vectors` vectors of `count` elements, each in `pieces` of `length` (the last may be shorter).
    pub struct Args / Vals {
        /// Addresses of x, y and the result.
        at: [u64; 3],
        /// From an element of x, and of y, to the next, in bytes.
        steps: [u64; 2],
        /// Elements of a vector.
        count: u64,
        /// Pieces of a vector.
        pieces: u64,
        /// Elements of a piece.
        length: u64,
        /// Vectors.
        vectors: u64,
        /// Running values of pieces, [vector][piece][state].
        states: u64,
        /// The batch axes of x, y and the result, in elements.
        batch: Words<WORDS>,
    }
}

/// What a kernel is written for.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// What is folded.
    pub measure: Measure,
    /// The vectors' dtype.
    pub dtype: Dtype,
    /// The result's dtype.
    pub result: Dtype,
    /// Threads that share a vector: 32 or all.
    pub width: u32,
    /// Whether x is conjugated.
    pub conjugate: bool,
    /// Whether running values go to `states`.
    pub partial: bool,
    /// Whether elements lie side by side, each piece's first one aligned to 16 bytes.
    pub packed: bool,
}

impl Spec {
    /// All of it, for a kernel's key.
    pub fn words(&self) -> [u32; 8] {
        let Self { measure, dtype, result, width, conjugate, partial, packed } = *self;
        let flags = u32::from(conjugate) | u32::from(partial) << 1 | u32::from(packed) << 2;
        [measure as u32, dtype as u32, result as u32, width, flags, 0, 0, 0]
    }

    fn shape(&self, kind: &str, target: Target) -> Shape {
        let words = self.words()[..5].iter().map(u32::to_string).collect::<Vec<_>>().join("_");
        Shape::new(format!("blas_{kind}_{words}"), target, [THREADS, 1, 1]).min_blocks(1)
    }

    /// f64 of a running value.
    pub fn states(&self) -> u32 {
        let single = matches!(self.dtype, Dtype::F32 | Dtype::C32);
        match self.measure {
            Measure::Dot => 1 + u32::from(is_complex(self.dtype)),
            Measure::Nrm2 => {
                if single {
                    1
                } else {
                    3
                }
            }
            Measure::Asum => 1,
            Measure::Iamax => 2,
        }
    }
}

/// Blue's constants for f64 (E. Anderson, Algorithm 978): below the first a square loses digits, above the second it may overflow
/// in a sum; the scales for both.
const SMALL: f64 = f64::from_bits((1023 - 511) << 52);
const LARGE: f64 = f64::from_bits((1023 + 486) << 52);
const UP: f64 = f64::from_bits((1023 + 537) << 52);
const DOWN: f64 = f64::from_bits((1023 - 538) << 52);

/// A running value in registers.
struct State<'k> {
    k: &'k Builder,
    spec: Spec,
    values: Vec<Reg<'k, f64>>,
}

impl<'k> State<'k> {
    /// Of no elements.
    fn new(k: &'k Builder, spec: Spec) -> Self {
        let values = match spec.measure {
            Measure::Iamax => vec![k.var(-1.0f64), k.var(-1i64).bits()],
            _ => (0..spec.states()).map(|_| k.var(0.0f64)).collect(),
        };
        Self { k, spec, values }
    }

    /// Takes an element of x and one of y; `index` is its number.
    fn take<R: Part>(&self, x: Value<'k, R>, y: Value<'k, R>, index: Reg<'k, u64>) {
        let (k, values) = (self.k, &self.values);
        let add = |n: usize, a: Reg<'k, f64>, b: Reg<'k, f64>| values[n].set(k.fma(a, b, values[n]));
        match self.spec.measure {
            Measure::Dot => {
                let wide = |value: Value<'k, R>| Value { re: R::wide(value.re), im: value.im.map(R::wide) };
                let sum = Value::<f64>::of_parts(values);
                sum.set(sum.plus_product(k, wide(x.conjugate_if(self.spec.conjugate)), wide(y)));
            }
            Measure::Nrm2 if values.len() == 1 => {
                x.parts().into_iter().map(R::wide).for_each(|part| add(0, part, part));
            }
            Measure::Nrm2 => x.parts().into_iter().for_each(|part| self.take_square(k.abs(R::wide(part)))),
            Measure::Asum => {
                x.parts().into_iter().for_each(|part| values[0].set(values[0] + k.abs(R::wide(part))));
            }
            Measure::Iamax => self.take_size(R::wide(x.size(k)), index),
        }
    }

    /// The square of a number into one of the three sums.
    fn take_square(&self, x: Reg<'k, f64>) {
        let (k, [small, between, large]) = (self.k, [0, 1, 2].map(|n| self.values[n]));
        let (low, high) = (x.lt(SMALL), x.gt(LARGE));
        let only = |condition: Reg<'k, bool>, x: Reg<'k, f64>| k.select(condition, x, 0.0f64);
        let [up, middle, down] = [only(low, x * UP), only(!(low | high), x), only(high, x * DOWN)];
        for (sum, x) in [(small, up), (between, middle), (large, down)] {
            sum.set(k.fma(x, x, sum));
        }
    }

    /// A size; a NaN is larger than nothing. Numbers are kept as the bits of a float, which are in the same order.
    fn take_size(&self, size: Reg<'k, f64>, index: Reg<'k, u64>) {
        let (k, larger) = (self.k, size.gt(self.values[0]));
        self.values[0].set(k.select(larger, size, self.values[0]));
        self.values[1].set(k.select(larger, index.bits::<f64>(), self.values[1]));
    }

    /// The first element of a vector, whose NaN is larger than anything.
    fn take_first<R: Part>(&self, x: Value<'k, R>) {
        let size = R::wide(x.size(self.k));
        self.k.when(size.unordered(size), || {
            self.values[0].set(f64::INFINITY);
            self.values[1].set(self.k.var(0u64).bits::<f64>());
        });
    }

    /// Joins another one of other elements.
    fn join(&self, other: &[Reg<'k, f64>]) {
        if self.spec.measure != Measure::Iamax {
            return self.values.iter().zip(other).for_each(|(value, &other)| value.set(*value + other));
        }
        let ([most, index], k) = ([self.values[0], self.values[1]], self.k);
        let better = other[0].gt(most) | (other[0].eq(most) & other[1].lt(index));
        most.set(k.select(better, other[0], most));
        index.set(k.select(better, other[1], index));
    }

    /// Those of a warp, in every lane of it.
    fn join_lanes(&self) {
        for by in [16, 8, 4, 2, 1] {
            let others: Vec<_> = self.values.iter().map(|&value| self.k.shuffle_xor(value, by)).collect();
            self.join(&others);
        }
    }

    /// Those of all warps of the block, in every lane of the first.
    fn join_warps(&self) {
        let (k, warps) = (self.k, THREADS / 32);
        let shared: Vec<_> = self.values.iter().map(|_| k.shared::<f64>(warps)).collect();
        k.when(k.lane().eq(0u32), || {
            shared.iter().zip(&self.values).for_each(|(place, &value)| place.at(k.warp()).store(value));
        });
        k.barrier();
        let none = Self::new(k, self.spec).values;
        let there = k.lane().lt(warps);
        for ((value, place), none) in self.values.iter().zip(&shared).zip(none) {
            value.set(place.at(k.lane()).load_if(there, none));
        }
        k.barrier(); // so that the next vector does not overwrite what others still read
        self.join_lanes();
    }

    /// Writes what it came to.
    fn finish<R: Part>(&self, to: Reg<'k, u64>) {
        let (k, values) = (self.k, &self.values);
        match self.spec.measure {
            Measure::Dot => {
                let parts: Vec<_> = values.iter().map(|&value| R::of(value)).collect();
                Value::of_parts(&parts).store(to);
            }
            Measure::Nrm2 if values.len() == 1 => Ptr::<Global<R>>::new(to).store(R::of(k.sqrt(values[0]))),
            Measure::Nrm2 => Ptr::<Global<R>>::new(to).store(R::of(self.root())),
            Measure::Asum => Ptr::<Global<R>>::new(to).store(R::of(values[0])),
            Measure::Iamax if self.spec.result == Dtype::I32 => {
                Ptr::<Global<i32>>::new(to).store(values[1].bits::<i64>().to::<i32>());
            }
            Measure::Iamax => Ptr::<Global<i64>>::new(to).store(values[1].bits::<i64>()),
        }
    }

    /// The norm of three sums of squares, as Algorithm 978 ends.
    fn root(&self) -> Reg<'k, f64> {
        let (k, [small, between, large]) = (self.k, [0, 1, 2].map(|n| self.values[n]));
        let more = between.gt(0.0f64) | between.unordered(between);
        let scaled = k.select(more, between * DOWN * DOWN, 0.0f64);
        let high = k.sqrt(large + scaled) * (1.0 / DOWN);
        let (a, b) = (k.sqrt(between), k.sqrt(small) * (1.0 / UP));
        let first = a.gt(b) | a.unordered(a);
        let (most, least) = (k.select(first, a, b), k.select(first, b, a));
        let ratio = least / most;
        let joined = most * k.sqrt(k.fma(ratio, ratio, 1.0f64));
        let low = k.select(small.gt(0.0f64), k.select(more, joined, b), a);
        k.select(large.gt(0.0f64), high, low)
    }
}

/// The fold of vectors, or of their pieces.
pub fn write<R: Part>(target: Target, spec: Spec) -> Result<Kernel<Args>> {
    let each = THREADS / spec.width;
    Kernel::build(&spec.shape("fold", target), |k, v: Vals<'_>| {
        let lane = k.thread_x() & (spec.width - 1);
        let unit = k.var((k.block_x() * each + k.thread_x() / spec.width).to::<u64>());
        let (all, step) = (v.vectors * v.pieces, (k.grid_blocks_x() * each).to::<u64>());
        k.repeat_while(
            || unit.lt(all),
            || {
                let state = State::new(k, spec);
                let vector = unit / v.pieces;
                let piece = unit - vector * v.pieces;
                let at = place(k, &v, spec, vector);
                if spec.measure == Measure::Iamax {
                    let there = lane.eq(0u32) & piece.eq(0u64) & v.count.gt(0u64);
                    k.when(there, || state.take_first(Value::<R>::load(at[0], spec.dtype)));
                }
                elements::<R>(k, &v, &state, at, (piece * v.length, lane));
                state.join_lanes();
                if spec.width == THREADS {
                    state.join_warps();
                }
                k.when(lane.eq(0u32), || leave::<R>(&v, &state, unit, at[2]));
                unit.set(unit + step);
            },
        );
    })
}

/// Addresses of a vector of x, of y, and of its result.
fn place<'k>(k: &'k Builder, v: &Vals<'k>, spec: Spec, vector: Reg<'k, u64>) -> [Reg<'k, u64>; 3] {
    let at = Space::<3>::locate_all(k, &v.batch, true, &[vector])[0];
    let sizes = [spec.dtype, spec.dtype, spec.result].map(|dtype| dtype.size() as u64);
    std::array::from_fn(|n| k.mad(at[n], sizes[n], v.at[n]))
}

/// The elements of this lane, of the piece that begins at `start`.
fn elements<'k, R: Part>(
    k: &'k Builder,
    v: &Vals<'k>,
    state: &State<'k>,
    at: [Reg<'k, u64>; 3],
    (start, lane): (Reg<'k, u64>, Reg<'k, u32>),
) {
    let length = k.min(v.length, v.count - start);
    if !state.spec.packed {
        return single::<R>(k, v, state, at, (start, length, lane));
    }
    let lanes = lanes(state.spec.dtype);
    let grouped = length & !u64::from(lanes - 1);
    groups::<R>(k, state, at, (start, grouped, lane));
    single::<R>(k, v, state, at, (start + grouped, length - grouped, lane));
}

/// `length` elements from `start` on, a multiple of those of a group, in groups.
fn groups<'k, R: Part>(
    k: &'k Builder,
    state: &State<'k>,
    at: [Reg<'k, u64>; 3],
    (start, length, lane): (Reg<'k, u64>, Reg<'k, u64>, Reg<'k, u32>),
) {
    let (spec, lanes) = (state.spec, lanes(state.spec.dtype));
    let load = |number: Reg<'k, u64>, displaced: u32| {
        let first = k.mad(number + u64::from(displaced), u64::from(lanes), start);
        let group = |n: usize| {
            let from = Ptr::new(k.mad(first, spec.dtype.size() as u64, at[n])).loading(Load::Stream);
            Value::<R>::load_group(from, spec.dtype)
        };
        let x = group(0);
        let y = if spec.measure == Measure::Dot { group(1) } else { x.clone() };
        (x, y, first)
    };
    turns(k, spec.width, lane, length >> lanes.ilog2(), load, |(x, y, first)| {
        for (n, (x, y)) in x.into_iter().zip(y).enumerate() {
            state.take(x, y, first + n as u64);
        }
    });
}

/// `length` elements from `start` on, one at a time.
fn single<'k, R: Part>(
    k: &'k Builder,
    v: &Vals<'k>,
    state: &State<'k>,
    at: [Reg<'k, u64>; 3],
    (start, length, lane): (Reg<'k, u64>, Reg<'k, u64>, Reg<'k, u32>),
) {
    let spec = state.spec;
    let load = |number: Reg<'k, u64>, displaced: u32| {
        let index = start + number + u64::from(displaced);
        let x = Value::<R>::load(k.mad(index, v.steps[0], at[0]), spec.dtype);
        let y = match spec.measure {
            Measure::Dot => Value::load(k.mad(index, v.steps[1], at[1]), spec.dtype),
            _ => x,
        };
        (x, y, index)
    };
    turns(k, spec.width, lane, length, load, |(x, y, index)| state.take(x, y, index));
}

/// The result, or the running value of piece `unit`.
fn leave<'k, R: Part>(v: &Vals<'k>, state: &State<'k>, unit: Reg<'k, u64>, to: Reg<'k, u64>) {
    if !state.spec.partial {
        return state.finish::<R>(to);
    }
    let place = far::<f64>(v.states, unit * u64::from(state.spec.states()));
    state.values.iter().zip(0..).for_each(|(&value, n)| place.plus(n).store(value));
}

/// The joining of pieces, a warp a vector.
pub fn merge<R: Part>(target: Target, spec: Spec) -> Result<Kernel<Args>> {
    let each = THREADS / 32;
    Kernel::build(&spec.shape("merge", target), |k, v: Vals<'_>| {
        let vector = k.var((k.block_x() * each + k.warp()).to::<u64>());
        let step = (k.grid_blocks_x() * each).to::<u64>();
        k.repeat_while(
            || vector.lt(v.vectors),
            || {
                let (state, words) = (State::new(k, spec), u64::from(spec.states()));
                let load = |piece: Reg<'_, u64>, displaced: u32| {
                    let unit = k.mad(vector, v.pieces, piece + u64::from(displaced));
                    let from = far::<f64>(v.states, unit * words);
                    (0..spec.states() as i32).map(|n| from.plus(n).load()).collect::<Vec<_>>()
                };
                turns(k, 32, k.lane(), v.pieces, load, |values| state.join(&values));
                state.join_lanes();
                let to = place(k, &v, spec, vector)[2];
                k.when(k.lane().eq(0u32), || state.finish::<R>(to));
                vector.set(vector + step);
            },
        );
    })
}
