//! Transposes in blocks: where x runs along one axis and y along another, squares of a cache line's length are read line
//! by line and written line by line, so that no line is fetched twice.

use super::square::{Lines, transpose};
use crate::kernels::moves::{Run, copy};
use crate::kernels::walk::Walk;
use crate::layout::Layout;

/// Bytes a cache line.
const LINE: usize = 64;

/// Two axes to be swapped, and what lies outside of them. `across` is where x runs, `along` where y runs.
pub struct Plane {
    size: usize,
    outer: Walk<2>,
    across: usize,
    along: usize,
    /// x's bytes from one index to the next along `along`.
    x_step: isize,
    /// y's bytes from one index to the next along `across`.
    y_step: isize,
}

impl Plane {
    /// Of two layouts of the same dims, y's widest stride first; `None` where nothing is to be swapped.
    pub fn new(x: &Layout, y: &Layout, size: usize) -> Option<Self> {
        let side = LINE / size;
        let runs =
            |layout: &Layout| (0..layout.rank()).rev().find(|&a| layout.dim(a) > 1 && layout.stride(a) == 1);
        let (across, along) = (runs(x)?, runs(y)?);
        let wide = across != along && size <= 8 && y.dim(across) >= side && y.dim(along) >= side;
        if !wide || y.is_empty() {
            return None;
        }
        let rest = |layout: &Layout| layout.without_axis(across.max(along)).without_axis(across.min(along));
        Some(Self {
            size,
            outer: Walk::new([&rest(x), &rest(y)]),
            across: y.dim(across),
            along: y.dim(along),
            x_step: x.stride(along) * size as isize,
            y_step: y.stride(across) * size as isize,
        })
    }

    /// Elements along a square's side.
    fn side(&self) -> usize {
        LINE / self.size
    }

    fn strips_a_plane(&self) -> usize {
        self.across.div_ceil(self.side())
    }

    /// Strips of squares: what threads share.
    pub fn strips(&self) -> usize {
        self.outer.count() * self.strips_a_plane()
    }

    /// Elements in a strip.
    pub fn strip_elements(&self) -> usize {
        self.along * self.side()
    }

    /// Copies one strip: a side's length across, all the way along.
    ///
    /// # Safety
    ///
    /// `x` and `y` are the origins of operands with the layouts that the plane was made of, apart from each other.
    pub unsafe fn copy_strip(&self, x: *const u8, y: *mut u8, strip: usize) {
        let (plane, first) = (strip / self.strips_a_plane(), strip % self.strips_a_plane() * self.side());
        let size = self.size as isize;
        let (run, skipped) = (plane / self.outer.run, (plane % self.outer.run) as isize);
        let start = self.outer.start(run);
        let at = |n: usize| (start[n] + skipped * self.outer.strides[n]) * size;
        let x = x.wrapping_offset(at(0) + first as isize * size);
        let y = y.wrapping_offset(at(1) + first as isize * self.y_step);
        let height = self.side().min(self.across - first);
        // SAFETY: this function's contract; rows `first..first + height` of the plane.
        unsafe { self.copy_rows(x, y, height) };
    }

    /// # Safety
    ///
    /// As for [`copy_strip`](Self::copy_strip), from the strip's first element.
    unsafe fn copy_rows(&self, x: *const u8, y: *mut u8, height: usize) {
        let side = self.side();
        for start in (0..self.along).step_by(side) {
            let width = side.min(self.along - start);
            let x = x.wrapping_offset(start as isize * self.x_step);
            let y = y.wrapping_add(start * self.size);
            // SAFETY: a square, or what is left of one, inside the strip.
            unsafe {
                if width == side && height == side {
                    let from = Lines { at: x.cast_mut(), step: self.x_step };
                    transpose(self.size, side, from, Lines { at: y, step: self.y_step });
                } else {
                    self.copy_rest(x, y, height, width);
                }
            }
        }
    }

    /// # Safety
    ///
    /// `height` times `width` elements from these addresses on lie inside the strip.
    unsafe fn copy_rest(&self, x: *const u8, y: *mut u8, height: usize, width: usize) {
        for row in 0..height {
            let from = Run { at: x.wrapping_add(row * self.size).cast_mut(), step: self.x_step };
            let to = Run { at: y.wrapping_offset(row as isize * self.y_step), step: self.size as isize };
            // SAFETY: `width` elements of one row, this function's contract.
            unsafe { copy(self.size, from, to, width) };
        }
    }
}
