//! The functions of integers and of truth values.

use super::chunk::{Chunk, Kernel};
use super::functions::*;
use crate::for_each_isa;

/// An integer with arithmetic that wraps.
pub(super) trait Integer: Copy + Ord + 'static {
    const ZERO: Self;
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    /// Truncated; 0 by zero.
    fn div(self, other: Self) -> Self;
    /// With the sign of `self`; 0 by zero.
    fn rem(self, other: Self) -> Self;
    fn abs(self) -> Self;
    fn sign(self) -> Self;
}

macro_rules! integer {
    ($($type:ident: $abs:expr, $sign:expr;)*) => {
        $(impl Integer for $type {
            const ZERO: Self = 0;
            #[inline(always)]
            fn add(self, other: Self) -> Self {
                self.wrapping_add(other)
            }
            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }
            #[inline(always)]
            fn mul(self, other: Self) -> Self {
                self.wrapping_mul(other)
            }
            #[inline(always)]
            fn div(self, other: Self) -> Self {
                if other == 0 { 0 } else { self.wrapping_div(other) }
            }
            #[inline(always)]
            fn rem(self, other: Self) -> Self {
                if other == 0 { 0 } else { self.wrapping_rem(other) }
            }
            #[inline(always)]
            fn abs(self) -> Self {
                $abs(self)
            }
            #[inline(always)]
            fn sign(self) -> Self {
                $sign(self)
            }
        })*
    };
}
integer! {
    i8: i8::wrapping_abs, i8::signum;
    i16: i16::wrapping_abs, i16::signum;
    i32: i32::wrapping_abs, i32::signum;
    i64: i64::wrapping_abs, i64::signum;
    u8: |x| x, |x: u8| x.min(1);
    u16: |x| x, |x: u16| x.min(1);
    u32: |x| x, |x: u32| x.min(1);
    u64: |x| x, |x: u64| x.min(1);
}

/// As `formulas!`, for integers and truth values.
macro_rules! loops {
    ($(#[$attr:meta])* fn $name:ident <$T:ident: $bound:ident> ($a:ident: $A:ty, $b:ident, $c:ident) -> $Y:ty;
     $($function:ident => $value:expr;)*) => {
        $(#[$attr])*
        pub(super) fn $name<$T: $bound>(function: u32) -> Option<Kernel<$T>> {
            Some(match function {
                $($function => {
                    for_each_isa! {
                        #[allow(unused_variables)]
                        fn run<$T: $bound>(chunk: &Chunk<$T>) {
                            let ([at_a, at_b, at_c], y) = (chunk.x, chunk.y.cast::<$Y>());
                            for i in 0..chunk.count {
                                // SAFETY: `Chunk` promises `count` elements at each pointer.
                                unsafe {
                                    let ($a, $b, $c) =
                                        (*at_a.cast::<$A>().add(i), *at_b.add(i), *at_c.add(i));
                                    *y.add(i) = $value;
                                }
                            }
                        }
                    }
                    run::<$T>
                })*
                _ => return None,
            })
        }
    };
}

loops! {
    /// Integers of integers.
    fn values<T: Integer>(a: T, b, c) -> T;
    WEFT_EW_ADD => a.add(b);
    WEFT_EW_SUB => a.sub(b);
    WEFT_EW_MUL => a.mul(b);
    WEFT_EW_DIV => a.div(b);
    WEFT_EW_MOD => a.rem(b);
    WEFT_EW_MAX => a.max(b);
    WEFT_EW_MIN => a.min(b);
    WEFT_EW_FMA => a.mul(b).add(c);
    WEFT_EW_CLIP => a.max(b).min(c);
    WEFT_EW_NEG => T::ZERO.sub(a);
    WEFT_EW_ABS => a.abs();
    WEFT_EW_SQUARE => a.mul(a);
    WEFT_EW_RELU => a.max(T::ZERO);
    WEFT_EW_SIGN => a.sign();
}

loops! {
    /// Conditions of integers.
    fn conditions<T: Integer>(a: T, b, c) -> bool;
    WEFT_EW_EQUAL => a == b;
    WEFT_EW_LESS => a < b;
    WEFT_EW_GREATER => a > b;
    WEFT_EW_LESS_EQUAL => a <= b;
    WEFT_EW_GREATER_EQUAL => a >= b;
}

/// A byte that is a truth value: 0 is false, anything else true.
pub(super) trait Truth: Copy + 'static {
    fn holds(self) -> bool;
}

impl Truth for u8 {
    #[inline(always)]
    fn holds(self) -> bool {
        self != 0
    }
}

loops! {
    /// Truth values of truth values.
    fn truths<T: Truth>(a: T, b, c) -> bool;
    WEFT_EW_AND => a.holds() & b.holds();
    WEFT_EW_OR => a.holds() | b.holds();
    WEFT_EW_XOR => a.holds() ^ b.holds();
    WEFT_EW_EQUAL => a.holds() == b.holds();
    WEFT_EW_NOT => !a.holds();
}

/// Plain bits of any element.
pub(super) trait Bits: Copy + 'static {}
impl<T: Copy + 'static> Bits for T {}

loops! {
    /// One of two elements of any type.
    fn selections<T: Bits>(a: u8, b, c) -> T;
    WEFT_EW_SELECT => if a != 0 { b } else { c };
}
