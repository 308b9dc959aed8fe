//! A multiplication as the vendor's library is told of it: one call, or one for each matrix of the outer batch axes.

use super::Task;
use super::columns::bytes_of_sums;
use super::epilogue::Ending;
use super::real::{is_complex, sum_of};
use super::scaling::Scales;
use crate::device::cuda::Stream;
use crate::device::cuda::cublaslt::{Addresses, Compute, Factors, Matrix, Product};
use crate::dtype::Dtype::{self, Bf16, C64, F64, I8, I32};
use crate::ops::matmul::problem::View;
use crate::ops::matmul::{WEFT_COMPUTE_BF16, WEFT_MATMUL_AUTOTUNE, WEFT_MATMUL_FAST_ACCUMULATION};
use crate::status::Result;

/// What the library may use of the stream's scratch memory.
const WORKSPACE: usize = 32 << 20;
/// Rows, columns and k at most, each.
const LONGEST: usize = 1 << 30;
/// Bytes of sums that wait to be finished, at most.
const SUMS: usize = 4 << 30;
/// Products of the outer batch axes, each a call of its own, at most.
const CALLS: usize = 4096;
/// Matrices of a call at most.
const MATRICES: usize = 1 << 20;
/// k at which sums of products of 8-bit integers may leave 32 bits.
const LONG: usize = 1 << 17;

/// Batch axes: dim, and bytes from one matrix of a, b, d, c, bias, aux, a_scale and b_scale to the next.
pub type Axes = Vec<(usize, [isize; 8])>;

/// A problem as calls of the library.
pub struct Call {
    pub product: Product,
    pub factors: Factors,
    at: Addresses,
    /// The axes that are not the product's own.
    outer: Axes,
    scales: Scales,
    /// Whether the library writes the gradient of a bias as well.
    pub with_gradient: bool,
}

impl Call {
    /// One that writes D; and the gradient of a bias, if that is asked for.
    pub fn whole(task: &Task, with_gradient: bool) -> Option<Self> {
        let p = &task.problem;
        let ending = Ending::of(task, with_gradient)?;
        let scales = Scales::of(task, true)?;
        let integers = p.a.dtype == I8;
        let fits = !integers || p.d.dtype == I32 && p.after.alpha == 1.0 && p.c.is_none();
        let apart = ending.is_apart() || scales.are_apart(task);
        let (outer, inner) = split(task.axes().clone(), apart);
        let straight =
            |view: View, operand| matrix(view, operand, [p.m, p.n], &inner, task).filter(|d| !d.turned);
        let d = straight(p.d, 2)?;
        let small = p.d.dtype.is_small_float();
        let c = match p.c {
            Some(c) => straight(c, 3)?,
            None => Matrix { dtype: if small { Bf16 } else { d.dtype }, ..d },
        };
        let product = product(task, [c, d], &inner, task.workspace.min(WORKSPACE))?;
        let product = Product { overwrites: p.c.is_none(), unscaled: p.after.alpha == 1.0, ..product };
        let product = scales.tell(ending.tell(product));
        let factors = [[p.after.alpha, task.imaginary[0]], [p.after.beta, task.imaginary[1]]];
        let at = Addresses { row: ending.row_at, aux: ending.aux_at, ..scales.addresses(addresses(task)) };
        fits.then_some(Self { product, factors, at, outer, scales, with_gradient })?.of_few()
    }

    /// One that writes sums.
    pub fn sums(task: &Task) -> Option<Self> {
        let p = &task.problem;
        let bytes = bytes_of_sums(p);
        let left = task.workspace.checked_sub(bytes)?;
        let scales = Scales::of(task, false)?;
        let (outer, inner) = split(task.axes().clone(), scales.are_apart(task));
        let dtype = sum_of(p.a.dtype, true);
        // Scratch memory is aligned to 256 bytes, and so is one matrix alone.
        let between = if task.axes().is_empty() { 0 } else { p.m * p.n * dtype.size() };
        let alignment = 1 << between.trailing_zeros().min(8);
        let batch = (p.m * p.n) as i64;
        let d = Matrix { dtype, turned: false, leading: p.n as i64, batch, alignment };
        let product = scales.tell(product(task, [d, d], &inner, left.min(WORKSPACE))?);
        let at = scales.addresses(addresses(task));
        let fits = bytes <= SUMS && !is_complex(p.a.dtype);
        let factors = [[1.0, 0.0], [0.0, 0.0]];
        fits.then_some(Self { product, factors, at, outer, scales, with_gradient: false })?.of_few()
    }

    fn of_few(self) -> Option<Self> {
        (self.count() <= CALLS).then_some(self)
    }

    /// How many calls there are.
    pub fn count(&self) -> usize {
        self.outer.iter().map(|axis| axis.0).fold(1, usize::saturating_mul)
    }

    /// Bytes of the sums of one call.
    pub fn bytes_of_sums(&self) -> u64 {
        let Product { m, n, batches, d, .. } = self.product;
        m * n * u64::from(batches.unsigned_abs()) * d.dtype.size() as u64
    }

    /// Where the scales are that all calls share, laid out as the library reads them.
    pub fn scales(&self, stream: &Stream) -> Result<[u64; 2]> {
        self.scales.lay_out(stream, self.at.scales)
    }

