//! syrk on CUDA: one launch of the tiles of a triangle, which is put below the diagonal; of a large one the blocks on the diagonal,
//! and what lies below them by products of the vendor's library.

use super::product::{Product, View, WORKSPACE};
use super::{block, grid, one_batch, pairs, parts};
use crate::device::cuda::{Key, Stream};
use crate::dtype::Dtype;
use crate::fail;
use crate::kernels::gpu::Space;
use crate::layout::Layout;
use crate::op::{Choice, Operand};
use crate::ops::blas::ptx::syrk::{Args, KeepArgs, Spec, keep, numbering, write};
use crate::ops::blas::ptx::{THREADS, edge, with_part};
use crate::ops::blas::syrk::Syrk;
use crate::ptx::{Kernel, Target, Text};
use crate::status::Result;

/// Best first.
pub(in crate::ops::blas) const CHOICES: &[Choice<Syrk, Stream>] = &[
    Choice { name: "cublaslt", accepts, run: blocks },
    Choice { name: "tiles", accepts: |_, _| true, run: |op, stream| tiles(op, stream, &Diagonal::whole(op)) },
];

/// Tiles of a side that a kernel can number.
const MOST: u64 = 1 << 15;
/// Rows and columns of a block on the diagonal, where there are several.
const BLOCK: usize = 256;
/// Bytes of squares at the most.
const SUMS: usize = 64 << 20;

const WRITE: fn(Target, Spec) -> Result<Kernel<Args>> =
    |target, spec| with_part!(spec.dtype, R => write::<R>(target, spec));
const KEEP: fn(Target, Spec) -> Result<Kernel<KeepArgs>> =
    |target, spec| with_part!(spec.dtype, R => keep::<R>(target, spec));

/// Blocks on the diagonal: the number of the first row, the rows of each, and how many.
struct Diagonal {
    first: usize,
    side: usize,
    count: usize,
}

impl Diagonal {
    /// The matrix itself.
    fn whole(op: &Syrk) -> Self {
        Self { first: 0, side: op.sizes().0, count: 1 }
    }

    /// The batch axes of an operand, and one for these blocks, of which each is `apart` elements behind the one before.
    fn outer(&self, operand: &Operand, apart: isize) -> Layout {
        let outer = operand.layout().split(2).0;
        let dims = [outer.dims(), &[self.count as i64]].concat();
        let strides: Vec<i64> = (0..outer.rank()).map(|axis| outer.stride(axis) as i64).collect();
        Layout::strided(&dims, &[&strides[..], &[apart as i64]].concat())
    }
}

/// Whether there are several blocks, and the library has plans for all products.
fn accepts(op: &Syrk, stream: &Stream) -> bool {
    let (side, depth) = op.sizes();
    let all = || if by_rows(op) { Some(rows(op, 0)) } else { products(op) };
    let plans = |all: Vec<Product>| all.iter().all(|product| product.plan(stream).is_some());
    side >= 2 * BLOCK && depth > 0 && all().is_some_and(plans)
}

fn blocks(op: &Syrk, stream: &Stream) -> Result<()> {
    if by_rows(op) {
        return panels(op, stream);
    }
    products(op).iter().flatten().try_for_each(|product| run(product, stream))?;
    diagonals(op).iter().try_for_each(|diagonal| {
        let ready = square(op, diagonal, 0).and_then(|product| product.plan(stream));
        ready.map_or_else(|| tiles(op, stream, diagonal), |_| squares(op, stream, diagonal))
    })
}

/// Queues a product that had a plan.
fn run(product: &Product, stream: &Stream) -> Result<()> {
    let Some(ready) = product.plan(stream) else {
        fail!(WEFT_ERROR_UNSUPPORTED, "syrk: cuBLASLt forgot its plan for {product:?}")
    };
    // SAFETY: blocks of the checked operands, which are apart, and of scratch memory.
    unsafe { ready.run(stream) }
}

/// Whether the rows of all blocks go to scratch memory at once. Products of f32 have large tiles: of squares on the diagonal there
/// are too few for the device.
fn by_rows(op: &Syrk) -> bool {
    let (side, dtype) = (op.sizes().0, op.c.dtype());
    dtype == Dtype::F32
        && one_batch(&batch_axes(op)).is_some_and(|(count, _)| count == 1)
        && side * side * dtype.size() <= SUMS
}

/// A whole square in scratch memory, its rows all at once, of which a triangle is kept.
fn panels(op: &Syrk, stream: &Stream) -> Result<()> {
    let side = op.sizes().0;
    let sums = stream.scratch(side * side * op.c.dtype().size())?;
    let rows = rows(op, sums);
    stream.beside(rows.len(), |part, stream| run(&rows[part], stream))?;
    keep_triangles(op, stream, &Diagonal::whole(op), sums)
}

