//! Vectors and matrices in memory, and room in which a vector's elements lie side by side.

use crate::layout::Layout;
use crate::op::Operand;
use crate::ops::blas::number::Number;
use std::mem::MaybeUninit;

/// Elements that fit a room.
pub(in crate::ops::blas) const CHUNK: usize = 1024;

/// Elements at a distance from each other.
#[derive(Clone, Copy)]
pub struct Vector<N> {
    /// The first.
    pub at: *mut N,
    /// From one to the next, in elements.
    pub step: isize,
}

/// Rows and columns of elements.
#[derive(Clone, Copy)]
pub struct Matrix<N> {
    /// The first.
    pub at: *mut N,
    /// From a row to the next, in elements.
    pub row: isize,
    /// From a column to the next.
    pub col: isize,
}

// SAFETY: an address and strides; who reads and writes there from several threads says why it may.
unsafe impl<N> Send for Vector<N> {}
// SAFETY: as above.
unsafe impl<N> Sync for Vector<N> {}
// SAFETY: as above.
unsafe impl<N> Send for Matrix<N> {}
// SAFETY: as above.
unsafe impl<N> Sync for Matrix<N> {}

impl<N: Number> Vector<N> {
    /// The last axis of an operand, `skipped` elements behind its origin.
    pub fn of(operand: &Operand, skipped: isize) -> Self {
        let layout = operand.layout();
        Self { at: operand.ptr::<N>().wrapping_offset(skipped), step: layout.stride(layout.rank() - 1) }
    }

    /// Element `index`.
    #[inline(always)]
    pub fn element(self, index: usize) -> *mut N {
        self.at.wrapping_offset(self.step.wrapping_mul(index as isize))
    }

    /// From element `index` on.
    pub fn skip(self, index: usize) -> Self {
        Self { at: self.element(index), ..self }
    }

    /// `count` elements (at most [`CHUNK`] unless they lie side by side and are not conjugated) side by side.
    ///
    /// # Safety
    ///
    /// The vector holds `count` elements that nobody writes meanwhile.
    pub unsafe fn packed(self, count: usize, conjugate: bool, room: &mut Room<N>) -> *const N {
        if self.step == 1 && !conjugate {
            return self.at;
        }
        let to = room.0.as_mut_ptr().cast::<N>();
        for i in 0..count {
            // SAFETY: this function's contract; the room has place for as many.
            unsafe {
                let element = self.element(i).read();
                to.add(i).write(if conjugate { element.conjugate() } else { element });
            }
        }
        to
    }
}

impl<N: Number> Matrix<N> {
    /// The last two axes of an operand, `skipped` elements behind its origin.
    pub fn of(operand: &Operand, skipped: isize) -> Self {
        let (layout, rank) = (operand.layout(), operand.layout().rank());
        let at = operand.ptr::<N>().wrapping_offset(skipped);
        Self { at, row: layout.stride(rank - 2), col: layout.stride(rank - 1) }
    }

    /// The transpose.
    pub fn turned(self) -> Self {
        Self { row: self.col, col: self.row, ..self }
    }

    /// Element (i, j).
    #[inline(always)]
    pub fn element(self, i: usize, j: usize) -> *mut N {
        let at = self.row.wrapping_mul(i as isize).wrapping_add(self.col.wrapping_mul(j as isize));
        self.at.wrapping_offset(at)
    }

    /// From element (i, j) on.
    pub fn skip(self, i: usize, j: usize) -> Self {
        Self { at: self.element(i, j), ..self }
    }

    /// Row `i`.
    pub fn row(self, i: usize) -> Vector<N> {
        Vector { at: self.element(i, 0), step: self.col }
    }
}

/// Room for a chunk of elements, undefined at first.
pub struct Room<N>(MaybeUninit<[N; CHUNK]>);

impl<N> Room<N> {
    /// An undefined one.
    pub const fn new() -> Self {
        Self(MaybeUninit::uninit())
    }
}

/// The batch axes of an operand whose last `axes` axes are a vector or a matrix.
pub fn batch(operand: &Operand, axes: usize) -> Layout {
    operand.layout().split(axes).0
}
