//! The warpgroups that multiply.

use super::block::{Block, GROUP, LINE, Ring, Work};
use super::plan::Scaled;
use super::scale::Scales;
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

/// What a warpgroup keeps from tile to tile.
pub struct Group<'k> {
    /// Which one: 0 or 1.
    pub number: Reg<'k, u32>,
    /// This thread within it.
    pub thread: Reg<'k, u32>,
    /// The one that it sums up in; or two, each for half of the columns, which are added to the sums after each step.
    accs: Vec<WideAcc<'k>>,
    /// A tile's sums, as an accumulator has them.
    pub sums: Vec<Reg<'k, f32>>,
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
        self.each(|work| {
            if self.form.promoted {
                self.sum_up_promoted(&group, &ring, work);
            } else {
                self.sum_up(&group, &ring, work);
            }
            if self.form.scaled == Scaled::Lines {
                self.scale(&group, work);
            }
            self.put(&group, work);
        });
        self.put_all(&group);
        self.meet();
    }

    fn group(&self) -> Group<'k> {
        let k = self.k;
        let columns = self.form.tile.own_columns();
        let (number, thread) = (self.group - 1u32, k.thread_x() & (GROUP - 1));
        let accs: Vec<_> = match self.form.promoted {
            true => vec![k.wide_acc(columns / 2), k.wide_acc(columns / 2)],
            false => vec![k.wide_acc(columns)],
        };
        let sums = match self.form.promoted {
            true => (0..columns / 2).map(|_| k.var(0.0f32)).collect(),
            false => accs[0].registers().to_vec(),
        };
        Group { number, thread, accs, sums, largest: Largest::new(k) }
    }

    /// The sums over a tile's steps: while one is multiplied, the one before is given back.
    fn sum_up(&self, group: &Group<'k>, ring: &Ring<'k>, work: &Work<'k>) {
        let (k, yes) = (self.k, self.k.var(true));
        let before = k.var(0u32);
        k.steps(0u32, work.count, 1u32, |step| {
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

    /// The same, where accumulators keep too few bits for long sums (they have about 14 for products of 8-bit floats), or steps
    /// are scaled: each step's products are added to the sums of the tile, as DeepGEMM does, those of one half of the columns
    /// while the other half's are made.
    fn sum_up_promoted(&self, group: &Group<'k>, ring: &Ring<'k>, work: &Work<'k>) {
        let (k, no, yes) = (self.k, self.k.var(false), self.k.var(true));
        let registers = group.sums.iter().chain(group.accs[1].registers());
        registers.for_each(|register| register.set(0.0f32));
        let walk = (self.form.scaled == Scaled::Blocks).then(|| self.walk_scales(group, work));
        let last = walk.as_ref().map(|walk| walk.ones(self));
        let before = k.var(0u32);
        k.steps(0u32, work.count, 1u32, |step| {
            let scales = walk.as_ref().map(|walk| walk.load(self, step + work.from));
            self.full.at(ring.stage).wait(ring.parity);
            self.multiply(group, ring.stage, 0, [no, yes]);
            k.wgmma_wait(1);
            self.give_back(before, step.ne(0u32));
            self.add(group, 1, last.as_ref());
            self.multiply(group, ring.stage, 1, [no, yes]);
            k.wgmma_wait(1);
            self.add(group, 0, scales.as_ref());
            if let (Some(last), Some(scales)) = (&last, &scales) {
                last.set(scales);
            }
            before.set(ring.stage);
            ring.advance(k, self.stage_count());
        });
        k.wgmma_wait(0);
        self.give_back(before, yes);
        self.add(group, 1, last.as_ref());
    }

    /// Adds the products of a half of the columns to their sums.
    fn add(&self, group: &Group<'k>, half: usize, scales: Option<&Scales<'k>>) {
        let products = group.accs[half].registers();
        let first = half * products.len();
        for (number, product) in (first..).zip(products) {
            let sum = &group.sums[number];
            sum.set(match scales {
                Some(scales) => self.k.fma(*product, scales.of(number), *sum),
                None => self.k.add(*sum, *product),
            });
        }
    }

    /// Multiplies what lies in a stage into accumulator `half`; `add` says of the first product and of the others whether they
    /// are added to it.
    fn multiply(&self, group: &Group<'k>, stage: Reg<'k, u32>, half: usize, add: [Reg<'k, bool>; 2]) {
        let (tile, at) = (self.form.tile, self.stage(stage));
        let first = half as u32 * tile.own_columns() / 2;
        let b = at.plus(((tile.rows + first) * LINE) as i32);
        let at = match tile.rows {
            128 => [at.displaced(group.number * (64 * LINE)), b],
            _ => [at, b.displaced(group.number * (tile.own_columns() * LINE))],
        };
        let acc = &group.accs[half];
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
