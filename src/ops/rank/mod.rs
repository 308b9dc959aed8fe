//! Order along an axis: argmax, argmin, top-k.

use crate::layout::weft_tensor;
use crate::op::{Bind, Op};
use crate::status::Result;

/// The smallest in place of the largest.
pub const WEFT_RANK_SMALLEST: u32 = 1;
/// Among equal elements take the last in place of the first (weft_arg_reduce alone).
pub const WEFT_RANK_LAST: u32 = 2;

/// What `weft_top_k` and `weft_arg_reduce` compute. NaN counts as larger than every number.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_rank_desc {
    /// sizeof(weft_rank_desc).
    pub struct_size: u32,
    /// WEFT_RANK bits.
    pub flags: u32,
    /// Any shape; floats or integers.
    pub x: weft_tensor,
    /// x's dims with the axis k long, x's dtype: the k largest, largest first; among equals the lower index first. Optional.
    pub values: weft_tensor,
    /// i32 or i64, as values: where along the axis each was. weft_arg_reduce: the axis is 1 long or left out. Optional in top-k.
    pub indices: weft_tensor,
    /// The axis; negative counts from the last.
    pub axis: i32,
    /// How many: weft_top_k takes it from values or indices, and it must match where it is not 0.
    pub k: u32,
}

/// Checks a descriptor of `weft_top_k`.
pub fn top_k(desc: &weft_rank_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    let _ = (desc, bind);
    crate::fail!(WEFT_ERROR_UNSUPPORTED, "pending")
}

/// Checks a descriptor of `weft_arg_reduce`.
pub fn arg_reduce(desc: &weft_rank_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    let _ = (desc, bind);
    crate::fail!(WEFT_ERROR_UNSUPPORTED, "pending")
}
