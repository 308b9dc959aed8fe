//! What the formulas need of a number: f32 by vector code where there is some, f64 by the platform's libm.

use crate::kernels::math;
use std::ops::{Add, Div, Mul, Neg, Rem, Sub};

/// A number that formulas compute with.
pub(super) trait Real:
    Copy
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Rem<Output = Self>
    + Neg<Output = Self>
    + 'static
{
    /// Rounded; for constants and parameters.
    fn of(value: f64) -> Self;
    fn exp(self) -> Self;
    fn expm1(self) -> Self;
    fn log(self) -> Self;
    fn log1p(self) -> Self;
    fn tanh(self) -> Self;
    fn erf(self) -> Self;
    fn gelu(self) -> Self;
    fn gelu_tanh(self) -> Self;
    fn abs(self) -> Self;
    fn sqrt(self) -> Self;
    fn floor(self) -> Self;
    fn ceil(self) -> Self;
    fn round(self) -> Self;
    fn fma(self, by: Self, plus: Self) -> Self;
    fn pow(self, by: Self) -> Self;
    fn sin(self) -> Self;
    fn cos(self) -> Self;
    fn tan(self) -> Self;
    fn asin(self) -> Self;
    fn acos(self) -> Self;
    fn atan(self) -> Self;
    fn sinh(self) -> Self;
    fn cosh(self) -> Self;
    fn asinh(self) -> Self;
    fn acosh(self) -> Self;
    fn atanh(self) -> Self;

    /// The larger; NaN if either is.
    #[inline(always)]
    fn larger(self, other: Self) -> Self {
        if self > other || self.is_nan() { self } else { other }
    }
    /// The smaller; NaN if either is.
    #[inline(always)]
    fn smaller(self, other: Self) -> Self {
        if self < other || self.is_nan() { self } else { other }
    }
    #[inline(always)]
    #[allow(clippy::eq_op)]
    fn is_nan(self) -> bool {
        self != self
    }
    /// max(x, 0); NaN for NaN.
    #[inline(always)]
    fn relu(self) -> Self {
        if self < Self::of(0.0) { Self::of(0.0) } else { self }
    }
    /// 1 / (1 + e^-x).
    #[inline(always)]
    fn sigmoid(self) -> Self {
        Self::of(1.0) / (Self::of(1.0) + (-self).exp())
    }
    /// log(1 + e^x).
    #[inline(always)]
    fn softplus(self) -> Self {
        self.relu() + (-self.abs()).exp().log1p()
    }
    /// tanh(log(1 + e^x)), with e^x = e: e (e + 2) / (e (e + 2) + 2).
    #[inline(always)]
    fn tanh_softplus(self) -> Self {
        let e = if self > Self::of(20.0) { Self::of(20.0) } else { self }.exp();
        let n = e * (e + Self::of(2.0));
        n / (n + Self::of(2.0))
    }
}

/// Methods that the type has under the same name.
macro_rules! std_methods {
    ($type:ty: $($name:ident)*) => {
        $(#[inline(always)]
        fn $name(self) -> Self {
            <$type>::$name(self)
        })*
        #[inline(always)]
        fn round(self) -> Self {
            self.round_ties_even()
        }
        #[inline(always)]
        fn fma(self, by: Self, plus: Self) -> Self {
            self.mul_add(by, plus)
        }
        #[inline(always)]
        fn pow(self, by: Self) -> Self {
            self.powf(by)
        }
    };
}

/// Functions of `math` of the same name.
macro_rules! math_functions {
    ($($name:ident)*) => {
        $(#[inline(always)]
        fn $name(self) -> Self {
            math::$name(self)
        })*
    };
}

impl Real for f32 {
    #[inline(always)]
    fn of(value: f64) -> Self {
        value as f32
    }
    fn acosh(self) -> Self {
        // libm's has no NaN far below 1, the standard library's loses digits near it.
        if self < 1.0 { f32::NAN } else { libm::acoshf(self) }
    }
    fn asinh(self) -> Self {
        libm::asinhf(self)
    }
    fn atanh(self) -> Self {
        libm::atanhf(self)
    }
    math_functions!(exp expm1 log log1p tanh erf gelu gelu_tanh);
    std_methods!(f32: abs sqrt floor ceil sin cos tan asin acos atan sinh cosh);
}

impl Real for f64 {
    #[inline(always)]
    fn of(value: f64) -> Self {
        value
    }
    fn expm1(self) -> Self {
        self.exp_m1()
    }
    fn log(self) -> Self {
        self.ln()
    }
    fn log1p(self) -> Self {
        self.ln_1p()
    }
    fn acosh(self) -> Self {
        if self < 1.0 { f64::NAN } else { libm::acosh(self) }
    }
    fn asinh(self) -> Self {
        libm::asinh(self)
    }
    fn atanh(self) -> Self {
        libm::atanh(self)
    }
    fn erf(self) -> Self {
        libm::erf(self)
    }
    fn gelu(self) -> Self {
        0.5 * self * libm::erfc(-self * std::f64::consts::FRAC_1_SQRT_2)
    }
    fn gelu_tanh(self) -> Self {
        let twice_root = (8.0 / std::f64::consts::PI).sqrt();
        self / (1.0 + (-twice_root * (self + 0.044_715 * self * self * self)).exp())
    }
    std_methods!(f64: exp tanh abs sqrt floor ceil sin cos tan asin acos atan sinh cosh);
}
