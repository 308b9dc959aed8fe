//! axpy, scal, swap and rot on the CPU: runs of elements, shared by threads.

use super::BYTE_NS;
use super::lanes;
use crate::device::Cpu;
use crate::kernels::walk::Walk;
use crate::op::Choice;
use crate::ops::blas::number::{Number, with_number};
use crate::ops::blas::update::{Change, Update};
use crate::status::Result;

/// Best first.
pub(in crate::ops::blas) const CHOICES: &[Choice<Update, Cpu>] =
    &[Choice { name: "runs", accepts: |_, _| true, run }];

fn run(op: &Update, cpu: &Cpu) -> Result<()> {
    with_number!(op.x.dtype(), N => runs::<N>(op, cpu));
    Ok(())
}

/// What is done to elements of this type.
#[derive(Clone, Copy)]
struct Rule<N> {
    change: Change,
    factor: N,
    cosine: N,
}

/// Where the elements lie.
struct Places<N>([*mut N; 2]);

// SAFETY: each thread touches the elements of its own part of the walk.
unsafe impl<N> Sync for Places<N> {}

fn runs<N: Number>(op: &Update, cpu: &Cpu) {
    let walk = Walk::new([op.x.layout(), op.y.layout()]);
    let rule =
        Rule { change: op.change, factor: N::of(op.factor.re, op.factor.im), cosine: N::of(op.cosine, 0.0) };
    let places = Places([op.x.ptr::<N>(), op.y.ptr::<N>()]);
    let element_ns = 3.0 * BYTE_NS * size_of::<N>() as f64;
    cpu.parallel_ranges(walk.count(), element_ns, |start, end| {
        let Places([x, y]) = &places;
        walk.parts(start, end, |at, count| {
            let (x, y) = (x.wrapping_offset(at[0]), y.wrapping_offset(at[1]));
            // SAFETY: `count` elements of each operand's checked layout, which belong to this part alone.
            unsafe { rule.apply(x, y, walk.strides, count) }
        });
    });
}

impl<N: Number> Rule<N> {
    /// # Safety
    ///
    /// `count` elements lie `strides` apart at x and at y, for this call alone.
    unsafe fn apply(self, x: *mut N, y: *mut N, strides: [isize; 2], count: usize) {
        if strides == [1, 1] || count == 1 {
            return self.apply_packed(x, y, count);
        }
        for i in 0..count as isize {
            self.apply_packed(x.wrapping_offset(i * strides[0]), y.wrapping_offset(i * strides[1]), 1);
        }
    }

    #[inline(always)]
    fn apply_packed(self, x: *mut N, y: *mut N, count: usize) {
        match self.change {
            Change::Axpy => lanes::axpy(self.factor, x, y, count),
            Change::Scal => lanes::scale(self.factor, x, count),
            Change::Rot => lanes::rotate(self.cosine, self.factor, x, y, count),
            // SAFETY: `apply`'s contract: as many elements, and x apart from y where both change.
            Change::Swap => unsafe { std::ptr::swap_nonoverlapping(x, y, count) },
            // SAFETY: as above.
            Change::Zero => (0..count).for_each(|i| unsafe { x.add(i).write(N::ZERO) }),
        }
    }
}
