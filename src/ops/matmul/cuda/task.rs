//! A multiplication as a GPU sees it.

use super::arguments::{arguments, bytes};
use super::blas::Ready;
use super::full::{Extras, FullArgs};
use super::product::Axes;
use super::real::{kind, sum_of};
use crate::device::cuda::Stream;
use crate::dtype::Dtype;
use crate::fail;
use crate::ops::matmul::problem::Problem;
use crate::ops::matmul::{Matmul, WEFT_EPILOGUE_SILU};
use crate::status::Result;
use std::cell::OnceCell;

/// A multiplication as a GPU sees it.
pub struct Task {
    /// Folded and turned as suits kernels, unless there are extras.
    pub problem: Problem,
    /// Whether f32 may be cut to TF32.
    pub tf32: bool,
    /// A WEFT_COMPUTE number.
    pub compute: u32,
    /// Those of the descriptor.
    pub flags: u32,
    /// Bytes of scratch memory at the most; `usize::MAX` for the library's choice.
    pub workspace: usize,
    /// Whether the problem's A and B are conjugate.
    pub conjugate: [bool; 2],
    /// Imaginary parts of alpha and beta.
    pub imaginary: [f64; 2],
    /// What few ask for.
    pub extras: Option<Extras>,
    /// See [`Task::axes`], once they were asked for.
    pub axes: OnceCell<Axes>,
    /// What the vendor's library has for it, writing D or sums, once it was asked.
    pub whole: OnceCell<Option<Ready>>,
    pub sums: OnceCell<Option<Ready>>,
}

impl Task {
    pub fn new(op: &Matmul) -> Self {
        let problem =
            if op.extra.is_some() { Problem::as_asked_on_device(op) } else { Problem::on_device(op) };
        let [a, b] = op.conjugates();
        Self {
            tf32: op.tf32,
            compute: op.compute,
            flags: op.flags,
            workspace: usize::try_from(op.workspace).unwrap_or(usize::MAX),
            conjugate: if problem.turned { [b, a] } else { [a, b] },
            imaginary: op.imaginary,
            extras: op.extra.as_ref().map(|extra| Extras::new(op, extra)),
            problem,
            axes: OnceCell::new(),
            whole: OnceCell::new(),
            sums: OnceCell::new(),
        }
    }

    /// The same, to be changed.
    pub fn again(&self) -> Self {
        let Self { problem, tf32, compute, flags, workspace, conjugate, imaginary, ref extras, .. } = *self;
        Self {
            problem,
            tf32,
            compute,
            flags,
            workspace,
            conjugate,
            imaginary,
            extras: extras.clone(),
            axes: OnceCell::new(),
            whole: OnceCell::new(),
            sums: OnceCell::new(),
        }
    }

    /// Whether it asks for what every kernel does: real floats of 16 bits or more, and no extras.
    pub fn is_plain(&self) -> bool {
        use Dtype::{Bf16, F16, F32, F64};
        let p = &self.problem;
        let floats = [p.a.dtype, p.b.dtype].iter().all(|dtype| matches!(dtype, F32 | F64 | F16 | Bf16));
        floats && self.extras.is_none() && p.after.epilogue <= WEFT_EPILOGUE_SILU
    }

    /// The batch axes, outermost first: dim, and bytes from one matrix of a, b, d, c, bias, aux, a_scale and b_scale to the next.
    pub fn axes(&self) -> &Axes {
        self.axes.get_or_init(|| match &self.extras {
            Some(extras) => extras.axes.clone(),
            None => self.plain_axes(),
        })
    }

    fn plain_axes(&self) -> Axes {
        let p = &self.problem;
        let views = [Some(p.a), Some(p.b), Some(p.d), p.c, p.bias];
        let stride = |strides: &[isize; 5], n: usize| {
            views.get(n).copied().flatten().map_or(0, |view| bytes(&view, strides[n]) as isize)
        };
        let axes = p.axes();
        axes.iter().map(|(dim, strides)| (*dim, std::array::from_fn(|n| stride(strides, n)))).collect()
    }

    /// Whether scales change along k.
    pub fn has_block_scales(&self) -> bool {
        self.extras.as_ref().is_some_and(Extras::has_blocks)
    }

    /// Whether a gradient of a bias is wanted.
    pub fn has_gradient(&self) -> bool {
        self.extras.as_ref().is_some_and(|extras| extras.gradient().is_some())
    }

    /// Whether sums of D's columns are wanted.
    pub fn sums_columns(&self) -> bool {
        self.extras.as_ref().is_some_and(Extras::sums_columns)
    }

    /// The arguments of kernels that take all.
    pub fn arguments(&self) -> FullArgs {
        let p = &self.problem;
        let mut args = FullArgs {
            base: arguments(p),
            more_at: [0; 3],
            more_strides: [0; 6],
            more_axes: [0; 18],
            shares: [0; 2],
            more_kinds: [p.c.map_or(0, |c| kind(c.dtype)), 0],
            imaginary: self.imaginary,
            conjugate: self.conjugate.map(u32::from),
            scaled_sums: 0,
            scale: 0,
            amax: 0,
            columns: 0,
            down: 0,
        };
        if let Some(extras) = &self.extras {
            extras.add_to(&mut args);
        }
        args
    }

    /// What is left of the limit on scratch memory when so much is taken.
    pub fn take_room(&self, bytes: usize) -> Result<usize> {
        let Some(left) = self.workspace.checked_sub(bytes) else {
            fail!(
                WEFT_ERROR_UNSUPPORTED,
                "matmul: workspace is {} bytes; expected at least {bytes}, or 0 for the library's choice",
                self.workspace
            );
        };
        Ok(if self.workspace == usize::MAX { usize::MAX } else { left })
    }

    /// Scratch memory within the limit.
    pub fn scratch(&self, stream: &Stream, bytes: usize) -> Result<u64> {
        self.take_room(bytes)?;
        stream.scratch(bytes)
    }

    /// Room for sums of columns, `lines` of them for each matrix, where they are wanted, else 0.
    pub fn column_sums(&self, stream: &Stream, lines: u64) -> Result<u64> {
        if !self.sums_columns() {
            return Ok(0);
        }
        let p = &self.problem;
        let size = sum_of(p.a.dtype, false).size();
        let lines = p.batches().saturating_mul(lines as usize);
        self.scratch(stream, lines.saturating_mul(p.n).saturating_mul(size))
    }

    /// Queues what comes before the product.
    pub fn begin(&self, stream: &Stream) -> Result<()> {
        self.extras.as_ref().map_or(Ok(()), |extras| extras.begin(stream))
    }

    /// Queues what comes after it: see [`Extras::end`].
    pub fn end(&self, stream: &Stream, columns: u64, lines: u64) -> Result<()> {
        self.extras.as_ref().map_or(Ok(()), |extras| extras.end(stream, columns, lines))
    }
}
