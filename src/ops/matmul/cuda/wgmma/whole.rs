//! From sums in registers to D where a multiplication asks for all that there is: a warp has 32 columns of a row at a time.

use super::block::{Block, CONSUMERS, GROUP, Work};
use super::store::{LINE, NARROW, ROWS};
use super::sum::Group;
use crate::ops::matmul::cuda::arguments::Place;
use crate::ops::matmul::cuda::full::{Spot, Values};
use crate::ptx::{Cluster, Global, Ptr, Reg};

impl<'k> Block<'_, 'k> {
    /// By way of the warpgroup's slab, 32 columns after another.
    pub fn put_whole(&self, group: &Group<'k>, work: &Work<'k>) {
        let (k, lane) = (self.k, self.k.lane());
        let [row, col] = self.corner(group, work);
        let slab = self.slabs.displaced(group.number * super::block::SLAB).cast::<f32>();
        let warp = group.thread >> 5u32;
        let tile = Tile::new(self, work);
        let line = if self.form.tile.rows == 128 { k.mad(group.number, 4u32, warp) } else { warp };
        k.steps(0u32, self.form.tile.own_columns() / NARROW, 1u32, |number| {
            self.wait_for_group(group); // so that these sums do not overwrite what others still read
            for (n, sums) in (0..).zip(group.sums.chunks(NARROW as usize / 2)) {
                k.when(number.eq(n as u32), || self.spread(group, slab, LINE, sums));
            }
            self.wait_for_group(group);
            let (col, total) = (k.mad(number, NARROW, col) + lane, k.var(0.0f32));
            k.steps(warp, ROWS, 4u32, |line| {
                let sum = slab.at(k.mad(line, LINE, lane)).load();
                total.set(total + self.put_element(group, &tile, [row + line, col], sum));
            });
            self.put_column(work, self.form.tile.rows / 16, line, col, total);
        });
    }

    /// Those of a cluster, which lie in its blocks' shared memory, `length` to a row: a share of the rows each.
    pub fn put_whole_joined(
        &self,
        group: &Group<'k>,
        work: &Work<'k>,
        sums: &[Ptr<'k, Cluster<f32>>],
        length: u32,
    ) {
        let (k, columns) = (self.k, self.form.tile.columns);
        let share = self.form.tile.rows / self.form.joined;
        let thread = k.mad(group.number, GROUP, group.thread);
        let tile = Tile::new(self, work);
        let (across, total) = (thread & (columns - 1), k.var(0.0f32));
        let col = work.col + across;
        k.steps(thread, share * columns, CONSUMERS * GROUP, |number| {
            let line = k.mad(self.rank, share, number >> columns.ilog2());
            let at = k.mad(line, length, across);
            let parts: Vec<_> = sums.iter().map(|part| part.at(at).load()).collect();
            let sum = parts[1..].iter().fold(parts[0], |sum, part| k.add(sum, *part));
            total.set(total + self.put_element(group, &tile, [work.row + line, col], sum));
        });
        let each = self.form.lines_of_block();
        let line = k.mad(self.rank, each, thread >> columns.ilog2());
        self.put_column(work, each * self.form.joined, line, col, total);
    }

    /// Writes an element. Returns its value, 0 outside.
    fn put_element(
        &self,
        group: &Group<'k>,
        tile: &Tile<'k>,
        spot: [Reg<'k, u32>; 2],
        sum: Reg<'k, f32>,
    ) -> Reg<'k, f32> {
        let (k, v) = (self.k, &self.v.rest);
        let [row, col] = spot.map(|index| index.to::<u64>());
        let inside = row.lt(v.base.m) & col.lt(v.base.n);
        let spot = Spot { row, col, inside, at: tile.place.at, more: tile.more };
        k.warp_sync(u32::MAX);
        f32::whole(k, v, &spot, sum, &group.largest)
    }

    /// Writes a part of the sum of a column, line `line` of `each` of the tile's, where such sums are wanted.
    fn put_column(
        &self,
        work: &Work<'k>,
        each: u32,
        line: Reg<'k, u32>,
        col: Reg<'k, u32>,
        total: Reg<'k, f32>,
    ) {
        if !self.form.columns {
            return;
        }
        let (k, v) = (self.k, &self.v.rest);
        let line = k.mad(work.row >> self.form.tile.rows.ilog2(), each, line);
        let line = k.mad(work.matrix.to::<u64>(), v.down, line.to::<u64>());
        let (col, n) = (col.to::<u64>(), v.base.n);
        let at = k.mad(k.mad(line, n, col), 4u64, v.columns);
        k.when(col.lt(n), || Ptr::<Global<f32>>::new(at).store(total));
    }
}

/// Where a tile's operands lie.
struct Tile<'k> {
    place: Place<'k>,
    /// Those of aux, a_scale and b_scale.
    more: [Reg<'k, u64>; 3],
}

impl<'k> Tile<'k> {
    fn new(block: &Block<'_, 'k>, work: &Work<'k>) -> Self {
        let more = block.v.rest.locate_more(block.k, work.matrix.to::<u64>());
        Self { place: block.place(work), more }
    }
}
