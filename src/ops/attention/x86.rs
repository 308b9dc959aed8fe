//! AVX-512 (with and without bf16 dot products) and AVX2.

use super::simd::{EXP2, Simd, methods};
use crate::dtype::{Float, bf16, f16};
use std::arch::x86_64::*;
use std::mem::transmute;

/// AVX-512 F, BW, DQ, VL; `BF16`: products by AVX512_BF16.
#[derive(Clone, Copy)]
pub(super) struct Avx512<const BF16: bool>;

impl<const BF16: bool> Simd for Avx512<BF16> {
    type V = __m512;
    const LANES: usize = 16;
    const PAIR: usize = if BF16 { 2 } else { 1 };

    methods! {
        fn splat(x: f32) -> __m512 = _mm512_set1_ps(x);
        fn splat_word(from: *const f32) -> __m512 = _mm512_castsi512_ps(_mm512_set1_epi32(from.cast::<i32>().read()));
        fn load(from: *const f32) -> __m512 = _mm512_loadu_ps(from);
        fn load_f16(from: *const f16) -> __m512 = _mm512_cvtph_ps(_mm256_loadu_si256(from.cast()));
        fn load_bf16(from: *const bf16) -> __m512 = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(
            _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast())),
        ));
        fn store(to: *mut f32, x: __m512) = _mm512_storeu_ps(to, x);
        fn store_f16(to: *mut f16, x: __m512) =
            _mm256_storeu_si256(to.cast(), _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x));
        fn store_bf16(to: *mut bf16, x: __m512) = _mm256_storeu_si256(to.cast(), round_bf16(x));
        fn add(a: __m512, b: __m512) -> __m512 = _mm512_add_ps(a, b);
        fn mul(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps(a, b);
        fn max(a: __m512, b: __m512) -> __m512 = _mm512_max_ps(a, b);
        fn fma(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmadd_ps(a, b, c);
        fn dot(a: __m512, b: __m512, c: __m512) -> __m512 = if BF16 {
            _mm512_dpbf16_ps(c, transmute::<__m512, __m512bh>(a), transmute::<__m512, __m512bh>(b))
        } else {
            _mm512_fmadd_ps(a, b, c)
        };
        fn exp2(x: __m512) -> __m512 = exp2_512(x);
        fn sum(x: __m512) -> f32 = _mm512_reduce_add_ps(x);
        fn sum4(a: __m512, b: __m512, c: __m512, d: __m512) -> [f32; 4] = {
            let x = pairs(pairs_of_singles(a, b), pairs_of_singles(c, d));
            let x = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps::<1>(x));
            transmute::<__m128, [f32; 4]>(_mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x)))
        };
        fn greatest(x: __m512) -> f32 = _mm512_reduce_max_ps(x);
        fn narrow(from: *const f32, to: *mut f32) = {
            let pairs = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(from.add(16)), _mm512_loadu_ps(from));
            _mm512_storeu_ps(to, transmute::<__m512bh, __m512>(pairs));
        };
        fn transpose(from: *const f32, from_step: usize, to: *mut f32, to_step: usize) =
            transpose16(from, from_step, to, to_step);
    }
}

/// In each 128-bit lane: two sums of a, two of b, in turn.
///
/// # Safety
///
/// AVX-512 is there.
#[inline(always)]
unsafe fn pairs_of_singles(a: __m512, b: __m512) -> __m512 {
    // SAFETY: this function's contract.
    unsafe { _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)) }
}

/// In each 128-bit lane: the sums of what `pairs_of_singles` left of a and of b.
///
/// # Safety
///
/// AVX-512 is there.
#[inline(always)]
unsafe fn pairs(a: __m512, b: __m512) -> __m512 {
    // SAFETY: this function's contract.
    unsafe {
        let (a, b) = (_mm512_castps_pd(a), _mm512_castps_pd(b));
        let (low, high) = (_mm512_unpacklo_pd(a, b), _mm512_unpackhi_pd(a, b));
        _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high))
    }
}

