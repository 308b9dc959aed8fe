//! Vectors that decode the elements of blocks. Everything is inlined into functions that enable the instruction set.

use crate::dtype::f16;
use crate::ops::matmul::element::Element;
use crate::ops::matmul::vector::{Plain, Vector};

/// A vector of decoded elements. `LANES` is at most 16.
pub trait Lanes: Vector<Real = f32> {
    /// What a 4-bit element stands for.
    type Table: Copy;
    /// q stands for scale (q - zero) + offset, whose product is exact.
    fn table(scale: f32, zero: f32, offset: f32) -> Self::Table;
    /// The lower halves of bytes.
    ///
    /// # Safety
    ///
    /// `LANES` bytes are readable (as for all that follow), and the machine has the instruction set.
    unsafe fn low(at: *const u8, table: Self::Table) -> Self;
    /// The upper halves of bytes.
    ///
    /// # Safety
    ///
    /// As above.
    unsafe fn high(at: *const u8, table: Self::Table) -> Self;
    /// Signed bytes.
    ///
    /// # Safety
    ///
    /// As above.
    unsafe fn signed(at: *const u8) -> Self;
    /// Lower or upper halves of bytes (QUARTER below 2, or not), with the two bits from 2 QUARTER on of others above them; less 32.
    ///
    /// # Safety
    ///
    /// As above, of both.
    unsafe fn six<const QUARTER: i32>(low: *const u8, high: *const u8) -> Self;
    /// A binary16, which need not be aligned.
    ///
    /// # Safety
    ///
    /// Two bytes are readable.
    unsafe fn half(at: *const u8) -> f32;
    /// self x.
    fn times(self, x: Self) -> Self;
}

