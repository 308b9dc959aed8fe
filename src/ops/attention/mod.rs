//! Attention, forward: O = softmax(scale Q K^T + bias, masked) V, one row of queries at a time, never S x S in memory.

use crate::layout::weft_tensor;
use crate::op::{Bind, Op};
use crate::status::Result;

/// Query i sees key j where j <= i + (Skv - Sq): the masks' lower right corners meet.
pub const WEFT_ATTENTION_CAUSAL: u32 = 1;
/// With WEFT_ATTENTION_CAUSAL or a window: align upper left corners instead, so that query i stands at key i.
pub const WEFT_ATTENTION_TOP_LEFT: u32 = 2;
/// Use window_left: query at position p sees no key before p - window_left.
pub const WEFT_ATTENTION_WINDOW_LEFT: u32 = 4;
/// Use window_right: query at position p sees no key after p + window_right.
pub const WEFT_ATTENTION_WINDOW_RIGHT: u32 = 8;

/// What `weft_attention` computes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_attention_desc {
    /// sizeof(weft_attention_desc).
    pub struct_size: u32,
    /// WEFT_ATTENTION bits.
    pub flags: u32,
    /// [B, Hq, Sq, D]; packed (q_starts given): [1, Hq, total queries, D].
    pub q: weft_tensor,
    /// [B, Hkv, Skv, D], Hkv divides Hq; packed: [1, Hkv, total keys, D]; paged: [pages, Hkv, page size, D].
    pub k: weft_tensor,
    /// As k, with head dimension Dv in place of D.
    pub v: weft_tensor,
    /// As q, with Dv in place of D: the result. Rows that see no key are 0.
    pub o: weft_tensor,
    /// f32 [B, Hq, Sq] (packed: [1, Hq, total queries]): log of each row's sum of exp; -inf where no key is seen. Optional output.
    pub lse: weft_tensor,
    /// Added to the scaled scores, or (WEFT_BOOL) true where attention is allowed; broadcastable to [B, Hq, Sq, Skv]. Optional.
    pub bias: weft_tensor,
    /// f32 [Hq] or [B, Hq]: ALiBi; adds -slope |p - j| for a query at position p and key j. Optional.
    pub alibi_slopes: weft_tensor,
    /// f32 [Hq]: a logit per head that takes part in the softmax's sum and has no value. Optional.
    pub sink_logits: weft_tensor,
    /// i32 [B]: queries in use of each batch entry. Optional.
    pub q_lengths: weft_tensor,
    /// i32 [B]: keys in use of each batch entry; needed with block_table. Optional.
    pub kv_lengths: weft_tensor,
    /// i32 [B + 1] (cu_seqlens): sequence b of a packed q is rows q_starts[b] to q_starts[b + 1]. Optional.
    pub q_starts: weft_tensor,
    /// i32 [B + 1] (cu_seqlens): the same for packed k and v. Optional.
    pub kv_starts: weft_tensor,
    /// i32 [B, most pages a sequence]: page table; key j of sequence b is row j % page size of page [b, j / page size]. Optional.
    pub block_table: weft_tensor,
    /// Scales Q K^T; 0 means 1 / sqrt(D).
    pub scale: f64,
    /// c: scores become c tanh(score / c) before bias and mask; 0 means none.
    pub softcap: f64,
    /// Keys to the left, with WEFT_ATTENTION_WINDOW_LEFT.
    pub window_left: i64,
    /// Keys to the right, with WEFT_ATTENTION_WINDOW_RIGHT.
    pub window_right: i64,
    /// The first keys of each sequence that a left window never hides (attention sinks kept as tokens); 0 means none.
    pub sink_tokens: i64,
    /// Probability with which a weight is dropped; kept ones are divided by 1 - dropout. 0 means none.
    pub dropout: f64,
    /// Seed of the dropout's Philox4x32-10 stream.
    pub seed: u64,
    /// Offset of the stream: give each call its own.
    pub offset: u64,
}

/// Checks a descriptor.
pub fn new(desc: &weft_attention_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    let _ = (desc, bind);
    crate::fail!(WEFT_ERROR_UNSUPPORTED, "pending")
}
