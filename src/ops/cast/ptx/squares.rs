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
/// Squares of a band at most.
pub(in crate::ops::cast) const BAND: u64 = 16;
/// Neighbours in a band that a block turns together: y's lines are written in pieces as long as that.
pub(in crate::ops::cast) const TOGETHER: u32 = 4;
/// Vectors of a line.
const VECTORS: u32 = LINE / 16;

/// Where a square lies.
struct Square<'k> {
    /// Its first element, along x's run and along y's.
    corner: [Reg<'k, u64>; 2],
    /// The plane's first element in x and in y.
    outside: [Reg<'k, u64>; 2],
}

impl Spec {
    /// Squares of elements that only move, read along x's run and written along y's.
    pub(super) fn squares<'k>(self, k: &'k Builder, v: &Vals<'k>, rank: usize) {
        let words = self.side() * LINE / 4;
        let shared = k.shared_aligned::<u32>(TOGETHER * words, 16);
        let slabs = [0, 1, 2, 3].map(|slab| shared.plus((slab * words) as i32));
        let [x, y] = self.arrays(k, v);
        let first = k.var(k.block_x() * TOGETHER);
        let count = v.count.to::<u32>();
        k.repeat_while(
            || first.lt(count),
            || {
                let squares = [0, 1, 2, 3].map(|number| self.square(k, v, rank, first + number));
                let loads = squares.each_ref().map(|square| self.gather(k, v, square, x));
                slabs.iter().zip(loads).for_each(|(&slab, loads)| self.keep(k, loads, slab));
                k.barrier();
                squares.iter().zip(slabs).for_each(|(square, slab)| self.scatter(k, v, square, y, slab));
                k.barrier(); // so that the next squares do not overwrite what others still read
                first.set(first + k.grid_blocks_x() * TOGETHER);
            },
        );
    }

    /// Square `number`.
    fn square<'k>(self, k: &'k Builder, v: &Vals<'k>, rank: usize, number: Reg<'k, u32>) -> Square<'k> {
        let (plane, places) = self.place(v, number);
        let corner = places.map(|place| place.to::<u64>() << self.side().ilog2());
        Square { corner, outside: Space::<2>::locate(k, &v.space, rank, true, plane.to::<u64>()) }
    }

    /// Of square `number` the plane, and its place along x's run and along y's: neighbouring numbers are those of a band along
    /// y's run, so that y's lines are written some squares at a time. The last band may reach beyond the plane.
    fn place<'k>(self, v: &Vals<'k>, number: Reg<'k, u32>) -> (Reg<'k, u32>, [Reg<'k, u32>; 2]) {
        let side = self.side();
        let squares = |n: usize| ((v.plane[n] + u64::from(side - 1)) >> side.ilog2()).to::<u32>();
        let (across, bands) = (squares(0), (squares(1) + (v.band - 1u32)) / v.band);
        let line = number / v.band;
        let inside = number - line * v.band;
        let band = line / across;
        let plane = band / bands;
        (plane, [line - band * across, (band - plane * bands) * v.band + inside])
    }

    /// This thread's vectors of x.
    fn gather<'k>(
        self,
        k: &'k Builder,
        v: &Vals<'k>,
        square: &Square<'k>,
        x: Array<'k>,
    ) -> Vec<[Reg<'k, u32>; 4]> {
        let (corner, x) = (square.corner, x.at(square.outside[0]));
        let vector = k.thread_x() & (VECTORS - 1);
        let lines = self.lines(k);
        let there = self.there(k, v.plane, corner, &lines, vector);
        let places = self.places(k, x, v.steps[0], corner, &lines, vector);
        let load = |(at, &there): (&Array<'k>, &Reg<'k, bool>)| {
            at.ptr::<u32>().loading(Load::Ahead256).load_vec_if::<4>(there, 0u32)
        };
        places.iter().zip(&there).map(load).collect()
    }

    /// Them in shared memory.
    fn keep<'k>(self, k: &'k Builder, loads: Vec<[Reg<'k, u32>; 4]>, shared: Ptr<'k, Shared<u32>>) {
        let vector = k.thread_x() & (VECTORS - 1);
        for (line, words) in self.lines(k).into_iter().zip(loads) {
            let place = vector ^ (line >> self.lanes().ilog2());
            shared.at(k.mad(line, LINE / 4, place * 4u32)).store_vec(words);
        }
    }

    /// From shared memory to y.
    fn scatter<'k>(
        self,
        k: &'k Builder,
        v: &Vals<'k>,
        square: &Square<'k>,
        y: Array<'k>,
        shared: Ptr<'k, Shared<u32>>,
    ) {
        let vector = k.thread_x() & (VECTORS - 1);
        let lines = self.lines(k);
        let y = y.at(square.outside[1]);
        let [corner, plane] = [square.corner, v.plane].map(|[i, j]| [j, i]);
        let there = self.there(k, plane, corner, &lines, vector);
        let places = self.places(k, y, v.steps[1], corner, &lines, vector);
        for ((&column, at), there) in lines.iter().zip(places).zip(there) {
            let place = (column >> self.lanes().ilog2()) ^ vector;
            let inside = column & (self.lanes() - 1);
            let element = k.mad(vector, self.lanes() * self.side(), k.mad(place, self.lanes(), inside));
            let words = self.column(k, shared.cast::<u8>().at(element * self.conversion.from.size() as u32));
            let [a, b, c, d] = [0, 1, 2, 3].map(|word: usize| words[word]);
            k.only(there, || at.ptr::<u32>().store_vec([a, b, c, d]));
        }
    }

    /// Whether the plane has this vector, along its first axis, of each of the lines.
    fn there<'k>(
        self,
        k: &'k Builder,
        plane: [Reg<'k, u64>; 2],
        corner: [Reg<'k, u64>; 2],
        lines: &[Reg<'k, u32>],
        vector: Reg<'k, u32>,
    ) -> Vec<Reg<'k, bool>> {
        let left = |axis: usize| {
            let behind = k.max(plane[axis], corner[axis]) - corner[axis];
            k.min(behind, u64::from(self.side())).to::<u32>()
        };
        let (across, down) = ((vector * self.lanes()).lt(left(0)), left(1));
        lines.iter().map(|line| across & line.lt(down)).collect()
    }

    /// Where the lines' vectors are, which are `step` apart.
    fn places<'k>(
        self,
        k: &'k Builder,
        origin: Array<'k>,
        step: Reg<'k, u64>,
        corner: [Reg<'k, u64>; 2],
        lines: &[Reg<'k, u32>],
        vector: Reg<'k, u32>,
    ) -> Vec<Array<'k>> {
        let across = corner[0] + (vector * self.lanes()).to::<u64>();
        let first = origin.at(k.mad(corner[1] + lines[0].to::<u64>(), step, across));
        let further = step * u64::from(self.height() * self.conversion.from.size() as u32);
        let next = |at: &Array<'k>| Some(Array::new(k, at.dtype, at.address() + further));
        std::iter::successors(Some(first), next).take(lines.len()).collect()
    }

    /// Lines that a block moves at a time.
    fn height(self) -> u32 {
        self.square_threads() / VECTORS
    }

    /// Threads of a block: no more than a square has vectors.
    pub(super) fn square_threads(self) -> u32 {
        (self.side() * VECTORS).min(SQUARE_THREADS)
    }

    /// The lines of the square that are the thread's.
    fn lines<'k>(self, k: &'k Builder) -> Vec<Reg<'k, u32>> {
        let first = k.thread_x() >> VECTORS.ilog2();
        (0..self.side()).step_by(self.height() as usize).map(|line| first + line).collect()
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
