//! The arithmetic of one row: the cosines and sines of its position, and the turn of its pairs.

use crate::for_each_isa;
use crate::kernels::angle;
use crate::kernels::widen::Wide;

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
        if !near(position, frequencies, cos, sin, count) {
            return;
        }
        for i in 0..count {
            // SAFETY: `i < count`, for which all three are valid.
            unsafe { (*sin.add(i), *cos.add(i)) = angle::sin_cos_any(position * *frequencies.add(i)) };
        }
    }
}

for_each_isa! {
    /// Whether some angle is far, and its sine and cosine wrong.
    fn near(position: f64, frequencies: *const f64, cos: *mut f32, sin: *mut f32, count: usize) -> bool {
        let mut far = false;
        for i in 0..count {
            // SAFETY: `i < count`, for which the caller of `waves` promises all three.
            unsafe {
                let angle = position * *frequencies.add(i);
                far |= angle::far(angle);
                (*sin.add(i), *cos.add(i)) = angle::sin_cos(angle);
            }
        }
        far
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

impl<T: Turn> Row<T> {
    /// In place, read through y: the loops are compiled knowing whether x and y are the same memory.
    fn is_in_place(self) -> bool {
        std::ptr::eq(self.x, self.y)
    }

    /// Turns pairs of i and i + pairs.
    pub fn turn_halves(self) {
        if self.is_in_place() { halves_in_place(self) } else { halves(self) }
    }

    /// Turns pairs of 2i and 2i + 1.
    pub fn turn_neighbours(self) {
        if self.is_in_place() { neighbours_in_place(self) } else { neighbours(self) }
    }
}

/// A loop over pairs: where x is read, and from which of its elements.
macro_rules! turn {
    ($name:ident, $row:ident, $x:expr, $i:ident, $first:expr, $second:expr) => {
        for_each_isa! {
            fn $name<T: Turn>($row: Row<T>) {
                for $i in 0..$row.pairs {
                    // SAFETY: `i < pairs`, so both elements are in the row.
                    unsafe {
                        let (a, b) = (*$x.add($first), *$x.add($second));
                        let (cos, sin) = (*$row.cos.add($i), *$row.sin.add($i));
                        *$row.y.add($first) = a * cos - b * sin;
                        *$row.y.add($second) = b * cos + a * sin;
                    }
                }
            }
        }
    };
}
turn!(halves, row, row.x, i, i, i.wrapping_add(row.pairs));
turn!(halves_in_place, row, row.y, i, i, i.wrapping_add(row.pairs));
turn!(neighbours, row, row.x, i, i.wrapping_mul(2), i.wrapping_mul(2).wrapping_add(1));
turn!(neighbours_in_place, row, row.y, i, i.wrapping_mul(2), i.wrapping_mul(2).wrapping_add(1));
