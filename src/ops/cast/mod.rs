//! Copies between layouts and element types.

mod cpu;
mod square;
mod transpose;

use crate::device::Cpu;
use crate::dtype::Dtype;
use crate::ensure;
use crate::kernels::convert::Converter;
use crate::layout::weft_tensor;
use crate::op::{Bind, Op, Operand, first};
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
    let converter = Converter::new(from, to, desc.flags & WEFT_CAST_SATURATE != 0);
    Ok(Box::new(ordered(x, y, converter)))
}

/// The axes in the order in which y lies in memory.
fn ordered(x: Operand, y: Operand, converter: Converter) -> Cast {
    let mut order: Vec<usize> = (0..y.dims().len()).collect();
    order.sort_by_key(|&axis| -y.layout().stride(axis).abs());
    let turned = |operand: &Operand| operand.with_layout(operand.layout().permuted(&order));
    Cast { x: turned(&x), y: turned(&y), converter }
}

impl Op for Cast {
    fn cpu(&self, cpu: &Cpu) -> Result<()> {
        // In place there is nothing to move.
        if self.y.layout().is_empty() || self.x.same_as(&self.y) {
            return Ok(());
        }
        first("cast", cpu::CHOICES, self, cpu)
    }

    fn shape(&self, out: &mut dyn std::fmt::Write) -> std::fmt::Result {
        write!(out, "{} to {}", self.x, self.y)
    }
}
