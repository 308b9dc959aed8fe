//! What the CPU computes with: f32, f64 and complex numbers of either, by one set of formulas.

use std::ops::{Add, Div, Mul, Neg, Sub};

/// A real number and what is specific to it.
pub trait Real: Number<Real = Self> + PartialOrd + Neg<Output = Self> {
    /// Its magnitude.
    fn magnitude(self) -> Self;
    /// Exactly.
    fn wide(self) -> f64;
}

/// An element of a vector or a matrix.
pub trait Number:
    Copy
    + Send
    + Sync
    + 'static
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
{
    /// Its parts.
    type Real: Real;
    /// What products are summed in where the sum is a single number: f64 parts.
    type Wide: Number<Real = f64>;
    /// The same number for the crate `gemm`.
    type Gemm: 'static;
    /// 0.
    const ZERO: Self;
    /// Real parts an element.
    const PARTS: usize;
    /// Of two parts, rounded; a real number has the first alone.
    fn of(re: f64, im: f64) -> Self;
    /// The conjugate.
    fn conjugate(self) -> Self;
    /// With the imaginary part 0.
    fn real(self) -> Self;
    /// The sum of the parts' magnitudes.
    fn size(self) -> Self::Real;
    /// Rounded.
    fn narrowed(wide: Self::Wide) -> Self;
    /// As `gemm` takes it.
    fn gemm(self) -> Self::Gemm;
}

/// A complex number, as it lies in memory.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Complex<R> {
    /// Real part.
    pub re: R,
    /// Imaginary part.
    pub im: R,
}

macro_rules! real {
    ($type:ty) => {
        impl Real for $type {
            #[inline(always)]
            fn magnitude(self) -> Self {
                self.abs()
            }
            #[inline(always)]
            fn wide(self) -> f64 {
                f64::from(self)
            }
        }
        impl Number for $type {
            type Real = $type;
            type Wide = f64;
            type Gemm = $type;
            const ZERO: Self = 0.0;
            const PARTS: usize = 1;
            #[inline(always)]
            fn of(re: f64, _: f64) -> Self {
                re as $type
            }
            #[inline(always)]
            fn conjugate(self) -> Self {
                self
            }
            #[inline(always)]
            fn real(self) -> Self {
                self
            }
            #[inline(always)]
            fn size(self) -> Self {
                self.abs()
            }
            #[inline(always)]
            fn narrowed(wide: f64) -> Self {
                wide as $type
            }
            fn gemm(self) -> Self {
                self
            }
        }
    };
}
real!(f32);
real!(f64);

macro_rules! complex {
    ($real:ty, $gemm:ty) => {
        impl Number for Complex<$real> {
            type Real = $real;
            type Wide = Complex<f64>;
            type Gemm = $gemm;
            const ZERO: Self = Complex { re: 0.0, im: 0.0 };
            const PARTS: usize = 2;
            #[inline(always)]
            fn of(re: f64, im: f64) -> Self {
                Self { re: re as $real, im: im as $real }
            }
            #[inline(always)]
            fn conjugate(self) -> Self {
                Self { im: -self.im, ..self }
            }
            #[inline(always)]
            fn real(self) -> Self {
                Self { im: 0.0, ..self }
            }
            #[inline(always)]
            fn size(self) -> $real {
                self.re.abs() + self.im.abs()
            }
            #[inline(always)]
            fn narrowed(wide: Complex<f64>) -> Self {
                Self::of(wide.re, wide.im)
            }
            fn gemm(self) -> $gemm {
                <$gemm>::new(self.re, self.im)
            }
        }
    };
}
complex!(f32, ::gemm::c32);
complex!(f64, ::gemm::c64);

impl<R: Real> Add for Complex<R> {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self { re: self.re + other.re, im: self.im + other.im }
    }
}

impl<R: Real> Sub for Complex<R> {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self { re: self.re - other.re, im: self.im - other.im }
    }
}

impl<R: Real> Mul for Complex<R> {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        let (re, im) = (self.re * other.re - self.im * other.im, self.re * other.im + self.im * other.re);
        Self { re, im }
    }
}

impl<R: Real> Div for Complex<R> {
    type Output = Self;
    /// Without overflow on the way: R. L. Smith, "Algorithm 116: Complex division" (1962).
    #[inline(always)]
    fn div(self, by: Self) -> Self {
        if by.re.magnitude() >= by.im.magnitude() {
            let ratio = by.im / by.re;
            let whole = by.re + by.im * ratio;
            Self { re: (self.re + self.im * ratio) / whole, im: (self.im - self.re * ratio) / whole }
        } else {
            let ratio = by.re / by.im;
            let whole = by.re * ratio + by.im;
            Self { re: (self.re * ratio + self.im) / whole, im: (self.im * ratio - self.re) / whole }
        }
    }
}

/// Runs `$body` with `$N` bound to the number type of a dtype of the family.
macro_rules! with_number {
    ($dtype:expr, $N:ident => $body:expr) => {
        match $dtype {
            $crate::dtype::Dtype::F32 => {
                type $N = f32;
                $body
            }
            $crate::dtype::Dtype::F64 => {
                type $N = f64;
                $body
            }
            $crate::dtype::Dtype::C32 => {
                type $N = $crate::ops::blas::number::Complex<f32>;
                $body
            }
            _ => {
                type $N = $crate::ops::blas::number::Complex<f64>;
                $body
            }
        }
    };
}
pub(in crate::ops::blas) use with_number;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotients_do_not_overflow_on_the_way() {
        let huge = Complex { re: 1e300, im: -1e300 };
        assert_eq!(huge / huge, Complex { re: 1.0, im: 0.0 });
        let (x, by) = (Complex { re: -1.0, im: 7.0 }, Complex { re: 1.0, im: 2.0 });
        assert_eq!(x / by * by, x);
    }
}
