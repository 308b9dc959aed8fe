//! Rows picked by index: gather (embedding) and scatter (cache append).

use crate::layout::weft_tensor;
use crate::op::{Bind, Op};
use crate::status::Result;

/// A negative index counts from the end of the table.
pub const WEFT_ROWS_FROM_END: u32 = 1;
/// A negative index skips its row: gather leaves the result's row as it is, scatter writes nothing.
pub const WEFT_ROWS_SKIP_NEGATIVE: u32 = 2;
/// Scatter adds to the row instead of replacing it; rows named twice are added in the order of the indices.
pub const WEFT_ROWS_ADD: u32 = 4;

/// What `weft_gather_rows` computes: rows[i..., r...] = table[indices[i...], r...]; and what `weft_scatter_rows` does:
/// table[indices[i...], r...] = rows[i..., r...].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_rows_desc {
    /// sizeof(weft_rows_desc).
    pub struct_size: u32,
    /// WEFT_ROWS bits.
    pub flags: u32,
    /// [N, r...]: the input of gather, the output of scatter.
    pub table: weft_tensor,
    /// i32 or i64, any shape i...; an index outside 0 to N - 1 ends the request with WEFT_ERROR_OUT_OF_RANGE.
    pub indices: weft_tensor,
    /// [i..., r...], of table's dtype: the output of gather, the input of scatter.
    pub rows: weft_tensor,
}

/// Checks a descriptor of `weft_gather_rows`.
pub fn gather(desc: &weft_rows_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    let _ = (desc, bind);
    crate::fail!(WEFT_ERROR_UNSUPPORTED, "pending")
}

/// Checks a descriptor of `weft_scatter_rows`.
pub fn scatter(desc: &weft_rows_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    let _ = (desc, bind);
    crate::fail!(WEFT_ERROR_UNSUPPORTED, "pending")
}