/// The rows of each block as far as the diagonal's, of a square at `sums`: the longest first.
fn rows(op: &Syrk, sums: u64) -> Vec<Product> {
    let ((side, depth), dtype) = (op.sizes(), op.c.dtype());
    let (a, size) = (block(&op.a, 0), dtype.size());
    let d = View { at: sums, row: side as isize, col: 1, batch: 0 };
    let rows_from = |row: usize| {
        let rows = BLOCK.min(side - row);
        Product {
            dtype,
            sizes: [rows, row + rows, depth],
            count: 1,
            a: a.skip(row, 0, size),
            b: a.turned(),
            d: d.skip(row, 0, size),
            conjugate: conjugates(op),
            factors: [parts(op.alpha), [0.0; 2]],
            workspace: 8 * WORKSPACE, // for sums of parts of k: there are few tiles
        }
    };
    (0..side).step_by(BLOCK).rev().map(rows_from).collect()
}

/// The blocks on the diagonal: those of full size at once where there is but one matrix, else one by one.
fn diagonals(op: &Syrk) -> Vec<Diagonal> {
    let side = op.sizes().0;
    let (full, rest) = (side / BLOCK, side % BLOCK);
    let single = one_batch(&batch_axes(op)).is_some_and(|(count, _)| count == 1);
    let mut all = match single {
        true => vec![Diagonal { first: 0, side: BLOCK, count: full }],
        false => (0..full).map(|n| Diagonal { first: n * BLOCK, side: BLOCK, count: 1 }).collect(),
    };
    if rest > 0 {
        all.push(Diagonal { first: side - rest, side: rest, count: 1 });
    }
    all
}

/// Whole squares of blocks on the diagonal, in scratch memory at `sums`, if there are not too many.
fn square(op: &Syrk, diagonal: &Diagonal, sums: u64) -> Option<Product> {
    let (matrices, batch) = one_batch(&batch_axes(op))?;
    let (dtype, size, side) = (op.c.dtype(), op.c.dtype().size(), diagonal.side);
    let (count, step) = if matrices == 1 { (diagonal.count, apart(op, 1)[0]) } else { (matrices, batch[0]) };
    let a = View { batch: step, ..block(&op.a, 0) }.skip(diagonal.first, 0, size);
    let product = Product {
        dtype,
        sizes: [side, side, op.sizes().1],
        count,
        a,
        b: a.turned(),
        d: View { at: sums, row: side as isize, col: 1, batch: (side * side) as isize },
        conjugate: conjugates(op),
        factors: [parts(op.alpha), [0.0; 2]],
        workspace: WORKSPACE,
    };
    (count * side * side * size <= SUMS).then_some(product)
}

/// Multiplies whole squares, and keeps a triangle of each.
fn squares(op: &Syrk, stream: &Stream, diagonal: &Diagonal) -> Result<()> {
    let (matrices, side) = (Space::new([&outer_of(op, diagonal)]).count(), diagonal.side as u64);
    let sums = stream.scratch((matrices * side * side) as usize * op.c.dtype().size())?;
    let Some(ready) = square(op, diagonal, sums).and_then(|product| product.plan(stream)) else {
        return tiles(op, stream, diagonal);
    };
    // SAFETY: blocks of the checked operands, and scratch memory of as many squares.
    unsafe { ready.run(stream)? };
    keep_triangles(op, stream, diagonal, sums)
}

fn outer_of(op: &Syrk, diagonal: &Diagonal) -> Layout {
    diagonal.outer(&op.c, apart(op, 1)[1])
}

/// Adds a triangle of each square at `sums` to its block on the diagonal.
fn keep_triangles(op: &Syrk, stream: &Stream, diagonal: &Diagonal, sums: u64) -> Result<()> {
    let (batch, side, c) = (Space::new([&outer_of(op, diagonal)]), diagonal.side as u64, lower(op));
    let size = op.c.dtype().size();
    let bytes = |step: isize| step.wrapping_mul(size as isize) as u64;
    let args = KeepArgs {
        at: [sums, c.skip(diagonal.first, diagonal.first, size).at],
        strides: [bytes(c.row), bytes(c.col)],
        side,
        matrices: batch.count(),
        beta: parts(op.beta),
        reads: u32::from(!op.beta.is_zero()),
        batch: batch.words(),
    };
    let spec = Spec { dtype: op.c.dtype(), conjugate: conjugates(op) };
    let kernel = stream.kernel(Key("blas_syrk_keep", spec.words()), |target| KEEP(target, spec))?;
    // SAFETY: the operands were checked; the scratch memory holds as many squares.
    unsafe { kernel.launch(stream, grid((side * side).div_ceil(u64::from(THREADS)), args.matrices), &args) }
}

