//! Rotary position embedding: pairs of elements turned by an angle that grows with the position.

use crate::layout::weft_tensor;
use crate::op::{Bind, Op};
use crate::status::Result;

/// Pairs are elements i and i + rotary_dim / 2 (GPT-NeoX); else 2i and 2i + 1 (GPT-J, "interleaved").
pub const WEFT_ROPE_HALF_SPLIT: u32 = 1;
/// Turn backwards: undoes the rotation.
pub const WEFT_ROPE_INVERSE: u32 = 2;

/// What `weft_rope` computes: for pair i at position p, angle = p * frequency_scale * base^(-2i / rotary_dim) / factors[i].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_rope_desc {
    /// sizeof(weft_rope_desc).
    pub struct_size: u32,
    /// WEFT_ROPE bits.
    pub flags: u32,
    /// [B, H, S, D].
    pub x: weft_tensor,
    /// As x: the result. May be exactly x.
    pub y: weft_tensor,
    /// i32 or i64, broadcastable to [B, S]: the position of each row; optional: position_start + s without it.
    pub positions: weft_tensor,
    /// [P, rotary_dim / 2], or [B, S, rotary_dim / 2] without positions: cosines to use in place of computed ones. Optional.
    pub cos: weft_tensor,
    /// As cos: sines.
    pub sin: weft_tensor,
    /// f32 [rotary_dim / 2]: divides each pair's frequency (Llama 3, LongRoPE). Optional.
    pub factors: weft_tensor,
    /// The base; 0 means 10000.
    pub base: f64,
    /// Scales all positions (linear scaling by 1 / context factor); 0 means 1.
    pub frequency_scale: f64,
    /// Scales cosines and sines (YaRN's attention factor); 0 means 1.
    pub attention_factor: f64,
    /// Position of the first row when positions is absent.
    pub position_start: i64,
    /// How many leading elements of a row are turned, even; the others are copied. 0 means D.
    pub rotary_dim: i64,
}

/// Checks a descriptor.
pub fn new(desc: &weft_rope_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    let _ = (desc, bind);
    crate::fail!(WEFT_ERROR_UNSUPPORTED, "pending")
}
