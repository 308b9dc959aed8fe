//! gemv: along rows (a warp or a block a row) or down columns (lanes take rows, warps take columns); pieces of long sums, and their
//! joining.

use super::THREADS;
use super::value::{Part, Plane, Value, lanes};
use crate::dtype::Dtype;
use crate::kernels::gpu::{Space, turns};
use crate::ptx::{Builder, Kernel, Load, Ptr, Reg, Shape, Target, Words, params};
use crate::status::Result;

/// Words of the batch axes of three operands.
const WORDS: usize = Space::<3>::word_count(8);
/// Warps of a block.
const WARPS: u32 = THREADS / 32;

params! {
    /// Products of matrices of `m` rows and `n` columns, cut into `pieces` of `length` columns (the last may be shorter).
    pub struct Args / Vals {
        /// Addresses of a, x and y.
        at: [u64; 3],
        /// From a row, and from a column, of A to the next, in bytes.
        strides: [u64; 2],
        /// From an element of x, and of y, to the next, in bytes.
        steps: [u64; 2],
        /// Rows.
        m: u64,
        /// Columns.
        n: u64,
        /// Pieces of a row.
        pieces: u64,
        /// Columns of a piece.
        length: u64,
        /// Matrices.
        matrices: u64,
        /// Sums of pieces, [matrix][piece][row].
        sums: u64,
        /// alpha's parts.
        alpha: [f64; 2],
        /// beta's parts.
        beta: [f64; 2],
        /// Whether y is read.
        reads: u32,
        /// The batch axes of a, x and y, in elements.
        batch: Words<WORDS>,
    }
}

/// What a kernel is written for.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// The operands' dtype.
    pub dtype: Dtype,
    /// Threads that share a row: 32 or all; where lanes take rows, those of a warp that share its rows: up to 32.
    pub width: u32,
    /// Whether A is conjugated.
    pub conjugate: bool,
    /// Whether sums go to `sums`.
    pub partial: bool,
    /// Whether elements lie side by side along what lanes take (x too where that are rows), in aligned groups; down columns there
    /// are whole groups alone.
    pub packed: bool,
}

impl Spec {
    /// All of it, for a kernel's key.
    pub fn words(&self) -> [u32; 8] {
        let flags = u32::from(self.conjugate) | u32::from(self.partial) << 1 | u32::from(self.packed) << 2;
        [self.dtype as u32, self.width, flags, 0, 0, 0, 0, 0]
    }

    /// Elements that a lane takes at once.
    fn lanes(&self) -> u32 {
        if self.packed { lanes(self.dtype) } else { 1 }
    }

    /// Rows that threads along rows take at once, so that what they read of x serves several.
    pub fn rows(&self) -> u32 {
        if self.packed && self.width == 32 { 2 } else { 1 }
    }

    /// Rows of a tile down columns.
    pub fn tile(&self) -> u32 {
        32 / self.width * self.lanes()
    }

    fn shape(&self, kind: &str, target: Target) -> Shape {
        let words = self.words()[..3].iter().map(u32::to_string).collect::<Vec<_>>().join("_");
        Shape::new(format!("blas_{kind}_{words}"), target, [THREADS, 1, 1]).min_blocks(1)
    }
}

/// What a block works on: a piece of a matrix.
struct Piece<'k> {
    matrix: Reg<'k, u64>,
    piece: Reg<'k, u64>,
    /// Addresses of the matrix, and of its vectors.
    at: [Reg<'k, u64>; 3],
}

/// Runs `body` for each piece of each matrix that is this row of the grid's.
fn each_piece<'k>(k: &'k Builder, v: &Vals<'k>, spec: Spec, body: impl FnOnce(&Piece<'k>)) {
    let number = k.var(k.block_y().to::<u64>());
    let (all, step) = (v.matrices * v.pieces, k.grid_blocks_y().to::<u64>());
    k.repeat_while(
        || number.lt(all),
        || {
            let matrix = number / v.pieces;
            let piece = number - matrix * v.pieces;
            let at = Space::<3>::locate_all(k, &v.batch, true, &[matrix])[0];
            let at = std::array::from_fn(|n| k.mad(at[n], spec.dtype.size() as u64, v.at[n]));
            body(&Piece { matrix, piece, at });
            number.set(number + step);
        },
    );
}

