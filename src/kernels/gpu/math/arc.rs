//! Inverse tangent, sine and cosine of f64. The polynomials are interpolations at Chebyshev nodes, of relative error 2^-57.

use super::polynomial;
use crate::ptx::{Builder, Reg};
use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI};

/// What the constant pi/2 lacks.
const PI_2_LOW: f64 = 6.123_233_995_736_766e-17;

type Value<'k> = Reg<'k, f64>;

/// (atan(t) - t) / t^3 of t^2, up to t = tan(pi/8).
const ATAN: [f64; 11] = [
    -0.019_176_887_119_062_26,
    0.039_231_658_295_587_19,
    -0.050_854_497_379_402_6,
    0.058_581_489_128_022_1,
    -0.066_645_114_473_819_48,
    0.076_921_831_908_260_87,
    -0.090_909_045_781_239_03,
    0.111_111_110_152_563_61,
    -0.142_857_142_846_665_42,
    0.199_999_999_999_955_2,
    -0.333_333_333_333_333_3,
];

/// (asin(s) - s) / s^3 of s^2, up to s = 1/2.
const ASIN: [f64; 13] = [
    0.028_757_851_367_421_566,
    -0.014_851_887_071_247_204,
    0.017_400_879_442_694_02,
    0.005_457_506_718_640_358,
    0.010_322_814_350_185_78,
    0.011_479_177_415_184_906,
    0.013_971_212_973_552_933,
    0.017_352_392_720_869_973,
    0.022_372_172_942_149_89,
    0.030_381_944_138_531_247,
    0.044_642_857_146_355_43,
    0.074_999_999_999_984_33,
    0.166_666_666_666_666_69,
];

/// Arc tangent: of x, (x - 1) / (x + 1) or -1 / x, whichever is below tan(pi/8).
pub(super) fn atan<'k>(k: &'k Builder, x: Value<'k>) -> Value<'k> {
    let size = k.abs(x);
    let (large, middle) = (size.gt(2.414_213_562_373_095f64), size.gt(0.414_213_562_373_095f64));
    let pick = |a: Value<'k>, b: Value<'k>, c: Value<'k>| k.select(large, a, k.select(middle, b, c));
    let constant = |value: f64| k.var(value);
    let over = pick(constant(-1.0), size - 1.0f64, size);
    let t = over / pick(size, size + 1.0f64, constant(1.0));
    let base = pick(constant(FRAC_PI_2), constant(FRAC_PI_4), constant(0.0));
    let low = pick(constant(PI_2_LOW), constant(PI_2_LOW / 2.0), constant(0.0));
    let z = t * t;
    let more = k.fma(t * z, polynomial(k, z, &ATAN), low);
    k.copysign(x, base + (t + more))
}

/// What asin and acos share: whether |x| is above 1/2, and for s = |x|, or sqrt((1 - |x|) / 2) where it is, s and
/// asin(s) - s.
fn half_arc<'k>(k: &'k Builder, x: Value<'k>) -> (Reg<'k, bool>, Value<'k>, Value<'k>) {
    let size = k.abs(x);
    let large = size.gt(0.5f64);
    let z = k.select(large, k.sub(1.0f64, size) * 0.5f64, size * size);
    let s = k.select(large, k.sqrt(z), size);
    (large, s, s * z * polynomial(k, z, &ASIN))
}

/// Arc sine; NaN beyond 1.
pub(super) fn asin<'k>(k: &'k Builder, x: Value<'k>) -> Value<'k> {
    let (large, s, more) = half_arc(k, x);
    let turned = k.fma(s, -2.0f64, FRAC_PI_2) - k.fma(more, 2.0f64, -PI_2_LOW);
    k.copysign(x, k.select(large, turned, s + more))
}

/// Arc cosine; NaN beyond 1.
pub(super) fn acos<'k>(k: &'k Builder, x: Value<'k>) -> Value<'k> {
    let (large, s, more) = half_arc(k, x);
    let (signed, signed_more) = (k.copysign(x, s), k.copysign(x, more));
    let small = k.sub(FRAC_PI_2, signed + (signed_more - PI_2_LOW));
    let twice = (s + more) * 2.0f64;
    let turned = k.sub(PI, twice - 2.0 * PI_2_LOW);
    k.select(large, k.select(x.lt(0.0f64), turned, twice), small)
}
