//! Shapes and strides: what a `weft_tensor` says, checked once, with every product in 128 bits.

use crate::dtype::Dtype;
use crate::ensure;
use crate::status::Result;
use std::fmt::Display;

/// The most dimensions that a tensor can have.
pub const WEFT_MAX_RANK: usize = 8;

/// A view of a buffer: element type, dimensions and strides. Frozen: its fields never change.
///
/// All bits zero means "no tensor" where an operand is optional.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[allow(non_camel_case_types)]
pub struct weft_tensor {
    /// Handle of the buffer that holds the elements.
    pub buffer: u64,
    /// Where element (0, 0, ..., 0) is, in bytes from the buffer's start; a multiple of the element's size (of 2 for
    /// WEFT_Q8_0 ... WEFT_Q6_K).
    pub offset: u64,
    /// Element type, one of WEFT_F32 ... WEFT_C64, or of the block types WEFT_Q8_0 ... WEFT_Q6_K where an operation says so.
    /// Those lie in blocks along one axis, which has stride 1 and a whole number of blocks; every other stride is a multiple
    /// of the block's elements, and the tensor takes elements / elements a block * bytes a block.
    pub dtype: u32,
    /// How many of dims are in use: 0 (a single element) to 8.
    pub rank: u32,
    /// Elements along each axis, outermost first; 0 makes an empty tensor.
    pub dims: [i64; 8],
    /// Elements (not bytes) from one index to the next along each axis; may be negative, and 0 repeats an
    /// element. All zero means packed row-major.
    pub strides: [i64; 8],
}

/// The shape and strides of a tensor, with strides made explicit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    rank: usize,
    dims: [i64; WEFT_MAX_RANK],
    strides: [i64; WEFT_MAX_RANK],
}

impl std::fmt::Debug for Layout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "dims {:?} strides {:?}", self.dims(), self.strides())
    }
}

/// The first and last element that a layout touches, counted from its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// At most 0.
    pub low: i64,
    /// At least 0.
    pub high: i64,
}

impl Layout {
    /// Checks rank, dims and strides of `tensor`; `what` names the argument in errors.
    pub fn new(what: impl Display + Copy, tensor: &weft_tensor) -> Result<Self> {
        let mut layout = Self::unchecked(tensor);
        layout.check(what)?;
        Ok(layout)
    }

    /// What `tensor` says. [`check`](Self::check) it before anything else.
    #[inline(always)]
    pub(crate) fn unchecked(tensor: &weft_tensor) -> Self {
        Self { rank: tensor.rank as usize, dims: tensor.dims, strides: tensor.strides }
    }

    /// Checks rank, dims and strides, makes strides explicit and forgets what is beyond the rank; `what` names the argument
    /// in errors. In place: a copy of what was just written takes longer than this.
    pub(crate) fn check(&mut self, what: impl Display + Copy) -> Result<()> {
        let rank = self.rank;
        ensure!(rank <= WEFT_MAX_RANK, "{what}.rank is {rank}; expected 0 to {WEFT_MAX_RANK}");
        for (axis, &dim) in self.dims().iter().enumerate() {
            ensure!(dim >= 0, "{what}.dims[{axis}] is {dim}; expected 0 or more");
        }
        self.dims[rank..].fill(1);
        self.strides[rank..].fill(0);
        if self.strides().iter().all(|&stride| stride == 0) {
            *self = Self::packed(self.dims());
        }
        self.check_extent(what)?;
        self.forget_still_axes();
        Ok(())
    }

    /// An axis along which nothing moves may have any stride at all: where that is one that sums could overflow with, 0
    /// stands for it.
    fn forget_still_axes(&mut self) {
        if !self.is_small() {
            let axes = self.dims.iter().zip(&mut self.strides);
            axes.filter(|(dim, _)| **dim <= 1).for_each(|(_, stride)| *stride = 0);
        }
    }

    /// A packed row-major layout. The caller knows that the element count fits 63 bits.
    pub fn packed(dims: &[i64]) -> Self {
        let mut strides = [0; WEFT_MAX_RANK];
        let mut step = 1i64;
        for axis in (0..dims.len()).rev() {
            strides[axis] = step;
            step = step.saturating_mul(dims[axis].max(1));
        }
        Self::strided(dims, &strides[..dims.len()])
    }

