//! Matrix multiplication: D = act(alpha A B + beta C + bias).
//!
//! [`new`] checks; `problem` folds batch axes and strides into plain matrices; `cpu` lists the ways to multiply them:
//! `gemv` (few rows, bandwidth), `packed` (register tiles over packed panels), `gemm` (the crate), `naive`; `cuda` those on
//! a GPU.

mod activation;
mod cpu;
mod cuda;
mod direct;
mod element;
mod finish;
mod gemm;
mod gemv;
mod naive;
mod pack;
mod packed;
mod problem;
mod quantised;
mod tile;
mod transpose;
mod vector;

use crate::device::Cpu;
use crate::device::cuda::Stream;
use crate::dtype::Dtype;
use crate::layout::weft_tensor;
use crate::op::{Bind, Op, Operand};
use crate::status::Result;
use crate::{ensure, fail};

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
/// In `weft_matmul_desc.flags`: on a GPU, f32 factors may be rounded to TF32, which keeps 10 bits after the point, for
/// speed: each is off by up to 2^-11 of itself. No effect on other types and on the CPU.
pub const WEFT_MATMUL_ALLOW_TF32: u32 = 2;

/// What `weft_matmul` computes.
///
/// Element types: a and b are both WEFT_F32, WEFT_F64, WEFT_F16 or WEFT_BF16, or a is WEFT_F32 and b a half type. d is of
/// a's dtype, or WEFT_F32 where a is a half type; c is of d's dtype, bias of d's dtype or WEFT_F32 (WEFT_F64 for f64).
///
/// Accuracy: with u = 2^-24 (f64: 2^-53) the value before the epilogue is off by at most
/// (K + 4) u (|alpha| |A| |B| + |beta C| + |bias|), the epilogue by a few u of its argument besides, and the result is
/// rounded to d's dtype once. Sums are ordered alike for any number of threads. Where the machine multiplies bfloat16
/// in hardware, subnormal inputs and products count as 0.
///
/// alpha 0 (with its flag) and K = 0 leave A and B unread: D = act(beta C + bias).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_matmul_desc {
    /// sizeof(weft_matmul_desc).
    pub struct_size: u32,
    /// WEFT_MATMUL_ALPHA, WEFT_MATMUL_ALLOW_TF32, both or 0.
    pub flags: u32,
    /// [..., M, K]; a transpose is a matter of strides.
    pub a: weft_tensor,
    /// [..., K, N], of a's dtype (or a half type where a is WEFT_F32).
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

/// A checked multiplication. Every operand has d's batch axes in front of its matrix.
pub struct Matmul {
    a: Operand,
    b: Operand,
    c: Option<Operand>,
    d: Operand,
    bias: Option<Operand>,
    alpha: f64,
    beta: f64,
    epilogue: u32,
    tf32: bool,
}

impl Op for Matmul {
    fn cpu(&self, cpu: &Cpu) -> Result<()> {
        cpu::run(self, cpu)
    }

    fn cuda(&self, stream: &Stream) -> Result<()> {
        cuda::run(self, stream)
    }

    fn shape(&self, out: &mut dyn std::fmt::Write) -> std::fmt::Result {
        write!(out, "{} x {}", self.a, self.b)
    }
}

#[doc(hidden)]
pub use cuda::texts;

/// Checks a descriptor.
pub fn new(desc: &weft_matmul_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    check_numbers(desc, bind)?;
    check_absent(desc, bind)?;
    let (a, b, d) = (bind.input("a", &desc.a)?, bind.weights("b", &desc.b)?, bind.output("d", &desc.d)?);
    check_types(&a, &b, &d)?;
    let (a, b) = shape(a, b, &d)?;
    let c = added(desc.beta, bind.optional("c", &desc.c)?, &d)?;
    let bias = bias(bind.optional("bias", &desc.bias)?, &d)?;
    d.expect_apart(&a)?;
    d.expect_apart(&b)?;
    let alpha = if desc.alpha == 0.0 && desc.flags & WEFT_MATMUL_ALPHA == 0 { 1.0 } else { desc.alpha };
    let tf32 = desc.flags & WEFT_MATMUL_ALLOW_TF32 != 0;
    Ok(Box::new(Matmul { a, b, c, d, bias, alpha, beta: desc.beta, epilogue: desc.epilogue, tf32 }))
}

