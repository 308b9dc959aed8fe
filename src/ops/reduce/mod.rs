//! Reductions over any set of axes.

mod cpu;
mod cuda;
mod fold;
mod logsumexp;
mod plan;
mod ptx;

use crate::device::Cpu;
use crate::device::cuda::Stream;
use crate::dtype::Dtype::{self, *};
use crate::ensure;
use crate::layout::{Layout, weft_tensor};
use crate::op::{Bind, Op, Operand, first};
use crate::status::Result;
use plan::Plan;

#[doc(hidden)]
pub use cuda::texts;

/// Sum; 0 over no elements.
pub const WEFT_REDUCE_SUM: u32 = 0;
/// Mean; NaN over no elements.
pub const WEFT_REDUCE_MEAN: u32 = 1;
/// Largest; -inf (the smallest integer) over no elements. NaN if any element is.
pub const WEFT_REDUCE_MAX: u32 = 2;
/// Smallest; +inf (the largest integer) over no elements. NaN if any element is.
pub const WEFT_REDUCE_MIN: u32 = 3;
/// Product; 1 over no elements.
pub const WEFT_REDUCE_PROD: u32 = 4;
/// Sum of magnitudes.
pub const WEFT_REDUCE_L1: u32 = 5;
/// Square root of the sum of squares.
pub const WEFT_REDUCE_L2: u32 = 6;
/// Sum of squares.
pub const WEFT_REDUCE_SUM_SQUARE: u32 = 7;
/// Logarithm of the sum.
pub const WEFT_REDUCE_LOG_SUM: u32 = 8;
/// Logarithm of the sum of exp, without overflow.
pub const WEFT_REDUCE_LOG_SUM_EXP: u32 = 9;

/// What `weft_reduce` computes.
///
/// Floats (f32, f64, f16, bf16) are summed and multiplied in f64 and rounded to y's dtype once. With n elements, T the
/// sum of the terms' magnitudes, and u = 2^-53, a sum (SUM, MEAN, L1, SUM_SQUARE and under the root of L2) is off by at
/// most n u T before that rounding (mostly far less; a GPU adds f16 and bf16 up to eight at a time in f32, which adds
/// 2^-22 T to SUM, MEAN and L1), a product by n u of itself where no partial product leaves the range of f64.
/// LOG_SUM_EXP is off by at most 4e-7 (f64: 1e-14 and n u; f16 and bf16 on a GPU: 2e-6) plus the rounding. Where the
/// largest is infinite or NaN, so is LOG_SUM_EXP. Of 0 and -0, MAX and MIN may give either.
///
/// Integers: SUM, PROD, L1 and SUM_SQUARE wrap; MEAN, L2, LOG_SUM and LOG_SUM_EXP are computed in f64 from elements
/// rounded to f64, then truncated towards zero and saturated, NaN giving 0. Bools: MAX (any) and MIN (all) alone.
///
/// The result does not depend on the number of threads: where a sum is cut depends on the shape alone.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_reduce_desc {
    /// sizeof(weft_reduce_desc).
    pub struct_size: u32,
    /// 0.
    pub flags: u32,
    /// WEFT_REDUCE constant.
    pub function: u32,
    /// Bit i set: axis i of x is reduced. 0 means all axes.
    pub axes: u32,
    /// Any shape.
    pub x: weft_tensor,
    /// x's dims with the reduced axes 1 or left out: the result, of x's dtype. Does not overlap x.
    pub y: weft_tensor,
}

const DTYPES: &[Dtype] = &[F32, F64, F16, Bf16, I8, I16, I32, I64, U8, U16, U32, U64, Bool];

/// A checked reduction.
pub struct Reduce {
    function: u32,
    x: Operand,
    y: Operand,
    plan: Plan,
    /// How often each element counts.
    repeats: u64,
}

