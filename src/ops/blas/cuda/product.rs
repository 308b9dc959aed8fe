//! Products of blocks by the vendor's library, where it is there: D = alpha A B + beta D, of blocks whose rows or columns lie
//! element by element, forwards or backwards.

use crate::device::cuda::Stream;
use crate::device::cuda::cublaslt::{self, Addresses, Blas, Compute, Epilogue, Found};
use crate::dtype::Dtype;
use crate::status::Result;
use std::sync::Arc;

/// Bytes of scratch memory that the library may use for a product, if there is no reason for more.
pub(super) const WORKSPACE: u64 = 4 << 20;
/// Rows, columns and products of an element at most.
const LONGEST: usize = 1 << 30;
/// Products of a call at most.
const MANY: usize = 1 << 20;

/// Where a block is: strides in elements.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// The address of its first element.
    pub at: u64,
    /// From a row to the next.
    pub row: isize,
    /// From a column to the next.
    pub col: isize,
    /// From a block to that of the next product.
    pub batch: isize,
}

impl View {
    /// From element (i, j) on, of elements of so many bytes.
    pub fn skip(self, i: usize, j: usize, size: usize) -> Self {
        let elements = self.row.wrapping_mul(i as isize).wrapping_add(self.col.wrapping_mul(j as isize));
        Self { at: self.at.wrapping_add(elements.wrapping_mul(size as isize) as u64), ..self }
    }

    /// The transpose.
    pub fn turned(self) -> Self {
        Self { row: self.col, col: self.row, ..self }
    }
}

/// Products of blocks, all alike.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// Of all elements.
    pub dtype: Dtype,
    /// Rows and columns of D, and products an element.
    pub sizes: [usize; 3],
    /// How many products.
    pub count: usize,
    /// The first factor.
    pub a: View,
    /// The second.
    pub b: View,
    /// The result.
    pub d: View,
    /// Which factors are conjugated.
    pub conjugate: [bool; 2],
    /// alpha and beta, their parts.
    pub factors: [[f64; 2]; 2],
    /// Bytes of scratch memory that the library may use for it.
    pub workspace: u64,
}

/// A product that the library has a plan for.
pub struct Ready {
    product: Product,
    blas: Arc<Blas>,
    plan: Found,
}

impl Ready {
    /// Queues it.
    ///
    /// # Safety
    ///
    /// The blocks are inside operands that live as long as the request's work; D is apart from both factors.
    pub unsafe fn run(&self, stream: &Stream) -> Result<()> {
        let Product { a, b, d, factors, .. } = self.product;
        let at = Addresses { a: a.at, b: b.at, c: d.at, d: d.at, ..Addresses::default() };
        // SAFETY: this function's contract; a block run backwards, or its transpose, is the same memory.
        unsafe { self.blas.run(stream, &self.plan, &at, &factors) }
    }
}

impl Product {
    /// The library's plan for it, if it is there and has one.
    pub fn plan(&self, stream: &Stream) -> Option<Ready> {
        let product = self.forwards().and_then(Self::straight)?;
        let told = product.told()?;
        let blas = cublaslt::blas(stream)?.clone();
        let plan = blas.find(stream, &told)?;
        Some(Ready { product, blas, plan })
    }

    /// The same with strides that go forwards: what runs backwards in both blocks that share it begins at its other end.
    fn forwards(&self) -> Option<Self> {
        let (mut p, [m, n, k], size) = (*self, self.sizes, self.dtype.size());
        let turn = |view: &mut View, row: bool, length: usize| {
            let stride = if row { view.row } else { view.col };
            *view = if row { view.skip(length - 1, 0, size) } else { view.skip(0, length - 1, size) };
            *(if row { &mut view.row } else { &mut view.col }) = -stride;
        };
        if m > 1 && p.a.row < 0 && p.d.row < 0 {
            turn(&mut p.a, true, m);
            turn(&mut p.d, true, m);
        }
        if n > 1 && p.b.col < 0 && p.d.col < 0 {
            turn(&mut p.b, false, n);
            turn(&mut p.d, false, n);
        }
        if k > 1 && p.a.col < 0 && p.b.row < 0 {
            turn(&mut p.a, false, k);
            turn(&mut p.b, true, k);
        }
        let fits =
            [m, n, k].iter().all(|side| (1..=LONGEST).contains(side)) && (1..=MANY).contains(&self.count);
        fits.then_some(p)
    }

    /// The same, or its transpose, so that rows of D lie element by element.
    fn straight(self) -> Option<Self> {
        let [m, n, k] = self.sizes;
        if n == 1 && m > 1 && self.d.row == 1 || n > 1 && self.d.col != 1 {
            let [a, b] = self.conjugate;
            let turned = Self {
                sizes: [n, m, k],
                a: self.b.turned(),
                b: self.a.turned(),
                d: self.d.turned(),
                conjugate: [b, a],
                ..self
            };
            return (m == 1 || self.d.row == 1).then_some(turned);
        }
        Some(self)
    }

    /// As the library is told of it.
    fn told(&self) -> Option<cublaslt::Product> {
        let ([m, n, k], [alpha, beta]) = (self.sizes, self.factors);
        let d = self.matrix(self.d, [m, n], false).filter(|d| !d.turned)?;
        let [conjugate_a, conjugate_b] = self.conjugate;
        Some(cublaslt::Product {
            m: m as u64,
            n: n as u64,
            k: k as u64,
            batches: self.count as i32,
            compute: if matches!(self.dtype, Dtype::F64 | Dtype::C64) { Compute::F64 } else { Compute::F32 },
            a: self.matrix(self.a, [m, k], conjugate_a)?,
            b: self.matrix(self.b, [k, n], conjugate_b)?,
            c: d,
            d,
            conjugate: self.conjugate,
            epilogue: Epilogue::None,
            row: None,
            aux: None,
            scaling: [None; 2],
            scaled: false,
            amax: false,
            fast: false,
            unscaled: alpha == [1.0, 0.0],
            overwrites: beta == [0.0; 2],
            workspace: self.workspace,
            timed: false,
        })
    }

    /// A block of so many rows and columns; what is conjugate must be turned, as the library has it.
    fn matrix(&self, view: View, [rows, cols]: [usize; 2], conjugate: bool) -> Option<cublaslt::Matrix> {
        let along = |step: isize, length: usize| step == 1 || length == 1;
        let leads = |stride: isize, lines: usize, length: usize| match lines {
            1 => Some(length as i64),
            _ => (stride >= length as isize).then_some(stride as i64),
        };
        let straight = if along(view.col, cols) { leads(view.row, rows, cols) } else { None };
        let turned = if along(view.row, rows) { leads(view.col, cols, rows) } else { None };
        let (turned, leading) = match (straight, turned) {
            (Some(leading), _) if !conjugate => (false, leading),
            (_, Some(leading)) => (true, leading),
            _ => return None,
        };
        let batch = if self.count == 1 { 0 } else { view.batch as i64 };
        let between = (batch as u64).wrapping_mul(self.dtype.size() as u64);
        let alignment = 1 << (view.at | between).trailing_zeros().min(8);
        (batch >= 0).then_some(cublaslt::Matrix { dtype: self.dtype, turned, leading, batch, alignment })
    }
}