fn check_numbers(desc: &weft_matmul_desc, bind: &Bind) -> Result<()> {
    bind.expect_flags(desc.flags, WEFT_MATMUL_ALPHA | WEFT_MATMUL_ALLOW_TF32)?;
    bind.expect_finite("alpha", desc.alpha)?;
    bind.expect_finite("beta", desc.beta)?;
    let epilogue = desc.epilogue;
    ensure!(
        epilogue <= WEFT_EPILOGUE_SILU,
        "matmul: epilogue is {epilogue}; expected WEFT_EPILOGUE_NONE (0) to _SILU (4)"
    );
    if desc.compute != 0 {
        fail!(
            WEFT_ERROR_UNSUPPORTED,
            "matmul: compute is {}; expected 0, the only precision there is",
            desc.compute
        );
    }
    Ok(())
}

fn check_absent(desc: &weft_matmul_desc, bind: &Bind) -> Result<()> {
    let scales = [("a_scale", &desc.a_scale), ("b_scale", &desc.b_scale), ("d_scale", &desc.d_scale)];
    for (name, tensor) in scales {
        bind.expect_absent(name, tensor, "scales are for 8-bit floats, which this device does not multiply")?;
    }
    bind.expect_absent("aux", &desc.aux, "no epilogue has a second output")
}

fn check_types(a: &Operand, b: &Operand, d: &Operand) -> Result<()> {
    use Dtype::{Bf16, F8E4m3, F8E5m2, F16, F32, F64};
    for operand in [a, b, d] {
        let dtype = operand.dtype();
        if matches!(dtype, F8E4m3 | F8E5m2) {
            fail!(
                WEFT_ERROR_UNSUPPORTED,
                "{}.dtype is {}; this device multiplies WEFT_F32, WEFT_F64, WEFT_F16, WEFT_BF16",
                operand.name,
                dtype.name()
            );
        }
    }
    a.expect_dtype(&[F32, F64, F16, Bf16])?;
    let weights = b.dtype().is_quantised();
    match a.dtype() {
        F64 => (b.expect_dtype(&[F64])?, d.expect_dtype(&[F64])?),
        F32 if weights => ((), d.expect_dtype(&[F32])?),
        F32 => (b.expect_dtype(&[F32, F16, Bf16])?, d.expect_dtype(&[F32])?),
        half if weights => ((), d.expect_dtype(&[half, F32])?),
        half => (b.expect_dtype(&[half])?, d.expect_dtype(&[half, F32])?),
    };
    Ok(())
}

/// a and b with the batch axes of d.
fn shape(a: Operand, b: Operand, d: &Operand) -> Result<(Operand, Operand)> {
    for operand in [&a, &b, d] {
        let rank = operand.dims().len();
        ensure!(rank >= 2, "{}.rank is {rank}; expected 2 or more", operand.name);
    }
    let (_, [m, n]) = split(d);
    let (_, [a_rows, k]) = split(&a);
    let (_, [b_rows, b_cols]) = split(&b);
    let b_rows = b_rows * b.dtype().block() as i64;
    ensure!(a_rows == m, "matmul: a.dims {:?} have {a_rows} rows; expected the {m} of d", a.dims());
    ensure!(b_cols == n, "matmul: b.dims {:?} have {b_cols} columns; expected the {n} of d", b.dims());
    ensure!(b_rows == k, "matmul: b.dims of {b} have {b_rows} rows; expected the {k} columns of a");
    Ok((batched(a, d)?, batched(b, d)?))
}

/// With the batch axes of d.
fn batched(operand: Operand, d: &Operand) -> Result<Operand> {
    let ((batch, _), (own, matrix)) = (split(d), split(&operand));
    if own == batch { Ok(operand) } else { operand.broadcast_to(&[batch, &matrix].concat()) }
}

/// The batch axes and the matrix.
fn split(operand: &Operand) -> (&[i64], [i64; 2]) {
    let (batch, matrix) = operand.dims().split_at(operand.dims().len() - 2);
    (batch, [matrix[0], matrix[1]])
}

/// C, broadcast to d, if it counts.
fn added(beta: f64, c: Option<Operand>, d: &Operand) -> Result<Option<Operand>> {
    let Some(c) = c else {
        ensure!(beta == 0.0, "matmul: beta is {beta} but c is absent; expected a tensor to scale");
        return Ok(None);
    };
    c.expect_dtype(&[d.dtype()])?;
    d.expect_apart_or_same(&c)?;
    let c = c.broadcast_to(d.dims())?;
    Ok((beta != 0.0).then_some(c))
}

fn bias(bias: Option<Operand>, d: &Operand) -> Result<Option<Operand>> {
    let Some(bias) = bias else { return Ok(None) };
    match d.dtype() {
        Dtype::F64 => bias.expect_dtype(&[Dtype::F64])?,
        dtype => bias.expect_dtype(&[dtype, Dtype::F32])?,
    }
    d.expect_apart(&bias)?;
    bias.broadcast_to(d.dims()).map(Some)
}
