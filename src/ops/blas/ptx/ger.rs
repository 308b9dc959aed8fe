//! ger: tiles of a few rows a warp, lanes next to each other along the columns, each with a group of 16 bytes of a row where
//! those are aligned.

use super::THREADS;
use super::value::{Part, Value, lanes};
use crate::dtype::Dtype;
use crate::kernels::gpu::Space;
use crate::ptx::{Builder, Kernel, Ptr, Reg, Shape, Target, Words, params};
use crate::status::Result;

/// Words of the batch axes of three operands.
const WORDS: usize = Space::<3>::word_count(8);
/// Rows of a thread; and its columns, or groups of them.
const EACH: [u32; 2] = [4, 4];
const PACKED: [u32; 2] = [8, 1];

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
    /// Whether rows are whole groups of elements side by side, which are aligned.
    pub packed: bool,
}

impl Spec {
    /// All of it, for a kernel's key.
    pub fn words(&self) -> [u32; 8] {
        let [down, across] = self.conjugate.map(u32::from);
        [self.dtype as u32, down, across, u32::from(self.packed), 0, 0, 0, 0]
    }

    /// Elements of a group.
    fn lanes(&self) -> u32 {
        if self.packed { lanes(self.dtype) } else { 1 }
    }

    /// Rows, and groups of columns, of a thread.
    fn each(&self) -> [u32; 2] {
        if self.packed { PACKED } else { EACH }
    }

    /// Rows and columns of a tile.
    pub fn tile(&self) -> [u32; 2] {
        let [rows, groups] = self.each();
        [rows * THREADS / 32, groups * 32 * self.lanes()]
    }
}

/// The kernel of `spec`.
pub fn write<R: Part>(target: Target, spec: Spec) -> Result<Kernel<Args>> {
    let words = spec.words()[..4].iter().map(u32::to_string).collect::<Vec<_>>().join("_");
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
    let ([height, width], lanes, [rows, groups]) = (spec.tile(), spec.lanes(), spec.each());
    let row = k.mad_wide(tile[0], height, k.warp().to::<u64>());
    let column = k.mad_wide(tile[1], width, (k.lane() * lanes).to::<u64>());
    let places = |n: usize, first: Reg<'k, u64>, count: u32, apart: u32| {
        let place = move |i: u32| first + u64::from(i * apart);
        (0..count).map(place).map(move |place| (place, place.lt(v.sides[n]))).collect::<Vec<_>>()
    };
    let load = |n: usize, place: Reg<'k, u64>, inside| {
        let value = Value::<R>::load_if(k.mad(place, v.steps[n], at[n]), spec.dtype, inside);
        value.conjugate_if(spec.conjugate[n])
    };
    let group = |place: Reg<'k, u64>, inside| {
        (0..lanes).map(|n| load(1, place + u64::from(n), inside)).collect::<Vec<_>>()
    };
    let columns = places(1, column, groups, 32 * lanes);
    let across: Vec<_> = columns.iter().map(|&(place, inside)| group(place, inside)).collect();
    let alpha = Value::of(spec.dtype, v.alpha);
    let lines: Vec<_> = places(0, row, rows, THREADS / 32)
        .into_iter()
        .map(|(place, inside)| {
            let parts = columns.iter().map(|&(column, there)| {
                let to = k.mad(column, v.strides[1], k.mad(place, v.strides[0], at[2]));
                (to, inside & there, old::<R>(spec, to, inside & there))
            });
            (alpha.times(k, load(0, place, inside)), parts.collect::<Vec<_>>())
        })
        .collect();
    for (factor, parts) in lines {
        for ((to, inside, old), across) in parts.into_iter().zip(&across) {
            let new = old.iter().zip(across).map(|(old, across)| old.plus_product(k, factor, *across));
            let new: Vec<_> = new.collect();
            k.when(inside, || Value::store_all(to, &new));
        }
    }
}

/// The elements of A at an address: a group, or one.
fn old<'k, R: Part>(spec: Spec, at: Reg<'k, u64>, inside: Reg<'k, bool>) -> Vec<Value<'k, R>> {
    match spec.packed {
        true => Value::load_group_if(Ptr::new(at), spec.dtype, inside),
        false => vec![Value::load_if(at, spec.dtype, inside)],
    }
}
