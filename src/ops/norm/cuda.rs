//! On CUDA: one launch, whatever the layout.

use super::Norm;
use super::ptx::{Args, Given, Spec};
use crate::device::cuda::Stream;
use crate::kernels::gpu::{Lie, Plan, Rows, Space, Way, piece_len, row_words};
use crate::layout::Layout;
use crate::op::{Choice, Operand};
use crate::status::Result;

/// Ways to compute.
pub(super) const CHOICES: &[Choice<Norm, Stream>] =
    &[Choice { name: "rows", accepts: |_, _| true, run: rows }];

/// The spaces that a request is walked in.
struct Spaces {
    /// The rows of x, residual, y, sum, mean and rstd.
    outer: Space<6>,
    /// A row's elements of x, residual, y, sum, weight and bias.
    inner: Space<6>,
    rows: u64,
    count: u64,
}

fn rows(norm: &Norm, stream: &Stream) -> Result<()> {
    let spaces = Spaces::new(norm);
    if spaces.rows == 0 {
        return Ok(());
    }
    let spec = norm.spec(spaces.plan(norm));
    let kernel = stream.kernel(spec.key(), |target| spec.write(target))?;
    let grid = spec.plan.grid(spaces.rows);
    // SAFETY: the operands were checked, and the spaces name their elements alone.
    unsafe { kernel.launch(stream, grid, &spaces.arguments(norm)) }
}

impl Spaces {
    fn new(norm: &Norm) -> Self {
        let split = |operand: &Operand| operand.layout().split(norm.axes);
        let (y_rows, y_row) = split(&norm.y);
        let lines = norm.lines().map(|line| line.map_or((y_rows, y_row), split));
        let whole =
            |operand: &Option<Operand>, or: Layout| operand.as_ref().map_or(or, |operand| *operand.layout());
        let (mean, rstd) = (whole(&norm.mean, y_rows), whole(&norm.rstd, y_rows));
        let (weight, bias) = (whole(&norm.weight, y_row), whole(&norm.bias, y_row));
        let [x, residual, y, sum] = &lines;
        Self {
            outer: Space::new([&x.0, &residual.0, &y.0, &sum.0, &mean, &rstd]),
            inner: Space::new([&x.1, &residual.1, &y.1, &sum.1, &weight, &bias]),
            rows: y_rows.count() as u64,
            count: y_row.count() as u64,
        }
    }

    fn plan(&self, norm: &Norm) -> Plan {
        let (x_and_y, unit) = ([0, 2], |stride: isize| stride == 1);
        let aside = x_and_y.into_iter().all(|n| self.outer.strides(n).next_back().is_some_and(unit));
        Plan::new(&Rows {
            dtype: norm.x.dtype(),
            rows: self.rows,
            count: self.count,
            ranks: [self.outer.rank(), self.inner.rank()],
            lie: self.lie(norm),
            most: if self.is_light(norm) { 8 } else { 4 },
            aside: aside && !self.inner.is_dense(),
        })
    }

    /// How the rows lie, and the parameters with them.
    fn lie(&self, norm: &Norm) -> Lie {
        let lines: Vec<_> =
            norm.lines().into_iter().enumerate().filter_map(|(n, line)| Some((n, line?.at()))).collect();
        let len = piece_len(norm.x.dtype()) as usize;
        let aligned =
            |operand: &Operand| operand.at().is_multiple_of((len * operand.dtype().size()).min(16) as u64);
        match Lie::new([&self.outer, &self.inner], norm.x.dtype(), self.count, &lines) {
            Lie::Whole if ![&norm.weight, &norm.bias].into_iter().flatten().all(aligned) => Lie::Packed,
            lie => lie,
        }
    }

    /// Whether little beside a row takes registers.
    fn is_light(&self, norm: &Norm) -> bool {
        let same = norm.weight.as_ref().is_none_or(|weight| weight.dtype() == norm.x.dtype());
        same && norm.residual.is_none() && norm.bias.is_none() && !norm.centred
    }

    fn arguments(&self, norm: &Norm) -> Args {
        let at = |operand: &Option<Operand>| operand.as_ref().map_or(0, Operand::at);
        let size =
            |operand: &Option<Operand>| operand.as_ref().map_or(0, |operand| operand.dtype().size() as u32);
        Args {
            rows: self.rows,
            count: self.count,
            share: 1.0 / self.count as f64,
            epsilon: norm.epsilon,
            lines: norm.lines().map(|line| line.map_or(0, Operand::at)),
            weight: at(&norm.weight),
            bias: at(&norm.bias),
            mean: at(&norm.mean),
            rstd: at(&norm.rstd),
            sizes: [&norm.weight, &norm.bias, &norm.mean, &norm.rstd].map(size),
            plus: if norm.weight_plus_one { 1.0 } else { 0.0 },
            outer: row_words(&self.outer),
            inner: row_words(&self.inner),
        }
    }
}

impl Norm {
    /// x, residual, y and sum.
    fn lines(&self) -> [Option<&Operand>; 4] {
        [Some(&self.x), self.residual.as_ref(), Some(&self.y), self.sum.as_ref()]
    }

    fn spec(&self, plan: Plan) -> Spec {
        let dtype = |operand: &Option<Operand>| operand.as_ref().map(Operand::dtype);
        let given = Given {
            residual: self.residual.is_some(),
            sum: self.sum.is_some(),
            weight: dtype(&self.weight),
            bias: dtype(&self.bias),
            weight_plus_one: self.weight_plus_one,
        };
        let given = if plan.way == Way::Elements { Given::default() } else { given };
        Spec { dtype: self.x.dtype(), plan, centred: self.centred, given }
    }
}
