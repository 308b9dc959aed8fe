//! One row of scores: from products to logits to weights, and the running maximum and sum of online softmax (Milakov,
//! Gimelshein 2018; Dao: FlashAttention-2, 2023).

use super::Attention;
use super::keys::{BiasRow, query_row};
use super::mask::Visible;
use super::pack;
use super::plain::element;
use super::plan::Plan;
use super::simd::Simd;
use crate::dtype::{Dtype, Float, bf16, f16};
use crate::kernels::math::tanh;
use std::f32::consts::{LN_2, LOG2_E};

/// A row on its way through the blocks of keys.
#[derive(Clone, Copy)]
pub(super) struct Line {
    pub seen: Visible,
    b: usize,
    head: usize,
    i: usize,
    position: i64,
    slope: f32,
    bias: Option<BiasRow>,
    /// The greatest logit so far, times log2(e).
    top: f32,
    /// The sum of 2^(logit log2(e) - top).
    total: f32,
}

/// What turns products into logits, the same for all rows.
#[derive(Clone, Copy)]
pub(super) struct Scorer {
    /// Whether a logit is more than scale times product: then `unit` is log2(e), else scale log2(e), above 0.
    special: bool,
    unit: f32,
    scale: f32,
    /// 0 means none.
    softcap: f32,
}

impl Scorer {
    pub fn new(op: &Attention) -> Self {
        let scale = op.scale as f32;
        let plain = op.softcap == 0.0 && op.bias.is_none() && op.slopes.is_none();
        let special = !(plain && scale > 0.0 && scale.is_normal());
        let unit = if special { LOG2_E } else { (op.scale * std::f64::consts::LOG2_E) as f32 };
        let softcap = (op.softcap as f32).clamp(f32::MIN_POSITIVE, f32::MAX);
        Self { special, unit, scale, softcap: if op.softcap > 0.0 { softcap } else { 0.0 } }
    }
}

impl Line {
    /// Row `number` of sequence `b`, counted over the query heads that share head `kv_head` of the keys.
    pub fn new(op: &Attention, plan: &Plan, b: usize, kv_head: usize, number: usize) -> Self {
        let sequence = &plan.sequences[b];
        let (head, i) = (kv_head * op.shape.group() + number / sequence.rows, number % sequence.rows);
        let used = i < sequence.queries;
        let sink = op.sinks.as_ref().filter(|_| used).map(|sinks| element(sinks, 0, head) as f32);
        let sink = sink.unwrap_or(f32::NEG_INFINITY);
        Self {
            seen: op.mask.visible(i, sequence),
            b,
            head,
            i,
            position: op.mask.position(i, sequence),
            slope: op.slopes.as_ref().map_or(0.0, |slopes| element(slopes, b, head) as f32),
            bias: op.bias.as_ref().filter(|_| used).map(|bias| BiasRow::new(bias, b, head, i)),
            top: sink * LOG2_E,
            total: if sink == f32::NEG_INFINITY { 0.0 } else { 1.0 },
        }
    }

    /// The row of q.
    pub fn query<T>(&self, op: &Attention, plan: &Plan) -> *const T {
        query_row(&op.q, &plan.sequences[self.b], self.head, self.i)
    }