/// y = alpha sum + beta y, of row `row`; or the sum of the piece.
fn leave<'k, R: Part>(
    k: &'k Builder,
    v: &Vals<'k>,
    spec: Spec,
    part: &Piece<'k>,
    (row, sum): (Reg<'k, u64>, Value<'k, R>),
) {
    if spec.partial {
        let place = k.mad(k.mad(part.matrix, v.pieces, part.piece), v.m, row);
        return sum.store(k.mad(place, spec.dtype.size() as u64, v.sums));
    }
    finish(k, v, spec, k.mad(row, v.steps[1], part.at[2]), sum);
}

fn finish<'k, R: Part>(k: &'k Builder, v: &Vals<'k>, spec: Spec, to: Reg<'k, u64>, sum: Value<'k, R>) {
    let (alpha, beta) = (Value::of(spec.dtype, v.alpha), Value::of(spec.dtype, v.beta));
    let result = alpha.times(k, sum).var(k);
    k.when(v.reads.ne(0u32), || result.set(result.plus_product(k, beta, Value::load(to, spec.dtype))));
    result.store(to);
}

/// The sum over `width` neighbouring lanes of a warp, in each of them.
fn over_lanes<'k, R: Part>(k: &'k Builder, sum: Value<'k, R>, width: u32) -> Value<'k, R> {
    let fold = |part: Reg<'k, R>| k.reduce_lanes(part, width, |a, b| a + b);
    Value { re: fold(sum.re), im: sum.im.map(fold) }
}

/// The sum over the warps of the block, in every thread.
fn over_warps<'k, R: Part>(k: &'k Builder, shared: Plane<'k, R>, sum: Value<'k, R>) -> Value<'k, R> {
    k.when(k.lane().eq(0u32), || shared.at(k.warp()).store(sum));
    k.barrier();
    let all = (1..WARPS).fold(shared.load(), |all, warp| all.plus(shared.plus(warp).load()));
    k.barrier(); // so that the next row does not overwrite what others still read
    all
}

/// Along rows.
pub fn rows<R: Part>(target: Target, spec: Spec) -> Result<Kernel<Args>> {
    Kernel::build(&spec.shape("gemv_rows", target), |k, v: Vals<'_>| {
        let shared = Plane::<R>::new(k, spec.dtype, WARPS);
        each_piece(k, &v, spec, |part| rows_of(k, &v, spec, part, shared));
    })
}

fn rows_of<'k, R: Part>(k: &'k Builder, v: &Vals<'k>, spec: Spec, part: &Piece<'k>, shared: Plane<'k, R>) {
    let (lane, each) = (k.thread_x() & (spec.width - 1), THREADS / spec.width * spec.rows());
    let row = k.var((k.block_x() * each + k.thread_x() / spec.width * spec.rows()).to::<u64>());
    let (step, start) = ((k.grid_blocks_x() * each).to::<u64>(), part.piece * v.length);
    let length = k.min(v.length, v.n - start);
    k.repeat_while(
        || row.lt(v.m),
        || {
            let line = |n: u32| {
                let at = k.mad(k.min(row + u64::from(n), v.m - 1u64), v.strides[0], part.at[0]);
                (at, Value::<R>::zero(k, spec.dtype))
            };
            let lines: Vec<_> = (0..spec.rows()).map(line).collect();
            let grouped = if spec.packed { length & !u64::from(lanes(spec.dtype) - 1) } else { k.var(0u64) };
            if spec.packed {
                groups_along(k, spec, &lines, part.at[1], (start, grouped, lane));
            }
            let rest = (start + grouped, length - grouped, lane);
            along(k, v, spec, &lines, part.at[1], rest);
            for (n, &(_, sum)) in (0u32..).zip(&lines) {
                let all = over_lanes(k, sum, 32);
                let all = if spec.width == THREADS { over_warps(k, shared, all) } else { all };
                let row = row + u64::from(n);
                k.when(lane.eq(0u32) & row.lt(v.m), || leave(k, v, spec, part, (row, all)));
            }
            row.set(row + step);
        },
    );
}

