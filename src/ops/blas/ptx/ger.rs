//! ger: tiles of 32 rows and 128 columns, lanes next to each other along the columns.

use super::THREADS;
use super::value::{Part, Value};
use crate::dtype::Dtype;
use crate::kernels::gpu::Space;
use crate::ptx::{Builder, Kernel, Reg, Shape, Target, Words, params};
use crate::status::Result;

/// Words of the batch axes of three operands.
const WORDS: usize = Space::<3>::word_count(8);
/// Rows and columns of a thread.
const EACH: u32 = 4;
/// Rows and columns of a tile.
pub(in crate::ops::blas) const TILE: [u32; 2] = [EACH * THREADS / 32, EACH * 32];

params! {
    /// Updates of matrices of `sides` rows and columns.
    pub struct Args / Vals {
        /// Addresses of the vector with an element a row, of that with one a column, and of A.
        at: [u64; 3],
        /// From an element of each vector to the next, in bytes.
        steps: [u64; 2],
        /// From a row, and from a column, of A to the next, in bytes.
        strides: [u64; 2],
        /// Rows and columns.
        sides: [u64; 2],
        /// Tiles from one side to the other, and of a matrix.
        tiles: [u32; 2],
        /// Matrices.
        matrices: u64,
        /// alpha's parts.
        alpha: [f64; 2],
        /// The batch axes of the vectors and A, in elements.
        batch: Words<WORDS>,
    }
}

/// What a kernel is written for.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// The operands' dtype.
    pub dtype: Dtype,
    /// Which vectors are conjugated.
    pub conjugate: [bool; 2],
}

impl Spec {
    /// All of it, for a kernel's key.
    pub fn words(&self) -> [u32; 8] {
        let [down, across] = self.conjugate.map(u32::from);
        [self.dtype as u32, down, across, 0, 0, 0, 0, 0]
    }
}

/// The kernel of `spec`.
pub fn write<R: Part>(target: Target, spec: Spec) -> Result<Kernel<Args>> {
    let words = spec.words()[..3].iter().map(u32::to_string).collect::<Vec<_>>().join("_");
    let shape = Shape::new(format!("blas_ger_{words}"), target, [THREADS, 1, 1]);
    Kernel::build(&shape, |k, v: Vals<'_>| matrices::<R>(k, &v, spec))
}

fn matrices<'k, R: Part>(k: &'k Builder, v: &Vals<'k>, spec: Spec) {
    let matrix = k.var(k.block_y().to::<u64>());
    k.repeat_while(
        || matrix.lt(v.matrices),
        || {
            let at = Space::<3>::locate_all(k, &v.batch, true, &[matrix])[0];
            let at = std::array::from_fn(|n| k.mad(at[n], spec.dtype.size() as u64, v.at[n]));
            k.steps(k.block_x(), v.tiles[1], k.grid_blocks_x(), |number| {
                let down = number / v.tiles[0];
                tile::<R>(k, v, spec, at, [down, number - down * v.tiles[0]]);
            });
            matrix.set(matrix + k.grid_blocks_y().to::<u64>());
        },
    );
}

/// One tile of a matrix.
fn tile<'k, R: Part>(
    k: &'k Builder,
    v: &Vals<'k>,
    spec: Spec,
    at: [Reg<'k, u64>; 3],
    tile: [Reg<'k, u32>; 2],
) {
    let row = tile[0].to::<u64>() * u64::from(TILE[0]) + k.warp().to::<u64>();
    let column = tile[1].to::<u64>() * u64::from(TILE[1]) + k.lane().to::<u64>();
    let apart = [THREADS / 32, 32];
    let places = |n: usize, first: Reg<'k, u64>| {
        let place = move |i: u32| first + u64::from(i * apart[n]);
        (0..EACH).map(place).map(move |place| (place, place.lt(v.sides[n]))).collect::<Vec<_>>()
    };
    let load = |n: usize, place: Reg<'k, u64>, inside| {
        let value = Value::<R>::load_if(k.mad(place, v.steps[n], at[n]), spec.dtype, inside);
        value.conjugate_if(spec.conjugate[n])
    };
    let alpha = Value::of(spec.dtype, v.alpha);
    let columns = places(1, column);
    let across: Vec<_> = columns.iter().map(|&(place, inside)| load(1, place, inside)).collect();
    for (place, inside) in places(0, row) {
        let factor = alpha.times(k, load(0, place, inside));
        let line = k.mad(place, v.strides[0], at[2]);
        for (&(place, there), value) in columns.iter().zip(&across) {
            let to = k.mad(place, v.strides[1], line);
            k.when(inside & there, || {
                Value::<R>::load(to, spec.dtype).plus_product(k, factor, *value).store(to);
            });
        }
    }
}
