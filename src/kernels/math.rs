//! Functions of f32 without branches or calls, so that loops over them become vector code: exp, tanh and what is made
//! of them. Plain multiplications and additions, never fused: the same bits on every instruction set.
//!
//! exp: Cody-Waite reduction and the degree-6 polynomial of Cephes' expf (S. L. Moshier), under 2 ulp. tanh: Cephes'
//! polynomial below 0.625, exp above. erf: libm.

const LOG2_E: f32 = std::f32::consts::LOG2_E;
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;
/// Adding and subtracting 1.5 * 2^23 rounds to the nearest integer.
const ROUND: f32 = 12_582_912.0;

/// e^x; NaN for NaN, 0 and infinity beyond the range, subnormals kept.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Written so that NaN passes through.
    let x = if x > 89.0 { 89.0 } else { x };
    let x = if x < -104.0 { -104.0 } else { x };
    let n = (x * LOG2_E + ROUND) - ROUND;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let p = p * (r * r) + r + 1.0;
    // In two steps, so that neither factor overflows or is subnormal. NaN has no n, but stays in p.
    let n = if n.is_nan() { 0.0 } else { n };
    // SAFETY: n is finite and within [-151, 129].
    let n = unsafe { n.to_int_unchecked::<i32>() };
    let half = n >> 1;
    p * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// Hyperbolic tangent.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let square = x * x;
    let mut p = -5.704_988_7e-3;
    p = p * square + 2.063_909e-2;
    p = p * square - 5.373_971_5e-2;
    p = p * square + 1.333_144_2e-1;
    p = p * square - 3.333_328e-1;
    let small = p * square * x + x;
    let large = 1.0 - 2.0 / (exp(2.0 * x.abs()) + 1.0);
    if x.abs() < 0.625 { small } else { large.copysign(x) }
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// x / (1 + e^-x), also called swish.
#[inline(always)]
pub fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

/// The error function.
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    libm::erff(x)
}

/// x/2 (1 + erf(x / sqrt 2)).
#[inline(always)]
pub fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).
#[inline(always)]
pub fn gelu_tanh(x: f32) -> f32 {
    const ROOT: f32 = 0.797_884_6;
    0.5 * x * (1.0 + tanh(ROOT * (x + 0.044_715 * x * x * x)))
}

/// max(x, 0); NaN for NaN.
#[inline(always)]
pub fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worst(f: impl Fn(f32) -> f32, oracle: impl Fn(f64) -> f64, low: f32, high: f32) -> f64 {
        let at = |i: u32| low + (high - low) * i as f32 / 100_000.0;
        let error =
            |x: f32| ((f64::from(f(x)) - oracle(f64::from(x))) / oracle(f64::from(x)).abs().max(1e-30)).abs();
        (0..=100_000).map(|i| error(at(i))).fold(0.0, f64::max)
    }

    #[test]
    fn close_to_double_precision() {
        assert!(worst(exp, f64::exp, -87.0, 88.7) < 2.5e-7);
        assert!(worst(tanh, f64::tanh, -10.0, 10.0) < 3e-7);
        assert!(worst(sigmoid, |x| 1.0 / (1.0 + (-x).exp()), -80.0, 80.0) < 4e-7);
    }

    #[test]
    fn the_ends_are_as_ieee_has_them() {
        assert_eq!((exp(f32::NEG_INFINITY), exp(f32::INFINITY), exp(0.0)), (0.0, f32::INFINITY, 1.0));
        assert!(
            exp(f32::NAN).is_nan()
                && tanh(f32::NAN).is_nan()
                && relu(f32::NAN).is_nan()
                && silu(f32::NAN).is_nan()
        );
        assert_eq!((tanh(100.0), tanh(-100.0), exp(-200.0), exp(89.5)), (1.0, -1.0, 0.0, f32::INFINITY));
        assert!(exp(-100.0) > 0.0);
    }
}
