//! The types that registers hold, registers, and operands.

use super::Builder;
use crate::dtype::{bf16, f16};
use std::fmt;
use std::marker::PhantomData;

/// Register classes by the width of their registers: the prefix of their names, and the type in `.reg`.
pub(super) const CLASSES: [(&str, &str); 4] = [("p", "pred"), ("h", "b16"), ("r", "b32"), ("d", "b64")];

/// A type that a register can hold.
pub trait Ty: Copy + 'static {
    /// What instructions that compute call it: `f32`.
    const NAME: &'static str;
    /// What instructions that only move bits call it: `b32`.
    const BITS: &'static str;
    /// An index into the register classes.
    const CLASS: usize;
    /// Bytes in memory; 0 for a predicate, which has no place there.
    const SIZE: u32;
}

/// A type that memory can hold: every one but `bool`.
pub trait Element: Ty {}

/// A type whose values can be written into a kernel's text.
pub trait Constant: Ty {
    /// The digits, and whether instructions take them in place of a register.
    fn digits(self) -> (String, bool);
}

macro_rules! types {
    ($($ty:ty: $name:literal $bits:literal $class:literal $size:literal;)*) => {$(
        impl Ty for $ty {
            const NAME: &'static str = $name;
            const BITS: &'static str = $bits;
            const CLASS: usize = $class;
            const SIZE: u32 = $size;
        }
    )*};
}

macro_rules! constants {
    ($($ty:ty: $inline:literal $digits:expr;)*) => {$(
        impl Constant for $ty {
            fn digits(self) -> (String, bool) {
                let digits: fn($ty) -> String = $digits;
                (digits(self), $inline)
            }
        }
    )*};
}

macro_rules! elements {
    ($($ty:ty)*) => { $(impl Element for $ty {})* };
}

/// Types that Rust lacks, each by the integer that holds its bits.
macro_rules! packed {
    ($($(#[$doc:meta])* $ty:ident($bits:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $ty(
            /// The bits.
            pub $bits,
        );
    )*};
}

packed! {
    /// Two binary16, the first in the low half.
    F16x2(u32);
    /// Two bfloat16, the first in the low half.
    Bf16x2(u32);
    /// Two binary32, the first in the low half.
    F32x2(u64);
    /// A binary32 rounded to 10 bits after the point, as tensor cores read it.
    Tf32(u32);
    /// An 8-bit float, 4 exponent and 3 mantissa bits.
    E4m3(u8);
    /// An 8-bit float, 5 exponent and 2 mantissa bits.
    E5m2(u8);
    /// Two [`E4m3`].
    E4m3x2(u16);
    /// Two [`E5m2`].
    E5m2x2(u16);
    /// Four [`E4m3`].
    E4m3x4(u32);
    /// Four [`E5m2`].
    E5m2x4(u32);
    /// Four `i8`.
    I8x4(u32);
    /// Four `u8`.
    U8x4(u32);
}

impl F16x2 {
    /// `low` and `high`.
    pub fn new(low: f16, high: f16) -> Self {
        Self(u32::from(low.to_bits()) | u32::from(high.to_bits()) << 16)
    }
}

impl Bf16x2 {
    /// `low` and `high`.
    pub fn new(low: bf16, high: bf16) -> Self {
        Self(u32::from(low.to_bits()) | u32::from(high.to_bits()) << 16)
    }
}

