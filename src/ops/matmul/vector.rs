//! Vectors of sums: one small interface, so that a kernel is written once. Everything is inlined into functions that
//! enable the instruction set, or it would be slow.

use super::element::{Element, Real};

/// Several sums that are computed together.
pub trait Vector: Copy {
    /// What a sum is.
    type Real: Real;
    /// How many sums.
    const LANES: usize;
    /// All zero.
    fn zero() -> Self;
    /// All `x`.
    fn splat(x: Self::Real) -> Self;
    /// Widens `LANES` elements.
    ///
    /// # Safety
    ///
    /// They are readable, and the machine has the instruction set (as for everything here).
    unsafe fn load<W: Element>(at: *const W) -> Self;
    /// Writes `LANES` sums.
    ///
    /// # Safety
    ///
    /// They are writable.
    unsafe fn store(self, at: *mut Self::Real);
    /// Rounds to nearest even and writes `LANES` elements.
    ///
    /// # Safety
    ///
    /// They are writable.
    unsafe fn store_rounded<T: Element>(self, at: *mut T);
    /// self + x y.
    fn add_product(self, x: Self, y: Self) -> Self;
    /// The sum of the lanes.
    fn total(self) -> Self::Real;
}

/// Plain Rust, for any machine.
#[derive(Clone, Copy)]
pub struct Plain<R, const N: usize>([R; N]);

impl<R, const N: usize> Plain<R, N> {
    /// Of these lanes.
    #[inline(always)]
    pub fn of(lanes: [R; N]) -> Self {
        Self(lanes)
    }

    /// The lanes.
    #[inline(always)]
    pub fn lanes(self) -> [R; N] {
        self.0
    }
}

impl<R: Real, const N: usize> Plain<R, N> {
    /// Of a number for each lane.
    #[inline(always)]
    pub fn from_lanes(lane: impl FnMut(usize) -> R) -> Self {
        Self(std::array::from_fn(lane))
    }

    /// Lane by lane.
    #[inline(always)]
    pub fn map_with(self, other: Self, of: impl Fn(R, R) -> R) -> Self {
        Self(std::array::from_fn(|i| of(self.0[i], other.0[i])))
    }
}

