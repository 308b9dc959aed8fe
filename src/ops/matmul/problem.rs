//! The multiplication as kernels see it: plain strided matrices, batch axes folded away where they can be.

use super::Matmul;
use super::more::{Factor, More};
use crate::dtype::Dtype;
use crate::layout::{Layout, WEFT_MAX_RANK};
use crate::op::Operand;

/// A matrix in a buffer: element (i, j) is at `at + i row + j col`, strides in elements. Of a quantised type, i and strides
/// count blocks, which follow one another along a column.
#[derive(Clone, Copy)]
pub struct View {
    pub at: *mut u8,
    pub dtype: Dtype,
    pub row: isize,
    pub col: isize,
}

// SAFETY: a number here; what it points to lives as long as the operands of the operation that is running.
unsafe impl Send for View {}
// SAFETY: as above.
unsafe impl Sync for View {}

impl View {
    /// The last two axes of an operand whose first element is at `at`.
    pub fn new(operand: &Operand, at: *mut u8) -> Self {
        let layout = operand.layout();
        // The stride of an axis of one element says nothing; 1 suits every kernel.
        let stride = |axis| if layout.dim(axis) == 1 { 1 } else { layout.stride(axis) };
        let rank = layout.rank();
        Self { at, dtype: operand.dtype(), row: stride(rank - 2), col: stride(rank - 1) }
    }

    /// The address of element (i, j), which must exist.
    #[inline(always)]
    pub fn ptr<T>(&self, i: usize, j: usize) -> *mut T {
        let at = (i as isize).wrapping_mul(self.row).wrapping_add((j as isize).wrapping_mul(self.col));
        self.at.cast::<T>().wrapping_offset(at)
    }

    /// The same, of elements of any size.
    #[inline(always)]
    pub fn address(&self, i: usize, j: usize) -> *mut u8 {
        let at = (i as isize).wrapping_mul(self.row).wrapping_add((j as isize).wrapping_mul(self.col));
        self.at.wrapping_offset(at.wrapping_mul(self.dtype.size() as isize))
    }

    /// The view from so many elements, or blocks, further on.
    pub fn moved(&self, elements: isize) -> Self {
        let bytes = elements.wrapping_mul(self.dtype.size() as isize);
        Self { at: self.at.wrapping_offset(bytes), ..*self }
    }

    /// The transpose.
    pub fn turned(&self) -> Self {
        Self { row: self.col, col: self.row, ..*self }
    }
}

/// What happens to the product on its way to d.
#[derive(Clone, Copy)]
pub struct After {
    pub alpha: f64,
    pub beta: f64,
    pub epilogue: u32,
    /// Imaginary parts of alpha and beta.
    pub imaginary: [f64; 2],
}

/// D = act(alpha A B + beta C + bias) for each matrix of a batch. The views are valid while the operation that it was
/// made from lives.
#[derive(Clone, Copy)]
pub struct Problem {
    pub m: usize,
    pub n: usize,
    /// 0 where A and B are not to be read.
    pub k: usize,
    pub a: View,
    pub b: View,
    pub d: View,
    pub c: Option<View>,
    pub bias: Option<View>,
    pub after: After,
    /// Whether A, or B, is to be conjugated.
    pub conjugate: [bool; 2],
    /// Bytes of scratch memory, shared by all threads, at the most.
    pub workspace: u64,
    /// What few problems have.
    pub more: Option<More>,
    /// Whether it is the transpose of what was asked for: A is what B was.
    pub turned: bool,
    batch: Batch,
}

/// The batch axes: dim, and the strides of a, b, d, c and bias.
#[derive(Clone, Copy)]
struct Batch {
    axes: [(usize, [isize; 5]); WEFT_MAX_RANK],
    rank: usize,
}

impl Problem {
    /// In host memory. Inline: a copy of one takes longer than a small product's panel. `values`: where the values go before they are rounded, [batches, m, n] packed; or null.
    #[inline(always)]
    pub fn new(op: &Matmul, values: *mut u8) -> Self {
        Self::placed(op, Operand::address, values)
    }

    /// In a device's memory: the views' addresses are the device's.
    pub fn on_device(op: &Matmul) -> Self {
        Self::placed(op, |operand| operand.at() as *mut u8, std::ptr::null_mut())
    }

    /// The same as it was asked for: neither folded nor turned.
    pub fn as_asked_on_device(op: &Matmul) -> Self {
        Self::straight(op, |operand| operand.at() as *mut u8, std::ptr::null_mut())
    }