    /// Where the operands of call `number` lie.
    pub fn addresses(&self, number: usize, scales: [u64; 2]) -> Addresses {
        let at = Addresses { scales, ..self.at };
        let (mut offsets, mut left) = ([0u64; 8], number);
        for (dim, strides) in self.outer.iter().rev() {
            let index = (left % dim) as u64;
            left /= dim;
            let moved = offsets.iter_mut().zip(strides);
            moved.for_each(|(at, &stride)| *at = at.wrapping_add(index.wrapping_mul(stride as u64)));
        }
        let [a, b, d, c, bias, aux, a_scale, b_scale] = offsets;
        Addresses {
            a: at.a.wrapping_add(a),
            b: at.b.wrapping_add(b),
            // Where there is no C, what is passed as C is D.
            c: at.c.wrapping_add(if at.c == at.d { d } else { c }),
            d: at.d.wrapping_add(d),
            row: at.row.wrapping_add(bias),
            aux: at.aux.wrapping_add(aux),
            scales: [at.scales[0].wrapping_add(a_scale), at.scales[1].wrapping_add(b_scale)],
            ..at
        }
    }
}

fn addresses(task: &Task) -> Addresses {
    let p = &task.problem;
    let at = |view: View| view.at as u64;
    let extras = task.extras.as_ref();
    Addresses {
        a: at(p.a),
        b: at(p.b),
        c: at(p.c.unwrap_or(p.d)),
        d: at(p.d),
        scale: extras.map_or(0, |extras| extras.d_scale),
        amax: extras.map_or(0, |extras| extras.amax),
        ..Addresses::default()
    }
}

/// The axes that calls are made along, and the one that is the call's own, which is not if matrices are to be `apart`.
fn split(mut axes: Axes, apart: bool) -> (Axes, Axes) {
    let inner = if apart { None } else { axes.pop() };
    (axes, inner.into_iter().collect())
}

/// The product of one call, without what happens to its sums.
fn product(task: &Task, [c, d]: [Matrix; 2], inner: &Axes, workspace: usize) -> Option<Product> {
    let p = &task.problem;
    let small = [p.a.dtype, p.b.dtype].iter().all(|dtype| dtype.is_small_float());
    let alike = p.a.dtype == p.b.dtype || small;
    let fits = p.m.max(p.n).max(p.k) <= LONGEST && (p.a.dtype != I8 || p.k < LONG);
    let batches = inner.first().map_or(1, |axis| axis.0);
    let product = Product {
        m: p.m as u64,
        n: p.n as u64,
        k: p.k as u64,
        batches: i32::try_from(batches).ok()?,
        compute: compute(task),
        a: matrix(p.a, 0, [p.m, p.k], inner, task)?,
        b: matrix(p.b, 1, [p.k, p.n], inner, task)?,
        c,
        d,
        conjugate: task.conjugate.map(|conjugate| conjugate && is_complex(p.a.dtype)),
        epilogue: crate::device::cuda::cublaslt::Epilogue::None,
        row: None,
        aux: None,
        scaling: [None; 2],
        scaled: false,
        amax: false,
        fast: small && task.flags & WEFT_MATMUL_FAST_ACCUMULATION != 0,
        unscaled: true,
        overwrites: true,
        workspace: workspace as u64,
        timed: task.flags & WEFT_MATMUL_AUTOTUNE != 0,
    };
    // What is conjugate is also transposed, as the library has it.
    let turns =
        [product.a, product.b].iter().zip(product.conjugate).all(|(matrix, conj)| !conj || matrix.turned);
    (p.k > 0 && alike && fits && turns && batches <= MATRICES).then_some(product)
}

fn compute(task: &Task) -> Compute {
    match task.problem.a.dtype {
        F64 | C64 => Compute::F64,
        I8 => Compute::I32,
        Dtype::F32 | Dtype::C32 if task.tf32 => Compute::Tf32,
        Dtype::F32 | Dtype::C32 if task.compute == WEFT_COMPUTE_BF16 => Compute::Bf16,
        _ => Compute::F32,
    }
}

/// A view of [rows, cols], whose strides `operand` numbers, as the library takes it.
fn matrix(view: View, operand: usize, [rows, cols]: [usize; 2], inner: &Axes, task: &Task) -> Option<Matrix> {
    let leads = |stride: isize, lines: usize, length: usize| match lines {
        1 => Some(length as i64),
        _ => (stride >= length as isize).then_some(stride as i64),
    };
    let straight = (view.col == 1).then(|| leads(view.row, rows, cols)).flatten().map(|by| (false, by));
    let turned = (view.row == 1).then(|| leads(view.col, cols, rows)).flatten().map(|by| (true, by));
    // The library takes bytes only where both factors are contiguous along k; and conjugates only what is turned.
    let rather = operand == 1 && view.dtype.size() == 1 || operand < 2 && task.conjugate[operand];
    let (turned, leading) = if rather { turned.or(straight)? } else { straight.or(turned)? };
    let all = task.axes().iter().fold(view.at as u64, |all, axis| all | axis.1[operand] as u64);
    let alignment = 1 << all.trailing_zeros().min(8);
    let batch = inner.first().map_or(0, |axis| axis.1[operand] / view.dtype.size() as isize) as i64;
    (batch >= 0).then_some(Matrix { dtype: view.dtype, turned, leading, batch, alignment })
}
