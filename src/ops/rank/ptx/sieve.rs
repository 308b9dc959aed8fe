//! Which vector of a line has the best element that a thread has seen: extremes are found two or four elements an instruction, far
//! cheaper than composites are, which are made of that one vector's elements in the end.

use super::composite::Order;
use crate::dtype::Dtype::*;
use crate::ptx::floats::float;
use crate::ptx::{Bf16x2, Builder, Element, F16x2, Has, Reg};

/// The best vector that a thread has seen.
pub struct Sieve<'k> {
    k: &'k Builder,
    order: Order,
    /// The bits of its best element: of 16 bits twice, 0 for -0.
    level: Reg<'k, u32>,
    /// Its number.
    pub number: Reg<'k, u64>,
}

impl<'k> Sieve<'k> {
    /// Of a thread whose first vector is `first`; none where elements are no floats of 16 or 32 bits.
    pub fn new(k: &'k Builder, order: Order, first: Reg<'k, u64>) -> Option<Self> {
        // What comes before the first: of the largest -infinity, of the smallest NaN, which all numbers are below.
        let level = match (order.dtype, order.smallest) {
            (F32, false) => 0xFF80_0000,
            (F32, true) => 0x7FFF_FFFF,
            (F16, false) => 0xFC00_FC00,
            (Bf16, false) => 0xFF80_FF80,
            (F16 | Bf16, true) => 0x7FFF_7FFF,
            _ => return None,
        };
        Some(Self { k, order, level: k.var(level), number: k.var(first) })
    }

    /// Remembers vector `number` if it has something better, or as good where the last counts. All before it had smaller numbers.
    pub fn see(&self, words: &[Reg<'k, u32>], number: Reg<'k, u64>) {
        let (k, level) = (self.k, self.level);
        let (top, best) = match self.order.dtype {
            F16 => self.extremes::<F16x2>(words),
            Bf16 => self.extremes::<Bf16x2>(words),
            _ => self.extremes::<f32>(words),
        };
        // Without a better one the level's bits stay: -0 and NaNs of other bits are not among them.
        let better = if self.order.last { top.eq(best) } else { best.ne(level) };
        level.set(best);
        self.number.set(k.select(better, number, self.number));
    }

    /// The extreme of the words' elements, and that of it and the level.
    fn extremes<T: Halves>(&self, words: &[Reg<'k, u32>]) -> (Reg<'k, u32>, Reg<'k, u32>) {
        let values: Vec<_> = words.iter().map(|word| word.bits::<T>()).collect();
        let first = values[0];
        let all = values.into_iter().skip(1).fold(first, |a, b| self.join(a, b));
        let top = T::positive_zero(self.k, T::both(self.k, all, |a, b| self.join(a, b)));
        (top.bits(), self.join(self.level.bits::<T>(), top).bits())
    }

    /// NaN is the largest of all.
    fn join<T: Halves>(&self, a: Reg<'k, T>, b: Reg<'k, T>) -> Reg<'k, T> {
        if self.order.smallest { self.k.min(a, b) } else { self.k.max_nan(a, b) }
    }
}

/// One float in a register, or two.
trait Halves: Element + Has<float::max_nan> + Has<float::min> {
    /// The extreme of both, twice.
    fn both<'k>(
        k: &'k Builder,
        value: Reg<'k, Self>,
        join: impl Fn(Reg<'k, Self>, Reg<'k, Self>) -> Reg<'k, Self>,
    ) -> Reg<'k, Self>;
    /// 0 for -0, and one NaN for all.
    fn positive_zero<'k>(k: &'k Builder, value: Reg<'k, Self>) -> Reg<'k, Self>;
}

impl Halves for f32 {
    fn both<'k>(
        _: &'k Builder,
        value: Reg<'k, f32>,
        _: impl Fn(Reg<'k, f32>, Reg<'k, f32>) -> Reg<'k, f32>,
    ) -> Reg<'k, f32> {
        value
    }

    fn positive_zero<'k>(_: &'k Builder, value: Reg<'k, f32>) -> Reg<'k, f32> {
        value + 0.0f32
    }
}

macro_rules! pairs {
    ($($pair:ty: $one:literal;)*) => {$(
        impl Halves for $pair {
            fn both<'k>(
                k: &'k Builder,
                value: Reg<'k, $pair>,
                join: impl Fn(Reg<'k, $pair>, Reg<'k, $pair>) -> Reg<'k, $pair>,
            ) -> Reg<'k, $pair> {
                let word = value.bits::<u32>();
                join(value, k.shf_l(word, word, 16u32).bits())
            }

            fn positive_zero<'k>(k: &'k Builder, value: Reg<'k, $pair>) -> Reg<'k, $pair> {
                k.fma(value, k.var(u32::from($one as u16) * 0x0001_0001).bits::<$pair>(), k.var(0u32).bits::<$pair>())
            }
        }
    )*};
}
pairs! { F16x2: 0x3C00; Bf16x2: 0x3F80; }
