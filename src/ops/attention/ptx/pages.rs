//! The entries of the block table that some query needs, checked on the device.

use super::plan::{Record, error, kind};
use super::row::{Seen, position, visible};
use super::{Args, Vals, at, element};
use crate::ptx::{Builder, Global, Kernel, Ptr, Reg, Shape, Target, WordList};
use crate::status::Result;

/// Threads of a block.
pub(in crate::ops::attention) const THREADS: u32 = 256;

/// The kernel: any grid of one dimension, an entry a thread and turn.
pub(in crate::ops::attention) fn pages(target: Target) -> Result<Kernel<Args>> {
    Kernel::build(&Shape::new("attention_pages", target, [THREADS, 1, 1]), |_: &Builder, v: Vals<'_>| {
        let (k, words) = (v.kernel, &v.words);
        let each = words.get(at::PAGES_EACH);
        let count = words.get(at::BATCH) * each;
        let number = k.var(k.mad_wide(k.block_x(), THREADS, k.thread_x().to::<u64>()));
        let step = k.mul_wide(k.grid_blocks_x(), THREADS);
        k.repeat_while(
            || number.lt(count),
            || {
                let b = k.div(number, each);
                entry(k, words, b, number - b * each);
                number.set(number + step);
            },
        );
    })
}

/// Checks entry `n` of sequence `b`, if a query needs it. Every entry of the table is inside its buffer, whatever the
/// record says.
fn entry<'k>(k: &'k Builder, words: &WordList<'k>, b: Reg<'k, u64>, n: Reg<'k, u64>) {
    let record = Record::load(k, words, b);
    let seen = visible_to_any(k, words, &record);
    let size = words.get(at::PAGE_SIZE);
    let (start, end) = (n * size, k.mad(n, size, size));
    let first = start.lt(k.min(seen.kept, end));
    let main = k.max(start, seen.from).lt(k.min(end, seen.to));
    let failed = Ptr::<Global<u64>>::new(words.get(at::FAILED));
    k.when((first | main) & record.queries.ne(0u64), || {
        let page = Ptr::<Global<u32>>::new(element(k, words, at::TABLE, &[b, n])).load();
        k.when(page.to::<u64>().ge(words.get(at::PAGES)), || {
            // After the errors of all sequences.
            failed.atomic().min(error(k, b, kind::PAGE, n) | (1u64 << 63));
        });
    });
}

/// What some query of a sequence sees, at least: both ends move right with the query.
fn visible_to_any<'k>(k: &'k Builder, words: &WordList<'k>, record: &Record<'k>) -> Seen<'k> {
    let at_row = |i: Reg<'k, u64>| visible(k, words, record, position(k, words, record, i));
    let (low, high) = (at_row(k.var(0u64)), at_row(record.queries - 1u64));
    let kept = k.min(words.get(at::KEPT), high.to);
    Seen { kept: k.min(kept, low.from), from: low.from, to: high.to }
}
