//! What kernels take that do all that a multiplication may ask for.

use crate::ops::matmul::cuda::arguments::{AXES, Args, Vals};
use crate::ptx::{Builder, Reg, Words, params};

params! {
    /// A multiplication with all that it may ask for. Strides are bytes, and wrap where they are negative.
    pub struct FullArgs / FullVals {
        /// The multiplication without it.
        base: Args,
        /// Addresses of aux, a_scale and b_scale, or 0.
        more_at: [u64; 3],
        /// From a row and from a column of aux to the next (of a mask: 8 columns); of a_scale and b_scale, from a share of rows
        /// of A (columns of B) and from a block of k.
        more_strides: Words<6>,
        /// Of aux, a_scale and b_scale, along the batch axes, innermost first.
        more_axes: Words<18>,
        /// Rows of A, and columns of B, that share a scale, as powers of two.
        shares: [u32; 2],
        /// Kinds of c and aux.
        more_kinds: [u32; 2],
        /// Imaginary parts of alpha and beta.
        imaginary: [f64; 2],
        /// Whether A and B are conjugate.
        conjugate: [u32; 2],
        /// Whether sums are to be scaled.
        scaled_sums: u32,
        /// Where the scale of d is, or 0.
        scale: u64,
        /// Where the largest magnitude goes, or 0.
        amax: u64,
        /// Where sums of columns of a tile go, [matrices, tiles, n], and how many tiles there are; or, if not 0, that values
        /// replace the sums that they were made of.
        columns: u64,
        /// See `columns`.
        down: u64,
    }
}

impl FullArgs {
    /// The same of a part of the work.
    pub fn of(&self, base: &Args) -> Self {
        Self { base: *base, ..*self }
    }
}

/// Of aux, a_scale and b_scale.
pub(super) const AUX: usize = 0;
pub(super) const SCALES: [usize; 2] = [1, 2];

impl<'k> FullVals<'k> {
    /// Where those of aux, a_scale and b_scale lie that belong to matrix `number` of the batch.
    pub fn locate_more(&self, k: &'k Builder, number: Reg<'k, u64>) -> [Reg<'k, u64>; 3] {
        let (at, left) = (self.more_at.map(|at| k.var(at)), k.var(number));
        let base: &Vals<'k> = &self.base;
        for axis in 0..AXES {
            k.when(base.rank.gt(axis as u32), || {
                let index = k.var(left);
                k.when(base.rank.gt(axis as u32 + 1), || {
                    let dim = base.dim(axis);
                    let quotient = k.div(left, dim);
                    index.set(left - quotient * dim);
                    left.set(quotient);
                });
                (0..3).for_each(|n| at[n].set(k.mad(index, self.more_axes.get(3 * axis + n), at[n])));
            });
        }
        at
    }

    /// Where the scale of a line of factor `operand` begins, whose scales begin at `at`.
    pub fn scale_of(&self, operand: usize, at: Reg<'k, u64>, line: Reg<'k, u64>) -> Reg<'k, u64> {
        let k = self.base.kernel;
        let share = k.shr(line, self.shares[operand]);
        k.mad(share, self.more_strides.get(2 * SCALES[operand]), at)
    }

    /// Bytes from the scale of a block of k of factor `operand` to that of the next.
    pub fn scale_step(&self, operand: usize) -> Reg<'k, u64> {
        self.more_strides.get(2 * SCALES[operand] + 1)
    }

    /// Whether factor `operand` has scales.
    pub fn has_scale(&self, operand: usize) -> Reg<'k, bool> {
        self.more_at[SCALES[operand]].ne(0u64)
    }
}
