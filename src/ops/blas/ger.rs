//! A matrix updated by the product of two vectors: ger.

use super::factor::Factor;
use super::{WEFT_BLAS_CONJUGATE, cpu, cuda, expect_kind, is_complex, split, spread};
use crate::device::Cpu;
use crate::device::cuda::Stream;
use crate::layout::weft_tensor;
use crate::op::{Bind, Op, Operand, first};
use crate::status::Result;

/// What `weft_ger` computes: A = A + alpha x y^T, or with y^H.
///
/// f32, f64, c32, c64. alpha 0 leaves A as it is, and x and y unread; zeros in x and y are multiplied with as every other number.
/// With u half an ulp of the parts' dtype, each element is within 3 u (|A| + |alpha| |x| |y|) of the value (complex: 8 u).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_ger_desc {
    /// sizeof(weft_ger_desc).
    pub struct_size: u32,
    /// WEFT_BLAS_CONJUGATE or 0.
    pub flags: u32,
    /// As it stands: 0 is 0.
    pub alpha: f64,
    /// Imaginary part of alpha: 0 for real dtypes.
    pub alpha_imag: f64,
    /// [..., M]; batch axes broadcastable to A's.
    pub x: weft_tensor,
    /// [..., N]; batch axes broadcastable to A's. May be x.
    pub y: weft_tensor,
    /// [..., M, N]: read and written. Does not overlap x or y.
    pub a: weft_tensor,
}

/// A checked update.
pub struct Ger {
    pub(super) x: Operand,
    pub(super) y: Operand,
    pub(super) a: Operand,
    pub(super) alpha: Factor,
    pub(super) conjugate: bool,
}

/// Checks a descriptor.
pub fn ger(desc: &weft_ger_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    bind.expect_flags(desc.flags, WEFT_BLAS_CONJUGATE)?;
    let (x, y, a) = (bind.input("x", &desc.x)?, bind.input("y", &desc.y)?, bind.output("a", &desc.a)?);
    expect_kind(&a, 2)?;
    let (batch, sides) = split(&a, 2);
    let x = spread(x, &a, batch, &sides[..1], "a's rows")?;
    let y = spread(y, &a, batch, &sides[1..], "a's columns")?;
    a.expect_apart(&x)?;
    a.expect_apart(&y)?;
    let alpha = Factor::new(bind, "alpha", (desc.alpha, desc.alpha_imag), a.dtype())?;
    let conjugate = desc.flags & WEFT_BLAS_CONJUGATE != 0 && is_complex(a.dtype());
    Ok(Box::new(Ger { x, y, a, alpha, conjugate }))
}

impl Ger {
    fn is_idle(&self) -> bool {
        self.a.layout().is_empty() || self.alpha.is_zero()
    }
}

impl Op for Ger {
    fn cpu(&self, cpu: &Cpu) -> Result<()> {
        if self.is_idle() { Ok(()) } else { first("ger", cpu::ger::CHOICES, self, cpu) }
    }

    fn cuda(&self, stream: &Stream) -> Result<()> {
        if self.is_idle() { Ok(()) } else { first("ger", cuda::ger::CHOICES, self, stream) }
    }

    fn shape(&self, out: &mut dyn std::fmt::Write) -> std::fmt::Result {
        write!(out, "{}", self.a)
    }
}
