//! Loops over numbers that lanes share, several loads under way at once.

use crate::ptx::{Builder, Reg};

/// Loads under way at once.
const AHEAD: u32 = 4;

/// `load(number, displaced)` and `take` of what it loaded for the numbers below `count` that are this lane's of `width`:
/// several loads before the first is used. What is loaded is number plus displaced.
pub fn turns<'k, L>(
    k: &'k Builder,
    width: u32,
    lane: Reg<'k, u32>,
    count: Reg<'k, u64>,
    load: impl Fn(Reg<'k, u64>, u32) -> L,
    take: impl Fn(L),
) {
    turns_together(k, width, lane, count, load, |loaded| loaded.into_iter().for_each(&take));
}

/// The same, `take` being given what was loaded together.
pub fn turns_together<'k, L>(
    k: &'k Builder,
    width: u32,
    lane: Reg<'k, u32>,
    count: Reg<'k, u64>,
    load: impl Fn(Reg<'k, u64>, u32) -> L,
    take: impl Fn(Vec<L>),
) {
    let number = k.var(lane.to::<u64>());
    k.repeat_while(
        || (number + u64::from((AHEAD - 1) * width)).lt(count),
        || {
            take((0..AHEAD).map(|i| load(number, i * width)).collect());
            number.set(number + u64::from(AHEAD * width));
        },
    );
    k.repeat_while(
        || number.lt(count),
        || {
            take(vec![load(number, 0)]);
            number.set(number + u64::from(width));
        },
    );
}
