//! From strided rows of any float type to the packed operands of the tile: widened to f32, or as pairs of bf16.

use super::keys::Rows;
use super::simd::Simd;
use super::space::Space;
use crate::dtype::Float;

/// `count` elements at `stride` as words of `S`, then zeros up to `padded` words.
///
/// # Safety
///
/// The elements are readable, `to` is valid for `padded` words, and `S` is there.
#[inline(always)]
pub(super) unsafe fn row<S: Simd, T: Float>(
    from: *const T,
    stride: isize,
    count: usize,
    to: *mut f32,
    padded: usize,
) {
    // SAFETY: this function's contract; a word of `S` holds `PAIR` elements, so `count` fit into `padded` words.
    unsafe {
        if S::PAIR == 2 {
            let to = to.cast::<T>();
            copy(from, stride, count, to);
            to.add(count).write_bytes(0, padded * 2 - count);
        } else {
            widen::<S, T>(from, stride, count, to);
            to.add(count).write_bytes(0, padded - count);
        }
    }
}

/// # Safety
///
/// `count` elements can be read at `stride` and written.
#[inline(always)]
unsafe fn copy<T: Copy>(from: *const T, stride: isize, count: usize, to: *mut T) {
    // SAFETY: this function's contract; scratch memory and buffers are apart.
    unsafe {
        if stride == 1 {
            return std::ptr::copy_nonoverlapping(from, to, count);
        }
        for i in 0..count {
            to.add(i).write(from.wrapping_offset((i as isize).wrapping_mul(stride)).read());
        }
    }
}

/// # Safety
///
/// `count` elements can be read at `stride` and written; `S` is there.
#[inline(always)]
pub(super) unsafe fn widen<S: Simd, T: Float>(from: *const T, stride: isize, count: usize, to: *mut f32) {
    let whole = if stride == 1 { count - count % S::LANES } else { 0 };
    // SAFETY: this function's contract.
    unsafe {
        for i in (0..whole).step_by(S::LANES) {
            S::store(to.add(i), S::load_as(from.add(i)));
        }
        for i in whole..count {
            to.add(i).write(from.wrapping_offset((i as isize).wrapping_mul(stride)).read().to_f32());
        }
    }
}

/// Packs keys `start + low..start + high` of the block that begins at `start` into panels, each word of a key in a row of
/// its own; other keys of the panels touched are zero.
///
/// # Safety
///
/// The keys are in use, `space` was made for `S` and `dim`, and `S` is there.
#[inline(always)]
pub(super) unsafe fn keys<S: Simd, T: Float>(
    rows: &Rows<T>,
    dim: usize,
    start: usize,
    (low, high): (usize, usize),
    space: &Space,
) {
    let first = low / space.panel * space.panel;
    for key in (first..high.next_multiple_of(space.panel)).step_by(S::LANES) {
        let (from, step) = if key >= low && key + S::LANES <= high && dim == space.padded * S::PAIR {
            in_place::<S, T>(rows, start + key)
        } else {
            None
        }
        .unwrap_or((space.stage.cast_const(), space.padded));
        // SAFETY: a panel holds `padded` rows of `panel` words, the stage `LANES` rows of `padded`, and what is used in
        // place is as large.
        unsafe {
            if from == space.stage {
                stage::<S, T>(rows, dim, start, key, (low, high), space);
            }
            let panel = space.k.add(key / space.panel * space.padded * space.panel + key % space.panel);
            for word in (0..space.padded).step_by(S::LANES) {
                S::transpose(from.add(word), step, panel.add(word * space.panel), space.panel);
            }
        }
    }
}

/// Rows that need no staging: already words of `S`, one element after another, in steps of whole words.
#[inline(always)]
fn in_place<S: Simd, T: Float>(rows: &Rows<T>, j: usize) -> Option<(*const f32, usize)> {
    let (at, step, run) = rows.run(j);
    let words = size_of::<T>() * S::PAIR == 4
        && rows.stride == 1
        && step >= 0
        && (step as usize).is_multiple_of(S::PAIR);
    (words && run >= S::LANES).then_some((at.cast(), step as usize / S::PAIR))
}

