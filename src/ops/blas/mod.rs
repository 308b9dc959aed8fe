//! The basic linear algebra subprograms (BLAS) that are no matrix multiplication: vectors with vectors, vectors with matrices,
//! symmetric products and triangular systems; each of them over batch axes.

mod cpu;
mod cuda;
mod factor;
mod fold;
mod gemv;
mod ger;
mod number;
mod ptx;
mod syrk;
mod trsm;
mod update;

pub use fold::{asum, dot, iamax, nrm2, weft_dot_desc, weft_vector_desc};
pub use gemv::{gemv, weft_gemv_desc};
pub use ger::{ger, weft_ger_desc};
pub use syrk::{syrk, weft_syrk_desc};
pub use trsm::{trsm, weft_trsm_desc};
pub use update::{axpy, rot, scal, swap, weft_axpy_desc, weft_rot_desc, weft_scal_desc, weft_swap_desc};

#[doc(hidden)]
pub use cuda::texts;

use crate::dtype::Dtype::{self, *};
use crate::ensure;
use crate::layout::WEFT_MAX_RANK;
use crate::op::Operand;
use crate::status::Result;

/// Complex operands: gemv and trsm take conj(A), ger y^H, dot conj(x), syrk A A^H (HERK). Nothing to real operands.
pub const WEFT_BLAS_CONJUGATE: u32 = 1;
/// syrk and trsm: the triangle on and above the diagonal (else that on and below it).
pub const WEFT_BLAS_UPPER: u32 = 2;
/// trsm: X A = alpha B (else A X = alpha B).
pub const WEFT_BLAS_RIGHT: u32 = 4;
/// trsm: the diagonal is taken as ones and not read.
pub const WEFT_BLAS_UNIT: u32 = 8;

/// What elements may be.
const DTYPES: &[Dtype] = &[F32, F64, C32, C64];

/// Whether a dtype is complex.
fn is_complex(dtype: Dtype) -> bool {
    matches!(dtype, C32 | C64)
}

/// An error unless `operand` has one of the dtypes, and at least `axes` axes: those of a vector or a matrix.
fn expect_kind(operand: &Operand, axes: usize) -> Result<()> {
    operand.expect_dtype(DTYPES)?;
    let (rank, what) = (operand.dims().len(), if axes == 1 { "a vector" } else { "a matrix" });
    ensure!(
        rank >= axes,
        "{}.rank is {rank}; expected {axes} or more: {what}, with batch axes in front",
        operand.name
    );
    Ok(())
}

/// `operand`, of the same dtype as `like`, whose last axes have `dims` exactly (`why`), with its other axes broadcast to
/// `batch`.
fn spread(operand: Operand, like: &Operand, batch: &[i64], dims: &[i64], why: &str) -> Result<Operand> {
    operand.expect_dtype(&[like.dtype()])?;
    let rank = operand.dims().len();
    let fits = rank >= dims.len() && operand.dims()[rank - dims.len()..] == *dims;
    ensure!(fits, "{}.dims are {:?}; expected {dims:?} at their end ({why})", operand.name, operand.dims());
    let mut all = [1; WEFT_MAX_RANK];
    all[..batch.len()].copy_from_slice(batch);
    all[batch.len()..batch.len() + dims.len()].copy_from_slice(dims);
    operand.broadcast_to(&all[..batch.len() + dims.len()])
}

/// The batch axes' dims and the others'.
fn split(operand: &Operand, axes: usize) -> (&[i64], &[i64]) {
    operand.dims().split_at(operand.dims().len() - axes)
}

/// How many blocks a step takes at once after `number` of them are done: each step's product is as deep as it is long, and all of
/// them together are those of a triangle without its diagonal.
fn reach(number: usize) -> usize {
    number & number.wrapping_neg()
}
