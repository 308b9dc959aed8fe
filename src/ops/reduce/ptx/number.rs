//! What reductions are computed in on a GPU, and how the elements of each dtype become it: the larger or smaller of narrow
//! floats in f32, all other floats in f64, integers in 64 bits.

use super::state::{Fold, tree};
use crate::dtype::Dtype::{self, *};
use crate::dtype::f16;
use crate::kernels::gpu::Raw;
use crate::ops::reduce::*;
use crate::ptx::{Builder, Constant, Element, Reg};

/// A running value.
pub trait Number: Element + Constant {
    /// The element, exactly but for 64-bit integers as f64.
    fn of<'k>(k: &'k Builder, dtype: Dtype, raw: Raw<'k>) -> Reg<'k, Self>;
    /// Of no elements.
    fn start(function: u32) -> Self;
    /// What is added for an element `x`.
    fn term<'k>(k: &'k Builder, function: u32, x: Reg<'k, Self>) -> Reg<'k, Self>;
    /// Of two parts.
    fn join<'k>(k: &'k Builder, function: u32, a: Reg<'k, Self>, b: Reg<'k, Self>) -> Reg<'k, Self>;
    /// What is added for elements that are summed in f32 first.
    fn bundle<'k>(k: &'k Builder, fold: Fold, elements: &[Raw<'k>]) -> Option<Reg<'k, Self>> {
        let _ = (k, fold, elements);
        None
    }
    /// As i64: integers wrapped, floats cut.
    fn whole<'k>(x: Reg<'k, Self>) -> Reg<'k, i64>;
    /// In f64.
    fn wide<'k>(x: Reg<'k, Self>) -> Reg<'k, f64>;
}

/// A narrow float, exactly.
fn narrow<'k>(dtype: Dtype, raw: Raw<'k>) -> Reg<'k, f32> {
    match dtype {
        F16 => raw.word().to::<u16>().bits::<f16>().to::<f32>(),
        Bf16 => (raw.word() << 16u32).bits(),
        _ => raw.word().bits(),
    }
}

/// An integer of at most 63 bits or i64.
fn whole<'k>(k: &'k Builder, dtype: Dtype, raw: Raw<'k>) -> Reg<'k, i64> {
    match dtype {
        Bool => k.select(raw.word().ne(0u32), 1i64, 0i64),
        I8 => k.bfe(raw.word().bits::<i32>(), 0u32, 8u32).to::<i64>(),
        I16 => k.bfe(raw.word().bits::<i32>(), 0u32, 16u32).to::<i64>(),
        I32 => raw.word().bits::<i32>().to::<i64>(),
        _ => raw.wide().bits(),
    }
}

/// Bundles are sums of numbers so much smaller, exactly, that they stay inside f32.
const SMALLER: f32 = 1.0 / 16.0;

/// The sum of up to 8 narrow floats, times SMALLER: a rounding a pair of sums.
fn few<'k>(k: &'k Builder, values: &[Reg<'k, f32>]) -> Reg<'k, f32> {
    let pairs = values.chunks(2).map(|pair| match *pair {
        [a, b] => k.fma(a, SMALLER, b * SMALLER),
        _ => pair[0] * SMALLER,
    });
    tree(pairs.collect(), |a, b| a + b)
}

impl Number for f32 {
    fn of<'k>(_: &'k Builder, dtype: Dtype, raw: Raw<'k>) -> Reg<'k, f32> {
        narrow(dtype, raw)
    }
    fn start(function: u32) -> f32 {
        if function == WEFT_REDUCE_MIN { f32::INFINITY } else { f32::NEG_INFINITY }
    }
    fn term<'k>(_: &'k Builder, _: u32, x: Reg<'k, f32>) -> Reg<'k, f32> {
        x
    }
    fn join<'k>(k: &'k Builder, function: u32, a: Reg<'k, f32>, b: Reg<'k, f32>) -> Reg<'k, f32> {
        if function == WEFT_REDUCE_MIN { k.min_nan(a, b) } else { k.max_nan(a, b) }
    }
    fn whole<'k>(x: Reg<'k, f32>) -> Reg<'k, i64> {
        x.to()
    }
    fn wide<'k>(x: Reg<'k, f32>) -> Reg<'k, f64> {
        x.to()
    }
}

