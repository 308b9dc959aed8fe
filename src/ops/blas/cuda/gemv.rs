//! gemv on CUDA: along rows or down columns, whichever lie nearer; in pieces where there are few rows.

use super::{grid, is_packed, parts, singles, step};
use crate::device::cuda::{Key, Stream};
use crate::dtype::Dtype;
use crate::kernels::gpu::Space;
use crate::op::{Choice, Operand};
use crate::ops::blas::DTYPES;
use crate::ops::blas::gemv::Gemv;
use crate::ops::blas::ptx::gemv::{Args, Spec, columns, merge, rows};
use crate::ops::blas::ptx::{THREADS, lanes, with_part};
use crate::ptx::{Kernel, Target, Text};
use crate::status::Result;

/// Best first.
pub(in crate::ops::blas) const CHOICES: &[Choice<Gemv, Stream>] = &[
    Choice { name: "columns", accepts: |op, _| is_down(op), run: run_columns },
    Choice { name: "rows", accepts: |_, _| true, run: run_rows },
];

/// Columns of a row that a warp sums by itself, unless there are rows for all warps.
const SOME: u64 = 2048;
/// Blocks that sums are cut for, if there are the columns, and least columns of a piece.
const BLOCKS: u64 = 1056;
const WIDE: u64 = 4096;
const NARROW: u64 = 128;
/// Bytes of a piece down columns at least.
const PIECE: u64 = 64 << 10;
/// Tiles down columns that are enough for the device.
const TILES: u64 = 264;
/// Bytes of a column of a tile at least.
const SECTOR: u64 = 32;
/// Bytes of matrices that take longer to read than a launch.
const LARGE: u64 = 16 << 20;

/// Writes the kernel of a spec.
type Write = fn(Target, Spec) -> Result<Kernel<Args>>;

const ROWS: Write = |target, spec| with_part!(spec.dtype, R => rows::<R>(target, spec));
const COLUMNS: Write = |target, spec| with_part!(spec.dtype, R => columns::<R>(target, spec));
const MERGE: Write = |target, spec| with_part!(spec.dtype, R => merge::<R>(target, spec));

/// Whether the elements of a column lie nearer than those of a row.
fn is_down(op: &Gemv) -> bool {
    let (m, n) = op.sizes();
    let [row, col] = [1, 0].map(|axis| step(&op.a, axis).cast_signed().unsigned_abs());
    m > 1 && (n <= 1 || row < col)
}

fn run_rows(op: &Gemv, stream: &Stream) -> Result<()> {
    let n = op.sizes().1 as u64;
    let warps = op.y.layout().count() as u64 / u64::from(THREADS / 32);
    let enough = warps >= BLOCKS / 2 || n <= 2 * SOME && warps >= BLOCKS / 8;
    let width = if n <= SOME || enough { 32 } else { THREADS };
    let packed = is_packed(&op.a, 1) && is_packed(&op.x, 1);
    let spec = Spec { width, packed, ..spec(op) };
    launch(op, stream, ("blas_gemv_rows", ROWS), spec, (u64::from(THREADS / width * spec.rows()), WIDE))
}

fn run_columns(op: &Gemv, stream: &Stream) -> Result<()> {
    let whole = op.sizes().0.is_multiple_of(lanes(op.y.dtype()) as usize);
    let spec = shared_by(op, Spec { packed: whole && is_packed(&op.a, 2), ..spec(op) });
    let line = u64::from(spec.tile()) * spec.dtype.size() as u64;
    launch(
        op,
        stream,
        ("blas_gemv_columns", COLUMNS),
        spec,
        (u64::from(spec.tile()), NARROW.max(PIECE / line)),
    )
}

/// The same, its rows shared by as many lanes as it takes for enough tiles, unless memory sets the time: then what is read at
/// once is long.
fn shared_by(op: &Gemv, spec: Spec) -> Spec {
    let ([m, n], size) = ([op.sizes().0, op.sizes().1].map(|side| side as u64), spec.dtype.size() as u64);
    let matrices = op.y.layout().count() as u64 / m.max(1);
    let bytes = [m, n, size].into_iter().fold(matrices, u64::saturating_mul);
    let fits = |width: u32| {
        let fewer = u64::from(Spec { width: width / 2, ..spec }.tile());
        let few = matrices * m.div_ceil(fewer) < TILES;
        few && fewer * size >= 2 * SECTOR && n >= u64::from(THREADS / 32 * width)
    };
    let widths = [2, 4, 8, 16].into_iter().filter(|_| bytes <= LARGE);
    Spec { width: widths.take_while(|&width| fits(width)).last().unwrap_or(1), ..spec }
}

