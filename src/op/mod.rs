//! What a request is: work that was checked, owns all it touches, and knows the ways in which it can run.

mod bind;
mod choice;
mod husk;
mod operand;

pub use bind::{Bind, Name, What};
pub use choice::{Choice, first, force};
pub use husk::Husk;
pub use operand::Operand;

use crate::device::Cpu;
use crate::device::cuda::Stream;
use crate::fail;
use crate::status::Result;
use crate::telemetry::Traffic;
use std::fmt::{self, Write};

/// One validated operation. The queue knows operations only through this.
pub trait Op: Send {
    /// Runs to the end on the calling thread and the context's pool.
    fn cpu(&self, cpu: &Cpu) -> Result<()>;

    /// Queues its work on a stream, without waiting for any of it. What it owns lives until the stream is past that work.
    fn cuda(&self, _: &Stream) -> Result<()> {
        fail!(WEFT_ERROR_UNSUPPORTED, "this operation does not run on CUDA devices yet")
    }

    /// What became of its work on a CUDA device, which is done: `verdict` is what its kernels left at
    /// [`Stream::verdict`], 0 at first.
    fn conclude(&self, verdict: u32) -> Result<()> {
        let _ = verdict;
        Ok(())
    }

    /// Whether it runs on the CPU in less time than another thread takes to learn of it: a few microseconds.
    fn is_brief(&self) -> bool {
        false
    }

    /// What it works on, in few words, for traces and reports: "f32 [64, 128] x [128, 256]".
    fn shape(&self, _: &mut dyn Write) -> fmt::Result {
        Ok(())
    }

    /// Bytes that it moves as a transfer.
    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
}

/// What was asked for, as `weft_completion.op` reports it.
pub mod code {
    /// weft_write.
    pub const WEFT_OP_WRITE: u32 = 1;
    /// weft_read.
    pub const WEFT_OP_READ: u32 = 2;
    /// weft_copy.
    pub const WEFT_OP_COPY: u32 = 3;
    /// weft_fill.
    pub const WEFT_OP_FILL: u32 = 4;
    /// weft_barrier.
    pub const WEFT_OP_BARRIER: u32 = 5;
    /// weft_matmul.
    pub const WEFT_OP_MATMUL: u32 = 6;
    /// weft_attention.
    pub const WEFT_OP_ATTENTION: u32 = 7;
    /// weft_rms_norm.
    pub const WEFT_OP_RMS_NORM: u32 = 8;
    /// weft_layer_norm.
    pub const WEFT_OP_LAYER_NORM: u32 = 9;
    /// weft_rope.
    pub const WEFT_OP_ROPE: u32 = 10;
    /// weft_elementwise.
    pub const WEFT_OP_ELEMENTWISE: u32 = 11;
    /// weft_softmax.
    pub const WEFT_OP_SOFTMAX: u32 = 12;
    /// weft_gather_rows.
    pub const WEFT_OP_GATHER_ROWS: u32 = 13;
    /// weft_scatter_rows.
    pub const WEFT_OP_SCATTER_ROWS: u32 = 14;
    /// weft_top_k.
    pub const WEFT_OP_TOP_K: u32 = 15;
    /// weft_arg_reduce.
    pub const WEFT_OP_ARG_REDUCE: u32 = 16;
    /// weft_reduce.
    pub const WEFT_OP_REDUCE: u32 = 17;
    /// weft_cast.
    pub const WEFT_OP_CAST: u32 = 18;
    /// weft_launch.
    pub const WEFT_OP_LAUNCH: u32 = 19;
    /// weft_axpy.
    pub const WEFT_OP_AXPY: u32 = 20;
    /// weft_scal.
    pub const WEFT_OP_SCAL: u32 = 21;
    /// weft_swap.
    pub const WEFT_OP_SWAP: u32 = 22;
    /// weft_rot.
    pub const WEFT_OP_ROT: u32 = 23;
    /// weft_dot.
    pub const WEFT_OP_DOT: u32 = 24;
    /// weft_nrm2.
    pub const WEFT_OP_NRM2: u32 = 25;
    /// weft_asum.
    pub const WEFT_OP_ASUM: u32 = 26;
    /// weft_iamax.
    pub const WEFT_OP_IAMAX: u32 = 27;
    /// weft_gemv.
    pub const WEFT_OP_GEMV: u32 = 28;
    /// weft_ger.
    pub const WEFT_OP_GER: u32 = 29;
    /// weft_syrk.
    pub const WEFT_OP_SYRK: u32 = 30;
    /// weft_trsm.
    pub const WEFT_OP_TRSM: u32 = 31;

    const NAMES: &[&str] = &[
        "unknown",
        "write",
        "read",
        "copy",
        "fill",
        "barrier",
        "matmul",
        "attention",
        "rms_norm",
        "layer_norm",
        "rope",
        "elementwise",
        "softmax",
        "gather_rows",
        "scatter_rows",
        "top_k",
        "arg_reduce",
        "reduce",
        "cast",
        "launch",
        "axpy",
        "scal",
        "swap",
        "rot",
        "dot",
        "nrm2",
        "asum",
        "iamax",
        "gemv",
        "ger",
        "syrk",
        "trsm",
    ];

    /// The operation's name, as its function's without the prefix.
    pub fn name(op: u32) -> &'static str {
        NAMES.get(op as usize).copied().unwrap_or(NAMES[0])
    }
}
