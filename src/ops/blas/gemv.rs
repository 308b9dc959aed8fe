//! A matrix with a vector: gemv.

use super::factor::Factor;
use super::{WEFT_BLAS_CONJUGATE, cpu, cuda, expect_kind, is_complex, split, spread};
use crate::device::Cpu;
use crate::device::cuda::Stream;
use crate::layout::weft_tensor;
use crate::op::{Bind, Op, Operand, first};
use crate::status::Result;

/// What `weft_gemv` computes: y = alpha A x + beta y, or with conj(A).
///
/// f32, f64, c32, c64. The transpose is A with its last two strides (and dims) exchanged; the Hermitian transpose that and
/// WEFT_BLAS_CONJUGATE. alpha 0 and N = 0 leave A and x unread: y = beta y. beta 0 leaves y unread, whatever lies there. Sums
/// are in the parts' dtype: with u half an ulp of it, an element is within (N + 4) u (|alpha| |A| |x| + |beta y|) of the value
/// (complex: twice that), by the bound of any order of summation (Higham, "Accuracy and Stability of Numerical Algorithms",
/// section 3.1). The order is fixed by shape, strides and alignment: results are the same each time, and for any number of threads.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_gemv_desc {
    /// sizeof(weft_gemv_desc).
    pub struct_size: u32,
    /// WEFT_BLAS_CONJUGATE or 0.
    pub flags: u32,
    /// As it stands: 0 is 0.
    pub alpha: f64,
    /// Imaginary part of alpha: 0 for real dtypes.
    pub alpha_imag: f64,
    /// As it stands.
    pub beta: f64,
    /// Imaginary part of beta: 0 for real dtypes.
    pub beta_imag: f64,
    /// [..., M, N]; batch axes broadcastable to y's.
    pub a: weft_tensor,
    /// [..., N]; batch axes broadcastable to y's.
    pub x: weft_tensor,
    /// [..., M]: written, and read unless beta is 0. Does not overlap A or x.
    pub y: weft_tensor,
}

/// A checked product.
pub struct Gemv {
    pub(super) a: Operand,
    pub(super) x: Operand,
    pub(super) y: Operand,
    pub(super) alpha: Factor,
    pub(super) beta: Factor,
    pub(super) conjugate: bool,
}

/// Checks a descriptor.
pub fn gemv(desc: &weft_gemv_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    bind.expect_flags(desc.flags, WEFT_BLAS_CONJUGATE)?;
    let (a, x, y) = (bind.input("a", &desc.a)?, bind.input("x", &desc.x)?, bind.output("y", &desc.y)?);
    expect_kind(&a, 2)?;
    y.expect_dtype(&[a.dtype()])?;
    expect_kind(&y, 1)?;
    let (batch, rows) = split(&y, 1);
    let columns = a.dims()[a.dims().len() - 1];
    let like = a.clone();
    let a = spread(a, &like, batch, &[rows[0], columns], "y's elements, and columns")?;
    let x = spread(x, &like, batch, &[columns], "a's columns")?;
    y.expect_apart(&a)?;
    y.expect_apart(&x)?;
    let alpha = Factor::new(bind, "alpha", (desc.alpha, desc.alpha_imag), y.dtype())?;
    let beta = Factor::new(bind, "beta", (desc.beta, desc.beta_imag), y.dtype())?;
    let conjugate = desc.flags & WEFT_BLAS_CONJUGATE != 0 && is_complex(y.dtype());
    Ok(Box::new(Gemv { a, x, y, alpha, beta, conjugate }))
}

impl Gemv {
    /// Rows of A, and columns of it that are read.
    pub(super) fn sizes(&self) -> (usize, usize) {
        let (layout, rank) = (self.a.layout(), self.a.dims().len());
        let columns = if self.alpha.is_zero() { 0 } else { layout.dim(rank - 1) };
        (layout.dim(rank - 2), columns)
    }
}

impl Op for Gemv {
    fn cpu(&self, cpu: &Cpu) -> Result<()> {
        let idle = self.y.layout().is_empty();
        if idle { Ok(()) } else { first("gemv", cpu::gemv::CHOICES, self, cpu) }
    }

    fn cuda(&self, stream: &Stream) -> Result<()> {
        let idle = self.y.layout().is_empty();
        if idle { Ok(()) } else { first("gemv", cuda::gemv::CHOICES, self, stream) }
    }

    fn shape(&self, out: &mut dyn std::fmt::Write) -> std::fmt::Result {
        write!(out, "{} to {}", self.a, self.y)
    }
}