/// What lies below the blocks on the diagonal, as products: squares of 1, 2, 4, ... blocks, those of a size at once where there is
/// but one matrix. None if there are several batch axes.
fn products(op: &Syrk) -> Option<Vec<Product>> {
    let (count, batch) = one_batch(&batch_axes(op))?;
    let (side, mut all) = (op.sizes().0, Vec::new());
    let blocks = side.div_ceil(BLOCK);
    for reach in (0..).map(|n| 1 << n).take_while(|&reach| reach < blocks) {
        let full = if count == 1 { side / (2 * reach * BLOCK) } else { 0 };
        if full > 0 {
            all.push(below(op, [reach, reach], (full, apart(op, 2 * reach))));
        }
        let others = (full..).map(|n| (2 * n + 1) * reach).take_while(|&number| number < blocks);
        all.extend(others.map(|number| below(op, [number, reach], (count, batch))));
    }
    Some(all)
}

fn batch_axes(op: &Syrk) -> Space<2> {
    let outer = |operand: &Operand| operand.layout().split(2).0;
    Space::new([&outer(&op.a), &outer(&op.c)])
}

/// C as a block whose triangle is on and below the diagonal.
fn lower(op: &Syrk) -> View {
    let c = block(&op.c, 0);
    if op.upper { c.turned() } else { c }
}

/// From an element of A, and of C, to those so many blocks further down the diagonal.
fn apart(op: &Syrk, blocks: usize) -> [isize; 2] {
    let (a, c) = (block(&op.a, 0), lower(op));
    [a.row, c.row + c.col].map(|step| step.wrapping_mul((blocks * BLOCK) as isize))
}

/// `reach` blocks from block `number` on below as many before it.
fn below(op: &Syrk, [number, reach]: [usize; 2], (count, batch): (usize, [isize; 2])) -> Product {
    let ((side, depth), dtype) = (op.sizes(), op.c.dtype());
    let (row, col) = (number * BLOCK, (number - reach) * BLOCK);
    let a = View { batch: batch[0], ..block(&op.a, 0) };
    let c = View { batch: batch[1], ..lower(op) };
    let size = dtype.size();
    Product {
        dtype,
        sizes: [(reach * BLOCK).min(side - row), reach * BLOCK, depth],
        count,
        a: a.skip(row, 0, size),
        b: a.skip(col, 0, size).turned(),
        d: c.skip(row, col, size),
        conjugate: conjugates(op),
        factors: [op.alpha, op.beta].map(parts),
        workspace: WORKSPACE,
    }
}

/// Which factors of the triangle below the diagonal are conjugated: the upper triangle is the lower one of the transpose, which is
/// the conjugate of a Hermitian product.
fn conjugates(op: &Syrk) -> [bool; 2] {
    [op.hermitian && op.upper, op.hermitian && !op.upper]
}

fn tiles(op: &Syrk, stream: &Stream, diagonal: &Diagonal) -> Result<()> {
    let (side, depth) = (diagonal.side, op.sizes().1);
    let across = (side as u64).div_ceil(u64::from(edge(op.c.dtype())));
    if across > MOST {
        fail!(WEFT_ERROR_UNSUPPORTED, "syrk: c has {side} rows; at most {MOST} tiles of them are supported");
    }
    let (a, c, size) = (block(&op.a, 0), lower(op), op.c.dtype().size());
    let apart = apart(op, 1);
    let batch = Space::new([&diagonal.outer(&op.a, apart[0]), &diagonal.outer(&op.c, apart[1])]);
    let bytes = |step: isize| step.wrapping_mul(size as isize) as u64;
    let args = Args {
        at: [a.skip(diagonal.first, 0, size).at, c.skip(diagonal.first, diagonal.first, size).at],
        rows: [bytes(a.row), bytes(c.row)],
        columns: [bytes(a.col), bytes(c.col)],
        side: side as u64,
        depth: depth as u64,
        tiles: numbering(across as u32),
        matrices: batch.count(),
        alpha: parts(op.alpha),
        beta: parts(op.beta),
        reads: u32::from(!op.beta.is_zero()),
        batch: batch.words(),
    };
    let spec = Spec { dtype: op.c.dtype(), conjugate: conjugates(op) };
    let kernel = stream.kernel(Key("blas_syrk", spec.words()), |target| WRITE(target, spec))?;
    // SAFETY: the operands were checked; tiles end where the matrices do.
    unsafe { kernel.launch(stream, grid(u64::from(args.tiles[0]), args.matrices), &args) }
}

/// Kernels of every kind, for the tests.
pub fn texts(target: Target) -> Vec<Result<Text>> {
    let specs = pairs().map(|(dtype, conjugate)| Spec { dtype, conjugate });
    specs.flat_map(|spec| [WRITE(target, spec).map(Text::from), KEEP(target, spec).map(Text::from)]).collect()
}
