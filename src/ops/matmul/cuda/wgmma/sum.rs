//! The warpgroups that multiply.

use super::block::{Block, GROUP, LINE, Ring, Work};
use super::plan::{Form, Scaled};
use crate::dtype::Dtype::{Bf16, F8E4m3, F8E5m2};
use crate::dtype::{bf16, f16};
use crate::ops::matmul::cuda::full::Largest;
use crate::ptx::mma::Factor;
use crate::ptx::wgmma::{Major, Swizzle, Tile, Wgmma, WideAcc};
use crate::ptx::{E4m3, E5m2, Element, Ptr, Reg, Shared};

/// Bytes of eight rows of 128.
const EIGHT: u32 = 1024;
/// Bytes from 64 elements across k to the next 64, in each of which a step lies.
const CHUNK: u32 = 8192;
/// Registers of a thread.
const REGISTERS: u32 = 232;
/// What one instruction multiplies of a step: 32 of its 128 bytes along k.
const PIECES: u32 = 4;
/// Steps of 8-bit floats whose sums accumulators may hold: 512 products of each.
const TOGETHER: u32 = 4;
/// The barrier at which the second warpgroup waits for its turn.
const TURN: u32 = 8;

/// What a warpgroup keeps from tile to tile.
pub struct Group<'k> {
    /// Which one: 0 or 1.
    pub number: Reg<'k, u32>,
    /// This thread within it.
    pub thread: Reg<'k, u32>,
    acc: WideAcc<'k>,
    /// A tile's sums, as an accumulator has them: its registers, or those that it is added to after some steps.
    pub sums: Vec<Reg<'k, f32>>,
    /// 1 where the other one still waits for this one's first products.
    late: Reg<'k, u32>,
    /// The largest magnitude.
    pub largest: Largest<'k>,
}