    /// A layout of these dims and strides, which have the same length.
    pub fn strided(dims: &[i64], strides: &[i64]) -> Self {
        let mut layout = Self { rank: dims.len(), dims: [1; WEFT_MAX_RANK], strides: [0; WEFT_MAX_RANK] };
        layout.dims[..dims.len()].copy_from_slice(dims);
        layout.strides[..dims.len()].copy_from_slice(strides);
        layout
    }

    /// Neither the element count nor the farthest element may overflow 63 bits (of bytes: 16 an element).
    fn check_extent(&self, what: impl Display) -> Result<()> {
        if self.is_small() {
            return Ok(());
        }
        const LIMIT: i128 = (i64::MAX / 16) as i128;
        let count = self.dims().iter().fold(1i128, |n, &dim| n.saturating_mul(i128::from(dim)));
        // A zero anywhere makes the tensor empty, but its other dims must still be sane on their own.
        let largest = self.dims().iter().fold(1i128, |n, &dim| n.saturating_mul(i128::from(dim.max(1))));
        ensure!(
            count <= LIMIT && largest <= LIMIT,
            "{what}.dims {:?} hold more than 2^59 elements",
            self.dims()
        );
        let reach = self.axes().map(|(dim, stride)| (i128::from(dim.max(1)) - 1) * i128::from(stride).abs());
        let reach = reach.fold(0i128, i128::saturating_add);
        ensure!(
            reach <= LIMIT,
            "{what}.strides {:?} with dims {:?} reach past 2^59 elements",
            self.strides(),
            self.dims()
        );
        Ok(())
    }

    /// Whether the bits of its numbers tell that no product of them, nor a sum of eight, has 59: true for nearly all.
    fn is_small(&self) -> bool {
        let bits = |number: i64| u64::BITS - number.unsigned_abs().leading_zeros();
        let more = |(count, reach): (u32, u32), (dim, stride)| {
            (count + bits(dim), reach.max(bits(dim) + bits(stride)))
        };
        let (count, reach) = self.axes().fold((0, 0), more);
        count <= 58 && reach <= 55
    }

    /// How many dimensions.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Elements along each axis.
    pub fn dims(&self) -> &[i64] {
        &self.dims[..self.rank]
    }

    /// Elements from one index to the next along each axis.
    pub fn strides(&self) -> &[i64] {
        &self.strides[..self.rank]
    }

