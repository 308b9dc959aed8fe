//! Functions of f64. e^x: Cody-Waite reduction and Taylor's polynomial of degree 13. log: as fdlibm (Sun Microsystems) has
//! it. erfc: e^(-t^2) / (1 + 2t) times a polynomial in (t - 4) / (t + 4), as Shepherd and Laframboise proposed
//! ("Chebyshev approximation of (1 + 2x) exp(x^2) erfc x"), interpolated at Chebyshev nodes to 2^-54.

use super::{Math, angle, arc, at_least, at_most, expm1, log, log_of_sum, log1p, polynomial, power};
use crate::ptx::{Builder, Reg};

const LN2_HIGH: f64 = std::f64::consts::LN_2;
/// What the constant above lacks.
const LN2_LOW: f64 = 2.319_046_813_846_299_6e-17;
/// Adding and subtracting 1.5 * 2^52 rounds to the nearest integer, which then is in the low bits.
const ROUND: f64 = 6_755_399_441_055_744.0;

type Value<'k> = Reg<'k, f64>;

impl Math for f64 {
    fn exp<'k>(k: &'k Builder, x: Value<'k>) -> Value<'k> {
        exp_scaled(k, x, None, 0)
    }

    fn expm1<'k>(k: &'k Builder, x: Value<'k>) -> Value<'k> {
        let Power { n, less_one } = exp_parts(k, at_least(k, at_most(k, x, 710.0), -60.0), None);
        let half = power_of_two(n - 1i32);
        k.fma(half, less_one, half - 0.5f64) * 2.0f64
    }

    fn log<'k>(k: &'k Builder, x: Value<'k>) -> Value<'k> {
        let (m, n) = split(k, x);
        let value = log_of_parts(k, m - 1.0f64, n.to::<f64>());
        let value = k.select(x.eq(0.0f64), f64::NEG_INFINITY, value);
        let value = k.select(x.eq(f64::INFINITY), x, value);
        k.select(x.ge(0.0f64), value, f64::NAN)
    }

    fn log1p<'k>(k: &'k Builder, x: Value<'k>) -> Value<'k> {
        log_of_sum(k, x)
    }

    fn tanh<'k>(k: &'k Builder, x: Value<'k>) -> Value<'k> {
        let size = at_most(k, k.abs(x), 22.0);
        let t = expm1(k, size + size);
        k.copysign(x, t / (t + 2.0f64))
    }

    fn erf<'k>(k: &'k Builder, x: Value<'k>) -> Value<'k> {
        let z = x * x;
        let small = polynomial(k, z, &ERF) * x;
        let t = at_most(k, k.abs(x), 28.0);
        let square = t * t;
        let large = k.sub(1.0f64, erfc(k, t, -square, -k.fma(t, t, -square)));
        k.select(t.lt(1.0f64), small, k.copysign(x, large))
    }

    fn sigmoid<'k>(k: &'k Builder, x: Value<'k>) -> Value<'k> {
        k.rcp(exp_scaled(k, -x, None, 0) + 1.0f64)
    }

    fn gelu<'k>(k: &'k Builder, x: Value<'k>) -> Value<'k> {
        let size = at_most(k, k.abs(x), 40.0);
        let square = size * size;
        let lost = k.fma(size, size, -square);
        let t = size * std::f64::consts::FRAC_1_SQRT_2;
        let tail = erfc(k, t, square * -0.5f64, lost * -0.5f64);
        (x * 0.5f64) * k.select(x.lt(0.0f64), tail, k.sub(2.0f64, tail))
    }

    fn sin<'k>(k: &'k Builder, x: Value<'k>) -> Value<'k> {
        angle::sin(k, x)
    }

    fn cos<'k>(k: &'k Builder, x: Value<'k>) -> Value<'k> {
        angle::cos(k, x)
    }

    fn tan<'k>(k: &'k Builder, x: Value<'k>) -> Value<'k> {
        angle::tan(k, x)
    }

    fn asin<'k>(k: &'k Builder, x: Value<'k>) -> Value<'k> {
        arc::asin(k, x)
    }

    fn acos<'k>(k: &'k Builder, x: Value<'k>) -> Value<'k> {
        arc::acos(k, x)
    }

