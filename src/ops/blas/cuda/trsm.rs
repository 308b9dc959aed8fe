//! trsm on CUDA: systems of few unknowns are solved several a warp; else rows are solved some at a time, and subtracted from
//! those below by products, the vendor's library's or our own.

use super::product::{Product, View, WORKSPACE};
use super::{address, block, grid, is_packed, one_batch, parts, singles, step};
use crate::device::cuda::{Key, Stream};
use crate::fail;
use crate::kernels::gpu::Space;
use crate::op::{Choice, Operand};
use crate::ops::blas::ptx::few::solve_few;
use crate::ops::blas::ptx::trsm::{Args, SIDE, Spec, solve, update};
use crate::ops::blas::ptx::{THREADS, edge, lanes, with_part};
use crate::ops::blas::reach;
use crate::ops::blas::trsm::Trsm;
use crate::ptx::{Kernel, Target, Text};
use crate::status::Result;

/// Best first.
pub(in crate::ops::blas) const CHOICES: &[Choice<Trsm, Stream>] = &[
    Choice { name: "cublaslt", accepts, run: |op, stream| blocks(op, stream, true) },
    Choice { name: "few", accepts: |op, _| is_few(op), run: few },
    Choice { name: "blocks", accepts: |_, _| true, run: |op, stream| blocks(op, stream, false) },
];

/// Rows that are solved before they are subtracted from those below.
const ROWS: u64 = 128;

/// Unknowns at the most that lanes of a warp have one each: of numbers of fewer bytes than `WIDE`, and of others.
const FEW: [usize; 2] = [32, 16];
const WIDE: usize = 16;
/// Right-hand sides that a lane has a row of, by as many as there are at least.
const EACH: [u32; 3] = [8, 4, 1];

/// Writes the kernel of a spec.
type Write = fn(Target, Spec) -> Result<Kernel<Args>>;

const SOLVE: Write = |target, spec| with_part!(spec.dtype, R => solve::<R>(target, spec));
const SOLVE_FEW: Write = |target, spec| with_part!(spec.dtype, R => solve_few::<R>(target, spec));
const UPDATE: Write = |target, spec| with_part!(spec.dtype, R => update::<R>(target, spec));

/// Whether there is a product that the library takes.
fn accepts(op: &Trsm, stream: &Stream) -> bool {
    let rows = ROWS as usize;
    op.sizes().0 >= 2 * rows
        && known(op, [0, rows, 2 * rows]).is_some_and(|product| product.plan(stream).is_some())
}

/// Whether there are so few unknowns that lanes of a warp have one each.
fn is_few(op: &Trsm) -> bool {
    op.sizes().0 <= FEW[usize::from(op.b.dtype().size() >= WIDE)]
}

/// Solves each system by as many lanes as it has unknowns.
fn few(op: &Trsm, stream: &Stream) -> Result<()> {
    let (args, (order, sides), lanes) = (arguments(op), op.sizes(), lanes(op.b.dtype()) as usize);
    let whole = order.is_multiple_of(lanes) && sides.is_multiple_of(lanes);
    let packed = whole && is_packed(&op.a, 1) && is_packed(&op.b, 1);
    let each = EACH.into_iter().find(|&each| each as usize <= sides).unwrap_or(1);
    let side = (order as u32).next_power_of_two().max(4);
    let spec = Spec { dtype: op.b.dtype(), conjugate: op.conjugate, unit: op.unit, side, each, packed };
    let groups = tiles(op, args.sides.div_ceil(u64::from(each)))?;
    let args = Args { tiles: [groups, 1], ..args };
    let kernel = stream.kernel(Key("blas_trsm_few", spec.words()), |target| SOLVE_FEW(target, spec))?;
    let blocks = args.matrices.saturating_mul(u64::from(groups)).div_ceil(u64::from(THREADS / side));
    // SAFETY: the operands were checked; systems end where the matrices do.
    unsafe { kernel.launch(stream, grid(blocks, 1), &args) }
}

/// Solves block by block of rows. As many rows as are known by then are subtracted from as many below at once.
fn blocks(op: &Trsm, stream: &Stream, library: bool) -> Result<()> {
    let (conjugate, unit) = (op.conjugate, op.unit);
    let spec = Spec { dtype: op.b.dtype(), conjugate, unit, side: SIDE, each: 1, packed: false };
    let args = arguments(op);
    let groups = tiles(op, args.sides.div_ceil(u64::from(SIDE)))?;
    for number in 0..args.order.div_ceil(ROWS) {
        let begin = number * ROWS;
        let end = (begin + ROWS).min(args.order);
        // What is below is multiplied with alpha by the first subtraction.
        let args = Args { begin, end, alpha: if begin == 0 { args.alpha } else { [1.0, 0.0] }, ..args };
        launch(stream, ("blas_trsm_solve", SOLVE), spec, &Args { tiles: [groups, 1], ..args })?;
        let reach = reach(number as usize + 1) as u64 * ROWS;
        if end < args.order {
            subtract(op, stream, spec, [end - reach, end, (end + reach).min(args.order)], library)?;
        }
    }
    Ok(())
}

