//! The functions as formulas over registers, as the CPU has them.

use crate::kernels::gpu::math::{self as m, Math, half, of};
use crate::ops::elementwise::functions::*;
use crate::ptx::compare::Compares;
use crate::ptx::convert::Rounding;
use crate::ptx::floats::float;
use crate::ptx::integers::integer;
use crate::ptx::{Builder, Constant, Element, Has, Reg};

/// Floats of floats; p holds alpha and beta.
pub(super) fn floats<'k, T: Math>(
    k: &'k Builder,
    code: u32,
    x: &[Reg<'k, T>],
    p: [Reg<'k, T>; 2],
) -> Reg<'k, T> {
    let a = x[0];
    match code {
        ..=WEFT_EW_CLIP => several(k, code, x),
        WEFT_EW_SILU..=WEFT_EW_SHRINK => activations(k, code, a, p),
        _ => one(k, code, a),
    }
}

/// What is computed faster where the result has 16 bits.
pub(super) fn short<'k>(k: &'k Builder, code: u32, x: &[Reg<'k, f32>], p: [Reg<'k, f32>; 2]) -> Reg<'k, f32> {
    let a = x[0];
    match code {
        WEFT_EW_SIGMOID => half::sigmoid(k, a),
        WEFT_EW_SILU => half::silu(k, a, p[0]),
        WEFT_EW_GELU => half::gelu(k, a),
        WEFT_EW_GELU_TANH => half::gelu_tanh(k, a),
        WEFT_EW_SWIGLU => half::silu(k, a, k.var(1.0f32)) * x[1],
        WEFT_EW_GEGLU => half::gelu(k, a) * x[1],
        _ => half::gelu_tanh(k, a) * x[1],
    }
}

/// Functions of two or three.
fn several<'k, T: Math>(k: &'k Builder, code: u32, x: &[Reg<'k, T>]) -> Reg<'k, T> {
    let (a, b) = (x[0], x[1]);
    match code {
        WEFT_EW_ADD => a + b,
        WEFT_EW_SUB => a - b,
        WEFT_EW_MUL => a * b,
        WEFT_EW_DIV => a / b,
        WEFT_EW_MAX => m::larger(k, a, b),
        WEFT_EW_MIN => m::smaller(k, a, b),
        WEFT_EW_POW => m::pow(k, a, b),
        WEFT_EW_MOD => m::fmod(k, a, b),
        WEFT_EW_PRELU => below_zero(k, a, a * b),
        WEFT_EW_SWIGLU => m::silu(k, a) * b,
        WEFT_EW_GEGLU => m::gelu(k, a) * b,
        WEFT_EW_GEGLU_TANH => m::gelu_tanh(k, a) * b,
        WEFT_EW_REGLU => m::relu(k, a) * b,
        WEFT_EW_FMA => k.fma(a, b, x[2]),
        _ => m::smaller(k, m::larger(k, a, b), x[2]),
    }
}

/// Functions of one, without parameters.
fn one<'k, T: Math>(k: &'k Builder, code: u32, a: Reg<'k, T>) -> Reg<'k, T> {
    match code {
        WEFT_EW_NEG => -a,
        WEFT_EW_ABS => k.abs(a),
        WEFT_EW_SQRT => k.sqrt(a),
        WEFT_EW_RSQRT => k.rcp(k.sqrt(a)),
        WEFT_EW_RECIPROCAL => k.rcp(a),
        WEFT_EW_SQUARE => a * a,
        WEFT_EW_EXP => m::exp(k, a),
        WEFT_EW_LOG => m::log(k, a),
        WEFT_EW_TANH => m::tanh(k, a),
        WEFT_EW_ERF => m::erf(k, a),
        WEFT_EW_SIGMOID => m::sigmoid(k, a),
        WEFT_EW_RELU => m::relu(k, a),
        WEFT_EW_GELU => m::gelu(k, a),
        WEFT_EW_GELU_TANH => m::gelu_tanh(k, a),
        WEFT_EW_FLOOR => a.whole(Rounding::Down),
        WEFT_EW_CEIL => a.whole(Rounding::Up),
        WEFT_EW_ROUND => m::round(a),
        WEFT_EW_SIGN => sign(k, a),
        _ => angles(k, code, a),
    }
}

fn sign<'k, T: Math>(k: &'k Builder, a: Reg<'k, T>) -> Reg<'k, T> {
    let zero = of::<T>(0.0);
    k.select(a.gt(zero), of::<T>(1.0), k.select(a.lt(zero), of::<T>(-1.0), a))
}

fn angles<'k, T: Math>(k: &'k Builder, code: u32, a: Reg<'k, T>) -> Reg<'k, T> {
    match code {
        WEFT_EW_SIN => m::sin(k, a),
        WEFT_EW_COS => m::cos(k, a),
        WEFT_EW_TAN => m::tan(k, a),
        WEFT_EW_ASIN => m::asin(k, a),
        WEFT_EW_ACOS => m::acos(k, a),
        WEFT_EW_ATAN => m::atan(k, a),
        WEFT_EW_SINH => m::sinh(k, a),
        WEFT_EW_COSH => m::cosh(k, a),
        WEFT_EW_ASINH => m::asinh(k, a),
        WEFT_EW_ACOSH => m::acosh(k, a),
        _ => m::atanh(k, a),
    }
}

/// `value` where a < 0, else a.
fn below_zero<'k, T: Math>(k: &'k Builder, a: Reg<'k, T>, value: Reg<'k, T>) -> Reg<'k, T> {
    k.select(a.lt(of::<T>(0.0)), value, a)
}

