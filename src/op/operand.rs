//! Operands: checked tensors with the memory they lie in.

use super::Name;
use crate::device::Buffer;
use crate::dtype::Dtype;
use crate::ensure;
use crate::layout::{Layout, Place, WEFT_MAX_RANK, weft_tensor};
use crate::status::Result;
use std::fmt::{self, Write};
use std::sync::Arc;

impl fmt::Display for Operand {
    /// Element type and dims: "f32 [2, 3]".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.dtype().name().trim_start_matches("WEFT_");
        name.chars().try_for_each(|c| f.write_char(c.to_ascii_lowercase()))?;
        let mut dims = [0; WEFT_MAX_RANK];
        let dims = &mut dims[..self.dims().len()];
        dims.copy_from_slice(self.dims());
        // Blocks lie along the axis before the last.
        let axis = dims.len().saturating_sub(2);
        dims.iter_mut().skip(axis).take(1).for_each(|dim| *dim *= self.dtype().block() as i64);
        write!(f, " {dims:?}")
    }
}

/// A tensor whose every element lies inside its buffer, at an address aligned to the element.
#[derive(Clone)]
pub struct Operand {
    /// The argument's name in errors, such as "matmul: a".
    pub name: Name,
    buffer: Arc<Buffer>,
    place: Place,
}

impl Operand {
    /// What `tensor` says. [`check`](Self::check) it before anything else.
    #[inline(always)]
    pub(super) fn unchecked(name: Name, buffer: Arc<Buffer>, dtype: Dtype, tensor: &weft_tensor) -> Self {
        let layout = Layout::unchecked(tensor);
        Self { name, buffer, place: Place { offset: tensor.offset, dtype, layout } }
    }

    /// Checks the layout, has `see` look at it and change it to one that counts what the dtype's size is the size of, and
    /// checks that all lies inside the buffer.
    pub(super) fn check(&mut self, see: impl FnOnce(&mut Layout, Dtype) -> Result<()>) -> Result<()> {
        let (name, Self { buffer, place, .. }) = (self.name, self);
        place.layout.check(name)?;
        see(&mut place.layout, place.dtype)?;
        let align = place.dtype.align();
        ensure!(
            place.offset.is_multiple_of(align as u64),
            "{name}.offset is {}; expected a multiple of the {align} bytes of a {}",
            place.offset,
            place.dtype.name()
        );
        let (low, high) = place.bytes().unwrap_or((i128::from(place.offset), i128::from(place.offset)));
        ensure!(
            low >= 0 && high <= buffer.size() as i128,
            "{name} touches bytes {low} to {high} ({:?} of {} from offset {}) of a buffer of {} bytes",
            place.layout,
            place.dtype.name(),
            place.offset,
            buffer.size()
        );
        Ok(())
    }

    /// Shape and strides.
    pub fn layout(&self) -> &Layout {
        &self.place.layout
    }

    /// Elements along each axis.
    pub fn dims(&self) -> &[i64] {
        self.place.layout.dims()
    }

    /// Element type.
    pub fn dtype(&self) -> Dtype {
        self.place.dtype
    }

    /// Where it lies in its buffer.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The same memory under another layout that touches no other element (a permutation, a broadcast).
    pub fn with_layout(&self, layout: Layout) -> Self {
        Self { place: Place { layout, ..self.place }, ..self.clone() }
    }

    /// Broadcast to `dims`.
    pub fn broadcast_to(&self, dims: &[i64]) -> Result<Self> {
        Ok(self.with_layout(self.place.layout.broadcast_to(self.name, dims)?))
    }

    /// The address of element (0, ..., 0). Every element that the layout names is inside the buffer, which lives as
    /// long as this operand; alignment is that of the element.
    pub fn ptr<T>(&self) -> *mut T {
        debug_assert_eq!(size_of::<T>(), self.dtype().size());
        // `wrapping_add`: an empty tensor may start past the buffer's end.
        self.buffer.ptr().wrapping_add(self.place.offset as usize).cast()
    }

    /// The device's address of element (0, ..., 0), on a CUDA device.
    pub fn at(&self) -> u64 {
        self.buffer.at().wrapping_add(self.place.offset)
    }

    /// The address of element (0, ..., 0) as bytes; see [`ptr`](Self::ptr).
    pub fn address(&self) -> *mut u8 {
        self.buffer.ptr().wrapping_add(self.place.offset as usize)
    }

    /// A number that tells its buffer from all others that live.
    pub fn buffer_id(&self) -> usize {
        Arc::as_ptr(&self.buffer) as usize
    }

    /// An error unless the element type is one of `allowed`.
    pub fn expect_dtype(&self, allowed: &[Dtype]) -> Result<()> {
        let names = || allowed.iter().map(|dtype| dtype.name()).collect::<Vec<_>>().join(", ");
        ensure!(
            allowed.contains(&self.dtype()),
            "{}.dtype is {}; expected {}",
            self.name,
            self.dtype().name(),
            names()
        );
        Ok(())
    }

    /// An error unless the rank is `rank`.
    pub fn expect_rank(&self, rank: usize) -> Result<()> {
        ensure!(self.dims().len() == rank, "{}.rank is {}; expected {rank}", self.name, self.dims().len());
        Ok(())
    }

    /// An error unless the dims are `dims`; `why` names where they come from.
    pub fn expect_dims(&self, dims: &[i64], why: &str) -> Result<()> {
        ensure!(self.dims() == dims, "{}.dims are {:?}; expected {dims:?} ({why})", self.name, self.dims());
        Ok(())
    }

    /// Whether both name the same elements in the same order.
    pub fn same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.buffer, &other.buffer) && self.place.same_as(&other.place)
    }

    /// Whether some byte may belong to both.
    pub fn may_overlap(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.buffer, &other.buffer) && self.place.may_overlap(&other.place)
    }

    /// An error if this output shares memory with `input`.
    pub fn expect_apart(&self, input: &Self) -> Result<()> {
        ensure!(
            !self.may_overlap(input),
            "{} and {} overlap in one buffer; expected separate memory",
            self.name,
            input.name
        );
        Ok(())
    }

    /// As [`expect_apart`](Self::expect_apart), but exactly the same elements are fine: the operation works in place.
    pub fn expect_apart_or_same(&self, input: &Self) -> Result<()> {
        if self.same_as(input) { Ok(()) } else { self.expect_apart(input) }
    }
}
