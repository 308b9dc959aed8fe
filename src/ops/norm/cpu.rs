//! On the CPU: row by row, where the row lies if it is packed and of the type that is computed in, else from a copy.

use super::Norm;
use super::rows::{Line, Row, squares, sum};
use crate::device::Cpu;
use crate::device::cpu::Scratch;
use crate::dtype::{Dtype, Float};
use crate::kernels::walk::Walk;
use crate::kernels::widen::{Wide, Widen};
use crate::op::{Choice, Operand};
use crate::status::{Error, Result};
use crate::with_float;
use parking_lot::Mutex;

/// Ways to compute.
pub(super) const CHOICES: &[Choice<Norm, Cpu>] = &[Choice { name: "rows", accepts: |_, _| true, run: rows }];

fn rows(norm: &Norm, cpu: &Cpu) -> Result<()> {
    with_float!(norm.x.dtype(), T => run::<T>(norm, cpu), _ => Err(Error::panic()))
}

fn run<T: Widen>(norm: &Norm, cpu: &Cpu) -> Result<()> {
    let plan = Plan::<T>::new(norm)?;
    let failed = Mutex::new(None);
    cpu.parallel_ranges(plan.rows, plan.count as f64 * 0.25 + 10.0, |start, end| {
        if let Err(error) = plan.range(start, end) {
            *failed.lock() = Some(error);
        }
    });
    failed.into_inner().map_or(Ok(()), Err)
}

/// Rows of an operand: how the elements of one lie.
struct Rows<T> {
    origin: *mut T,
    row: Walk<1>,
}

impl<T: Widen> Rows<T> {
    fn new(operand: &Operand, axes: usize) -> Self {
        Self { origin: operand.ptr(), row: Walk::new([&operand.layout().split(axes).1]) }
    }

    /// Where the row at `offset` lies, if it is packed and of the type that is computed in.
    fn direct(&self, offset: isize) -> Option<*mut T::Wide> {
        let packed = self.row.runs() == 1 && (self.row.strides[0] == 1 || self.row.run == 1);
        let same = T::DTYPE == <T::Wide as Float>::DTYPE;
        (packed && same).then(|| self.origin.wrapping_offset(offset).cast())
    }

    /// Copies the row at `offset` to `to`.
    fn load(&self, offset: isize, to: *mut T::Wide) {
        for run in 0..self.row.runs() {
            let from = self.origin.wrapping_offset(offset + self.row.start(run)[0]);
            let to = to.wrapping_add(run * self.row.run);
            // SAFETY: the run is inside the operand, `to` has room for a row, and is no operand's memory.
            unsafe { T::gather(from, self.row.strides[0], to, self.row.run) };
        }
    }

    /// Copies `from` to the row at `offset`.
    fn store(&self, offset: isize, from: *const T::Wide) {
        for run in 0..self.row.runs() {
            let to = self.origin.wrapping_offset(offset + self.row.start(run)[0]);
            let from = from.wrapping_add(run * self.row.run);
            // SAFETY: the run is inside the operand, `from` holds a row, and is no operand's memory.
            unsafe { T::scatter(from, to, self.row.strides[0], self.row.run) };
        }
    }
}

/// A mean or rstd.
struct Statistic<'a> {
    operand: &'a Operand,
    rows: Walk<1>,
}

impl<'a> Statistic<'a> {
    fn new(operand: &'a Operand) -> Self {
        Self { operand, rows: Walk::new([operand.layout()]) }
    }

    fn write(&self, row: usize, value: f64) {
        let at = self.rows.at(row)[0];
        // SAFETY: `at` is an element of the operand, whose dtype is f32 or f64 by its check.
        unsafe {
            match self.operand.dtype() {
                Dtype::F64 => *self.operand.ptr::<f64>().offset(at) = value,
                _ => *self.operand.ptr::<f32>().offset(at) = value as f32,
            }
        }
    }
}

/// A weight or bias as a packed row of the type that is computed in.
struct Parameter<W> {
    at: *const W,
    /// Keeps what `at` points to, where it was copied.
    _copy: Option<Scratch<W>>,
}

impl<W: Wide> Parameter<W> {
    fn new(operand: &Operand, plus: f64) -> Result<Self> {
        with_float!(operand.dtype(), S => Self::of::<S>(operand, plus), _ => Err(Error::panic()))
    }

    fn of<S: Widen>(operand: &Operand, plus: f64) -> Result<Self> {
        let rows = Rows::<S>::new(operand, operand.dims().len());
        if S::DTYPE == W::DTYPE
            && plus == 0.0
            && let Some(at) = rows.direct(0)
        {
            return Ok(Self { at: at.cast(), _copy: None });
        }
        let count = operand.layout().count();
        let (read, copy) = (Scratch::<S::Wide>::new(count)?, Scratch::<W>::new(count)?);
        rows.load(0, read.ptr());
        for i in 0..count {
            // SAFETY: both hold `count` elements.
            unsafe { *copy.ptr().add(i) = W::from_f64((*read.ptr().add(i)).to_f64() + plus) };
        }
        Ok(Self { at: copy.ptr(), _copy: Some(copy) })
    }
}