/// Subtracts the rows from `begin` to `end`, which are known, from those from `end` to `last`.
fn subtract(
    op: &Trsm,
    stream: &Stream,
    spec: Spec,
    [begin, end, last]: [u64; 3],
    library: bool,
) -> Result<()> {
    let product = if library { known(op, [begin, end, last].map(|row| row as usize)) } else { None };
    if let Some(ready) = product.and_then(|product| product.plan(stream)) {
        // SAFETY: blocks of the checked operands, those of B of other rows each.
        return unsafe { ready.run(stream) };
    }
    let (args, edge) = (arguments(op), u64::from(edge(spec.dtype)));
    let across = args.sides.div_ceil(edge);
    let all = tiles(op, (last - end).div_ceil(edge) * across)?;
    let alpha = if begin == 0 { args.alpha } else { [1.0, 0.0] };
    let args = Args { begin, end, order: last, alpha, tiles: [all, across as u32], ..args };
    launch(stream, ("blas_trsm_update", UPDATE), spec, &args)
}

/// The same for the vendor's library, if there is but one batch axis.
fn known(op: &Trsm, [begin, end, last]: [usize; 3]) -> Option<Product> {
    let outer = |operand: &Operand| operand.layout().split(2).0;
    let (count, batch) = one_batch(&Space::new([&outer(&op.a), &outer(&op.b)]))?;
    let (dtype, size) = (op.b.dtype(), op.b.dtype().size());
    let a = View { batch: batch[0], ..block(&op.a, op.start[0]) };
    let b = View { batch: batch[1], ..block(&op.b, op.start[1]) };
    Some(Product {
        dtype,
        sizes: [last - end, op.sizes().1, end - begin],
        count,
        a: a.skip(end, begin, size),
        b: b.skip(begin, 0, size),
        d: b.skip(end, 0, size),
        conjugate: [op.conjugate, false],
        factors: [[-1.0, 0.0], if begin == 0 { parts(op.alpha) } else { [1.0, 0.0] }],
        workspace: WORKSPACE,
    })
}

fn launch(stream: &Stream, (name, write): (&'static str, Write), spec: Spec, args: &Args) -> Result<()> {
    let kernel = stream.kernel(Key(name, spec.words()), |target| write(target, spec))?;
    // SAFETY: the operands were checked; blocks end where the matrices do.
    unsafe { kernel.launch(stream, grid(u64::from(args.tiles[0]), args.matrices), args) }
}

/// A number of tiles that a kernel can count to.
fn tiles(op: &Trsm, tiles: u64) -> Result<u32> {
    if tiles >= 1 << 31 {
        fail!(WEFT_ERROR_UNSUPPORTED, "trsm: {} has {tiles} tiles; at most 2^31 - 1 are supported", op.b);
    }
    Ok(tiles as u32)
}

fn arguments(op: &Trsm) -> Args {
    let outer = |operand: &Operand| operand.layout().split(2).0;
    let batch = Space::new([&outer(&op.a), &outer(&op.b)]);
    let (order, sides) = op.sizes();
    Args {
        at: [address(&op.a, op.start[0]), address(&op.b, op.start[1])],
        rows: [step(&op.a, 1), step(&op.b, 1)],
        columns: [step(&op.a, 0), step(&op.b, 0)],
        order: order as u64,
        sides: sides as u64,
        begin: 0,
        end: 0,
        tiles: [0; 2],
        matrices: batch.count(),
        alpha: parts(op.alpha),
        batch: batch.words(),
    }
}

/// Kernels of every kind, for the tests.
pub fn texts(target: Target) -> Vec<Result<Text>> {
    let specs = singles().flat_map(|(dtype, conjugate)| [false, true].map(|unit| (dtype, conjugate, unit)));
    let all = specs.flat_map(|(dtype, conjugate, unit)| {
        let spec = Spec { dtype, conjugate, unit, side: SIDE, each: 1, packed: false };
        let few = Spec { side: FEW[usize::from(dtype.size() >= WIDE)] as u32, ..spec };
        let packed = Spec { each: EACH[0], packed: true, ..few };
        [(SOLVE, spec), (UPDATE, spec), (SOLVE_FEW, few), (SOLVE_FEW, packed)]
    });
    all.map(|(write, spec)| write(target, spec).map(Text::from)).collect()
}
