//! Gradients of a bias: sums over the rows of D before they are rounded, or over k of A or B. Added up in f64 in the order
//! of rows and matrices, whatever the number of threads.

use super::Matmul;
use super::element::{Element, with_element};
use super::extra::{Gradient, Side};
use crate::device::{Cpu, cpu::Scratch};
use crate::dtype::Dtype;
use crate::fail;
use crate::layout::Layout;
use crate::op::Operand;
use crate::status::Result;

/// Elements of the gradient that are added up together.
const LINES: usize = 64;

/// Memory for D's values before they are rounded, where its gradient is wanted and D does not keep them.
pub fn values(op: &Matmul) -> Result<Option<Scratch<f32>>> {
    let of_d = grad(op).is_some_and(|grad| grad.side == Side::D);
    if !of_d || matches!(op.d.dtype(), Dtype::F32 | Dtype::F64) {
        return Ok(None);
    }
    let count = op.d.layout().count();
    let bytes = 4 * count as u64;
    if bytes > op.workspace {
        fail!(
            WEFT_ERROR_UNSUPPORTED,
            "matmul: workspace is {} bytes; expected at least {bytes}, or 0 for the library's choice: bias_grad sums up \
             values that d does not keep",
            op.workspace
        );
    }
    Scratch::new(count).map(Some)
}

fn grad(op: &Matmul) -> Option<&Gradient> {
    op.extra.as_ref()?.bias_grad.as_ref()
}

/// What is summed up: lines of `count` elements.
struct Summed {
    at: *const u8,
    dtype: Dtype,
    layout: Layout,
    /// The axis that is kept, and the one that is summed up.
    kept: usize,
    over: usize,
}

// SAFETY: a number; what it points to is only read, and lives as long as the operation's operands.
unsafe impl Sync for Summed {}

/// Writes the gradient, if one is wanted; D is finished, and so are `values`.
pub fn run(op: &Matmul, values: Option<&Scratch<f32>>, cpu: &Cpu) {
    let Some(grad) = grad(op) else { return };
    let rank = op.d.dims().len();
    let of = |operand: &Operand, kept: usize, over: usize| Summed {
        at: operand.address(),
        dtype: operand.dtype(),
        layout: *operand.layout(),
        kept,
        over,
    };
    let summed = match (grad.side, values) {
        (Side::A, _) => of(&op.a, rank - 2, rank - 1),
        (Side::B, _) => of(&op.b, rank - 1, rank - 2),
        (Side::D, None) => of(&op.d, rank - 1, rank - 2),
        (Side::D, Some(values)) => Summed {
            at: values.ptr().cast(),
            dtype: Dtype::F32,
            layout: Layout::packed(op.d.dims()),
            ..of(&op.d, rank - 1, rank - 2)
        },
    };
    add_up(grad, &summed, cpu);
}

fn add_up(grad: &Gradient, summed: &Summed, cpu: &Cpu) {
    let dims = grad.operand.dims();
    let (batch, lines) = (&dims[..dims.len() - 1], dims[dims.len() - 1] as usize);
    let matrices = batch.iter().product::<i64>() as usize;
    let parts = lines.div_ceil(LINES);
    // One at a time, or all of them into one.
    let (outputs, each) = if grad.adds_up { (1, matrices) } else { (matrices, 1) };
    let item = (LINES * summed.layout.dim(summed.over) * each) as f64;
    let to = &grad.operand;
    let address = To(to.address());
    // Where all are added up there may be no matrix at all, and so no place that a number of it means.
    let place = |output: usize, line: usize| match grad.adds_up {
        true => line as isize * to.layout().stride(dims.len() - 1),
        false => to.layout().offset_of(output * lines + line),
    };
    cpu.parallel_ranges(outputs * parts, item, |from, end| {
        for number in from..end {
            let (output, first) = (number / parts, number % parts * LINES);
            let own = first..lines.min(first + LINES);
            let mut sums = [0f64; LINES];
            for matrix in output * each..(output + 1) * each {
                summed.add(matrix, own.clone(), &mut sums);
            }
            for (line, sum) in own.zip(sums) {
                // SAFETY: an element of the gradient, and this call's alone.
                unsafe { write(to.dtype(), address.of(place(output, line), to.dtype()), sum) };
            }
        }
    });
}

/// Where the gradient begins.
struct To(*mut u8);

// SAFETY: a number; each element behind it is written by one call.
unsafe impl Sync for To {}

impl To {
    fn of(&self, element: isize, dtype: Dtype) -> *mut u8 {
        self.0.wrapping_offset(element * dtype.size() as isize)
    }
}

impl Summed {
    /// Adds up some lines of a matrix.
    fn add(&self, matrix: usize, lines: std::ops::Range<usize>, sums: &mut [f64; LINES]) {
        let (mut at, mut left) = (0, matrix);
        for axis in (0..self.layout.rank() - 2).rev() {
            let dim = self.layout.dim(axis);
            at += (left % dim) as isize * self.layout.stride(axis);
            left /= dim;
        }
        with_element!(self.dtype, T => self.add_of::<T>(at, lines, sums))
    }

    fn add_of<T: Element>(&self, at: isize, lines: std::ops::Range<usize>, sums: &mut [f64; LINES]) {
        let (line, step) = (self.layout.stride(self.kept), self.layout.stride(self.over));
        for i in 0..self.layout.dim(self.over) {
            let row = self.at.cast::<T>().wrapping_offset(at + i as isize * step);
            for (line, sum) in lines.clone().map(|number| number as isize * line).zip(&mut *sums) {
                // SAFETY: an element of the matrix.
                *sum += unsafe { row.wrapping_offset(line).read() }.to_f64();
            }
        }
    }
}

/// # Safety
///
/// `to` is an element of this dtype.
unsafe fn write(dtype: Dtype, to: *mut u8, value: f64) {
    // SAFETY: this function's contract.
    unsafe { with_element!(dtype, T => to.cast::<T>().write(crate::dtype::Float::from_f64(value))) }
}
