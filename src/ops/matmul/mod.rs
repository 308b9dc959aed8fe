//! Matrix multiplication: D = act(alpha A B + beta C + bias).

use crate::layout::weft_tensor;
use crate::op::{Bind, Op};
use crate::status::Result;

/// No epilogue.
pub const WEFT_EPILOGUE_NONE: u32 = 0;
/// max(x, 0).
pub const WEFT_EPILOGUE_RELU: u32 = 1;
/// x/2 (1 + erf(x / sqrt 2)).
pub const WEFT_EPILOGUE_GELU: u32 = 2;
/// x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).
pub const WEFT_EPILOGUE_GELU_TANH: u32 = 3;
/// x / (1 + exp(-x)).
pub const WEFT_EPILOGUE_SILU: u32 = 4;

/// In `weft_matmul_desc.flags`: take alpha as it stands also when it is 0 (else 0 means 1).
pub const WEFT_MATMUL_ALPHA: u32 = 1;

/// What `weft_matmul` computes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_matmul_desc {
    /// sizeof(weft_matmul_desc).
    pub struct_size: u32,
    /// WEFT_MATMUL_ALPHA or 0.
    pub flags: u32,
    /// [..., M, K]; a transpose is a matter of strides.
    pub a: weft_tensor,
    /// [..., K, N], of a's dtype.
    pub b: weft_tensor,
    /// [..., M, N] or broadcastable to it; optional, and read only when beta is not 0. May be exactly d.
    pub c: weft_tensor,
    /// [..., M, N], the result. The batch axes of a, b and c broadcast to those of d.
    pub d: weft_tensor,
    /// Broadcastable to d ([N] adds to every row, [M, 1] to every column); optional.
    pub bias: weft_tensor,
    /// Scales A B; 0 means 1 unless WEFT_MATMUL_ALPHA is set.
    pub alpha: f64,
    /// Scales C; 0 ignores C.
    pub beta: f64,
    /// WEFT_EPILOGUE_NONE, _RELU, _GELU, _GELU_TANH or _SILU: applied last.
    pub epilogue: u32,
    /// Precision of the computation; 0, the only value now, accumulates half types and f32 in f32, f64 in f64.
    pub compute: u32,
    /// Scale of a, for 8-bit floats alone; optional.
    pub a_scale: weft_tensor,
    /// Scale of b, for 8-bit floats alone; optional.
    pub b_scale: weft_tensor,
    /// Scale of d, for 8-bit floats alone; optional.
    pub d_scale: weft_tensor,
    /// Second output of an epilogue that has one; none of the present ones does.
    pub aux: weft_tensor,
}

/// Checks a descriptor.
pub fn new(desc: &weft_matmul_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    let _ = (desc, bind);
    crate::fail!(WEFT_ERROR_UNSUPPORTED, "pending")
}