/// Between 0 and 1.
fn unit<'k, T: Math>(k: &'k Builder, a: Reg<'k, T>) -> Reg<'k, T> {
    let low = k.select(a.lt(of::<T>(0.0)), of::<T>(0.0), a);
    k.select(low.gt(of::<T>(1.0)), of::<T>(1.0), low)
}

/// Activations with parameters, and those beside them.
fn activations<'k, T: Math>(
    k: &'k Builder,
    code: u32,
    a: Reg<'k, T>,
    [alpha, beta]: [Reg<'k, T>; 2],
) -> Reg<'k, T> {
    match code {
        WEFT_EW_SILU => a * m::sigmoid(k, alpha * a),
        WEFT_EW_SOFTPLUS => m::softplus(k, a),
        WEFT_EW_SOFTSIGN => a / (k.abs(a) + of::<T>(1.0)),
        WEFT_EW_MISH => m::mish(k, a),
        WEFT_EW_ELU => below_zero(k, a, alpha * m::expm1(k, a)),
        WEFT_EW_SELU => beta * below_zero(k, a, alpha * m::expm1(k, a)),
        WEFT_EW_CELU => below_zero(k, a, alpha * m::expm1(k, a / alpha)),
        WEFT_EW_LEAKY_RELU => below_zero(k, a, alpha * a),
        WEFT_EW_HARD_SIGMOID => unit(k, alpha * a + beta),
        WEFT_EW_HARD_SWISH => a * unit(k, a / of::<T>(6.0) + of::<T>(0.5)),
        WEFT_EW_THRESHOLDED_RELU => k.select(a.le(alpha), of::<T>(0.0), a),
        _ => {
            let middle = k.select(a.unordered(a), a, of::<T>(0.0));
            let right = k.select(a.gt(alpha), a - beta, middle);
            k.select(a.lt(-alpha), a + beta, right)
        }
    }
}

/// Conditions of one or two numbers.
pub(super) fn conditions<'k, T: Compares>(code: u32, x: &[Reg<'k, T>]) -> Reg<'k, bool> {
    let (a, b) = (x[0], x[1]);
    match code {
        WEFT_EW_EQUAL => a.eq(b),
        WEFT_EW_LESS => a.lt(b),
        WEFT_EW_GREATER => a.gt(b),
        WEFT_EW_LESS_EQUAL => a.le(b),
        _ => a.ge(b),
    }
}

