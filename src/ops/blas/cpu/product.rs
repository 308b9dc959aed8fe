//! Products of blocks through the crate `gemm`, run serially.

use super::view::Matrix;
use crate::ops::blas::number::Number;

/// Rows, columns and depth of a product.
#[derive(Clone, Copy)]
pub struct Sizes {
    /// Rows of the result.
    pub rows: usize,
    /// Columns of the result.
    pub columns: usize,
    /// Products an element.
    pub depth: usize,
}

/// to = a b, or to = to - a b; each factor conjugated where said.
///
/// # Safety
///
/// The views hold blocks of these sizes, `to` is written by nobody else and apart from both.
pub unsafe fn product<N: Number>(
    to: Matrix<N>,
    (a, conjugate_a): (Matrix<N>, bool),
    (b, conjugate_b): (Matrix<N>, bool),
    sizes: Sizes,
    subtract: bool,
) {
    let (keep, factor) = if subtract { (1.0, -1.0) } else { (0.0, 1.0) };
    // SAFETY: this function's contract; the crate's type of a number lies in memory as this library's.
    unsafe {
        ::gemm::gemm::<N::Gemm>(
            sizes.rows,
            sizes.columns,
            sizes.depth,
            to.at.cast(),
            to.col,
            to.row,
            subtract,
            a.at.cast_const().cast(),
            a.col,
            a.row,
            b.at.cast_const().cast(),
            b.col,
            b.row,
            N::of(keep, 0.0).gemm(),
            N::of(factor, 0.0).gemm(),
            false,
            conjugate_a,
            conjugate_b,
            ::gemm::Parallelism::None,
        );
    }
}