    /// (dim, stride) of each axis, outermost first.
    pub fn axes(&self) -> impl DoubleEndedIterator<Item = (i64, i64)> + '_ {
        self.dims().iter().copied().zip(self.strides().iter().copied())
    }

    /// Elements along `axis` as an index type.
    pub fn dim(&self, axis: usize) -> usize {
        self.dims()[axis] as usize
    }

    /// Elements from one index to the next along `axis`.
    pub fn stride(&self, axis: usize) -> isize {
        self.strides()[axis] as isize
    }

    /// How many elements.
    pub fn count(&self) -> usize {
        self.dims().iter().product::<i64>() as usize
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.dims().contains(&0)
    }

    /// The elements touched, from the origin; `None` where there are none.
    pub fn span(&self) -> Option<Span> {
        if self.is_empty() {
            return None;
        }
        let (mut low, mut high) = (0, 0);
        for (dim, stride) in self.axes() {
            let reach = (dim - 1) * stride;
            (low, high) = (low + reach.min(0), high + reach.max(0));
        }
        Some(Span { low, high })
    }

    /// Whether the elements lie one after another in row-major order (axes of one element do not count).
    pub fn is_packed(&self) -> bool {
        let mut step = 1;
        for (dim, stride) in self.axes().rev() {
            if dim != 1 && stride != step {
                return self.is_empty();
            }
            step *= dim;
        }
        true
    }

    /// The same elements seen as `dims`: axes are added in front, and axes of one element repeated.
    pub fn broadcast_to(&self, what: impl Display, dims: &[i64]) -> Result<Self> {
        let fits = self.rank <= dims.len();
        let added = dims.len().saturating_sub(self.rank);
        let fits =
            fits && self.dims().iter().zip(&dims[added..]).all(|(&have, &want)| have == want || have == 1);
        ensure!(fits, "{what}.dims {:?} cannot be broadcast to {dims:?}", self.dims());
        let mut out = Self::strided(dims, &[0; WEFT_MAX_RANK][..dims.len()]);
        for axis in 0..self.rank {
            let stretched = self.dims[axis] != dims[added + axis];
            out.strides[added + axis] = if stretched { 0 } else { self.strides[axis] };
        }
        Ok(out)
    }

    /// The axes in another order: axis `i` of the result is axis `order[i]` of this.
    pub fn permuted(&self, order: &[usize]) -> Self {
        let mut out = Self::strided(&[], &[]);
        for &axis in order {
            out = out.with_axis(self.dims[axis], self.strides[axis]);
        }
        out
    }

    /// With one more axis at the end.
    pub fn with_axis(mut self, dim: i64, stride: i64) -> Self {
        (self.dims[self.rank], self.strides[self.rank]) = (dim, stride);
        self.rank += 1;
        self
    }

    /// Without `axis`.
    pub fn without_axis(&self, axis: usize) -> Self {
        let mut out = Self::strided(&[], &[]);
        for (index, (dim, stride)) in self.axes().enumerate() {
            if index != axis {
                out = out.with_axis(dim, stride);
            }
        }
        out
    }

    /// The outer axes alone and the last `inner` alone.
    pub fn split(&self, inner: usize) -> (Self, Self) {
        let at = self.rank - inner;
        let part =
            |range: std::ops::Range<usize>| Self::strided(&self.dims[range.clone()], &self.strides[range]);
        (part(0..at), part(at..self.rank))
    }

    /// Where the element with this row-major number lies, from the origin.
    pub fn offset_of(&self, mut number: usize) -> isize {
        let mut offset = 0;
        for (dim, stride) in self.axes().rev() {
            let dim = dim as usize;
            offset += (number % dim) as isize * stride as isize;
            number /= dim;
        }
        offset
    }

    /// Whether two indices never name the same element, as an output needs.
    pub fn is_injective(&self) -> bool {
        if self.is_empty() || self.nests() {
            return true;
        }
        const COUNTABLE: usize = 1 << 16;
        let Some(span) = self.span() else { return true };
        let count = self.count();
        if count > COUNTABLE || (span.high - span.low) as usize + 1 < count {
            return false;
        }
        let mut seen: Vec<isize> = (0..count).map(|number| self.offset_of(number)).collect();
        seen.sort_unstable();
        seen.windows(2).all(|pair| pair[0] != pair[1])
    }

    /// Each stride steps over everything that the smaller ones reach: enough for injectivity, not needed.
    fn nests(&self) -> bool {
        let mut axes = [(1, i64::MAX); WEFT_MAX_RANK];
        let mut count = 0;
        for (dim, stride) in self.axes().filter(|axis| axis.0 > 1) {
            axes[count] = (dim, stride.abs());
            count += 1;
        }
        axes[..count].sort_unstable_by_key(|axis| axis.1);
        let mut reach = 0;
        for &(dim, stride) in &axes[..count] {
            if stride <= reach {
                return false;
            }
            reach += (dim - 1) * stride;
        }
        true
    }
}

/// Elements of one buffer: origin in bytes, element type, layout.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Of element (0, ..., 0), in bytes from the buffer's start.
    pub offset: u64,
    /// Element type.
    pub dtype: Dtype,
    /// Shape and strides.
    pub layout: Layout,
}

impl Place {
    /// First byte and the byte after the last, from the buffer's start; `None` if empty.
    pub fn bytes(&self) -> Option<(i128, i128)> {
        let span = self.layout.span()?;
        let at = |element: i64| i128::from(self.offset) + i128::from(element) * self.dtype.size() as i128;
        Some((at(span.low), at(span.high) + self.dtype.size() as i128))
    }

    /// Whether both name the same elements in the same order.
    pub fn same_as(&self, other: &Self) -> bool {
        let strides = |place: &Self| place.layout.axes().filter(|axis| axis.0 != 1).collect::<Vec<_>>();
        self.offset == other.offset
            && self.dtype.size() == other.dtype.size()
            && self.layout.dims() == other.layout.dims()
            && strides(self) == strides(other)
    }

