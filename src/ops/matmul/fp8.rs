//! 8-bit floats as elements: each value of both formats is one of bfloat16 too, so matrices of them are multiplied as those
//! are.

use super::element::Element;
use crate::dtype::{Dtype, Float, bf16};
use crate::kernels::narrow::{E4m3, E5m2, Narrow};
use std::cmp::Ordering;

macro_rules! eight {
    ($($type:ident $dtype:ident;)*) => {$(
        impl PartialOrd for $type {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Narrow::to_f32(*self).partial_cmp(&Narrow::to_f32(*other))
            }
        }
        impl Float for $type {
            const DTYPE: Dtype = Dtype::$dtype;
            #[inline(always)]
            fn to_f32(self) -> f32 {
                Narrow::to_f32(self)
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(Narrow::to_f32(self))
            }
            #[inline(always)]
            fn from_f32(value: f32) -> Self {
                <$type as Narrow>::from_f32_saturating(value)
            }
            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                <$type as Narrow>::from_f32_saturating(crate::dtype::odd(value))
            }
        }
        impl Element for $type {
            #[inline(always)]
            fn widen(self) -> f32 {
                Narrow::to_f32(self)
            }
            #[inline(always)]
            fn narrow(value: f32) -> Self {
                <$type as Narrow>::from_f32_saturating(value)
            }
        }
    )*};
}
eight! {
    E4m3 F8E4m3;
    E5m2 F8E5m2;
}

/// An element's bits as a bfloat16; exact for types of 8 bits and bfloat16 itself.
#[inline(always)]
pub fn bf16_bits<T: Element>(value: T) -> u16 {
    bf16::narrow(value.widen()).to_bits()
}

#[cfg(target_arch = "x86_64")]
pub mod x86 {
    use super::*;
    use crate::ops::matmul::vector::Plain;
    use std::arch::x86_64::*;

    /// The bits of the bfloat16 of each magnitude, 32 a register.
    #[repr(align(64))]
    struct Table([u16; 128]);

    static E4M3: Table = table(false);
    static E5M2: Table = table(true);

    const fn table(wide: bool) -> Table {
        let (mantissa, bias) = if wide { (2, 15) } else { (3, 7) };
        let mut table = [0; 128];
        let mut code = 0;
        while code < 128 {
            let (exponent, fraction) = (code >> mantissa, code & ((1 << mantissa) - 1));
            let special = if wide { exponent == 31 } else { code == 127 };
            let fraction = fraction << (7 - mantissa);
            table[code] = if special {
                // Infinity, or NaN.
                0x7f80 | if fraction == 0 { 0 } else { 0x40 }
            } else if exponent > 0 {
                ((exponent + 127 - bias) << 7 | fraction) as u16
            } else {
                subnormal(fraction, 127 - bias + 1)
            };
            code += 1;
        }
        Table(table)
    }

    /// 0.fraction times 2^exponent, as a normal number.
    const fn subnormal(fraction: usize, exponent: usize) -> u16 {
        let (mut fraction, mut exponent) = (fraction, exponent);
        if fraction == 0 {
            return 0;
        }
        while fraction < 128 {
            (fraction, exponent) = (fraction << 1, exponent - 1);
        }
        (exponent << 7 | (fraction - 128)) as u16
    }

    /// Thirty-two elements, a byte in each word, as bfloat16.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    pub fn widen<T: Element>(words: __m512i) -> __m512i {
        let table = if matches!(T::DTYPE, Dtype::F8E5m2) { &E5M2 } else { &E4M3 };
        let part = |n: usize| {
            // SAFETY: 32 of the table's 128 words from 32 n.
            unsafe { _mm512_load_si512(table.0.as_ptr().add(32 * n).cast()) }
        };
        let low = _mm512_permutex2var_epi16(part(0), words, part(1));
        let high = _mm512_permutex2var_epi16(part(2), words, part(3));
        let upper = _mm512_test_epi16_mask(words, _mm512_set1_epi16(0x40));
        let sign = _mm512_and_si512(_mm512_slli_epi16::<8>(words), _mm512_set1_epi16(i16::MIN));
        _mm512_or_si512(_mm512_mask_mov_epi16(low, upper, high), sign)
    }

    /// Thirty-two bytes as bfloat16.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    pub fn widen32<T: Element>(bytes: __m256i) -> __m512i {
        widen::<T>(_mm512_cvtepu8_epi16(bytes))
    }

    /// Sixteen bytes as f32.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    pub fn widen16<T: Element>(bytes: __m128i) -> __m512 {
        let words = _mm512_castsi512_si256(widen32::<T>(_mm256_castsi128_si256(bytes)));
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(words)))
    }

    /// Eight elements as f32: by way of f16, whose exponents those of E5M2 are; those of E4M3 are off by 8.
    ///
    /// # Safety
    ///
    /// They are readable.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    pub unsafe fn widen8<T: Element>(at: *const T) -> __m256 {
        // SAFETY: the caller's.
        let words = _mm_cvtepu8_epi16(unsafe { _mm_loadl_epi64(at.cast()) });
        if matches!(T::DTYPE, Dtype::F8E5m2) {
            return _mm256_cvtph_ps(_mm_slli_epi16::<8>(words));
        }
        let sign = _mm_and_si128(_mm_slli_epi16::<8>(words), _mm_set1_epi16(i16::MIN));
        let magnitude = _mm_and_si128(words, _mm_set1_epi16(0x7f));
        let nan = _mm_cmpeq_epi16(magnitude, _mm_set1_epi16(0x7f));
        let half = _mm_or_si128(_mm_or_si128(_mm_slli_epi16::<7>(magnitude), sign), nan);
        _mm256_mul_ps(_mm256_cvtph_ps(half), _mm256_set1_ps(256.0))
    }

    /// Rounds lanes one by one.
    ///
    /// # Safety
    ///
    /// `N` elements are writable.
    #[inline(always)]
    pub unsafe fn store_lanes<T: Element, const N: usize>(lanes: [f32; N], at: *mut T) {
        use crate::ops::matmul::vector::Vector;
        // SAFETY: the caller's.
        unsafe { Plain::of(lanes).store_rounded(at) }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn the_tables_hold_every_magnitude() {
            for code in 0..128u8 {
                for (bits, value) in [
                    (E4M3.0[usize::from(code)], Narrow::to_f32(E4m3(code))),
                    (E5M2.0[usize::from(code)], Narrow::to_f32(E5m2(code))),
                ] {
                    let got = half::bf16::from_bits(bits).to_f32();
                    assert!(got.to_bits() == value.to_bits() || got.is_nan() && value.is_nan(), "{code:#x}");
                }
            }
        }
    }
}