impl<R: Real, const N: usize> Vector for Plain<R, N> {
    type Real = R;
    const LANES: usize = N;
    #[inline(always)]
    fn zero() -> Self {
        Self([R::ZERO; N])
    }
    #[inline(always)]
    fn splat(x: R) -> Self {
        Self([x; N])
    }
    #[inline(always)]
    unsafe fn load<W: Element>(at: *const W) -> Self {
        // SAFETY: the caller's.
        Self(std::array::from_fn(|i| unsafe { R::of(at.wrapping_add(i).read()) }))
    }
    #[inline(always)]
    unsafe fn store(self, at: *mut R) {
        // SAFETY: the caller's; an array has no alignment beyond its element's.
        unsafe { at.cast::<[R; N]>().write(self.0) };
    }
    #[inline(always)]
    unsafe fn store_rounded<T: Element>(self, at: *mut T) {
        // SAFETY: the caller's.
        self.0.into_iter().enumerate().for_each(|(i, x)| unsafe { at.wrapping_add(i).write(x.to::<T>()) });
    }
    #[inline(always)]
    fn add_product(self, x: Self, y: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + x.0[i] * y.0[i]))
    }
    #[inline(always)]
    fn total(self) -> R {
        self.0.into_iter().fold(R::ZERO, |sum, x| sum + x)
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::*;
    use crate::dtype::Dtype;
    use crate::ops::matmul::fp8::x86 as fp8;
    use std::arch::x86_64::*;

    macro_rules! vector {
        ($V:ty, $R:ty, $lanes:literal, $zero:ident, $splat:ident, $store:ident, $fma:ident, load $at:ident $load:block, round $lanes_:ident to $to:ident $round:block, total $x:ident $total:block) => {
            // SAFETY (all blocks): only functions that enable the instruction set inline these; the caller answers
            // for the memory.
            impl Vector for $V {
                type Real = $R;
                const LANES: usize = $lanes;
                #[inline(always)]
                fn zero() -> Self {
                    // SAFETY: the instruction set is enabled, by the rule of this file.
                    unsafe { $zero() }
                }
                #[inline(always)]
                fn splat(x: $R) -> Self {
                    // SAFETY: as above.
                    unsafe { $splat(x) }
                }
                #[inline(always)]
                unsafe fn load<W: Element>($at: *const W) -> Self {
                    // SAFETY: as above, and the caller's for the memory.
                    unsafe { $load }
                }
                #[inline(always)]
                unsafe fn store(self, at: *mut $R) {
                    // SAFETY: as above, and the caller's for the memory.
                    unsafe { $store(at, self) }
                }
                #[inline(always)]
                unsafe fn store_rounded<T: Element>(self, $to: *mut T) {
                    let $lanes_ = self;
                    // SAFETY: as above, and the caller's for the memory.
                    unsafe { $round }
                }
                #[inline(always)]
                fn add_product(self, x: Self, y: Self) -> Self {
                    // SAFETY: as above.
                    unsafe { $fma(x, y, self) }
                }
                #[inline(always)]
                fn total(self) -> $R {
                    let $x = self;
                    // SAFETY: as above.
                    unsafe { $total }
                }
            }
        };
    }

    vector!(__m512, f32, 16, _mm512_setzero_ps, _mm512_set1_ps, _mm512_storeu_ps, _mm512_fmadd_ps,
        load at {
            match W::DTYPE {
                Dtype::F16 => _mm512_cvtph_ps(_mm256_loadu_si256(at.cast())),
                Dtype::Bf16 => {
                    let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(at.cast()));
                    _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
                }
                Dtype::F8E4m3 | Dtype::F8E5m2 => fp8::widen16::<W>(_mm_loadu_si128(at.cast())),
                _ => _mm512_loadu_ps(at.cast()),
            }
        },
        round x to at {
            match T::DTYPE {
                Dtype::F16 => _mm256_storeu_si256(at.cast(), _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x)),
                Dtype::Bf16 => {
                    let (bits, nan) = (_mm512_castps_si512(x), _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x));
                    let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
                    let rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
                    let quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x40_0000));
                    let high = _mm512_srli_epi32::<16>(_mm512_mask_mov_epi32(rounded, nan, quiet));
                    _mm256_storeu_si256(at.cast(), _mm512_cvtepi32_epi16(high));
                }
                Dtype::F8E4m3 | Dtype::F8E5m2 => {
                    let mut lanes = [0f32; 16];
                    _mm512_storeu_ps(lanes.as_mut_ptr(), x);
                    fp8::store_lanes(lanes, at);
                }
                _ => _mm512_storeu_ps(at.cast(), x),
            }
        },
        total x { _mm512_reduce_add_ps(x) });
    vector!(__m256, f32, 8, _mm256_setzero_ps, _mm256_set1_ps, _mm256_storeu_ps, _mm256_fmadd_ps,
    load at {
        match W::DTYPE {
            Dtype::F16 => _mm256_cvtph_ps(_mm_loadu_si128(at.cast())),
            Dtype::Bf16 => {
                let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(at.cast()));
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
            }
            Dtype::F8E4m3 | Dtype::F8E5m2 => fp8::widen8(at),
            _ => _mm256_loadu_ps(at.cast()),
        }
    },
        round x to at {
            match T::DTYPE {
                Dtype::F16 => _mm_storeu_si128(at.cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x)),
                Dtype::Bf16 | Dtype::F8E4m3 | Dtype::F8E5m2 => {
                    let mut lanes = [0f32; 8];
                    _mm256_storeu_ps(lanes.as_mut_ptr(), x);
                    Plain(lanes).store_rounded(at);
                }
                _ => _mm256_storeu_ps(at.cast(), x),
            }
        },
    total x {
        let mut lanes = [0f32; 8];
        _mm256_storeu_ps(lanes.as_mut_ptr(), x);
        lanes.into_iter().sum()
    });
    vector!(__m512d, f64, 8, _mm512_setzero_pd, _mm512_set1_pd, _mm512_storeu_pd, _mm512_fmadd_pd,
        load at { _mm512_loadu_pd(at.cast()) },
        round x to at { _mm512_storeu_pd(at.cast(), x) }, total x { _mm512_reduce_add_pd(x) });
    vector!(__m256d, f64, 4, _mm256_setzero_pd, _mm256_set1_pd, _mm256_storeu_pd, _mm256_fmadd_pd,
    load at { _mm256_loadu_pd(at.cast()) },
        round x to at { _mm256_storeu_pd(at.cast(), x) },
    total x {
        let mut lanes = [0f64; 4];
        _mm256_storeu_pd(lanes.as_mut_ptr(), x);
        lanes.into_iter().sum()
    });
}
