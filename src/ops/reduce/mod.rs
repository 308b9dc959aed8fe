//! Reductions over any set of axes.

use crate::layout::weft_tensor;
use crate::op::{Bind, Op};
use crate::status::Result;

/// Sum; 0 over no elements.
pub const WEFT_REDUCE_SUM: u32 = 0;
/// Mean; NaN over no elements.
pub const WEFT_REDUCE_MEAN: u32 = 1;
/// Largest; -inf (the smallest integer) over no elements. NaN if any element is.
pub const WEFT_REDUCE_MAX: u32 = 2;
/// Smallest; +inf (the largest integer) over no elements. NaN if any element is.
pub const WEFT_REDUCE_MIN: u32 = 3;
/// Product; 1 over no elements.
pub const WEFT_REDUCE_PROD: u32 = 4;
/// Sum of magnitudes.
pub const WEFT_REDUCE_L1: u32 = 5;
/// Square root of the sum of squares.
pub const WEFT_REDUCE_L2: u32 = 6;
/// Sum of squares.
pub const WEFT_REDUCE_SUM_SQUARE: u32 = 7;
/// Logarithm of the sum.
pub const WEFT_REDUCE_LOG_SUM: u32 = 8;
/// Logarithm of the sum of exp, without overflow.
pub const WEFT_REDUCE_LOG_SUM_EXP: u32 = 9;

/// What `weft_reduce` computes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_reduce_desc {
    /// sizeof(weft_reduce_desc).
    pub struct_size: u32,
    /// 0.
    pub flags: u32,
    /// WEFT_REDUCE constant.
    pub function: u32,
    /// Bit i set: axis i of x is reduced. 0 means all axes.
    pub axes: u32,
    /// Any shape.
    pub x: weft_tensor,
    /// x's dims with the reduced axes 1 or left out: the result, of x's dtype.
    pub y: weft_tensor,
}

/// Checks a descriptor.
pub fn new(desc: &weft_reduce_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    let _ = (desc, bind);
    crate::fail!(WEFT_ERROR_UNSUPPORTED, "pending")
}
