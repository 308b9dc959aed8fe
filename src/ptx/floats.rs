//! Arithmetic that floats and integers share, and that of floats alone. Every rounding is written out, so the assembler
//! never joins a product and a sum by itself: write `fma`.

use super::table::instructions;
use super::target::{EVERY, Needs};
use super::{Bf16x2, F16x2, F32x2, Has, Operand, Reg};
use crate::dtype::{bf16, f16};
use std::ops;

/// bfloat16 as far as Ampere has it.
const BF16: Needs = Needs::new(80, 70);
/// Sums and products of bfloat16.
const BF16_SUMS: Needs = Needs::new(90, 78);
/// Two binary32 in one instruction.
const PAIRS: Needs = Needs::new(100, 86);

instructions! { float;
    /// `a + b`.
    add 2 {
        u16 i16 u32 i32 u64 i64: "add.*", EVERY;
        f32 f64 f16 F16x2: "add.rn.*", EVERY;
        bf16 Bf16x2: "add.rn.*", BF16_SUMS;
        F32x2: "add.rn.*", PAIRS;
    }
    /// `a - b`.
    sub 2 {
        u16 i16 u32 i32 u64 i64: "sub.*", EVERY;
        f32 f64 f16 F16x2: "sub.rn.*", EVERY;
        bf16 Bf16x2: "sub.rn.*", BF16_SUMS;
        F32x2: "sub.rn.*", PAIRS;
    }
    /// `a * b`; the low half of integers.
    mul 2 {
        u16 i16 u32 i32 u64 i64: "mul.lo.*", EVERY;
        f32 f64 f16 F16x2: "mul.rn.*", EVERY;
        bf16 Bf16x2: "mul.rn.*", BF16_SUMS;
        F32x2: "mul.rn.*", PAIRS;
    }
    /// `a * b + c`, rounded once.
    fma 3 {
        f32 f64 f16 F16x2: "fma.rn.*", EVERY;
        bf16 Bf16x2: "fma.rn.*", BF16;
        F32x2: "fma.rn.*", PAIRS;
    }
    /// `max(a * b + c, 0)`, and NaN as the type's own NaN.
    fma_relu 3 {
        f16 F16x2: "fma.rn.relu.*", EVERY;
        bf16 Bf16x2: "fma.rn.relu.*", BF16;
    }
    /// `a / b`: rounded to nearest; towards zero for integers.
    div 2 {
        u16 i16 u32 i32 u64 i64: "div.*", EVERY;
        f32 f64: "div.rn.*", EVERY;
    }
    /// `a / b`, wrong by 2 units in the last place at most, where `b` lies between 2^-126 and 2^126.
    div_approx 2 { f32: "div.approx.*", EVERY; }
    /// `a / b`, wrong by 2 units in the last place at most, for every `b`.
    div_full 2 { f32: "div.full.*", EVERY; }
    /// The smaller; the number where the other is NaN.
    min 2 {
        u16 i16 u32 i32 u64 i64: "min.*", EVERY;
        f32 f64 f16 F16x2: "min.*", EVERY;
        bf16 Bf16x2: "min.*", BF16;
    }
    /// The larger; the number where the other is NaN.
    max 2 {
        u16 i16 u32 i32 u64 i64: "max.*", EVERY;
        f32 f64 f16 F16x2: "max.*", EVERY;
        bf16 Bf16x2: "max.*", BF16;
    }
    /// The smaller; NaN where either is.
    min_nan 2 { f32 f16 F16x2 bf16 Bf16x2: "min.NaN.*", BF16; }
    /// The larger; NaN where either is.
    max_nan 2 { f32 f16 F16x2 bf16 Bf16x2: "max.NaN.*", BF16; }
    /// The smallest of three; the numbers where one is NaN.
    min3 3 { f32: "min.*", Needs::new(100, 88); }
    /// The largest of three; the numbers where one is NaN.
    max3 3 { f32: "max.*", Needs::new(100, 88); }
    /// `-a`.
    neg 1 {
        i16 i32 i64 f32 f64: "neg.*", EVERY;
        f16 F16x2 bf16 Bf16x2: "neg.*", BF16;
    }
    /// `|a|`.
    abs 1 {
        i16 i32 i64 f32 f64: "abs.*", EVERY;
        f16 F16x2 bf16 Bf16x2: "abs.*", BF16;
    }
    /// The number `b` with the sign of `a`.
    copysign 2 { f32 f64: "copysign.*", EVERY; }
    /// `a * b + c`, rounded towards zero.
    fma_rz 3 { f32 f64: "fma.rz.*", EVERY; }
    /// `a + b`, rounded towards zero.
    add_rz 2 { f32 f64: "add.rz.*", EVERY; }
    /// `a * b`, rounded towards zero.
    mul_rz 2 { f32 f64: "mul.rz.*", EVERY; }
}

macro_rules! operators {
    ($($op:ident $method:ident $marker:path;)*) => {$(
        impl<'k, T: Has<$marker>, B: Operand<T>> ops::$op<B> for Reg<'k, T> {
            type Output = Reg<'k, T>;
            fn $method(self, other: B) -> Reg<'k, T> {
                self.k.$method(self, other)
            }
        }
    )*};
}

operators! {
    Add add float::add;
    Sub sub float::sub;
    Mul mul float::mul;
    Div div float::div;
    Rem rem super::integers::integer::rem;
}

macro_rules! logic {
    ($($op:ident $operator:ident $method:ident;)*) => {$(
        impl<'k, T: Has<super::integers::integer::$method>, B: Operand<T>> ops::$op<B> for Reg<'k, T> {
            type Output = Reg<'k, T>;
            fn $operator(self, other: B) -> Reg<'k, T> {
                self.k.$method(self, other)
            }
        }
    )*};
}

logic! { BitAnd bitand and; BitOr bitor or; BitXor bitxor xor; }

impl<'k, T: Has<float::neg>> ops::Neg for Reg<'k, T> {
    type Output = Reg<'k, T>;
    fn neg(self) -> Reg<'k, T> {
        self.k.neg(self)
    }
}

impl<'k, T: Has<super::integers::integer::not>> ops::Not for Reg<'k, T> {
    type Output = Reg<'k, T>;
    fn not(self) -> Reg<'k, T> {
        self.k.not(self)
    }
}

macro_rules! shifts {
    ($($op:ident $operator:ident $method:ident;)*) => {$(
        impl<'k, T: Has<super::integers::integer::and> + super::Element, B: Operand<u32>> ops::$op<B> for Reg<'k, T> {
            type Output = Reg<'k, T>;
            fn $operator(self, by: B) -> Reg<'k, T> {
                self.k.$method(self, by)
            }
        }
    )*};
}

shifts! { Shl shl shl; Shr shr shr; }

impl<'k> Reg<'k, F16x2> {
    /// The two halves.
    pub fn split(self) -> [Reg<'k, f16>; 2] {
        self.k.unpack(self)
    }
}

impl<'k> Reg<'k, Bf16x2> {
    /// The two halves.
    pub fn split(self) -> [Reg<'k, bf16>; 2] {
        self.k.unpack(self)
    }
}