/// Tests of one float.
pub(super) fn tests<'k, T: Math>(k: &'k Builder, code: u32, a: Reg<'k, T>) -> Reg<'k, bool> {
    match code {
        WEFT_EW_IS_NAN => a.unordered(a),
        _ => k.abs(a).eq(of::<T>(f64::INFINITY)),
    }
}

/// Truth values of truth values.
pub(super) fn truths<'k>(code: u32, x: &[Reg<'k, bool>]) -> Reg<'k, bool> {
    match code {
        WEFT_EW_AND => x[0] & x[1],
        WEFT_EW_OR => x[0] | x[1],
        WEFT_EW_XOR => x[0] ^ x[1],
        WEFT_EW_EQUAL => !(x[0] ^ x[1]),
        _ => !x[0],
    }
}

/// An integer type of registers.
pub(super) trait Integer:
    Element
    + Constant
    + Compares
    + Has<float::add>
    + Has<float::sub>
    + Has<float::mul>
    + Has<float::div>
    + Has<float::min>
    + Has<float::max>
    + Has<integer::mad>
    + Has<integer::rem>
{
    const ZERO: Self;
    const ONE: Self;
    /// -1, of signed types.
    const MINUS: Option<Self>;
}

macro_rules! integers {
    ($($type:ty: $minus:expr;)*) => {
        $(impl Integer for $type {
            const ZERO: Self = 0;
            const ONE: Self = 1;
            const MINUS: Option<Self> = $minus;
        })*
    };
}
integers! { i32: Some(-1); i64: Some(-1); u32: None; u64: None; }

/// Integers of integers.
pub(super) fn integers<'k, T: Integer>(k: &'k Builder, code: u32, x: &[Reg<'k, T>]) -> Reg<'k, T> {
    let a = x[0];
    match code {
        WEFT_EW_ADD => a + x[1],
        WEFT_EW_SUB => a - x[1],
        WEFT_EW_MUL => a * x[1],
        WEFT_EW_DIV | WEFT_EW_MOD => divide(k, code, a, x[1]),
        WEFT_EW_MAX => k.max(a, x[1]),
        WEFT_EW_MIN => k.min(a, x[1]),
        WEFT_EW_FMA => k.mad(a, x[1], x[2]),
        WEFT_EW_CLIP => k.min(k.max(a, x[1]), x[2]),
        WEFT_EW_NEG => k.sub(T::ZERO, a),
        WEFT_EW_ABS => k.select(a.lt(T::ZERO), k.sub(T::ZERO, a), a),
        WEFT_EW_SQUARE => a * a,
        WEFT_EW_RELU => k.max(a, T::ZERO),
        _ => signum(k, a),
    }
}

fn signum<'k, T: Integer>(k: &'k Builder, a: Reg<'k, T>) -> Reg<'k, T> {
    let positive = k.select(a.gt(T::ZERO), T::ONE, T::ZERO);
    match T::MINUS {
        Some(minus) => k.select(a.lt(T::ZERO), minus, positive),
        None => positive,
    }
}

/// Quotient or remainder: 0 by zero, wrapped by -1.
fn divide<'k, T: Integer>(k: &'k Builder, code: u32, a: Reg<'k, T>, b: Reg<'k, T>) -> Reg<'k, T> {
    let zero = b.eq(T::ZERO);
    let minus = T::MINUS.map(|minus| b.eq(minus));
    let odd = minus.map_or(zero, |minus| minus | zero);
    let by = k.select(odd, T::ONE, b);
    let remainder = code == WEFT_EW_MOD;
    let value = if remainder { a % by } else { a / by };
    let value = match minus {
        Some(minus) if !remainder => k.select(minus, k.sub(T::ZERO, a), value),
        _ => value,
    };
    k.select(zero, T::ZERO, value)
}
