//! Binding: from the tensors of a descriptor to operands, with the argument's name in every error.

use super::Operand;
use crate::device::Buffer;
use crate::dtype::Dtype;
use crate::ensure;
use crate::layout::{Layout, Place, weft_tensor};
use crate::status::Result;
use std::sync::Arc;

/// Finds the buffer behind a handle; the text names the argument.
pub type Lookup<'a> = &'a dyn Fn(&str, u64) -> Result<Arc<Buffer>>;

/// Turns the tensors of one operation's descriptor into operands.
pub struct Bind<'a> {
    op: &'static str,
    buffers: Lookup<'a>,
}

impl<'a> Bind<'a> {
    /// For the operation of this name.
    pub fn new(op: &'static str, buffers: Lookup<'a>) -> Self {
        Self { op, buffers }
    }

    /// The operation's name, with which its errors begin.
    pub fn op(&self) -> &'static str {
        self.op
    }

    /// The buffer behind a handle.
    pub fn buffer(&self, argument: &str, handle: u64) -> Result<Arc<Buffer>> {
        (self.buffers)(&format!("{}: {argument}", self.op), handle)
    }

    /// A tensor that is read.
    pub fn input(&self, argument: &str, tensor: &weft_tensor) -> Result<Operand> {
        let name = format!("{}: {argument}", self.op);
        ensure!(tensor.buffer != 0, "{name}.buffer is 0; expected a buffer: this operand is required");
        let layout = Layout::new(&name, tensor)?;
        let dtype = Dtype::from_code(&name, tensor.dtype)?;
        let buffer = (self.buffers)(&format!("{name}.buffer"), tensor.buffer)?;
        Operand::new(name, buffer, Place { offset: tensor.offset, dtype, layout })
    }

    /// A tensor that is written: no two of its indices may name the same element.
    pub fn output(&self, argument: &str, tensor: &weft_tensor) -> Result<Operand> {
        let operand = self.input(argument, tensor)?;
        ensure!(
            operand.layout().is_injective(),
            "{}: {:?} make several indices name one element; an output needs one each",
            operand.name,
            operand.layout()
        );
        Ok(operand)
    }

    /// A tensor that is read if it is there: absent is buffer 0 and dtype 0.
    pub fn optional(&self, argument: &str, tensor: &weft_tensor) -> Result<Option<Operand>> {
        if absent(tensor) { Ok(None) } else { self.input(argument, tensor).map(Some) }
    }

    /// A tensor that is written if it is there.
    pub fn optional_output(&self, argument: &str, tensor: &weft_tensor) -> Result<Option<Operand>> {
        if absent(tensor) { Ok(None) } else { self.output(argument, tensor).map(Some) }
    }

    /// An error unless `tensor` is absent; `why` says what it would need.
    pub fn expect_absent(&self, argument: &str, tensor: &weft_tensor, why: &str) -> Result<()> {
        ensure!(absent(tensor), "{}: {argument} is given; {why}", self.op);
        Ok(())
    }

    /// An error unless `flags` holds known bits only.
    pub fn expect_flags(&self, flags: u32, known: u32) -> Result<()> {
        ensure!(flags & !known == 0, "{}: flags are {flags:#x}; expected only bits of {known:#x}", self.op);
        Ok(())
    }

    /// An error unless `value` is finite.
    pub fn expect_finite(&self, argument: &str, value: f64) -> Result<()> {
        ensure!(value.is_finite(), "{}: {argument} is {value}; expected a finite number", self.op);
        Ok(())
    }
}

fn absent(tensor: &weft_tensor) -> bool {
    tensor.buffer == 0 && tensor.dtype == 0
}