    fn atan<'k>(k: &'k Builder, x: Value<'k>) -> Value<'k> {
        arc::atan(k, x)
    }

    fn sinh<'k>(k: &'k Builder, x: Value<'k>) -> Value<'k> {
        let size = k.abs(x);
        let t = expm1(k, at_most(k, size, 1.0));
        let small = (t + t / (t + 1.0f64)) * 0.5f64;
        let half = exp_scaled(k, size, None, 1);
        let large = half - k.div(0.25f64, half);
        k.copysign(x, k.select(size.lt(1.0f64), small, large))
    }

    fn cosh<'k>(k: &'k Builder, x: Value<'k>) -> Value<'k> {
        let half = exp_scaled(k, k.abs(x), None, 1);
        half + k.div(0.25f64, half)
    }

    fn asinh<'k>(k: &'k Builder, x: Value<'k>) -> Value<'k> {
        let size = k.abs(x);
        let square = size * size;
        let near = size + square / (k.sqrt(square + 1.0f64) + 1.0f64);
        k.copysign(x, log_of_large(k, size, near))
    }

    fn acosh<'k>(k: &'k Builder, x: Value<'k>) -> Value<'k> {
        let t = x - 1.0f64;
        let near = t + k.sqrt(k.fma(t, t, t + t));
        k.select(x.ge(1.0f64), log_of_large(k, x, near), f64::NAN)
    }

    fn atanh<'k>(k: &'k Builder, x: Value<'k>) -> Value<'k> {
        let size = k.abs(x);
        let twice = size + size;
        let over = k.select(size.lt(0.5f64), twice * size, twice) / k.sub(1.0f64, size);
        let t = k.select(size.lt(0.5f64), twice + over, over);
        k.copysign(x, log1p(k, t) * 0.5f64)
    }

    fn pow<'k>(k: &'k Builder, x: Value<'k>, y: Value<'k>) -> Value<'k> {
        power::pow(k, x, y)
    }

    fn fmod<'k>(k: &'k Builder, x: Value<'k>, y: Value<'k>) -> Value<'k> {
        power::fmod(k, x, y)
    }
}

/// log(1 + near), or log(2 size) where squares of `size` would overflow.
fn log_of_large<'k>(k: &'k Builder, size: Value<'k>, near: Value<'k>) -> Value<'k> {
    let far = size.gt(268_435_456.0f64);
    let far_value = log(k, size) + LN2_HIGH;
    k.select(far, far_value, log1p(k, near))
}

/// 2^n, n from -1022 to 1023; infinity for 1024.
pub(super) fn power_of_two(n: Reg<'_, i32>) -> Value<'_> {
    ((n + 1023i32).to::<i64>() << 52u32).bits::<f64>()
}

/// e^x = 2^n (1 + less_one).
struct Power<'k> {
    n: Reg<'k, i32>,
    less_one: Value<'k>,
}

/// Of x + low, which is between -2^20 and 2^20; `low` is far smaller.
fn exp_parts<'k>(k: &'k Builder, x: Value<'k>, low: Option<Value<'k>>) -> Power<'k> {
    let shifted = k.fma(x, std::f64::consts::LOG2_E, ROUND);
    let whole = shifted - ROUND;
    let r = k.fma(whole, -LN2_HIGH, x);
    let r = k.fma(whole, -LN2_LOW, r);
    let r = low.map_or(r, |low| r + low);
    let mut factorial = 1.0;
    let mut taylor: Vec<f64> = (2..=13).map(|i| 1.0 / factorial_step(&mut factorial, i)).collect();
    taylor.reverse();
    let less_one = k.fma(polynomial(k, r, &taylor), r * r, r);
    Power { n: shifted.bits::<i64>().to::<i32>(), less_one }
}

fn factorial_step(factorial: &mut f64, i: i32) -> f64 {
    *factorial *= f64::from(i);
    *factorial
}

/// e^(x + low) / 2^down; `low` is far smaller than x.
pub(super) fn exp_scaled<'k>(k: &'k Builder, x: Value<'k>, low: Option<Value<'k>>, down: i32) -> Value<'k> {
    let x = at_least(k, at_most(k, x, 712.0), -746.0);
    let Power { n, less_one } = exp_parts(k, x, low);
    // In two steps, so that neither factor overflows or is subnormal.
    let n = n - down;
    let half = n >> 1u32;
    (less_one + 1.0f64) * power_of_two(half) * power_of_two(n - half)
}

