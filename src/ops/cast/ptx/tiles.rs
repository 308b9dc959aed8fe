//! Planes turned an element at a time, in tiles that pass through shared memory.

use super::{Spec, THREADS, TILE, Vals};
use crate::kernels::gpu::{Array, Space};
use crate::ptx::{Builder, Element, Ptr, Reg, Shared};

/// Rows of a tile that a block moves at a time.
const ROWS: u32 = THREADS / TILE;
/// Elements of a tile's row in shared memory: one more, so that a column lies in different banks.
const PITCH: u32 = TILE + 1;

impl Spec {
    pub(super) fn turned<'k>(self, k: &'k Builder, v: &Vals<'k>, rank: usize) {
        match self.conversion.from.size() {
            1 => self.tiles::<u8>(k, v, rank),
            2 => self.tiles::<u16>(k, v, rank),
            4 => self.tiles::<u32>(k, v, rank),
            _ => self.tiles::<u64>(k, v, rank),
        }
    }

    /// Tiles of 32 by 32 elements that only move, read along x's run and written along y's.
    fn tiles<'k, T: Element>(self, k: &'k Builder, v: &Vals<'k>, rank: usize) {
        let shared = k.shared::<T>(TILE * PITCH);
        let [column, row] = [k.thread_x() & (TILE - 1), k.thread_x() >> 5u32];
        let [across, along] = v.plane.map(|size| (size + u64::from(TILE - 1)) >> 5u32);
        let tile = k.var(k.block_x().to::<u64>());
        k.repeat_while(
            || tile.lt(v.count),
            || {
                let rest = tile / across;
                let plane = rest / along;
                let corner = [(tile - rest * across) << 5u32, (rest - plane * along) << 5u32];
                let outside = Space::<2>::locate(k, &v.space, rank, true, plane);
                let [x, y] = self.arrays(k, v);
                let tile_of = Tile { corner, thread: [column, row], plane: v.plane, steps: v.steps };
                tile_of.gather(k, x.at(outside[0]), shared);
                k.barrier();
                tile_of.scatter(k, y.at(outside[1]), shared);
                k.barrier(); // so that the next tile does not overwrite what others still read
                tile.set(tile + k.grid_blocks_x().to::<u64>());
            },
        );
    }
}

/// One tile of a plane, and the place of a thread in it.
struct Tile<'k> {
    corner: [Reg<'k, u64>; 2],
    /// Column and row.
    thread: [Reg<'k, u32>; 2],
    plane: [Reg<'k, u64>; 2],
    steps: [Reg<'k, u64>; 2],
}

impl<'k> Tile<'k> {
    /// From x to shared memory, neighbouring threads along x's run.
    fn gather<T: Element>(&self, k: &'k Builder, x: Array<'k>, shared: Ptr<'k, Shared<T>>) {
        self.lines(
            |i, j, at, inside| {
                let [column, line] = at;
                k.when(inside, || {
                    let value = x.at(k.mad(j, self.steps[0], i)).ptr::<T>().load();
                    shared.at(k.mad(line, PITCH, column)).store(value);
                });
            },
            [0, 1],
        );
    }

    /// From shared memory to y, neighbouring threads along y's run.
    fn scatter<T: Element>(&self, k: &'k Builder, y: Array<'k>, shared: Ptr<'k, Shared<T>>) {
        self.lines(
            |i, j, at, inside| {
                let [column, line] = at;
                k.when(inside, || {
                    let value = shared.at(k.mad(column, PITCH, line)).load();
                    y.at(k.mad(i, self.steps[1], j)).ptr::<T>().store(value);
                });
            },
            [1, 0],
        );
    }

    /// Calls `body` with the place in the plane, that in the tile and whether it is inside, for each of the thread's lines;
    /// `order` says which of column and line runs along x.
    fn lines(
        &self,
        body: impl Fn(Reg<'k, u64>, Reg<'k, u64>, [Reg<'k, u32>; 2], Reg<'k, bool>),
        order: [usize; 2],
    ) {
        for step in (0..TILE).step_by(ROWS as usize) {
            let at = [self.thread[0], self.thread[1] + step];
            let [i, j] = [0, 1].map(|axis| self.corner[axis] + at[order[axis]].to::<u64>());
            let inside = i.lt(self.plane[0]) & j.lt(self.plane[1]);
            body(i, j, at, inside);
        }
    }
}
