//! Composites: an element's key and its index as one unsigned number, so that the wanted one is the larger and no two are
//! equal. In 64 bits where the key has at most 32 and there are fewer than 2^32 elements, else in 128.

use crate::dtype::Dtype::{self, *};
use crate::kernels::gpu::{Raw, load_words};
use crate::ptx::{Builder, Load, Reg};

/// What the keys of a request depend on.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// Of the elements.
    pub dtype: Dtype,
    /// Whether the smallest is wanted.
    pub smallest: bool,
    /// Whether the last of equal ones is.
    pub last: bool,
    /// Whether composites have 128 bits.
    pub wide: bool,
}

/// A composite; 0 is below all that elements have.
#[derive(Clone, Copy)]
pub struct Composite<'k> {
    /// The key, where there are 128 bits.
    pub high: Option<Reg<'k, u64>>,
    /// The key above the index, or the index.
    pub low: Reg<'k, u64>,
}

impl Order {
    /// Bits of a key.
    fn bits(self) -> u32 {
        8 * self.dtype.size() as u32
    }

    /// Bits of a composite that are in use.
    pub fn top(self) -> u32 {
        self.bits() + if self.wide { 64 } else { 32 }
    }

    /// The composite of an element.
    pub fn composite<'k>(self, k: &'k Builder, raw: Raw<'k>, index: Reg<'k, u64>) -> Composite<'k> {
        let mask = if self.wide { u64::MAX } else { u64::from(u32::MAX) };
        let index = if self.last { index + 1u64 } else { index ^ mask };
        let key = self.key(k, raw);
        match self.wide {
            true => Composite { high: Some(key), low: index },
            false => Composite { high: None, low: (key << 32u32) | index },
        }
    }

    /// The index in a composite.
    pub fn index<'k>(self, composite: Composite<'k>) -> Reg<'k, u64> {
        let mask = if self.wide { u64::MAX } else { u64::from(u32::MAX) };
        let low = composite.low & mask;
        if self.last { low - 1u64 } else { low ^ mask }
    }

    /// The element's key.
    fn key<'k>(self, k: &'k Builder, raw: Raw<'k>) -> Reg<'k, u64> {
        let key = match raw {
            Raw::Word(word) => self.key_of_word(k, word).to::<u64>(),
            Raw::Wide(wide) => self.key_of_wide(k, wide),
        };
        if self.smallest { key ^ (u64::MAX >> (64 - self.bits())) } else { key }
    }

    /// Of a float the key is its magnitude above the middle, or as far below; NaN has all bits.
    fn key_of_word<'k>(self, k: &'k Builder, word: Reg<'k, u32>) -> Reg<'k, u32> {
        let (all, sign) = (u32::MAX >> (32 - self.bits()), 1u32 << (self.bits() - 1));
        let Some(infinity) = largest(self.dtype) else {
            return match self.dtype {
                Bool => k.select(word.ne(0u32), 1u32, 0u32),
                I8 | I16 | I32 => word ^ sign,
                _ => word,
            };
        };
        let magnitude = word & !sign;
        let turned = k.select(word.ge(sign) & magnitude.ne(0u32), word ^ all, magnitude | sign);
        k.select(magnitude.gt(infinity as u32), all, turned)
    }

    fn key_of_wide<'k>(self, k: &'k Builder, wide: Reg<'k, u64>) -> Reg<'k, u64> {
        let sign = 1u64 << 63;
        let Some(infinity) = largest(self.dtype) else {
            return if self.dtype == I64 { wide ^ sign } else { wide };
        };
        let magnitude = wide & !sign;
        let turned = k.select(wide.ge(sign) & magnitude.ne(0u64), !wide, magnitude | sign);
        k.select(magnitude.gt(infinity), u64::MAX, turned)
    }

    /// 0.
    pub fn none<'k>(self, k: &'k Builder) -> Composite<'k> {
        Composite { high: self.wide.then(|| k.var(0u64)), low: k.var(0u64) }
    }

    /// The element at `at`, as bits.
    pub fn load<'k>(self, k: &'k Builder, at: Reg<'k, u64>) -> Raw<'k> {
        let words = load_words(at, self.dtype.size() as u32, Load::ReadOnly);
        match words[..] {
            [low, high] => Raw::Wide(k.pack(low, high)),
            _ => Raw::Word(words[0]),
        }
    }
}

/// The largest magnitude that is no NaN, as bits; none of integers.
fn largest(dtype: Dtype) -> Option<u64> {
    match dtype {
        F64 => Some(0x7FF0 << 48),
        F32 => Some(0x7F80_0000),
        F16 => Some(0x7C00),
        Bf16 => Some(0x7F80),
        F8E4m3 => Some(0x7E),
        F8E5m2 => Some(0x7C),
        _ => None,
    }
}

impl<'k> Composite<'k> {
    /// Whether it is below another.
    pub fn below(&self, k: &'k Builder, other: &Self) -> Reg<'k, bool> {
        let low = self.low.lt(other.low);
        match (self.high, other.high) {
            (Some(a), Some(b)) => a.lt(b) | (a.eq(b) & low),
            _ => k.or(low, low),
        }
    }

    /// Becomes the larger of itself and another.
    pub fn raise(&self, k: &'k Builder, other: &Self) {
        if self.high.is_none() {
            return self.low.set(k.max(self.low, other.low));
        }
        let below = self.below(k, other);
        self.set(&self.selected(k, below, other));
    }

    /// `other` where `condition` holds.
    pub fn selected(&self, k: &'k Builder, condition: Reg<'k, bool>, other: &Self) -> Self {
        let high = self.high.zip(other.high).map(|(mine, its)| k.select(condition, its, mine));
        Self { high, low: k.select(condition, other.low, self.low) }
    }

    /// Overwrites it.
    pub fn set(&self, other: &Self) {
        if let (Some(mine), Some(its)) = (self.high, other.high) {
            mine.set(its);
        }
        self.low.set(other.low);
    }

    /// Each half by `change`.
    pub fn map(&self, change: impl Fn(Reg<'k, u64>) -> Reg<'k, u64>) -> Self {
        Self { high: self.high.map(&change), low: change(self.low) }
    }
}
