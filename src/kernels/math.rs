//! Functions of f32 without branches or calls, so that loops over them become vector code: exp, tanh and what is made
//! of them. Plain multiplications and additions, never fused: the same bits on every instruction set.
//!
//! exp: Cody-Waite reduction and the degree-6 polynomial of Cephes' expf (S. L. Moshier), under 2 ulp. tanh: Cephes'
//! polynomial below 0.625, exp above. erf: x times a polynomial in x^2 below 1; above, and in gelu, erfc as
//! e^(-t^2) times a polynomial in 1 / (1 + 0.4 t), whose coefficients are a minimax fit of relative error 1e-8. log:
//! the series of 2 atanh(f / (2 + f)), arranged as in fdlibm.

const LOG2_E: f32 = std::f32::consts::LOG2_E;
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;
/// Adding 1.5 * 2^23 rounds to the nearest integer, which then is in the low bits.
const ROUND: f32 = 12_582_912.0;

/// e^x; NaN for NaN, 0 and infinity beyond the range, subnormals kept.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Written so that NaN passes through. What ends as 0 (masked elements, often) goes another way than through
    // subnormal products, which are slow.
    let x = if x > 89.0 { 89.0 } else { x };
    let vanishes = x < -104.0;
    let x = if vanishes { 0.0 } else { x };
    let shifted = x * LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let p = p * (r * r) + r + 1.0;
    // In two steps, so that neither factor overflows or is subnormal. NaN has no n, but stays in p.
    let n = shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    let half = n >> 1;
    let value = p * power_of_two(half) * power_of_two(n.wrapping_sub(half));
    if vanishes { 0.0 } else { value }
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

/// e^x - 1, without losing what is small.
#[inline(always)]
pub fn expm1(x: f32) -> f32 {
    let mut p = 1.987_569_1e-4;
    p = p * x + 1.398_199_9e-3;
    p = p * x + 8.333_452e-3;
    p = p * x + 4.166_579_6e-2;
    p = p * x + 1.666_666_5e-1;
    p = p * x + 0.5;
    if x.abs() < 0.34 { p * (x * x) + x } else { exp(x) - 1.0 }
}

/// Natural logarithm: -inf at 0, NaN below.
#[inline(always)]
pub fn log(x: f32) -> f32 {
    const HALF_ROOT: u32 = 0x3f35_04f3;
    let tiny = x < f32::MIN_POSITIVE;
    let bits = (if tiny { x * 8_388_608.0 } else { x }).to_bits();
    // x = 2^n (1 + f), 1 + f from sqrt(1/2) to sqrt(2).
    let shift = bits.wrapping_sub(HALF_ROOT) as i32 >> 23;
    let f = f32::from_bits(bits.wrapping_sub((shift as u32) << 23)) - 1.0;
    let n = shift.wrapping_sub(if tiny { 23 } else { 0 }) as f32;
    let s = f / (2.0 + f);
    let z = s * s;
    let series = z * (0.666_666_7 + z * (0.4 + z * (0.285_714_3 + z * 0.222_222_2)));
    let half = 0.5 * f * f;
    let value = n * LN2_HIGH - ((half - (s * (half + series) + n * LN2_LOW)) - f);
    let value = if x == 0.0 { f32::NEG_INFINITY } else { value };
    let value = if x == f32::INFINITY { x } else { value };
    if x >= 0.0 { value } else { f32::NAN }
}

/// log(1 + x), without losing what is small.
#[inline(always)]
pub fn log1p(x: f32) -> f32 {
    let sum = 1.0 + x;
    let lost = (x - (sum - 1.0)) / sum;
    log(sum) + if lost.is_finite() { lost } else { 0.0 }
}

/// erfc(t) for t >= 0.
#[inline(always)]
fn erfc(t: f32) -> f32 {
    let u = 1.0 / (1.0 + 0.4 * t);
    let mut p = -0.029_206_121;
    p = p * u + 0.195_904_55;
    p = p * u - 0.493_852_53;
    p = p * u + 0.540_822_1;
    p = p * u - 0.278_866_68;
    p = p * u + 0.269_114_52;
    p = p * u + 0.130_699_68;
    p = p * u + 0.214_700_62;
    p = p * u + 0.224_978_3;
    p = p * u + 0.225_705_56;
    exp(-(t * t)) * (p * u)
}

