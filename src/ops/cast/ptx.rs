//! The kernels: one for dense operands, several elements a thread; one for any layout; and one that moves tiles of a plane
//! through shared memory where x and y run along different axes.

mod convert;
pub(super) mod squares;
mod tiles;
mod vectors;

pub(super) use convert::Conversion;

use crate::kernels::gpu::{Array, Space};
use crate::layout::WEFT_MAX_RANK;
use crate::ptx::{Builder, Kernel, Shape, Target, Text, Words, params};
use crate::status::Result;

/// Threads of a block.
pub(super) const THREADS: u32 = 256;
/// Most threads of a block that moves squares.
const SQUARE_THREADS: u32 = 256;
/// Elements along a tile's side.
const TILE: u32 = 32;
/// Words of the space of x and y.
const WORDS: usize = Space::<2>::word_count(WEFT_MAX_RANK);

params! {
    /// What the kernels are launched with.
    pub(super) struct Args / Vals {
        /// Elements, or tiles.
        count: u64,
        /// Whole vectors of elements, of the dense kernel.
        vectors: u32,
        /// Where x and y begin.
        at: [u64; 2],
        /// The plane of the transpose: its size along x's run and along y's.
        plane: [u64; 2],
        /// Squares of a band.
        band: u32,
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
    /// Planes turned; outside of them a space of this rank. By vectors, in squares, or an element at a time.
    Turned { rank: usize, vectors: bool },
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
            Way::Turned { rank, vectors } => [2, rank as u32, u32::from(vectors)],
        };
        [from.code(), to.code(), u32::from(saturate), way, a, b, 0, 0]
    }

    /// Writes the kernel.
    pub fn kernel(self, target: Target) -> Result<Kernel<Args>> {
        let [from, to, saturate, way, a, b, ..] = self.key();
        let name = format!("cast_{from}_{to}_{saturate}_{way}_{a}_{b}");
        Kernel::build(&Shape::new(name, target, [self.threads(), 1, 1]), |k, v: Vals<'_>| match self.way {
            Way::Dense => self.dense(k, &v),
            Way::Strided { rank, wide } => self.strided(k, &v, rank, wide),
            Way::Turned { rank, vectors: true } => self.squares(k, &v, rank),
            Way::Turned { rank, vectors: false } => self.turned(k, &v, rank),
        })
    }

    /// Threads of a block.
    fn threads(self) -> u32 {
        if matches!(self.way, Way::Turned { vectors: true, .. }) { self.square_threads() } else { THREADS }
    }

    /// Elements along the side of what a block turns at a time.
    pub fn side(self) -> u32 {
        match self.way {
            Way::Turned { vectors: true, .. } => squares::LINE / self.conversion.from.size() as u32,
            _ => TILE,
        }
    }

    /// Elements of a vector: 16 bytes of the larger dtype.
    pub fn lanes(self) -> u32 {
        16 / self.conversion.from.size().max(self.conversion.to.size()) as u32
    }

    /// Vectors that a thread of the dense kernel has under way: 64 bytes, where those are no more than 8.
    pub fn unroll(self) -> u32 {
        (64 / (self.lanes() * self.conversion.from.size() as u32)).min(8)
    }

    fn arrays<'k>(self, k: &'k Builder, v: &Vals<'k>) -> [Array<'k>; 2] {
        [Array::new(k, self.conversion.from, v.at[0]), Array::new(k, self.conversion.to, v.at[1])]
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
    [U8, U16, U32, U64].into_iter().enumerate().for_each(|(rank, to)| {
        [false, true].iter().for_each(|&vectors| add(to, to, false, Way::Turned { rank, vectors }))
    });
    let often = [(Bf16, F32), (F32, Bf16), (F16, F16)];
    often.iter().for_each(|&(from, to)| add(from, to, false, Way::Dense));
    specs.iter().map(|spec| spec.kernel(target).map(Text::from)).collect()
}
