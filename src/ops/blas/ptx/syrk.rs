//! syrk: tiles on and below the diagonal, none of the other triangle.

use super::THREADS;
use super::tile::{Panel, Tile, edge};
use super::value::{Part, Value};
use crate::dtype::Dtype;
use crate::kernels::gpu::Space;
use crate::ptx::{Builder, Kernel, Reg, Shape, Target, Words, params};
use crate::status::Result;

/// Words of the batch axes of two operands.
const WORDS: usize = Space::<2>::word_count(8);

params! {
    /// Products of matrices of `side` rows and `depth` columns.
    pub struct Args / Vals {
        /// Addresses of a and c.
        at: [u64; 2],
        /// From a row of a, and of c, to the next, in bytes.
        rows: [u64; 2],
        /// From a column of a, and of c, to the next, in bytes.
        columns: [u64; 2],
        /// Rows of both.
        side: u64,
        /// Columns of A.
        depth: u64,
        /// Tiles of a triangle; tiles in a row of the rectangle that they are numbered in, and half the tiles of a side.
        tiles: [u32; 3],
        /// Matrices.
        matrices: u64,
        /// alpha's parts.
        alpha: [f64; 2],
        /// beta's parts.
        beta: [f64; 2],
        /// Whether C is read.
        reads: u32,
        /// The batch axes of a and c, in elements.
        batch: Words<WORDS>,
    }
}

/// What a kernel is written for.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// The operands' dtype.
    pub dtype: Dtype,
    /// Which of the two rows of a product are conjugated: none, the first, the second.
    pub conjugate: [bool; 2],
}

impl Spec {
    /// All of it, for a kernel's key.
    pub fn words(&self) -> [u32; 8] {
        let [first, second] = self.conjugate.map(u32::from);
        [self.dtype as u32, first, second, 0, 0, 0, 0, 0]
    }

    fn hermitian(&self) -> bool {
        self.conjugate != [false; 2]
    }
}

/// Tiles of a triangle with `across` tiles a side, and how they are numbered: two rows that make up a full one share a row of
/// a rectangle.
pub fn numbering(across: u32) -> [u32; 3] {
    let width = if across.is_multiple_of(2) { across + 1 } else { across };
    [width * across.div_ceil(2), width, across / 2]
}

/// Row and column of a tile.
fn place<'k>(k: &'k Builder, v: &Vals<'k>, number: Reg<'k, u32>) -> [Reg<'k, u32>; 2] {
    let [_, width, half] = v.tiles;
    let line = number / width;
    let (rest, long) = (number - line * width, line + half);
    let inside = rest.le(long);
    let row = k.select(inside, long, half - line - 1u32);
    [row, k.select(inside, rest, rest - long - 1u32)]
}

/// The kernel of `spec`.
pub fn write<R: Part>(target: Target, spec: Spec) -> Result<Kernel<Args>> {
    let words = spec.words()[..3].iter().map(u32::to_string).collect::<Vec<_>>().join("_");
    let shape = Shape::new(format!("blas_syrk_{words}"), target, [THREADS, 1, 1]).min_blocks(1);
    Kernel::build(&shape, |k, v: Vals<'_>| matrices::<R>(k, &v, spec))
}

fn matrices<'k, R: Part>(k: &'k Builder, v: &Vals<'k>, spec: Spec) {
    let (tile, matrix) = (Tile::<R>::new(k, spec.dtype), k.var(k.block_y().to::<u64>()));
    k.repeat_while(
        || matrix.lt(v.matrices),
        || {
            let at = Space::<2>::locate_all(k, &v.batch, true, &[matrix])[0];
            let at = std::array::from_fn(|n| k.mad(at[n], spec.dtype.size() as u64, v.at[n]));
            k.steps(k.block_x(), v.tiles[0], k.grid_blocks_x(), |number| {
                let corner = place(k, v, number).map(|place| place.to::<u64>() * u64::from(edge(spec.dtype)));
                product(k, v, spec, &tile, (at, corner));
            });
            matrix.set(matrix + k.grid_blocks_y().to::<u64>());
        },
    );
}

/// One tile, whose first row and column are `corner`.
fn product<'k, R: Part>(
    k: &'k Builder,
    v: &Vals<'k>,
    spec: Spec,
    tile: &Tile<'k, R>,
    (at, corner): ([Reg<'k, u64>; 2], [Reg<'k, u64>; 2]),
) {
    let panel = |n: usize| Panel {
        at: k.mad(corner[n], v.rows[0], at[0]),
        step: v.rows[0],
        depth: v.columns[0],
        count: v.side - corner[n],
        conjugate: spec.conjugate[n],
    };
    let (alpha, beta) = (Value::of(spec.dtype, v.alpha), Value::of(spec.dtype, v.beta));
    let finish = Finish { k, spec, alpha, beta, reads: v.reads };
    tile.sum_up([panel(0), panel(1)], v.depth);
    tile.each_sum(|[row, column], sum| {
        let (row, column) = (row + corner[0], column + corner[1]);
        k.when(row.lt(v.side) & column.le(row), || {
            let to = k.mad(column, v.columns[1], k.mad(row, v.rows[1], at[1]));
            finish.put(to, sum, row.eq(column));
        });
    });
}

