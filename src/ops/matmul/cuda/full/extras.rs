//! What few multiplications ask for, as the host knows it.

use super::arguments::FullArgs;
use super::gradient::{self, GradientArgs, Source};
use crate::device::cuda::Stream;
use crate::dtype::Dtype;
use crate::op::Operand;
use crate::ops::matmul::Matmul;
use crate::ops::matmul::cuda::arguments::{AXES, AXIS};
use crate::ops::matmul::cuda::real::{kind, sum_of};
use crate::ops::matmul::extra::{BLOCK, Extra, Gradient, Scale, Side};
use crate::status::Result;

/// A tensor beside D: where it begins, bytes from a row (or line) and from a column (or block) to the next.
#[derive(Clone, Copy, Debug)]
pub struct Beside {
    pub at: u64,
    pub dtype: Dtype,
    pub strides: [isize; 2],
}

/// Scales of a factor.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    pub all: Beside,
    /// Lines (rows of A, columns of B) that share a scale: 1, BLOCK, or `usize::MAX` for all.
    pub lines: usize,
    /// Whether each block of k has its own.
    pub blocks: bool,
}

/// What few ask for.
#[derive(Clone)]
pub struct Extras {
    pub aux: Option<Beside>,
    pub scales: [Option<Share>; 2],
    /// Addresses, or 0.
    pub d_scale: u64,
    pub amax: u64,
    /// The batch axes, outermost first: dim, and bytes from one matrix of a, b, d, c, bias, aux, a_scale and b_scale to the next.
    pub axes: Vec<(usize, [isize; 8])>,
    gradient: Option<Sum>,
}

/// A gradient of a bias.
#[derive(Clone)]
struct Sum {
    side: Side,
    /// Of what is summed up, or of the factors.
    factors: Dtype,
    /// Of the sums.
    dtype: Dtype,
    args: GradientArgs,
    apart: u64,
}

impl Extras {
    /// Those of a multiplication.
    pub fn new(op: &Matmul, extra: &Extra) -> Self {
        let aux = extra.aux.as_ref();
        let scales = extra.scales.each_ref().map(|scale| scale.as_ref());
        let all = [Some(&op.a), Some(&op.b), Some(&op.d), op.c.as_ref(), op.bias.as_ref(), aux];
        let more = scales.map(|scale| scale.map(|scale| &scale.operand));
        let all: [Option<&Operand>; 8] =
            std::array::from_fn(|n| all.iter().chain(&more).nth(n).copied().flatten());
        let [a, b] = [0, 1].map(|factor| scales[factor].map(|scale| share(scale, factor == 1)));
        let at = |operand: &Option<Operand>| operand.as_ref().map_or(0, Operand::at);
        Self {
            aux: aux.map(|aux| beside(aux, [0, 1])),
            scales: [a, b],
            d_scale: at(&extra.d_scale),
            amax: at(&extra.amax),
            axes: merged(batch(op, all)),
            gradient: extra.bias_grad.as_ref().map(|gradient| Sum::new(op, gradient)),
        }
    }

    /// Whether scales change along k.
    pub fn has_blocks(&self) -> bool {
        self.scales.iter().flatten().any(|share| share.blocks)
    }

    /// Whether sums of the columns of values are wanted.
    pub fn sums_columns(&self) -> bool {
        self.gradient.as_ref().is_some_and(|sum| sum.side == Side::D)
    }

    /// The gradient that is wanted: of what, and the sums, of which there is a line.
    pub fn gradient(&self) -> Option<(Side, Beside)> {
        let sum = self.gradient.as_ref()?;
        let strides = [sum.args.strides[2] as isize, 0];
        Some((sum.side, Beside { at: sum.args.to, dtype: sum.dtype, strides }))
    }

    /// A factor lies elsewhere: the matrices of it that differ are in a row, `matrix` bytes each.
    pub fn relay(&mut self, number: usize, matrix: isize) {
        let mut step = matrix;
        for (dim, strides) in self.axes.iter_mut().rev().filter(|axis| axis.1[number] != 0) {
            strides[number] = step;
            step *= *dim as isize;
        }
    }

