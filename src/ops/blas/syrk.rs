//! A matrix with its own transpose, one triangle of the product: syrk and herk.

use super::factor::Factor;
use super::{WEFT_BLAS_CONJUGATE, WEFT_BLAS_UPPER, cpu, cuda, expect_kind, is_complex, split, spread};
use crate::device::Cpu;
use crate::device::cuda::Stream;
use crate::ensure;
use crate::layout::weft_tensor;
use crate::op::{Bind, Op, Operand, first};
use crate::status::Result;

/// What `weft_syrk` computes: C = alpha A A^T + beta C, or with A^H (HERK), in one triangle of C: the other one is neither
/// read nor written.
///
/// f32, f64, c32, c64. A^T A is A with its last two strides (and dims) exchanged (and, with WEFT_BLAS_CONJUGATE, the other
/// triangle of the result's conjugate). With WEFT_BLAS_CONJUGATE and complex elements alpha and beta are real, the imaginary
/// parts of C's diagonal are taken as 0, and written as 0. alpha 0 and K = 0 leave A unread; beta 0 leaves C unread. With u
/// half an ulp of the parts' dtype, an element is within (K + 4) u (|alpha| |A| |A|^T + |beta C|) of the value (complex: twice
/// that). Results are the same each time, and for any number of threads.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_syrk_desc {
    /// sizeof(weft_syrk_desc).
    pub struct_size: u32,
    /// WEFT_BLAS_UPPER | WEFT_BLAS_CONJUGATE.
    pub flags: u32,
    /// As it stands: 0 is 0.
    pub alpha: f64,
    /// Imaginary part of alpha: 0 for real dtypes and with WEFT_BLAS_CONJUGATE.
    pub alpha_imag: f64,
    /// As it stands.
    pub beta: f64,
    /// Imaginary part of beta: 0 for real dtypes and with WEFT_BLAS_CONJUGATE.
    pub beta_imag: f64,
    /// [..., N, K]; batch axes broadcastable to C's.
    pub a: weft_tensor,
    /// [..., N, N]: a triangle is written, and read unless beta is 0. Does not overlap A.
    pub c: weft_tensor,
}

/// A checked product.
pub struct Syrk {
    pub(super) a: Operand,
    pub(super) c: Operand,
    pub(super) alpha: Factor,
    pub(super) beta: Factor,
    pub(super) upper: bool,
    pub(super) hermitian: bool,
}

/// Checks a descriptor.
pub fn syrk(desc: &weft_syrk_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    bind.expect_flags(desc.flags, WEFT_BLAS_UPPER | WEFT_BLAS_CONJUGATE)?;
    let (a, c) = (bind.input("a", &desc.a)?, bind.output("c", &desc.c)?);
    expect_kind(&a, 2)?;
    expect_kind(&c, 2)?;
    let (batch, sides) = split(&c, 2);
    ensure!(sides[0] == sides[1], "{}.dims are {:?}; expected a square matrix", c.name, c.dims());
    let depth = a.dims()[a.dims().len() - 1];
    let a = spread(a, &c, batch, &[sides[0], depth], "c's rows, and columns")?;
    c.expect_apart(&a)?;
    let hermitian = desc.flags & WEFT_BLAS_CONJUGATE != 0 && is_complex(c.dtype());
    let alpha = Factor::new(bind, "alpha", (desc.alpha, desc.alpha_imag), c.dtype())?;
    let beta = Factor::new(bind, "beta", (desc.beta, desc.beta_imag), c.dtype())?;
    for (name, factor) in [("alpha", alpha), ("beta", beta)] {
        let fine = !hermitian || factor.im == 0.0;
        ensure!(fine, "syrk: {name}_imag is {}; expected 0 with WEFT_BLAS_CONJUGATE", factor.im);
    }
    Ok(Box::new(Syrk { a, c, alpha, beta, upper: desc.flags & WEFT_BLAS_UPPER != 0, hermitian }))
}

impl Syrk {
    /// Rows of A, and columns of it that are read.
    pub(super) fn sizes(&self) -> (usize, usize) {
        let (layout, rank) = (self.a.layout(), self.a.dims().len());
        let depth = if self.alpha.is_zero() { 0 } else { layout.dim(rank - 1) };
        (layout.dim(rank - 2), depth)
    }
}

impl Op for Syrk {
    fn cpu(&self, cpu: &Cpu) -> Result<()> {
        let idle = self.c.layout().is_empty();
        if idle { Ok(()) } else { first("syrk", cpu::syrk::CHOICES, self, cpu) }
    }

    fn cuda(&self, stream: &Stream) -> Result<()> {
        let idle = self.c.layout().is_empty();
        if idle { Ok(()) } else { first("syrk", cuda::syrk::CHOICES, self, stream) }
    }

    fn shape(&self, out: &mut dyn std::fmt::Write) -> std::fmt::Result {
        write!(out, "{} to {}", self.a, self.c)
    }
}
