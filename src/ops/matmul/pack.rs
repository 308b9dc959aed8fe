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
    match (lines.step, lines.line) {
        // SAFETY: the caller's; only AVX-512 kernels have 32 columns.
        (1, _) if kernel.cols == 32 => return unsafe { x86::transposed(kernel.pairs, lines, width, to) },
        // SAFETY: as above.
        (_, 1) if kernel.cols == 32 => return unsafe { x86::straight(kernel.pairs, lines, width, to) },
        _ => {}
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
    use crate::ops::matmul::transpose::transpose;
    use std::arch::x86_64::*;

    /// Lines contiguous in k: blocks of 16 lines by 16 units through registers. A block's columns are stored whole, so
    /// what falls past a narrow panel's line is overwritten by the next k.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    pub unsafe fn transposed(pairs: bool, lines: Lines, width: usize, to: *mut u32) {
        let elements = if pairs { 32 } else { 16 };
        for k in (0..lines.k).step_by(elements) {
            let left = (lines.k - k).min(elements);
            let units = if pairs { left.div_ceil(2) } else { left };
            for group in (0..width).step_by(16) {
                let mut rows = [_mm512_setzero_si512(); 16];
                for (i, row) in rows.iter_mut().enumerate().take(lines.count.saturating_sub(group).min(16)) {
                    let line = ((group + i) as isize).wrapping_mul(lines.line).wrapping_add(k as isize);
                    // SAFETY: `left` elements of the line from k exist.
                    *row = unsafe { load(pairs, &lines, line, left) };
                }
                let columns = transpose(rows);
                let first = to.wrapping_add(if pairs { k / 2 } else { k } * width + group);
                for (unit, column) in columns.into_iter().enumerate().take(units) {
                    // SAFETY: inside the panel and its slack.
                    unsafe { _mm512_storeu_si512(first.wrapping_add(unit * width).cast(), column) };
                }
            }
        }
    }

    /// Lines next to each other: sixteen elements of one k at a time.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    pub unsafe fn straight(pairs: bool, lines: Lines, width: usize, to: *mut u32) {
        let elements = if pairs { 2 } else { 1 };
        let whole = if pairs && width == 32 && lines.count == 32 { lines.k / 2 * 2 } else { 0 };
        if whole > 0 {
            // SAFETY: `whole` elements of 32 lines exist; the panel is as long.
            unsafe { whole_pairs(&lines, whole, to) };
        }
        let mut to = to.wrapping_add(whole / 2 * width);
        for k in (whole..lines.k).step_by(elements) {
            for group in (0..width).step_by(16) {
                let left = lines.count.saturating_sub(group).min(16);
                let at = (k as isize).wrapping_mul(lines.step).wrapping_add(group as isize);
                // SAFETY: `left` elements of k, and of k + 1 if it exists, from line `group` on exist; the store is
                // inside the panel and its slack.
                unsafe {
                    let mut units = load(false, &lines, at, left);
                    if pairs {
                        let second = if k + 1 < lines.k { left } else { 0 };
                        let high = load(false, &lines, at.wrapping_add(lines.step), second);
                        units = _mm512_or_si512(_mm512_srli_epi32::<16>(units), high);
                    }
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

    /// Sixteen units of which `left` elements exist, the rest 0.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    unsafe fn load(pairs: bool, lines: &Lines, at: isize, left: usize) -> __m512i {
        let halves = lines.at.cast::<i16>().wrapping_offset(at);
        let mask = ((1u64 << left) - 1) as u32;
        // SAFETY: the mask admits `left` elements, which exist.
        unsafe {
            match lines.dtype {
                Dtype::Bf16 if pairs => _mm512_maskz_loadu_epi16(mask, halves),
                Dtype::Bf16 => {
                    let wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask as u16, halves));
                    _mm512_slli_epi32::<16>(wide)
                }
                Dtype::F16 => {
                    _mm512_castps_si512(_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask as u16, halves)))
                }
                _ => _mm512_maskz_loadu_epi32(mask as u16, lines.at.cast::<i32>().wrapping_offset(at)),
            }
        }
    }
}