impl Number for f64 {
    fn of<'k>(k: &'k Builder, dtype: Dtype, raw: Raw<'k>) -> Reg<'k, f64> {
        match dtype {
            F64 => raw.wide().bits(),
            F32 | F16 | Bf16 => narrow(dtype, raw).to(),
            U64 => raw.wide().to(),
            _ => whole(k, dtype, raw).to(),
        }
    }
    fn start(function: u32) -> f64 {
        match function {
            WEFT_REDUCE_MAX | WEFT_REDUCE_LOG_SUM_EXP => f64::NEG_INFINITY,
            WEFT_REDUCE_MIN => f64::INFINITY,
            WEFT_REDUCE_PROD => 1.0,
            _ => 0.0,
        }
    }
    fn term<'k>(k: &'k Builder, function: u32, x: Reg<'k, f64>) -> Reg<'k, f64> {
        match function {
            WEFT_REDUCE_L1 => k.abs(x),
            WEFT_REDUCE_L2 | WEFT_REDUCE_SUM_SQUARE => x * x,
            _ => x,
        }
    }
    fn join<'k>(k: &'k Builder, function: u32, a: Reg<'k, f64>, b: Reg<'k, f64>) -> Reg<'k, f64> {
        match function {
            // A NaN on either side stays.
            WEFT_REDUCE_MAX | WEFT_REDUCE_LOG_SUM_EXP => k.select(b.gt(a) | b.unordered(b), b, a),
            WEFT_REDUCE_MIN => k.select(b.lt(a) | b.unordered(b), b, a),
            WEFT_REDUCE_PROD => a * b,
            _ => a + b,
        }
    }
    fn bundle<'k>(k: &'k Builder, fold: Fold, elements: &[Raw<'k>]) -> Option<Reg<'k, f64>> {
        let values = elements.iter().map(|&raw| narrow(fold.dtype, raw));
        let values: Vec<_> =
            values.map(|x| if fold.function == WEFT_REDUCE_L1 { k.abs(x) } else { x }).collect();
        fold.is_bundled().then(|| few(k, &values).to::<f64>() * (1.0 / SMALLER as f64))
    }
    fn whole<'k>(x: Reg<'k, f64>) -> Reg<'k, i64> {
        x.to()
    }
    fn wide<'k>(x: Reg<'k, f64>) -> Reg<'k, f64> {
        x
    }
}

macro_rules! wholes {
    ($($ty:ty: $of:expr, $magnitude:expr;)*) => {$(
        impl Number for $ty {
            fn of<'k>(k: &'k Builder, dtype: Dtype, raw: Raw<'k>) -> Reg<'k, $ty> {
                $of(k, dtype, raw)
            }
            fn start(function: u32) -> $ty {
                match function {
                    WEFT_REDUCE_MAX => <$ty>::MIN,
                    WEFT_REDUCE_MIN => <$ty>::MAX,
                    WEFT_REDUCE_PROD => 1,
                    _ => 0,
                }
            }
            fn term<'k>(k: &'k Builder, function: u32, x: Reg<'k, $ty>) -> Reg<'k, $ty> {
                match function {
                    WEFT_REDUCE_L1 => $magnitude(k, x),
                    WEFT_REDUCE_SUM_SQUARE => x * x,
                    _ => x,
                }
            }
            fn join<'k>(k: &'k Builder, function: u32, a: Reg<'k, $ty>, b: Reg<'k, $ty>) -> Reg<'k, $ty> {
                match function {
                    WEFT_REDUCE_MAX => k.max(a, b),
                    WEFT_REDUCE_MIN => k.min(a, b),
                    WEFT_REDUCE_PROD => a * b,
                    _ => a + b,
                }
            }
            fn whole<'k>(x: Reg<'k, $ty>) -> Reg<'k, i64> {
                x.bits()
            }
            fn wide<'k>(x: Reg<'k, $ty>) -> Reg<'k, f64> {
                x.to()
            }
        }
    )*};
}
wholes! {
    i64: whole, |k: &'k Builder, x| k.abs(x);
    u64: |_, _, raw: Raw<'k>| raw.wide(), |_, x| x;
}

/// Runs `$body` with `$A` bound to what `$fold` is computed in.
macro_rules! with_number {
    ($fold:expr, $A:ident => $body:expr) => {
        match $fold.number() {
            F32 => {
                type $A = f32;
                $body
            }
            F64 => {
                type $A = f64;
                $body
            }
            U64 => {
                type $A = u64;
                $body
            }
            _ => {
                type $A = i64;
                $body
            }
        }
    };
}
pub(in crate::ops::reduce) use with_number;