impl<'k> Block<'_, 'k> {
    /// Multiplies tile after tile, and writes them.
    pub fn consume(&self) {
        let k = self.k;
        k.registers_up(REGISTERS);
        let group = self.group();
        let ring = Ring::new(k, 0);
        if self.form.promoted {
            k.when(group.number.eq(1u32), || k.barrier_of(TURN, 2 * GROUP));
        }
        self.each(|work| {
            match self.form {
                Form { scaled: Scaled::Blocks, .. } => self.sum_up_scaled(&group, &ring, work),
                Form { promoted: true, .. } => self.sum_up_promoted(&group, &ring, work),
                _ => self.sum_up(&group, &ring, work.count),
            }
            if self.form.scaled == Scaled::Lines {
                self.scale(&group, work);
            }
            self.put(&group, work);
        });
        self.put_all(&group);
        self.leave();
    }

    fn group(&self) -> Group<'k> {
        let k = self.k;
        let columns = self.form.tile.own_columns();
        let (number, thread) = (self.group - 1u32, k.thread_x() & (GROUP - 1));
        let acc = k.wide_acc(self.form.columns_at_once());
        let sums = match self.form.promoted {
            true => (0..columns / 2).map(|_| k.var(0.0f32)).collect(),
            false => acc.registers().to_vec(),
        };
        let late = k.select(number.eq(0u32), 1u32, 0u32);
        Group { number, thread, acc, sums, late: k.var(late), largest: Largest::new(k) }
    }

    /// The sums over so many steps: while one is multiplied, the one before is given back.
    fn sum_up(&self, group: &Group<'k>, ring: &Ring<'k>, count: Reg<'k, u32>) {
        let (k, yes) = (self.k, self.k.var(true));
        let before = k.var(0u32);
        k.steps(0u32, count, 1u32, |step| {
            let more = step.ne(0u32);
            self.full.at(ring.stage).wait(ring.parity);
            self.multiply(group, ring.stage, 0, [more, yes]);
            k.wgmma_wait(1);
            self.give_back(before, more);
            before.set(ring.stage);
            ring.advance(k, self.stage_count());
        });
        k.wgmma_wait(0);
        self.give_back(before, yes);
    }

    /// The same for all of a tile's, where accumulators keep too few bits for long sums (they have about 14 for products of
    /// 8-bit floats): what some steps sum up to is added to the sums of the tile, as DeepGEMM does.
    fn sum_up_promoted(&self, group: &Group<'k>, ring: &Ring<'k>, work: &Work<'k>) {
        let k = self.k;
        group.sums.iter().for_each(|sum| sum.set(0.0f32));
        k.steps(0u32, work.count, TOGETHER, |step| {
            self.sum_up(group, ring, k.min(work.count - step, TOGETHER));
            self.take_turns(group);
            let products = group.acc.registers().iter();
            group.sums.iter().zip(products).for_each(|(sum, product)| sum.set(k.add(*sum, *product)));
        });
    }

    /// The same where each step has scales of its own: of as many columns as an accumulator has at once, products are scaled and
    /// added to the sums of the tile.
    fn sum_up_scaled(&self, group: &Group<'k>, ring: &Ring<'k>, work: &Work<'k>) {
        let (k, no, yes) = (self.k, self.k.var(false), self.k.var(true));
        group.sums.iter().for_each(|sum| sum.set(0.0f32));
        let (products, at) = (group.acc.registers(), self.staged_at(group));
        k.steps(0u32, work.count, 1u32, |_| {
            self.full.at(ring.stage).wait(ring.parity);
            let scales = self.scales_of_stage(&at, ring.stage);
            for first in (0..group.sums.len()).step_by(products.len()) {
                self.multiply(group, ring.stage, 2 * first as u32, [no, yes]);
                k.wgmma_wait(0);
                if first + products.len() == group.sums.len() {
                    k.warp_sync(u32::MAX); // all lanes have their scales
                    self.give_back(ring.stage, yes);
                }
                self.take_turns(group);
                let scales = scales.ready_after(products[0], ring.zero());
                for ((number, sum), product) in group.sums.iter().enumerate().skip(first).zip(products) {
                    sum.set(k.fma(*product, scales.of(number), *sum));
                }
            }
            ring.advance(k, self.stage_count());
        });
    }

    /// Once has the second warpgroup begin when the first is done with its first products: from then on one multiplies while
    /// the other adds.
    fn take_turns(&self, group: &Group<'k>) {
        let k = self.k;
        k.when(group.late.eq(1u32), || {
            k.barrier_arrive(TURN, 2 * GROUP);
            group.late.set(0u32);
        });
    }

    /// Multiplies what lies in a stage, from column `first` of the warpgroup's on; `add` says of the first product and of the others whether they are added to the sums.
    fn multiply(&self, group: &Group<'k>, stage: Reg<'k, u32>, first: u32, add: [Reg<'k, bool>; 2]) {
        let (tile, at) = (self.form.tile, self.stage(stage));
        let b = at.plus(((tile.rows + first) * LINE) as i32);
        let at = match tile.rows {
            128 => [at.displaced(group.number * (64 * LINE)), b],
            _ => [at, b.displaced(group.number * (tile.own_columns() * LINE))],
        };
        let acc = &group.acc;
        match self.form.types {
            [F8E4m3, F8E4m3] => self.pieces::<E4m3, E4m3>(acc, at, add),
            [F8E4m3, _] => self.pieces::<E4m3, E5m2>(acc, at, add),
            [F8E5m2, F8E4m3] => self.pieces::<E5m2, E4m3>(acc, at, add),
            [F8E5m2, _] => self.pieces::<E5m2, E5m2>(acc, at, add),
            [Bf16, _] => self.pieces::<bf16, bf16>(acc, at, add),
            _ => self.pieces::<f16, f16>(acc, at, add),
        }
    }

    fn pieces<T: Wgmma<U> + Element, U: Factor + Element>(
        &self,
        acc: &WideAcc<'k>,
        [a, b]: [Ptr<'k, Shared<u8>>; 2],
        add: [Reg<'k, bool>; 2],
    ) {
        let k = self.k;
        let lies =
            self.form.along.map(|along| if along { (Major::Depth, 32) } else { (Major::Outer, 2 * EIGHT) });
        let a = Tile::new(&a.cast::<T>(), Swizzle::Bytes128, CHUNK, EIGHT);
        let b = Tile::new(&b.cast::<U>(), Swizzle::Bytes128, CHUNK, EIGHT);
        k.wgmma_fence();
        for piece in 0..PIECES {
            let a = (a.plus(piece * lies[0].1), lies[0].0);
            let b = (b.plus(piece * lies[1].1), lies[1].0);
            acc.wgmma(a, b, add[usize::from(piece > 0)]);
        }
        k.wgmma_commit();
    }

    /// This warp does not read the stage any more.
    fn give_back(&self, stage: Reg<'k, u32>, condition: Reg<'k, bool>) {
        let (k, barrier) = (self.k, self.empty.at(stage));
        k.only(condition & k.lane().eq(0u32), || barrier.arrive());
    }
}
