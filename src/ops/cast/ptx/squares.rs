//! Planes turned by vectors of 16 bytes, in squares whose lines have 128 bytes, through shared memory.
//!
//! Vector `c` of line `r` of a square lies at vector c ^ (r / lanes) of its line in shared memory, lanes being the elements of a
//! vector: so eight threads that write a line, and eight that read an element each of as many lines a vector's height apart,
//! find eight different groups of banks.

use super::{SQUARE_THREADS, Spec, Vals};
use crate::kernels::gpu::{Array, Lane, Space};
use crate::ptx::{Builder, Load, Ptr, Reg, Shared};

/// Bytes of a line.
pub(super) const LINE: u32 = 128;
/// Vectors of a line.
const VECTORS: u32 = LINE / 16;
/// Lines that a block moves at a time.
const LINES: u32 = SQUARE_THREADS / VECTORS;

impl Spec {
    /// Squares of elements that only move, read along x's run and written along y's.
    pub(super) fn squares<'k>(self, k: &'k Builder, v: &Vals<'k>, rank: usize) {
        let shared = k.shared_aligned::<u32>(self.side() * LINE / 4, 16);
        let side = self.side();
        let [across, along] = v.plane.map(|size| (size + u64::from(side - 1)) >> side.ilog2());
        let square = k.var(k.block_x().to::<u64>());
        k.repeat_while(
            || square.lt(v.count),
            || {
                let rest = square / across;
                let plane = rest / along;
                let places = [square - rest * across, rest - plane * along];
                let corner = places.map(|place| place << side.ilog2());
                let outside = Space::<2>::locate(k, &v.space, rank, true, plane);
                let [x, y] = self.arrays(k, v);
                self.gather(k, v, corner, x.at(outside[0]), shared);
                k.barrier();
                self.scatter(k, v, corner, y.at(outside[1]), shared);
                k.barrier(); // so that the next square does not overwrite what others still read
                square.set(square + k.grid_blocks_x().to::<u64>());
            },
        );
    }

    /// From x to shared memory: all loads, then all stores.
    fn gather<'k>(
        self,
        k: &'k Builder,
        v: &Vals<'k>,
        corner: [Reg<'k, u64>; 2],
        x: Array<'k>,
        shared: Ptr<'k, Shared<u32>>,
    ) {
        let vector = k.thread_x() & (VECTORS - 1);
        let i = corner[0] + (vector * self.lanes()).to::<u64>();
        let lines = self.lines(k);
        let load = |&line: &Reg<'k, u32>| {
            let j = corner[1] + line.to::<u64>();
            let from = x.at(k.mad(j, v.steps[0], i)).ptr::<u32>().loading(Load::NoAllocate);
            from.load_vec_if::<4>(i.lt(v.plane[0]) & j.lt(v.plane[1]), 0u32)
        };
        let loads: Vec<_> = lines.iter().map(load).collect();
        for (&line, words) in lines.iter().zip(loads) {
            let place = vector ^ (line >> self.lanes().ilog2());
            shared.at(k.mad(line, LINE / 4, place * 4u32)).store_vec(words);
        }
    }

    /// From shared memory to y.
    fn scatter<'k>(
        self,
        k: &'k Builder,
        v: &Vals<'k>,
        corner: [Reg<'k, u64>; 2],
        y: Array<'k>,
        shared: Ptr<'k, Shared<u32>>,
    ) {
        let vector = k.thread_x() & (VECTORS - 1);
        let j = corner[1] + (vector * self.lanes()).to::<u64>();
        for column in self.lines(k) {
            let i = corner[0] + column.to::<u64>();
            let place = (column >> self.lanes().ilog2()) ^ vector;
            let inside = column & (self.lanes() - 1);
            let element = k.mad(vector, self.lanes() * self.side(), k.mad(place, self.lanes(), inside));
            let words = self.column(k, shared.cast::<u8>().at(element * self.conversion.from.size() as u32));
            let to = y.at(k.mad(i, v.steps[1], j)).ptr::<u32>();
            let [a, b, c, d] = [0, 1, 2, 3].map(|word: usize| words[word]);
            k.when(i.lt(v.plane[0]) & j.lt(v.plane[1]), || to.store_vec([a, b, c, d]));
        }
    }

    /// The lines of the square that are the thread's.
    fn lines<'k>(self, k: &'k Builder) -> Vec<Reg<'k, u32>> {
        let first = k.thread_x() >> VECTORS.ilog2();
        (0..self.side()).step_by(LINES as usize).map(|line| first + line).collect()
    }

    /// A vector of elements that lie one below the other from `at` on.
    fn column<'k>(self, k: &'k Builder, at: Ptr<'k, Shared<u8>>) -> Vec<Reg<'k, u32>> {
        let down = |line: u32| (line * LINE) as i32;
        let lanes = 0..self.lanes();
        let words: Vec<Reg<'k, u32>> = match self.conversion.from.size() {
            1 => lanes.map(|line| at.plus(down(line)).load().to()).collect(),
            2 => lanes.map(|line| at.plus(down(line)).cast::<u16>().load().to()).collect(),
            4 => lanes.map(|line| at.plus(down(line)).cast::<u32>().load()).collect(),
            _ => lanes.flat_map(|line| at.plus(down(line)).cast::<u32>().load_vec::<2>()).collect(),
        };
        if self.conversion.from.size() >= 4 { words } else { Lane::pack(k, self.conversion.from, &words) }
    }
}
