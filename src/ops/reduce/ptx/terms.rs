//! The sum of the exponentials of narrow floats along a row, in f32: e^x is 2^n 2^r, n the whole number next to x log2(e), and
//! what is kept is the sum of 2^(n - N) 2^r for a whole N near the largest, which changes where a much larger element
//! comes. 2^r is the hardware's, within 2^-22 of itself; four terms are summed in f32, and those sums in f64: what is off is
//! 3.7e-7 of the sum at the most. Of floats of 16 bits it is the sum of e^(x - C) for a C at most 8 below the largest, the
//! exponent being rounded: a term's is off by 2^-23 times its size, and terms further from C than the logarithm of their
//! number do not count, which makes 2e-6 of the sum.

use super::number::Number;
use super::real::exponential;
use super::{Fold, State};
use crate::dtype::Dtype::{self, *};
use crate::kernels::gpu::Raw;
use crate::ptx::{Bf16x2, Builder, F16x2, Reg};

const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// What LOG2_E lacks.
const LOG2_E_LOW: f32 = 1.925_963e-8;
/// Added to a number of less than 22 bits, it leaves the whole number next to it in the low bits.
const ROUND: f32 = 12_582_912.0;
/// Powers of two above N that the largest may reach, and below that make no difference.
const ABOVE: f32 = 64.0;
const BELOW: f32 = -96.0;
/// How far above C the largest float of 16 bits may be.
const ABOVE_HALF: f32 = 8.0;

/// Whether a sum is made so.
pub fn is_narrow(fold: Fold) -> bool {
    fold.has_sum() && fold.number() == F32
}

/// A sum of exponentials, in registers that change.
pub struct Terms<'k> {
    k: &'k Builder,
    dtype: Dtype,
    /// The largest element; NaN if one is.
    top: Reg<'k, f32>,
    /// N, or C.
    base: Reg<'k, f32>,
    /// Where that has to change; -infinity where there is none yet.
    limit: Reg<'k, f32>,
    /// Elements below are taken for this one.
    low: Reg<'k, f32>,
    sum: Reg<'k, f64>,
}

impl<'k> Terms<'k> {
    /// Of no elements.
    pub fn new(k: &'k Builder, dtype: Dtype) -> Self {
        let least = f32::NEG_INFINITY;
        let (top, base, limit) = (k.var(least), k.var(0.0f32), k.var(least));
        let terms = Self { k, dtype, top, base, limit, low: k.var(0.0f32), sum: k.var(0.0f64) };
        terms.set_low();
        terms
    }

    /// The largest size of an element for which `low` is right to within 23 powers of two, and a number.
    fn most(&self) -> f32 {
        match self.dtype {
            Bf16 => 4096.0,
            F16 => 32768.0,
            _ => 131_072.0,
        }
    }