/// # Safety
///
/// AVX-512 is there.
#[inline(always)]
unsafe fn exp2_512(x: __m512) -> __m512 {
    // SAFETY: this function's contract.
    unsafe {
        // `max` gives its second operand where one is NaN.
        let x = _mm512_max_ps(_mm512_set1_ps(-200.0), x);
        let n = _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x);
        let r = _mm512_sub_ps(x, n);
        let mut p = _mm512_set1_ps(EXP2[0]);
        for c in &EXP2[1..] {
            p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(*c));
        }
        _mm512_scalef_ps(p, n)
    }
}

/// Round to nearest even, NaN made quiet; unlike the instruction for it, subnormals are kept.
///
/// # Safety
///
/// AVX-512 is there.
#[inline(always)]
unsafe fn round_bf16(x: __m512) -> __m256i {
    // SAFETY: this function's contract.
    unsafe {
        let bits = _mm512_castps_si512(x);
        let upper = _mm512_srli_epi32::<16>(bits);
        let odd = _mm512_and_si512(upper, _mm512_set1_epi32(1));
        let up = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
        let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x);
        let quiet = _mm512_or_si512(upper, _mm512_set1_epi32(0x40));
        _mm512_cvtepi32_epi16(_mm512_mask_mov_epi32(_mm512_srli_epi32::<16>(up), nan, quiet))
    }
}

/// Pairs, then pairs of pairs within 128-bit lanes, then the lanes themselves.
///
/// # Safety
///
/// AVX-512 is there; both pointers are valid for 16 rows of 16 words at their steps.
#[inline(always)]
unsafe fn transpose16(from: *const f32, from_step: usize, to: *mut f32, to_step: usize) {
    // SAFETY: this function's contract.
    unsafe {
        let mut r = [_mm512_setzero_ps(); 16];
        let mut t = [_mm512_setzero_ps(); 16];
        for (i, row) in r.iter_mut().enumerate() {
            *row = _mm512_loadu_ps(from.add(i.wrapping_mul(from_step)));
        }
        for i in (0..16).step_by(2) {
            t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
            t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
        }
        let double = |x| _mm512_castps_pd(x);
        for i in (0..16).step_by(4) {
            for half in 0..2 {
                let (a, b) = (double(t[i + half]), double(t[i + 2 + half]));
                r[i + 2 * half] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
                r[i + 2 * half + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
            }
        }
        for i in 0..4 {
            t[i] = _mm512_shuffle_f32x4::<0x88>(r[i], r[i + 4]);
            t[i + 4] = _mm512_shuffle_f32x4::<0xdd>(r[i], r[i + 4]);
            t[i + 8] = _mm512_shuffle_f32x4::<0x88>(r[i + 8], r[i + 12]);
            t[i + 12] = _mm512_shuffle_f32x4::<0xdd>(r[i + 8], r[i + 12]);
        }
        for i in 0..8 {
            let low = _mm512_shuffle_f32x4::<0x88>(t[i], t[i + 8]);
            let high = _mm512_shuffle_f32x4::<0xdd>(t[i], t[i + 8]);
            _mm512_storeu_ps(to.add(i.wrapping_mul(to_step)), low);
            _mm512_storeu_ps(to.add((i + 8).wrapping_mul(to_step)), high);
        }
    }
}

/// AVX2 with FMA and F16C.
#[derive(Clone, Copy)]
pub(super) struct Avx2;

impl Simd for Avx2 {
    type V = __m256;
    const LANES: usize = 8;
    const PAIR: usize = 1;

    methods! {
        fn splat(x: f32) -> __m256 = _mm256_set1_ps(x);
        fn splat_word(from: *const f32) -> __m256 = _mm256_broadcast_ss(&*from);
        fn load(from: *const f32) -> __m256 = _mm256_loadu_ps(from);
        fn load_f16(from: *const f16) -> __m256 = _mm256_cvtph_ps(_mm_loadu_si128(from.cast()));
        fn load_bf16(from: *const bf16) -> __m256 = _mm256_castsi256_ps(_mm256_slli_epi32::<16>(
            _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast())),
        ));
        fn store(to: *mut f32, x: __m256) = _mm256_storeu_ps(to, x);
        fn store_f16(to: *mut f16, x: __m256) =
            _mm_storeu_si128(to.cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x));
        fn store_bf16(to: *mut bf16, x: __m256) = {
            let values = transmute::<__m256, [f32; 8]>(x);
            to.cast::<[bf16; 8]>().write_unaligned(values.map(<bf16 as Float>::from_f32));
        };
        fn add(a: __m256, b: __m256) -> __m256 = _mm256_add_ps(a, b);
        fn mul(a: __m256, b: __m256) -> __m256 = _mm256_mul_ps(a, b);
        fn max(a: __m256, b: __m256) -> __m256 = _mm256_max_ps(a, b);
        fn fma(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fmadd_ps(a, b, c);
        fn dot(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fmadd_ps(a, b, c);
        fn exp2(x: __m256) -> __m256 = exp2_256(x);
        fn sum(x: __m256) -> f32 = {
            let x = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let x = _mm_add_ps(x, _mm_movehl_ps(x, x));
            _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)))
        };
        fn sum4(a: __m256, b: __m256, c: __m256, d: __m256) -> [f32; 4] = {
            let x = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
            transmute::<__m128, [f32; 4]>(_mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x)))
        };
        fn greatest(x: __m256) -> f32 = {
            let x = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let x = _mm_max_ps(x, _mm_movehl_ps(x, x));
            _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)))
        };
        fn narrow(_from: *const f32, _to: *mut f32) = unreachable!("words of f32");
        fn transpose(from: *const f32, from_step: usize, to: *mut f32, to_step: usize) =
            transpose8(from, from_step, to, to_step);
    }
}

