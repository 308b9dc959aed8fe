//! Normalisation over the trailing axes: RMSNorm and LayerNorm, with an optional fused residual addition.

use crate::layout::weft_tensor;
use crate::op::{Bind, Op};
use crate::status::Result;

/// The weight is stored as its difference from 1.
pub const WEFT_NORM_WEIGHT_PLUS_ONE: u32 = 1;

/// What `weft_rms_norm` and `weft_layer_norm` compute.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_norm_desc {
    /// sizeof(weft_norm_desc).
    pub struct_size: u32,
    /// WEFT_NORM_WEIGHT_PLUS_ONE or 0.
    pub flags: u32,
    /// What is normalised, any shape.
    pub x: weft_tensor,
    /// As x: added to x first. Optional.
    pub residual: weft_tensor,
    /// Broadcastable to the normalised axes. Optional.
    pub weight: weft_tensor,
    /// Broadcastable to the normalised axes. Optional.
    pub bias: weft_tensor,
    /// As x: the result. May be exactly x or residual.
    pub y: weft_tensor,
    /// As x: x + residual, rounded to its dtype. May be exactly x or residual. Optional output.
    pub sum: weft_tensor,
    /// f32, x's dims with the normalised axes 1 or left out: the mean (layer_norm alone). Optional output.
    pub mean: weft_tensor,
    /// f32, as mean: 1 / sqrt(variance or mean square + epsilon). Optional output.
    pub rstd: weft_tensor,
    /// How many trailing axes are normalised together; 0 means 1.
    pub axes: u32,
    /// 0.
    pub reserved: u32,
    /// Added to the variance (mean square); 0 means 1e-5.
    pub epsilon: f64,
}

/// Checks a descriptor of `weft_rms_norm`.
pub fn rms(desc: &weft_norm_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    let _ = (desc, bind);
    crate::fail!(WEFT_ERROR_UNSUPPORTED, "pending")
}

/// Checks a descriptor of `weft_layer_norm`.
pub fn layer(desc: &weft_norm_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    let _ = (desc, bind);
    crate::fail!(WEFT_ERROR_UNSUPPORTED, "pending")
}