/// What becomes of sums.
struct Finish<'k, R: Part> {
    k: &'k Builder,
    spec: Spec,
    alpha: Value<'k, R>,
    beta: Value<'k, R>,
    reads: Reg<'k, u32>,
}

impl<'k, R: Part> Finish<'k, R> {
    /// c = alpha sum + beta c, at an address; whether it is on the diagonal.
    fn put(&self, to: Reg<'k, u64>, sum: Value<'k, R>, diagonal: Reg<'k, bool>) {
        let (k, spec) = (self.k, self.spec);
        let real = |value: Value<'k, R>| match spec.hermitian() {
            true => Value::select(k, diagonal, value.real(k), value),
            false => value,
        };
        let result = self.alpha.times(k, sum).var(k);
        k.when(self.reads.ne(0u32), || {
            result.set(result.plus_product(k, self.beta, real(Value::load(to, spec.dtype))));
        });
        real(result).store(to);
    }
}

params! {
    /// Squares of `side` rows and columns, of which a triangle is kept.
    pub struct KeepArgs / KeepVals {
        /// Addresses of the squares, [matrix][row][column], and of c.
        at: [u64; 2],
        /// From a row, and from a column, of c to the next, in bytes.
        strides: [u64; 2],
        /// Rows and columns.
        side: u64,
        /// Squares.
        matrices: u64,
        /// beta's parts.
        beta: [f64; 2],
        /// Whether C is read.
        reads: u32,
        /// The batch axes of c, in elements.
        batch: Words<KEPT>,
    }
}

/// Words of the batch axes of one operand.
const KEPT: usize = Space::<1>::word_count(8);

/// The kernel that adds what is on and below the diagonal of squares to C.
pub fn keep<R: Part>(target: Target, spec: Spec) -> Result<Kernel<KeepArgs>> {
    let words = spec.words()[..3].iter().map(u32::to_string).collect::<Vec<_>>().join("_");
    let shape = Shape::new(format!("blas_syrk_keep_{words}"), target, [THREADS, 1, 1]).min_blocks(1);
    Kernel::build(&shape, |k, v: KeepVals<'_>| {
        let (matrix, size) = (k.var(k.block_y().to::<u64>()), spec.dtype.size() as u64);
        let one = Value::of(spec.dtype, [k.var(1.0f64), k.var(0.0f64)]);
        let finish = Finish::<R> { k, spec, alpha: one, beta: Value::of(spec.dtype, v.beta), reads: v.reads };
        k.repeat_while(
            || matrix.lt(v.matrices),
            || {
                let [at] = Space::<1>::locate_all(k, &v.batch, true, &[matrix])[0];
                let (from, to) = (matrix * v.side * v.side, k.mad(at, size, v.at[1]));
                let number = k.var(k.mad_wide(k.block_x(), THREADS, k.thread_x().to::<u64>()));
                k.repeat_while(
                    || number.lt(v.side * v.side),
                    || {
                        let row = number / v.side;
                        let column = number - row * v.side;
                        k.when(column.le(row), || {
                            let sum = Value::load(k.mad(from + number, size, v.at[0]), spec.dtype);
                            let to = k.mad(column, v.strides[1], k.mad(row, v.strides[0], to));
                            finish.put(to, sum, row.eq(column));
                        });
                        number.set(number + k.mul_wide(k.grid_blocks_x(), THREADS));
                    },
                );
                matrix.set(matrix + k.grid_blocks_y().to::<u64>());
            },
        );
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn every_tile_of_a_triangle_has_one_number() {
        for across in 1..40u32 {
            let [all, width, half] = super::numbering(across);
            let place = |number: u32| {
                let (line, rest) = (number / width, number % width);
                let long = line + half;
                if rest <= long { (long, rest) } else { (half - line - 1, rest - long - 1) }
            };
            let seen: BTreeSet<_> = (0..all).map(place).collect();
            let wanted: BTreeSet<_> =
                (0..across).flat_map(|row| (0..=row).map(move |col| (row, col))).collect();
            assert!(seen == wanted && all as usize == wanted.len(), "{across}");
        }
    }
}
