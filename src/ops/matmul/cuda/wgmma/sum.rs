//! The warpgroups that multiply.

use super::block::{Block, GROUP, Half, Ring, Work};
use crate::ptx::Reg;
use crate::ptx::wgmma::{Major, Swizzle, Tile, WideAcc};

/// Bytes of eight rows of 128.
const EIGHT: u32 = 1024;
/// Bytes from 64 elements across k to the next 64, in each of which a step lies.
const CHUNK: u32 = 8192;
/// Registers of a thread.
const REGISTERS: u32 = 232;
/// What one instruction multiplies of a step: 16 of its 64 elements along k.
const PIECES: u32 = 4;

/// What a warpgroup keeps from tile to tile.
pub struct Group<'k> {
    /// Which one: 0 or 1.
    pub number: Reg<'k, u32>,
    /// This thread within it.
    pub thread: Reg<'k, u32>,
    pub acc: WideAcc<'k>,
}

impl<'k, T: Half> Block<'_, 'k, T> {
    /// Multiplies tile after tile, and writes them.
    pub fn consume(&self) {
        let k = self.k;
        k.registers_up(REGISTERS);
        let group = Group {
            number: self.group - 1u32,
            thread: k.thread_x() & (GROUP - 1),
            acc: k.wide_acc(self.form.tile.own_columns()),
        };
        let ring = Ring::new(k, 0);
        self.each(|work| {
            self.sum_up(&group, &ring, work);
            self.put(&group, work);
        });
        self.put_all(&group);
        self.meet();
    }

    /// The sums over a tile's steps: while one is multiplied, the one before is given back.
    fn sum_up(&self, group: &Group<'k>, ring: &Ring<'k>, work: &Work<'k>) {
        let (k, yes) = (self.k, self.k.var(true));
        let before = k.var(0u32);
        k.steps(0u32, work.count, 1u32, |step| {
            let more = step.ne(0u32);
            self.full.at(ring.stage).wait(ring.parity);
            self.multiply(group, ring.stage, [more, yes]);
            k.wgmma_wait(1);
            self.give_back(before, more);
            before.set(ring.stage);
            ring.advance(k, self.stage_count());
        });
        k.wgmma_wait(0);
        self.give_back(before, yes);
    }

    /// Multiplies what lies in a stage; `add` says of the first product and of the others whether they are added to the sums.
    fn multiply(&self, group: &Group<'k>, stage: Reg<'k, u32>, add: [Reg<'k, bool>; 2]) {
        let (k, tile, at) = (self.k, self.form.tile, self.stage(stage));
        let b = at.plus((tile.rows * 64) as i32);
        let (a, b) = match tile.rows {
            128 => (at.displaced(group.number * (64 * 128)), b),
            _ => (at, b.displaced(group.number * (tile.own_columns() * 128))),
        };
        let lies =
            self.form.along.map(|along| if along { (Major::Depth, 32) } else { (Major::Outer, 2 * EIGHT) });
        let [a, b] = [a, b].map(|at| Tile::new(&at, Swizzle::Bytes128, CHUNK, EIGHT));
        k.wgmma_fence();
        for piece in 0..PIECES {
            let [a, b] =
                [(a, lies[0]), (b, lies[1])].map(|(at, (major, step))| (at.plus(piece * step), major));
            group.acc.wgmma(a, b, add[usize::from(piece > 0)]);
        }
        k.wgmma_commit();
    }

    /// This warp does not read the stage any more.
    fn give_back(&self, stage: Reg<'k, u32>, condition: Reg<'k, bool>) {
        let (k, barrier) = (self.k, self.empty.at(stage));
        k.only(condition & k.lane().eq(0u32), || barrier.arrive());
    }
}
