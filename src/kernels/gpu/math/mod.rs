//! Functions of f32 and f64 in kernels, NaN and infinities as on the CPU (`kernels::math`): exp, log, tanh, erf and what is
//! made of them, angles, powers.
//!
//! f32 is within 5e-7 of the value, relative: [`single`]. f64 is within 3 units in the last place: [`double`]. What is rare
//! in f32 is computed in f64 and rounded.

mod angle;
mod arc;
mod double;
pub mod half;
mod power;
mod single;

use super::Float;
use crate::ptx::compare::ComparesFloat;
use crate::ptx::convert::{Rounding, Whole};
use crate::ptx::floats::float;
use crate::ptx::special::special;
use crate::ptx::{Builder, Has, Reg};

/// Arithmetic that the formulas need.
pub trait Arithmetic:
    Float
    + ComparesFloat
    + Whole
    + Has<float::add>
    + Has<float::sub>
    + Has<float::mul>
    + Has<float::div>
    + Has<float::fma>
    + Has<float::neg>
    + Has<float::abs>
    + Has<float::copysign>
    + Has<special::sqrt>
    + Has<special::rcp>
{
}

impl Arithmetic for f32 {}
impl Arithmetic for f64 {}

macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        /// The functions of a type that kernels compute in.
        pub trait Math: Arithmetic {
            $($(#[$doc])*
            fn $name<'k>(k: &'k Builder, x: Reg<'k, Self>) -> Reg<'k, Self>;)*
            /// x to the power of y, as C's pow.
            fn pow<'k>(k: &'k Builder, x: Reg<'k, Self>, y: Reg<'k, Self>) -> Reg<'k, Self>;
            /// The remainder of x / y with the sign of x, exactly.
            fn fmod<'k>(k: &'k Builder, x: Reg<'k, Self>, y: Reg<'k, Self>) -> Reg<'k, Self>;
        }

        $($(#[$doc])*
        pub fn $name<'k, T: Math>(k: &'k Builder, x: Reg<'k, T>) -> Reg<'k, T> {
            T::$name(k, x)
        })*
    };
}

functions! {
    /// e^x.
    exp;
    /// e^x - 1, without losing what is small.
    expm1;
    /// Natural logarithm: -inf at 0, NaN below.
    log;
    /// log(1 + x), without losing what is small.
    log1p;
    /// Hyperbolic tangent.
    tanh;
    /// The error function.
    erf;
    /// 1 / (1 + e^-x).
    sigmoid;
    /// x/2 (1 + erf(x / sqrt 2)).
    gelu;
    /// Sine, of any angle.
    sin;
    /// Cosine, of any angle.
    cos;
    /// Tangent, of any angle.
    tan;
    /// Arc sine.
    asin;
    /// Arc cosine.
    acos;
    /// Arc tangent.
    atan;
    /// Hyperbolic sine.
    sinh;
    /// Hyperbolic cosine.
    cosh;
    /// Inverse hyperbolic sine.
    asinh;
    /// Inverse hyperbolic cosine.
    acosh;
    /// Inverse hyperbolic tangent.
    atanh;
}

/// x to the power of y, as C's pow.
pub fn pow<'k, T: Math>(k: &'k Builder, x: Reg<'k, T>, y: Reg<'k, T>) -> Reg<'k, T> {
    T::pow(k, x, y)
}

/// The remainder of x / y with the sign of x, exactly.
pub fn fmod<'k, T: Math>(k: &'k Builder, x: Reg<'k, T>, y: Reg<'k, T>) -> Reg<'k, T> {
    T::fmod(k, x, y)
}

/// A constant of the type.
pub fn of<T: Float>(value: f64) -> T {
    T::constant(value)
}

/// The larger; NaN if either is.
pub fn larger<'k, T: Arithmetic>(k: &'k Builder, a: Reg<'k, T>, b: Reg<'k, T>) -> Reg<'k, T> {
    k.select(a.gt(b) | a.unordered(a), a, b)
}

/// The smaller; NaN if either is.
pub fn smaller<'k, T: Arithmetic>(k: &'k Builder, a: Reg<'k, T>, b: Reg<'k, T>) -> Reg<'k, T> {
    k.select(a.lt(b) | a.unordered(a), a, b)
}

/// max(x, 0); NaN for NaN.
pub fn relu<'k, T: Arithmetic>(k: &'k Builder, x: Reg<'k, T>) -> Reg<'k, T> {
    k.select(x.lt(of::<T>(0.0)), of::<T>(0.0), x)
}

/// x / (1 + e^-x), also called swish.
pub fn silu<'k, T: Math>(k: &'k Builder, x: Reg<'k, T>) -> Reg<'k, T> {
    x * sigmoid(k, x)
}

/// x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).
pub fn gelu_tanh<'k, T: Math>(k: &'k Builder, x: Reg<'k, T>) -> Reg<'k, T> {
    // As x sigmoid(2u), which loses nothing on the left. Grouped so that x^3 overflows where the tanh is 1 or -1.
    let twice_root = 2.0 * (2.0 / std::f64::consts::PI).sqrt();
    let cube = x * of::<T>(0.044_715) * x;
    let twice = k.fma(cube, x, x) * of::<T>(twice_root);
    x * sigmoid(k, twice)
}

/// log(1 + e^x).
pub fn softplus<'k, T: Math>(k: &'k Builder, x: Reg<'k, T>) -> Reg<'k, T> {
    let e = exp(k, -k.abs(x));
    relu(k, x) + log1p(k, e)
}

/// x tanh(log(1 + e^x)), with e^x = e: x e (e + 2) / (e (e + 2) + 2).
pub fn mish<'k, T: Math>(k: &'k Builder, x: Reg<'k, T>) -> Reg<'k, T> {
    let e = exp(k, at_most(k, x, 20.0));
    let n = e * (e + of::<T>(2.0));
    x * (n / (n + of::<T>(2.0)))
}

/// To the nearest whole number, halves to even.
pub fn round<'k, T: Arithmetic>(x: Reg<'k, T>) -> Reg<'k, T> {
    x.whole(Rounding::Nearest)
}

/// x, `most` where it is larger; NaN stays.
fn at_most<'k, T: Arithmetic>(k: &'k Builder, x: Reg<'k, T>, most: f64) -> Reg<'k, T> {
    k.select(x.gt(of::<T>(most)), of::<T>(most), x)
}

/// x, `least` where it is smaller; NaN stays.
fn at_least<'k, T: Arithmetic>(k: &'k Builder, x: Reg<'k, T>, least: f64) -> Reg<'k, T> {
    k.select(x.lt(of::<T>(least)), of::<T>(least), x)
}

/// The polynomial of these coefficients, the highest power's first.
fn polynomial<'k, T: Arithmetic>(k: &'k Builder, x: Reg<'k, T>, coefficients: &[f64]) -> Reg<'k, T> {
    let first = k.var(of::<T>(coefficients[0]));
    coefficients[1..].iter().fold(first, |sum, &c| k.fma(sum, x, of::<T>(c)))
}

/// log(1 + x) by `log`: the logarithm of the rounded sum, plus what the rounding lost.
fn log_of_sum<'k, T: Math>(k: &'k Builder, x: Reg<'k, T>) -> Reg<'k, T> {
    let sum = x + of::<T>(1.0);
    let lost = (x - (sum - of::<T>(1.0))) / sum;
    let finite = k.abs(lost).lt(of::<T>(f64::INFINITY));
    log(k, sum) + k.select(finite, lost, of::<T>(0.0))
}
