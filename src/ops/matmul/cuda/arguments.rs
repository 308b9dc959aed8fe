//! What all kernels of the family take, and what they have in common: which matrix of the batch a block works on, and where
//! that lies.

use super::real::kind;
use crate::device::cuda::Stream;
use crate::fail;
use crate::layout::WEFT_MAX_RANK;
use crate::ops::matmul::problem::{Problem, View};
use crate::ptx::{Builder, Reg, Words, params};
use crate::status::Result;

/// Batch axes at most.
pub(super) const AXES: usize = WEFT_MAX_RANK - 2;
/// Numbers of an axis: its dim, and the strides of a, b, d, c and bias.
pub(super) const AXIS: usize = 6;
/// Blocks of a launch at most; a kernel's own numbers stay below 2^32 when it adds the grid to them.
const BLOCKS: u64 = 1 << 30;

params! {
    /// A multiplication. Strides are bytes, and wrap where they are negative.
    pub struct Args / Vals {
        /// Rows of A and D.
        m: u64,
        /// Columns of B and D.
        n: u64,
        /// Columns of A and rows of B; 0 where they are not to be read.
        k: u64,
        /// Addresses of a, b, d, c and bias; 0 for those of c and bias that are not there.
        at: [u64; 5],
        /// From a row, and from a column, to the next: of a, b, d, c and bias.
        strides: Words<10>,
        /// Batch axes, innermost first.
        axes: Words<36>,
        /// How many of them.
        rank: u32,
        /// Matrices of the batch.
        all: u64,
        /// The matrix with which the launch begins.
        first: u64,
        /// Blocks' worth of work of the launch, and of one matrix.
        work: [u32; 2],
        /// What else the kernel wants to know.
        more: [u32; 3],
        /// Sums on their way, or 0.
        sums: u64,
        /// Scales A B.
        alpha: f64,
        /// Scales C.
        beta: f64,
        /// A WEFT_EPILOGUE number.
        epilogue: u32,
        /// Kinds of d (and c) and of bias, as `real::kind` numbers them.
        kinds: [u32; 2],
    }
}

/// The arguments of a problem, but for `work`, `more` and `sums`.
pub fn arguments(p: &Problem) -> Args {
    let views = [Some(p.a), Some(p.b), Some(p.d), p.c, p.bias];
    let mut strides = [0; 10];
    for (pair, view) in strides.chunks_mut(2).zip(views) {
        pair.copy_from_slice(&view.map_or([0; 2], |view| [bytes(&view, view.row), bytes(&view, view.col)]));
    }
    let axes = p.axes();
    Args {
        m: p.m as u64,
        n: p.n as u64,
        k: p.k as u64,
        at: views.map(|view| view.map_or(0, |view| view.at as u64)),
        strides,
        axes: words(&axes, views),
        rank: axes.len() as u32,
        all: p.batches() as u64,
        first: 0,
        work: [0; 2],
        more: [0; 3],
        sums: 0,
        alpha: p.after.alpha,
        beta: p.after.beta,
        epilogue: p.after.epilogue,
        kinds: [kind(p.d.dtype), p.bias.map_or(0, |bias| kind(bias.dtype))],
    }
}

/// A stride in bytes.
pub fn bytes(view: &View, stride: isize) -> u64 {
    stride.wrapping_mul(view.dtype.size() as isize) as u64
}

fn words(axes: &[(usize, [isize; 5])], views: [Option<View>; 5]) -> [u64; AXES * AXIS] {
    let mut words = [0; AXES * AXIS];
    for (place, (dim, strides)) in words.chunks_mut(AXIS).zip(axes.iter().rev()) {
        place[0] = *dim as u64;
        for ((word, view), stride) in place[1..].iter_mut().zip(views).zip(strides) {
            *word = view.map_or(0, |view| bytes(&view, *stride));
        }
    }
    words
}

/// Launches for all matrices, `per_matrix` blocks' worth of work each, as few as there can be: `launch` gets the grid and the
/// arguments.
pub fn each(
    p: &Problem,
    stream: &Stream,
    per_matrix: u64,
    args: &Args,
    launch: impl Fn(&Stream, [u32; 3], &Args) -> Result<()>,
) -> Result<()> {
    if per_matrix > BLOCKS {
        fail!(WEFT_ERROR_UNSUPPORTED, "matmul: d of {} x {} elements is too large", p.m, p.n);
    }
    let batches = p.batches() as u64;
    let at_once = (BLOCKS / per_matrix).min(batches);
    let mut first = 0;
    while first < batches {
        let total = (at_once.min(batches - first) * per_matrix) as u32;
        let part = Args { first, work: [total, per_matrix as u32], ..*args };
        launch(stream, [total, 1, 1], &part)?;
        first += at_once;
    }
    Ok(())
}

/// What a block works on.
pub struct Place<'k> {
    /// The matrix, counted from the launch's first.
    pub matrix: Reg<'k, u32>,
    /// Which part of it.
    pub part: Reg<'k, u32>,
    /// Addresses of the matrices of a, b, d, c and bias.
    pub at: [Reg<'k, u64>; 5],
}

impl<'k> Vals<'k> {
    /// Runs `body` for each of the block's parts of the work. All threads of a block go through it together.
    pub fn each_place(&self, k: &'k Builder, body: impl FnOnce(&Place<'k>)) {
        let ([total, per_matrix], number) = (self.work, k.var(k.block_x()));
        k.repeat_while(
            || number.lt(total),
            || {
                let matrix = k.div(number, per_matrix);
                let part = number - matrix * per_matrix;
                let at = self.locate(k, self.first + matrix.to::<u64>());
                body(&Place { matrix, part, at });
                number.set(number + k.grid_blocks_x());
            },
        );
    }

    /// Where matrix `number` of the batch lies.
    pub fn locate(&self, k: &'k Builder, number: Reg<'k, u64>) -> [Reg<'k, u64>; 5] {
        let (at, left) = (self.at.map(|at| k.var(at)), k.var(number));
        for axis in 0..AXES {
            k.when(self.rank.gt(axis as u32), || {
                let (base, index) = (axis * AXIS, k.var(left));
                // The outermost index is what is left.
                k.when(self.rank.gt(axis as u32 + 1), || {
                    let dim = self.axes.get(base);
                    let quotient = k.div(left, dim);
                    index.set(left - quotient * dim);
                    left.set(quotient);
                });
                (0..5).for_each(|n| at[n].set(k.mad(index, self.axes.get(base + 1 + n), at[n])));
            });
        }
        at
    }

    /// How many matrices there are along batch axis `axis`, the innermost being number 0.
    pub fn dim(&self, axis: usize) -> Reg<'k, u64> {
        self.axes.get(axis * AXIS)
    }

    /// The address of element (row, col) of operand `n`, whose matrix begins at `at`.
    pub fn element(&self, at: Reg<'k, u64>, n: usize, row: Reg<'k, u64>, col: Reg<'k, u64>) -> Reg<'k, u64> {
        let k = self.kernel;
        let start = k.mad(row, self.strides.get(2 * n), at);
        k.mad(col, self.strides.get(2 * n + 1), start)
    }
}
