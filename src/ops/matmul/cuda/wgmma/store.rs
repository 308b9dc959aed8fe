//! From sums in registers to D: through shared memory by the accelerator, or element by element; or as sums.

use super::block::{Block, GROUP, Half, SLAB, Work};
use super::plan::End;
use super::sum::Group;
use crate::ops::matmul::cuda::arguments::Place;
use crate::ops::matmul::cuda::finish::finish;
use crate::ptx::tma::TensorTile;
use crate::ptx::{Global, Ptr, Reg, Shared, Turn};

/// Columns that the accelerator writes at once: 128 bytes.
const WIDE: u32 = 64;
/// Columns that are written element by element at once.
const NARROW: u32 = 32;
/// Elements from one row of those to the next in shared memory: four rows lie in different banks.
const LINE: u32 = NARROW + 8;
/// Rows of a warpgroup.
const ROWS: u32 = 64;

const _: () = assert!(ROWS * LINE * 4 <= SLAB && 2 * ROWS * WIDE * 2 <= SLAB);

impl<'k, T: Half> Block<'_, 'k, T> {
    /// Writes a tile's sums.
    pub fn put(&self, group: &Group<'k>, work: &Work<'k>) {
        match self.form.end {
            End::Tiles => self.put_tiles(group, work),
            End::Sums => self.put_sums(group, work),
            End::Any => self.put_any(group, work),
        }
    }

    /// Waits for what the accelerator still writes.
    pub fn put_all(&self, group: &Group<'k>) {
        if self.form.end == End::Tiles {
            self.k.when(group.thread.eq(0u32), || self.k.bulk_wait(0));
        }
    }

    /// Where this warpgroup's part of the tile begins.
    fn corner(&self, group: &Group<'k>, work: &Work<'k>) -> [Reg<'k, u32>; 2] {
        let k = self.k;
        match self.form.tile.rows {
            128 => [k.mad(group.number, ROWS, work.row), work.col],
            _ => [work.row, k.mad(group.number, self.form.tile.own_columns(), work.col)],
        }
    }

    fn wait_for_group(&self, group: &Group<'k>) {
        self.k.barrier_of(group.number + 1u32, GROUP);
    }

    /// Scaled, 64 columns at a time, by way of two slabs in turn: rows of 128 bytes, scattered as the accelerator reads them.
    fn put_tiles(&self, group: &Group<'k>, work: &Work<'k>) {
        let (k, first) = (self.k, group.thread.eq(0u32));
        let [row, col] = self.corner(group, work);
        let alpha = self.v.rest.alpha.to::<f32>();
        let slab = self.slabs.displaced(group.number * SLAB);
        let lane = k.lane();
        let line = ((group.thread & 0x60u32) >> 1u32) + (lane & 15u32);
        let place = ((lane >> 4u32) ^ (lane & 7u32)) << 4u32;
        for (number, sums) in group.acc.registers().chunks(WIDE as usize / 2).enumerate() {
            let slab = slab.plus(((number % 2) as u32 * ROWS * WIDE) as i32);
            k.when(first, || k.bulk_wait_read(1));
            self.wait_for_group(group);
            for (pair, sums) in (0..).zip(sums.chunks(8)) {
                let to = slab.displaced(k.mad(line, 128u32, place ^ (pair * 32u32)));
                let two = |i: usize| k.pair::<T::Packed>(sums[i] * alpha, sums[i + 1] * alpha);
                to.store_matrix(Turn::Straight, [two(0), two(2), two(4), two(6)]);
            }
            k.fence_async_shared();
            self.wait_for_group(group);
            k.when(first, || {
                let at = [col + number as u32 * WIDE, row, work.matrix].map(|index| index.bits::<i32>());
                slab.tile_to(&TensorTile::new(self.v.maps[2], at));
                k.bulk_commit();
            });
        }
    }

    /// As they are, to the sums of this part.
    fn put_sums(&self, group: &Group<'k>, work: &Work<'k>) {
        let (k, v, lane) = (self.k, &self.v.rest, self.k.lane());
        let [row, col] = self.corner(group, work);
        let line = row + ((group.thread & 0x60u32) >> 1u32) + (lane >> 2u32);
        let col = col + (lane & 3u32) * 2u32;
        let [rows, cols] = [v.m, v.n].map(|size| size.to::<u32>());
        let number = k.mad(work.part.to::<u64>(), v.all, work.matrix.to::<u64>());
        for below in [0, 8] {
            let row = line + below as u32;
            let at = k.mad(k.mad(number, v.m, row.to::<u64>()), v.n, col.to::<u64>());
            let to = Ptr::<Global<f32>>::new(k.mad(at, 4u64, v.sums));
            let inside = row.lt(rows);
            for (number, sums) in (0..).zip(group.acc.registers().chunks(4)) {
                for i in 0..2 {
                    let there = inside & (col + (number * 8 + i)).lt(cols);
                    to.plus((number * 8 + i) as i32).store_if(there, sums[(below / 4 + i) as usize]);
                }
            }
        }
    }

    /// Each element as any multiplication may want it: neighbouring threads write neighbouring columns.
    fn put_any(&self, group: &Group<'k>, work: &Work<'k>) {
        let (k, v) = (self.k, &self.v.rest);
        let [row, col] = self.corner(group, work);
        let at = v.locate(k, work.matrix.to::<u64>());
        let place = Place { matrix: work.matrix, part: work.part, at };
        let slab = self.slabs.displaced(group.number * SLAB).cast::<f32>();
        for (number, sums) in (0..).zip(group.acc.registers().chunks(NARROW as usize / 2)) {
            self.wait_for_group(group); // so that these sums do not overwrite what others still read
            self.spread(group, slab, sums);
            self.wait_for_group(group);
            k.steps(group.thread, ROWS * NARROW, GROUP, |element| {
                let (line, column) = (element >> NARROW.ilog2(), element & (NARROW - 1));
                let sum = slab.at(k.mad(line, LINE, column)).load();
                let [row, col] = [row + line, col + column + number * NARROW].map(|index| index.to::<u64>());
                k.when(row.lt(v.m) & col.lt(v.n), || finish(k, v, &place, [row, col], sum));
            });
        }
    }

    /// Stores this thread's sums of 32 columns.
    fn spread(&self, group: &Group<'k>, slab: Ptr<'k, Shared<f32>>, sums: &[Reg<'k, f32>]) {
        let (k, lane) = (self.k, self.k.lane());
        let line = ((group.thread & 0x60u32) >> 1u32) + (lane >> 2u32);
        let to = slab.at(k.mad(line, LINE, (lane & 3u32) * 2u32));
        for (number, sums) in (0..).zip(sums.chunks(4)) {
            let to = to.plus(number * 8);
            to.store_vec([sums[0], sums[1]]);
            to.plus((8 * LINE) as i32).store_vec([sums[2], sums[3]]);
        }
    }
}