    /// With the elements of these words.
    pub fn take_words(&self, words: &[Reg<'k, u32>]) {
        let k = self.k;
        let top = k.var(self.largest(words));
        self.top.set(k.max_nan(self.top, top));
        k.when(top.gt(self.limit), || if self.is_half() { self.rebase_half(top) } else { self.rebase(top) });
        let round = k.var(k.sub(ROUND, self.base));
        let terms: Vec<_> = match self.is_half() {
            true => words.iter().flat_map(|&word| self.halves(word)).map(|x| self.half_term(x)).collect(),
            false => words.iter().map(|&word| self.term(self.clamped(word), round)).collect(),
        };
        for some in terms.chunks(if self.is_half() { 8 } else { 4 }) {
            self.sum.set(self.sum + fold(some.to_vec(), &|a, b| a + b).to::<f64>());
        }
    }

    fn is_half(&self) -> bool {
        self.dtype.size() == 2
    }

    /// The two elements of a word.
    fn halves(&self, word: Reg<'k, u32>) -> [Reg<'k, f32>; 2] {
        match self.dtype {
            Bf16 => word.bits::<Bf16x2>().widen(),
            _ => word.bits::<F16x2>().widen(),
        }
    }

    /// e^(x - C); 0 of what is far below.
    fn half_term(&self, x: Reg<'k, f32>) -> Reg<'k, f32> {
        self.k.ex2_ftz((x - self.base) * LOG2_E)
    }

    /// Takes C from `top`.
    fn rebase_half(&self, top: Reg<'k, f32>) {
        let k = self.k;
        let near = k.min(k.max(top, -self.most()), self.most());
        let by = (self.base - near).to::<f64>();
        let seen = self.sum * exponential(k, by, true);
        self.sum.set(k.select(self.limit.eq(f32::NEG_INFINITY), 0.0f64, seen));
        self.base.set(near);
        self.limit.set(near + ABOVE_HALF);
    }

    /// With one element, the bits of a word above it being 0.
    pub fn take_element(&self, word: Reg<'k, u32>) {
        let alone = match self.dtype {
            Bf16 => word | 0xFF80_0000u32,
            F16 => word | 0xFC00_0000u32,
            _ => word,
        };
        self.take_words(&[alone]);
    }

    /// 2^(n - N) 2^r.
    fn term(&self, x: Reg<'k, f32>, round: Reg<'k, f32>) -> Reg<'k, f32> {
        let k = self.k;
        let rounded = k.fma(x, LOG2_E, round);
        let n = rounded - round;
        let rest = k.fma(x, LOG2_E_LOW, k.fma(x, LOG2_E, -n));
        (k.ex2_ftz(rest).bits::<u32>() + (rounded.bits::<u32>() << 23u32)).bits()
    }

    /// The element of a word, not below `low`.
    fn clamped(&self, word: Reg<'k, u32>) -> Reg<'k, f32> {
        self.k.max(word.bits::<f32>(), self.low)
    }

    fn largest(&self, words: &[Reg<'k, u32>]) -> Reg<'k, f32> {
        let k = self.k;
        let of_halves = |[low, high]: [Reg<'k, f32>; 2]| k.max_nan(low, high);
        let words = words.iter();
        match self.dtype {
            Bf16 => {
                of_halves(fold(words.map(|w| w.bits::<Bf16x2>()).collect(), &|a, b| k.max_nan(a, b)).widen())
            }
            F16 => {
                of_halves(fold(words.map(|w| w.bits::<F16x2>()).collect(), &|a, b| k.max_nan(a, b)).widen())
            }
            _ => fold(words.map(|w| w.bits::<f32>()).collect(), &|a, b| k.max_nan(a, b)),
        }
    }

    /// Takes N from `top`.
    fn rebase(&self, top: Reg<'k, f32>) {
        let k = self.k;
        let near = k.min(k.max(top, -self.most()), self.most());
        let twos = k.fma(near, LOG2_E, ROUND) - ROUND;
        let by = k.max((self.base - twos).to::<i32>(), -1000i32);
        let seen = self.sum * power_of_two(by);
        self.sum.set(k.select(self.limit.eq(f32::NEG_INFINITY), 0.0f64, seen));
        self.base.set(twos);
        self.limit.set((twos + ABOVE) * std::f32::consts::LN_2);
        self.set_low();
    }

    fn set_low(&self) {
        self.low.set((self.base + BELOW) * std::f32::consts::LN_2);
    }

    /// Gives `state` what all lanes of the warp have. Where a lane's elements are too large for it, `again` is to give `state`
    /// that lane's.
    pub fn leave<A: Number>(&self, state: &State<'k, A>, again: impl FnOnce()) {
        let k = self.k;
        let size = k.abs(self.top);
        let unit = if self.is_half() { 1.0 } else { std::f64::consts::LN_2 };
        let base = k.var(self.base.to::<f64>() * unit);
        state.sum.set(self.sum);
        k.when(size.gt(self.most()) & size.lt(f32::INFINITY), || {
            state.sum.set(0.0f64);
            again();
            base.set(A::wide(state.main));
        });
        let top = k.reduce_lanes(self.top, 32, |a, b| k.max_nan(a, b));
        let from = k.select(k.abs(top).lt(f32::INFINITY), top, 0.0f32);
        let seen = state.sum * exponential(k, base - from.to::<f64>(), true);
        state.main.set(A::of(k, F32, Raw::Word(top.bits())));
        state.sum.set(k.reduce_lanes(seen, 32, |a, b| a + b));
    }
}

/// 2^n of n from -1022 to 1023.
fn power_of_two<'k>(n: Reg<'k, i32>) -> Reg<'k, f64> {
    ((n + 1023i32).to::<i64>() << 52u32).bits()
}

/// All joined, neighbours first.
fn fold<T: Copy>(values: Vec<T>, join: &impl Fn(T, T) -> T) -> T {
    match values[..] {
        [one] => one,
        _ => {
            let pairs =
                values.chunks(2).map(|two| if two.len() == 2 { join(two[0], two[1]) } else { two[0] });
            fold(pairs.collect(), join)
        }
    }
}
