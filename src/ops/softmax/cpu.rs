//! On the CPU: many rows side by side where that is how they lie; else row by row, where the row lies if it is packed and of the type that is computed in, else in a copy.

use super::rows::Row;
use super::{Softmax, columns};
use crate::device::Cpu;
use crate::device::cpu::Scratch;
use crate::dtype::Float;
use crate::kernels::walk::Walk;
use crate::kernels::widen::Widen;
use crate::op::Choice;
use crate::status::{Error, Result};
use crate::with_float;
use parking_lot::Mutex;

/// Ways to compute.
pub(super) const CHOICES: &[Choice<Softmax, Cpu>] = &[
    Choice { name: "columns", accepts: |softmax, _| columns::accepts(softmax), run: columns::run },
    Choice { name: "rows", accepts: |_, _| true, run: rows },
];

fn rows(softmax: &Softmax, cpu: &Cpu) -> Result<()> {
    with_float!(softmax.x.dtype(), T => run::<T>(softmax, cpu), _ => Err(Error::panic()))
}

fn run<T: Widen>(softmax: &Softmax, cpu: &Cpu) -> Result<()> {
    let plan = Plan::<T>::new(softmax);
    let item_ns = if T::DTYPE == <f64 as Float>::DTYPE { 8.0 } else { 0.8 };
    let failed = Mutex::new(None);
    cpu.parallel_ranges(plan.rows, plan.count as f64 * item_ns + 30.0, |start, end| {
        if let Err(error) = plan.range(start, end) {
            *failed.lock() = Some(error);
        }
    });
    failed.into_inner().map_or(Ok(()), Err)
}

/// All that a row needs to know.
struct Plan<T: Widen> {
    x: *const T,
    y: *mut T,
    /// Where rows of x and y start.
    starts: Walk<2>,
    /// Of x and y along a row.
    strides: [isize; 2],
    rows: usize,
    count: usize,
    scale: T::Wide,
    log: bool,
}

// SAFETY: the pointers are to buffers that the request owns; threads write disjoint rows.
unsafe impl<T: Widen> Sync for Plan<T> {}

impl<T: Widen> Plan<T> {
    fn new(softmax: &Softmax) -> Self {
        let layouts = [softmax.x.layout(), softmax.y.layout()];
        let parts = layouts.map(|layout| layout.split(1));
        Self {
            x: softmax.x.ptr(),
            y: softmax.y.ptr(),
            starts: Walk::new([&parts[0].0, &parts[1].0]),
            strides: [parts[0].1.stride(0), parts[1].1.stride(0)],
            rows: parts[0].0.count(),
            count: parts[0].1.dim(0),
            scale: T::Wide::from_f64(softmax.scale),
            log: softmax.log,
        }
    }

    /// Rows `start..end`.
    fn range(&self, start: usize, end: usize) -> Result<()> {
        let wide = T::DTYPE == <T::Wide as Float>::DTYPE;
        let direct = wide && (self.strides == [1, 1] || self.count <= 1);
        let copy = if direct { None } else { Some(Scratch::<T::Wide>::new(self.count)?) };
        for row in start..end {
            let [x, y] = self.starts.at(row);
            let (x, y) = (self.x.wrapping_offset(x), self.y.wrapping_offset(y));
            match &copy {
                None => self.row(x.cast(), y.cast()),
                Some(copy) => self.copied(x, y, copy.ptr()),
            }
        }
        Ok(())
    }

    fn copied(&self, x: *const T, y: *mut T, copy: *mut T::Wide) {
        // SAFETY: x and y are rows of the operands, `copy` has room for one and is no operand's memory.
        unsafe { T::gather(x, self.strides[0], copy, self.count) };
        self.row(copy, copy);
        // SAFETY: as above.
        unsafe { T::scatter(copy, y, self.strides[1], self.count) };
    }

    fn row(&self, x: *const T::Wide, y: *mut T::Wide) {
        let row = Row { x, y, count: self.count, scale: self.scale };
        if self.log { row.log_softmax() } else { row.softmax() }
    }
}