    /// Turns the products of keys `start..start + span.1` into weights relative to the row's maximum, those of hidden keys
    /// from `span.0` on to 0. Returns what earlier sums must be multiplied with.
    ///
    /// # Safety
    ///
    /// `scores` and `spare` are valid up to `span.1` rounded up to whole vectors, `span.0` is a multiple of the lanes, and
    /// `S` is there.
    #[inline(always)]
    pub unsafe fn weigh<S: Simd>(
        &mut self,
        op: &Attention,
        scorer: &Scorer,
        scores: *mut f32,
        start: usize,
        span: (usize, usize),
        spare: *mut f32,
    ) -> f32 {
        let end = span.1.next_multiple_of(S::LANES);
        let Some((low, high)) = self.seen.hull(start, start + span.1) else {
            // SAFETY: this function's contract.
            unsafe { scores.add(span.0).write_bytes(0, end - span.0) };
            return 1.0;
        };
        let (low, high) = (low - start, high - start);
        let (first, last) = (low - low % S::LANES, high.next_multiple_of(S::LANES));
        // SAFETY: this function's contract; first..last are whole vectors within it.
        unsafe {
            if scorer.special {
                self.logits::<S>(scorer, scores, start, (low, high), spare);
            }
            self.hide(scores, start, (low, high), (first, last));
            let shrink = self.exponentials::<S>(scorer.unit, scores, (first, last));
            scores.add(span.0).write_bytes(0, first - span.0);
            scores.add(last).write_bytes(0, end - last);
            if op.dropout.is_on() {
                self.drop_some(op, scores, start, (low, high));
            }
            shrink
        }
    }

    /// # Safety
    ///
    /// As for [`weigh`](Self::weigh).
    #[inline(always)]
    unsafe fn logits<S: Simd>(
        &self,
        scorer: &Scorer,
        scores: *mut f32,
        start: usize,
        (low, high): (usize, usize),
        spare: *mut f32,
    ) {
        // SAFETY: this function's contract; the bias row has every key in use.
        unsafe {
            cap(scores, (low, high), scorer);
            if let Some(bias) = &self.bias {
                bias.read::<S>(start + low, high - low, spare);
                for j in low..high {
                    let (x, bias) = (scores.add(j), spare.add(j - low).read());
                    x.write(if bias == f32::NEG_INFINITY { bias } else { x.read() + bias });
                }
            }
            if self.slope != 0.0 {
                let before = (start as i64).wrapping_sub(self.position) as i32;
                for j in low..high {
                    let x = scores.add(j);
                    let far = before.wrapping_add(j as i32) as f32;
                    x.write(x.read() - self.slope * far.abs());
                }
            }
        }
    }

    /// -infinity at hidden keys between visible ones and at the ends of the vectors that hold them.
    ///
    /// # Safety
    ///
    /// As for [`weigh`](Self::weigh).
    #[inline(always)]
    unsafe fn hide(
        &self,
        scores: *mut f32,
        start: usize,
        (low, high): (usize, usize),
        (first, last): (usize, usize),
    ) {
        let gap = if start < self.seen.kept {
            (self.seen.kept - start).min(high)..(self.seen.from - start).min(high)
        } else {
            0..0
        };
        for j in (first..low).chain(gap).chain(high..last) {
            // SAFETY: this function's contract.
            unsafe { scores.add(j).write(f32::NEG_INFINITY) };
        }
    }

    /// # Safety
    ///
    /// As for [`weigh`](Self::weigh).
    #[inline(always)]
    unsafe fn exponentials<S: Simd>(
        &mut self,
        unit: f32,
        scores: *mut f32,
        (first, last): (usize, usize),
    ) -> f32 {
        // SAFETY: this function's contract.
        unsafe {
            let mut greatest = [S::splat(f32::NEG_INFINITY); 4];
            for (n, j) in (first..last).step_by(S::LANES).enumerate() {
                greatest[n & 3] = S::max(S::load(scores.add(j)), greatest[n & 3]);
            }
            let greatest = S::max(S::max(greatest[0], greatest[1]), S::max(greatest[2], greatest[3]));
            let top = S::greatest(greatest) * unit;
            let top = if top > self.top || self.top.is_nan() { top } else { self.top };
            // A row that has seen nothing yet stays at weights 0: 2^(-infinity - 0).
            let base = if top == f32::NEG_INFINITY { 0.0 } else { top };
            let shrink = (self.top - base).exp2();
            let (unit, base) = (S::splat(unit), S::splat(-base));
            let mut sums = [S::splat(0.0); 4];
            for (n, j) in (first..last).step_by(S::LANES).enumerate() {
                let weight = S::exp2(S::fma(S::load(scores.add(j)), unit, base));
                S::store(scores.add(j), weight);
                sums[n & 3] = S::add(sums[n & 3], weight);
            }
            let sum = S::sum(S::add(S::add(sums[0], sums[1]), S::add(sums[2], sums[3])));
            self.total = self.total * shrink + sum;
            self.top = top;
            shrink
        }
    }

