//! Loops over rows of blocks, compiled for each instruction set as those of [`lanes`](super::lanes).
#![allow(clippy::needless_range_loop)] // lanes are numbered: what several arrays have at one place belongs together

use super::lanes::{LANES, in_lanes, put, take};
use crate::for_each_isa;
use crate::ops::blas::number::Number;

for_each_isa! {
    /// x = x / by, of `count` elements.
    pub fn divide<N: Number>(by: N, x: *mut N, count: usize) {
        for i in 0..count {
            // SAFETY: below `count`, as everywhere here.
            unsafe { x.add(i).write(*x.add(i) / by) };
        }
    }
}

for_each_isa! {
    /// y = y + f[0] x + f[1] x' + ..., with the rows x, x', ... `step` elements apart, one for each of `depth` factors, in their
    /// order. All hold `count` elements.
    pub fn axpy_rows<N: Number>(f: *const N, depth: usize, x: *const N, step: usize, y: *mut N, count: usize) {
        let whole = in_lanes::<N>(count);
        for start in (0..whole).step_by(LANES) {
            // SAFETY: below `count` and `depth`, as everywhere here.
            let mut sum: [N; LANES] = unsafe { take(y, start) };
            for k in 0..depth {
                // SAFETY: as above.
                let (f, x): (N, [N; LANES]) = unsafe { (*f.add(k), take(x.add(k.wrapping_mul(step)), start)) };
                for lane in 0..LANES {
                    sum[lane] = f * x[lane] + sum[lane];
                }
            }
            // SAFETY: as above.
            unsafe { put(y, start, sum) };
        }
        for k in 0..depth {
            // SAFETY: as above.
            let (f, x) = unsafe { (*f.add(k), x.add(k.wrapping_mul(step))) };
            for i in whole..count {
                // SAFETY: as above.
                unsafe { y.add(i).write(f * *x.add(i) + *y.add(i)) };
            }
        }
    }
}

/// Rows and columns of what is transposed at once.
const SQUARE: usize = 16;

for_each_isa! {
    /// to[j, i] = from[i, j], of `rows` rows and `columns` columns of `from`; rows are `step` elements apart, those of `to` `to_step`.
    pub fn transpose<N: Number>(from: *const N, step: usize, to: *mut N, to_step: usize, rows: usize, columns: usize) {
        let whole = [rows - rows % SQUARE, columns - columns % SQUARE];
        for i in (0..whole[0]).step_by(SQUARE) {
            for j in (0..whole[1]).step_by(SQUARE) {
                let mut square = [[N::ZERO; SQUARE]; SQUARE];
                for (n, line) in square.iter_mut().enumerate() {
                    // SAFETY: inside both matrices, as everywhere here.
                    *line = unsafe { take(from.add((i + n).wrapping_mul(step)), j) };
                }
                for n in 0..SQUARE {
                    let mut column = [N::ZERO; SQUARE];
                    for lane in 0..SQUARE {
                        column[lane] = square[lane][n];
                    }
                    // SAFETY: as above.
                    unsafe { put(to.add((j + n).wrapping_mul(to_step)), i, column) };
                }
            }
        }
        for i in 0..rows {
            for j in if i < whole[0] { whole[1] } else { 0 }..columns {
                // SAFETY: as above.
                unsafe { to.add(j.wrapping_mul(to_step) + i).write(*from.add(i.wrapping_mul(step) + j)) };
            }
        }
    }
}
