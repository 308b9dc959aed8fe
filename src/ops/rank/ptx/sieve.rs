//! Which vectors of a line can hold something better than what a thread has seen: their extreme is found two or four elements
//! an instruction, far cheaper than composites are.

use super::composite::Order;
use crate::dtype::Dtype::*;
use crate::ptx::floats::float;
use crate::ptx::{Bf16x2, Builder, F16x2, Has, Reg};

/// The best that a thread has seen; NaN before the first.
pub struct Sieve<'k> {
    k: &'k Builder,
    order: Order,
    level: Option<Reg<'k, f32>>,
}

impl<'k> Sieve<'k> {
    /// Lets everything through where elements are no floats of up to 32 bits.
    pub fn new(k: &'k Builder, order: Order) -> Self {
        let level = matches!(order.dtype, F32 | F16 | Bf16).then(|| k.var(f32::NAN));
        Self { k, order, level }
    }

    /// Runs `body` if the words hold an element that may be better. Those before it had smaller indices. What it lets through
    /// in vain, equal numbers or after a NaN, costs time alone.
    pub fn pass(&self, words: &[Reg<'k, u32>], body: impl FnOnce()) {
        let Some(level) = self.level else { return body() };
        let top = self.top(words);
        let better = match (self.order.smallest, self.order.last) {
            (false, false) => top.gtu(level),
            (false, true) => top.geu(level),
            (true, false) => top.ltu(level),
            (true, true) => top.leu(level),
        };
        self.k.when(better, || {
            body();
            let further = if self.order.smallest { self.k.min(level, top) } else { self.k.max(level, top) };
            level.set(further);
        });
    }

    /// The extreme of the words' elements, NaN where one is.
    fn top(&self, words: &[Reg<'k, u32>]) -> Reg<'k, f32> {
        match self.order.dtype {
            F16 => self.both(self.extreme(words.iter().map(|word| word.bits::<F16x2>()).collect()).widen()),
            Bf16 => self.both(self.extreme(words.iter().map(|word| word.bits::<Bf16x2>()).collect()).widen()),
            _ => self.extreme(words.iter().map(|word| word.bits::<f32>()).collect()),
        }
    }

    fn both(&self, halves: [Reg<'k, f32>; 2]) -> Reg<'k, f32> {
        self.extreme(halves.to_vec())
    }

    fn extreme<T: Has<float::max_nan> + Has<float::min_nan>>(&self, values: Vec<Reg<'k, T>>) -> Reg<'k, T> {
        let join = |a, b| if self.order.smallest { self.k.min_nan(a, b) } else { self.k.max_nan(a, b) };
        let first = values[0];
        values.into_iter().skip(1).fold(first, join)
    }
}
