//! The running value of one result on a GPU: elements join it, lanes and warps join theirs, and the end is rounded and
//! stored. Of a logarithm of a sum of exponentials it is the largest element and the sum of e^(x - largest).

use super::number::Number;
use super::real::{exponential, logarithm};
use crate::dtype::Dtype::{self, *};
use crate::kernels::gpu::{Array, Raw, elements};
use crate::ops::reduce::*;
use crate::ptx::{Builder, Constant, Element, Reg};

/// What is computed, of which elements.
#[derive(Clone, Copy, Debug)]
pub struct Fold {
    /// WEFT_REDUCE constant.
    pub function: u32,
    /// Of x and y.
    pub dtype: Dtype,
}

impl Fold {
    /// What it is computed in.
    pub fn number(self) -> Dtype {
        let ends = matches!(self.function, WEFT_REDUCE_MAX | WEFT_REDUCE_MIN | WEFT_REDUCE_LOG_SUM_EXP);
        let through_f64 = matches!(
            self.function,
            WEFT_REDUCE_MEAN | WEFT_REDUCE_L2 | WEFT_REDUCE_LOG_SUM | WEFT_REDUCE_LOG_SUM_EXP
        );
        match self.dtype {
            F32 | F16 | Bf16 if ends => F32,
            F32 | F16 | Bf16 | F64 => F64,
            _ if through_f64 => F64,
            U64 => U64,
            _ => I64,
        }
    }

    /// Most elements of neighbouring results that a thread loads at once, for want of registers.
    pub fn abreast(self) -> usize {
        if self.has_sum() { 4 } else { 8 }
    }

    /// Whether elements are summed in f32, a few at a time, and those sums in f64: f64 alone costs a conversion an element,
    /// which takes as long as reading it.
    pub fn is_bundled(self) -> bool {
        let sums = matches!(self.function, WEFT_REDUCE_SUM | WEFT_REDUCE_MEAN | WEFT_REDUCE_L1);
        sums && matches!(self.dtype, F16 | Bf16)
    }

    /// Whether a sum of exponentials belongs to it.
    pub fn has_sum(self) -> bool {
        self.function == WEFT_REDUCE_LOG_SUM_EXP
    }
}

/// A running value, in registers that change.
#[derive(Clone, Copy)]
pub struct State<'k, A> {
    k: &'k Builder,
    fold: Fold,
    /// The value, or the largest element.
    pub main: Reg<'k, A>,
    /// The sum of e^(x - largest).
    pub sum: Reg<'k, f64>,
}

impl<'k, A: Number> State<'k, A> {
    /// Of no elements.
    pub fn new(k: &'k Builder, fold: Fold) -> Self {
        Self { k, fold, main: k.var(A::start(fold.function)), sum: k.var(0.0f64) }
    }

    /// Whether `sum` counts.
    pub fn has_sum(&self) -> bool {
        self.fold.has_sum()
    }

    /// Of this value.
    pub fn of(self, main: Reg<'k, A>, sum: Reg<'k, f64>) -> Self {
        Self { main, sum, ..self }
    }

