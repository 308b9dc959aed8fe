//! Triangular systems: trsm.

use super::factor::Factor;
use super::update::Update;
use super::*;
use crate::device::Cpu;
use crate::device::cuda::Stream;
use crate::layout::{Layout, weft_tensor};
use crate::op::{Bind, Op, first};

/// What `weft_trsm` solves: A X = alpha B, or X A = alpha B with WEFT_BLAS_RIGHT, A triangular. X takes B's place.
///
/// f32, f64, c32, c64. The transpose of A is A with its last two strides exchanged, and the other triangle; the Hermitian
/// transpose that and WEFT_BLAS_CONJUGATE. Only the triangle of A is read, without its diagonal with WEFT_BLAS_UNIT. alpha 0 sets B to
/// 0, with A and B unread. Whether A is singular is not looked at: X then holds infinities and NaN.
///
/// Solved by substitution, in blocks: backward stable, row by row. With u half an ulp of the parts' dtype, what A X is off from
/// alpha B is at most (N + 4) u (|A| |X| + |alpha B|) (complex: four times that), N the order of A (Higham, "Accuracy and
/// Stability of Numerical Algorithms", section 8.1). Results are the same each time, and for any number of threads.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_trsm_desc {
    /// sizeof(weft_trsm_desc).
    pub struct_size: u32,
    /// WEFT_BLAS_UPPER | WEFT_BLAS_RIGHT | WEFT_BLAS_UNIT | WEFT_BLAS_CONJUGATE.
    pub flags: u32,
    /// As it stands: 0 is 0.
    pub alpha: f64,
    /// Imaginary part of alpha: 0 for real dtypes.
    pub alpha_imag: f64,
    /// [..., N, N]; batch axes broadcastable to B's.
    pub a: weft_tensor,
    /// [..., N, R], or [..., R, N] with WEFT_BLAS_RIGHT: read and written. Does not overlap A.
    pub b: weft_tensor,
}

/// A checked system, put so that the triangle is on and below the diagonal and to the left: A X = alpha B.
pub struct Trsm {
    pub(super) a: Operand,
    pub(super) b: Operand,
    /// How far the first element of A, and of B, lies behind the operand's, in elements: both run backwards where the triangle
    /// was on and above the diagonal.
    pub(super) start: [isize; 2],
    pub(super) alpha: Factor,
    pub(super) conjugate: bool,
    pub(super) unit: bool,
}

/// Checks a descriptor.
pub fn trsm(desc: &weft_trsm_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    let known = WEFT_BLAS_UPPER | WEFT_BLAS_RIGHT | WEFT_BLAS_UNIT | WEFT_BLAS_CONJUGATE;
    bind.expect_flags(desc.flags, known)?;
    let (a, b) = (bind.input("a", &desc.a)?, bind.output("b", &desc.b)?);
    expect_kind(&b, 2)?;
    let (batch, sides) = split(&b, 2);
    let right = desc.flags & WEFT_BLAS_RIGHT != 0;
    let (side, why) = if right { (sides[1], "b's columns, twice") } else { (sides[0], "b's rows, twice") };
    let a = spread(a, &b, batch, &[side, side], why)?;
    b.expect_apart(&a)?;
    let alpha = Factor::new(bind, "alpha", (desc.alpha, desc.alpha_imag), b.dtype())?;
    let conjugate = desc.flags & WEFT_BLAS_CONJUGATE != 0 && is_complex(b.dtype());
    let unit = desc.flags & WEFT_BLAS_UNIT != 0;
    let solve = Trsm { a, b, start: [0; 2], alpha, conjugate, unit };
    let upper = desc.flags & WEFT_BLAS_UPPER != 0;
    Ok(Box::new(solve.turned(right).lowered(upper != right)))
}

impl Trsm {
    /// From the right to the left: the transpose of everything.
    fn turned(self, right: bool) -> Self {
        let turn = |operand: &Operand| {
            let rank = operand.dims().len();
            let mut order: Vec<usize> = (0..rank).collect();
            order.swap(rank - 2, rank - 1);
            operand.with_layout(operand.layout().permuted(&order))
        };
        if right { Self { a: turn(&self.a), b: turn(&self.b), ..self } } else { self }
    }

    /// From above the diagonal to below it: the last row and column come first.
    fn lowered(self, upper: bool) -> Self {
        let [a, b] = [&self.a, &self.b].map(|operand| *operand.layout());
        if !upper || b.is_empty() {
            return self;
        }
        let (rank, last) = (a.rank(), a.dim(a.rank() - 1) as isize - 1);
        let start = [last * (a.stride(rank - 2) + a.stride(rank - 1)), last * b.stride(rank - 2)];
        let (a, b) = (backwards(&a, &[rank - 2, rank - 1]), backwards(&b, &[rank - 2]));
        Self { a: self.a.with_layout(a), b: self.b.with_layout(b), start, ..self }
    }

    /// The order of A, and columns of B.
    pub(super) fn sizes(&self) -> (usize, usize) {
        let (layout, rank) = (self.b.layout(), self.b.dims().len());
        (layout.dim(rank - 2), layout.dim(rank - 1))
    }

    /// What takes the place of the solution where alpha is 0: B as it lies in memory.
    fn zero(&self) -> Update {
        let rank = self.b.dims().len();
        let forwards = backwards(self.b.layout(), &[rank - 2]);
        let layout = if self.start[1] == 0 { *self.b.layout() } else { forwards };
        Update::zero(&self.b.with_layout(layout))
    }
}

/// The layout with the strides of these axes negated.
fn backwards(layout: &Layout, axes: &[usize]) -> Layout {
    let mut strides = layout.strides().to_owned();
    axes.iter().for_each(|&axis| strides[axis] = -strides[axis]);
    Layout::strided(layout.dims(), &strides)
}

impl Op for Trsm {
    fn cpu(&self, cpu: &Cpu) -> Result<()> {
        if self.b.layout().is_empty() {
            return Ok(());
        }
        if self.alpha.is_zero() {
            return self.zero().cpu(cpu);
        }
        first("trsm", cpu::trsm::CHOICES, self, cpu)
    }

    fn cuda(&self, stream: &Stream) -> Result<()> {
        if self.b.layout().is_empty() {
            return Ok(());
        }
        if self.alpha.is_zero() {
            return self.zero().cuda(stream);
        }
        first("trsm", cuda::trsm::CHOICES, self, stream)
    }

    fn shape(&self, out: &mut dyn std::fmt::Write) -> std::fmt::Result {
        write!(out, "{} into {}", self.a, self.b)
    }
}
