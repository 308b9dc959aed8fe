//! Conversions between number types, and packing and taking apart of registers.

use super::table::Sample;
use super::target::{EVERY, Needs};
use super::{Bf16x2, Builder, E4m3x2, E5m2x2, Element, F16x2, F32x2, Operand, Reg, Tf32, Ty};
use crate::dtype::{bf16, f16};

/// Conversions of bfloat16 that Hopper brought.
const BF16: Needs = Needs::new(90, 78);
/// Conversions of 8-bit floats.
const FP8: Needs = Needs::new(89, 81);

/// By way of f32, which holds every value of the type: for pairs that have no instruction, or none before Hopper.
const THROUGH: &str = "f32";

/// Has a conversion to `U`.
#[diagnostic::on_unimplemented(message = "there is no conversion from `{Self}` to `{U}`")]
pub trait Converts<U: Ty>: Ty {
    /// Between `cvt` and the types: `.rn` where it rounds, `.rzi` from floats to integers.
    #[doc(hidden)]
    const ROUNDING: &'static str;
    #[doc(hidden)]
    const NEEDS: Needs;
}

/// A float converts to the integer `U`.
pub trait ToInteger<U: Ty>: Converts<U> {}
/// An integer converts to the integer `U`, of another range.
pub trait Saturates<U: Ty>: Converts<U> {}
impl<'k> Reg<'k, f64> {
    /// To f32, rounded towards zero.
    pub fn cut(self) -> Reg<'k, f32> {
        self.cvt(EVERY, ".rz")
    }
}

/// An integer converts to the float `U`.
pub trait FromInteger<U: Ty>: Converts<U> {}
/// A float converts to the wider float `U`.
pub trait Widens<U: Ty>: Converts<U> {}
/// A float converts to `U`, which only tensor cores read.
pub trait Special<U: Ty>: Converts<U> {}
/// A float converts to the narrower float `U`.
pub trait Narrows<U: Ty>: Converts<U> {}

macro_rules! conversions {
    ($list:ident $bound:ident; $($($from:ty)+ => $to:tt: $rounding:expr, $needs:expr;)+) => {
        $(conversions! { @from $bound; [$($from)+] $to $rounding, $needs })+

        fn $list(samples: &mut Vec<Sample>) {
            $(conversions! { @samples samples; [$($from)+] $to })+
        }
    };
    (@from $bound:ident; [$($from:ty)+] $to:tt $rounding:expr, $needs:expr) => {
        $(conversions! { @row $bound; $from, $to $rounding, $needs })+
    };
    (@row $bound:ident; $from:ty, [$($to:ty)+] $rounding:expr, $needs:expr) => {
        $(conversions! { @pair $bound; $from, $to, $rounding, $needs })+
    };
    (@pair $bound:ident; $from:ty, $to:ty, $rounding:expr, $needs:expr) => {
        impl Converts<$to> for $from {
            const ROUNDING: &'static str = $rounding;
            const NEEDS: Needs = $needs;
        }
        impl $bound<$to> for $from {}
    };
    (@samples $samples:ident; [$($from:ty)+] $to:tt) => {
        $(conversions! { @sample $samples; $from, $to })+
    };
    (@sample $samples:ident; $from:ty, [$($to:ty)+]) => {
        $($samples.push(Sample {
            name: <$from as Ty>::NAME,
            ty: <$to as Ty>::NAME,
            write: |k| k.keep(k.any::<$from>().to::<$to>()),
        });)+
    };
}

conversions! { to_floats FromInteger;
    u8 i8 u16 i16 u32 i32 u64 i64 => [f32 f64 f16]: ".rn", EVERY;
    u8 i8 u16 i16 => [bf16]: THROUGH, EVERY;
    u32 i32 u64 i64 => [bf16]: ".rn", BF16;
}
conversions! { to_integers ToInteger;
    f32 f64 f16 => [u8 i8 u16 i16 u32 i32 u64 i64]: ".rzi", EVERY;
    bf16 => [u8 i8 u16 i16 u32 i32 u64 i64]: THROUGH, EVERY;
}
conversions! { integers Saturates;
    u8 => [i8 u16 i16 u32 i32 u64 i64]: "", EVERY;
    i8 => [u8 u16 i16 u32 i32 u64 i64]: "", EVERY;
    u16 => [u8 i8 i16 u32 i32 u64 i64]: "", EVERY;
    i16 => [u8 i8 u16 u32 i32 u64 i64]: "", EVERY;
    u32 => [u8 i8 u16 i16 i32 u64 i64]: "", EVERY;
    i32 => [u8 i8 u16 i16 u32 u64 i64]: "", EVERY;
    u64 => [u8 i8 u16 i16 u32 i32 i64]: "", EVERY;
    i64 => [u8 i8 u16 i16 u32 i32 u64]: "", EVERY;
}
conversions! { wider Widens;
    f32 => [f64]: "", EVERY;
    f16 => [f32 f64]: "", EVERY;
    bf16 => [f32 f64]: THROUGH, EVERY;
}
conversions! { narrower Narrows;
    f64 => [f32 f16]: ".rn", EVERY;
    f64 => [bf16]: ".rn", BF16;
    f32 => [f16 bf16]: ".rn", EVERY;
    f16 => [bf16]: THROUGH, EVERY;
    bf16 => [f16]: THROUGH, EVERY;
}
conversions! { special Special;
    f32 => [Tf32]: ".rna", EVERY;
}