    /// The elements that words of memory hold.
    pub fn elements(&self, words: &[Reg<'k, u32>], bytes: u32) -> Vec<Raw<'k>> {
        elements(self.k, words, bytes, self.fold.dtype.size() as u32)
    }

    /// With the elements that words of memory hold.
    pub fn take_words(&self, words: &[Reg<'k, u32>], bytes: u32) {
        self.take(&self.elements(words, bytes));
    }

    /// With these elements, one to eight, joined in a tree.
    pub fn take(&self, elements: &[Raw<'k>]) {
        let (k, function) = (self.k, self.fold.function);
        if let Some(bundle) = A::bundle(k, self.fold, elements) {
            return self.main.set(A::join(k, function, self.main, bundle));
        }
        let values: Vec<_> = elements.iter().map(|&raw| A::of(k, self.fold.dtype, raw)).collect();
        let terms: Vec<_> = values.iter().map(|&x| A::term(k, function, x)).collect();
        let all = A::join(k, function, self.main, tree(terms, |a, b| A::join(k, function, a, b)));
        if self.fold.has_sum() {
            let base = self.base(all);
            let others = values.iter().map(|&x| self.exp(A::wide(x) - base)).collect();
            let before = self.sum * self.exp(A::wide(self.main) - base);
            self.sum.set(before + tree(others, |a, b| a + b));
        }
        self.main.set(all);
    }

    /// With what another has.
    pub fn join(&self, other: &Self) {
        let all = A::join(self.k, self.fold.function, self.main, other.main);
        if self.fold.has_sum() {
            let base = self.base(all);
            let seen = |state: &Self| state.sum * exponential(self.k, A::wide(state.main) - base, true);
            self.sum.set(seen(self) + seen(other));
        }
        self.main.set(all);
    }

    /// What exponentials are taken from: `largest`, where that is not -infinity, the largest of no number.
    fn base(&self, largest: Reg<'k, A>) -> Reg<'k, f64> {
        let largest = A::wide(largest);
        self.k.select(largest.eq(f64::NEG_INFINITY), 0.0f64, largest)
    }

    fn exp(&self, x: Reg<'k, f64>) -> Reg<'k, f64> {
        exponential(self.k, x, self.fold.number() == F64)
    }

    /// With those of the other lanes of each group of `width`.
    pub fn join_lanes(&self, width: u32) {
        let k = self.k;
        for step in (0..width.min(32).ilog2()).rev() {
            let sum = if self.fold.has_sum() { k.shuffle_xor(self.sum, 1 << step) } else { self.sum };
            self.join(&self.of(k.shuffle_xor(self.main, 1 << step), sum));
        }
    }

    /// With those of the other warps of a block, in its first warp, when each warp's lanes have joined; all threads
    /// come here.
    pub fn join_warps(&self, threads: u32) {
        let (k, warps) = (self.k, threads / 32);
        let (mains, sums) = (k.shared::<A>(warps), k.shared::<f64>(warps));
        k.when(k.lane().eq(0u32), || {
            mains.at(k.warp()).store(self.main);
            if self.fold.has_sum() {
                sums.at(k.warp()).store(self.sum);
            }
        });
        k.barrier();
        k.when(k.thread_x().lt(32u32), || {
            let warp = k.lane() & (warps - 1);
            self.main.set(mains.at(warp).load());
            if self.fold.has_sum() {
                self.sum.set(sums.at(warp).load());
            }
            self.join_lanes(warps);
        });
        k.barrier(); // so that the next result does not overwrite what is still read
    }

    /// Rounds the end to the dtype and stores it at `at`.
    pub fn finish(&self, facts: &Facts<'k>, at: Array<'k>) {
        let whole = !self.fold.dtype.is_float();
        if whole && self.fold.number() != F64 {
            return self.store_whole(facts, at);
        }
        let end = self.end(facts);
        if !whole {
            return at.store(end);
        }
        // Only f64 to 64 bits has something else than 0 for NaN.
        let number = end.ordered(end);
        if self.fold.dtype == U64 {
            let value = self.k.select(number, end.to::<u64>(), 0u64);
            return at.ptr::<u64>().store(value);
        }
        let value = self.k.select(number, end.to::<i64>(), 0i64);
        store_within(self.k, value, at);
    }

    /// Of an integer that wraps, or the largest or smallest.
    fn store_whole(&self, facts: &Facts<'k>, at: Array<'k>) {
        let (k, value) = (self.k, A::whole(self.main));
        let value = match self.fold.function {
            WEFT_REDUCE_MAX | WEFT_REDUCE_MIN => value,
            WEFT_REDUCE_PROD => power(k, value, 1, facts.repeats, |a, b| a * b),
            _ => value * facts.repeats.bits::<i64>(),
        };
        match (self.fold.dtype, self.fold.function) {
            (U64, _) => at.ptr::<u64>().store(value.bits::<u64>()),
            (_, WEFT_REDUCE_MAX | WEFT_REDUCE_MIN) => store_within(self.k, value, at),
            _ => store_low(value, at),
        }
    }

    fn end(&self, facts: &Facts<'k>) -> Reg<'k, f64> {
        let (k, value) = (self.k, A::wide(self.main));
        match self.fold.function {
            WEFT_REDUCE_MEAN => value / facts.count,
            WEFT_REDUCE_L2 => k.sqrt(value * facts.times),
            WEFT_REDUCE_LOG_SUM => logarithm(k, value * facts.times),
            WEFT_REDUCE_LOG_SUM_EXP => {
                let finite = k.abs(value).lt(f64::INFINITY);
                k.select(finite, value + logarithm(k, self.sum * facts.times), value)
            }
            WEFT_REDUCE_PROD => power(k, value, 1.0, facts.repeats, |a, b| a * b),
            WEFT_REDUCE_MAX | WEFT_REDUCE_MIN => value,
            _ => value * facts.times,
        }
    }
}

/// What the end of a reduction depends on besides its running values.
pub struct Facts<'k> {
    /// Elements that were reduced.
    pub count: Reg<'k, f64>,
    /// How often each counts.
    pub repeats: Reg<'k, u64>,
    /// The same.
    pub times: Reg<'k, f64>,
}

/// `value` multiplied with itself, `count` of them.
fn power<'k, T: Element + Constant>(
    k: &'k Builder,
    value: Reg<'k, T>,
    one: T,
    count: Reg<'k, u64>,
    times: impl Fn(Reg<'k, T>, Reg<'k, T>) -> Reg<'k, T>,
) -> Reg<'k, T> {
    let (base, left, all) = (k.var(value), k.var(count), k.var(one));
    k.repeat_while(
        || left.ne(0u64),
        || {
            all.set(k.select((left & 1u64).ne(0u64), times(all, base), all));
            base.set(times(base, base));
            left.set(left >> 1u32);
        },
    );
    all
}

/// `join` over all values, pairs first.
pub(super) fn tree<T: Copy>(mut values: Vec<T>, join: impl Fn(T, T) -> T) -> T {
    while values.len() > 1 {
        values = values
            .chunks(2)
            .map(|pair| if pair.len() == 2 { join(pair[0], pair[1]) } else { pair[0] })
            .collect();
    }
    values[0]
}

/// Kept within the range of the dtype, which is not U64.
fn store_within<'k>(k: &'k Builder, value: Reg<'k, i64>, at: Array<'k>) {
    let (low, high) = range(at.dtype);
    store_low(k.min(k.max(value, low), high), at);
}

/// The low bytes.
fn store_low<'k>(value: Reg<'k, i64>, at: Array<'k>) {
    match at.dtype.size() {
        1 => at.ptr::<u8>().store(value.to::<u8>()),
        2 => at.ptr::<u16>().store(value.to::<u16>()),
        4 => at.ptr::<u32>().store(value.to::<u32>()),
        _ => at.ptr::<i64>().store(value),
    }
}
