//! Normalisation over the trailing axes: RMSNorm and LayerNorm, with an optional fused residual addition.

mod cpu;
mod cuda;
mod ptx;
mod rows;
mod sums;

use crate::device::Cpu;
use crate::device::cuda::Stream;
use crate::dtype::Dtype::*;
use crate::ensure;
use crate::layout::{WEFT_MAX_RANK, weft_tensor};
use crate::op::{Bind, Op, Operand};
use crate::ptx::{Target, Text};
use crate::status::Result;

/// The weight is stored as its difference from 1.
pub const WEFT_NORM_WEIGHT_PLUS_ONE: u32 = 1;

/// What `weft_rms_norm` and `weft_layer_norm` compute.
///
/// x is f32, f64, f16 or bf16; f64 is computed in f64, the others in f32, with sums in f64. With a residual, what is
/// normalised is x + residual rounded to x's dtype, which is also what `sum` gets. The variance is the biased one,
/// from centred elements. With e half an ulp of f32 (f64), y is within
/// 8 e ((|x| + |mean|) rstd |weight| + |bias|) of the value, then rounded to its dtype; rstd within 8 e, relative, as long
/// as the elements are not all the same to within their rounding. (For f64 add the rounding of a plain sum.)
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_norm_desc {
    /// sizeof(weft_norm_desc).
    pub struct_size: u32,
    /// WEFT_NORM_WEIGHT_PLUS_ONE or 0.
    pub flags: u32,
    /// What is normalised, any shape.
    pub x: weft_tensor,
    /// As x: added to x first. Optional.
    pub residual: weft_tensor,
    /// Broadcastable to the normalised axes; x's dtype or f32. Optional.
    pub weight: weft_tensor,
    /// Broadcastable to the normalised axes; x's dtype or f32. Optional.
    pub bias: weft_tensor,
    /// As x: the result. May be exactly x or residual.
    pub y: weft_tensor,
    /// As x: x + residual, rounded to its dtype. May be exactly x or residual. Needs residual. Optional output.
    pub sum: weft_tensor,
    /// f32 (or f64 where x is), x's dims with the normalised axes 1 or left out: the mean (layer_norm alone). Optional output.
    pub mean: weft_tensor,
    /// As mean: 1 / sqrt(variance or mean square + epsilon). Optional output.
    pub rstd: weft_tensor,
    /// How many trailing axes are normalised together; 0 means 1.
    pub axes: u32,
    /// 0.
    pub reserved: u32,
    /// Added to the variance (mean square); 0 means 1e-5.
    pub epsilon: f64,
}

/// A checked request.
pub struct Norm {
    x: Operand,
    residual: Option<Operand>,
    /// Broadcast to the normalised axes, as `bias` is.
    weight: Option<Operand>,
    bias: Option<Operand>,
    y: Operand,
    sum: Option<Operand>,
    /// Without the normalised axes, as `rstd` is.
    mean: Option<Operand>,
    rstd: Option<Operand>,
    /// How many trailing axes are normalised.
    axes: usize,
    epsilon: f64,
    /// Whether the mean is subtracted.
    centred: bool,
    weight_plus_one: bool,
}

/// Checks a descriptor of `weft_rms_norm`.
pub fn rms(desc: &weft_norm_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    bind.expect_absent("mean", &desc.mean, "rms_norm computes none")?;
    new(desc, bind, false)
}

/// Checks a descriptor of `weft_layer_norm`.
pub fn layer(desc: &weft_norm_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    new(desc, bind, true)
}

fn new(desc: &weft_norm_desc, bind: &Bind, centred: bool) -> Result<Box<dyn Op>> {
    bind.expect_flags(desc.flags, WEFT_NORM_WEIGHT_PLUS_ONE)?;
    ensure!(desc.reserved == 0, "{}: reserved is {}; expected 0", bind.op(), desc.reserved);
    let x = bind.input("x", &desc.x)?;
    x.expect_dtype(&[F32, F64, F16, Bf16])?;
    let axes = axes(desc, &x)?;
    let epsilon = epsilon(desc, bind)?;
    let norm = Norm {
        residual: bind.optional("residual", &desc.residual)?,
        weight: parameter(bind.optional("weight", &desc.weight)?, &x, axes)?,
        bias: parameter(bind.optional("bias", &desc.bias)?, &x, axes)?,
        y: bind.output("y", &desc.y)?,
        sum: bind.optional_output("sum", &desc.sum)?,
        mean: statistic(bind.optional_output("mean", &desc.mean)?, &x, axes)?,
        rstd: statistic(bind.optional_output("rstd", &desc.rstd)?, &x, axes)?,
        weight_plus_one: desc.flags & WEFT_NORM_WEIGHT_PLUS_ONE != 0,
        x,
        axes,
        epsilon,
        centred,
    };
    norm.check(bind)?;
    Ok(Box::new(norm))
}

