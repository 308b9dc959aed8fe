//! Folding one value a thread over a block.

use crate::ptx::{Builder, Element, Reg};

/// The fold of `value` over all `threads` of the block (a multiple of 32, at most 1024), in every thread. `join` is
/// associative and commutative, `none` its neutral element. All threads must come here; it may be called again and again.
pub fn fold_block<'k, T: Element>(
    k: &'k Builder,
    threads: u32,
    value: Reg<'k, T>,
    none: Reg<'k, T>,
    join: impl Fn(Reg<'k, T>, Reg<'k, T>) -> Reg<'k, T>,
) -> Reg<'k, T> {
    let warps = threads / 32;
    let mut all = value;
    for by in [16, 8, 4, 2, 1] {
        all = join(all, k.shuffle_xor(all, by));
    }
    if warps == 1 {
        return all;
    }
    let parts = k.shared::<T>(32);
    k.when(k.lane().eq(0u32), || parts.at(k.warp()).store(all));
    k.barrier();
    let mut all = parts.at(k.lane()).load_if(k.lane().lt(warps), none);
    k.barrier(); // so that the next fold does not overwrite what others still read
    for by in [16, 8, 4, 2, 1] {
        all = join(all, k.shuffle_xor(all, by));
    }
    all
}
