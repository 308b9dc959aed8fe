//! A row of the result on the device: where it lies, which keys it sees.

use super::plan::{Record, record_at};
use super::{Spec, at};
use crate::ptx::{Builder, Reg, WordList};

/// The keys that a query sees: 0 to `kept`, and `from` to `to`, where kept <= from <= to.
#[derive(Clone, Copy)]
pub(super) struct Seen<'k> {
    pub kept: Reg<'k, u64>,
    pub from: Reg<'k, u64>,
    pub to: Reg<'k, u64>,
}

/// One row.
pub(super) struct Row<'k> {
    /// The sequence, its record, and the row within it.
    pub b: Reg<'k, u64>,
    pub record: Record<'k>,
    pub i: Reg<'k, u64>,
    /// Whether it is in use.
    pub used: Reg<'k, bool>,
    /// Indices of axes 0, 1 and 2 of q, o and lse.
    pub place: [Reg<'k, u64>; 3],
    /// The head of the keys.
    pub kv_head: Reg<'k, u64>,
    /// Where it stands among the keys.
    pub position: Reg<'k, i64>,
    pub seen: Seen<'k>,
    /// Which piece of the columns.
    pub piece: Reg<'k, u64>,
}

/// Quotient and remainder.
fn divide<'k>(k: &'k Builder, a: Reg<'k, u64>, b: Reg<'k, u64>) -> (Reg<'k, u64>, Reg<'k, u64>) {
    let quotient = k.div(a, b);
    (quotient, a - quotient * b)
}

impl<'k> Row<'k> {
    /// The row of task `task`: pieces change first, then rows, heads, and batch entries.
    pub fn new(k: &'k Builder, words: &WordList<'k>, spec: &Spec, task: Reg<'k, u64>) -> Self {
        let (left, piece) = divide(k, task, words.get(at::PIECES));
        let (left, row) = divide(k, left, words.get(at::ROWS));
        let (batch, head) = divide(k, left, words.get(at::HEADS));
        let b = if spec.packed { sequence_of(k, words, row) } else { batch };
        let record = Record::load(k, words, b);
        // Before the first sequence this is huge, so the row is not in use.
        let i = row - record.q_first;
        let used = i.lt(record.queries);
        let position = position(k, words, &record, i);
        let seen = visible(k, words, &record, position);
        let to = k.select(used, seen.to, 0u64);
        let from = k.min(seen.from, to);
        let seen = Seen { kept: k.min(seen.kept, from), from, to };
        let kv_head = k.div(head, words.get(at::GROUP));
        Self { b, record, i, used, place: [batch, head, row], kv_head, position, seen, piece }
    }
}

/// The last sequence that begins at `row` or before.
fn sequence_of<'k>(k: &'k Builder, words: &WordList<'k>, row: Reg<'k, u64>) -> Reg<'k, u64> {
    let (low, high) = (k.var(0u64), k.var(words.get(at::BATCH)));
    k.repeat_while(
        || high.gt(low + 1u64),
        || {
            let middle = (low + high) >> 1u32;
            let after = record_at(k, words, middle).load().gt(row);
            high.set(k.select(after, middle, high));
            low.set(k.select(after, low, middle));
        },
    );
    low
}

/// Where query `i` stands among the keys; may be negative.
pub(super) fn position<'k>(
    k: &'k Builder,
    words: &WordList<'k>,
    record: &Record<'k>,
    i: Reg<'k, u64>,
) -> Reg<'k, i64> {
    let shift = k.select(words.get(at::TOP_LEFT).ne(0u64), 0u64, record.keys - record.queries);
    (i + shift).bits()
}

/// What a query at `position` sees. The host keeps the windows far below 2^63, so that sums do not overflow.
pub(super) fn visible<'k>(
    k: &'k Builder,
    words: &WordList<'k>,
    record: &Record<'k>,
    position: Reg<'k, i64>,
) -> Seen<'k> {
    let clamp = |x: Reg<'k, i64>, most: Reg<'k, u64>| k.min(k.max(x, 0i64), most.bits::<i64>()).bits::<u64>();
    let to = clamp(position + words.get(at::RIGHT).bits::<i64>() + 1i64, record.keys);
    let from = clamp(position - words.get(at::LEFT).bits::<i64>(), to);
    Seen { kept: k.min(words.get(at::KEPT), from), from, to }
}