fn axes(desc: &weft_norm_desc, x: &Operand) -> Result<usize> {
    let (axes, rank) = (desc.axes.max(1) as usize, x.dims().len());
    ensure!(axes <= rank, "{}.rank is {rank}; expected at least the {axes} normalised axes (axes)", x.name);
    Ok(axes)
}

fn epsilon(desc: &weft_norm_desc, bind: &Bind) -> Result<f64> {
    let epsilon = desc.epsilon;
    let fine = epsilon.is_finite() && epsilon >= 0.0;
    ensure!(fine, "{}: epsilon is {epsilon:?}; expected a finite number, 0 or more", bind.op());
    Ok(if epsilon == 0.0 { 1e-5 } else { epsilon })
}

/// A weight or bias, broadcast to the normalised axes.
fn parameter(operand: Option<Operand>, x: &Operand, axes: usize) -> Result<Option<Operand>> {
    let Some(operand) = operand else { return Ok(None) };
    operand.expect_dtype(&[x.dtype(), F32])?;
    operand.broadcast_to(&x.dims()[x.dims().len() - axes..]).map(Some)
}

/// A mean or rstd, without the normalised axes.
fn statistic(operand: Option<Operand>, x: &Operand, axes: usize) -> Result<Option<Operand>> {
    let Some(operand) = operand else { return Ok(None) };
    operand.expect_dtype(if x.dtype() == F64 { &[F64, F32] } else { &[F32] })?;
    let outer = &x.dims()[..x.dims().len() - axes];
    let ones = [outer, &[1; WEFT_MAX_RANK][..axes]].concat();
    if operand.dims() != ones {
        operand.expect_dims(outer, "x's, with the normalised axes 1 or left out")?;
        return Ok(Some(operand));
    }
    let layout = operand.layout().split(axes).0;
    Ok(Some(operand.with_layout(layout)))
}

impl Norm {
    fn check(&self, bind: &Bind) -> Result<()> {
        let alike = [&self.residual, &self.sum].into_iter().flatten().chain([&self.y]);
        for operand in alike {
            operand.expect_dtype(&[self.x.dtype()])?;
            operand.expect_dims(self.x.dims(), "x's")?;
        }
        let needed = self.sum.is_none() || self.residual.is_some();
        ensure!(needed, "{}: sum is given; it needs a residual", bind.op());
        let plain = !self.weight_plus_one || self.weight.is_some();
        ensure!(plain, "{}: flags have WEFT_NORM_WEIGHT_PLUS_ONE; it needs a weight", bind.op());
        self.check_memory()
    }

    /// y and sum may lie on x or residual, and everything else is apart.
    fn check_memory(&self) -> Result<()> {
        let inputs = || [&self.residual, &self.weight, &self.bias].into_iter().flatten();
        let outputs: Vec<&Operand> =
            [&self.sum, &self.mean, &self.rstd].into_iter().flatten().chain([&self.y]).collect();
        for (index, output) in outputs.iter().enumerate() {
            let whole = output.dims() == self.x.dims() && output.dtype() == self.x.dtype();
            for input in inputs().chain([&self.x]) {
                let rowwise = whole && input.dims() == self.x.dims();
                if rowwise { output.expect_apart_or_same(input)? } else { output.expect_apart(input)? }
            }
            outputs[..index].iter().try_for_each(|other| output.expect_apart(other))?;
        }
        Ok(())
    }
}

impl Op for Norm {
    fn cpu(&self, cpu: &Cpu) -> Result<()> {
        crate::op::first("norm", cpu::CHOICES, self, cpu)
    }

    fn cuda(&self, stream: &Stream) -> Result<()> {
        crate::op::first("norm", cuda::CHOICES, self, stream)
    }

    fn shape(&self, out: &mut dyn std::fmt::Write) -> std::fmt::Result {
        write!(out, "{} axes {}", self.x, self.axes)
    }
}

/// Its kernels, for tests that assemble them.
#[doc(hidden)]
pub fn texts(target: Target) -> Vec<Result<Text>> {
    ptx::texts(target)
}
