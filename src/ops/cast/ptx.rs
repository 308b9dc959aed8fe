//! The kernels: one for dense operands, several elements a thread; one for any layout; and one that moves tiles of a plane
//! through shared memory where x and y run along different axes.

mod convert;

pub(super) use convert::Conversion;

use crate::kernels::gpu::{Array, Space};
use crate::layout::WEFT_MAX_RANK;
use crate::ptx::{Builder, Element, Kernel, Ptr, Reg, Shape, Shared, Target, Text, Words, params};
use crate::status::Result;

/// Threads of a block.
pub(super) const THREADS: u32 = 256;
/// Elements along a tile's side.
pub(super) const TILE: u32 = 32;
/// Rows of a tile that a block moves at a time.
const ROWS: u32 = THREADS / TILE;
/// Elements of a tile's row in shared memory: one more, so that a column lies in different banks.
const PITCH: u32 = TILE + 1;
/// Words of the space of x and y.
const WORDS: usize = Space::<2>::word_count(WEFT_MAX_RANK);

params! {
    /// What the kernels are launched with.
    pub(super) struct Args / Vals {
        /// Numbers (a complex element is two), or tiles.
        count: u64,
        /// Where x and y begin.
        at: [u64; 2],
        /// The plane of the transpose: its size along x's run and along y's.
        plane: [u64; 2],
        /// x's elements from one index to the next along y's run, and y's along x's run.
        steps: [u64; 2],
        /// The space of x and y, or what is outside of the plane.
        space: Words<WORDS>,
    }
}

/// How the operands lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// One run each.
    Dense,
    /// Anything; `wide` beyond 2^32 elements.
    Strided { rank: usize, wide: bool },
    /// Planes turned; outside of them a space of this rank.
    Turned { rank: usize },
}

/// What a kernel is specialised on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spec {
    pub conversion: Conversion,
    pub way: Way,
}

impl Spec {
    /// All of it, in numbers.
    pub fn key(&self) -> [u32; 8] {
        let Conversion { from, to, saturate } = self.conversion;
        let [way, a, b] = match self.way {
            Way::Dense => [0, 0, 0],
            Way::Strided { rank, wide } => [1, rank as u32, u32::from(wide)],
            Way::Turned { rank } => [2, rank as u32, 0],
        };
        [from.code(), to.code(), u32::from(saturate), way, a, b, 0, 0]
    }

    /// Writes the kernel.
    pub fn kernel(self, target: Target) -> Result<Kernel<Args>> {
        let [from, to, saturate, way, a, b, ..] = self.key();
        let name = format!("cast_{from}_{to}_{saturate}_{way}_{a}_{b}");
        Kernel::build(&Shape::new(name, target, [THREADS, 1, 1]), |k, v: Vals<'_>| match self.way {
            Way::Dense => self.dense(k, &v),
            Way::Strided { rank, wide } => self.strided(k, &v, rank, wide),
            Way::Turned { rank } => self.turned(k, &v, rank),
        })
    }

    fn arrays<'k>(self, k: &'k Builder, v: &Vals<'k>) -> [Array<'k>; 2] {
        [Array::new(k, self.conversion.from, v.at[0]), Array::new(k, self.conversion.to, v.at[1])]
    }

    /// A thread takes four elements a block's width apart, so that its loads are under way together.
    fn dense<'k>(self, k: &'k Builder, v: &Vals<'k>) {
        const UNROLL: u32 = 4;
        let [x, y] = self.arrays(k, v);
        let tile = THREADS * UNROLL;
        let first = k.var(k.mad_wide(k.block_x(), tile, k.thread_x().to::<u64>()));
        let step = k.mul_wide(k.grid_blocks_x(), tile);
        let last = v.count - 1u64;
        k.repeat_while(
            || first.lt(v.count),
            || {
                let places: Vec<_> = (0..UNROLL).map(|u| first + u64::from(u * THREADS)).collect();
                // Beyond the end the last element is read once more, and not written.
                let values: Vec<_> =
                    places.iter().map(|&at| self.conversion.load(k, x.at(k.min(at, last)))).collect();
                for (&at, value) in places.iter().zip(values) {
                    k.when(at.lt(v.count), || self.conversion.store(k, y.at(at), value));
                }
                first.set(first + step);
            },
        );
    }

    fn strided<'k>(self, k: &'k Builder, v: &Vals<'k>, rank: usize, wide: bool) {
        let [x, y] = self.arrays(k, v);
        let number = k.var(k.mad_wide(k.block_x(), THREADS, k.thread_x().to::<u64>()));
        let step = k.mul_wide(k.grid_blocks_x(), THREADS);
        k.repeat_while(
            || number.lt(v.count),
            || {
                let [from, to] = Space::<2>::locate(k, &v.space, rank, wide, number);
                self.conversion.element(k, x.at(from), y.at(to));
                number.set(number + step);
            },
        );
    }

    fn turned<'k>(self, k: &'k Builder, v: &Vals<'k>, rank: usize) {
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

/// What is assembled for a target by the tests: half of the pairs of dtypes, each dtype among them, and each way.
pub(super) fn texts(target: Target) -> Vec<Result<Text>> {
    use crate::dtype::Dtype::{self, *};
    const REAL: [Dtype; 15] =
        [F32, F64, F16, Bf16, F8E4m3, F8E5m2, I8, I16, I32, I64, U8, U16, U32, U64, Bool];
    let mut specs = Vec::new();
    let mut add = |from, to, saturate, way| {
        specs.push(Spec { conversion: Conversion { from, to, saturate }, way });
    };
    for (number, from) in REAL.into_iter().enumerate() {
        for (other, to) in REAL.into_iter().enumerate() {
            let way = if other % 5 == 0 { Way::Dense } else { Way::Strided { rank: 1, wide: false } };
            if (number + other) % 2 == 0 {
                add(from, to, number % 2 == 1, way);
            }
        }
    }
    for (from, to) in [(C32, C64), (C64, C32), (C64, C64)] {
        add(from, to, true, Way::Strided { rank: 2, wide: true });
    }
    (0..=WEFT_MAX_RANK).for_each(|rank| add(F16, F32, false, Way::Strided { rank, wide: rank % 2 == 0 }));
    [U8, U16, U32, U64]
        .into_iter()
        .enumerate()
        .for_each(|(rank, to)| add(to, to, false, Way::Turned { rank }));
    specs.iter().map(|spec| spec.kernel(target).map(Text::from)).collect()
}