    /// Adds what there is to a kernel's arguments.
    pub fn add_to(&self, args: &mut FullArgs) {
        let [a, b] = self.scales.map(|share| share.map(|share| share.all));
        let more = [self.aux, a, b];
        args.more_at = more.map(|beside| beside.map_or(0, |beside| beside.at));
        for (to, beside) in args.more_strides.chunks_mut(2).zip(more) {
            to.copy_from_slice(&beside.map_or([0; 2], |beside| beside.strides.map(|stride| stride as u64)));
        }
        args.shares = self.scales.map(|share| share.map_or(0, |share| u32::from(share.lines == BLOCK) * 7));
        args.more_kinds[1] = self.aux.map_or(0, |aux| kind(aux.dtype));
        args.scaled_sums = u32::from(self.scales.iter().any(Option::is_some) && !self.has_blocks());
        (args.scale, args.amax) = (self.d_scale, self.amax);
        self.add_axes(args);
    }

    fn add_axes(&self, args: &mut FullArgs) {
        (args.base.axes, args.more_axes) = ([0; AXES * AXIS], [0; 3 * AXES]);
        args.base.rank = self.axes.len() as u32;
        let places = args.base.axes.chunks_mut(AXIS).zip(args.more_axes.chunks_mut(3));
        for ((base, more), (dim, strides)) in places.zip(self.axes.iter().rev()) {
            base[0] = *dim as u64;
            base[1..].iter_mut().chain(more).zip(strides).for_each(|(to, &stride)| *to = stride as u64);
        }
    }

    /// Queues what comes before the product.
    pub fn begin(&self, stream: &Stream) -> Result<()> {
        if self.amax == 0 {
            return Ok(());
        }
        // SAFETY: the operand has one element of 4 bytes, which lives as long as the request's work.
        unsafe { stream.fill(self.amax, 4, 0, 4) }
    }

    /// Queues what comes after it: `columns` is where sums of columns of values are, `lines` of them for each matrix of `n`
    /// columns.
    pub fn end(&self, stream: &Stream, columns: u64, lines: u64) -> Result<()> {
        let Some(sum) = &self.gradient else { return Ok(()) };
        gradient::run(&sum.source(columns, lines), stream)
    }
}

impl Sum {
    fn new(op: &Matmul, gradient: &Gradient) -> Self {
        let to = &gradient.operand;
        let source = match gradient.side {
            Side::A => Some((&op.a, [0, 1])),
            Side::B => Some((&op.b, [1, 0])),
            Side::D => None,
        };
        let rank = op.d.dims().len() - 2;
        let axes = merged(batch(op, [source.map(|source| source.0), Some(to)]));
        let from =
            source.map(|(operand, order)| (beside(operand, order), operand.layout().dim(rank + order[1])));
        let [line, inner] = from.map_or([0; 2], |from| from.0.strides.map(|stride| stride as u64));
        let mut words = [0; 18];
        for (place, (dim, strides)) in words.chunks_mut(3).zip(axes.iter().rev()) {
            place.copy_from_slice(&[*dim as u64, strides[0] as u64, strides[1] as u64]);
        }
        let matrices = (0..rank).map(|axis| op.d.layout().dim(axis) as u64).product();
        let [together, apart] = if gradient.adds_up { [matrices, 1] } else { [1, matrices] };
        let args = GradientArgs {
            from: from.map_or(0, |from| from.0.at),
            to: to.at(),
            lines: to.layout().dim(rank) as u64,
            length: from.map_or(0, |from| from.1 as u64),
            strides: [line, inner, bytes_of(to, rank) as u64],
            axes: words,
            rank: axes.len() as u32,
            together,
            work: [0; 2],
            kind: kind(to.dtype()),
        };
        let factors = source.map_or(op.a.dtype(), |source| source.0.dtype());
        Self { side: gradient.side, factors, dtype: to.dtype(), args, apart }
    }

