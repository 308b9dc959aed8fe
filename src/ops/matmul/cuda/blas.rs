//! The vendor's library, for what it takes: rows or columns that are contiguous. Where it has all that D asks for it writes D
//! itself; else it can write sums, which our own kernel finishes.

use super::columns::bytes_of_sums;
use super::{Task, finish, simt};
use crate::device::cuda::Stream;
use crate::device::cuda::cublaslt::{Addresses, Compute, Epilogue, Factors, Matrix, Product, Row, blas};
use crate::dtype::Dtype;
use crate::ops::matmul::problem::{Problem, View};
use crate::ops::matmul::{WEFT_EPILOGUE_GELU_TANH, WEFT_EPILOGUE_NONE, WEFT_EPILOGUE_RELU};
use crate::status::{Result, WEFT_ERROR_UNSUPPORTED};

/// What the library may use of the stream's scratch memory.
const WORKSPACE: u64 = 32 << 20;
/// Rows, columns and k at most, each.
const LONGEST: usize = 1 << 30;
/// Bytes of sums that wait to be finished, at most.
const SUMS: usize = 4 << 30;
/// Products of the outer batch axes, each a call of its own, at most.
const CALLS: usize = 4096;

/// A problem as calls of the library.
struct Calls {
    product: Product,
    at: Addresses,
    /// The outer batch axes: dim and the strides of a, b, d and c in bytes.
    outer: Vec<(usize, [u64; 4])>,
    factors: Factors,
    /// Whether D is written, or sums.
    whole: bool,
}

/// Whether the library is there and has an algorithm that writes D.
pub fn accepts(task: &Task, stream: &Stream) -> bool {
    has(Calls::new(task, true), stream)
}

/// Whether it has one that writes sums.
pub fn accepts_sums(task: &Task, stream: &Stream) -> bool {
    has(Calls::new(task, false), stream)
}

fn has(calls: Option<Calls>, stream: &Stream) -> bool {
    calls.is_some_and(|calls| blas(stream).is_ok_and(|blas| blas.has(stream, &calls.product)))
}

/// Multiplies.
pub fn run(task: &Task, stream: &Stream) -> Result<()> {
    run_as(task, stream, true)
}

/// Multiplies to sums, and finishes them.
pub fn run_sums(task: &Task, stream: &Stream) -> Result<()> {
    run_as(task, stream, false)
}

fn run_as(task: &Task, stream: &Stream, whole: bool) -> Result<()> {
    let Some(calls) = Calls::new(task, whole) else { return simt::run(task, stream) };
    match calls.run(&task.problem, stream) {
        Err(error) if error.status == WEFT_ERROR_UNSUPPORTED => simt::run(task, stream),
        done => done,
    }
}

impl Calls {
    fn new(task: &Task, whole: bool) -> Option<Self> {
        let p = &task.problem;
        let longest = p.m.max(p.n).max(p.k) <= LONGEST;
        if p.k == 0 || p.a.dtype != p.b.dtype || !longest {
            return None;
        }
        let outer = outer(p);
        let few = outer.iter().map(|axis| axis.0).product::<usize>() <= CALLS;
        let fits = whole || bytes_of_sums(p) <= SUMS;
        let product = product(p, task.tf32, whole)?;
        let at = |view: Option<View>| view.map_or(0, |view| view.at as u64);
        let at = Addresses {
            a: at(Some(p.a)),
            b: at(Some(p.b)),
            c: at(p.c.or(Some(p.d))),
            d: at(Some(p.d)),
            row: at(p.bias),
            ..Addresses::default()
        };
        let factors = if whole { [p.after.alpha, p.after.beta] } else { [1.0, 0.0] };
        let factors = factors.map(|factor| [factor, 0.0]);
        (few && fits).then_some(Self { product, at, outer, factors, whole })
    }

    fn run(&self, p: &Problem, stream: &Stream) -> Result<()> {
        let sums = if self.whole { 0 } else { stream.scratch(bytes_of_sums(p))? };
        let blas = blas(stream)?;
        let count = self.outer.iter().map(|axis| axis.0).product();
        for number in 0..count {
            let at = self.addresses(number, sums);
            // SAFETY: the operands live as long as the request's work, and so do the sums; each matrix lies inside them.
            unsafe { blas.run(stream, &self.product, &at, &self.factors)? };
        }
        if self.whole { Ok(()) } else { finish::run(p, stream, sums, 1) }
    }

    /// Where the operands of call `number` lie.
    fn addresses(&self, number: usize, sums: u64) -> Addresses {
        let (mut at, mut left) = ([self.at.a, self.at.b, self.at.d, self.at.c], number);
        for (dim, strides) in self.outer.iter().rev() {
            let index = (left % dim) as u64;
            left /= dim;
            at.iter_mut()
                .zip(strides)
                .for_each(|(at, stride)| *at = at.wrapping_add(index.wrapping_mul(*stride)));
        }
        let [a, b, mut d, mut c] = at;
        if !self.whole {
            let Product { m, n, batches, .. } = self.product;
            let size = self.product.d.dtype.size() as u64;
            d = sums + number as u64 * (m * n * u64::from(batches.unsigned_abs()) * size);
            c = d;
        }
        Addresses { a, b, c, d, ..self.at }
    }
}

