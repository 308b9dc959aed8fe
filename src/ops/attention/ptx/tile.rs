//! 32 keys of a row in one warp: a lane a key for the logits, a lane a column for the values, and the running maximum and
//! sum of online softmax (Milakov, Gimelshein 2018) between.

use super::product::load_if;
use super::row::{Row, Seen};
use super::score::{Scores, exp};
use super::{Spec, Vals, at, element};
use crate::kernels::gpu::philox4x32;
use crate::ptx::{Builder, Global, Ptr, Reg};

const ALL: u32 = u32::MAX;
/// Keys whose values are loaded at once.
const TOGETHER: u32 = 4;

/// The tiles of 32 keys that a row sees: those of the keys it keeps, then those from the window on.
pub(super) struct Tiles<'k> {
    kept: Reg<'k, u64>,
    from: Reg<'k, u64>,
    pub count: Reg<'k, u64>,
}

impl<'k> Tiles<'k> {
    pub fn new(k: &'k Builder, seen: &Seen<'k>) -> Self {
        let up = |keys: Reg<'k, u64>| (keys + 31u64) >> 5u32;
        let kept = up(seen.kept);
        let from = k.max(seen.from >> 5u32, kept);
        // None where the kept ones reach as far.
        let end = k.max(up(seen.to), from);
        let end = k.select(seen.from.lt(seen.to), end, from);
        Self { kept, from, count: kept + (end - from) }
    }

    /// The first key of tile `number`.
    pub fn start(&self, k: &'k Builder, number: Reg<'k, u64>) -> Reg<'k, u64> {
        let later = number - self.kept + self.from;
        k.select(number.lt(self.kept), number, later) << 5u32
    }
}

/// A row on its way through the keys, in one warp.
pub(super) struct Line<'k> {
    pub scores: Scores<'k>,
    /// The first row of k and of v, or where pages begin.
    origins: [Reg<'k, u64>; 2],
    /// The greatest logit so far, the same in all lanes; never NaN.
    pub top: Reg<'k, f32>,
    /// This lane's part of the sum of e^(logit - top).
    pub total: Reg<'k, f32>,
    /// Sums of weighted values of this lane's columns.
    pub sums: Vec<Reg<'k, f32>>,
    /// Whether v has these columns, and how far they are from a row's beginning.
    columns: Vec<(Reg<'k, bool>, Reg<'k, u64>)>,
}

impl<'k> Line<'k> {
    pub fn new(k: &'k Builder, v: &Vals<'k>, spec: &Spec, row: &Row<'k>) -> Self {
        let origins = [at::K, at::V].map(|tensor| match spec.paged {
            true => element(k, &v.words, tensor, &[k.var(0u64), row.kv_head]),
            false => element(k, &v.words, tensor, &[row.b, row.kv_head, row.record.kv_first]),
        });
        let first = k.mad(row.piece, u64::from(spec.width()), k.lane().to::<u64>());
        let column = |n: u32| {
            let d = first + u64::from(32 * n);
            (d.lt(v.words.get(at::DIM_V)), d * v.words.get(at::V + 4))
        };
        Self {
            scores: Scores::new(k, v, spec, row),
            origins,
            top: k.var(f32::NEG_INFINITY),
            total: k.var(0.0f32),
            sums: (0..spec.columns).map(|_| k.var(0.0f32)).collect(),
            columns: (0..spec.columns).map(column).collect(),
        }
    }

    /// Takes the keys of the tile that begins at `start`.
    pub fn tile(&self, k: &'k Builder, v: &Vals<'k>, spec: &Spec, row: &Row<'k>, start: Reg<'k, u64>) {
        let j = start + k.lane().to::<u64>();
        let visible = j.lt(row.seen.to) & (j.ge(row.seen.from) | j.lt(row.seen.kept));
        let (logit, value) = (k.var(f32::NEG_INFINITY), k.var(0u64));
        k.when(visible, || {
            let [key, at] = self.rows(k, v, spec, row, j);
            value.set(at);
            logit.set(self.scores.logit(k, v, spec, (j, key)));
        });
        // True for NaN.
        let any = k.vote_any(logit.neu(f32::NEG_INFINITY), ALL);
        k.when(any, || {
            let weight = self.weigh(k, logit);
            let kept = if spec.dropout { keep(k, v, row, j, weight) } else { weight };
            self.add(k, spec, kept, value);
        });
    }

