//! The elementwise functions as formulas of f64 and of wide integers.

use weft::dtype::Dtype::{self, *};
use weft::ops::elementwise::*;

fn floor_zero(x: f64) -> f64 {
    if x < 0.0 { 0.0 } else { x }
}

fn unit_clamp(x: f64) -> f64 {
    if x > 1.0 { 1.0 } else { floor_zero(x) }
}

fn gelu(x: f64) -> f64 {
    0.5 * x * libm::erfc(-x / 2f64.sqrt())
}

fn gelu_tanh(x: f64) -> f64 {
    // As x / (1 + e^-2u): 1 + tanh(u) has no digits left on the left.
    x / (1.0 + (-(8.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).exp())
}

fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

fn softplus(x: f64) -> f64 {
    floor_zero(x) + (-x.abs()).exp().ln_1p()
}

pub fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

fn smaller(a: f64, b: f64) -> f64 {
    -larger(-a, -b)
}

pub fn truth(x: bool) -> f64 {
    f64::from(u8::from(x))
}

/// The function at one element; p holds alpha and beta.
pub fn float(function: u32, [a, b, c]: [f64; 3], p: [f64; 2]) -> f64 {
    let negative = |value: f64| if a < 0.0 { value } else { a };
    match function {
        WEFT_EW_ADD => a + b,
        WEFT_EW_SUB => a - b,
        WEFT_EW_MUL => a * b,
        WEFT_EW_DIV => a / b,
        WEFT_EW_MAX => larger(a, b),
        WEFT_EW_MIN => smaller(a, b),
        WEFT_EW_POW => a.powf(b),
        WEFT_EW_MOD => a % b,
        WEFT_EW_PRELU => negative(a * b),
        WEFT_EW_EQUAL => truth(a == b),
        WEFT_EW_LESS => truth(a < b),
        WEFT_EW_GREATER => truth(a > b),
        WEFT_EW_LESS_EQUAL => truth(a <= b),
        WEFT_EW_GREATER_EQUAL => truth(a >= b),
        WEFT_EW_SWIGLU => silu(a) * b,
        WEFT_EW_GEGLU => gelu(a) * b,
        WEFT_EW_GEGLU_TANH => gelu_tanh(a) * b,
        WEFT_EW_REGLU => floor_zero(a) * b,
        WEFT_EW_FMA => a.mul_add(b, c),
        WEFT_EW_CLIP => smaller(larger(a, b), c),
        WEFT_EW_NEG => -a,
        WEFT_EW_ABS => a.abs(),
        WEFT_EW_SQRT => a.sqrt(),
        WEFT_EW_RSQRT => 1.0 / a.sqrt(),
        WEFT_EW_RECIPROCAL => 1.0 / a,
        WEFT_EW_SQUARE => a * a,
        WEFT_EW_EXP => a.exp(),
        WEFT_EW_LOG => a.ln(),
        WEFT_EW_SIN => a.sin(),
        WEFT_EW_COS => a.cos(),
        WEFT_EW_TAN => a.tan(),
        WEFT_EW_ASIN => a.asin(),
        WEFT_EW_ACOS => a.acos(),
        WEFT_EW_ATAN => a.atan(),
        WEFT_EW_SINH => a.sinh(),
        WEFT_EW_COSH => a.cosh(),
        WEFT_EW_TANH => a.tanh(),
        WEFT_EW_ASINH => libm::asinh(a),
        WEFT_EW_ACOSH if a < 1.0 => f64::NAN,
        WEFT_EW_ACOSH => libm::acosh(a),
        WEFT_EW_ATANH => libm::atanh(a),
        WEFT_EW_ERF => libm::erf(a),
        WEFT_EW_SIGMOID => 1.0 / (1.0 + (-a).exp()),
        WEFT_EW_RELU => floor_zero(a),
        WEFT_EW_GELU => gelu(a),
        WEFT_EW_GELU_TANH => gelu_tanh(a),
        WEFT_EW_SILU => a / (1.0 + (-p[0] * a).exp()),
        WEFT_EW_SOFTPLUS => softplus(a),
        WEFT_EW_SOFTSIGN => a / (1.0 + a.abs()),
        WEFT_EW_MISH => a * softplus(a).tanh(),
        WEFT_EW_ELU => negative(p[0] * a.exp_m1()),
        WEFT_EW_SELU => p[1] * negative(p[0] * a.exp_m1()),
        WEFT_EW_CELU => negative(p[0] * (a / p[0]).exp_m1()),
        WEFT_EW_LEAKY_RELU => negative(p[0] * a),
        WEFT_EW_HARD_SIGMOID => unit_clamp(p[0] * a + p[1]),
        WEFT_EW_HARD_SWISH => a * unit_clamp(a / 6.0 + 0.5),
        WEFT_EW_THRESHOLDED_RELU => {
            if a <= p[0] {
                0.0
            } else {
                a
            }
        }
        WEFT_EW_SHRINK if a < -p[0] => a + p[1],
        WEFT_EW_SHRINK if a > p[0] => a - p[1],
        WEFT_EW_SHRINK => {
            if a.is_nan() {
                a
            } else {
                0.0
            }
        }
        WEFT_EW_FLOOR => a.floor(),
        WEFT_EW_CEIL => a.ceil(),
        WEFT_EW_ROUND => a.round_ties_even(),
        WEFT_EW_SIGN => {
            if a > 0.0 {
                1.0
            } else if a < 0.0 {
                -1.0
            } else {
                a
            }
        }
        WEFT_EW_IS_NAN => truth(a.is_nan()),
        WEFT_EW_IS_INF => truth(a.is_infinite()),
        _ => panic!("no oracle for {function}"),
    }
}

/// Of integers, exact; the caller wraps.
pub fn integer(function: u32, [a, b, c]: [i128; 3]) -> i128 {
    match function {
        WEFT_EW_ADD => a + b,
        WEFT_EW_SUB => a - b,
        WEFT_EW_MUL => a * b,
        WEFT_EW_DIV => {
            if b == 0 {
                0
            } else {
                a / b
            }
        }
        WEFT_EW_MOD => {
            if b == 0 {
                0
            } else {
                a % b
            }
        }
        WEFT_EW_MAX => a.max(b),
        WEFT_EW_MIN => a.min(b),
        WEFT_EW_EQUAL => i128::from(a == b),
        WEFT_EW_LESS => i128::from(a < b),
        WEFT_EW_GREATER => i128::from(a > b),
        WEFT_EW_LESS_EQUAL => i128::from(a <= b),
        WEFT_EW_GREATER_EQUAL => i128::from(a >= b),
        WEFT_EW_FMA => a * b + c,
        WEFT_EW_CLIP => a.max(b).min(c),
        WEFT_EW_NEG => -a,
        WEFT_EW_ABS => a.abs(),
        WEFT_EW_SQUARE => a * a,
        WEFT_EW_RELU => a.max(0),
        WEFT_EW_SIGN => a.signum(),
        _ => panic!("no oracle for {function}"),
    }
}

pub fn wrap(dtype: Dtype, x: i128) -> f64 {
    match dtype {
        I8 => f64::from(x as i8),
        I16 => f64::from(x as i16),
        I32 => f64::from(x as i32),
        I64 => x as i64 as f64,
        U8 => f64::from(x as u8),
        U16 => f64::from(x as u16),
        U32 => f64::from(x as u32),
        U64 => x as u64 as f64,
        _ => x as f64,
    }
}
