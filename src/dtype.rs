//! Element types: their numbers in C, their sizes, and the Rust types that hold them.

use crate::ensure;
use crate::status::Result;
pub use half::{bf16, f16};
use std::fmt::Display;

/// IEEE 754 binary32.
pub const WEFT_F32: u32 = 1;
/// IEEE 754 binary64.
pub const WEFT_F64: u32 = 2;
/// IEEE 754 binary16.
pub const WEFT_F16: u32 = 3;
/// bfloat16: the upper half of a binary32.
pub const WEFT_BF16: u32 = 4;
/// 8-bit float, 4 exponent and 3 mantissa bits, no infinities (OCP FP8 E4M3, "e4m3fn").
pub const WEFT_F8_E4M3: u32 = 5;
/// 8-bit float, 5 exponent and 2 mantissa bits (OCP FP8 E5M2).
pub const WEFT_F8_E5M2: u32 = 6;
/// Signed 8-bit integer.
pub const WEFT_I8: u32 = 7;
/// Signed 16-bit integer.
pub const WEFT_I16: u32 = 8;
/// Signed 32-bit integer.
pub const WEFT_I32: u32 = 9;
/// Signed 64-bit integer.
pub const WEFT_I64: u32 = 10;
/// Unsigned 8-bit integer.
pub const WEFT_U8: u32 = 11;
/// Unsigned 16-bit integer.
pub const WEFT_U16: u32 = 12;
/// Unsigned 32-bit integer.
pub const WEFT_U32: u32 = 13;
/// Unsigned 64-bit integer.
pub const WEFT_U64: u32 = 14;
/// One byte, 0 false, anything else true.
pub const WEFT_BOOL: u32 = 15;
/// Complex number of two binary32, real part first.
pub const WEFT_C32: u32 = 16;
/// Complex number of two binary64, real part first.
pub const WEFT_C64: u32 = 17;
/// Blocks of 32 elements in 34 bytes, as GGUF's Q8_0: a WEFT_F16 scale, then signed bytes that it multiplies. This and the
/// block types that follow are for the weights of weft_matmul alone; see weft_tensor.
pub const WEFT_Q8_0: u32 = 18;
/// Blocks of 32 elements in 18 bytes, as GGUF's Q4_0: a WEFT_F16 scale d, then 16 bytes whose low halves q are the first 16
/// elements, d (q - 8), and whose high halves are the others.
pub const WEFT_Q4_0: u32 = 19;
/// Blocks of 32 elements in 20 bytes, as GGUF's Q4_1: a WEFT_F16 scale d and offset m, then as WEFT_Q4_0, but d q + m.
pub const WEFT_Q4_1: u32 = 20;
/// Blocks of 256 elements in 144 bytes, as GGUF's Q4_K: 8 times 32 elements of 4 bits, with scales and offsets of 6 bits.
pub const WEFT_Q4_K: u32 = 21;
/// Blocks of 256 elements in 210 bytes, as GGUF's Q6_K: 16 times 16 elements of 6 bits, with scales of 8 bits.
pub const WEFT_Q6_K: u32 = 22;

/// An element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Dtype {
    F32,
    F64,
    F16,
    Bf16,
    F8E4m3,
    F8E5m2,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    Bool,
    C32,
    C64,
    Q8_0,
    Q4_0,
    Q4_1,
    Q4K,
    Q6K,
}

use Dtype::*;

/// Number, type, size in bytes (of a block, where elements lie in blocks), name.
const DTYPES: &[(u32, Dtype, usize, &str)] = &[
    (WEFT_F32, F32, 4, "WEFT_F32"),
    (WEFT_F64, F64, 8, "WEFT_F64"),
    (WEFT_F16, F16, 2, "WEFT_F16"),
    (WEFT_BF16, Bf16, 2, "WEFT_BF16"),
    (WEFT_F8_E4M3, F8E4m3, 1, "WEFT_F8_E4M3"),
    (WEFT_F8_E5M2, F8E5m2, 1, "WEFT_F8_E5M2"),
    (WEFT_I8, I8, 1, "WEFT_I8"),
    (WEFT_I16, I16, 2, "WEFT_I16"),
    (WEFT_I32, I32, 4, "WEFT_I32"),
    (WEFT_I64, I64, 8, "WEFT_I64"),
    (WEFT_U8, U8, 1, "WEFT_U8"),
    (WEFT_U16, U16, 2, "WEFT_U16"),
    (WEFT_U32, U32, 4, "WEFT_U32"),
    (WEFT_U64, U64, 8, "WEFT_U64"),
    (WEFT_BOOL, Bool, 1, "WEFT_BOOL"),
    (WEFT_C32, C32, 8, "WEFT_C32"),
    (WEFT_C64, C64, 16, "WEFT_C64"),
    (WEFT_Q8_0, Q8_0, 34, "WEFT_Q8_0"),
    (WEFT_Q4_0, Q4_0, 18, "WEFT_Q4_0"),
    (WEFT_Q4_1, Q4_1, 20, "WEFT_Q4_1"),
    (WEFT_Q4_K, Q4K, 144, "WEFT_Q4_K"),
    (WEFT_Q6_K, Q6K, 210, "WEFT_Q6_K"),
];

