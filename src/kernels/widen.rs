//! Runs of stored floats to the type that is computed in and back: half-precision numbers with the machine's conversion instructions where it has them.

use crate::device::cpu::{Isa, isa};
use crate::dtype::{Float, bf16, f16};
use crate::for_each_isa;
use crate::kernels::math;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// A type that kernels compute in: f32 or f64.
pub trait Wide:
    Widen<Wide = Self>
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// e^x.
    fn exp(self) -> Self;
}

impl Wide for f32 {
    #[inline(always)]
    fn exp(self) -> Self {
        math::exp(self)
    }
}

impl Wide for f64 {
    fn exp(self) -> Self {
        f64::exp(self)
    }
}

/// A float in memory and the type it is computed in: f64 for f64, f32 for the others.
///
/// The contract of every function: the side in memory is valid for `count` elements (`stride` apart), the other for
/// `count` elements, and the two do not overlap, or are equal, of one type and of stride 1.
pub trait Widen: Float {
    /// What it is computed in.
    type Wide: Wide;

    /// `dst[i] = src[i]`, exact.
    ///
    /// # Safety
    ///
    /// The trait's contract.
    unsafe fn widen(src: *const Self, dst: *mut Self::Wide, count: usize);

    /// `dst[i] = src[i]`, rounded to nearest even.
    ///
    /// # Safety
    ///
    /// The trait's contract.
    unsafe fn narrow(src: *const Self::Wide, dst: *mut Self, count: usize);

    /// One element, exact.
    fn wide(self) -> Self::Wide;

    /// One element, rounded to nearest even.
    fn narrowed(value: Self::Wide) -> Self;

    /// `dst[i] = src[i * stride]`.
    ///
    /// # Safety
    ///
    /// The trait's contract.
    #[inline]
    unsafe fn gather(src: *const Self, stride: isize, dst: *mut Self::Wide, count: usize) {
        // SAFETY: the contract, for every index below `count`.
        unsafe {
            if stride == 1 {
                return Self::widen(src, dst, count);
            }
            for i in 0..count {
                *dst.add(i) = (*src.offset(stride.wrapping_mul(i as isize))).wide();
            }
        }
    }

    /// `dst[i * stride] = src[i]`.
    ///
    /// # Safety
    ///
    /// The trait's contract.
    #[inline]
    unsafe fn scatter(src: *const Self::Wide, dst: *mut Self, stride: isize, count: usize) {
        // SAFETY: the contract, for every index below `count`.
        unsafe {
            if stride == 1 {
                return Self::narrow(src, dst, count);
            }
            for i in 0..count {
                *dst.offset(stride.wrapping_mul(i as isize)) = Self::narrowed(*src.add(i));
            }
        }
    }
}

macro_rules! as_it_is {
    ($type:ty) => {
        impl Widen for $type {
            type Wide = $type;
            unsafe fn widen(src: *const $type, dst: *mut $type, count: usize) {
                // SAFETY: the trait's contract; `copy` allows equal pointers.
                unsafe { std::ptr::copy(src, dst, count) };
            }
            unsafe fn narrow(src: *const $type, dst: *mut $type, count: usize) {
                // SAFETY: as above.
                unsafe { std::ptr::copy(src, dst, count) };
            }
            #[inline(always)]
            fn wide(self) -> $type {
                self
            }
            #[inline(always)]
            fn narrowed(value: $type) -> $type {
                value
            }
        }
    };
}
as_it_is!(f32);
as_it_is!(f64);

impl Widen for bf16 {
    type Wide = f32;
    unsafe fn widen(src: *const bf16, dst: *mut f32, count: usize) {
        widen_bf16(src.cast(), dst, count);
    }
    unsafe fn narrow(src: *const f32, dst: *mut bf16, count: usize) {
        narrow_bf16(src.cast(), dst.cast(), count);
    }
    #[inline(always)]
    fn wide(self) -> f32 {
        self.to_f32()
    }
    #[inline(always)]
    fn narrowed(value: f32) -> bf16 {
        bf16::from_f32(value)
    }
}

for_each_isa! {
    fn widen_bf16(src: *const u16, dst: *mut f32, count: usize) {
        for i in 0..count {
            // SAFETY: `i < count`, for which the caller promises both pointers.
            unsafe { *dst.add(i) = f32::from_bits(u32::from(*src.add(i)) << 16) };
        }
    }
}

