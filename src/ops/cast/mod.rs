//! Copies between layouts and element types.

mod cpu;
mod cuda;
mod ptx;
mod square;
mod transpose;

use crate::device::Cpu;
use crate::device::cuda::Stream;
use crate::dtype::Dtype;
use crate::ensure;
use crate::kernels::convert::Converter;
use crate::layout::weft_tensor;
use crate::op::{Bind, Op, Operand, first};
use crate::ptx::{Target, Text};
use crate::status::Result;

/// A number beyond the range of y's float dtype, infinity too, becomes its largest finite value in place of infinity or
/// NaN. NaN stays NaN. Without this flag WEFT_F8_E4M3, which has no infinities, gets NaN, the other floats infinity.
pub const WEFT_CAST_SATURATE: u32 = 1;

/// What `weft_cast` computes: y = x, broadcast. To a float: rounded to nearest even, once, whatever x is. Float to integer
/// truncates and saturates (NaN gives 0); integer to integer wraps; anything but 0 is true, and a bool is read as 0 or 1.
/// Equal dtypes: the bytes move as they are, WEFT_CAST_SATURATE or not. The payload of a NaN is not kept in a conversion.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_cast_desc {
    /// sizeof(weft_cast_desc).
    pub struct_size: u32,
    /// WEFT_CAST_SATURATE or 0.
    pub flags: u32,
    /// Broadcastable to y; any dtype but the complex ones, which convert among themselves alone.
    pub x: weft_tensor,
    /// The result; may be exactly x when the dtypes are equal.
    pub y: weft_tensor,
}

/// A checked cast. Both layouts have y's dims, y's widest stride first.
pub struct Cast {
    x: Operand,
    y: Operand,
    converter: Converter,
    saturate: bool,
}

/// Checks a descriptor.
pub fn new(desc: &weft_cast_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    bind.expect_flags(desc.flags, WEFT_CAST_SATURATE)?;
    let x = bind.input("x", &desc.x)?;
    let y = bind.output("y", &desc.y)?;
    let (from, to) = (x.dtype(), y.dtype());
    let complex = |dtype| matches!(dtype, Dtype::C32 | Dtype::C64);
    ensure!(
        complex(from) == complex(to),
        "{}.dtype is {} and {}.dtype {}; expected both complex or neither",
        x.name,
        from.name(),
        y.name,
        to.name()
    );
    let x = x.broadcast_to(y.dims())?;
    if from == to {
        y.expect_apart_or_same(&x)?
    } else {
        y.expect_apart(&x)?
    }
    let saturate = desc.flags & WEFT_CAST_SATURATE != 0;
    Ok(Box::new(ordered(x, y, saturate)))
}

/// The axes in the order in which y lies in memory.
fn ordered(x: Operand, y: Operand, saturate: bool) -> Cast {
    let mut order: Vec<usize> = (0..y.dims().len()).collect();
    order.sort_by_key(|&axis| -y.layout().stride(axis).abs());
    let turned = |operand: &Operand| operand.with_layout(operand.layout().permuted(&order));
    let converter = Converter::new(x.dtype(), y.dtype(), saturate);
    Cast { x: turned(&x), y: turned(&y), converter, saturate }
}

impl Op for Cast {
    fn cpu(&self, cpu: &Cpu) -> Result<()> {
        // In place there is nothing to move.
        if self.y.layout().is_empty() || self.x.same_as(&self.y) {
            return Ok(());
        }
        first("cast", cpu::CHOICES, self, cpu)
    }

    fn cuda(&self, stream: &Stream) -> Result<()> {
        if self.y.layout().is_empty() || self.x.same_as(&self.y) {
            return Ok(());
        }
        first("cast", cuda::CHOICES, self, stream)
    }

    fn shape(&self, out: &mut dyn std::fmt::Write) -> std::fmt::Result {
        write!(out, "{} to {}", self.x, self.y)
    }
}

/// The kernels, for the tests.
#[doc(hidden)]
pub fn texts(target: Target) -> Vec<Result<Text>> {
    ptx::texts(target)
}
