//! Softmax and log-softmax along one axis.

use crate::layout::weft_tensor;
use crate::op::{Bind, Op};
use crate::status::Result;

/// The logarithm of the softmax.
pub const WEFT_SOFTMAX_LOG: u32 = 1;

/// What `weft_softmax` computes: y = exp(scale x - max) / sum along an axis.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_softmax_desc {
    /// sizeof(weft_softmax_desc).
    pub struct_size: u32,
    /// WEFT_SOFTMAX_LOG or 0.
    pub flags: u32,
    /// Any shape.
    pub x: weft_tensor,
    /// As x: the result. May be exactly x. A row of -inf alone gives NaN, as IEEE 754 has it.
    pub y: weft_tensor,
    /// The axis; negative counts from the last.
    pub axis: i32,
    /// 0.
    pub reserved: u32,
    /// Scales x first; 0 means 1.
    pub scale: f64,
}

/// Checks a descriptor.
pub fn new(desc: &weft_softmax_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    let _ = (desc, bind);
    crate::fail!(WEFT_ERROR_UNSUPPORTED, "pending")
}