for_each_isa! {
    fn narrow_bf16(src: *const u32, dst: *mut u16, count: usize) {
        for i in 0..count {
            // SAFETY: `i < count`, for which the caller promises both pointers.
            let bits = unsafe { *src.add(i) };
            let even = bits.wrapping_add(0x7fff).wrapping_add(bits >> 16 & 1);
            let nan = bits & 0x7fff_ffff > 0x7f80_0000;
            let high = if nan { bits | 0x0040_0000 } else { even } >> 16;
            // SAFETY: as above.
            unsafe { *dst.add(i) = high as u16 };
        }
    }
}

impl Widen for f16 {
    type Wide = f32;
    #[inline(always)]
    fn wide(self) -> f32 {
        self.to_f32()
    }
    #[inline(always)]
    fn narrowed(value: f32) -> f16 {
        f16::from_f32(value)
    }
    unsafe fn widen(src: *const f16, dst: *mut f32, count: usize) {
        let mut done = 0;
        #[cfg(target_arch = "x86_64")]
        if isa() >= Isa::Avx2 {
            // SAFETY: the machine has F16C; the pointers are valid for `count` elements by this function's contract.
            done = unsafe { widen_f16c(src, dst, count) };
        }
        for i in done..count {
            // SAFETY: `i < count`.
            unsafe { *dst.add(i) = (*src.add(i)).to_f32() };
        }
    }
    unsafe fn narrow(src: *const f32, dst: *mut f16, count: usize) {
        let mut done = 0;
        #[cfg(target_arch = "x86_64")]
        if isa() >= Isa::Avx2 {
            // SAFETY: the machine has F16C; the pointers are valid for `count` elements by this function's contract.
            done = unsafe { narrow_f16c(src, dst, count) };
        }
        for i in done..count {
            // SAFETY: `i < count`.
            unsafe { *dst.add(i) = f16::from_f32(*src.add(i)) };
        }
    }
}

/// Whole groups of 8; returns how many elements that were.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx,f16c")]
fn widen_f16c(src: *const f16, dst: *mut f32, count: usize) -> usize {
    use std::arch::x86_64::*;
    let whole = count & !7;
    for i in (0..whole).step_by(8) {
        // SAFETY: `i + 8 <= count`, for which the caller promises both pointers.
        unsafe {
            _mm256_storeu_ps(dst.add(i), _mm256_cvtph_ps(_mm_loadu_si128(src.add(i).cast())));
        }
    }
    whole
}

/// Whole groups of 8; returns how many elements that were.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx,f16c")]
fn narrow_f16c(src: *const f32, dst: *mut f16, count: usize) -> usize {
    use std::arch::x86_64::*;
    let whole = count & !7;
    for i in (0..whole).step_by(8) {
        // SAFETY: `i + 8 <= count`, for which the caller promises both pointers.
        unsafe {
            let halves = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(_mm256_loadu_ps(src.add(i)));
            _mm_storeu_si128(dst.add(i).cast(), halves);
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back<T: Widen<Wide = f32> + PartialEq + std::fmt::Debug>(
        values: &[T],
        bits: impl Fn(T) -> u16,
    ) {
        let mut wide = vec![0f32; values.len()];
        let mut back = values.to_vec();
        back.rotate_left(7);
        // SAFETY: all three are of one length.
        unsafe {
            T::widen(values.as_ptr(), wide.as_mut_ptr(), values.len());
            T::narrow(wide.as_ptr(), back.as_mut_ptr(), values.len());
        }
        for (i, &value) in values.iter().enumerate() {
            let same = wide[i].to_bits() == value.to_f32().to_bits() && bits(back[i]) == bits(value);
            assert!(same || value.to_f32().is_nan() && wide[i].is_nan() && back[i].to_f32().is_nan());
        }
    }

    #[test]
    fn every_half_survives() {
        let halves: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
        there_and_back(&halves, f16::to_bits);
        let halves: Vec<bf16> = (0..=u16::MAX).map(bf16::from_bits).collect();
        there_and_back(&halves[..65_533], bf16::to_bits);
    }

    #[test]
    fn rounding_is_to_nearest_even() {
        let values: Vec<f32> = (0..100_000u32).map(|i| f32::from_bits(i.wrapping_mul(0x9E37_79B1))).collect();
        let (mut f, mut b) = (vec![f16::ZERO; values.len()], vec![bf16::ZERO; values.len()]);
        // SAFETY: all are of one length.
        unsafe {
            f16::narrow(values.as_ptr(), f.as_mut_ptr(), values.len());
            bf16::narrow(values.as_ptr(), b.as_mut_ptr(), values.len());
        }
        for (i, &value) in values.iter().enumerate().filter(|(_, value)| !value.is_nan()) {
            assert_eq!((f[i], b[i]), (f16::from_f32(value), bf16::from_f32(value)), "{value:e}");
        }
    }
}
