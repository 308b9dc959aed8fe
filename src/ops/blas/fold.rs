//! Vectors folded to a number each: dot, nrm2, asum, iamax.

use super::{WEFT_BLAS_CONJUGATE, cpu, cuda, expect_kind, is_complex, split, spread};
use crate::device::Cpu;
use crate::device::cuda::Stream;
use crate::dtype::Dtype::{self, *};
use crate::ensure;
use crate::layout::weft_tensor;
use crate::op::{Bind, Op, Operand, first};
use crate::status::Result;

/// What `weft_dot` computes: result = sum of x y, or of conj(x) y.
///
/// f32, f64, c32, c64. Products are summed in f64, so that those of f32 are exact, and rounded to the dtype once: with T the
/// sum of |x| |y|, the result is within 2 n 2^-53 T before that (complex: 4 n 2^-53 T), by the bound of any order of summation
/// (N. J. Higham, "Accuracy and Stability of Numerical Algorithms", section 3.1); the result is 0 where N is 0. The order is
/// fixed by shape, strides and alignment: the result is the same each time, and for any number of threads.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_dot_desc {
    /// sizeof(weft_dot_desc).
    pub struct_size: u32,
    /// WEFT_BLAS_CONJUGATE or 0.
    pub flags: u32,
    /// [..., N]; batch axes broadcastable to result's dims.
    pub x: weft_tensor,
    /// [..., N]; batch axes broadcastable to result's dims. May be x.
    pub y: weft_tensor,
    /// The batch axes: one element a pair of vectors, of their dtype. Does not overlap x or y.
    pub result: weft_tensor,
}

/// What `weft_nrm2`, `weft_asum` and `weft_iamax` compute of each vector.
///
/// f32, f64, c32, c64.
///
/// nrm2: the root of the sum of |x|^2, without overflow or underflow on the way. Squares of f32 are summed in f64, where they are
/// exact; those of f64 in three sums, of which two are scaled, after J. L. Blue (1978) and E. Anderson, "Algorithm 978: Safe
/// Scaling in the Level 1 BLAS" (2017). Off by at most (n + 4) 2^-53 of itself before it is rounded to the dtype. NaN if any
/// part is; else infinite if any part is; 0 of no elements.
///
/// asum: the sum of |re| + |im|, in f64. Off by at most 2 n 2^-53 of itself before it is rounded; 0 of no elements.
///
/// iamax: the first element whose |re| + |im|, rounded to the dtype, is the largest, counted from 0 (BLAS counts from 1); -1 of
/// no elements. As in BLAS, a NaN is no larger than anything, and where the first element is one, the answer is 0.
///
/// The order of summation is fixed by shape, strides and alignment: results are the same each time, and for any number of
/// threads.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_vector_desc {
    /// sizeof(weft_vector_desc).
    pub struct_size: u32,
    /// 0.
    pub flags: u32,
    /// [..., N]; batch axes broadcastable to result's dims.
    pub x: weft_tensor,
    /// The batch axes: one element a vector. nrm2 and asum: f32 for f32 and c32, f64 for f64 and c64. iamax: i64 or i32.
    /// Does not overlap x.
    pub result: weft_tensor,
}

/// What vectors are folded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The sum of products.
    Dot,
    /// The Euclidean norm.
    Nrm2,
    /// The sum of magnitudes.
    Asum,
    /// Where the largest magnitude is.
    Iamax,
}

/// A checked fold. `y` is x where there is but one vector.
pub struct Fold {
    pub(super) measure: Measure,
    pub(super) conjugate: bool,
    pub(super) x: Operand,
    pub(super) y: Operand,
    pub(super) result: Operand,
}

/// Checks a descriptor of `weft_dot`.
pub fn dot(desc: &weft_dot_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    bind.expect_flags(desc.flags, WEFT_BLAS_CONJUGATE)?;
    let (x, y) = (bind.input("x", &desc.x)?, bind.input("y", &desc.y)?);
    let result = bind.output("result", &desc.result)?;
    expect_kind(&x, 1)?;
    result.expect_dtype(&[x.dtype()])?;
    let vector = split(&x, 1).1.to_owned();
    let like = x.clone();
    let x = spread_to(&result, x, &like, &vector)?;
    let y = spread_to(&result, y, &like, &vector)?;
    result.expect_apart(&x)?;
    result.expect_apart(&y)?;
    let conjugate = desc.flags & WEFT_BLAS_CONJUGATE != 0 && is_complex(x.dtype());
    Ok(Box::new(Fold { measure: Measure::Dot, conjugate, x, y, result }))
}

fn spread_to(result: &Operand, operand: Operand, like: &Operand, vector: &[i64]) -> Result<Operand> {
    let room = result.dims().len() < crate::layout::WEFT_MAX_RANK;
    ensure!(room, "{}.rank is {}; expected 7 or less", result.name, result.dims().len());
    spread(operand, like, result.dims(), vector, "x's vectors")
}

/// Checks a descriptor of `weft_nrm2`.
pub fn nrm2(desc: &weft_vector_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    measure(desc, bind, Measure::Nrm2)
}

/// Checks a descriptor of `weft_asum`.
pub fn asum(desc: &weft_vector_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    measure(desc, bind, Measure::Asum)
}

/// Checks a descriptor of `weft_iamax`.
pub fn iamax(desc: &weft_vector_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    measure(desc, bind, Measure::Iamax)
}

fn measure(desc: &weft_vector_desc, bind: &Bind, measure: Measure) -> Result<Box<dyn Op>> {
    bind.expect_flags(desc.flags, 0)?;
    let (x, result) = (bind.input("x", &desc.x)?, bind.output("result", &desc.result)?);
    expect_kind(&x, 1)?;
    result.expect_dtype(match (measure, x.dtype()) {
        (Measure::Iamax, _) => &[I64, I32],
        (_, F32 | C32) => &[F32],
        _ => &[F64],
    })?;
    let vector = split(&x, 1).1.to_owned();
    expect_countable(&result, vector[0])?;
    let like = x.clone();
    let x = spread_to(&result, x, &like, &vector)?;
    result.expect_apart(&x)?;
    Ok(Box::new(Fold { measure, conjugate: false, y: x.clone(), x, result }))
}

/// An index below `count` fits into `result`'s dtype.
fn expect_countable(result: &Operand, count: i64) -> Result<()> {
    let fits = result.dtype() != Dtype::I32 || count <= 1 << 31;
    ensure!(fits, "{}.dtype is WEFT_I32 for vectors of {count} elements; expected WEFT_I64", result.name);
    Ok(())
}

impl Fold {
    /// Elements of a vector.
    pub(super) fn count(&self) -> usize {
        self.x.layout().dim(self.x.dims().len() - 1)
    }
}

impl Op for Fold {
    fn cpu(&self, cpu: &Cpu) -> Result<()> {
        let idle = self.result.layout().is_empty();
        if idle { Ok(()) } else { first("blas_fold", cpu::fold::CHOICES, self, cpu) }
    }

    fn cuda(&self, stream: &Stream) -> Result<()> {
        let idle = self.result.layout().is_empty();
        if idle { Ok(()) } else { first("blas_fold", cuda::fold::CHOICES, self, stream) }
    }

    fn shape(&self, out: &mut dyn std::fmt::Write) -> std::fmt::Result {
        write!(out, "{} {:?}", self.x, self.measure)
    }
}
