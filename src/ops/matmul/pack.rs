//! Packing: rows of A or columns of B become panels in which a register tile reads straight ahead.

use super::element::Element;
use super::fp8::bf16_bits;
use super::tile::{Kernel, Units};
use crate::dtype::{Dtype, bf16, f16};
use crate::for_each_isa;
use crate::kernels::narrow::{E4m3, E5m2};

/// Units that a panel may be overwritten with past its end.
pub(super) const SLACK: usize = 16;

/// Lines (rows of A or columns of B) to pack into a panel.
#[derive(Clone, Copy)]
pub struct Lines {
    pub at: *const u8,
    pub dtype: Dtype,
    /// Elements from one line to the next.
    pub line: isize,
    /// Elements from one k to the next.
    pub step: isize,
    pub count: usize,
    /// Elements of a line.
    pub k: usize,
    /// Bits of a unit that are turned over.
    pub flip: u32,
}

/// What panels are packed from.
trait Stored: Copy {
    const DTYPE: Dtype;
}

impl<T: Element> Stored for T {
    const DTYPE: Dtype = T::DTYPE;
}

impl Stored for i8 {
    const DTYPE: Dtype = Dtype::I8;
}

/// A part of a unit that holds several.
trait Part: Copy {
    const BITS: u32;
    fn part(self) -> u32;
}

macro_rules! parts {
    ($($type:ty, $bits:literal, $part:expr;)*) => {$(
        impl Part for $type {
            const BITS: u32 = $bits;
            #[inline(always)]
            fn part(self) -> u32 {
                $part(self)
            }
        }
    )*};
}
parts! {
    bf16, 16, |x: bf16| u32::from(x.to_bits());
    E4m3, 16, |x| u32::from(bf16_bits(x));
    E5m2, 16, |x| u32::from(bf16_bits(x));
    i8, 8, |x: i8| u32::from(x.cast_unsigned());
    Word, 16, |x: Word| u32::from(i16::from(x.0).cast_unsigned());
}

/// An i8 that takes 16 bits of a unit.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Word(i8);

/// Writes `ceil(k / elements a unit)` times `width` units, 0 (turned over) where there is no line or no element.
///
/// # Safety
///
/// The lines exist, and are of a type that the kernel's units are made of; `to` is writable for the panel and SLACK units
/// more.
pub unsafe fn pack(kernel: &Kernel, lines: Lines, width: usize, to: *mut u32) {
    use Dtype::{Bf16, F8E4m3, F8E5m2, F16};
    #[cfg(target_arch = "x86_64")]
    // Only AVX-512 kernels have 32 columns.
    if kernel.cols == 32 && (lines.step == 1 || lines.line == 1) {
        // SAFETY: the caller's; elements are of the type they are read as.
        return unsafe {
            match (kernel.units, lines.dtype) {
                (Units::Quads, _) => x86::panel::<i8, 4>(lines, width, to),
                (Units::Pairs, F8E4m3) => x86::panel::<E4m3, 2>(lines, width, to),
                (Units::Pairs, F8E5m2) => x86::panel::<E5m2, 2>(lines, width, to),
                (Units::Pairs, _) => x86::panel::<bf16, 2>(lines, width, to),
                (_, Bf16) => x86::panel::<bf16, 1>(lines, width, to),
                (_, F16) => x86::panel::<f16, 1>(lines, width, to),
                (_, F8E4m3) => x86::panel::<E4m3, 1>(lines, width, to),
                (_, F8E5m2) => x86::panel::<E5m2, 1>(lines, width, to),
                _ => x86::panel::<f32, 1>(lines, width, to),
            }
        };
    }
    match (kernel.units, lines.dtype) {
        (Units::Quads, _) => parts::<i8>(lines, width, to),
        (Units::Words, _) => parts::<Word>(lines, width, to),
        (Units::Pairs, F8E4m3) => parts::<E4m3>(lines, width, to),
        (Units::Pairs, F8E5m2) => parts::<E5m2>(lines, width, to),
        (Units::Pairs, _) => parts::<bf16>(lines, width, to),
        (_, Bf16) => singles::<bf16>(lines, width, to),
        (_, F16) => singles::<f16>(lines, width, to),
        (_, F8E4m3) => singles::<E4m3>(lines, width, to),
        (_, F8E5m2) => singles::<E5m2>(lines, width, to),
        _ => singles::<f32>(lines, width, to),
    }
}

