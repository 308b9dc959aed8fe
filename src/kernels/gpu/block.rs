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

/// The folds of `values` over all `threads` of the block, in every thread, as [`fold_block`]'s but for one barrier: where the
/// instructions are run again, threads must have met at another since. `join_lanes` is the fold over a warp.
pub fn fold_team<'k, T: Element, const N: usize>(
    k: &'k Builder,
    threads: u32,
    values: [Reg<'k, T>; N],
    join_lanes: impl Fn(Reg<'k, T>) -> Reg<'k, T>,
    join: impl Fn(Reg<'k, T>, Reg<'k, T>) -> Reg<'k, T>,
) -> [Reg<'k, T>; N] {
    let (all, warps) = (values.map(join_lanes), threads / 32);
    if warps == 1 {
        return all;
    }
    let parts: [_; N] = std::array::from_fn(|_| k.shared::<T>(warps));
    k.when(k.lane().eq(0u32), || {
        parts.iter().zip(&all).for_each(|(parts, &all)| parts.at(k.warp()).store(all));
    });
    k.barrier();
    parts.map(|parts| {
        if warps > MOST_READ {
            return k.reduce_lanes(parts.at(k.lane() & (warps - 1)).load(), warps, &join);
        }
        let pairs = (0..warps as i32 / 2).map(|pair| parts.plus(2 * pair).load_vec::<2>());
        fold_pairs(pairs.map(|[a, b]| join(a, b)).collect(), &join)
    })
}

/// Warps whose parts every thread reads.
const MOST_READ: u32 = 8;

/// All of them, neighbours first.
fn fold_pairs<T: Copy>(values: Vec<T>, join: &impl Fn(T, T) -> T) -> T {
    match values[..] {
        [one] => one,
        _ => fold_pairs(values.chunks(2).map(|pair| join(pair[0], pair[1])).collect(), join),
    }
}
