//! Softmax and log-softmax along one axis.

mod columns;
mod cpu;
mod cuda;
mod ptx;
mod rows;

use crate::device::Cpu;
use crate::device::cuda::Stream;
use crate::dtype::Dtype::*;
use crate::ensure;
use crate::layout::weft_tensor;
use crate::op::{Bind, Op, Operand};
use crate::ptx::{Target, Text};
use crate::status::Result;

/// The logarithm of the softmax.
pub const WEFT_SOFTMAX_LOG: u32 = 1;

/// What `weft_softmax` computes: y = exp(scale x - max) / sum along an axis.
///
/// x is f32, f64, f16 or bf16; f64 is computed in f64, the others in f32. With e half an ulp of that type, y is within
/// e (10 + 3 (|scale x| + |max|)) of the value, relative, and the logarithm within e (10 + 3 (|scale x| + |max| + |y|)),
/// absolute; then rounded to y's dtype. NaN or +inf make their whole row NaN, and so may
/// a scale that takes an element beyond the type's range.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_softmax_desc {
    /// sizeof(weft_softmax_desc).
    pub struct_size: u32,
    /// WEFT_SOFTMAX_LOG or 0.
    pub flags: u32,
    /// Any shape.
    pub x: weft_tensor,
    /// As x: the result. May be exactly x. A row of -inf alone gives NaN, as IEEE 754 has it.
    pub y: weft_tensor,
    /// The axis; negative counts from the last.
    pub axis: i32,
    /// 0.
    pub reserved: u32,
    /// Scales x first; 0 means 1.
    pub scale: f64,
}

/// A checked request.
pub struct Softmax {
    /// With the axis last, as y.
    x: Operand,
    y: Operand,
    scale: f64,
    log: bool,
}

/// Checks a descriptor.
pub fn new(desc: &weft_softmax_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    bind.expect_flags(desc.flags, WEFT_SOFTMAX_LOG)?;
    ensure!(desc.reserved == 0, "softmax: reserved is {}; expected 0", desc.reserved);
    bind.expect_finite("scale", desc.scale)?;
    let (x, y) = (bind.input("x", &desc.x)?, bind.output("y", &desc.y)?);
    x.expect_dtype(&[F32, F64, F16, Bf16])?;
    y.expect_dtype(&[x.dtype()])?;
    y.expect_dims(x.dims(), "x's")?;
    y.expect_apart_or_same(&x)?;
    let axis = axis(desc, &x)?;
    let scale = if desc.scale == 0.0 { 1.0 } else { desc.scale };
    let log = desc.flags & WEFT_SOFTMAX_LOG != 0;
    Ok(Box::new(Softmax { x: axis_last(&x, axis), y: axis_last(&y, axis), scale, log }))
}

fn axis(desc: &weft_softmax_desc, x: &Operand) -> Result<usize> {
    let (axis, rank) = (i64::from(desc.axis), x.dims().len() as i64);
    ensure!(-rank <= axis && axis < rank, "softmax: axis is {axis}; expected {} to {}", -rank, rank - 1);
    Ok(axis.rem_euclid(rank) as usize)
}

fn axis_last(operand: &Operand, axis: usize) -> Operand {
    let layout = operand.layout();
    let (dim, stride) = (layout.dims()[axis], layout.strides()[axis]);
    operand.with_layout(layout.without_axis(axis).with_axis(dim, stride))
}

impl Op for Softmax {
    fn cpu(&self, cpu: &Cpu) -> Result<()> {
        crate::op::first("softmax", cpu::CHOICES, self, cpu)
    }

    fn cuda(&self, stream: &Stream) -> Result<()> {
        crate::op::first("softmax", cuda::CHOICES, self, stream)
    }

    fn shape(&self, out: &mut dyn std::fmt::Write) -> std::fmt::Result {
        write!(out, "{}", self.x)
    }
}

/// Its kernels, for tests that assemble them.
#[doc(hidden)]
pub fn texts(target: Target) -> Vec<Result<Text>> {
    ptx::texts(target)
}
