//! Products as the library is told of them: all that a plan depends on, and what each call brings.

use crate::dtype::Dtype;
use std::hash::{Hash, Hasher};

/// A matrix whose rows (or, `turned`, columns) are contiguous.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Matrix {
    /// Of its elements.
    pub dtype: Dtype,
    /// Its columns are contiguous.
    pub turned: bool,
    /// Elements from one row (or column) to the next.
    pub leading: i64,
    /// Elements from one matrix of the batch to the next.
    pub batch: i64,
    /// Bytes that every address of it is a multiple of: a power of two, 256 at most.
    pub alignment: u32,
}

/// What sums are made in, and how f32 factors may be cut for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compute {
    /// f32, of f32 factors as they are and of any narrower.
    F32,
    /// f32, of factors cut to TF32.
    Tf32,
    /// f32, of factors cut to bfloat16.
    Bf16,
    /// f32, of factors cut to binary16.
    F16,
    /// f64.
    F64,
    /// i32.
    I32,
}

/// What happens to each sum, by the library's numbers, which are sets of bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Epilogue {
    /// Nothing.
    None = 1,
    /// The value where the mask is set.
    Drelu = 136,
    /// Nothing, but B's sums over k, which the library calls A, go to the row.
    SumB = 256,
    /// A's, which it calls B.
    SumA = 512,
}

impl Epilogue {
    /// With a row that is added first; or, of `Drelu`, with sums over the rows of D.
    pub(super) fn code(self, row: bool) -> i32 {
        match self {
            Self::Drelu => self as i32 | i32::from(row) << 4,
            Self::SumA | Self::SumB => self as i32,
            _ if row => self as i32 & !1 | 4,
            _ => self as i32,
        }
    }
}

/// A row of n elements, read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Row {
    /// Of its elements.
    pub dtype: Dtype,
    /// Elements from one of the batch to the next; 0 where all share it.
    pub batch: i64,
}

/// The second output or input of an epilogue, [m, n]: rows of bits, or of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Aux {
    /// Of its elements; none where it is a mask.
    pub dtype: Option<Dtype>,
    /// Elements, or bits, from one row to the next.
    pub leading: i64,
    /// Elements, or bits, from one of the batch to the next.
    pub batch: i64,
}

/// What the elements of a factor are scaled by: numbers by the library's own count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scaling {
    /// One for all.
    All = 0,
    /// One for each row of A, or column of B.
    Lines = 3,
    /// One for each 128 elements of a row of A, or column of B: those of all rows (columns) side by side.
    Pieces = 4,
    /// One for each 128 x 128 elements: those of a row (column) side by side, rows 4 n apart.
    Squares = 5,
}

/// D = act(alpha A B + beta C + bias): all that its plan depends on, but for the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Product {
    /// Rows of A and D.
    pub m: u64,
    /// Columns of B and D.
    pub n: u64,
    /// Columns of A and rows of B.
    pub k: u64,
    /// How many of them.
    pub batches: i32,
    /// What sums are made in.
    pub compute: Compute,
    /// [m, k].
    pub a: Matrix,
    /// [k, n].
    pub b: Matrix,
    /// [m, n], its rows contiguous; as `d` where beta is 0.
    pub c: Matrix,
    /// [m, n], its rows contiguous.
    pub d: Matrix,
    /// Whether A and B are complex and conjugate; only what is turned can be.
    pub conjugate: [bool; 2],
    /// What happens to the sums.
    pub epilogue: Epilogue,
    /// What is added first, or the sums that the epilogue makes.
    pub row: Option<Row>,
    /// What else the epilogue writes or reads.
    pub aux: Option<Aux>,
    /// What A and B are scaled by.
    pub scaling: [Option<Scaling>; 2],
    /// Whether D is scaled by a number in the device's memory.
    pub scaled: bool,
    /// Whether the largest magnitude of D is wanted.
    pub amax: bool,
    /// Whether 8-bit floats may be summed up with few bits.
    pub fast: bool,
    /// Whether alpha is 1.
    pub unscaled: bool,
    /// Whether beta is 0.
    pub overwrites: bool,
    /// Bytes of scratch memory, at most.
    pub workspace: u64,
    /// Whether algorithms are timed, and the best is kept.
    pub timed: bool,
}

impl Product {
    /// Whether the factors are complex vectors: one row, one column, or one of each. cublasLtMatmul of 13.1 reads address 0 for
    /// some of them.
    pub(super) fn is_of_complex_vectors(&self) -> bool {
        matches!(self.a.dtype, Dtype::C32 | Dtype::C64) && self.m.min(self.n).min(self.k) == 1
    }
}

/// By what tells most products apart: it is looked up for every request.
impl Hash for Product {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { m, n, k, batches, a, b, d, .. } = self;
        let kinds = [a.dtype as u32, d.dtype as u32, self.epilogue as u32, batches.cast_unsigned()];
        let leading = [a.leading, b.leading, d.leading].map(i64::cast_unsigned);
        [*m, *n, *k].into_iter().chain(leading).for_each(|number| state.write_u64(number));
        kinds.into_iter().for_each(|kind| state.write_u32(kind));
    }
}

/// Where a product's operands are; 0 for those that there are not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// A.
    pub a: u64,
    /// B.
    pub b: u64,
    /// C, or D.
    pub c: u64,
    /// D.
    pub d: u64,
    /// [`Product::row`].
    pub row: u64,
    /// [`Product::aux`].
    pub aux: u64,
    /// What A and B are scaled by.
    pub scales: [u64; 2],
    /// What D is scaled by.
    pub scale: u64,
    /// The largest magnitude.
    pub amax: u64,
}

/// Two factors of a call, alpha and beta: real and imaginary part each.
pub type Factors = [[f64; 2]; 2];
