//! Floats of 8 bits on every architecture: to f32, and from it, rounded to nearest even.

use crate::dtype::Dtype;
use crate::ptx::{Builder, Reg};

/// How a format of 8 bits numbers its magnitudes.
struct Format {
    mantissa: u32,
    bias: u32,
    /// The code of the largest finite magnitude.
    largest: u32,
    /// What lies beyond it: infinity, or NaN.
    beyond: u32,
    /// The NaN that is made.
    nan: u32,
    /// The first of those that are read.
    first_nan: u32,
}

fn format(dtype: Dtype) -> Format {
    match dtype {
        Dtype::F8E4m3 => {
            Format { mantissa: 3, bias: 7, largest: 0x7e, beyond: 0x7f, nan: 0x7f, first_nan: 0x7f }
        }
        _ => Format { mantissa: 2, bias: 15, largest: 0x7b, beyond: 0x7c, nan: 0x7e, first_nan: 0x7d },
    }
}

/// The float of `dtype`, F8E4m3 or F8E5m2, that has this code.
pub fn widen_small<'k>(k: &'k Builder, dtype: Dtype, code: Reg<'k, u32>) -> Reg<'k, f32> {
    let Format { mantissa, bias, first_nan, .. } = format(dtype);
    let magnitude = code & 0x7fu32;
    let scale = f32::from_bits((254 - bias) << 23);
    let finite = (magnitude << (23 - mantissa)).bits::<f32>() * scale;
    let value = k.select(magnitude.ge(first_nan), f32::NAN, finite);
    let infinite = dtype == Dtype::F8E5m2;
    let value = if infinite { k.select(magnitude.eq(0x7cu32), f32::INFINITY, value) } else { value };
    (value.bits::<u32>() | (code & 0x80u32) << 24u32).bits()
}

/// The code of `x` in `dtype`; with `saturate`, what lies beyond the largest magnitude becomes that. As `kernels::narrow` has
/// it: no instruction rounds to 8 bits without keeping in range.
pub fn narrow_small<'k>(k: &'k Builder, dtype: Dtype, x: Reg<'k, f32>, saturate: bool) -> Reg<'k, u32> {
    let Format { mantissa, bias, largest, beyond, nan, .. } = format(dtype);
    let drop = 23 - mantissa;
    let bits = x.bits::<u32>() & 0x7fff_ffffu32;
    let nearest = (bits + ((1u32 << (drop - 1)) - 1) + (bits >> drop & 1u32)) >> drop;
    let normal = nearest - ((127 - bias) << mantissa);
    // Adding a number whose last place is the format's smallest magnitude leaves the multiple of it there.
    let magic = f32::from_bits((151 - bias - mantissa) << 23);
    let subnormal = (bits.bits::<f32>() + magic).bits::<u32>() - magic.to_bits();
    let code = k.select(bits.lt((128 - bias) << 23), subnormal, normal);
    let code = k.select(code.gt(largest), if saturate { largest } else { beyond }, code);
    let code = k.select(bits.gt(0x7f80_0000u32), nan, code);
    code | x.bits::<u32>() >> 24u32 & 0x80u32
}
