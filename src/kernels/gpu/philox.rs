//! Philox4x32-10 on a GPU: the same words as [`philox4x32`](crate::kernels::philox::philox4x32).

use crate::kernels::philox::{MULTIPLIERS, ROUNDS, WEYL};
use crate::ptx::{Builder, Reg};

/// The four random words of this counter under this key.
pub fn philox4x32<'k>(
    k: &'k Builder,
    counter: [Reg<'k, u32>; 4],
    key: [Reg<'k, u32>; 2],
) -> [Reg<'k, u32>; 4] {
    (0..ROUNDS as u32).fold(counter, |c, round| {
        // The key of a round is the first plus so many steps, which are known while writing.
        let [key0, key1] = [0, 1].map(|n| key[n] + WEYL[n].wrapping_mul(round));
        let (high0, low0) = (k.mul_hi(c[0], MULTIPLIERS[0]), k.mul(c[0], MULTIPLIERS[0]));
        let (high1, low1) = (k.mul_hi(c[2], MULTIPLIERS[1]), k.mul(c[2], MULTIPLIERS[1]));
        [high1 ^ c[1] ^ key0, low1, high0 ^ c[3] ^ key1, low0]
    })
}
