//! The order of tiles: a few of them one below the other are computed beside each other, so that their columns of B come
//! from the second cache.

use crate::ptx::{Builder, Reg};

/// Tiles one below the other that are computed beside each other.
const BESIDE: u32 = 8;

/// The tile of a number among those of a matrix, counted down and across, as are all of them.
pub fn tile<'k>(
    k: &'k Builder,
    number: Reg<'k, u32>,
    [down, across]: [Reg<'k, u32>; 2],
) -> [Reg<'k, u32>; 2] {
    let group = k.div(number, across * BESIDE);
    let inside = number - group * across * BESIDE;
    let first = group * BESIDE;
    let rows = k.min(down - first, BESIDE);
    let col = k.div(inside, rows);
    [first + inside - col * rows, col]
}
