//! Operands: checked tensors with the memory they lie in.

use super::Name;
use crate::device::cuda::Stream;
use crate::device::{Buffer, Device};
use crate::dtype::Dtype;
use crate::ensure;
use crate::layout::{Layout, Place, WEFT_MAX_RANK, weft_tensor};
use crate::status::Result;
use std::fmt::{self, Write};
use std::ops::Range;
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
            "{name} touches bytes {low} to {high} ({:?} of {}{} from offset {}) of a buffer of {} bytes",
            place.layout,
            place.dtype.name(),
            if place.dtype.is_quantised() { " blocks" } else { "" },
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

    /// The integer `element` elements from the first, as a GPU's memory has it now; `None` on other devices.
    pub fn integer_on_device(&self, element: isize) -> Result<Option<i64>> {
        let Device::Cuda(cuda) = self.buffer.context().device() else { return Ok(None) };
        let stream = Stream::new(cuda.gpu().clone())?;
        let (mut bytes, size) = ([0u8; 8], self.dtype().size());
        let at = self.at().wrapping_add_signed((element * size as isize) as i64);
        // SAFETY: an element of this operand, whose buffer lives as long as it, and as many bytes here until the end.
        unsafe { stream.read(bytes.as_mut_ptr().cast(), at, size)? };
        stream.synchronize()?;
        let wide = i64::from_le_bytes(bytes);
        Ok(Some(if size == 4 { i64::from(wide as i32) } else { wide }))
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
        self.compare(other, Place::same_as)
    }

    /// Whether some byte may belong to both.
    pub fn may_overlap(&self, other: &Self) -> bool {
        self.compare(other, Place::may_overlap)
    }

    /// Compares places of one memory, which may be that of two buffers; `false` where there is none.
    fn compare(&self, other: &Self, how: impl Fn(&Place, &Place) -> bool) -> bool {
        if Arc::ptr_eq(&self.buffer, &other.buffer) {
            return how(&self.place, &other.place);
        }
        self.buffer.meets(&other.buffer) && how(&self.absolute(), &other.absolute())
    }

    /// Where it lies, counted from address 0.
    pub fn absolute(&self) -> Place {
        Place { offset: self.at(), ..self.place }
    }

    /// Its first byte and the one after its last, for errors.
    fn bytes(&self) -> Range<i128> {
        let (low, high) = self.place.bytes().unwrap_or_default();
        low..high
    }

    /// An error if this output shares memory with `input`.
    pub fn expect_apart(&self, input: &Self) -> Result<()> {
        ensure!(
            !self.may_overlap(input),
            "{} and {} overlap (bytes {:?} and {:?} of their buffers); expected separate memory",
            self.name,
            input.name.argument(),
            self.bytes(),
            input.bytes()
        );
        Ok(())
    }

    /// As [`expect_apart`](Self::expect_apart), but exactly the same elements are fine: the operation works in place.
    pub fn expect_apart_or_same(&self, input: &Self) -> Result<()> {
        if self.same_as(input) { Ok(()) } else { self.expect_apart(input) }
    }
}