impl<const N: usize> Lanes for Plain<f32, N> {
    type Table = [f32; 3];
    #[inline(always)]
    fn table(scale: f32, zero: f32, offset: f32) -> [f32; 3] {
        [scale, zero, offset]
    }
    #[inline(always)]
    unsafe fn low(at: *const u8, [scale, zero, offset]: [f32; 3]) -> Self {
        // SAFETY: the caller's.
        Self::from_lanes(|i| unsafe { scale * (f32::from(at.wrapping_add(i).read() & 15) - zero) + offset })
    }
    #[inline(always)]
    unsafe fn high(at: *const u8, [scale, zero, offset]: [f32; 3]) -> Self {
        // SAFETY: the caller's.
        Self::from_lanes(|i| unsafe { scale * (f32::from(at.wrapping_add(i).read() >> 4) - zero) + offset })
    }
    #[inline(always)]
    unsafe fn signed(at: *const u8) -> Self {
        // SAFETY: the caller's.
        Self::from_lanes(|i| unsafe { f32::from(at.wrapping_add(i).read().cast_signed()) })
    }
    #[inline(always)]
    unsafe fn six<const QUARTER: i32>(low: *const u8, high: *const u8) -> Self {
        Self::from_lanes(|i| {
            // SAFETY: the caller's.
            let (low, high) = unsafe { (low.wrapping_add(i).read(), high.wrapping_add(i).read()) };
            let low = if QUARTER < 2 { low & 15 } else { low >> 4 };
            f32::from(low | (high >> (2 * QUARTER) & 3) << 4) - 32.0
        })
    }
    #[inline(always)]
    unsafe fn half(at: *const u8) -> f32 {
        // SAFETY: the caller's.
        unsafe { at.cast::<f16>().read_unaligned() }.widen()
    }
    #[inline(always)]
    fn times(self, x: Self) -> Self {
        self.map_with(x, |a, b| a * b)
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Lanes;
    use std::arch::x86_64::*;

    // SAFETY (all blocks): only functions that enable the instruction set inline these; the caller answers for the memory.

    #[inline(always)]
    unsafe fn half(at: *const u8) -> f32 {
        // SAFETY: see above.
        unsafe {
            let bits = at.cast::<u16>().read_unaligned();
            _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(bits.into())))
        }
    }

    impl Lanes for __m512 {
        /// What each of the 16 elements stands for: a permutation looks them up by the lowest 4 bits.
        type Table = __m512;
        #[inline(always)]
        fn table(scale: f32, zero: f32, offset: f32) -> __m512 {
            // SAFETY: see above.
            unsafe {
                let all = _mm512_setr_ps(
                    0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0,
                );
                let all = _mm512_sub_ps(all, _mm512_set1_ps(zero));
                _mm512_fmadd_ps(_mm512_set1_ps(scale), all, _mm512_set1_ps(offset))
            }
        }
        #[inline(always)]
        unsafe fn low(at: *const u8, table: __m512) -> __m512 {
            // SAFETY: see above.
            unsafe { _mm512_permutexvar_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(at.cast())), table) }
        }
        #[inline(always)]
        unsafe fn high(at: *const u8, table: __m512) -> __m512 {
            // SAFETY: see above.
            unsafe {
                let bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128(at.cast()));
                // A rotation, because the compiler would make more of a shift than one instruction.
                _mm512_permutexvar_ps(_mm512_ror_epi32::<4>(bytes), table)
            }
        }
        #[inline(always)]
        unsafe fn signed(at: *const u8) -> __m512 {
            // SAFETY: see above.
            unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(at.cast()))) }
        }
        #[inline(always)]
        unsafe fn six<const QUARTER: i32>(low: *const u8, high: *const u8) -> __m512 {
            // SAFETY: see above.
            unsafe {
                let low = _mm512_cvtepu8_epi32(_mm_loadu_si128(low.cast()));
                let low = if QUARTER < 2 {
                    _mm512_and_si512(low, _mm512_set1_epi32(15))
                } else {
                    _mm512_srli_epi32::<4>(low)
                };
                let high = _mm512_cvtepu8_epi32(_mm_loadu_si128(high.cast()));
                let up = _mm512_srlv_epi32(_mm512_slli_epi32::<4>(high), _mm512_set1_epi32(2 * QUARTER));
                let up = _mm512_and_si512(up, _mm512_set1_epi32(48));
                let q = _mm512_sub_epi32(_mm512_or_si512(low, up), _mm512_set1_epi32(32));
                _mm512_cvtepi32_ps(q)
            }
        }
        #[inline(always)]
        unsafe fn half(at: *const u8) -> f32 {
            // SAFETY: see above.
            unsafe { half(at) }
        }
        #[inline(always)]
        fn times(self, x: __m512) -> __m512 {
            // SAFETY: see above.
            unsafe { _mm512_mul_ps(self, x) }
        }
    }

    impl Lanes for __m256 {
        type Table = [__m256; 3];
        #[inline(always)]
        fn table(scale: f32, zero: f32, offset: f32) -> [__m256; 3] {
            // SAFETY: see above.
            unsafe { [_mm256_set1_ps(scale), _mm256_set1_ps(zero), _mm256_set1_ps(offset)] }
        }
        #[inline(always)]
        unsafe fn low(at: *const u8, [scale, zero, offset]: [__m256; 3]) -> __m256 {
            // SAFETY: see above.
            unsafe {
                let bytes = _mm256_cvtepu8_epi32(_mm_loadl_epi64(at.cast()));
                let q = _mm256_cvtepi32_ps(_mm256_and_si256(bytes, _mm256_set1_epi32(15)));
                _mm256_fmadd_ps(scale, _mm256_sub_ps(q, zero), offset)
            }
        }
        #[inline(always)]
        unsafe fn high(at: *const u8, [scale, zero, offset]: [__m256; 3]) -> __m256 {
            // SAFETY: see above.
            unsafe {
                let bytes = _mm256_cvtepu8_epi32(_mm_loadl_epi64(at.cast()));
                let q = _mm256_cvtepi32_ps(_mm256_srli_epi32::<4>(bytes));
                _mm256_fmadd_ps(scale, _mm256_sub_ps(q, zero), offset)
            }
        }
        #[inline(always)]
        unsafe fn signed(at: *const u8) -> __m256 {
            // SAFETY: see above.
            unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(at.cast()))) }
        }
        #[inline(always)]
        unsafe fn six<const QUARTER: i32>(low: *const u8, high: *const u8) -> __m256 {
            // SAFETY: see above.
            unsafe {
                let low = _mm256_cvtepu8_epi32(_mm_loadl_epi64(low.cast()));
                let low = if QUARTER < 2 {
                    _mm256_and_si256(low, _mm256_set1_epi32(15))
                } else {
                    _mm256_srli_epi32::<4>(low)
                };
                let high = _mm256_cvtepu8_epi32(_mm_loadl_epi64(high.cast()));
                let up = _mm256_srlv_epi32(_mm256_slli_epi32::<4>(high), _mm256_set1_epi32(2 * QUARTER));
                let up = _mm256_and_si256(up, _mm256_set1_epi32(48));
                let q = _mm256_sub_epi32(_mm256_or_si256(low, up), _mm256_set1_epi32(32));
                _mm256_cvtepi32_ps(q)
            }
        }
        #[inline(always)]
        unsafe fn half(at: *const u8) -> f32 {
            // SAFETY: see above.
            unsafe { half(at) }
        }
        #[inline(always)]
        fn times(self, x: __m256) -> __m256 {
            // SAFETY: see above.
            unsafe { _mm256_mul_ps(self, x) }
        }
    }
}
