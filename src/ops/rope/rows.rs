//! The arithmetic of one row: the cosines and sines of its position, and the turn of its pairs.

use crate::for_each_isa;
use crate::kernels::widen::Wide;
use crate::kernels::{angle, block};

/// A type that turns rows, and how its cosines and sines are computed.
pub(super) trait Turn: Wide {
    /// Writes the cosine and sine of `position * frequency` of every pair; all three are valid for `count` elements.
    fn waves(position: f64, frequencies: *const f64, cos: *mut Self, sin: *mut Self, count: usize);
}

impl Turn for f64 {
    fn waves(position: f64, frequencies: *const f64, cos: *mut f64, sin: *mut f64, count: usize) {
        for i in 0..count {
            // SAFETY: `i < count`, for which all three are valid.
            unsafe { (*sin.add(i), *cos.add(i)) = (position * *frequencies.add(i)).sin_cos() };
        }
    }
}

impl Turn for f32 {
    fn waves(position: f64, frequencies: *const f64, cos: *mut f32, sin: *mut f32, count: usize) {
        near(position, frequencies, cos, sin, count);
        for i in 0..count {
            // SAFETY: `i < count`, for which all three are valid.
            unsafe {
                let angle = position * *frequencies.add(i);
                if angle::far(angle) {
                    (*sin.add(i), *cos.add(i)) = angle::sin_cos_any(angle);
                }
            }
        }
    }
}

for_each_isa! {
    fn near(position: f64, frequencies: *const f64, cos: *mut f32, sin: *mut f32, count: usize) {
        for i in 0..count {
            // SAFETY: `i < count`, for which the caller of `waves` promises all three.
            unsafe { (*sin.add(i), *cos.add(i)) = angle::sin_cos(position * *frequencies.add(i)) };
        }
    }
}

/// One row to turn: x valid for `pairs * 2` reads, y for as many writes (x itself or apart from it), cos and sin for
/// `pairs` reads.
#[derive(Clone, Copy)]
pub(super) struct Row<T> {
    pub x: *const T,
    pub y: *mut T,
    pub cos: *const T,
    pub sin: *const T,
    pub pairs: usize,
}

for_each_isa! {
    /// Pairs are i and i + pairs.
    pub(super) fn turn_halves<T: Turn>(row: Row<T>) {
        let (x, y, pairs) = (row.x, row.y, row.pairs);
        let whole = pairs - pairs % 16;
        for i in (0..whole).step_by(16) {
            let second = i.wrapping_add(pairs);
            // SAFETY: `i + 16 <= pairs`, so both halves' blocks lie in the row.
            let (mut a, mut b, cos, sin) = unsafe {
                (block::read(x, i), block::read(x, second), block::read(row.cos, i), block::read(row.sin, i))
            };
            for k in 0..16 {
                (a[k], b[k]) = (a[k] * cos[k] - b[k] * sin[k], b[k] * cos[k] + a[k] * sin[k]);
            }
            // SAFETY: as above.
            unsafe {
                block::write(y, i, a);
                block::write(y, second, b);
            }
        }
        for i in whole..pairs {
            let second = i.wrapping_add(pairs);
            // SAFETY: `i < pairs`.
            unsafe {
                let (a, b, cos, sin) = (*x.add(i), *x.add(second), *row.cos.add(i), *row.sin.add(i));
                (*y.add(i), *y.add(second)) = (a * cos - b * sin, b * cos + a * sin);
            }
        }
    }
}

for_each_isa! {
    /// Pairs are 2i and 2i + 1.
    pub(super) fn turn_neighbours<T: Turn>(row: Row<T>) {
        let (x, y, pairs) = (row.x, row.y, row.pairs);
        let whole = pairs - pairs % 16;
        for i in (0..whole).step_by(16) {
            let first = i.wrapping_mul(2);
            // SAFETY: `i + 16 <= pairs`, so both blocks lie in the row.
            let (a, b, cos, sin) = unsafe {
                let second = block::read(x, first.wrapping_add(16));
                (block::read(x, first), second, block::read(row.cos, i), block::read(row.sin, i))
            };
            let (mut c, mut d) = (a, b);
            for k in 0..8 {
                (c[2 * k], c[2 * k + 1]) = turn(a[2 * k], a[2 * k + 1], cos[k], sin[k]);
                (d[2 * k], d[2 * k + 1]) = turn(b[2 * k], b[2 * k + 1], cos[k + 8], sin[k + 8]);
            }
            // SAFETY: as above.
            unsafe {
                block::write(y, first, c);
                block::write(y, first.wrapping_add(16), d);
            }
        }
        for i in whole..pairs {
            let first = i.wrapping_mul(2);
            // SAFETY: `i < pairs`.
            unsafe {
                let (a, b) = (*x.add(first), *x.add(first.wrapping_add(1)));
                let (c, d) = turn(a, b, *row.cos.add(i), *row.sin.add(i));
                (*y.add(first), *y.add(first.wrapping_add(1))) = (c, d);
            }
        }
    }
}

#[inline(always)]
fn turn<T: Wide>(a: T, b: T, cos: T, sin: T) -> (T, T) {
    (a * cos - b * sin, b * cos + a * sin)
}