    #[inline(always)]
    fn placed(op: &Matmul, at: fn(&Operand) -> *mut u8, values: *mut u8) -> Self {
        let mut problem = Self::straight(op, at, values);
        problem.fold();
        problem.turn();
        problem
    }

    #[inline(always)]
    fn straight(op: &Matmul, at: fn(&Operand) -> *mut u8, values: *mut u8) -> Self {
        let rank = op.d.dims().len();
        let (m, n) = (op.d.layout().dim(rank - 2), op.d.layout().dim(rank - 1));
        let unread = op.alpha == 0.0 && op.imaginary[0] == 0.0;
        let k = if unread { 0 } else { op.a.layout().dim(rank - 1) };
        let view = |operand: &Operand| View::new(operand, at(operand));
        let (alpha, imaginary) =
            if k == 0 { (1.0, [0.0, op.imaginary[1]]) } else { (op.alpha, op.imaginary) };
        let b = view(&op.b);
        Self {
            m,
            n,
            k,
            a: view(&op.a),
            b: View { dtype: if k == 0 { op.a.dtype() } else { b.dtype }, ..b },
            d: view(&op.d),
            c: op.c.as_ref().map(view),
            bias: op.bias.as_ref().map(view),
            after: After { alpha, beta: op.beta, epilogue: op.epilogue, imaginary },
            conjugate: op.conjugates(),
            workspace: op.workspace,
            more: op.extra.as_ref().and_then(|extra| More::new(op, extra, at, values)),
            batch: Batch::new(op),
            turned: false,
        }
    }

    /// How many matrices.
    pub fn batches(&self) -> usize {
        self.batch.axes[..self.batch.rank].iter().map(|axis| axis.0).product()
    }

    /// The batch axes, outermost first: dim, and the strides of a, b, d, c and bias. Those that continue each other for all
    /// are one.
    pub fn axes(&self) -> Vec<(usize, [isize; 5])> {
        let mut axes: Vec<(usize, [isize; 5])> = Vec::new();
        for &(dim, strides) in self.batch.axes[..self.batch.rank].iter().filter(|axis| axis.0 != 1) {
            match axes.last_mut() {
                Some(last) if (0..5).all(|n| last.1[n] == dim as isize * strides[n]) => {
                    *last = (last.0 * dim, strides);
                }
                _ => axes.push((dim, strides)),
            }
        }
        axes
    }

    /// Whether there are no batch axes: it is its own only matrix.
    pub fn is_single(&self) -> bool {
        self.batch.rank == 0
    }

    /// The matrix with this number.
    pub fn matrix(&self, number: usize) -> Self {
        let mut at = [0isize; 5];
        let mut left = number;
        for (dim, strides) in self.batch.axes[..self.batch.rank].iter().rev() {
            let index = (left % dim) as isize;
            left /= dim;
            (0..5).for_each(|operand| at[operand] += index * strides[operand]);
        }
        Self {
            a: self.a.moved(at[0]),
            b: self.b.moved(at[1]),
            d: self.d.moved(at[2]),
            c: self.c.map(|c| c.moved(at[3])),
            bias: self.bias.map(|bias| bias.moved(at[4])),
            more: self.more.map(|more| more.matrix(number, &self.dims())),
            batch: Batch { rank: 0, ..self.batch },
            ..*self
        }
    }

    /// The dims of the batch axes.
    fn dims(&self) -> [usize; WEFT_MAX_RANK] {
        let mut dims = [1; WEFT_MAX_RANK];
        dims.iter_mut().zip(&self.batch.axes[..self.batch.rank]).for_each(|(dim, axis)| *dim = axis.0);
        dims
    }

    /// Columns `col` to `col + cols` of it, with factors that lie elsewhere.
    pub fn columns(&self, col: usize, cols: usize, [a, b]: [View; 2]) -> Self {
        let part = |view: View| view.moved((col as isize).wrapping_mul(view.col));
        let (c, bias) = (self.c.map(part), self.bias.map(part));
        Self { n: cols, a, b, d: part(self.d), c, bias, ..*self }
    }