/// The error function.
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let z = x * x;
    let mut p = 7.853_858e-5;
    p = p * z - 8.010_193e-4;
    p = p * z + 5.188_328e-3;
    p = p * z - 2.685_381_3e-2;
    p = p * z + 0.112_835_854;
    p = p * z - 0.376_126_26;
    p = p * z + std::f32::consts::FRAC_2_SQRT_PI;
    let large = (1.0 - erfc(x.abs())).copysign(x);
    if x.abs() < 1.0 { x * p } else { large }
}

/// x/2 (1 + erf(x / sqrt 2)); through erfc, so that the left tail keeps its relative accuracy.
#[inline(always)]
pub fn gelu(x: f32) -> f32 {
    let tail = erfc(x.abs() * std::f32::consts::FRAC_1_SQRT_2);
    0.5 * x * if x < 0.0 { tail } else { 2.0 - tail }
}

/// x/2 (1 + tanh(u)), u = sqrt(2/pi) (x + 0.044715 x^3): as x / (1 + e^-2u), which loses nothing on the left.
#[inline(always)]
pub fn gelu_tanh(x: f32) -> f32 {
    const TWICE_ROOT: f32 = 1.595_769;
    x / (1.0 + exp(-TWICE_ROOT * (x + 0.044_715 * x * x * x)))
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
    fn logarithms_and_erf_too() {
        let erf64 = |x: f64| libm::erf(x);
        assert!(worst(erf, erf64, -6.0, 6.0) < 2e-7);
        assert!(worst(erf, erf64, -1e-3, 1.1e-3) < 2e-7);
        assert!(worst(gelu, |x| 0.5 * x * libm::erfc(-x / 2f64.sqrt()), -4.0, 10.0) < 1.5e-6);
        let gelu_tanh64 = |x: f64| x / (1.0 + (-1.595_769_121_605_731 * (x + 0.044_715 * x * x * x)).exp());
        assert!(
            worst(gelu_tanh, gelu_tanh64, -4.0, 10.0) < 2e-6
                && worst(gelu_tanh, gelu_tanh64, -9.0, -4.0) < 2e-5
        );
        assert!(worst(log, f64::ln, 1e-30, 1e-3) < 2e-7 && worst(log, f64::ln, 1.000_01, 50.0) < 2e-7);
        assert!(worst(log, f64::ln, 0.3, 0.999_99) < 2e-7);
        assert!(worst(log1p, f64::ln_1p, -0.9, 1.1) < 3e-7 && worst(log1p, f64::ln_1p, 1.0, 1e9) < 2e-7);
        assert!(worst(expm1, f64::exp_m1, -1.0, 1.1) < 5e-7 && worst(expm1, f64::exp_m1, -80.0, 80.1) < 5e-7);
        assert!(worst(|x| log(x * 1e-30), |x| (f64::from(x as f32 * 1e-30)).ln(), 1e-12, 1e-10) < 2e-7);
        let ends = [log(0.0), log(f32::INFINITY), log1p(f32::INFINITY), log1p(-1.0), erf(f32::INFINITY)];
        let inf = f32::INFINITY;
        assert_eq!(ends, [-inf, inf, inf, -inf, 1.0]);
        assert_eq!((gelu(-1e30), gelu(inf), gelu(0.0), expm1(-inf)), (0.0, inf, 0.0, -1.0));
        assert_eq!(
            (gelu_tanh(-1e30), gelu_tanh(inf), gelu_tanh(0.0), gelu_tanh(1e30)),
            (0.0, inf, 0.0, 1e30)
        );
        assert!(
            [log(-1.0), log(f32::NAN), log1p(-2.0), erf(f32::NAN), gelu(f32::NAN)].iter().all(|x| x.is_nan())
        );
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