for_each_isa! {
    fn singles<T: Element>(lines: Lines, width: usize, to: *mut u32) {
        for k in 0..lines.k {
            let from = lines.at.cast::<T>().wrapping_offset((k as isize).wrapping_mul(lines.step));
            let to = to.wrapping_add(k * width);
            let read = |at: isize| {
                // SAFETY: element k of line `at / line` exists: the contract of `pack`, the only caller.
                unsafe { from.wrapping_offset(at).read().widen().to_bits() }
            };
            // SAFETY: `width` units of the panel.
            let out = unsafe { std::slice::from_raw_parts_mut(to, width) };
            let (some, none) = out.split_at_mut(lines.count);
            if lines.line == 1 {
                some.iter_mut().enumerate().for_each(|(i, unit)| *unit = read(i as isize));
            } else {
                some.iter_mut().enumerate().for_each(|(i, unit)| *unit = read((i as isize).wrapping_mul(lines.line)));
            }
            none.fill(0);
        }
    }
}

for_each_isa! {
    fn parts<T: Part>(lines: Lines, width: usize, to: *mut u32) {
        let per = (32 / T::BITS) as usize;
        for unit in 0..lines.k.div_ceil(per) {
            let from = lines.at.cast::<T>().wrapping_offset(((per * unit) as isize).wrapping_mul(lines.step));
            let there = per.min(lines.k - per * unit);
            let read = |at: isize| {
                let mut bits = 0;
                for i in 0..there {
                    let part = from.wrapping_offset(at).wrapping_offset((i as isize).wrapping_mul(lines.step));
                    // SAFETY: element `per unit + i` of the line exists: the contract of `pack`.
                    bits |= unsafe { part.read() }.part() << (i as u32 * T::BITS);
                }
                bits ^ lines.flip
            };
            // SAFETY: `width` units of the panel.
            let out = unsafe { std::slice::from_raw_parts_mut(to.wrapping_add(unit * width), width) };
            let (some, none) = out.split_at_mut(lines.count);
            some.iter_mut().enumerate().for_each(|(i, unit)| *unit = read((i as isize).wrapping_mul(lines.line)));
            none.fill(lines.flip);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::*;
    use crate::ops::matmul::fp8::x86 as fp8;
    use crate::ops::matmul::transpose::transpose;
    use std::arch::x86_64::*;

    /// Packs lines that are contiguous in k, or next to each other, of elements T, so many a unit.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    pub unsafe fn panel<T: Stored, const PER: usize>(lines: Lines, width: usize, to: *mut u32) {
        // SAFETY: the caller's.
        unsafe {
            match lines.step {
                1 => transposed::<T, PER>(lines, width, to),
                _ if PER == 4 => straight_quads(lines, width, to),
                _ if PER == 2 => straight_pairs::<T>(lines, width, to),
                _ => straight::<T>(lines, width, to),
            }
        }
    }

    /// Lines contiguous in k: blocks of 16 lines by 16 units through registers. A block's columns are stored whole, so
    /// what falls past a narrow panel's line is overwritten by the next k.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    unsafe fn transposed<T: Stored, const PER: usize>(lines: Lines, width: usize, to: *mut u32) {
        let elements = 16 * PER;
        let whole = lines.k / elements * elements;
        for k in (0..whole).step_by(elements) {
            // SAFETY: `elements` elements of each line from k exist; 16 units of the panel and its slack.
            unsafe {
                blocks::<T, PER, true>(&lines, width, k, elements, to.wrapping_add(k / elements * 16 * width))
            };
        }
        if whole < lines.k {
            let to = to.wrapping_add(whole / elements * 16 * width);
            // SAFETY: as above, of the elements that are left and their units.
            unsafe { blocks::<T, PER, false>(&lines, width, whole, lines.k - whole, to) };
        }
    }

    /// The `left` elements of all lines from k on, 16 lines at a time; WHOLE if they are 16 units.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    unsafe fn blocks<T: Stored, const PER: usize, const WHOLE: bool>(
        lines: &Lines,
        width: usize,
        k: usize,
        left: usize,
        to: *mut u32,
    ) {
        let units = left.div_ceil(PER);
        let flip = _mm512_set1_epi32(lines.flip.cast_signed());
        for group in (0..width).step_by(16) {
            let mut rows = [_mm512_setzero_si512(); 16];
            for (i, row) in rows.iter_mut().enumerate() {
                // Past the last line, where no sum counts, the last is read again: without branches all stays in registers.
                let line = (group + i).min(lines.count - 1).cast_signed().wrapping_mul(lines.line);
                let at = lines.at.cast::<T>().wrapping_offset(line).wrapping_add(k);
                // SAFETY: `left` elements of the line from k exist.
                *row = unsafe { if WHOLE { load::<T, PER>(at) } else { load_some::<T, PER>(at, left) } };
            }
            for (unit, column) in transpose(rows).into_iter().enumerate() {
                if WHOLE || unit < units {
                    // SAFETY: inside the panel and its slack.
                    unsafe {
                        _mm512_storeu_si512(
                            to.wrapping_add(unit * width + group).cast(),
                            _mm512_xor_si512(column, flip),
                        )
                    };
                }
            }
        }
    }

    /// Lines next to each other, an element a unit: sixteen elements of one k at a time.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    unsafe fn straight<T: Stored>(lines: Lines, width: usize, to: *mut u32) {
        let (mut from, mut to) = (lines.at.cast::<T>(), to);
        for _ in 0..lines.k {
            for group in (0..width).step_by(16) {
                let left = lines.count.saturating_sub(group);
                // SAFETY: `left` elements of this k from line `group` on exist; the store is inside the panel and its
                // slack.
                unsafe {
                    let at = from.wrapping_add(group);
                    let units = if left >= 16 { load::<T, 1>(at) } else { load_some::<T, 1>(at, left) };
                    _mm512_storeu_si512(to.wrapping_add(group).cast(), units);
                }
            }
            (from, to) = (from.wrapping_offset(lines.step), to.wrapping_add(width));
        }
    }

    /// Lines next to each other, as bf16: sixteen pairs of two k at a time.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    unsafe fn straight_pairs<T: Stored>(lines: Lines, width: usize, to: *mut u32) {
        let whole = if width == 32 && lines.count == 32 { lines.k / 2 * 2 } else { 0 };
        if whole > 0 {
            // SAFETY: `whole` elements of 32 lines exist; the panel is as long.
            unsafe { whole_pairs::<T>(&lines, whole, to) };
        }
        let mut to = to.wrapping_add(whole / 2 * width);
        for k in (whole..lines.k).step_by(2) {
            let even = lines.at.cast::<T>().wrapping_offset((k as isize).wrapping_mul(lines.step));
            for group in (0..width).step_by(16) {
                let left = lines.count.saturating_sub(group).min(16);
                let second = if k + 1 < lines.k { left } else { 0 };
                let at = even.wrapping_add(group);
                // SAFETY: `left` elements of k, and of k + 1 if it exists, from line `group` on exist; the store is
                // inside the panel and its slack.
                unsafe {
                    let low = load_some::<T, 1>(at, left);
                    let high = load_some::<T, 1>(at.wrapping_offset(lines.step), second);
                    let units = _mm512_or_si512(_mm512_srli_epi32::<16>(low), high);
                    _mm512_storeu_si512(to.wrapping_add(group).cast(), units);
                }
            }
            to = to.wrapping_add(width);
        }
    }

    /// The pairs of an even number of elements of 32 lines next to each other.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    unsafe fn whole_pairs<T: Stored>(lines: &Lines, elements: usize, to: *mut u32) {
        // Element i of both rows alternately: 16 pairs from the first, 16 from the middle.
        let alternate = |first: i32| {
            let lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
            let even = _mm512_add_epi32(lane, _mm512_set1_epi32(first));
            _mm512_or_si512(even, _mm512_slli_epi32::<16>(_mm512_add_epi32(even, _mm512_set1_epi32(32))))
        };
        let (left, right) = (alternate(0), alternate(16));
        let (mut from, mut to) = (lines.at.cast::<T>(), to);
        for _ in 0..elements / 2 {
            let next = from.wrapping_offset(lines.step);
            // SAFETY: 32 elements of either k exist, and 32 units of the panel: the caller's.
            unsafe {
                let (even, odd) = (load::<T, 2>(from), load::<T, 2>(next));
                _mm512_storeu_si512(to.cast(), _mm512_permutex2var_epi16(even, left, odd));
                _mm512_storeu_si512(to.wrapping_add(16).cast(), _mm512_permutex2var_epi16(even, right, odd));
            }
            (from, to) = (next.wrapping_offset(lines.step), to.wrapping_add(32));
        }
    }

    /// Lines of bytes next to each other: sixteen units of four k at a time.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    unsafe fn straight_quads(lines: Lines, width: usize, to: *mut u32) {
        let flip = _mm512_set1_epi32(lines.flip.cast_signed());
        for (unit, k) in (0..lines.k).step_by(4).enumerate() {
            let from = lines.at.wrapping_offset((k as isize).wrapping_mul(lines.step));
            for group in (0..width).step_by(16) {
                let mask = ((1u64 << lines.count.saturating_sub(group).min(16)) - 1) as u16;
                let row = |i: usize| {
                    let at = from.wrapping_offset((i as isize).wrapping_mul(lines.step)).wrapping_add(group);
                    let mask = if k + i < lines.k { mask } else { 0 };
                    // SAFETY: the mask admits the lines that are there, of a k that is there.
                    _mm512_cvtepu8_epi32(unsafe { _mm_maskz_loadu_epi8(mask, at.cast()) })
                };
                let low = _mm512_or_si512(row(0), _mm512_slli_epi32::<8>(row(1)));
                let high = _mm512_or_si512(_mm512_slli_epi32::<16>(row(2)), _mm512_slli_epi32::<24>(row(3)));
                let units = _mm512_xor_si512(_mm512_or_si512(low, high), flip);
                // SAFETY: inside the panel and its slack.
                unsafe { _mm512_storeu_si512(to.wrapping_add(unit * width + group).cast(), units) };
            }
        }
    }

    /// Sixteen units.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    unsafe fn load<T: Stored, const PER: usize>(at: *const T) -> __m512i {
        // SAFETY: their elements exist: the caller's.
        unsafe {
            match T::DTYPE {
                Dtype::F8E4m3 if PER == 2 => fp8::widen32::<E4m3>(_mm256_loadu_si256(at.cast())),
                Dtype::F8E5m2 if PER == 2 => fp8::widen32::<E5m2>(_mm256_loadu_si256(at.cast())),
                _ if PER > 1 => _mm512_loadu_si512(at.cast()),
                Dtype::F8E4m3 => _mm512_castps_si512(fp8::widen16::<E4m3>(_mm_loadu_si128(at.cast()))),
                Dtype::F8E5m2 => _mm512_castps_si512(fp8::widen16::<E5m2>(_mm_loadu_si128(at.cast()))),
                Dtype::Bf16 => _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(at.cast()))),
                Dtype::F16 => _mm512_castps_si512(_mm512_cvtph_ps(_mm256_loadu_si256(at.cast()))),
                _ => _mm512_loadu_si512(at.cast()),
            }
        }
    }

    /// Sixteen units of which the elements up to `left` exist, the rest 0.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    unsafe fn load_some<T: Stored, const PER: usize>(at: *const T, left: usize) -> __m512i {
        let long = if left < 64 { (1u64 << left) - 1 } else { u64::MAX };
        let mask = long as u32;
        // SAFETY: the mask admits `left` elements, which exist.
        unsafe {
            let eight = || _mm_maskz_loadu_epi8(mask as u16, at.cast());
            match T::DTYPE {
                Dtype::F8E4m3 if PER == 2 => fp8::widen32::<E4m3>(_mm256_maskz_loadu_epi8(mask, at.cast())),
                Dtype::F8E5m2 if PER == 2 => fp8::widen32::<E5m2>(_mm256_maskz_loadu_epi8(mask, at.cast())),
                _ if PER == 4 => _mm512_maskz_loadu_epi8(long, at.cast()),
                _ if PER == 2 => _mm512_maskz_loadu_epi16(mask, at.cast()),
                Dtype::F8E4m3 => _mm512_castps_si512(fp8::widen16::<E4m3>(eight())),
                Dtype::F8E5m2 => _mm512_castps_si512(fp8::widen16::<E5m2>(eight())),
                Dtype::Bf16 => {
                    let wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask as u16, at.cast()));
                    _mm512_slli_epi32::<16>(wide)
                }
                Dtype::F16 => {
                    _mm512_castps_si512(_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask as u16, at.cast())))
                }
                _ => _mm512_maskz_loadu_epi32(mask as u16, at.cast()),
            }
        }
    }
}
