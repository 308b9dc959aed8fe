//! Matrix multiplication: D = act(alpha A B + beta C + bias).
//!
//! `desc` says what can be asked for, `check` and `extra` check it; `problem` folds batch axes and strides into plain
//! matrices; `cpu` lists the ways to multiply them:
//! `bytes` (few rows of 8-bit elements), `gemv` (few rows, bandwidth), `packed` (register tiles over packed panels), `gemm` (the crate), `naive`; `cuda` those on
//! a GPU.

mod activation;
mod after;
mod bytes;
mod check;
mod complex;
mod cpu;
mod cuda;
mod desc;
mod direct;
mod element;
mod extra;
mod finish;
mod fp8;
mod gemm;
mod gemv;
mod gradient;
mod grouped;
mod integer;
mod more;
mod naive;
mod pack;
mod packed;
mod problem;
mod quantised;
mod tile;
mod transpose;
mod vector;

use crate::device::Cpu;
use crate::device::cpu::{Isa, isa};
use crate::device::cuda::Stream;
use crate::dtype::Dtype;
use crate::op::{Bind, Op, Operand};
use crate::status::Result;
use extra::Extra;

pub use desc::*;
pub use grouped::Grouped;

/// Multiplications with addition of a brief product: some 10 microseconds, where there are vectors for them and where not.
const BRIEF: u64 = 1 << 19;
const BRIEF_PLAIN: u64 = 1 << 16;

/// A checked multiplication. Every operand has d's batch axes in front of its matrix.
pub struct Matmul {
    a: Operand,
    b: Operand,
    c: Option<Operand>,
    d: Operand,
    bias: Option<Operand>,
    /// Real parts.
    alpha: f64,
    beta: f64,
    /// Imaginary parts of alpha and beta.
    imaginary: [f64; 2],
    epilogue: u32,
    /// WEFT_COMPUTE_F32 to _I32: the default has become what it stands for.
    #[allow(dead_code)]
    compute: u32,
    /// Whether f32 factors may be cut to TF32.
    tf32: bool,
    /// Those of the descriptor.
    flags: u32,
    /// Bytes of scratch memory at the most; `u64::MAX` for the library's choice.
    workspace: u64,
    /// What few ask for; `None` for most.
    extra: Option<Box<Extra>>,
}

impl Matmul {
    /// Whether A, or B, is to be conjugated.
    pub fn conjugates(&self) -> [bool; 2] {
        [WEFT_MATMUL_CONJUGATE_A, WEFT_MATMUL_CONJUGATE_B].map(|flag| self.flags & flag != 0)
    }
}

impl Op for Matmul {
    fn cpu(&self, cpu: &Cpu) -> Result<()> {
        cpu::run(self, cpu)
    }

    fn cuda(&self, stream: &Stream) -> Result<()> {
        cuda::run(self, stream)
    }

    fn is_brief(&self) -> bool {
        let k = self.a.dims().last().map_or(1, |&k| k as u64);
        let most = if isa() == Isa::Scalar { BRIEF_PLAIN } else { BRIEF };
        let each = if matches!(self.a.dtype(), Dtype::C32 | Dtype::C64) { 4 } else { 1 };
        self.d.dims().iter().fold(k.saturating_mul(each), |work, &dim| work.saturating_mul(dim as u64))
            <= most
    }

    fn shape(&self, out: &mut dyn std::fmt::Write) -> std::fmt::Result {
        write!(out, "{} x {}", self.a, self.b)
    }
}

#[doc(hidden)]
pub use cuda::texts;

/// Checks a descriptor.
pub fn new(desc: &weft_matmul_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    Ok(check::checked(desc, bind)?)
}