    /// A factor lies elsewhere, A being number 0 and B number 1: `k` elements along k, the matrices that differ in a row,
    /// `matrix` elements each.
    pub fn relay(&mut self, number: usize, view: View, k: usize, matrix: isize) {
        *[&mut self.a, &mut self.b][number] = view;
        self.k = k;
        let mut step = matrix;
        for (dim, strides) in self.batch.axes[..self.batch.rank].iter_mut().rev() {
            if strides[number] != 0 {
                strides[number] = step;
                step *= *dim as isize;
            }
        }
    }

    /// Whether D is A B and nothing else.
    pub fn is_plain(&self) -> bool {
        self.more.is_none()
            && self.after.alpha == 1.0
            && self.after.epilogue == 0
            && self.c.is_none()
            && self.bias.is_none()
    }

    /// Whether scales differ between blocks of K.
    pub fn has_blocks(&self) -> bool {
        self.more.is_some_and(|more| more.blocks)
    }

    /// As it is when sums have been scaled before they are finished, if they have.
    pub fn scaled_before(&self, early: bool) -> Self {
        let mut scaled = *self;
        scaled.more.iter_mut().for_each(|more| more.early = early);
        scaled
    }

    /// What rows of A and columns of B are multiplied by.
    pub fn scales(&self) -> [Option<Factor>; 2] {
        self.more.map_or([None; 2], |more| more.scales)
    }

    /// Multiplications with addition, as a float: the product may overflow.
    pub fn work(&self) -> f64 {
        self.m as f64 * self.n as f64 * self.k.max(1) as f64
    }

    /// Makes rows of the innermost batch axes that share B and continue the rows.
    fn fold(&mut self) {
        while self.batch.rank > 0 {
            let (dim, strides) = self.batch.axes[self.batch.rank - 1];
            let rows = self.m as isize;
            let matrices = [Some(self.a), None, Some(self.d), self.c, self.bias];
            let follows =
                |(view, stride): (Option<View>, isize)| view.is_none_or(|view| stride == rows * view.row);
            let follow = matrices.into_iter().zip(strides).all(follows);
            let alone = self.m == 1;
            let axis = self.batch.rank - 1;
            let more = self.more.is_none_or(|more| more.folds(axis, self.m));
            if dim != 1 && (strides[1] != 0 || !(alone || follow) || !more) {
                return;
            }
            if alone && dim != 1 {
                self.set_rows(strides);
                self.more.iter_mut().for_each(|more| more.set_rows(axis));
            }
            self.m *= dim;
            self.batch.rank -= 1;
        }
    }

    fn set_rows(&mut self, strides: [isize; 5]) {
        (self.a.row, self.d.row) = (strides[0], strides[2]);
        self.c = self.c.map(|c| View { row: strides[3], ..c });
        self.bias = self.bias.map(|bias| View { row: strides[4], ..bias });
    }

    /// Computes the transpose instead where that makes D's rows contiguous, or rows few.
    fn turn(&mut self) {
        const FEW: usize = 8;
        if self.b.dtype.is_quantised() {
            return;
        }
        let few = self.n <= FEW && self.m > FEW;
        let many = self.m <= FEW && self.n > FEW;
        let columns = self.d.row == 1 && self.d.col != 1;
        let turns = self.more.is_none_or(|more| more.turns());
        if turns && (few || (columns && !many)) {
            (self.m, self.n) = (self.n, self.m);
            self.turned = true;
            (self.a, self.b) = (self.b.turned(), self.a.turned());
            self.d = self.d.turned();
            self.c = self.c.map(|c| c.turned());
            self.bias = self.bias.map(|bias| bias.turned());
            self.conjugate.reverse();
            self.more.iter_mut().for_each(More::turn);
            let axes = &mut self.batch.axes[..self.batch.rank];
            axes.iter_mut().for_each(|axis| axis.1.swap(0, 1));
        }
    }
}

impl Batch {
    fn new(op: &Matmul) -> Self {
        let rank = op.d.dims().len() - 2;
        let mut axes = [(1, [0; 5]); WEFT_MAX_RANK];
        let layouts = [Some(&op.a), Some(&op.b), Some(&op.d), op.c.as_ref(), op.bias.as_ref()];
        let layouts: [Option<&Layout>; 5] = layouts.map(|operand| operand.map(Operand::layout));
        for (axis, slot) in axes.iter_mut().enumerate().take(rank) {
            *slot = (
                op.d.layout().dim(axis),
                layouts.map(|layout| layout.map_or(0, |layout| layout.stride(axis))),
            );
        }
        Self { axes, rank }
    }
}