/// The library's epilogue, and the bias that it adds, where it has them.
///
/// Its gelu is the one by tanh, as exact as results of 16 bits need.
fn epilogue(p: &Problem) -> Option<(Epilogue, Option<Row>)> {
    let half = p.d.dtype.size() == 2;
    let plain = match p.after.epilogue {
        WEFT_EPILOGUE_NONE => Epilogue::None,
        WEFT_EPILOGUE_RELU => Epilogue::Relu,
        WEFT_EPILOGUE_GELU_TANH if half => Epilogue::Gelu,
        _ => return None,
    };
    let Some(bias) = p.bias else { return Some((plain, None)) };
    let along = (p.m == 1 || bias.row == 0) && bias.col == 1;
    let same = p.axes().iter().all(|axis| axis.1[4] == 0);
    let fits = along && same && bias.dtype == p.d.dtype && (bias.at as u64).is_multiple_of(16);
    fits.then_some((plain, Some(Row { dtype: bias.dtype, batch: 0 })))
}

/// The batch axes but for the innermost.
fn outer(p: &Problem) -> Vec<(usize, [u64; 4])> {
    let mut axes = p.axes();
    axes.pop();
    let views = [p.a, p.b, p.d, p.c.unwrap_or(p.d)];
    // Where there is no C, what is read as C is D.
    let of = |strides: [isize; 5], n: usize| strides[if n == 3 && p.c.is_none() { 2 } else { n }];
    let bytes = |strides: [isize; 5], n: usize| super::arguments::bytes(&views[n], of(strides, n));
    axes.into_iter().map(|(dim, strides)| (dim, [0, 1, 2, 3].map(|n| bytes(strides, n)))).collect()
}

/// The product of one call.
fn product(p: &Problem, tf32: bool, whole: bool) -> Option<Product> {
    let batches =
        i32::try_from(p.axes().last().map_or(1, |axis| axis.0)).ok().filter(|&count| count <= 1 << 20)?;
    let sums = if p.a.dtype == Dtype::F64 { Dtype::F64 } else { Dtype::F32 };
    let straight = |view: View, operand| matrix(p, view, operand, [p.m, p.n]).filter(|matrix| !matrix.turned);
    // Scratch memory is aligned to 256 bytes, and so is one matrix alone.
    let between = if p.axes().is_empty() { 0 } else { p.m * p.n * sums.size() };
    let alignment = 1 << between.trailing_zeros().min(8);
    let batch = (p.m * p.n) as i64;
    let packed = Matrix { dtype: sums, turned: false, leading: p.n as i64, batch, alignment };
    let d = if whole { straight(p.d, 2)? } else { packed };
    let (epilogue, row) = if whole { epilogue(p)? } else { (Epilogue::None, None) };
    let compute = match p.a.dtype {
        Dtype::F64 => Compute::F64,
        Dtype::F32 if tf32 => Compute::Tf32,
        _ => Compute::F32,
    };
    let c = if let (true, Some(c)) = (whole, p.c) { straight(c, 3)? } else { d };
    Some(Product {
        m: p.m as u64,
        n: p.n as u64,
        k: p.k as u64,
        batches,
        compute,
        a: matrix(p, p.a, 0, [p.m, p.k])?,
        b: matrix(p, p.b, 1, [p.k, p.n])?,
        c,
        d,
        conjugate: [false; 2],
        epilogue,
        row,
        aux: None,
        scaling: [None; 2],
        scaled: false,
        amax: false,
        fast: false,
        unscaled: !whole || p.after.alpha == 1.0,
        overwrites: !whole || p.c.is_none(),
        workspace: WORKSPACE,
        timed: false,
    })
}

/// A view of [rows, cols], whose strides `operand` numbers, as the library takes it.
fn matrix(p: &Problem, view: View, operand: usize, [rows, cols]: [usize; 2]) -> Option<Matrix> {
    let leads = |stride: isize, lines: usize, length: usize| match lines {
        1 => Some(length as i64),
        _ => (stride >= length as isize).then_some(stride as i64),
    };
    let straight = (view.col == 1).then(|| leads(view.row, rows, cols)).flatten();
    let turned = (view.row == 1).then(|| leads(view.col, cols, rows)).flatten();
    let (turned, leading) = straight.map(|by| (false, by)).or(turned.map(|by| (true, by)))?;
    let axes = p.axes();
    let all =
        axes.iter().fold(view.at as u64, |all, axis| all | super::arguments::bytes(&view, axis.1[operand]));
    let alignment = 1 << all.trailing_zeros().min(8);
    let batch = axes.last().map_or(0, |axis| axis.1[operand] as i64);
    (batch >= 0).then_some(Matrix { dtype: view.dtype, turned, leading, batch, alignment })
}
