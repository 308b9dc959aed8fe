//! Elementwise functions of one, two or three operands, with broadcasting.

mod functions;

pub use functions::*;

use crate::layout::weft_tensor;
use crate::op::{Bind, Op};
use crate::status::Result;

/// alpha and beta are taken as they stand, so that 0 means 0 and not the function's default.
pub const WEFT_EW_PARAMETERS: u32 = 1;

/// What `weft_elementwise` computes: y = f(a, b, c), each operand broadcast to y.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_elementwise_desc {
    /// sizeof(weft_elementwise_desc).
    pub struct_size: u32,
    /// WEFT_EW_PARAMETERS or 0.
    pub flags: u32,
    /// Which function: one of the WEFT_EW constants.
    pub function: u32,
    /// 0.
    pub reserved: u32,
    /// First operand; broadcastable to y.
    pub a: weft_tensor,
    /// Second operand, of functions that take two or three.
    pub b: weft_tensor,
    /// Third operand, of functions that take three.
    pub c: weft_tensor,
    /// The result. May be exactly a, b or c.
    pub y: weft_tensor,
    /// First parameter of functions that take one; 0 means the function's default.
    pub alpha: f64,
    /// Second parameter of functions that take two; 0 means the function's default.
    pub beta: f64,
}

/// Checks a descriptor.
pub fn new(desc: &weft_elementwise_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    let _ = (desc, bind);
    crate::fail!(WEFT_ERROR_UNSUPPORTED, "pending")
}