/// How a float is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// To nearest, ties to even.
    Nearest,
    /// Towards zero.
    Zero,
    /// Down.
    Down,
    /// Up.
    Up,
}

impl Rounding {
    fn letter(self) -> char {
        match self {
            Self::Nearest => 'n',
            Self::Zero => 'z',
            Self::Down => 'm',
            Self::Up => 'p',
        }
    }
}

impl<'k, T: Ty> Reg<'k, T> {
    fn cvt<U: Ty>(self, needs: Needs, modifiers: &str) -> Reg<'k, U> {
        let mnemonic = format!("cvt{modifiers}.{}.{}", U::NAME, T::NAME);
        self.k.value(needs, &mnemonic, format_args!("{self}"))
    }

    /// As the number type `U`: floats rounded to nearest; from floats to integers cut towards zero and kept in range; integers
    /// cut to the low bits.
    pub fn to<U: Ty>(self) -> Reg<'k, U>
    where
        T: Converts<U>,
    {
        if T::ROUNDING != THROUGH {
            return self.cvt(T::NEEDS, T::ROUNDING);
        }
        let wide = self.through_f32();
        match U::NAME {
            "f32" => Reg::new(self.k, wide.id()),
            "f64" => wide.cvt(EVERY, ""),
            "f16" | "bf16" => wide.cvt(EVERY, ".rn"),
            _ => wide.cvt(EVERY, ".rzi"),
        }
    }

    /// Exactly as f32, from a type that it holds.
    fn through_f32(self) -> Reg<'k, f32> {
        match T::NAME {
            "bf16" => Reg::<bf16>::new(self.k, self.id()).widen(),
            "f16" => self.cvt(EVERY, ""),
            _ => self.cvt(EVERY, ".rn"),
        }
    }

    /// As the integer `U`, rounded so and kept in range; NaN becomes 0.
    pub fn round_to<U: Ty>(self, rounding: Rounding) -> Reg<'k, U>
    where
        T: ToInteger<U>,
    {
        let modifiers = format!(".r{}i", rounding.letter());
        match T::ROUNDING {
            THROUGH => self.through_f32().cvt(EVERY, &modifiers),
            _ => self.cvt(T::NEEDS, &modifiers),
        }
    }

    /// As the integer `U`, kept in its range.
    pub fn saturate_to<U: Ty>(self) -> Reg<'k, U>
    where
        T: Saturates<U>,
    {
        self.cvt(T::NEEDS, ".sat")
    }
}

impl<'k> Reg<'k, bf16> {
    /// Exactly, on every architecture: the bits are the upper half.
    pub fn widen(self) -> Reg<'k, f32> {
        let zero = self.k.var(0u16);
        self.k.value(EVERY, "mov.b32", format_args!("{{{zero}, {self}}}"))
    }
}

impl<'k> Reg<'k, Bf16x2> {
    /// Both exactly, on every architecture.
    pub fn widen(self) -> [Reg<'k, f32>; 2] {
        let word = self.bits::<u32>();
        [(word << 16u32).bits(), (word & 0xFFFF_0000u32).bits()]
    }
}

impl<'k> Reg<'k, F16x2> {
    /// Both exactly.
    pub fn widen(self) -> [Reg<'k, f32>; 2] {
        self.split().map(|half| half.to())
    }
}

/// A float whose values round to whole numbers of the same type.
pub trait Whole: Ty {}
impl Whole for f32 {}
impl Whole for f64 {}
impl Whole for f16 {}

impl<'k, T: Whole> Reg<'k, T> {
    /// The whole number that `rounding` leads to.
    pub fn whole(self, rounding: Rounding) -> Reg<'k, T> {
        self.cvt(EVERY, &format!(".r{}i", rounding.letter()))
    }
}

impl<'k> Reg<'k, f32> {
    /// Kept between 0 and 1; NaN becomes 0.
    pub fn unit(self) -> Reg<'k, f32> {
        self.cvt(EVERY, ".sat")
    }

    /// To a narrower float, rounded towards zero.
    pub fn cut<U: Ty>(self) -> Reg<'k, U>
    where
        f32: Narrows<U>,
    {
        self.cvt(EVERY, ".rz")
    }
}

/// Two floats in one register that a conversion makes of two `f32`.
pub trait Pair: Element {
    /// `.rn`, and whether values beyond the range are kept in it.
    #[doc(hidden)]
    const ROUNDING: &'static str;
    #[doc(hidden)]
    const NEEDS: Needs;
}

