//! Copies between layouts and element types.

use crate::layout::weft_tensor;
use crate::op::{Bind, Op};
use crate::status::Result;

/// A float beyond the range of y's dtype becomes its largest finite value in place of infinity or NaN.
pub const WEFT_CAST_SATURATE: u32 = 1;

/// What `weft_cast` computes: y = x, broadcast, rounded to nearest even; float to integer truncates and saturates (NaN
/// gives 0); integer to integer wraps; anything but 0 is true.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_cast_desc {
    /// sizeof(weft_cast_desc).
    pub struct_size: u32,
    /// WEFT_CAST_SATURATE or 0.
    pub flags: u32,
    /// Broadcastable to y; any dtype but the complex ones, which convert among themselves alone.
    pub x: weft_tensor,
    /// The result; may be exactly x when the dtypes are equal.
    pub y: weft_tensor,
}

/// Checks a descriptor.
pub fn new(desc: &weft_cast_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    let _ = (desc, bind);
    crate::fail!(WEFT_ERROR_UNSUPPORTED, "pending")
}
