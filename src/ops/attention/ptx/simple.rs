//! The kernel that takes everything: a block a row and head (and piece of the columns), whose warps share the keys.

use super::plan::FINE;
use super::row::Row;
use super::score::{exp, ln};
use super::tile::{Line, Tiles};
use super::{Args, Spec, Vals, at, element, given};
use crate::kernels::gpu::Array;
use crate::ptx::{Builder, Global, Kernel, Ptr, Reg, Shape, Shared, Target, WordList};
use crate::status::Result;

/// The kernel: any grid of one dimension.
pub(in crate::ops::attention) fn simple(target: Target, spec: Spec) -> Result<Kernel<Args>> {
    let shape = Shape::new(spec.name(), target, [32 * spec.warps, 1, 1]);
    Kernel::build(&shape, |k: &Builder, v: Vals<'_>| {
        let failed = Ptr::<Global<u64>>::new(v.words.get(at::FAILED)).load();
        k.if_else(failed.eq(FINE), || rows(k, &v, &spec), || report(k, &v.words, failed));
    })
}

/// Tells the host of the first error: kind, sequence and value in 3, 13 and 16 bits, the last two cut to what fits.
fn report<'k>(k: &'k Builder, words: &WordList<'k>, failed: Reg<'k, u64>) {
    let head = (failed >> 32u32).to::<u32>() & 0x7FFF_FFFFu32;
    let (kind, b) = (head & 7u32, k.min(head >> 3u32, 8191u32));
    let value = failed.to::<u32>().bits::<i32>();
    let value = k.min(k.max(value, -32768i32), 32767i32).bits::<u32>() & 0xFFFFu32;
    let verdict = (kind << 29u32) | (b << 16u32) | value;
    let first = (k.block_x() | k.thread_x()).eq(0u32);
    Ptr::<Global<u32>>::new(words.get(at::VERDICT)).store_if(first, verdict);
}

fn rows<'k>(k: &'k Builder, v: &Vals<'k>, spec: &Spec) {
    let meeting = (spec.warps > 1).then(|| Meeting::new(k, spec));
    let (task, tasks) = (k.var(k.block_x().to::<u64>()), v.words.get(at::TASKS));
    let step = k.grid_blocks_x().to::<u64>();
    k.repeat_while(
        || task.lt(tasks),
        || {
            row(k, v, spec, task, meeting.as_ref());
            task.set(task + step);
        },
    );
}

fn row<'k>(k: &'k Builder, v: &Vals<'k>, spec: &Spec, task: Reg<'k, u64>, meeting: Option<&Meeting<'k>>) {
    let row = Row::new(k, &v.words, spec, task);
    let (line, tiles) = (Line::new(k, v, spec, &row), Tiles::new(k, &row.seen));
    let number = k.var(k.warp().to::<u64>());
    k.repeat_while(
        || number.lt(tiles.count),
        || {
            line.tile(k, v, spec, &row, tiles.start(k, number));
            number.set(number + u64::from(spec.warps));
        },
    );
    let done = match meeting {
        Some(meeting) => meeting.join(k, spec, &line),
        None => Done::of_warp(k, &line),
    };
    done.finish(k, v, spec, &row);
}

/// Shared memory in which the warps of a block bring their parts together.
struct Meeting<'k> {
    tops: Ptr<'k, Shared<f32>>,
    totals: Ptr<'k, Shared<f32>>,
    /// [warps][width]
    sums: Ptr<'k, Shared<f32>>,
}

/// A row with all of its keys.
struct Done<'k> {
    top: Reg<'k, f32>,
    total: Reg<'k, f32>,
    /// This thread's columns within the piece, and their sums.
    columns: Vec<(Reg<'k, u32>, Reg<'k, f32>)>,
}

impl<'k> Meeting<'k> {
    fn new(k: &'k Builder, spec: &Spec) -> Self {
        let [tops, totals] = [k.shared(spec.warps), k.shared(spec.warps)];
        Self { tops, totals, sums: k.shared(spec.warps * spec.width()) }
    }

    /// All parts relative to the greatest logit of all. Every thread of the block comes here.
    fn join(&self, k: &'k Builder, spec: &Spec, line: &Line<'k>) -> Done<'k> {
        let total = k.warp_sum(line.total);
        let (warp, thread) = (k.warp(), k.thread_x());
        k.when(k.lane().eq(0u32), || {
            self.tops.at(warp).store(line.top);
            self.totals.at(warp).store(total);
        });
        let mine = self.sums.at(k.mad(warp, spec.width(), k.lane()));
        (0..).zip(&line.sums).for_each(|(n, sum)| mine.plus(32 * n).store(*sum));
        k.barrier();
        let tops: Vec<_> = (0..spec.warps as i32).map(|warp| self.tops.plus(warp).load()).collect();
        let top = tops.iter().fold(k.var(f32::NEG_INFINITY), |top, &other| k.max(top, other));
        let base = k.select(top.eq(f32::NEG_INFINITY), 0.0f32, top);
        let (total, sum) = (k.var(0.0f32), k.var(0.0f32));
        let inside = thread.lt(spec.width());
        for (warp, part) in (0..).zip(tops) {
            let scale = exp(k, part - base);
            total.set(k.fma(self.totals.plus(warp).load(), scale, total));
            let part = self.sums.at(thread).plus(warp * spec.width() as i32).load_if(inside, 0.0f32);
            sum.set(k.fma(part, scale, sum));
        }
        k.barrier(); // before the next row's parts are written
        let column = k.select(inside, thread, u32::MAX);
        Done { top, total, columns: vec![(column, sum)] }
    }
}

impl<'k> Done<'k> {
    /// Of a warp that had the row for itself.
    fn of_warp(k: &'k Builder, line: &Line<'k>) -> Self {
        let columns = (0..).zip(&line.sums).map(|(n, sum)| (k.lane() + 32 * n, *sum)).collect();
        Self { top: line.top, total: k.warp_sum(line.total), columns }
    }

    /// Takes the sink in, and writes o and lse.
    fn finish(&self, k: &'k Builder, v: &Vals<'k>, spec: &Spec, row: &Row<'k>) {
        let sink = Ptr::<Global<f32>>::new(element(k, &v.words, at::SINKS, &[row.place[1]]));
        let sink = sink.load_if(given(&v.words, at::SINKS) & row.used, f32::NEG_INFINITY);
        let top = k.max(self.top, sink);
        let shrink = exp(k, self.top - top);
        let total = k.fma(self.total, shrink, exp(k, sink - top));
        // Of no key: the sink is all there is.
        let none = self.total.eq(0.0f32);
        let factor = k.select(none, 0.0f32, k.div(shrink * v.gain, total));
        let lse = k.select(none, sink, top + ln(k, total));
        self.write(k, v, spec, row, factor);
        let first = k.thread_x().eq(0u32) & row.piece.eq(0u64) & given(&v.words, at::LSE);
        Ptr::<Global<f32>>::new(element(k, &v.words, at::LSE, &row.place)).store_if(first, lse);
    }

    fn write(&self, k: &'k Builder, v: &Vals<'k>, spec: &Spec, row: &Row<'k>, factor: Reg<'k, f32>) {
        let to = element(k, &v.words, at::O, &row.place);
        let first = row.piece * u64::from(spec.width());
        for (column, sum) in &self.columns {
            let d = first + column.to::<u64>();
            k.when(d.lt(v.words.get(at::DIM_V)) & column.lt(spec.width()), || {
                let place = Array::new(k, spec.dtype, k.mad(d, v.words.get(at::O + 4), to));
                place.store(*sum * factor);
            });
        }
    }
}