macro_rules! pairs {
    ($($ty:ty: $rounding:literal, $needs:expr;)*) => {
        $(impl Pair for $ty {
            const ROUNDING: &'static str = $rounding;
            const NEEDS: Needs = $needs;
        })*

        fn pairs(samples: &mut Vec<Sample>) {
            $(
                samples.push(Sample {
                    name: "pair",
                    ty: <$ty as Ty>::NAME,
                    write: |k| k.keep(k.pair::<$ty>(k.any::<f32>(), k.any::<f32>())),
                });
                samples.push(Sample {
                    name: "pair_relu",
                    ty: <$ty as Ty>::NAME,
                    write: |k| k.keep(k.pair_relu::<$ty>(k.any::<f32>(), k.any::<f32>())),
                });
            )*
        }
    };
}

pairs! {
    F16x2: ".rn", EVERY;
    Bf16x2: ".rn", EVERY;
    E4m3x2: ".rn.satfinite", FP8;
    E5m2x2: ".rn.satfinite", FP8;
}

/// Two 8-bit floats.
pub trait PairOfBytes: Pair {}
impl PairOfBytes for E4m3x2 {}
impl PairOfBytes for E5m2x2 {}

impl Builder {
    /// Both rounded to nearest, `low` in the low half; 8-bit floats are kept in range.
    pub fn pair<P: Pair>(&self, low: impl Operand<f32>, high: impl Operand<f32>) -> Reg<'_, P> {
        self.paired(P::ROUNDING, "f32", &high.reg(self), &low.reg(self))
    }

    /// The same, negative values becoming 0.
    pub fn pair_relu<P: Pair>(&self, low: impl Operand<f32>, high: impl Operand<f32>) -> Reg<'_, P> {
        self.paired(&format!("{}.relu", P::ROUNDING), "f32", &high.reg(self), &low.reg(self))
    }

    fn paired<P: Pair>(&self, rounding: &str, from: &str, a: &Reg<f32>, b: &Reg<f32>) -> Reg<'_, P> {
        self.value(P::NEEDS, &format!("cvt{rounding}.{}.{from}", P::NAME), format_args!("{a}, {b}"))
    }

    /// Two 8-bit floats of two binary16, kept in range.
    pub fn pair_of_halves<P: PairOfBytes>(&self, halves: Reg<'_, F16x2>) -> Reg<'_, P> {
        self.value(FP8, &format!("cvt{}.{}.f16x2", P::ROUNDING, P::NAME), format_args!("{halves}"))
    }

    /// Two binary16 of two 8-bit floats, exactly.
    pub fn halves_of_pair<P: PairOfBytes>(&self, pair: Reg<'_, P>) -> Reg<'_, F16x2> {
        self.value(FP8, &format!("cvt.rn.f16x2.{}", P::NAME), format_args!("{pair}"))
    }

    /// `a` in the low half, `b` in the high one.
    pub fn pack<P: Element + Packs>(&self, a: impl Operand<P::Half>, b: impl Operand<P::Half>) -> Reg<'_, P> {
        let (a, b) = (a.reg(self), b.reg(self));
        self.value(EVERY, &format!("mov.{}", P::BITS), format_args!("{{{a}, {b}}}"))
    }

    /// The low half and the high half.
    pub fn unpack<P: Element + Packs>(&self, pair: Reg<'_, P>) -> [Reg<'_, P::Half>; 2] {
        let [a, b] = self.fresh_array();
        self.op(EVERY, &format!("mov.{}", P::BITS), format_args!("{{{a}, {b}}}, {pair}"));
        [a, b]
    }
}

/// A type whose registers are two of another type side by side.
pub trait Packs: Ty {
    /// Half of it.
    type Half: Element;
}

macro_rules! packs {
    ($($ty:ty: $half:ty;)*) => {
        $(impl Packs for $ty { type Half = $half; })*

        fn packs(samples: &mut Vec<Sample>) {
            $(samples.push(Sample {
                name: "pack",
                ty: <$ty as Ty>::NAME,
                write: |k| {
                    let [a, b] = k.unpack(k.any::<$ty>());
                    k.keep(k.pack::<$ty>(b, a));
                },
            });)*
        }
    };
}

packs! {
    F16x2: f16;
    Bf16x2: bf16;
    F32x2: f32;
    u32: u16;
    i32: i16;
    u64: u32;
    i64: i32;
    f64: u32;
    super::E4m3x4: E4m3x2;
    super::E5m2x4: E5m2x2;
}

/// One of each.
#[doc(hidden)]
pub fn samples() -> Vec<Sample> {
    let mut samples = Vec::new();
    let lists = [to_floats, to_integers, integers, wider, narrower, special, pairs, packs];
    lists.iter().for_each(|list| list(&mut samples));
    samples
}
