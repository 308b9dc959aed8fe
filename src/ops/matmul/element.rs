//! Widening to f32 and rounding back without branches or calls, so that loops over half types become vector code.

use crate::dtype::{Dtype, Float, bf16, f16};

/// A float that matrices hold.
pub trait Element: Float {
    /// Exact, but for f64.
    fn widen(self) -> f32;
    /// Rounded to nearest even.
    fn narrow(value: f32) -> Self;
}

impl Element for f32 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }
    #[inline(always)]
    fn narrow(value: f32) -> Self {
        value
    }
}

impl Element for f64 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self as f32
    }
    #[inline(always)]
    fn narrow(value: f32) -> Self {
        f64::from(value)
    }
}

impl Element for bf16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
    #[inline(always)]
    fn narrow(value: f32) -> Self {
        let bits = value.to_bits();
        let rounded = bits.wrapping_add(0x7fff).wrapping_add(bits >> 16 & 1);
        let bits = if value.is_nan() { bits | 0x40_0000 } else { rounded };
        bf16::from_bits((bits >> 16) as u16)
    }
}

impl Element for f16 {
    /// The exponent moves from bias 15 to 127 by a multiplication with 2^112, which also scales subnormals.
    #[inline(always)]
    fn widen(self) -> f32 {
        const SCALE: f32 = f32::from_bits((127 + 112) << 23);
        let bits = u32::from(self.to_bits());
        let magnitude = (bits & 0x7fff) << 13;
        let special = bits & 0x7c00 == 0x7c00;
        let finite = (f32::from_bits(magnitude) * SCALE).to_bits();
        let bits32 = if special { magnitude | 0x7f80_0000 } else { finite };
        f32::from_bits(bits32 | (bits & 0x8000) << 16)
    }

    /// Normal results round by adding half an ulp in the integer; subnormal ones by adding 0.5, whose ulp is theirs.
    #[inline(always)]
    fn narrow(value: f32) -> Self {
        let sign = value.to_bits() & 0x8000_0000;
        let bits = value.to_bits() ^ sign;
        let special = if bits > 0x7f80_0000 { 0x7e00 } else { 0x7c00 };
        let subnormal = (f32::from_bits(bits) + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
        let rebased = bits.wrapping_sub(112 << 23).wrapping_add(0xfff).wrapping_add(bits >> 13 & 1);
        let small = if bits < 113 << 23 { subnormal } else { rebased >> 13 };
        let half = if bits >= 143 << 23 { special } else { small };
        f16::from_bits((half | sign >> 16) as u16)
    }
}

/// What sums are computed in: f32, or f64 for f64 elements.
pub trait Real:
    Element
    + std::ops::Add<Output = Self>
    + std::ops::Mul<Output = Self>
    + std::ops::AddAssign
    + super::activation::Activate
    + super::finish::Finish
{
    const ZERO: Self;
    fn of<T: Element>(value: T) -> Self;
    fn to<T: Element>(self) -> T;
}

impl Real for f32 {
    const ZERO: Self = 0.0;
    #[inline(always)]
    fn of<T: Element>(value: T) -> Self {
        value.widen()
    }
    #[inline(always)]
    fn to<T: Element>(self) -> T {
        T::narrow(self)
    }
}

impl Real for f64 {
    const ZERO: Self = 0.0;
    #[inline(always)]
    fn of<T: Element>(value: T) -> Self {
        value.to_f64()
    }
    #[inline(always)]
    fn to<T: Element>(self) -> T {
        T::from_f64(self)
    }
}

/// Runs `$body` with `$T` bound to the Rust type of a float, of 8 bits too.
macro_rules! with_element {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            $crate::dtype::Dtype::F8E4m3 => {
                type $T = $crate::kernels::narrow::E4m3;
                $body
            }
            $crate::dtype::Dtype::F8E5m2 => {
                type $T = $crate::kernels::narrow::E5m2;
                $body
            }
            dtype => $crate::with_float!(dtype, $T => $body, _ => unreachable!("checked: a float")),
        }
    };
}
pub(super) use with_element;

/// Reads one element of any float dtype.
///
/// # Safety
///
/// `at` points to an element of `dtype`.
pub unsafe fn read<R: Real>(dtype: Dtype, at: *const u8) -> R {
    // SAFETY: this function's contract.
    unsafe { with_element!(dtype, T => R::of(at.cast::<T>().read())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_widens_and_rounds_as_the_half_crate_does() {
        for bits in 0..=u16::MAX {
            let (h, b) = (f16::from_bits(bits), bf16::from_bits(bits));
            assert!(h.widen().to_bits() == h.to_f32().to_bits() || h.is_nan() && h.widen().is_nan());
            assert!(b.widen().to_bits() == b.to_f32().to_bits() || b.is_nan() && b.widen().is_nan());
            for near in [-1i32, 0, 1, 0xfff, 0x1000, 0x1001, 0x7fff, 0x8000, 0x8001] {
                for x in [h.to_f32(), b.to_f32()] {
                    let x = f32::from_bits(x.to_bits().wrapping_add_signed(near));
                    assert!(
                        f16::narrow(x) == f16::from_f32(x) || x.is_nan() && f16::narrow(x).is_nan(),
                        "{x}"
                    );
                    assert!(
                        bf16::narrow(x) == bf16::from_f32(x) || x.is_nan() && bf16::narrow(x).is_nan(),
                        "{x}"
                    );
                }
            }
        }
    }
}
