//! Binding: from the tensors of a descriptor to operands, with the argument's name in every error.

use super::Operand;
use crate::device::Buffer;
use crate::dtype::Dtype;
use crate::ensure;
use crate::layout::{Layout, weft_tensor};
use crate::status::Result;
use std::fmt;
use std::sync::Arc;

/// Finds the buffer behind a handle; the name is the argument's.
pub type Lookup<'a> = &'a dyn Fn(What, u64) -> Result<Arc<Buffer>>;

/// An argument's name in errors, such as "matmul: a"; put into words only when there is an error.
#[derive(Clone, Copy, Debug)]
pub struct Name {
    op: &'static str,
    argument: &'static str,
}

impl Name {
    /// Without the operation's: "a".
    pub fn argument(&self) -> &'static str {
        self.argument
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.op, self.argument)
    }
}

/// An argument, or a field of it, in errors.
#[derive(Clone, Copy, Debug)]
pub struct What {
    name: Name,
    part: &'static str,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name, self.part)
    }
}

/// The memory of a tensor, and its element type.
pub struct Memory(Arc<Buffer>, Dtype);

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

    /// Whether a tensor that may be absent is there: absent is buffer 0 and dtype 0.
    pub fn is_given(&self, tensor: &weft_tensor) -> bool {
        !absent(tensor)
    }

    /// The buffer behind a handle.
    pub fn buffer(&self, argument: &'static str, handle: u64) -> Result<Arc<Buffer>> {
        (self.buffers)(What { name: self.name(argument), part: "" }, handle)
    }

    fn name(&self, argument: &'static str) -> Name {
        Name { op: self.op, argument }
    }

    /// The buffer and the element type of a tensor that must be there.
    pub fn memory(&self, argument: &'static str, tensor: &weft_tensor) -> Result<Memory> {
        let name = self.name(argument);
        ensure!(tensor.buffer != 0, "{name}.buffer is 0; expected a buffer: this operand is required");
        let dtype = Dtype::from_code(name, tensor.dtype)?;
        Ok(Memory((self.buffers)(What { name, part: ".buffer" }, tensor.buffer)?, dtype))
    }

    /// An operand, to be checked by one of the functions below before anything else: first written where it stays, then
    /// checked there, for each copy of one takes as long as its checks.
    #[inline(always)]
    pub fn unchecked(&self, argument: &'static str, memory: Memory, tensor: &weft_tensor) -> Operand {
        Operand::unchecked(self.name(argument), memory.0, memory.1, tensor)
    }

    /// Checks an operand that is read.
    pub fn check_input(&self, operand: &mut Operand) -> Result<()> {
        let name = operand.name;
        operand.check(|_, dtype| {
            ensure!(
                !dtype.is_quantised(),
                "{name}.dtype is {}; expected one of WEFT_F32 (1) to WEFT_C64 (17): only weights of weft_matmul lie in blocks",
                dtype.name()
            );
            Ok(())
        })
    }

    /// Checks weights [..., K, N] that are read; those of a quantised type become a matrix of blocks, which lie along K.
    pub fn check_weights(&self, operand: &mut Operand) -> Result<()> {
        let name = operand.name;
        operand.check(|layout, dtype| {
            if dtype.is_quantised() {
                let rank = layout.rank();
                ensure!(rank >= 2, "{name}.rank is {rank}; expected 2 or more");
                *layout = in_blocks(name, layout, dtype, rank - 2)?;
            }
            Ok(())
        })
    }

    /// Checks an operand that is written: no two of its indices may name the same element.
    pub fn check_output(&self, operand: &mut Operand) -> Result<()> {
        self.check_input(operand)?;
        ensure!(
            operand.layout().is_injective(),
            "{}: {:?} make several indices name one element; an output needs one each",
            operand.name,
            operand.layout()
        );
        Ok(())
    }

    /// A tensor that is read.
    pub fn input(&self, argument: &'static str, tensor: &weft_tensor) -> Result<Operand> {
        let mut operand = self.unchecked(argument, self.memory(argument, tensor)?, tensor);
        self.check_input(&mut operand)?;
        Ok(operand)
    }

    /// A tensor that is written.
    pub fn output(&self, argument: &'static str, tensor: &weft_tensor) -> Result<Operand> {
        let mut operand = self.unchecked(argument, self.memory(argument, tensor)?, tensor);
        self.check_output(&mut operand)?;
        Ok(operand)
    }

    /// A tensor that is read if it is there: absent is buffer 0 and dtype 0.
    pub fn optional(&self, argument: &'static str, tensor: &weft_tensor) -> Result<Option<Operand>> {
        if absent(tensor) { Ok(None) } else { self.input(argument, tensor).map(Some) }
    }

    /// A tensor that is written if it is there.
    pub fn optional_output(&self, argument: &'static str, tensor: &weft_tensor) -> Result<Option<Operand>> {
        if absent(tensor) { Ok(None) } else { self.output(argument, tensor).map(Some) }
    }

    /// An error unless `tensor` is absent; `why` says what it would need.
    pub fn expect_absent(&self, argument: &str, tensor: &weft_tensor, why: impl fmt::Display) -> Result<()> {
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

/// The layout of elements that lie in blocks along `axis`, as one of blocks.
fn in_blocks(name: Name, layout: &Layout, dtype: Dtype, axis: usize) -> Result<Layout> {
    let (block, of) = (dtype.block() as i64, dtype.name());
    let (mut dims, mut strides) = (layout.dims().to_vec(), layout.strides().to_vec());
    let (dim, stride) = (dims[axis], strides[axis]);
    ensure!(
        dim % block == 0,
        "{name}.dims[{axis}] is {dim}; expected a multiple of {block}, the elements of a block of {of}"
    );
    ensure!(
        stride == 1 || dim == 0,
        "{name}.strides[{axis}] is {stride}; expected 1: the blocks of {of} lie along this axis"
    );
    dims[axis] = dim / block;
    for (other, stride) in strides.iter_mut().enumerate().filter(|(other, _)| *other != axis) {
        ensure!(
            *stride % block == 0 || dims[other] <= 1,
            "{name}.strides[{other}] is {stride}; expected a multiple of {block}, the elements of a block of {of}"
        );
        *stride /= block;
    }
    Ok(Layout::strided(&dims, &strides))
}

fn absent(tensor: &weft_tensor) -> bool {
    tensor.buffer == 0 && tensor.dtype == 0
}