fn spec(op: &Gemv) -> Spec {
    Spec { dtype: op.y.dtype(), width: 1, conjugate: op.conjugate, partial: false, packed: false }
}

/// A kernel whose blocks have `each` rows at once, and pieces at least `least` columns; then the joining of pieces.
fn launch(
    op: &Gemv,
    stream: &Stream,
    (name, write): (&'static str, Write),
    spec: Spec,
    (each, least): (u64, u64),
) -> Result<()> {
    let args = arguments(op, each, least);
    let spec = Spec { partial: args.pieces > 1, ..spec };
    let sums = args.matrices * args.pieces * args.m * spec.dtype.size() as u64;
    let sums = if spec.partial { stream.scratch(sums as usize)? } else { 0 };
    let args = Args { sums, ..args };
    let kernel = stream.kernel(Key(name, spec.words()), |target| write(target, spec))?;
    // SAFETY: the operands were checked; the scratch memory has a sum for every row of every piece.
    unsafe { kernel.launch(stream, grid(args.m.div_ceil(each), args.matrices * args.pieces), &args)? };
    if !spec.partial {
        return Ok(());
    }
    let spec = Spec { width: 1, conjugate: false, partial: false, packed: false, ..spec };
    let kernel = stream.kernel(Key("blas_gemv_merge", spec.words()), |target| MERGE(target, spec))?;
    let rows = args.matrices * args.m;
    // SAFETY: as above.
    unsafe { kernel.launch(stream, grid(rows.div_ceil(u64::from(THREADS)), 1), &args) }
}

fn arguments(op: &Gemv, each: u64, least: u64) -> Args {
    let outer = |operand: &Operand, axes: usize| operand.layout().split(axes).0;
    let batch = Space::new([&outer(&op.a, 2), &outer(&op.x, 1), &outer(&op.y, 1)]);
    let ((m, n), matrices) = (op.sizes(), batch.count());
    let (m, n) = (m as u64, n as u64);
    let units = matrices * m.div_ceil(each);
    // No more than run at once, so that blocks end together.
    let pieces = (BLOCKS / units.max(1)).min(n / least).max(1);
    let length = n.div_ceil(pieces).max(1).next_multiple_of(u64::from(lanes(op.y.dtype())));
    Args {
        at: [op.a.at(), op.x.at(), op.y.at()],
        strides: [step(&op.a, 1), step(&op.a, 0)],
        steps: [step(&op.x, 0), step(&op.y, 0)],
        m,
        n,
        pieces: n.div_ceil(length).max(1),
        length,
        matrices,
        sums: 0,
        alpha: parts(op.alpha),
        beta: parts(op.beta),
        reads: u32::from(!op.beta.is_zero()),
        batch: batch.words(),
    }
}

/// Kernels of every kind, for the tests.
pub fn texts(target: Target) -> Vec<Result<Text>> {
    let kinds = |(dtype, conjugate): (Dtype, bool)| {
        let spec = Spec { dtype, width: 1, conjugate, partial: false, packed: false };
        [false, true].into_iter().flat_map(move |partial| {
            let spec = Spec { partial, ..spec };
            let [narrow, wide] = [32, THREADS].map(|width| Spec { width, ..spec });
            let groups = |spec| Spec { packed: true, ..spec };
            let shared = Spec { width: 4, ..spec };
            let columns = [spec, shared, groups(spec), groups(shared)].map(|spec| (COLUMNS, spec));
            columns.into_iter().chain([narrow, wide, groups(narrow)].map(|spec| (ROWS, spec)))
        })
    };
    let merges = DTYPES
        .iter()
        .map(|&dtype| (MERGE, Spec { dtype, width: 1, conjugate: false, partial: false, packed: false }));
    let all = singles().flat_map(kinds).chain(merges);
    all.map(|(write, spec)| write(target, spec).map(Text::from)).collect()
}
