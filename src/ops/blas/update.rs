//! Vectors updated element by element: axpy, scal, swap, rot.

use super::factor::Factor;
use super::{cpu, cuda, expect_kind, split, spread};
use crate::device::Cpu;
use crate::device::cuda::Stream;
use crate::layout::weft_tensor;
use crate::op::{Bind, Op, Operand, first};
use crate::status::Result;

/// What `weft_axpy` computes: y = alpha x + y.
///
/// f32, f64, c32, c64. Axes in front of the last are batch axes; strides of either sign are BLAS's increments. alpha 0 leaves
/// y as it is, and x unread. Each element is within 2 u (|alpha x| + |y|) of the value (complex: 4 u), u half an ulp of the
/// parts' dtype, to which alpha is rounded first. A product of complex numbers is four products and two sums: an infinite
/// part may make the other one NaN.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_axpy_desc {
    /// sizeof(weft_axpy_desc).
    pub struct_size: u32,
    /// 0.
    pub flags: u32,
    /// As it stands: 0 is 0.
    pub alpha: f64,
    /// Imaginary part of alpha: 0 for real dtypes.
    pub alpha_imag: f64,
    /// [..., N]; batch axes broadcastable to y's.
    pub x: weft_tensor,
    /// [..., N]: read and written. Does not overlap x, but may be exactly x.
    pub y: weft_tensor,
}

/// What `weft_scal` computes: x = alpha x.
///
/// f32, f64, c32, c64, any shape. alpha 0 is multiplied with as every other: infinities and NaN become NaN. Each element is
/// within u (complex: 3 u) of its magnitude, u half an ulp of the parts' dtype, to which alpha is rounded first.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_scal_desc {
    /// sizeof(weft_scal_desc).
    pub struct_size: u32,
    /// 0.
    pub flags: u32,
    /// As it stands: 0 is 0.
    pub alpha: f64,
    /// Imaginary part of alpha: 0 for real dtypes.
    pub alpha_imag: f64,
    /// [..., N]: read and written.
    pub x: weft_tensor,
}

/// What `weft_swap` does: x and y change places.
///
/// f32, f64, c32, c64; bits are moved as they are.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_swap_desc {
    /// sizeof(weft_swap_desc).
    pub struct_size: u32,
    /// 0.
    pub flags: u32,
    /// [..., N]: read and written.
    pub x: weft_tensor,
    /// As x: read and written. Does not overlap x.
    pub y: weft_tensor,
}

/// What `weft_rot` computes: x = c x + s y, y = c y - conj(s) x, both of the x and y before.
///
/// f32, f64, c32, c64; c is real, s may be complex where x is. Each element is within 3 u (|c x| + |s y|) (complex: 5 u) of
/// the value, u half an ulp of the parts' dtype, to which c and s are rounded first.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_rot_desc {
    /// sizeof(weft_rot_desc).
    pub struct_size: u32,
    /// 0.
    pub flags: u32,
    /// The cosine, as it stands: 0 is 0.
    pub c: f64,
    /// The sine, as it stands.
    pub s: f64,
    /// Its imaginary part: 0 for real dtypes.
    pub s_imag: f64,
    /// [..., N]: read and written.
    pub x: weft_tensor,
    /// As x: read and written. Does not overlap x.
    pub y: weft_tensor,
}

/// What is done to each pair of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// y = factor x + y.
    Axpy,
    /// x = factor x.
    Scal,
    /// Both change places.
    Swap,
    /// Both are rotated by `cosine` and the factor.
    Rot,
    /// x = 0.
    Zero,
}

/// A checked update. `y` is x where there is but one.
pub struct Update {
    pub(super) change: Change,
    pub(super) factor: Factor,
    pub(super) cosine: f64,
    pub(super) x: Operand,
    pub(super) y: Operand,
}

/// Checks a descriptor of `weft_axpy`.
pub fn axpy(desc: &weft_axpy_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    bind.expect_flags(desc.flags, 0)?;
    let (x, y) = (bind.input("x", &desc.x)?, bind.output("y", &desc.y)?);
    expect_kind(&y, 1)?;
    let (batch, vector) = split(&y, 1);
    let x = spread(x, &y, batch, vector, "y's")?;
    y.expect_apart_or_same(&x)?;
    let factor = Factor::new(bind, "alpha", (desc.alpha, desc.alpha_imag), y.dtype())?;
    Ok(Box::new(Update { change: Change::Axpy, factor, cosine: 0.0, x, y }))
}

/// Checks a descriptor of `weft_scal`.
pub fn scal(desc: &weft_scal_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    bind.expect_flags(desc.flags, 0)?;
    let x = bind.output("x", &desc.x)?;
    expect_kind(&x, 1)?;
    let factor = Factor::new(bind, "alpha", (desc.alpha, desc.alpha_imag), x.dtype())?;
    Ok(Box::new(Update { change: Change::Scal, factor, cosine: 0.0, y: x.clone(), x }))
}

/// Checks a descriptor of `weft_swap`.
pub fn swap(desc: &weft_swap_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    bind.expect_flags(desc.flags, 0)?;
    let (x, y) = pair(bind, &desc.x, &desc.y)?;
    Ok(Box::new(Update { change: Change::Swap, factor: Factor { re: 0.0, im: 0.0 }, cosine: 0.0, x, y }))
}

/// Checks a descriptor of `weft_rot`.
pub fn rot(desc: &weft_rot_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    bind.expect_flags(desc.flags, 0)?;
    let (x, y) = pair(bind, &desc.x, &desc.y)?;
    let factor = Factor::new(bind, "s", (desc.s, desc.s_imag), x.dtype())?;
    Ok(Box::new(Update { change: Change::Rot, factor, cosine: desc.c, x, y }))
}

/// Two vectors that are both written.
fn pair(bind: &Bind, x: &weft_tensor, y: &weft_tensor) -> Result<(Operand, Operand)> {
    let (x, y) = (bind.output("x", x)?, bind.output("y", y)?);
    expect_kind(&x, 1)?;
    y.expect_dtype(&[x.dtype()])?;
    y.expect_dims(x.dims(), "x's")?;
    y.expect_apart(&x)?;
    Ok((x, y))
}

impl Update {
    /// Zeros in all of `x`.
    pub(super) fn zero(x: &Operand) -> Self {
        let factor = Factor { re: 0.0, im: 0.0 };
        Self { change: Change::Zero, factor, cosine: 0.0, x: x.clone(), y: x.clone() }
    }

    fn is_idle(&self) -> bool {
        self.x.layout().is_empty() || (self.change == Change::Axpy && self.factor.is_zero())
    }
}

impl Op for Update {
    fn cpu(&self, cpu: &Cpu) -> Result<()> {
        if self.is_idle() { Ok(()) } else { first("blas_update", cpu::update::CHOICES, self, cpu) }
    }

    fn cuda(&self, stream: &Stream) -> Result<()> {
        if self.is_idle() { Ok(()) } else { first("blas_update", cuda::update::CHOICES, self, stream) }
    }

    fn shape(&self, out: &mut dyn std::fmt::Write) -> std::fmt::Result {
        write!(out, "{} {:?}", self.x, self.change)
    }
}