types! {
    bool:   "pred"   "pred" 0 0;
    u8:     "u8"     "b8"   1 1;
    i8:     "s8"     "b8"   1 1;
    E4m3:   "b8"     "b8"   1 1;
    E5m2:   "b8"     "b8"   1 1;
    u16:    "u16"    "b16"  1 2;
    i16:    "s16"    "b16"  1 2;
    f16:    "f16"    "b16"  1 2;
    bf16:   "bf16"   "b16"  1 2;
    E4m3x2: "e4m3x2" "b16"  1 2;
    E5m2x2: "e5m2x2" "b16"  1 2;
    u32:    "u32"    "b32"  2 4;
    i32:    "s32"    "b32"  2 4;
    f32:    "f32"    "b32"  2 4;
    Tf32:   "tf32"   "b32"  2 4;
    F16x2:  "f16x2"  "b32"  2 4;
    Bf16x2: "bf16x2" "b32"  2 4;
    E4m3x4: "e4m3x4" "b32"  2 4;
    E5m2x4: "e5m2x4" "b32"  2 4;
    I8x4:   "s8x4"   "b32"  2 4;
    U8x4:   "u8x4"   "b32"  2 4;
    u64:    "u64"    "b64"  3 8;
    i64:    "s64"    "b64"  3 8;
    f64:    "f64"    "b64"  3 8;
    F32x2:  "f32x2"  "b64"  3 8;
}

elements! {
    u8 i8 E4m3 E5m2 u16 i16 f16 bf16 E4m3x2 E5m2x2 u32 i32 f32 Tf32 F16x2 Bf16x2 E4m3x4 E5m2x4 I8x4 U8x4 u64 i64 f64 F32x2
}

constants! {
    bool:   false |v| u32::from(v).to_string();
    u8:     false |v| v.to_string();
    i8:     false |v| v.to_string();
    E4m3:   false |v| v.0.to_string();
    E5m2:   false |v| v.0.to_string();
    u16:    true  |v| v.to_string();
    i16:    true  |v| v.to_string();
    f16:    false |v| format!("0x{:04X}", v.to_bits());
    bf16:   false |v| format!("0x{:04X}", v.to_bits());
    u32:    true  |v| v.to_string();
    i32:    true  |v| v.to_string();
    f32:    true  |v| format!("0f{:08X}", v.to_bits());
    F16x2:  false |v| format!("0x{:08X}", v.0);
    Bf16x2: false |v| format!("0x{:08X}", v.0);
    u64:    true  |v| v.to_string();
    i64:    true  |v| v.to_string();
    f64:    true  |v| format!("0d{:016X}", v.to_bits());
}

/// A virtual register of type `T` in the kernel `'k`.
pub struct Reg<'k, T> {
    pub(super) k: &'k Builder,
    id: u32,
    ty: PhantomData<T>,
}

impl<'k, T: Ty> Reg<'k, T> {
    pub(super) fn new(k: &'k Builder, id: u32) -> Self {
        Self { k, id, ty: PhantomData }
    }

    /// The same bits as another type of the same width. Costs nothing.
    pub fn bits<U: Ty>(self) -> Reg<'k, U> {
        const { assert!(T::CLASS == U::CLASS && T::CLASS > 0, "the types are of different widths") };
        Reg::new(self.k, self.id)
    }

    pub(super) fn id(self) -> u32 {
        self.id
    }

    /// Overwrites this register, for values that change in a loop or in a branch.
    pub fn set(self, value: impl Operand<T>) {
        self.k.mov(self, &value.digits());
    }
}

impl<T> Clone for Reg<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Reg<'_, T> {}

impl<T: Ty> fmt::Display for Reg<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}{}", CLASSES[T::CLASS].0, self.id)
    }
}

/// A register or a constant of type `T`.
pub trait Operand<T: Ty> {
    /// As written in PTX, and whether every instruction takes it so.
    fn digits(&self) -> (String, bool);

    /// As an instruction of `k` takes it: a constant that none takes is moved to a register first.
    fn show(&self, k: &Builder) -> String {
        match self.digits() {
            (text, true) => text,
            digits => k.moved::<T>(&digits).to_string(),
        }
    }

    /// In a register.
    fn reg<'k>(&self, k: &'k Builder) -> Reg<'k, T> {
        k.moved(&self.digits())
    }
}

impl<T: Ty> Operand<T> for Reg<'_, T> {
    fn digits(&self) -> (String, bool) {
        (self.to_string(), true)
    }

    fn reg<'k>(&self, k: &'k Builder) -> Reg<'k, T> {
        Reg::new(k, self.id)
    }
}

impl<T: Constant> Operand<T> for T {
    fn digits(&self) -> (String, bool) {
        Constant::digits(*self)
    }
}