    /// # Safety
    ///
    /// As for [`weigh`](Self::weigh).
    unsafe fn drop_some(&self, op: &Attention, scores: *mut f32, start: usize, (low, high): (usize, usize)) {
        let head = self.b * op.shape.heads + self.head;
        let (mut block, mut keeps) = (usize::MAX, [true; 4]);
        for j in start + low..start + high {
            if j / 4 != block {
                block = j / 4;
                keeps = op.dropout.keeps(head, self.i, block);
            }
            if !keeps[j % 4] {
                // SAFETY: this function's contract.
                unsafe { scores.add(j - start).write(0.0) };
            }
        }
    }

    /// Writes the row of o from its sums, and lse.
    ///
    /// # Safety
    ///
    /// `sums` is valid for Dv elements rounded up to whole vectors, and `S` is there.
    #[inline(always)]
    pub unsafe fn finish<S: Simd, T: Float>(&self, op: &Attention, plan: &Plan, sums: *const f32) {
        let sequence = &plan.sequences[self.b];
        let weight = if self.total == 0.0 { 0.0 } else { op.dropout.gain as f32 / self.total };
        let (o, stride) = (query_row::<T>(&op.o, sequence, self.head, self.i), op.o.layout().stride(3));
        let dim = op.shape.dim_v;
        let whole = if stride == 1 { dim - dim % S::LANES } else { 0 };
        // SAFETY: (batch, head, row, d) is an index of o for d below Dv, and (batch, head, row) one of lse.
        unsafe {
            for d in (0..whole).step_by(S::LANES) {
                S::store_as(o.add(d), S::mul(S::load(sums.add(d)), S::splat(weight)));
            }
            for d in whole..dim {
                o.wrapping_offset(d as isize * stride).write(T::from_f32(sums.add(d).read() * weight));
            }
            if let Some(lse) = &op.lse {
                let value =
                    if self.total == 0.0 { f32::NEG_INFINITY } else { self.top * LN_2 + self.total.ln() };
                query_row::<f32>(lse, sequence, self.head, self.i).write(value);
            }
        }
    }
}

/// Scales, and caps where asked for.
///
/// # Safety
///
/// The range of `scores` is valid.
#[inline(always)]
unsafe fn cap(scores: *mut f32, (low, high): (usize, usize), scorer: &Scorer) {
    let Scorer { scale, softcap, .. } = *scorer;
    for j in low..high {
        // SAFETY: this function's contract.
        unsafe {
            let x = scores.add(j).read() * scale;
            scores.add(j).write(if softcap > 0.0 { softcap * tanh(x / softcap) } else { x });
        }
    }
}

impl BiasRow {
    /// Elements of keys `start..start + count`, as f32; -infinity where a mask is false.
    ///
    /// # Safety
    ///
    /// The keys are in use, `to` is valid for `count` elements, and `S` is there.
    #[inline(always)]
    unsafe fn read<S: Simd>(&self, start: usize, count: usize, to: *mut f32) {
        let (at, stride) = self.from(start);
        // SAFETY: this function's contract; the row has the element type that is matched.
        unsafe {
            match self.dtype() {
                Dtype::F16 => pack::widen::<S, f16>(at.cast(), stride, count, to),
                Dtype::Bf16 => pack::widen::<S, bf16>(at.cast(), stride, count, to),
                Dtype::F32 => pack::widen::<S, f32>(at.cast(), stride, count, to),
                _ if stride == 1 => {
                    for j in 0..count {
                        to.add(j).write(if at.add(j).read() == 0 { f32::NEG_INFINITY } else { 0.0 });
                    }
                }
                _ => (0..count).for_each(|j| to.add(j).write(self.at(start + j))),
            }
        }
    }
}
