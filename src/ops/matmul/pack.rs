//! Packing: rows of A or columns of B become panels in which a register tile reads straight ahead.

use super::element::Element;
use super::tile::Kernel;
use crate::dtype::{Dtype, bf16, f16};
use crate::for_each_isa;

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
}

/// Writes `ceil(k / elements a unit)` times `width` units, 0 where there is no line or no element.
///
/// # Safety
///
/// The lines exist; `to` is writable for the panel and SLACK units more; a kernel of pairs has bf16 lines.
pub unsafe fn pack(kernel: &Kernel, lines: Lines, width: usize, to: *mut u32) {
    #[cfg(target_arch = "x86_64")]
    // Only AVX-512 kernels have 32 columns.
    if kernel.cols == 32 && (lines.step == 1 || lines.line == 1) {
        // SAFETY: the caller's; elements are of the type they are read as.
        return unsafe {
            match lines.dtype {
                Dtype::Bf16 if kernel.pairs => x86::panel::<bf16, true>(lines, width, to),
                Dtype::Bf16 => x86::panel::<bf16, false>(lines, width, to),
                Dtype::F16 => x86::panel::<f16, false>(lines, width, to),
                _ => x86::panel::<f32, false>(lines, width, to),
            }
        };
    }
    match lines.dtype {
        Dtype::Bf16 if kernel.pairs => pairs(lines, width, to),
        Dtype::Bf16 => singles::<bf16>(lines, width, to),
        Dtype::F16 => singles::<f16>(lines, width, to),
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
    fn pairs(lines: Lines, width: usize, to: *mut u32) {
        for pair in 0..lines.k.div_ceil(2) {
            let from = lines.at.cast::<u16>().wrapping_offset((2 * pair as isize).wrapping_mul(lines.step));
            let both = 2 * pair + 1 < lines.k;
            let read = |at: isize| {
                // SAFETY: the elements 2 pair and, if `both`, 2 pair + 1 of the line exist: the contract of `pack`.
                unsafe {
                    let low = u32::from(from.wrapping_offset(at).read());
                    let high = if both { u32::from(from.wrapping_offset(at).wrapping_offset(lines.step).read()) } else { 0 };
                    low | high << 16
                }
            };
            // SAFETY: `width` units of the panel.
            let out = unsafe { std::slice::from_raw_parts_mut(to.wrapping_add(pair * width), width) };
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

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::*;
    use crate::dtype::bf16;
    use crate::ops::matmul::transpose::transpose;
    use std::arch::x86_64::*;

    /// Packs lines that are contiguous in k, or next to each other, of elements T: pairs of them a unit, or one.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    pub unsafe fn panel<T: Element, const PAIRS: bool>(lines: Lines, width: usize, to: *mut u32) {
        // SAFETY: the caller's.
        unsafe {
            match lines.step {
                1 => transposed::<T, PAIRS>(lines, width, to),
                _ if PAIRS => straight_pairs(lines, width, to),
                _ => straight::<T>(lines, width, to),
            }
        }
    }

    /// Lines contiguous in k: blocks of 16 lines by 16 units through registers. A block's columns are stored whole, so
    /// what falls past a narrow panel's line is overwritten by the next k.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    unsafe fn transposed<T: Element, const PAIRS: bool>(lines: Lines, width: usize, to: *mut u32) {
        let elements = 16 * (1 + usize::from(PAIRS));
        let whole = lines.k / elements * elements;
        for k in (0..whole).step_by(elements) {
            // SAFETY: `elements` elements of each line from k exist; 16 units of the panel and its slack.
            unsafe {
                blocks::<T, PAIRS, true>(
                    &lines,
                    width,
                    k,
                    elements,
                    to.wrapping_add(k / elements * 16 * width),
                )
            };
        }
        if whole < lines.k {
            let to = to.wrapping_add(whole / elements * 16 * width);
            // SAFETY: as above, of the elements that are left and their units.
            unsafe { blocks::<T, PAIRS, false>(&lines, width, whole, lines.k - whole, to) };
        }
    }

    /// The `left` elements of all lines from k on, 16 lines at a time; WHOLE if they are 16 units.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    unsafe fn blocks<T: Element, const PAIRS: bool, const WHOLE: bool>(
        lines: &Lines,
        width: usize,
        k: usize,
        left: usize,
        to: *mut u32,
    ) {
        let units = if PAIRS { left.div_ceil(2) } else { left };
        for group in (0..width).step_by(16) {
            let mut rows = [_mm512_setzero_si512(); 16];
            for (i, row) in rows.iter_mut().enumerate() {
                // Past the last line, where no sum counts, the last is read again: without branches all stays in registers.
                let line = (group + i).min(lines.count - 1).cast_signed().wrapping_mul(lines.line);
                let at = lines.at.cast::<T>().wrapping_offset(line).wrapping_add(k);
                // SAFETY: `left` elements of the line from k exist.
                *row = unsafe { if WHOLE { load::<T, PAIRS>(at) } else { load_some::<T, PAIRS>(at, left) } };
            }
            for (unit, column) in transpose(rows).into_iter().enumerate() {
                if WHOLE || unit < units {
                    // SAFETY: inside the panel and its slack.
                    unsafe { _mm512_storeu_si512(to.wrapping_add(unit * width + group).cast(), column) };
                }
            }
        }
    }

    /// Lines next to each other, an element a unit: sixteen elements of one k at a time.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    unsafe fn straight<T: Element>(lines: Lines, width: usize, to: *mut u32) {
        let (mut from, mut to) = (lines.at.cast::<T>(), to);
        for _ in 0..lines.k {
            for group in (0..width).step_by(16) {
                let left = lines.count.saturating_sub(group);
                // SAFETY: `left` elements of this k from line `group` on exist; the store is inside the panel and its
                // slack.
                unsafe {
                    let at = from.wrapping_add(group);
                    let units =
                        if left >= 16 { load::<T, false>(at) } else { load_some::<T, false>(at, left) };
                    _mm512_storeu_si512(to.wrapping_add(group).cast(), units);
                }
            }
            (from, to) = (from.wrapping_offset(lines.step), to.wrapping_add(width));
        }
    }

    /// Lines of bf16 next to each other: sixteen pairs of two k at a time.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    unsafe fn straight_pairs(lines: Lines, width: usize, to: *mut u32) {
        let whole = if width == 32 && lines.count == 32 { lines.k / 2 * 2 } else { 0 };
        if whole > 0 {
            // SAFETY: `whole` elements of 32 lines exist; the panel is as long.
            unsafe { whole_pairs(&lines, whole, to) };
        }
        let mut to = to.wrapping_add(whole / 2 * width);
        for k in (whole..lines.k).step_by(2) {
            let even = lines.at.cast::<bf16>().wrapping_offset((k as isize).wrapping_mul(lines.step));
            for group in (0..width).step_by(16) {
                let left = lines.count.saturating_sub(group).min(16);
                let second = if k + 1 < lines.k { left } else { 0 };
                let at = even.wrapping_add(group);
                // SAFETY: `left` elements of k, and of k + 1 if it exists, from line `group` on exist; the store is
                // inside the panel and its slack.
                unsafe {
                    let low = load_some::<bf16, false>(at, left);
                    let high = load_some::<bf16, false>(at.wrapping_offset(lines.step), second);
                    let units = _mm512_or_si512(_mm512_srli_epi32::<16>(low), high);
                    _mm512_storeu_si512(to.wrapping_add(group).cast(), units);
                }
            }
            to = to.wrapping_add(width);
        }
    }

    /// The pairs of an even number of elements of 32 lines next to each other.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    unsafe fn whole_pairs(lines: &Lines, elements: usize, to: *mut u32) {
        // Element i of both rows alternately: 16 pairs from the first, 16 from the middle.
        let alternate = |first: i32| {
            let lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
            let even = _mm512_add_epi32(lane, _mm512_set1_epi32(first));
            _mm512_or_si512(even, _mm512_slli_epi32::<16>(_mm512_add_epi32(even, _mm512_set1_epi32(32))))
        };
        let (left, right) = (alternate(0), alternate(16));
        let (mut from, mut to) = (lines.at.cast::<u16>(), to);
        for _ in 0..elements / 2 {
            let next = from.wrapping_offset(lines.step);
            // SAFETY: 32 elements of either k exist, and 32 units of the panel: the caller's.
            unsafe {
                let (even, odd) = (_mm512_loadu_si512(from.cast()), _mm512_loadu_si512(next.cast()));
                _mm512_storeu_si512(to.cast(), _mm512_permutex2var_epi16(even, left, odd));
                _mm512_storeu_si512(to.wrapping_add(16).cast(), _mm512_permutex2var_epi16(even, right, odd));
            }
            (from, to) = (next.wrapping_offset(lines.step), to.wrapping_add(32));
        }
    }

    /// Sixteen units.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    unsafe fn load<T: Element, const PAIRS: bool>(at: *const T) -> __m512i {
        // SAFETY: their elements exist: the caller's.
        unsafe {
            match T::DTYPE {
                _ if PAIRS => _mm512_loadu_si512(at.cast()),
                Dtype::Bf16 => _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(at.cast()))),
                Dtype::F16 => _mm512_castps_si512(_mm512_cvtph_ps(_mm256_loadu_si256(at.cast()))),
                _ => _mm512_loadu_si512(at.cast()),
            }
        }
    }

    /// Sixteen units of which the elements up to `left` exist, the rest 0.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    unsafe fn load_some<T: Element, const PAIRS: bool>(at: *const T, left: usize) -> __m512i {
        let mask = ((1u64 << left) - 1) as u32;
        // SAFETY: the mask admits `left` elements, which exist.
        unsafe {
            match T::DTYPE {
                _ if PAIRS => _mm512_maskz_loadu_epi16(mask, at.cast()),
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