/// # Safety
///
/// As for [`keys`].
#[inline(always)]
unsafe fn stage<S: Simd, T: Float>(
    rows: &Rows<T>,
    dim: usize,
    start: usize,
    key: usize,
    (low, high): (usize, usize),
    space: &Space,
) {
    for lane in 0..S::LANES {
        let inside = key + lane >= low && key + lane < high;
        let count = if inside { dim } else { 0 };
        let from = if inside { rows.row(start + key + lane) } else { std::ptr::null() };
        // SAFETY: a key in use has `dim` elements; the stage has `LANES` rows of `padded` words. None is read of null.
        unsafe { row::<S, T>(from, rows.stride, count, space.stage.add(lane * space.padded), space.padded) };
    }
}

/// Packs values `start + low..start + high` into rows of `width` words, `PAIR` values to a row, zeros around them up to
/// whole vectors of keys. Returns whether all are finite.
///
/// # Safety
///
/// As for [`keys`], with `dim` that of the values.
#[inline(always)]
pub(super) unsafe fn values<S: Simd, T: Float>(
    rows: &Rows<T>,
    dim: usize,
    start: usize,
    (low, high): (usize, usize),
    space: &Space,
) -> bool {
    let (first, end) = (low / S::LANES * S::LANES, high.next_multiple_of(S::LANES));
    let at = |j: usize| if j >= low && j < high { rows.row(start + j) } else { std::ptr::null() };
    // SAFETY: `space.v` has a row of `width` words for each `PAIR` keys of a block, and a value in use `dim` elements.
    unsafe {
        for j in (first..end).step_by(S::PAIR) {
            let to = space.v.add(j / S::PAIR * space.width);
            if S::PAIR == 2 {
                zip(at(j), at(j + 1), rows.stride, dim, to.cast::<T>());
                to.add(dim).write_bytes(0, space.width - dim);
            } else {
                row::<S, T>(at(j), rows.stride, if at(j).is_null() { 0 } else { dim }, to, space.width);
            }
        }
        let (from, to) = (first / S::PAIR * space.width, end / S::PAIR * space.width);
        finite::<S>(space.v.add(from), to - from)
    }
}

/// Elements of two rows side by side; a null row is zeros.
///
/// # Safety
///
/// A row that is not null has `count` elements at `stride`; `to` is valid for twice as many.
#[inline(always)]
unsafe fn zip<T: Float>(a: *const T, b: *const T, stride: isize, count: usize, to: *mut T) {
    // SAFETY: this function's contract.
    unsafe {
        if stride == 1 && !a.is_null() && !b.is_null() && size_of::<T>() == 2 {
            let (a, b, to) = (a.cast::<u16>(), b.cast::<u16>(), to.cast::<u32>());
            for i in 0..count {
                to.add(i).write_unaligned(u32::from(a.add(i).read()) | u32::from(b.add(i).read()) << 16);
            }
            return;
        }
        for (half, from) in [a, b].into_iter().enumerate() {
            for i in 0..count {
                let at = from.wrapping_offset((i as isize).wrapping_mul(stride));
                to.add(2 * i + half).write(if from.is_null() { T::from_f32(0.0) } else { at.read() });
            }
        }
    }
}

/// Whether no element of `count` words, a multiple of the lanes, is infinite or NaN.
///
/// # Safety
///
/// The words are readable and `S` is there.
#[inline(always)]
unsafe fn finite<S: Simd>(from: *const f32, count: usize) -> bool {
    // SAFETY: this function's contract.
    unsafe {
        if S::PAIR == 1 {
            let zero = S::splat(0.0);
            let mut sum = zero;
            for i in (0..count).step_by(S::LANES) {
                sum = S::fma(S::load(from.add(i)), zero, sum);
            }
            return S::sum(sum) == 0.0;
        }
        let from = from.cast::<u32>();
        let mut odd = 0;
        for i in 0..count {
            let word = from.add(i).read();
            odd |= u32::from(word & 0x7f80 == 0x7f80) | u32::from(word & 0x7f80_0000 == 0x7f80_0000);
        }
        odd == 0
    }
}
