//! Attention, forward: O = softmax(scale Q K^T + bias, masked) V, one block of keys at a time, never S x S in memory.

mod check;
mod chunk;
mod cpu;
mod cuda;
mod decode;
mod dropout;
mod keys;
mod line;
mod mask;
mod pack;
mod plain;
mod plan;
mod ptx;
mod simd;
mod space;
mod tiled;
#[cfg(target_arch = "x86_64")]
mod x86;

use crate::device::Cpu;
use crate::device::cuda::Stream;
use crate::layout::weft_tensor;
use crate::op::{Bind, Op, Operand};
use crate::status::Result;
use dropout::Dropout;
use mask::Mask;
#[doc(hidden)]
pub use ptx::texts;

/// Query i sees key j where j <= i + (Skv - Sq): the masks' lower right corners meet. Sq and Skv are those of each batch
/// entry (its lengths, where they are given).
pub const WEFT_ATTENTION_CAUSAL: u32 = 1;
/// Align upper left corners instead: query i stands at position i, not at i + (Skv - Sq). Matters to the causal mask, the
/// windows and ALiBi.
pub const WEFT_ATTENTION_TOP_LEFT: u32 = 2;
/// Use window_left: query at position p sees no key before p - window_left.
pub const WEFT_ATTENTION_WINDOW_LEFT: u32 = 4;
/// Use window_right: query at position p sees no key after p + window_right.
pub const WEFT_ATTENTION_WINDOW_RIGHT: u32 = 8;

/// What `weft_attention` computes, for each batch entry b, head h and query i over the keys j that it sees: logit_j =
/// softcap(scale q . k_j) + bias_j - slope |p - j|; lse = ln(sum of exp(logit_j), and of exp(sink logit) if there is one); o
/// = sum of exp(logit_j - lse) v_j.
///
/// q, k, v and o have one type: f32, f16 or bf16. Query head h uses key and value head h / (Hq / Hkv). The position of
/// query i is p = i + (keys in use - queries in use) of its batch entry, or i with WEFT_ATTENTION_TOP_LEFT.
///
/// Hidden keys and values are never looked at: NaN or infinity there, in unused rows of a page or past the lengths changes
/// nothing. NaN in a visible key, or in a visible value whose weight is above 0, reaches exactly the rows that see it. A
/// bias of -infinity hides its key, as false in a WEFT_BOOL one does. A row that sees no key is o = 0, lse = -infinity (with
/// sink_logits: lse = the sink's logit); a query past q_lengths, or in no sequence, is o = 0, lse = -infinity always.
///
/// Lengths, starts and pages are read when the request runs. A value out of range completes the request with
/// WEFT_ERROR_OUT_OF_RANGE before anything is written; of block_table only entries of pages that some query sees are read.
///
/// Error of o, with u = 2^-24, D the head dimension, N the keys seen, L the largest sum of |scale q_d k_d|, |bias|
/// and |slope (p - j)| of a visible key, and V = max |v| / (1 - dropout): at most 2 V ((2 D + 16) u L + (N + 32) u) in f32
/// and f16, plus rounding to o's type; in bf16 weights may also be rounded to bf16 (2^-8 V more), and numbers below 2^-126
/// may count as 0. That of lse is at most (2 D + 16) u L + (N + 32) u + u |lse|. Results do not depend on the number of
/// threads.
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
    /// f32, f16 or bf16: added to the scaled scores; or WEFT_BOOL: true where attention is allowed. Broadcastable to
    /// [B, Hq, Sq, Skv], indexed within a sequence; where q (keys) are packed or paged, its axis of queries (keys) may have any
    /// size that covers every sequence, which is checked when the request runs. Optional.
    pub bias: weft_tensor,
    /// f32 [Hq] or [B, Hq]: ALiBi; adds -slope |p - j| for a query at position p and key j. Optional.
    pub alibi_slopes: weft_tensor,
    /// f32 [Hq]: a logit per head that takes part in the softmax's sum and has no value. Optional.
    pub sink_logits: weft_tensor,
    /// i32 [B]: queries in use of each batch entry, from its first; 0 to Sq (packed: to the sequence's rows). Optional.
    pub q_lengths: weft_tensor,
    /// i32 [B]: keys in use of each batch entry, from its first; 0 to Skv (packed: to the sequence's rows; paged: to what
    /// the row of block_table holds). Needed with block_table, else optional.
    pub kv_lengths: weft_tensor,
    /// i32 [B + 1] (cu_seqlens): sequence b of a packed q is rows q_starts[b] to q_starts[b + 1]. Optional.
    pub q_starts: weft_tensor,
    /// i32 [B + 1] (cu_seqlens): the same for packed k and v; not with block_table. Optional.
    pub kv_starts: weft_tensor,
    /// i32 [B, most pages a sequence]: page table; key j of sequence b is row j % page size of page [b, j / page size]. Optional.
    pub block_table: weft_tensor,
    /// Scales Q K^T; 0 means 1 / sqrt(D).
    pub scale: f64,
    /// c: scores become c tanh(score / c) before bias and mask; 0 means none.
    pub softcap: f64,
    /// Keys to the left, with WEFT_ATTENTION_WINDOW_LEFT; at least 0.
    pub window_left: i64,
    /// Keys to the right, with WEFT_ATTENTION_WINDOW_RIGHT; at least 0.
    pub window_right: i64,
    /// The first keys of each sequence that a left window never hides (attention sinks kept as tokens); 0 means none.
    pub sink_tokens: i64,
    /// Probability with which a weight is dropped, at least 0 and below 1; kept ones are divided by 1 - dropout. lse is that
    /// of no dropout. 0 means none. The weight of query i and key j (counted within their sequence) of batch entry b and head
    /// h is kept when w / 2^32 >= dropout, w being word j mod 4 of Philox4x32-10 with the counter words (j / 4, i, b Hq + h,
    /// offset mod 2^32) and the key words (seed mod 2^32, seed / 2^32 xor offset / 2^32).
    pub dropout: f64,
    /// Seed of the dropout's Philox4x32-10 stream.
    pub seed: u64,
    /// Offset of the stream: give each call its own.
    pub offset: u64,
}

