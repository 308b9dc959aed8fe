//! One element converted, as `kernels::convert` does it: first to the smallest of f32, f64, i64, u64 that holds the source
//! exactly, from there to the target.

use crate::dtype::Dtype::{self, *};
use crate::kernels::gpu::{Array, Lane, load_words, narrow_small, store_words, to_odd, widen_small};
use crate::ptx::{Builder, Load, Reg, Ty};

/// From one dtype to another.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Conversion {
    pub from: Dtype,
    pub to: Dtype,
    pub saturate: bool,
}

/// A number on its way.
#[derive(Clone, Copy)]
pub(super) enum Value<'k> {
    Single(Reg<'k, f32>),
    Double(Reg<'k, f64>),
    Signed(Reg<'k, i64>),
    Unsigned(Reg<'k, u64>),
    /// Bits that only move.
    Bits(Reg<'k, u64>),
}

use Value::{Bits, Double, Signed, Single, Unsigned};

/// Where an element is read: in memory, or among the words of a vector.
#[derive(Clone, Copy)]
pub(super) enum Source<'k, 'w> {
    Memory(Array<'k>),
    Vector(&'w [Reg<'k, u32>], u32),
}

impl<'k> Source<'k, '_> {
    fn read<T: Lane>(self, k: &'k Builder, dtype: Dtype) -> Reg<'k, T> {
        match self {
            Source::Memory(at) => T::read(k, at),
            Source::Vector(words, index) => T::unpack(k, dtype, words, index),
        }
    }
}

/// What is stored as an element: a float that storing rounds, or bits.
#[derive(Clone, Copy)]
pub(super) enum Number<'k> {
    Float(Reg<'k, f32>),
    Long(Reg<'k, f64>),
    Word(Reg<'k, u32>),
    Wide(Reg<'k, u64>),
}

impl<'k> Number<'k> {
    /// Stores it at `at`, whose dtype it was made for.
    pub(super) fn write(self, k: &'k Builder, at: Array<'k>) {
        match self {
            Number::Float(x) => Lane::write(k, at, x),
            Number::Long(x) => Lane::write(k, at, x),
            Number::Word(x) => Lane::write(k, at, x),
            Number::Wide(x) => Lane::write(k, at, x),
        }
    }

    /// The words of a vector of `dtype`: all of them are of one kind.
    pub(super) fn pack(k: &'k Builder, dtype: Dtype, numbers: &[Self]) -> Vec<Reg<'k, u32>> {
        fn all<'k, T: Lane>(
            k: &'k Builder,
            dtype: Dtype,
            numbers: &[Number<'k>],
            of: impl Fn(&Number<'k>) -> Option<Reg<'k, T>>,
        ) -> Vec<Reg<'k, u32>> {
            T::pack(k, dtype, &numbers.iter().filter_map(of).collect::<Vec<_>>())
        }
        match numbers[0] {
            Number::Float(_) => {
                all(k, dtype, numbers, |x| if let Number::Float(x) = x { Some(*x) } else { None })
            }
            Number::Long(_) => {
                all(k, dtype, numbers, |x| if let Number::Long(x) = x { Some(*x) } else { None })
            }
            Number::Word(_) => {
                all(k, dtype, numbers, |x| if let Number::Word(x) = x { Some(*x) } else { None })
            }
            Number::Wide(_) => {
                all(k, dtype, numbers, |x| if let Number::Wide(x) = x { Some(*x) } else { None })
            }
        }
    }
}

impl Conversion {
    /// One element, complex ones too.
    pub(super) fn element<'k>(self, k: &'k Builder, x: Array<'k>, y: Array<'k>) {
        if self.from == C64 && self.to == C64 {
            return store_words(y.address(), 16, &load_words(x.address(), 16, Load::NoAllocate));
        }
        let real = self.parts();
        if real.from == self.from {
            return self.number(k, self.value(k, Source::Memory(x))).write(k, y);
        }
        let [x, y] = [Array::new(k, real.from, x.address()), Array::new(k, real.to, y.address())];
        let parts = [0u64, 1].map(|part| real.value(k, Source::Memory(x.at(k.var(part)))));
        for (value, part) in parts.into_iter().zip([0u64, 1]) {
            real.number(k, value).write(k, y.at(k.var(part)));
        }
    }

    /// The conversion of a complex number's parts; a real conversion as it is, and so what only moves in 8 bytes.
    pub(in super::super) fn parts(self) -> Self {
        match (self.from, self.to) {
            (C32, C64) => Self { from: F32, to: F64, ..self },
            (C64, C32) => Self { from: F64, to: F32, ..self },
            _ => self,
        }
    }

    /// The number there.
    pub(super) fn value<'k>(self, k: &'k Builder, at: Source<'k, '_>) -> Value<'k> {
        let from = self.from;
        match from {
            _ if from == self.to => Bits(match from.size() {
                8 => at.read(k, from),
                _ => at.read::<u32>(k, from).to::<u64>(),
            }),
            F32 | F16 | Bf16 => Single(at.read(k, from)),
            F8E4m3 | F8E5m2 => Single(widen_small(k, from, at.read(k, from))),
            F64 => Double(at.read(k, from)),
            U64 => Unsigned(at.read(k, from)),
            I64 => Signed(at.read(k, from)),
            I8 | I16 | I32 => Signed(at.read::<i32>(k, from).to::<i64>()),
            Bool => Signed(k.select(at.read::<bool>(k, from), 1i64, 0i64)),
            _ => Signed(at.read::<u32>(k, from).to::<i64>()),
        }
    }

    /// The number as `to` has it.
    pub(super) fn number<'k>(self, k: &'k Builder, value: Value<'k>) -> Number<'k> {
        match (self.to, value) {
            (to, Bits(bits)) if to.size() == 8 => Number::Wide(bits),
            (_, Bits(bits)) => Number::Word(bits.to::<u32>()),
            (F64, value) => Number::Long(double(value)),
            (F32, value) => Number::Float(self.finite(k, single(value), f32::MAX)),
            (F16 | Bf16 | F8E4m3 | F8E5m2, value) => self.narrow(k, odd(k, value)),
            (Bool, value) => Number::Word(k.select(holds(value), 1u32, 0u32)),
            (to, value) => integer(k, to, value),
        }
    }

    /// With numbers beyond `largest` brought back to it, where that is asked for.
    fn finite<'k>(self, k: &'k Builder, x: Reg<'k, f32>, largest: f32) -> Reg<'k, f32> {
        if self.saturate { k.max_nan(k.min_nan(x, largest), -largest) } else { x }
    }

    /// A float of 16 or 8 bits, of an f32 that has lost nothing that this rounding could miss.
    fn narrow<'k>(self, k: &'k Builder, x: Reg<'k, f32>) -> Number<'k> {
        match self.to {
            F16 => Number::Float(self.finite(k, x, 65504.0)),
            Bf16 => Number::Float(self.finite(k, x, f32::from_bits(0x7f7f_0000))),
            small => Number::Word(narrow_small(k, small, x, self.saturate)),
        }
    }
}

fn double(value: Value<'_>) -> Reg<'_, f64> {
    match value {
        Single(x) => x.to(),
        Double(x) => x,
        Signed(x) => x.to(),
        Unsigned(x) | Bits(x) => x.to(),
    }
}

fn single(value: Value<'_>) -> Reg<'_, f32> {
    match value {
        Single(x) => x,
        Double(x) => x.to(),
        Signed(x) => x.to(),
        Unsigned(x) | Bits(x) => x.to(),
    }
}

/// As f32 to be rounded once more: to odd.
fn odd<'k>(k: &'k Builder, value: Value<'k>) -> Reg<'k, f32> {
    match value {
        Single(x) => x,
        Double(x) => odd_of_double(k, x),
        Signed(x) => {
            let size = odd_of_magnitude(k, k.abs(x).bits());
            k.select(x.lt(0i64), -size, size)
        }
        Unsigned(x) | Bits(x) => odd_of_magnitude(k, x),
    }
}

/// What is too large for f32 is infinite where it was so before, else the largest number, which is beyond every range.
fn odd_of_double<'k>(k: &'k Builder, x: Reg<'k, f64>) -> Reg<'k, f32> {
    k.select(k.abs(x).lt(f64::INFINITY), to_odd(k, x), x.to::<f32>())
}

/// An integer: the low bits that an f64 has no room for become one, which tells that they were not 0.
fn odd_of_magnitude<'k>(k: &'k Builder, x: Reg<'k, u64>) -> Reg<'k, f32> {
    let sticky = k.select((x & 0x7ffu64).ne(0u64), 0x800u64, 0u64);
    let few = k.select((x >> 53u32).eq(0u64), x, x & !0x7ffu64 | sticky);
    to_odd(k, few.to::<f64>())
}

/// Whether it is anything but 0; NaN is.
fn holds(value: Value<'_>) -> Reg<'_, bool> {
    match value {
        Single(x) => x.neu(0.0f32),
        Double(x) => x.neu(0.0f64),
        Signed(x) => x.ne(0i64),
        Unsigned(x) | Bits(x) => x.ne(0u64),
    }
}

/// Of floats: truncated and kept in range, NaN being 0; of integers: the low bits.
fn integer<'k>(k: &'k Builder, to: Dtype, value: Value<'k>) -> Number<'k> {
    let signed = matches!(to, I8 | I16 | I32 | I64);
    let bits = to.size() as u32 * 8;
    let whole: Reg<'k, u64> = match value {
        Signed(x) => x.bits(),
        Unsigned(x) | Bits(x) => x,
        value if signed => {
            let x = numeric(value, |x| x.to::<i64>(), |x| x.to::<i64>());
            let x = k.select(is_nan(value), 0i64, x);
            let most = i64::MAX >> (64 - bits);
            k.max(k.min(x, most), -most - 1).bits()
        }
        value => {
            let x = numeric(value, |x| x.to::<u64>(), |x| x.to::<u64>());
            let x = k.select(is_nan(value), 0u64, x);
            k.min(x, u64::MAX >> (64 - bits))
        }
    };
    if bits == 64 { Number::Wide(whole) } else { Number::Word(whole.to::<u32>()) }
}

/// A float by the one function or the other.
fn numeric<'k, T: Ty>(
    value: Value<'k>,
    of_single: impl Fn(Reg<'k, f32>) -> Reg<'k, T>,
    of_double: impl Fn(Reg<'k, f64>) -> Reg<'k, T>,
) -> Reg<'k, T> {
    match value {
        Single(x) => of_single(x),
        value => of_double(double(value)),
    }
}

fn is_nan(value: Value<'_>) -> Reg<'_, bool> {
    match value {
        Single(x) => x.unordered(x),
        value => {
            let x = double(value);
            x.unordered(x)
        }
    }
}