    /// What is summed up: a factor, or `rows` rows for each matrix at `columns`, packed.
    fn source(&self, columns: u64, rows: u64) -> Source {
        if self.side != Side::D {
            return Source { dtype: self.factors, args: self.args, apart: self.apart };
        }
        let dtype = sum_of(self.factors, false);
        let size = dtype.size() as u64;
        let row = self.args.lines * size;
        let mut args = GradientArgs { from: columns, length: rows, ..self.args };
        (args.strides[0], args.strides[1]) = (size, row);
        // Matrices lie one after another.
        let mut matrix = row * rows;
        for place in args.axes.chunks_mut(3).take(args.rank as usize) {
            place[1] = matrix;
            matrix *= place[0];
        }
        Source { dtype, args, apart: self.apart }
    }
}

/// Queues a copy of [lines, blocks] numbers to where they are so many bytes apart: sums of one element each.
pub fn pack(
    stream: &Stream,
    from: &Beside,
    to: u64,
    [lines, blocks]: [usize; 2],
    [line, block]: [usize; 2],
) -> Result<()> {
    let [from_line, from_block] = from.strides.map(|stride| stride as u64);
    let mut axes = [0; 18];
    axes[..3].copy_from_slice(&[blocks as u64, from_block, block as u64]);
    let args = GradientArgs {
        from: from.at,
        to,
        lines: lines as u64,
        length: 1,
        // Lines are what neighbouring threads share.
        strides: [from_line, 1 << 40, line as u64],
        axes,
        rank: 1,
        together: 1,
        work: [0; 2],
        kind: kind(from.dtype),
    };
    gradient::run(&Source { dtype: from.dtype, args, apart: blocks as u64 }, stream)
}

/// The strides of a tensor's matrix, in this order.
fn beside(operand: &Operand, order: [usize; 2]) -> Beside {
    let first = operand.dims().len() - 2;
    Beside {
        at: operand.at(),
        dtype: operand.dtype(),
        strides: order.map(|axis| bytes_of(operand, first + axis)),
    }
}

/// Scales, those of B (`turned`) having blocks first. An axis of one element is not walked along.
fn share(scale: &Scale, turned: bool) -> Share {
    let mut all = beside(&scale.operand, if turned { [1, 0] } else { [0, 1] });
    if scale.lines == usize::MAX {
        all.strides[0] = 0;
    }
    if !scale.blocks {
        all.strides[1] = 0;
    }
    Share { all, lines: scale.lines, blocks: scale.blocks }
}

/// Bytes from an element of an axis to the next.
pub fn bytes_of(operand: &Operand, axis: usize) -> isize {
    operand.layout().stride(axis).wrapping_mul(operand.dtype().size() as isize)
}

/// The batch axes of D with the strides of these tensors, which have them too.
fn batch<const N: usize>(op: &Matmul, all: [Option<&Operand>; N]) -> Vec<(usize, [isize; N])> {
    let rank = op.d.dims().len() - 2;
    let strides = |axis: usize| all.map(|operand| operand.map_or(0, |operand| bytes_of(operand, axis)));
    (0..rank).map(|axis| (op.d.layout().dim(axis), strides(axis))).collect()
}

/// Axes that continue each other for all are one.
fn merged<const N: usize>(all: Vec<(usize, [isize; N])>) -> Vec<(usize, [isize; N])> {
    let mut axes: Vec<(usize, [isize; N])> = Vec::new();
    for (dim, strides) in all.into_iter().filter(|axis| axis.0 != 1) {
        match axes.last_mut() {
            Some(last) if (0..N).all(|n| last.1[n] == (dim as isize).wrapping_mul(strides[n])) => {
                *last = (last.0 * dim, strides);
            }
            _ => axes.push((dim, strides)),
        }
    }
    axes
}