/// Checks a descriptor.
pub fn new(desc: &weft_reduce_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    bind.expect_flags(desc.flags, 0)?;
    let (op, function) = (bind.op(), desc.function);
    ensure!(
        function <= WEFT_REDUCE_LOG_SUM_EXP,
        "{op}: function is {function}; expected WEFT_REDUCE_SUM (0) to WEFT_REDUCE_LOG_SUM_EXP (9)"
    );
    let (x, y) = (bind.input("x", &desc.x)?, bind.output("y", &desc.y)?);
    x.expect_dtype(DTYPES)?;
    y.expect_dtype(&[x.dtype()])?;
    ensure!(
        x.dtype() != Bool || matches!(function, WEFT_REDUCE_MAX | WEFT_REDUCE_MIN),
        "{op}: function is {function} of WEFT_BOOL; expected WEFT_REDUCE_MAX (2) or WEFT_REDUCE_MIN (3)"
    );
    let all = (1u32 << x.dims().len()) - 1;
    ensure!(
        desc.axes & !all == 0,
        "{op}: axes are {:#x}; expected only bits of {all:#x}, x's axes",
        desc.axes
    );
    let axes = if desc.axes == 0 { all } else { desc.axes };
    let kept = kept_of_y(&x, &y, axes)?;
    y.expect_apart(&x)?;
    let (once, repeats) = without_repeats(x.layout(), axes);
    let plan = Plan::new(&once, &kept, axes);
    Ok(Box::new(Reduce { function, x, y, plan, repeats }))
}

/// x with each element once that reduced axes of stride 0 repeat, and how often they do: nobody waits for 2^59 of them.
fn without_repeats(x: &Layout, axes: u32) -> (Layout, u64) {
    let (mut dims, mut repeats) = (x.dims().to_vec(), 1);
    for (axis, (dim, stride)) in x.axes().enumerate() {
        if axes & 1 << axis != 0 && stride == 0 && !x.is_empty() {
            (dims[axis], repeats) = (1, repeats * dim.cast_unsigned());
        }
    }
    (Layout::strided(&dims, x.strides()), repeats)
}

/// y's layout without the reduced axes.
fn kept_of_y(x: &Operand, y: &Operand, axes: u32) -> Result<Layout> {
    let reduced = |axis: usize| axes & 1 << axis != 0;
    let rank = x.dims().len();
    let left: Vec<usize> = (0..rank).filter(|&axis| !reduced(axis)).collect();
    if y.dims().len() == left.len() {
        let dims: Vec<i64> = left.iter().map(|&axis| x.dims()[axis]).collect();
        y.expect_dims(&dims, "x.dims without the reduced axes")?;
        return Ok(*y.layout());
    }
    let dims: Vec<i64> = (0..rank).map(|axis| if reduced(axis) { 1 } else { x.dims()[axis] }).collect();
    y.expect_dims(&dims, "x.dims with the reduced axes 1")?;
    Ok(y.layout().permuted(&left))
}

/// The least and the largest of an integer dtype of at most 63 bits; those of i64 of all others.
fn range(dtype: Dtype) -> (i64, i64) {
    match dtype {
        I8 => (i8::MIN.into(), i8::MAX.into()),
        I16 => (i16::MIN.into(), i16::MAX.into()),
        I32 => (i32::MIN.into(), i32::MAX.into()),
        U8 => (0, u8::MAX.into()),
        U16 => (0, u16::MAX.into()),
        U32 => (0, u32::MAX.into()),
        Bool => (0, 1),
        _ => (i64::MIN, i64::MAX),
    }
}

impl Op for Reduce {
    fn cpu(&self, cpu: &Cpu) -> Result<()> {
        if self.plan.outputs() == 0 { Ok(()) } else { first("reduce", cpu::CHOICES, self, cpu) }
    }

    fn cuda(&self, stream: &Stream) -> Result<()> {
        if self.plan.outputs() == 0 { Ok(()) } else { first("reduce", cuda::CHOICES, self, stream) }
    }

    fn shape(&self, out: &mut dyn std::fmt::Write) -> std::fmt::Result {
        write!(out, "{} to {}", self.x, self.y)
    }
}
