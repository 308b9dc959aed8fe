//! The functions of floats, each as one formula, made into a loop over a chunk for each instruction set.

use super::chunk::{Chunk, Kernel};
use super::functions::*;
use super::real::Real;
use crate::for_each_isa;
use crate::kernels::angle;

/// A function from a number to the loop that computes it, or nothing. The first line names the operands, the
/// parameters and the type of the results.
macro_rules! formulas {
    ($(#[$attr:meta])* fn $name:ident($a:ident, $b:ident, $c:ident, $alpha:ident, $beta:ident) -> $Y:ty;
     $($function:ident => $value:expr;)*) => {
        $(#[$attr])*
        pub(super) fn $name<T: Real>(function: u32) -> Option<Kernel<T>> {
            Some(match function {
                $($function => {
                    for_each_isa! {
                        #[allow(unused_variables)]
                        fn run<T: Real>(chunk: &Chunk<T>) {
                            let ($alpha, $beta) = (T::of(chunk.alpha), T::of(chunk.beta));
                            let ([at_a, at_b, at_c], y) = (chunk.x, chunk.y.cast::<$Y>());
                            for i in 0..chunk.count {
                                // SAFETY: `Chunk` promises `count` elements at each pointer.
                                let ($a, $b, $c) = unsafe { (*at_a.add(i), *at_b.add(i), *at_c.add(i)) };
                                // SAFETY: as above.
                                unsafe { *y.add(i) = $value };
                            }
                        }
                    }
                    run::<T>
                })*
                _ => return None,
            })
        }
    };
}

formulas! {
    /// Floats of floats.
    fn values(a, b, c, alpha, beta) -> T;
    WEFT_EW_ADD => a + b;
    WEFT_EW_SUB => a - b;
    WEFT_EW_MUL => a * b;
    WEFT_EW_DIV => a / b;
    WEFT_EW_MAX => a.larger(b);
    WEFT_EW_MIN => a.smaller(b);
    WEFT_EW_POW => a.pow(b);
    WEFT_EW_MOD => a % b;
    WEFT_EW_PRELU => if a < T::of(0.0) { a * b } else { a };
    WEFT_EW_SWIGLU => a / (T::of(1.0) + (-a).exp()) * b;
    WEFT_EW_GEGLU => a.gelu() * b;
    WEFT_EW_GEGLU_TANH => a.gelu_tanh() * b;
    WEFT_EW_REGLU => a.relu() * b;
    WEFT_EW_FMA => a.fma(b, c);
    WEFT_EW_CLIP => a.larger(b).smaller(c);
    WEFT_EW_NEG => -a;
    WEFT_EW_ABS => a.abs();
    WEFT_EW_SQRT => a.sqrt();
    WEFT_EW_RSQRT => T::of(1.0) / a.sqrt();
    WEFT_EW_RECIPROCAL => T::of(1.0) / a;
    WEFT_EW_SQUARE => a * a;
    WEFT_EW_EXP => a.exp();
    WEFT_EW_LOG => a.log();
    WEFT_EW_SIN => a.sin();
    WEFT_EW_COS => a.cos();
    WEFT_EW_TAN => a.tan();
    WEFT_EW_ASIN => a.asin();
    WEFT_EW_ACOS => a.acos();
    WEFT_EW_ATAN => a.atan();
    WEFT_EW_SINH => a.sinh();
    WEFT_EW_COSH => a.cosh();
    WEFT_EW_TANH => a.tanh();
    WEFT_EW_ASINH => a.asinh();
    WEFT_EW_ACOSH => a.acosh();
    WEFT_EW_ATANH => a.atanh();
    WEFT_EW_ERF => a.erf();
    WEFT_EW_SIGMOID => a.sigmoid();
    WEFT_EW_RELU => a.relu();
    WEFT_EW_GELU => a.gelu();
    WEFT_EW_GELU_TANH => a.gelu_tanh();
    WEFT_EW_SILU => a / (T::of(1.0) + (-(alpha * a)).exp());
    WEFT_EW_SOFTPLUS => a.softplus();
    WEFT_EW_SOFTSIGN => a / (T::of(1.0) + a.abs());
    WEFT_EW_MISH => a * a.tanh_softplus();
    WEFT_EW_ELU => if a < T::of(0.0) { alpha * a.expm1() } else { a };
    WEFT_EW_SELU => beta * if a < T::of(0.0) { alpha * a.expm1() } else { a };
    WEFT_EW_CELU => if a < T::of(0.0) { alpha * (a / alpha).expm1() } else { a };
    WEFT_EW_LEAKY_RELU => if a < T::of(0.0) { alpha * a } else { a };
    WEFT_EW_HARD_SIGMOID => (alpha * a + beta).larger(T::of(0.0)).smaller(T::of(1.0));
    WEFT_EW_HARD_SWISH => a * (a / T::of(6.0) + T::of(0.5)).larger(T::of(0.0)).smaller(T::of(1.0));
    WEFT_EW_THRESHOLDED_RELU => if a <= alpha { T::of(0.0) } else { a };
    WEFT_EW_SHRINK => if a < -alpha { a + beta } else if a > alpha { a - beta } else if a.is_nan() { a } else { T::of(0.0) };
    WEFT_EW_FLOOR => a.floor();
    WEFT_EW_CEIL => a.ceil();
    WEFT_EW_ROUND => a.round();
    WEFT_EW_SIGN => if a > T::of(0.0) { T::of(1.0) } else if a < T::of(0.0) { T::of(-1.0) } else { a };
}

formulas! {
    /// Conditions of floats.
    fn conditions(a, b, c, alpha, beta) -> bool;
    WEFT_EW_EQUAL => a == b;
    WEFT_EW_LESS => a < b;
    WEFT_EW_GREATER => a > b;
    WEFT_EW_LESS_EQUAL => a <= b;
    WEFT_EW_GREATER_EQUAL => a >= b;
    WEFT_EW_IS_NAN => a.is_nan();
    WEFT_EW_IS_INF => a.abs() == T::of(f64::INFINITY);
}

for_each_isa! {
    /// Sines or cosines; whether some angle is far, and its result wrong.
    fn near(chunk: &Chunk<f32>, cosine: bool) -> bool {
        let mut far = false;
        for i in 0..chunk.count {
            // SAFETY: `Chunk` promises `count` elements at each pointer.
            unsafe {
                let angle = f64::from(*chunk.x[0].add(i));
                far |= angle::far(angle);
                let (sin, cos) = angle::sin_cos(angle);
                *chunk.y.add(i) = if cosine { cos } else { sin };
            }
        }
        far
    }
}

fn wave(chunk: &Chunk<f32>, cosine: bool) {
    if !near(chunk, cosine) {
        return;
    }
    for i in 0..chunk.count {
        // SAFETY: `Chunk` promises `count` elements at each pointer, and that y shares none of them with x.
        unsafe {
            let (sin, cos) = angle::sin_cos_any(f64::from(*chunk.x[0].add(i)));
            *chunk.y.add(i) = if cosine { cos } else { sin };
        }
    }
}

/// Sine and cosine of f32.
pub(super) fn waves(function: u32) -> Option<Kernel<f32>> {
    match function {
        WEFT_EW_SIN => Some(|chunk| wave(chunk, false)),
        WEFT_EW_COS => Some(|chunk| wave(chunk, true)),
        _ => None,
    }
}