/// All that a row needs to know.
struct Plan<'a, T: Widen> {
    norm: &'a Norm,
    rows: usize,
    count: usize,
    /// Where rows of x, residual, y and sum start; y's in place of those that are missing.
    starts: Walk<4>,
    x: Rows<T>,
    residual: Option<Rows<T>>,
    y: Rows<T>,
    sum: Option<Rows<T>>,
    weight: Option<Parameter<T::Wide>>,
    bias: Option<Parameter<T::Wide>>,
    mean: Option<Statistic<'a>>,
    rstd: Option<Statistic<'a>>,
}

// SAFETY: the pointers are to buffers that the request owns and to scratch of the plan; threads write disjoint rows.
unsafe impl<T: Widen> Sync for Plan<'_, T> {}

impl<'a, T: Widen> Plan<'a, T> {
    fn new(norm: &'a Norm) -> Result<Self> {
        let outer = |operand: &Operand| operand.layout().split(norm.axes).0;
        let or_y = |operand: &Option<Operand>| outer(operand.as_ref().unwrap_or(&norm.y));
        let layouts = [outer(&norm.x), or_y(&norm.residual), outer(&norm.y), or_y(&norm.sum)];
        let rows = |operand: &Operand| Rows::new(operand, norm.axes);
        let plus = if norm.weight_plus_one { 1.0 } else { 0.0 };
        Ok(Self {
            norm,
            rows: layouts[0].count(),
            count: norm.x.layout().split(norm.axes).1.count(),
            starts: Walk::new([&layouts[0], &layouts[1], &layouts[2], &layouts[3]]),
            x: rows(&norm.x),
            residual: norm.residual.as_ref().map(rows),
            y: rows(&norm.y),
            sum: norm.sum.as_ref().map(rows),
            weight: norm.weight.as_ref().map(|operand| Parameter::new(operand, plus)).transpose()?,
            bias: norm.bias.as_ref().map(|operand| Parameter::new(operand, 0.0)).transpose()?,
            mean: norm.mean.as_ref().map(Statistic::new),
            rstd: norm.rstd.as_ref().map(Statistic::new),
        })
    }

    /// Normalises rows `start..end`.
    fn range(&self, start: usize, end: usize) -> Result<()> {
        let direct = self.residual.is_none() && self.x.direct(0).is_some() && self.y.direct(0).is_some();
        let copies = if direct { None } else { Some(Scratch::<T::Wide>::new(self.count.saturating_mul(2))?) };
        for row in start..end {
            self.row(row, copies.as_ref().map(Scratch::ptr));
        }
        Ok(())
    }

    /// `copies` has room for two rows, unless x and y are direct.
    fn row(&self, row: usize, copies: Option<*mut T::Wide>) {
        let [x_at, residual_at, y_at, sum_at] = self.starts.at(row);
        let x = match copies {
            None => self.x.direct(x_at).unwrap_or(std::ptr::null_mut()),
            Some(copy) => {
                self.x.load(x_at, copy);
                self.add(residual_at, copy);
                copy
            }
        };
        if let Some(sum) = &self.sum {
            sum.store(sum_at, x);
        }
        let (centre, scale) = self.statistics(row, Row { at: x, count: self.count });
        let y = copies.or_else(|| self.y.direct(y_at)).unwrap_or(x);
        let parameter = |given: &Option<Parameter<T::Wide>>| given.as_ref().map(|parameter| parameter.at);
        let (weight, bias) = (parameter(&self.weight), parameter(&self.bias));
        Line { x: Row { at: x, count: self.count }, y, centre, scale, weight, bias }.write();
        if copies.is_some() {
            self.y.store(y_at, y);
        }
    }

    /// Adds the residual to the row in `copy`, rounded to the dtype; `copy` has room for two rows.
    fn add(&self, offset: isize, copy: *mut T::Wide) {
        let Some(residual) = &self.residual else { return };
        let second = copy.wrapping_add(self.count);
        residual.load(offset, second);
        // SAFETY: both rows lie in `copy`. The second then takes the rounded sums, which are no larger.
        unsafe {
            for i in 0..self.count {
                *copy.add(i) = *copy.add(i) + *second.add(i);
            }
            if T::DTYPE != <T::Wide as Float>::DTYPE {
                T::narrow(copy, second.cast(), self.count);
                T::widen(second.cast(), copy, self.count);
            }
        }
    }

    /// What to subtract from the row and what to multiply it by.
    fn statistics(&self, row: usize, x: Row<T::Wide>) -> (T::Wide, T::Wide) {
        let count = x.count as f64;
        let mean = if self.norm.centred { sum(x) / count } else { 0.0 };
        let centre = T::Wide::from_f64(mean);
        let variance = squares(x, centre) / count;
        let rstd = 1.0 / (variance + self.norm.epsilon).sqrt();
        if let Some(out) = &self.mean {
            out.write(row, mean);
        }
        if let Some(out) = &self.rstd {
            out.write(row, rstd);
        }
        (centre, T::Wide::from_f64(rstd))
    }
}