    /// Whether some byte may belong to both. `false` is certain, `true` may be overcautious.
    pub fn may_overlap(&self, other: &Self) -> bool {
        let (Some(a), Some(b)) = (self.bytes(), other.bytes()) else { return false };
        if a.1 <= b.0 || b.1 <= a.0 {
            return false;
        }
        let periods = self.byte_strides().chain(other.byte_strides());
        !periods.filter(|&period| period > 0).any(|period| self.apart_modulo(other, period))
    }

    fn byte_strides(&self) -> impl Iterator<Item = i128> + '_ {
        let size = self.dtype.size() as i128;
        self.layout.axes().filter(|axis| axis.0 > 1).map(move |axis| i128::from(axis.1).abs() * size)
    }

    /// Whether the two stay in separate lanes of every `period` bytes, as slices of one packed QKV buffer do.
    fn apart_modulo(&self, other: &Self, period: i128) -> bool {
        match (self.lane(period), other.lane(period)) {
            (Some(a), Some(b)) => a.1 <= b.0 || b.1 <= a.0,
            _ => false,
        }
    }

    /// The most bytes from one index to the next along an axis; 0 of a single element.
    pub fn period(&self) -> i128 {
        self.byte_strides().max().unwrap_or(0)
    }

    /// The bytes touched modulo `period`, if they do not wrap around.
    pub fn lane(&self, period: i128) -> Option<(i128, i128)> {
        let size = self.dtype.size() as i128;
        let (mut low, mut high) = (i128::from(self.offset), i128::from(self.offset) + size);
        for (dim, stride) in self.layout.axes() {
            let step = i128::from(stride) * size;
            if step % period != 0 {
                let reach = step * i128::from(dim - 1);
                (low, high) = (low + reach.min(0), high + reach.max(0));
            }
        }
        let start = low.rem_euclid(period);
        (start + (high - low) <= period).then_some((start, start + high - low))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(offset: u64, dims: &[i64], strides: &[i64]) -> Place {
        Place { offset, dtype: Dtype::F32, layout: Layout::strided(dims, strides) }
    }

    #[test]
    fn slices_of_one_packed_buffer_are_apart() {
        let (q, k) = (place(0, &[5, 8], &[24, 1]), place(32, &[5, 8], &[24, 1]));
        assert!(!q.may_overlap(&k) && q.may_overlap(&q) && q.same_as(&q) && !q.same_as(&k));
        assert!(q.may_overlap(&place(28, &[5, 8], &[24, 1])));
    }

    #[test]
    fn injectivity_is_exact_on_small_layouts() {
        assert!(Layout::strided(&[2, 2], &[2, 3]).is_injective());
        assert!(!Layout::strided(&[4, 2], &[1, 2]).is_injective());
        assert!(!Layout::strided(&[4], &[0]).is_injective());
        assert!(Layout::strided(&[4, 0], &[0, 0]).is_injective());
        assert!(Layout::strided(&[3, 5], &[-5, 1]).is_injective());
    }

    #[test]
    fn hostile_extents_are_refused() {
        let tensor = |dims: &[i64], strides: &[i64]| {
            let mut t = weft_tensor { rank: dims.len() as u32, ..Default::default() };
            t.dims[..dims.len()].copy_from_slice(dims);
            t.strides[..strides.len()].copy_from_slice(strides);
            Layout::new("x", &t)
        };
        assert!(tensor(&[i64::MAX, i64::MAX], &[]).is_err());
        assert!(tensor(&[2, 2], &[i64::MIN, 1]).is_err());
        assert!(tensor(&[0, i64::MAX, i64::MAX], &[]).is_err());
        assert!(tensor(&[-1], &[]).is_err());
        assert_eq!(tensor(&[2, 3], &[]).unwrap().strides(), [3, 1]);
        for far in [i64::MIN, -1 << 62, 1 << 60, i64::MAX] {
            let still = tensor(&[1, 2, 1], &[far, 5, far]).unwrap();
            assert_eq!((still.strides(), still.offset_of(1)), ([0, 5, 0].as_slice(), 5), "{far}");
        }
        assert_eq!(tensor(&[3, 2], &[-2, 5]).unwrap().span(), Some(Span { low: -4, high: 5 }));
    }
}