/// # Safety
///
/// AVX2 and FMA are there.
#[inline(always)]
unsafe fn exp2_256(x: __m256) -> __m256 {
    // SAFETY: this function's contract.
    unsafe {
        let low = _mm256_set1_ps(-126.0);
        let under = _mm256_cmp_ps::<_CMP_LT_OQ>(x, low);
        // `max` gives its second operand where one is NaN.
        let x = _mm256_max_ps(low, x);
        let n = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x);
        let r = _mm256_sub_ps(x, n);
        let mut p = _mm256_set1_ps(EXP2[0]);
        for c in &EXP2[1..] {
            p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(*c));
        }
        let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
        let power = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent));
        _mm256_andnot_ps(under, _mm256_mul_ps(p, power))
    }
}

/// Pairs, then pairs of pairs within 128-bit lanes, then the lanes.
///
/// # Safety
///
/// AVX2 is there; both pointers are valid for 8 rows of 8 words at their steps.
#[inline(always)]
unsafe fn transpose8(from: *const f32, from_step: usize, to: *mut f32, to_step: usize) {
    // SAFETY: this function's contract.
    unsafe {
        let mut r = [_mm256_setzero_ps(); 8];
        let mut t = [_mm256_setzero_ps(); 8];
        for (i, row) in r.iter_mut().enumerate() {
            *row = _mm256_loadu_ps(from.add(i.wrapping_mul(from_step)));
        }
        for i in (0..8).step_by(2) {
            t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
            t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
        }
        for i in (0..8).step_by(4) {
            for half in 0..2 {
                let (a, b) = (_mm256_castps_pd(t[i + half]), _mm256_castps_pd(t[i + 2 + half]));
                r[i + 2 * half] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
                r[i + 2 * half + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
            }
        }
        for i in 0..4 {
            let low = _mm256_permute2f128_ps::<0x20>(r[i], r[i + 4]);
            let high = _mm256_permute2f128_ps::<0x31>(r[i], r[i + 4]);
            _mm256_storeu_ps(to.add(i.wrapping_mul(to_step)), low);
            _mm256_storeu_ps(to.add((i + 4).wrapping_mul(to_step)), high);
        }
    }
}
