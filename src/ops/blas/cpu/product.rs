//! Products of blocks through the crate `gemm`, run serially.

use super::view::Matrix;
use crate::ops::blas::factor::Factor;
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

/// to = keep to + factor a b, with `to` unread where `keep` is 0; a and b conjugated where said.
///
/// # Safety
///
/// The views hold blocks of these sizes, `to` is written by nobody else and apart from both.
pub unsafe fn product<N: Number>(
    to: Matrix<N>,
    (a, conjugate_a): (Matrix<N>, bool),
    (b, conjugate_b): (Matrix<N>, bool),
    sizes: Sizes,
    [keep, factor]: [Factor; 2],
) {
    let [of_to, of_product] = [keep, factor].map(|factor| N::of(factor.re, factor.im).gemm());
    // SAFETY: this function's contract; the crate's type of a number lies in memory as this library's.
    unsafe {
        ::gemm::gemm::<N::Gemm>(
            sizes.rows,
            sizes.columns,
            sizes.depth,
            to.at.cast(),
            to.col,
            to.row,
            !keep.is_zero(),
            a.at.cast_const().cast(),
            a.col,
            a.row,
            b.at.cast_const().cast(),
            b.col,
            b.row,
            of_to,
            of_product,
            false,
            conjugate_a,
            conjugate_b,
            ::gemm::Parallelism::None,
        );
    }
}
