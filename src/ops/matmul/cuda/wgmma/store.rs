//! From sums in registers to D: through shared memory by the accelerator, or element by element; or as sums.

use super::block::{Block, CONSUMERS, GROUP, SLAB, Work};
use super::lines::{self, Four};
use super::plan::End;
use super::sum::Group;
use crate::dtype::Dtype;
use crate::ops::matmul::cuda::arguments::Place;
use crate::ptx::tma::TensorTile;
use crate::ptx::{Global, Ptr, Reg, Shared, Turn};

/// Columns that the accelerator writes at once: 128 bytes.
const WIDE: u32 = 64;
/// Columns that are written element by element at once.
pub(super) const NARROW: u32 = 32;
/// Elements from one row of those to the next in shared memory: four rows lie in different banks.
pub(super) const LINE: u32 = NARROW + 8;
/// Rows of a warpgroup.
pub(super) const ROWS: u32 = 64;

const _: () = assert!(ROWS * LINE * 4 <= SLAB && 2 * ROWS * WIDE * 2 <= SLAB);

impl<'k> Block<'_, 'k> {
    /// Writes a tile's sums.
    pub fn put(&self, group: &Group<'k>, work: &Work<'k>) {
        match self.form.end {
            End::Tiles => self.put_tiles(group, work),
            End::Sums => self.put_sums(group, work),
            End::Any if self.form.full => self.put_whole(group, work),
            End::Any => self.put_any(group, work),
            End::Joined => self.put_joined(group, work),
        }
    }

    /// Waits for what the accelerator still writes, and tells the largest magnitude.
    pub fn put_all(&self, group: &Group<'k>) {
        if self.form.full {
            self.k.warp_sync(u32::MAX);
            group.largest.tell(self.k, &self.v.rest);
        }
        if self.form.end == End::Tiles {
            self.k.when(group.thread.eq(0u32), || self.k.bulk_wait(0));
        }
    }

    /// Where this warpgroup's part of the tile begins.
    pub fn corner(&self, group: &Group<'k>, work: &Work<'k>) -> [Reg<'k, u32>; 2] {
        let k = self.k;
        match self.form.tile.rows {
            128 => [k.mad(group.number, ROWS, work.row), work.col],
            _ => [work.row, k.mad(group.number, self.form.tile.own_columns(), work.col)],
        }
    }

    pub fn wait_for_group(&self, group: &Group<'k>) {
        self.k.warp_sync(u32::MAX); // lanes may come from loops and branches that ended elsewhere for others
        self.k.barrier_of(group.number + 1u32, GROUP);
    }

    /// Scaled, 64 columns at a time, by way of two slabs in turn: rows of 128 bytes, scattered as the accelerator reads them.
    fn put_tiles(&self, group: &Group<'k>, work: &Work<'k>) {
        let (k, first) = (self.k, group.thread.eq(0u32));
        let [row, col] = self.corner(group, work);
        let alpha = self.v.rest.base.alpha.to::<f32>();
        let dtype = self.form.lines.unwrap_or(Dtype::Bf16);
        let slab = self.slabs.displaced(group.number * SLAB);
        let lane = k.lane();
        let line = ((group.thread & 0x60u32) >> 1u32) + (lane & 15u32);
        let place = ((lane >> 4u32) ^ (lane & 7u32)) << 4u32;
        for (number, sums) in group.sums.chunks(WIDE as usize / 2).enumerate() {
            let slab = slab.plus(((number % 2) as u32 * ROWS * WIDE * 2) as i32);
            // Where the slabs of a tile are odd in number, the next tile begins with the one that was last.
            let last_too = number == 0 && (self.form.tile.own_columns() / WIDE) % 2 == 1;
            k.when(first, || k.bulk_wait_read(u32::from(!last_too)));
            self.wait_for_group(group);
            for (pair, sums) in (0..).zip(sums.chunks(8)) {
                let to = slab.displaced(k.mad(line, 128u32, place ^ (pair * 32u32)));
                let two = |i: usize| lines::pair(k, dtype, [sums[i] * alpha, sums[i + 1] * alpha]);
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
        let (k, v, lane) = (self.k, &self.v.rest.base, self.k.lane());
        let [row, col] = self.corner(group, work);
        let line = row + ((group.thread & 0x60u32) >> 1u32) + (lane >> 2u32);
        let col = col + (lane & 3u32) * 2u32;
        let [rows, cols] = [v.m, v.n].map(|size| size.to::<u32>());
        let number = k.mad(work.part.to::<u64>(), v.all, work.matrix.to::<u64>());
        for below in [0, 8] {
            let row = line + below;
            let at = k.mad(k.mad(number, v.m, row.to::<u64>()), v.n, col.to::<u64>());
            let to = Ptr::<Global<f32>>::new(k.mad(at, 4u64, v.sums));
            let inside = row.lt(rows);
            for (number, sums) in (0..).zip(group.sums.chunks(4)) {
                for i in 0..2 {
                    let there = inside & (col + (number * 8 + i)).lt(cols);
                    to.plus((number * 8 + i) as i32).store_if(there, sums[(below / 4 + i) as usize]);
                }
            }
        }
    }

    /// Each element as any multiplication may want it: neighbouring threads write neighbouring columns.
    fn put_any(&self, group: &Group<'k>, work: &Work<'k>) {
        let (k, place) = (self.k, self.place(work));
        let [row, col] = self.corner(group, work);
        let slab = self.slabs.displaced(group.number * SLAB).cast::<f32>();
        let (line, across) = (group.thread >> 3u32, col + (group.thread & 7u32) * 4u32);
        let slabs = group.sums.chunks(NARROW as usize / 2);
        let mut next = self.bias(&place, across);
        for (number, sums) in (0..).zip(slabs) {
            let (col, bias) = (across + number * NARROW, next);
            next = self.bias(&place, col + NARROW); // is there when it is needed
            self.wait_for_group(group); // so that these sums do not overwrite what others still read
            self.spread(group, slab, LINE, sums);
            self.wait_for_group(group);
            self.walk([4, 2], |unroll, end| {
                k.steps(line, ROWS, unroll * 16, |line| {
                    let four = |n: u32| {
                        let line = line + n * 16;
                        let sums = slab.at(k.mad(line, LINE, (group.thread & 7u32) * 4u32)).load_vec::<4>();
                        Four { row: row + line, col, sums, bias }
                    };
                    self.put_fours(&place, &(0..unroll).map(four).collect::<Vec<_>>(), end);
                });
            });
        }
    }

    /// The sums of all blocks of the cluster, which lie where the stages lay, added up in order: a share of the rows each.
    fn put_joined(&self, group: &Group<'k>, work: &Work<'k>) {
        let (k, tile, parts) = (self.k, self.form.tile, self.form.joined);
        let (length, sums) = (tile.columns + 8, self.stages.cast::<f32>());
        k.warp_sync(u32::MAX);
        k.barrier_of(CONSUMERS + 1, CONSUMERS * GROUP); // so that nobody reads the stages any more
        let own = if tile.rows == 128 { ROWS * length } else { tile.own_columns() };
        self.spread(group, sums.at(group.number * own), length, &group.sums);
        self.meet();
        let blocks: Vec<_> = (0..parts).map(|part| sums.of_block(part)).collect();
        if self.form.full {
            return self.put_whole_joined(group, work, &blocks, length);
        }
        let (place, share) = (self.place(work), tile.rows / parts);
        let thread = k.mad(group.number, GROUP, group.thread);
        let (all, step) = (share * tile.columns / 4, CONSUMERS * GROUP);
        let unroll = (all / step).min(4);
        self.walk([unroll, unroll.min(2)], |unroll, end| {
            k.steps(thread, all, step * unroll, |first| {
                let four = |n: u32| {
                    let (number, across) = (first + n * step, tile.columns / 4);
                    let line = k.mad(self.rank, share, number >> across.ilog2());
                    let col = (number & (across - 1)) * 4u32;
                    let at = k.mad(line, length, col);
                    let bias = self.bias(&place, work.col + col);
                    let parts: Vec<_> = blocks.iter().map(|block| block.at(at).load_vec::<4>()).collect();
                    let sum = |i: usize| parts[1..].iter().fold(parts[0][i], |sum, part| k.add(sum, part[i]));
                    Four { row: work.row + line, col: work.col + col, sums: [0, 1, 2, 3].map(sum), bias }
                };
                self.put_fours(&place, &(0..unroll).map(four).collect::<Vec<_>>(), end);
            });
        });
    }

    pub fn place(&self, work: &Work<'k>) -> Place<'k> {
        let at = self.v.rest.base.locate(self.k, work.matrix.to::<u64>());
        Place { matrix: work.matrix, part: work.part, at }
    }

    /// Stores this thread's sums, `length` elements from row to row.
    pub fn spread(&self, group: &Group<'k>, slab: Ptr<'k, Shared<f32>>, length: u32, sums: &[Reg<'k, f32>]) {
        let (k, lane) = (self.k, self.k.lane());
        let line = ((group.thread & 0x60u32) >> 1u32) + (lane >> 2u32);
        let to = slab.at(k.mad(line, length, (lane & 3u32) * 2u32));
        for (number, sums) in (0..).zip(sums.chunks(4)) {
            let to = to.plus(number * 8);
            to.store_vec([sums[0], sums[1]]);
            to.plus((8 * length) as i32).store_vec([sums[2], sums[3]]);
        }
    }
}
