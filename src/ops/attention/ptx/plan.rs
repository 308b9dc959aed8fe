//! What lengths and starts say, read and checked on the device before anything else: a record for each sequence, and the
//! first error among them, which keeps the kernels that follow from running.

use super::{Args, Vals, at, element, given};
use crate::kernels::gpu::fold_block;
use crate::ptx::{Builder, Global, Kernel, Ptr, Reg, Shape, Target, WordList};
use crate::status::Result;

const THREADS: u32 = 512;
/// Bytes of a record: first row of q, queries in use, first row of k, keys in use, 64 bits each.
pub(in crate::ops::attention) const RECORD: u64 = 32;
/// No error.
pub(super) const FINE: u64 = u64::MAX;

/// Kinds of errors, in the order in which a sequence is checked.
pub(in crate::ops::attention) mod kind {
    pub(crate) const Q_STARTS: u32 = 1;
    pub(crate) const KV_STARTS: u32 = 2;
    pub(crate) const Q_LENGTHS: u32 = 3;
    pub(crate) const KV_LENGTHS: u32 = 4;
    pub(crate) const BIAS_ROWS: u32 = 5;
    pub(crate) const BIAS_KEYS: u32 = 6;
    pub(crate) const PAGE: u32 = 7;
}

/// One sequence's record.
#[derive(Clone, Copy)]
pub(super) struct Record<'k> {
    pub q_first: Reg<'k, u64>,
    pub queries: Reg<'k, u64>,
    pub kv_first: Reg<'k, u64>,
    pub keys: Reg<'k, u64>,
}

/// Where record `b` is.
pub(super) fn record_at<'k>(k: &'k Builder, words: &WordList<'k>, b: Reg<'k, u64>) -> Ptr<'k, Global<u64>> {
    Ptr::new(k.mad(b, RECORD, words.get(at::RECORDS)))
}

impl<'k> Record<'k> {
    pub fn load(k: &'k Builder, words: &WordList<'k>, b: Reg<'k, u64>) -> Self {
        let from = record_at(k, words, b);
        let ([q_first, queries], [kv_first, keys]) = (from.load_vec::<2>(), from.plus(2).load_vec::<2>());
        Self { q_first, queries, kv_first, keys }
    }

    fn store(self, to: Ptr<'k, Global<u64>>) {
        to.store_vec([self.q_first, self.queries]);
        to.plus(2).store_vec([self.kv_first, self.keys]);
    }
}

/// An error of this kind of sequence `b`: those of the first sequences, and of them the first kinds, are the smallest.
pub(super) fn error<'k>(k: &'k Builder, b: Reg<'k, u64>, kind: u32, value: Reg<'k, u64>) -> Reg<'k, u64> {
    let head = k.mad(b, 8u64, u64::from(kind));
    (head << 32u32) | (value & 0xFFFF_FFFFu64)
}

/// The kernel: one block.
pub(in crate::ops::attention) fn plan(target: Target) -> Result<Kernel<Args>> {
    Kernel::build(&Shape::new("attention_plan", target, [THREADS, 1, 1]), |_: &Builder, v: Vals<'_>| {
        let (k, words) = (v.kernel, &v.words);
        let (b, worst) = (k.var(k.thread_x().to::<u64>()), k.var(FINE));
        let batch = words.get(at::BATCH);
        k.repeat_while(
            || b.lt(batch),
            || {
                sequence(k, words, b, worst);
                b.set(b + u64::from(THREADS));
            },
        );
        let first = fold_block(k, THREADS, worst, k.var(FINE), |a, b| k.min(a, b));
        k.when(k.thread_x().eq(0u32), || {
            Ptr::<Global<u64>>::new(words.get(at::FAILED)).store(first);
            // Where there is no sequence at all, rows are looked up here.
            let none = k.var(0u64);
            let nothing = Record { q_first: none, queries: none, kv_first: none, keys: none };
            nothing.store(record_at(k, words, batch));
        });
    })
}

/// Checks sequence `b` and writes its record.
fn sequence<'k>(k: &'k Builder, words: &WordList<'k>, b: Reg<'k, u64>, worst: Reg<'k, u64>) {
    let note = |bad: Reg<'k, bool>, kind: u32, value: Reg<'k, u64>| {
        let error = error(k, b, kind, value);
        worst.set(k.select(bad, k.min(worst, error), worst));
    };
    let q = span(k, words, b, (at::Q_STARTS, at::ROWS), |bad, value| note(bad, kind::Q_STARTS, value));
    let kv = span(k, words, b, (at::KV_STARTS, at::CAPACITY), |bad, value| note(bad, kind::KV_STARTS, value));
    let queries = length(k, words, b, (at::Q_LENGTHS, q.1), |bad, value| note(bad, kind::Q_LENGTHS, value));
    let keys = length(k, words, b, (at::KV_LENGTHS, kv.1), |bad, value| note(bad, kind::KV_LENGTHS, value));
    let covers = [(at::BIAS_ROWS, kind::BIAS_ROWS, queries), (at::BIAS_KEYS, kind::BIAS_KEYS, keys)];
    for (axis, kind, needed) in covers {
        let have = words.get(axis);
        note(have.ne(1u64) & have.lt(needed), kind, needed);
    }
    let record = Record { q_first: q.0, queries, kv_first: kv.0, keys };
    record.store(record_at(k, words, b));
}

/// An i32 of `tensor`, as 64 bits.
fn integer<'k>(k: &'k Builder, words: &WordList<'k>, tensor: usize, index: Reg<'k, u64>) -> Reg<'k, i64> {
    Ptr::<Global<i32>>::new(element(k, words, tensor, &[index])).load().to::<i64>()
}

/// First row and number of rows of sequence `b`: by the starts, or all rows there are.
fn span<'k>(
    k: &'k Builder,
    words: &WordList<'k>,
    b: Reg<'k, u64>,
    (starts, total): (usize, usize),
    note: impl Fn(Reg<'k, bool>, Reg<'k, u64>),
) -> (Reg<'k, u64>, Reg<'k, u64>) {
    let (first, rows) = (k.var(0u64), k.var(words.get(total)));
    k.when(given(words, starts), || {
        let (from, to) = (integer(k, words, starts, b), integer(k, words, starts, b + 1u64));
        note(from.lt(0i64) | to.lt(from) | to.gt(words.get(total).bits::<i64>()), to.bits());
        first.set(from.bits::<u64>());
        rows.set((to - from).bits::<u64>());
    });
    (first, rows)
}

/// Rows in use of sequence `b`: its length, or all `rows`.
fn length<'k>(
    k: &'k Builder,
    words: &WordList<'k>,
    b: Reg<'k, u64>,
    (lengths, rows): (usize, Reg<'k, u64>),
    note: impl Fn(Reg<'k, bool>, Reg<'k, u64>),
) -> Reg<'k, u64> {
    let used = k.var(rows);
    k.when(given(words, lengths), || {
        let length = integer(k, words, lengths, b);
        note(length.lt(0i64) | length.gt(rows.bits::<i64>()), length.bits());
        used.set(length.bits::<u64>());
    });
    used
}
