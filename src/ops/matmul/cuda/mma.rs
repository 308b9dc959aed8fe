//! Half types on the tensor cores, for machines with nothing but a driver: tiles of A and B come to shared memory while
//! earlier ones are multiplied, each warp sums up 64 x 32 elements of D in f32.

use super::Task;
use super::arguments::{Args, Place, Vals, arguments, each};
use super::finish::finish;
use super::order;
use super::panel::{self, DEPTH, EDGE, Panel, THREADS};
use super::rows::is_aligned;
use crate::device::cuda::{Key, Stream};
use crate::dtype::{Dtype, bf16, f16};
use crate::ops::matmul::problem::{Problem, View};
use crate::ptx::mma::{A, Acc, B, Mma};
use crate::ptx::{Builder, Element, Kernel, Ptr, Reg, Shape, Shared, Target, Turn};
use crate::status::Result;

/// Tiles of A and B in shared memory: one is multiplied, the others are on their way.
const STAGES: u32 = 3;
/// Elements of a stage: A, then B.
const STAGE: u32 = 2 * panel::LEN;
/// Rows and columns of D that a warp computes; 2 x 4 warps share a tile.
const WARP: [u32; 2] = [64, 32];
/// Elements from one row of sums to the next in shared memory.
const LINE: u32 = EDGE + 4;
/// Rows, columns and k at most, each.
const LONGEST: usize = 1 << 30;

/// Rows of sums that wait in shared memory at once lie where the tiles lay.
const _: () = assert!(WARP[0] * LINE * 4 <= STAGES * STAGE * 2);

/// Two factors of one half type, whose lines along k or across it are contiguous and aligned to 16 bytes.
pub fn accepts(task: &Task, _: &Stream) -> bool {
    let p = &task.problem;
    let half = p.a.dtype == p.b.dtype && p.a.dtype.size() == 2;
    half && p.k > 0 && p.m.max(p.n).max(p.k) <= LONGEST && along(p).is_some()
}

/// Of A and B, whether lines along k are contiguous, not those across it.
fn along(p: &Problem) -> Option<[bool; 2]> {
    Some([line(p, &p.a, 0, [p.a.row, p.a.col], p.m)?, line(p, &p.b, 1, [p.b.col, p.b.row], p.n)?])
}

fn line(p: &Problem, view: &View, operand: usize, [outer, inner]: [isize; 2], count: usize) -> Option<bool> {
    let along = inner == 1 && is_aligned(p, view, outer, operand, count);
    let across = outer == 1 && is_aligned(p, view, inner, operand, p.k);
    (along || across).then_some(along)
}

/// Multiplies.
pub fn run(task: &Task, stream: &Stream) -> Result<()> {
    let p = &task.problem;
    let along = along(p).unwrap_or_default(); // there is one, as `accepts` saw
    let tiles = |size: usize| (size as u64).div_ceil(u64::from(EDGE));
    let args = Args { more: [tiles(p.n) as u32, tiles(p.m) as u32, 0], ..arguments(p) };
    let [a, b] = along.map(u32::from);
    let key = Key("matmul_mma", [p.a.dtype as u32, a, b, 0, 0, 0, 0, 0]);
    let kernel = stream.kernel(key, |target| write(target, p.a.dtype, along))?;
    each(p, stream, tiles(p.m) * tiles(p.n), &args, |stream, grid, args| {
        // SAFETY: the operands live as long as the request's work; the kernel stays inside them, and what it reads at once
        // is aligned to 16 bytes.
        unsafe { kernel.launch(stream, grid, args) }
    })
}

/// The kernel for this half type, and for factors whose lines along k are contiguous or not.
pub fn write(target: Target, dtype: Dtype, along: [bool; 2]) -> Result<Kernel<Args>> {
    let [a, b] = along.map(u32::from);
    let name = format!("matmul_mma_{}_{a}_{b}", dtype.name().to_lowercase());
    let shape = Shape::new(name, target, [THREADS, 1, 1]).min_blocks(1);
    match dtype {
        Dtype::F16 => build::<f16>(&shape, along),
        _ => build::<bf16>(&shape, along),
    }
}

fn build<T: Half>(shape: &Shape, along: [bool; 2]) -> Result<Kernel<Args>> {
    Kernel::build(shape, |k, v: Vals<'_>| {
        let block = Block::<T>::new(k, &v, along);
        v.each_place(k, |place| block.tile(place));
    })
}

/// f16 and bf16.
pub trait Half: Mma<Self, f32, 16> + Element {}
impl Half for f16 {}
impl Half for bf16 {}