/// Sizes of a checked request.
#[derive(Clone, Copy, Debug)]
struct Shape {
    batch: usize,
    heads: usize,
    kv_heads: usize,
    dim: usize,
    dim_v: usize,
}

impl Shape {
    /// Query heads that share a head of keys.
    fn group(&self) -> usize {
        self.heads / self.kv_heads.max(1)
    }
}

/// A checked request.
struct Attention {
    shape: Shape,
    q: Operand,
    k: Operand,
    v: Operand,
    o: Operand,
    lse: Option<Operand>,
    /// With four axes; those that repeat have stride 0.
    bias: Option<Operand>,
    /// Broadcast to [B, Hq].
    slopes: Option<Operand>,
    sinks: Option<Operand>,
    q_lengths: Option<Operand>,
    kv_lengths: Option<Operand>,
    q_starts: Option<Operand>,
    kv_starts: Option<Operand>,
    block_table: Option<Operand>,
    mask: Mask,
    scale: f64,
    softcap: f64,
    dropout: Dropout,
}

/// Checks a descriptor.
pub fn new(desc: &weft_attention_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    Ok(Box::new(check::check(desc, bind)?))
}

impl Op for Attention {
    fn cpu(&self, cpu: &Cpu) -> Result<()> {
        cpu::run(self, cpu)
    }

    fn cuda(&self, stream: &Stream) -> Result<()> {
        crate::op::first("attention", cuda::CHOICES, self, stream)
    }

    fn conclude(&self, verdict: u32) -> Result<()> {
        cuda::conclude(self, verdict)
    }

    fn shape(&self, out: &mut dyn std::fmt::Write) -> std::fmt::Result {
        write!(out, "q {} k {} v {}", self.q, self.k, self.v)
    }
}