    /// Where row `j` of k and of v begins.
    fn rows(
        &self,
        k: &'k Builder,
        v: &Vals<'k>,
        spec: &Spec,
        row: &Row<'k>,
        j: Reg<'k, u64>,
    ) -> [Reg<'k, u64>; 2] {
        let steps = [at::K, at::V].map(|tensor| v.words.get(tensor + 3));
        if !spec.paged {
            return [0, 1].map(|n| k.mad(j, steps[n], self.origins[n]));
        }
        // Lengths are i32, so keys of pages are below 2^31.
        let (j, size) = (j.to::<u32>(), v.words.get32(at::PAGE_SIZE));
        let number = k.div(j, size);
        let within = (j - number * size).to::<u64>();
        let entry = element(k, &v.words, at::TABLE, &[row.b, number.to::<u64>()]);
        let page = Ptr::<Global<u32>>::new(entry).load().to::<u64>();
        // It was checked; this only keeps reads inside, should somebody change the table meanwhile.
        let page = k.min(page, v.words.get(at::PAGES) - 1u64);
        let pages = [at::K, at::V].map(|tensor| v.words.get(tensor + 1));
        [0, 1].map(|n| k.mad(page, pages[n], k.mad(within, steps[n], self.origins[n])))
    }

    /// Weights relative to the greatest logit so far, which earlier sums are brought down to. 0 where the logit is -infinity.
    fn weigh(&self, k: &'k Builder, logit: Reg<'k, f32>) -> Reg<'k, f32> {
        let top = k.max(self.top, k.warp_max(logit));
        // All may be -infinity or NaN: weights are 0 or NaN then.
        let base = k.select(top.eq(f32::NEG_INFINITY), 0.0f32, top);
        let shrink = exp(k, self.top - base);
        let weight = exp(k, logit - base);
        self.top.set(top);
        self.total.set(k.fma(self.total, shrink, weight));
        self.sums.iter().for_each(|sum| sum.set(*sum * shrink));
        weight
    }

    /// Adds each lane's `weight` times its row of v, which begins at `value`. Rows of weight 0 are not looked at.
    fn add(&self, k: &'k Builder, spec: &Spec, weight: Reg<'k, f32>, value: Reg<'k, u64>) {
        let some = k.ballot(weight.neu(0.0f32), ALL);
        k.steps(0u32, 32u32, TOGETHER, |lane| {
            let together = (some >> lane) & ((1u32 << TOGETHER) - 1);
            k.when(together.ne(0u32), || {
                for n in 0..TOGETHER {
                    let (weight, value) = (k.broadcast(weight, lane + n), k.broadcast(value, lane + n));
                    let counts = weight.neu(0.0f32);
                    for (sum, (inside, column)) in self.sums.iter().zip(&self.columns) {
                        let x = load_if(spec.dtype, value + *column, counts & *inside);
                        sum.set(k.fma(weight, x, *sum));
                    }
                }
            });
        });
    }
}

/// `weight`, or 0 where the weight of key `j` is dropped.
fn keep<'k>(
    k: &'k Builder,
    v: &Vals<'k>,
    row: &Row<'k>,
    j: Reg<'k, u64>,
    weight: Reg<'k, f32>,
) -> Reg<'k, f32> {
    let words = &v.words;
    let head = k.mad(row.b, words.get(at::HEADS), row.place[1]);
    let counter = [j >> 2u32, row.i, head].map(|x| x.to::<u32>());
    let counter = [counter[0], counter[1], counter[2], words.get32(at::OFFSET)];
    let random = philox4x32(k, counter, [words.get32(at::KEY_LOW), words.get32(at::KEY_HIGH)]);
    let j = j.to::<u32>();
    let (odd, high) = ((j & 1u32).ne(0u32), (j & 2u32).ne(0u32));
    let pairs = [0, 2].map(|n| k.select(odd, random[n + 1], random[n]));
    let word = k.select(high, pairs[1], pairs[0]);
    k.select(word.to::<u64>().ge(words.get(at::THRESHOLD)), weight, 0.0f32)
}