/// x = 2^n m, m from sqrt(1/2) to sqrt(2), for x above 0.
pub(super) fn split<'k>(k: &'k Builder, x: Value<'k>) -> (Value<'k>, Reg<'k, i32>) {
    const HALF_ROOT: u64 = 0x3fe6_a09e_667f_3bcd;
    let tiny = x.lt(f64::MIN_POSITIVE);
    let bits = k.select(tiny, x * 18_014_398_509_481_984.0f64, x).bits::<u64>();
    let n = (bits - HALF_ROOT).bits::<i64>() >> 52u32;
    let m = (bits - (n.bits::<u64>() << 52u32)).bits::<f64>();
    (m, n.to::<i32>() - k.select(tiny, 54i32, 0i32))
}

/// log(2^n (1 + f)): the series of 2 atanh(f / (2 + f)).
fn log_of_parts<'k>(k: &'k Builder, f: Value<'k>, n: Value<'k>) -> Value<'k> {
    const LN2_CUT: f64 = 0.693_147_180_369_123_8;
    const LN2_REST: f64 = 1.908_214_929_270_587_7e-10;
    const SERIES: [f64; 7] = [
        0.147_981_986_051_165_86,
        0.153_138_376_992_093_73,
        0.181_835_721_616_180_5,
        0.222_221_984_321_497_84,
        0.285_714_287_436_623_9,
        0.399_999_999_994_094_2,
        0.666_666_666_666_673_5,
    ];
    let s = f / (f + 2.0f64);
    let z = s * s;
    let series = polynomial(k, z, &SERIES) * z;
    let half = f * f * 0.5f64;
    let low = k.fma(s, half + series, n * LN2_REST);
    k.fma(n, LN2_CUT, -((half - low) - f))
}

/// erf(x) / x of x^2, up to x = 1.
const ERF: [f64; 13] = [
    5.957_176_147_748_911e-11,
    -1.137_284_885_679_166_8e-9,
    1.465_977_527_404_743_6e-8,
    -1.635_031_270_105_469_5e-7,
    1.646_100_048_412_136_8e-6,
    -1.492_559_526_683_118_2e-5,
    0.000_120_553_311_116_427_1,
    -0.000_854_832_698_083_379,
    0.005_223_977_624_818_014_5,
    -0.026_866_170_645_076_792,
    0.112_837_916_709_548_79,
    -0.376_126_389_031_837_5,
    std::f64::consts::FRAC_2_SQRT_PI,
];

/// (1 + 2t) e^(t^2) erfc(t) of (t - 4) / (t + 4).
const ERFC: [f64; 23] = [
    -1.820_609_868_030_868_2e-9,
    -1.367_098_986_334_738_3e-8,
    -7.715_418_614_417_83e-9,
    1.153_494_374_575_415_7e-7,
    6.270_727_157_198_311e-8,
    -8.351_619_688_696_847e-7,
    3.013_504_994_487_539_7e-7,
    5.717_887_284_632_185_5e-6,
    -1.122_478_913_515_470_1e-5,
    -2.440_316_924_497_407_4e-5,
    0.000_150_622_243_948_303,
    -0.000_199_255_507_556_152,
    -0.000_757_773_341_413_33,
    0.005_031_969_755_895_426,
    -0.016_197_734_059_115_006,
    0.037_167_515_562_492_56,
    -0.066_330_365_811_529_39,
    0.093_732_834_996_794_12,
    -0.101_039_066_036_352_12,
    0.068_097_054_254_737_32,
    0.015_379_652_102_620_74,
    -0.139_621_116_840_562_8,
    1.232_995_118_625_552_6,
];

/// erfc(t) for t from 0 to 29, where -t^2 = `square` + `lost`.
fn erfc<'k>(k: &'k Builder, t: Value<'k>, square: Value<'k>, lost: Value<'k>) -> Value<'k> {
    let q = (t - 4.0f64) / (t + 4.0f64);
    let scaled = polynomial(k, q, &ERFC) / k.fma(t, 2.0f64, 1.0f64);
    exp_scaled(k, square, Some(lost), 0) * scaled
}