/// What a block keeps from tile to tile.
struct Block<'v, 'k, T: Half> {
    k: &'k Builder,
    v: &'v Vals<'k>,
    along: [bool; 2],
    shared: Ptr<'k, Shared<T>>,
    /// Where this lane's rows of its warp's parts of A and B begin in the first stage.
    from: [Ptr<'k, Shared<T>>; 2],
    /// Where this warp's part of D begins in the tile.
    corner: [Reg<'k, u32>; 2],
    /// 4 x 4 tiles of 16 x 8.
    sums: Vec<Acc<'k, f32>>,
}

impl<'v, 'k, T: Half> Block<'v, 'k, T> {
    fn new(k: &'k Builder, v: &'v Vals<'k>, along: [bool; 2]) -> Self {
        let shared = k.shared::<T>(STAGES * STAGE);
        let (warp, lane) = (k.warp(), k.lane());
        let corner = [(warp >> 2u32) * WARP[0], (warp & 3u32) * WARP[1]];
        // As ldmatrix takes them: lanes 8 to 15 begin 8 further in the first direction, lanes from 16 on in the second.
        let (row, second, third) = (lane & 7u32, (lane >> 3u32) & 1u32, lane >> 4u32);
        let [a, b] = [row + second * 8u32, row + third * 8u32];
        let a = match along[0] {
            true => panel::at(k, true, corner[0] + a, third * 8u32),
            false => panel::at(k, false, corner[0] + second * 8u32, row + third * 8u32),
        };
        let b = match along[1] {
            true => panel::at(k, true, corner[1] + b, second * 8u32),
            false => panel::at(k, false, corner[1] + third * 8u32, row + second * 8u32),
        };
        let from = [shared.at(a), shared.plus(panel::LEN as i32).at(b)];
        Self { k, v, along, shared, from, corner, sums: (0..16).map(|_| k.acc()).collect() }
    }

    /// One tile of D.
    fn tile(&self, place: &Place<'k>) {
        let [across, down, _] = self.v.more;
        let [row, col] = order::tile(self.k, place.part, [down, across]).map(|tile| tile * EDGE);
        let [end, cols, depth] = [self.v.m, self.v.n, self.v.k].map(|size| size.to::<u32>());
        let strides = |index| self.v.strides.get(index);
        let (a_lines, b_lines) = (usize::from(!self.along[0]), 2 + usize::from(self.along[1]));
        let a = panel::Lines { at: place.at[0], stride: strides(a_lines), from: row, end, depth };
        let b = panel::Lines { at: place.at[1], stride: strides(b_lines), from: col, end: cols, depth };
        let to = [self.shared, self.shared.plus(panel::LEN as i32)];
        self.sum_up(&[
            Panel::new(self.k, self.along[0], &a, to[0]),
            Panel::new(self.k, self.along[1], &b, to[1]),
        ]);
        self.finish_tile(place, row, col);
    }

    /// The sums over all of k.
    fn sum_up(&self, panels: &[Panel<'k, T>; 2]) {
        let (k, end) = (self.k, self.v.k.to::<u32>());
        let [read, write] = [0u32, 0].map(|stage| k.var(stage));
        for sum in &self.sums {
            sum.registers().iter().for_each(|sum| sum.set(0.0f32));
        }
        let fetch = || {
            panels.iter().for_each(|panel| panel.fetch(write));
            k.copies_commit();
            write.set(next(k, write));
        };
        (1..STAGES).for_each(|_| fetch());
        k.steps(0u32, end, DEPTH, |_| {
            // Its own part of this tile is there; behind the barrier all parts are, and the tile before is done with.
            k.copies_wait(STAGES - 2);
            k.barrier();
            fetch();
            self.multiply(read);
            read.set(next(k, read));
        });
        k.copies_wait_all();
        k.barrier(); // so that the sums do not overwrite what others still read
    }

    /// Adds the products of what lies `offset` bytes into shared memory.
    fn multiply(&self, offset: Reg<'k, u32>) {
        let [a, b] = self.from.map(|from| from.displaced(offset));
        let turn = self.along.map(|along| if along { Turn::Straight } else { Turn::Transposed });
        for depth in [0, 16] {
            let part = |number: u32, operand: usize| panel::offset(self.along[operand], number * 16, depth);
            let rows: Vec<A<'k, T, 16>> = (0..4).map(|i| A::load(&a.plus(part(i, 0)), turn[0])).collect();
            let columns = (0..2).flat_map(|j| B::<'k, T, 16>::load_two(&b.plus(part(j, 1)), turn[1]));
            for (j, column) in columns.enumerate() {
                rows.iter().enumerate().for_each(|(i, row)| self.sums[4 * i + j].mma(row, &column));
            }
        }
    }

    /// Brings the sums to their places through shared memory, so that neighbouring threads write neighbouring columns:
    /// those of the upper four warps, then those of the lower.
    fn finish_tile(&self, place: &Place<'k>, row: Reg<'k, u32>, col: Reg<'k, u32>) {
        let (k, v) = (self.k, self.v);
        let shared = self.shared.cast::<f32>();
        for above in [0, WARP[0]] {
            k.when(self.corner[0].eq(above), || self.put(shared));
            k.barrier();
            k.steps(k.thread_x(), WARP[0] * EDGE, THREADS, |number| {
                let (line, column) = (number >> EDGE.ilog2(), number & (EDGE - 1));
                let sum = shared.at(k.mad(line, LINE, column)).load();
                let [row, col] = [row + line + above, col + column].map(|index| index.to::<u64>());
                k.when(row.lt(v.m) & col.lt(v.n), || finish(k, v, place, [row, col], sum));
            });
            k.barrier(); // so that what comes next does not overwrite what others still read
        }
    }

    /// Stores this warp's sums.
    fn put(&self, shared: Ptr<'k, Shared<f32>>) {
        let (k, lane) = (self.k, self.k.lane());
        let first = k.mad(lane >> 2u32, LINE, self.corner[1] + (lane & 3u32) * 2u32);
        let to = shared.at(first);
        for (number, sum) in (0..).zip(&self.sums) {
            let to = to.plus(number / 4 * 16 * LINE as i32 + number % 4 * 8);
            let [a, b, c, d] = [0, 1, 2, 3].map(|i| sum.registers()[i]);
            to.store_vec([a, b]);
            to.plus(8 * LINE as i32).store_vec([c, d]);
        }
    }
}

/// The stage after the one at `offset` bytes.
fn next<'k>(k: &'k Builder, offset: Reg<'k, u32>) -> Reg<'k, u32> {
    let last = (STAGES - 1) * STAGE * 2;
    k.select(offset.eq(last), 0u32, offset + STAGE * 2)
}