/// Rows' addresses and sums.
type Lines<'k, R> = [(Reg<'k, u64>, Value<'k, R>)];

/// Adds `length` products of each row and x, from column `start` on, one at a time.
fn along<'k, R: Part>(
    k: &'k Builder,
    v: &Vals<'k>,
    spec: Spec,
    lines: &Lines<'k, R>,
    x: Reg<'k, u64>,
    (start, length, lane): (Reg<'k, u64>, Reg<'k, u64>, Reg<'k, u32>),
) {
    let load = |number: Reg<'k, u64>, displaced: u32| {
        let column = start + number + u64::from(displaced);
        let element = |line| Value::<R>::load(k.mad(column, v.strides[1], line), spec.dtype);
        let all: Vec<_> = lines.iter().map(|&(line, _)| element(line)).collect();
        (all, Value::load(k.mad(column, v.steps[0], x), spec.dtype))
    };
    turns(k, spec.width, lane, length, load, |(all, x)| {
        for (a, (_, sum)) in all.into_iter().zip(lines) {
            sum.set(sum.plus_product(k, a.conjugate_if(spec.conjugate), x));
        }
    });
}

/// The same in groups.
fn groups_along<'k, R: Part>(
    k: &'k Builder,
    spec: Spec,
    lines: &Lines<'k, R>,
    x: Reg<'k, u64>,
    (start, length, lane): (Reg<'k, u64>, Reg<'k, u64>, Reg<'k, u32>),
) {
    let lanes = lanes(spec.dtype);
    let load = |number: Reg<'k, u64>, displaced: u32| {
        let offset = k.mad(number + u64::from(displaced), u64::from(lanes), start) * spec.dtype.size() as u64;
        let group = |at, way| Value::<R>::load_group(Ptr::new(at + offset).loading(way), spec.dtype);
        let all: Vec<_> = lines.iter().map(|&(line, _)| group(line, Load::Stream)).collect();
        (all, group(x, Load::ReadOnly))
    };
    turns(k, spec.width, lane, length >> lanes.ilog2(), load, |(all, x)| {
        for (a, (_, sum)) in all.into_iter().zip(lines) {
            for (a, x) in a.into_iter().zip(&x) {
                sum.set(sum.plus_product(k, a.conjugate_if(spec.conjugate), *x));
            }
        }
    });
}

/// Down columns.
pub fn columns<R: Part>(target: Target, spec: Spec) -> Result<Kernel<Args>> {
    Kernel::build(&spec.shape("gemv_columns", target), |k, v: Vals<'_>| {
        let shared = Plane::<R>::new(k, spec.dtype, WARPS * spec.tile());
        each_piece(k, &v, spec, |part| columns_of(k, &v, spec, part, shared));
    })
}

