//! Functions of f32. e^x is the hardware's 2^t, which is within 2 units in the last place, times what t = x log2(e) lost in
//! rounding; the polynomials are those of `kernels::math`, with fused steps.

use super::{Math, angle, arc, exp, log_of_sum, polynomial, power};
use crate::ptx::{Builder, Reg};

const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// What LOG2_E lacks.
const LOG2_E_LOW: f32 = 1.925_963e-8;
const LN2: f32 = std::f32::consts::LN_2;
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;

type Value<'k> = Reg<'k, f32>;

macro_rules! through_double {
    ($($name:ident: $function:path;)*) => {$(
        fn $name<'k>(k: &'k Builder, x: Value<'k>) -> Value<'k> {
            $function(k, x.to::<f64>()).to::<f32>()
        }
    )*};
}

impl Math for f32 {
    fn exp<'k>(k: &'k Builder, x: Value<'k>) -> Value<'k> {
        let x = k.max_nan(k.min_nan(x, 89.0f32), -104.0f32);
        exp_of_sum(k, x, None)
    }

    fn expm1<'k>(k: &'k Builder, x: Value<'k>) -> Value<'k> {
        const P: [f64; 6] =
            [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
        let small = k.fma(polynomial(k, x, &P), x * x, x);
        k.select(k.abs(x).lt(0.34f32), small, exp(k, x) - 1.0f32)
    }

    fn log<'k>(k: &'k Builder, x: Value<'k>) -> Value<'k> {
        const HALF_ROOT: u32 = 0x3f35_04f3;
        let tiny = x.lt(f32::MIN_POSITIVE);
        let bits = k.select(tiny, x * 8_388_608.0f32, x).bits::<u32>();
        // x = 2^n (1 + f), 1 + f from sqrt(1/2) to sqrt(2).
        let shift = (bits - HALF_ROOT).bits::<i32>() >> 23u32;
        let f = (bits - (shift.bits::<u32>() << 23u32)).bits::<f32>() - 1.0f32;
        let n = (shift - k.select(tiny, 23i32, 0i32)).to::<f32>();
        let value = log_of_parts(k, f, n);
        let value = k.select(x.eq(0.0f32), f32::NEG_INFINITY, value);
        let value = k.select(x.eq(f32::INFINITY), x, value);
        k.select(x.ge(0.0f32), value, f32::NAN)
    }

    fn log1p<'k>(k: &'k Builder, x: Value<'k>) -> Value<'k> {
        log_of_sum(k, x)
    }

    fn tanh<'k>(k: &'k Builder, x: Value<'k>) -> Value<'k> {
        const P: [f64; 5] = [-5.704_988_7e-3, 2.063_909e-2, -5.373_971_5e-2, 1.333_144_2e-1, -3.333_328e-1];
        let square = x * x;
        let small = k.fma(polynomial(k, square, &P) * square, x, x);
        let size = k.abs(x);
        let grown = exp(k, size + size) + 1.0f32;
        let large = k.fma(k.rcp_ftz(grown), -2.0f32, 1.0f32);
        k.select(size.lt(0.625f32), small, k.copysign(x, large))
    }

    fn erf<'k>(k: &'k Builder, x: Value<'k>) -> Value<'k> {
        const P: [f64; 7] = [
            7.853_858e-5,
            -8.010_193e-4,
            5.188_328e-3,
            -2.685_381_3e-2,
            0.112_835_854,
            -0.376_126_26,
            std::f64::consts::FRAC_2_SQRT_PI,
        ];
        let small = polynomial(k, x * x, &P) * x;
        let t = k.min_nan(k.abs(x), 12.0f32);
        let square = t * t;
        let large = k.sub(1.0f32, erfc(k, t, -square, -k.fma(t, t, -square)));
        k.select(t.lt(1.0f32), small, k.copysign(x, large))
    }

    fn sigmoid<'k>(k: &'k Builder, x: Value<'k>) -> Value<'k> {
        // By e^-|x|, so that the reciprocal, which flushes what is subnormal, is of a number from 1 to 2.
        let e = exp(k, -k.abs(x));
        k.select(x.lt(0.0f32), e, 1.0f32) * k.rcp_ftz(e + 1.0f32)
    }

    fn gelu<'k>(k: &'k Builder, x: Value<'k>) -> Value<'k> {
        let size = k.min_nan(k.abs(x), 16.0f32);
        let square = size * size;
        let lost = k.fma(size, size, -square);
        let t = size * std::f32::consts::FRAC_1_SQRT_2;
        let tail = erfc(k, t, square * -0.5f32, lost * -0.5f32);
        (x * 0.5f32) * k.select(x.lt(0.0f32), tail, k.sub(2.0f32, tail))
    }

    fn sin<'k>(k: &'k Builder, x: Value<'k>) -> Value<'k> {
        angle::single(k, x, false)
    }

    fn cos<'k>(k: &'k Builder, x: Value<'k>) -> Value<'k> {
        angle::single(k, x, true)
    }

    through_double! {
        tan: angle::tan;
        asin: arc::asin;
        acos: arc::acos;
        atan: arc::atan;
        sinh: super::sinh;
        cosh: super::cosh;
        asinh: super::asinh;
        acosh: super::acosh;
        atanh: super::atanh;
    }

    fn pow<'k>(k: &'k Builder, x: Value<'k>, y: Value<'k>) -> Value<'k> {
        power::pow_near(k, x.to::<f64>(), y.to::<f64>()).to::<f32>()
    }

    fn fmod<'k>(k: &'k Builder, x: Value<'k>, y: Value<'k>) -> Value<'k> {
        power::fmod(k, x.to::<f64>(), y.to::<f64>()).to::<f32>()
    }
}

/// e^(x + low), x between -200 and 90, `low` far smaller.
fn exp_of_sum<'k>(k: &'k Builder, x: Value<'k>, low: Option<Value<'k>>) -> Value<'k> {
    let t = x * LOG2_E;
    let lost = k.fma(x, LOG2_E, -t);
    let lost = k.fma(x, LOG2_E_LOW, lost);
    let lost = low.map_or(lost, |low| k.fma(low, LOG2_E, lost));
    // Two products, so that infinity stays.
    k.ex2(t) * k.fma(lost, LN2, 1.0f32)
}

/// log(2^n (1 + f)): the series of 2 atanh(f / (2 + f)), arranged as in fdlibm.
fn log_of_parts<'k>(k: &'k Builder, f: Value<'k>, n: Value<'k>) -> Value<'k> {
    let s = f / (f + 2.0f32);
    let z = s * s;
    let series = polynomial(k, z, &[0.222_222_2, 0.285_714_3, 0.4, 0.666_666_7]) * z;
    let half = f * f * 0.5f32;
    let low = k.fma(s, half + series, n * LN2_LOW);
    k.fma(n, LN2_HIGH, -((half - low) - f))
}

/// erfc(t) for t from 0 to 12, where -t^2 = `square` + `lost`.
fn erfc<'k>(k: &'k Builder, t: Value<'k>, square: Value<'k>, lost: Value<'k>) -> Value<'k> {
    const P: [f64; 10] = [
        -0.029_206_121,
        0.195_904_55,
        -0.493_852_53,
        0.540_822_1,
        -0.278_866_68,
        0.269_114_52,
        0.130_699_68,
        0.214_700_62,
        0.224_978_3,
        0.225_705_56,
    ];
    let u = k.rcp_ftz(k.fma(t, 0.4f32, 1.0f32));
    exp_of_sum(k, square, Some(lost)) * (polynomial(k, u, &P) * u)
}
