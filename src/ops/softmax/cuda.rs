//! On CUDA: one launch, whatever the layout.

use super::Softmax;
use super::ptx::{Args, Spec};
use crate::device::cuda::Stream;
use crate::kernels::gpu::{Lie, Plan, Rows, Space, Way, row_words};
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
    let plan = Plan::new(&given(softmax, [&outer, &inner], rows, count));
    // Slow as they are, kernels of elements scale by 1 too.
    let scaled = softmax.scale != 1.0 || plan.way == Way::Elements;
    let spec = Spec { dtype: softmax.x.dtype(), plan, log: softmax.log, scaled };
    let kernel = stream.kernel(spec.key(), |target| spec.write(target))?;
    let (x, y, scale) = (softmax.x.at(), softmax.y.at(), softmax.scale);
    let args = Args { rows, count, scale, x, y, outer: row_words(&outer), inner: row_words(&inner) };
    // SAFETY: the operands were checked, and the spaces name their elements alone.
    unsafe { kernel.launch(stream, plan.grid(rows), &args) }
}

fn given(softmax: &Softmax, [outer, inner]: [&Space<2>; 2], rows: u64, count: u64) -> Rows {
    let dtype = softmax.x.dtype();
    let aside = (0..2).all(|n| outer.strides(n).next_back() == Some(1));
    Rows {
        dtype,
        rows,
        count,
        ranks: [outer.rank(), inner.rank()],
        lie: Lie::new([outer, inner], dtype, count, &[(0, softmax.x.at()), (1, softmax.y.at())]),
        // The exponentials of eight pieces are many where elements are short.
        most: if softmax.log || dtype.size() > 2 { 8 } else { 4 },
        aside: aside && !inner.is_dense(),
    }
}
