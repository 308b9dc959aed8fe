//! Where rows lie: keys and values of a sequence, dense, packed or in pages, and rows of q, o, lse and bias.

use super::plan::{Plan, Sequence};
use super::{Attention, Operand};
use crate::dtype::{Dtype, Float, bf16, f16};

/// The rows of k or v for one head and sequence.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a, T> {
    origin: *const T,
    /// From row to row.
    step: isize,
    /// From element to element of a row.
    pub stride: isize,
    /// Page numbers, the rows of a page, and from page to page.
    pages: Option<(&'a [usize], usize, isize)>,
}

impl<'a, T> Rows<'a, T> {
    /// Of `operand`, which is k or v, for sequence `b` and head `head` of the keys.
    pub fn new(op: &Attention, operand: &Operand, plan: &'a Plan, b: usize, head: usize) -> Self {
        let (layout, sequence) = (operand.layout(), &plan.sequences[b]);
        let head_at = operand.ptr::<T>().wrapping_offset(head as isize * layout.stride(1));
        let (step, stride) = (layout.stride(2), layout.stride(3));
        if op.block_table.is_some() {
            let pages = &plan.pages[b * plan.pages_each..][..plan.pages_each];
            return Self {
                origin: head_at,
                step,
                stride,
                pages: Some((pages, layout.dim(2), layout.stride(0))),
            };
        }
        let first = sequence.kv_batch as isize * layout.stride(0) + sequence.kv_first as isize * step;
        Self { origin: head_at.wrapping_offset(first), step, stride, pages: None }
    }

    /// Row `j`, from row to row, and how many rows follow in that step (itself among them).
    #[inline(always)]
    pub fn run(&self, j: usize) -> (*const T, isize, usize) {
        let Some((pages, size, page_step)) = self.pages else {
            return (
                self.origin.wrapping_offset((j as isize).wrapping_mul(self.step)),
                self.step,
                usize::MAX,
            );
        };
        let (page, row) = (pages[j / size] as isize, j % size);
        let at = page.wrapping_mul(page_step).wrapping_add((row as isize).wrapping_mul(self.step));
        (self.origin.wrapping_offset(at), self.step, size - row)
    }

    /// Row `j`.
    pub fn row(&self, j: usize) -> *const T {
        self.run(j).0
    }
}

/// Element (batch, head, row, 0) of q or o for row `i` of a sequence.
pub(super) fn query_row<T>(operand: &Operand, sequence: &Sequence, head: usize, i: usize) -> *mut T {
    row_at(operand, sequence.q_batch, head, sequence.q_first + i)
}

/// Element (batch, head, row) of q, o or lse (0 in what axes follow).
pub(super) fn row_at<T>(operand: &Operand, batch: usize, head: usize, row: usize) -> *mut T {
    let layout = operand.layout();
    let at = batch as isize * layout.stride(0) + head as isize * layout.stride(1);
    operand.ptr::<T>().wrapping_offset(at + row as isize * layout.stride(2))
}

/// A row of the bias.
#[derive(Clone, Copy)]
pub(super) struct BiasRow {
    at: *const u8,
    dtype: Dtype,
    /// From key to key, in elements.
    stride: isize,
}

impl BiasRow {
    /// For query `i` of head `head` of sequence `b`.
    pub fn new(bias: &Operand, b: usize, head: usize, i: usize) -> Self {
        let (layout, size) = (bias.layout(), bias.dtype().size() as isize);
        let stride = |axis: usize| if layout.dim(axis) == 1 { 0 } else { layout.stride(axis) };
        let at = b as isize * stride(0) + head as isize * stride(1) + i as isize * stride(2);
        let origin = match size {
            1 => bias.ptr::<u8>().cast_const(),
            2 => bias.ptr::<u16>().cast_const().cast(),
            _ => bias.ptr::<u32>().cast_const().cast(),
        };
        Self { at: origin.wrapping_offset(at * size), dtype: bias.dtype(), stride: stride(3) }
    }

    /// The element type.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The element of key `j`, and the stride in elements from there on.
    pub fn from(&self, j: usize) -> (*const u8, isize) {
        let bytes = (j as isize).wrapping_mul(self.stride).wrapping_mul(self.dtype.size() as isize);
        (self.at.wrapping_offset(bytes), self.stride)
    }

    /// What is added to the score of key `j`: -infinity where a mask is false.
    ///
    /// # Safety
    ///
    /// `j` is a key of the sequence for which the row was made.
    #[inline(always)]
    pub unsafe fn at(&self, j: usize) -> f32 {
        let at = (j as isize).wrapping_mul(self.stride);
        // SAFETY: the plan checked that the bias covers every query and key in use, and binding that it is inside its
        // buffer, aligned to its type.
        unsafe {
            match self.dtype {
                Dtype::F32 => self.at.cast::<f32>().wrapping_offset(at).read(),
                Dtype::F16 => self.at.cast::<f16>().wrapping_offset(at).read().to_f32(),
                Dtype::Bf16 => Float::to_f32(self.at.cast::<bf16>().wrapping_offset(at).read()),
                _ if self.at.wrapping_offset(at).read() != 0 => 0.0,
                _ => f32::NEG_INFINITY,
            }
        }
    }
}
