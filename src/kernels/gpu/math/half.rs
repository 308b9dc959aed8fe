//! Functions whose results are rounded to f16 or bf16, computed in f32 within 5e-6 of the value, relative (1e-5 where it is below
//! 1e-30): 20 instructions at the most, for memory-bound kernels leave no room for more.
//!
//! 2^t comes from t rounded once, which is what the error is made of: half an ulp of |t| up to 140 is 2^-18. What is subnormal is
//! kept, though the instructions take it for zero: exponentials are computed 2^12 or 2^16 times too large or too small, and the
//! argument, exactly, as much smaller.

use crate::ptx::{Builder, Reg};

type Value<'k> = Reg<'k, f32>;

const LOG2_E: f32 = std::f32::consts::LOG2_E;

/// 2^16 / (1 + 2^t), where `shifted` = t - 16.
fn logistic<'k>(k: &'k Builder, shifted: Value<'k>) -> Value<'k> {
    const SMALL: f32 = 1.0 / 65536.0;
    k.rcp_ftz(k.ex2_ftz(shifted) + SMALL)
}

/// 1 / (1 + e^-x).
pub fn sigmoid<'k>(k: &'k Builder, x: Value<'k>) -> Value<'k> {
    logistic(k, k.fma(x, -LOG2_E, -16.0f32)) * (1.0f32 / 65536.0)
}

/// x / (1 + 2^(x `factor`)).
pub fn gated<'k>(k: &'k Builder, x: Value<'k>, factor: Value<'k>) -> Value<'k> {
    (x * (1.0f32 / 65536.0)) * logistic(k, k.fma(x, factor, -16.0f32))
}

/// x / (1 + e^(-alpha x)).
pub fn silu<'k>(k: &'k Builder, x: Value<'k>, alpha: Value<'k>) -> Value<'k> {
    gated(k, x, alpha * -LOG2_E)
}

/// x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), as x / (1 + e^-2u).
pub fn gelu_tanh<'k>(k: &'k Builder, x: Value<'k>) -> Value<'k> {
    const LINEAR: f64 = -2.0 * 0.797_884_560_802_865_4 * std::f64::consts::LOG2_E;
    let factor = k.fma(x * x, (LINEAR * 0.044_715) as f32, LINEAR as f32);
    gated(k, x, factor)
}

/// x/2 (1 + erf(x / sqrt 2)): x q for x below 0 and x (1 - q) above, q = erfc(|x| / sqrt 2) / 2 being e^(-x^2 / 2) times a
/// polynomial in u = 1 / (|x| + 3.8), interpolated to 5e-7 up to 4.2 and 2e-6 up to 14, beyond which q is 0. Its leading
/// coefficient, -803, is part of the exponential.
pub fn gelu<'k>(k: &'k Builder, x: Value<'k>) -> Value<'k> {
    const LEADING: f32 = 9.649_329; // its logarithm to base 2
    let e = k.ex2_ftz(k.fma(x * x, -0.5 * LOG2_E, LEADING));
    let u = k.rcp_ftz(k.abs(x) + 3.8f32);
    let sum = TAIL[1..].iter().fold(u + TAIL[0], |sum, &coefficient| k.fma(sum, u, coefficient));
    // -q, or 1 - q.
    let rest = k.fma(e, sum * u, k.above(x, 0.0f32));
    x * k.abs(rest)
}

/// What the polynomial's other coefficients are of the leading one, the highest power's first.
const TAIL: [f32; 6] =
    [-0.783_742_7, 0.081_607_71, -0.039_553_974, -0.005_401_426_5, -0.001_935_801_6, -0.000_496_050_05];