fn columns_of<'k, R: Part>(k: &'k Builder, v: &Vals<'k>, spec: Spec, part: &Piece<'k>, shared: Plane<'k, R>) {
    let tile = k.var(k.block_x().to::<u64>());
    let (height, start) = (u64::from(spec.tile()), part.piece * v.length);
    let length = k.min(v.length, v.n - start);
    k.repeat_while(
        || (tile * height).lt(v.m),
        || {
            let first = tile * height;
            let place = k.lane() / spec.width * spec.lanes();
            let row = first + place.to::<u64>();
            let sums: Vec<_> = (0..spec.lanes()).map(|_| Value::<R>::zero(k, spec.dtype)).collect();
            let line = k.mad(row, v.strides[0], part.at[0]);
            down(k, v, spec, &sums, ([line, part.at[1]], row.lt(v.m)), (start, length));
            let mine = shared.at(k.mad(k.warp(), spec.tile(), place));
            for (&sum, n) in sums.iter().zip(0..) {
                let all = over_lanes(k, sum, spec.width);
                k.when((k.lane() & (spec.width - 1)).eq(0u32), || mine.plus(n).store(all));
            }
            k.barrier();
            let row = first + k.thread_x().to::<u64>();
            k.when(k.thread_x().lt(spec.tile()) & row.lt(v.m), || {
                let mine = shared.at(k.thread_x());
                let others = (1..WARPS).map(|warp| mine.plus(spec.tile() * warp).load());
                leave(k, v, spec, part, (row, others.fold(mine.load(), Value::plus)));
            });
            k.barrier(); // so that the next tile does not overwrite what others still read
            tile.set(tile + k.grid_blocks_x().to::<u64>());
        },
    );
}

/// Adds the products of this lane's columns and x, of rows from the one at `line` on.
fn down<'k, R: Part>(
    k: &'k Builder,
    v: &Vals<'k>,
    spec: Spec,
    sums: &[Value<'k, R>],
    ([line, x], inside): ([Reg<'k, u64>; 2], Reg<'k, bool>),
    (start, length): (Reg<'k, u64>, Reg<'k, u64>),
) {
    let load = |number: Reg<'k, u64>, displaced: u32| {
        let column = start + number + u64::from(displaced);
        let at = k.mad(column, v.strides[1], line);
        let a = match spec.packed {
            true => Value::<R>::load_group_if(Ptr::new(at).loading(Load::Stream), spec.dtype, inside),
            false => vec![Value::load_if(at, spec.dtype, inside)],
        };
        (a, Value::load(k.mad(column, v.steps[0], x), spec.dtype))
    };
    let lane = k.mad(k.warp(), spec.width, k.lane() & (spec.width - 1));
    turns(k, WARPS * spec.width, lane, length, load, |(a, x)| {
        for (a, sum) in a.into_iter().zip(sums) {
            sum.set(sum.plus_product(k, a.conjugate_if(spec.conjugate), x));
        }
    });
}

/// The joining of pieces, a thread a row, in their order.
pub fn merge<R: Part>(target: Target, spec: Spec) -> Result<Kernel<Args>> {
    Kernel::build(&spec.shape("gemv_merge", target), |k, v: Vals<'_>| merge_of::<R>(k, &v, spec))
}

fn merge_of<'k, R: Part>(k: &'k Builder, v: &Vals<'k>, spec: Spec) {
    let (number, all) = (k.var(k.mad_wide(k.block_x(), THREADS, k.thread_x().to::<u64>())), v.matrices * v.m);
    k.repeat_while(
        || number.lt(all),
        || {
            let (matrix, size) = (number / v.m, spec.dtype.size() as u64);
            let row = number - matrix * v.m;
            let first = k.mad(matrix * v.pieces, v.m, row);
            let sum = Value::<R>::zero(k, spec.dtype);
            let load = |piece: Reg<'k, u64>, displaced: u32| {
                let at = k.mad(piece + u64::from(displaced), v.m, first);
                Value::load(k.mad(at, size, v.sums), spec.dtype)
            };
            turns(k, 1, k.var(0u32), v.pieces, load, |part| sum.set(sum.plus(part)));
            let at = Space::<3>::locate_all(k, &v.batch, true, &[matrix])[0][2];
            finish(k, v, spec, k.mad(row, v.steps[1], k.mad(at, size, v.at[2])), sum);
            number.set(number + k.mul_wide(k.grid_blocks_x(), THREADS));
        },
    );
}
