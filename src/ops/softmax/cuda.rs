//! On CUDA: one launch, whatever the layout.

use super::Softmax;
use super::ptx::{Args, Spec};
use crate::device::cuda::Stream;
use crate::kernels::gpu::{Plan, Rows, Space, piece_len, row_words};
use crate::op::Choice;
use crate::status::Result;

/// Ways to compute.
pub(super) const CHOICES: &[Choice<Softmax, Stream>] =
    &[Choice { name: "rows", accepts: |_, _| true, run: rows }];

fn rows(softmax: &Softmax, stream: &Stream) -> Result<()> {
    let parts = [&softmax.x, &softmax.y].map(|operand| operand.layout().split(1));
    let outer = Space::new([&parts[0].0, &parts[1].0]);
    let inner = Space::new([&parts[0].1, &parts[1].1]);
    let (rows, count) = (parts[0].0.count() as u64, parts[0].1.count() as u64);
    if rows == 0 || count == 0 {
        return Ok(());
    }
    let plan = Plan::new(&given(softmax, &outer, &inner, rows, count));
    let spec = Spec { dtype: softmax.x.dtype(), plan, log: softmax.log, scaled: softmax.scale != 1.0 };
    let kernel = stream.kernel(spec.key(), |target| spec.write(target))?;
    let (x, y, scale) = (softmax.x.at(), softmax.y.at(), softmax.scale);
    let args = Args { rows, count, scale, x, y, outer: row_words(&outer), inner: row_words(&inner) };
    // SAFETY: the operands were checked, and the spaces name their elements alone.
    unsafe { kernel.launch(stream, plan.grid(rows), &args) }
}

fn given(softmax: &Softmax, outer: &Space<2>, inner: &Space<2>, rows: u64, count: u64) -> Rows {
    let dtype = softmax.x.dtype();
    let len = u64::from(piece_len(dtype));
    let starts =
        (0..2).all(|n| outer.strides(n).all(|stride| (stride.unsigned_abs() as u64).is_multiple_of(len)));
    let aligned = softmax.x.at().is_multiple_of(16) && softmax.y.at().is_multiple_of(16);
    let aside = (0..2).all(|n| outer.strides(n).next_back() == Some(1));
    Rows {
        dtype,
        rows,
        count,
        ranks: [outer.rank(), inner.rank()],
        pieces: count.is_multiple_of(len) && inner.is_dense() && starts && aligned,
        // The exponentials of eight pieces are many where elements are short.
        most: if softmax.log || len < 8 { 8 } else { 4 },
        aside: aside && !inner.is_dense(),
    }
}
