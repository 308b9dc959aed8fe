//! Comparisons and choices.

use super::table::Sample;
use super::target::{EVERY, Needs};
use super::{Builder, Element, Operand, Reg, Ty};
use crate::dtype::{bf16, f16};

/// A type that compares.
pub trait Compares: Ty {
    #[doc(hidden)]
    const NEEDS: Needs = EVERY;
}

/// A float that compares, also where a NaN makes every ordered comparison false.
pub trait ComparesFloat: Compares {}

macro_rules! compares {
    ($($ty:ty)+; $($float:ty, $needs:expr;)+) => {
        $(impl Compares for $ty {})+
        $(
            impl Compares for $float {
                const NEEDS: Needs = $needs;
            }
            impl ComparesFloat for $float {}
        )+
    };
}

compares! {
    u16 i16 u32 i32 u64 i64;
    f32, EVERY;
    f64, EVERY;
    f16, EVERY;
    bf16, Needs::new(90, 78);
}

macro_rules! comparisons {
    ($bound:ident, $all:ident, $($(#[$doc:meta])* $name:ident $how:literal;)*) => {
        impl<'k, T: $bound> Reg<'k, T> {$(
            $(#[$doc])*
            pub fn $name(self, other: impl Operand<T>) -> Reg<'k, bool> {
                self.compare($how, other)
            }
        )*}

        #[allow(clippy::redundant_closure_call)]
        fn $all<T: $bound>() -> Vec<Sample> {
            vec![$(Sample {
                name: stringify!($name),
                ty: T::NAME,
                write: |k| k.keep(k.any::<T>().$name(k.any::<T>())),
            }),*]
        }
    };
}

comparisons! { Compares, ordered,
    /// Equal.
    eq "eq";
    /// Not equal; false when either is NaN.
    ne "ne";
    /// Less.
    lt "lt";
    /// Less or equal.
    le "le";
    /// Greater.
    gt "gt";
    /// Greater or equal.
    ge "ge";
}

comparisons! { ComparesFloat, unordered,
    /// Equal, or either is NaN.
    equ "equ";
    /// Not equal, or either is NaN.
    neu "neu";
    /// Less, or either is NaN.
    ltu "ltu";
    /// Less or equal, or either is NaN.
    leu "leu";
    /// Greater, or either is NaN.
    gtu "gtu";
    /// Greater or equal, or either is NaN.
    geu "geu";
    /// Neither is NaN.
    ordered "num";
    /// Either is NaN.
    unordered "nan";
}

impl<'k, T: Compares> Reg<'k, T> {
    fn compare(self, how: &str, other: impl Operand<T>) -> Reg<'k, bool> {
        let other = other.show(self.k);
        self.k.value(T::NEEDS, &format!("setp.{how}.{}", T::NAME), format_args!("{self}, {other}"))
    }
}

impl Builder {
    /// `yes` where `condition` holds, else `no`.
    pub fn select<T: Element>(
        &self,
        condition: Reg<'_, bool>,
        yes: impl Operand<T>,
        no: impl Operand<T>,
    ) -> Reg<'_, T> {
        let (yes, no) = (yes.show(self), no.show(self));
        let bits = super::ty::CLASSES[T::CLASS].1;
        self.value(EVERY, &format!("selp.{bits}"), format_args!("{yes}, {no}, {condition}"))
    }

    /// 1 where `a > b`, elsewhere 0.
    pub fn above(&self, a: Reg<'_, f32>, b: impl Operand<f32>) -> Reg<'_, f32> {
        self.value(EVERY, "set.gt.f32.f32", format_args!("{a}, {}", b.show(self)))
    }

    /// Whether `a` is neither infinite nor NaN.
    pub fn is_finite(&self, a: Reg<'_, f32>) -> Reg<'_, bool> {
        self.value(EVERY, "testp.finite.f32", format_args!("{a}"))
    }

    /// Whether `a` is NaN.
    pub fn is_nan(&self, a: Reg<'_, f32>) -> Reg<'_, bool> {
        self.value(EVERY, "testp.notanumber.f32", format_args!("{a}"))
    }
}

/// One of each.
#[doc(hidden)]
pub fn samples() -> Vec<Sample> {
    let integers = [ordered::<u16>(), ordered::<i16>(), ordered::<u32>(), ordered::<i32>()];
    let wide = [ordered::<u64>(), ordered::<i64>(), ordered::<f32>(), ordered::<f64>()];
    let floats = [ordered::<f16>(), ordered::<bf16>(), unordered::<f32>(), unordered::<f64>()];
    let halves = [unordered::<f16>(), unordered::<bf16>()];
    integers.into_iter().chain(wide).chain(floats).chain(halves).flatten().collect()
}