impl Dtype {
    /// The type with this number in C; `what` names the argument in the error.
    pub fn from_code(what: impl Display, code: u32) -> Result<Self> {
        let row = code.checked_sub(1).and_then(|index| DTYPES.get(index as usize));
        ensure!(row.is_some(), "{what}.dtype is {code}; expected one of WEFT_F32 (1) to WEFT_Q6_K (22)");
        Ok(row.map_or(F32, |row| row.1))
    }

    /// Bytes an element, or a block of them.
    pub fn size(self) -> usize {
        DTYPES[self as usize].2
    }

    /// Elements a block: 1 for all but the quantised types.
    pub fn block(self) -> usize {
        match self {
            Q8_0 | Q4_0 | Q4_1 => 32,
            Q4K | Q6K => 256,
            _ => 1,
        }
    }

    /// Whether elements lie in blocks.
    pub fn is_quantised(self) -> bool {
        self.block() > 1
    }

    /// What addresses are multiples of.
    pub fn align(self) -> usize {
        if self.is_quantised() { 2 } else { self.size() }
    }

    /// The number in C.
    pub fn code(self) -> u32 {
        DTYPES[self as usize].0
    }

    /// As the header spells it.
    pub fn name(self) -> &'static str {
        DTYPES[self as usize].3
    }

    /// Whether it is one of f32, f64, f16, bf16.
    pub fn is_float(self) -> bool {
        matches!(self, F32 | F64 | F16 | Bf16)
    }

    /// Whether it is a float of 8 bits.
    pub fn is_small_float(self) -> bool {
        matches!(self, F8E4m3 | F8E5m2)
    }
}

/// A float that kernels read and write; half types are computed in f32.
pub trait Float: Copy + Send + Sync + PartialOrd + 'static {
    /// Its element type.
    const DTYPE: Dtype;
    /// Widened; exact except from f64.
    fn to_f32(self) -> f32;
    /// Widened; always exact.
    fn to_f64(self) -> f64;
    /// Rounded to nearest even.
    fn from_f32(value: f32) -> Self;
    /// Rounded to nearest even.
    fn from_f64(value: f64) -> Self;
}

macro_rules! float {
    ($type:ty, $dtype:ident, $to32:expr, $to64:expr, $from32:expr, $from64:expr) => {
        impl Float for $type {
            const DTYPE: Dtype = $dtype;
            #[inline(always)]
            fn to_f32(self) -> f32 {
                $to32(self)
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                $to64(self)
            }
            #[inline(always)]
            fn from_f32(value: f32) -> Self {
                $from32(value)
            }
            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                $from64(value)
            }
        }
    };
}
float!(f32, F32, |x| x, f64::from, |x| x, |x| x as f32);
float!(f64, F64, |x| x as f32, |x| x, f64::from, |x| x);
// `half` rounds from f64 by way of f32, twice.
float!(f16, F16, f16::to_f32, f16::to_f64, f16::from_f32, |x| f16::from_f32(odd(x)));
float!(bf16, Bf16, bf16::to_f32, bf16::to_f64, bf16::from_f32, |x| bf16::from_f32(odd(x)));

/// `x` as f32 if that is exact, else the neighbour with an odd last bit: rounding it once more, to fewer bits, gives what
/// rounding `x` itself would.
#[inline(always)]
pub fn odd(x: f64) -> f32 {
    let near = x as f32;
    let back = f64::from(near);
    let past = u32::from(back.abs() > x.abs());
    let odd = near.to_bits().wrapping_sub(past) | 1;
    if back == x || x.is_nan() { near } else { f32::from_bits(odd) }
}

/// Runs `$body` with `$T` bound to the Rust type of a float [`Dtype`]; `$other` for the rest.
#[macro_export]
#[doc(hidden)]
macro_rules! with_float {
    ($dtype:expr, $T:ident => $body:expr, _ => $other:expr) => {
        match $dtype {
            $crate::dtype::Dtype::F32 => {
                type $T = f32;
                $body
            }
            $crate::dtype::Dtype::F64 => {
                type $T = f64;
                $body
            }
            $crate::dtype::Dtype::F16 => {
                type $T = $crate::dtype::f16;
                $body
            }
            $crate::dtype::Dtype::Bf16 => {
                type $T = $crate::dtype::bf16;
                $body
            }
            _ => $other,
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        for (index, row) in DTYPES.iter().enumerate() {
            assert_eq!(row.0 as usize, index + 1);
            assert_eq!(row.1 as usize, index);
            assert_eq!(Dtype::from_code("x", row.0).unwrap(), row.1);
        }
        assert!(Dtype::from_code("x", 0).is_err() && Dtype::from_code("x", 23).is_err());
    }

    #[test]
    fn halves_round_once() {
        let above = |tie: f64| 1.0 + tie + 2f64.powi(-40);
        assert_eq!(<f16 as Float>::from_f64(above(2f64.powi(-11))).to_f64(), 1.0 + 2f64.powi(-10));
        assert_eq!(<bf16 as Float>::from_f64(above(2f64.powi(-8))).to_f64(), 1.0 + 2f64.powi(-7));
        assert!(<f16 as Float>::from_f64(f64::NAN).is_nan());
    }
}
