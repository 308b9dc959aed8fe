//! The kernels that copy a factor of 8 bits to where it is contiguous along k, padded with zeros: through tiles in shared memory,
//! or, where it is contiguous along k already, line by line.
//!
//! Word `q` of a tile's line `l`, four elements along k, lies at word q ^ (l / 4 % 8 * 4) of that line: so words that neighbouring
//! threads write, of lines four apart, lie in eight groups of banks, and four of them that follow each other are read as one.

use super::arguments::AXES;
use crate::device::cuda::{Key, Stream};
use crate::dtype::Dtype;
use crate::ptx::{Builder, Global, Kernel, Ptr, Reg, Shape, Shared, Target, Text, Words, params};
use crate::status::Result;

const THREADS: u32 = 256;
const WARPS: u32 = THREADS / 32;
/// Lines of a tile, and elements of each.
const SIDE: u32 = 128;
/// Words of a tile's line.
const LINE: u32 = SIDE / 4;
/// Elements along k are padded to a multiple of it: a vector.
pub(super) const STEP: usize = 16;
/// Blocks of a launch at most; they take several tiles in turn.
const BLOCKS: u64 = 1 << 16;

params! {
    /// A factor, and where it goes. Strides are bytes.
    pub struct Args / Vals {
        /// Its first element, and that of the copy.
        from: u64,
        to: u64,
        /// Lines of a matrix, elements of a line, and those with what it is padded by.
        lines: u64,
        length: u64,
        padded: u64,
        /// From a line, and from an element of a line, to the next.
        strides: [u64; 2],
        /// Batch axes along which it moves, innermost first: dim and stride.
        axes: Words<12>,
        /// How many of them.
        rank: u32,
        /// Tiles, or threads' work, across the lines of a matrix, of a matrix, and in all.
        work: [u64; 3],
    }
}

/// How a factor is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Four lines' elements at a time.
    Words,
    /// One by one.
    Bytes,
    /// One by one along k.
    Along,
}

/// A factor of 8 bits as it lies in each matrix of a batch: rows of A, columns of B.
pub struct Factor {
    pub at: u64,
    pub dtype: Dtype,
    pub lines: usize,
    pub k: usize,
    /// Bytes from a line, and from an element along k, to the next.
    pub strides: [isize; 2],
    /// The batch axes, outermost first: dim, and bytes from one matrix to the next.
    pub axes: Vec<(usize, isize)>,
}

impl Factor {
    /// Elements of a line of the copy.
    pub fn padded(&self) -> usize {
        self.k.saturating_add(STEP - 1) / STEP * STEP
    }

    /// Bytes of a matrix of the copy.
    pub fn matrix(&self) -> usize {
        self.lines.saturating_mul(self.padded())
    }

    /// The axes along which it moves.
    fn moves(&self) -> impl DoubleEndedIterator<Item = &(usize, isize)> {
        self.axes.iter().filter(|axis| axis.1 != 0)
    }

    /// Bytes of the copy.
    pub fn bytes(&self) -> usize {
        self.moves().fold(self.matrix(), |bytes, axis| bytes.saturating_mul(axis.0))
    }

    fn way(&self) -> Way {
        let [line, along] = self.strides;
        let steps = self.moves().map(|axis| axis.1).chain([along, self.lines as isize]);
        let words = line == 1 && steps.into_iter().all(|step| step % 4 == 0) && self.at.is_multiple_of(4);
        match words {
            _ if along == 1 => Way::Along,
            true => Way::Words,
            false => Way::Bytes,
        }
    }

    fn arguments(&self, to: u64, way: Way) -> Args {
        let mut axes = [0; 2 * AXES];
        for (place, axis) in axes.chunks_mut(2).zip(self.moves().rev()) {
            place.copy_from_slice(&[axis.0 as u64, axis.1 as u64]);
        }
        let (lines, padded) = (self.lines as u64, self.padded() as u64);
        let side = u64::from(SIDE);
        let [across, down] = match way {
            Way::Along => [padded / STEP as u64, lines],
            _ => [lines.div_ceil(side), padded.div_ceil(side)],
        };
        let matrices = self.bytes() as u64 / self.matrix().max(1) as u64;
        Args {
            from: self.at,
            to,
            lines,
            length: self.k as u64,
            padded,
            strides: self.strides.map(|stride| stride as u64),
            axes,
            rank: self.moves().count() as u32,
            work: [across, across * down, across * down * matrices],
        }
    }
}

/// Queues the copy to `to`, which is aligned to 16 bytes.
pub fn run(factor: &Factor, to: u64, stream: &Stream) -> Result<()> {
    let way = factor.way();
    let args = factor.arguments(to, way);
    let blocks = if way == Way::Along { args.work[2].div_ceil(u64::from(THREADS)) } else { args.work[2] };
    if blocks == 0 {
        return Ok(());
    }
    let key = Key("matmul_turn", [way as u32, 0, 0, 0, 0, 0, 0, 0]);
    let kernel = stream.kernel(key, |target| write(target, way))?;
    // SAFETY: the factor lives as long as the request's work, and so does the scratch memory, which holds the copy.
    unsafe { kernel.launch(stream, [blocks.min(BLOCKS) as u32, 1, 1], &args) }
}

/// The kernel that reads in this way.
fn write(target: Target, way: Way) -> Result<Kernel<Args>> {
    let name = format!("matmul_turn_{way:?}").to_lowercase();
    Kernel::build(&Shape::new(name, target, [THREADS, 1, 1]), |k, v: Vals<'_>| match way {
        Way::Along => along(k, &v),
        Way::Words => tiles(k, &v, true),
        Way::Bytes => tiles(k, &v, false),
    })
}

/// All of them, as text.
pub fn texts(target: Target) -> Vec<Result<Text>> {
    [Way::Words, Way::Bytes, Way::Along].map(|way| write(target, way).map(Text::from)).into()
}

/// Runs `body` for each piece of work below `all`, of which this one is the `first`: of which matrix it is, and where the piece
/// lies across and down in it.
fn each<'k>(
    k: &'k Builder,
    v: &Vals<'k>,
    [first, step]: [Reg<'k, u64>; 2],
    body: impl FnOnce(Reg<'k, u64>, [Reg<'k, u64>; 2]),
) {
    let number = k.var(first);
    k.repeat_while(
        || number.lt(v.work[2]),
        || {
            let matrix = k.div(number, v.work[1]);
            let rest = number - matrix * v.work[1];
            let down = k.div(rest, v.work[0]);
            body(matrix, [rest - down * v.work[0], down]);
            number.set(number + step);
        },
    );
}

/// A vector of a line a thread.
fn along<'k>(k: &'k Builder, v: &Vals<'k>) {
    let first = k.mad_wide(k.block_x(), THREADS, k.thread_x().to::<u64>());
    each(k, v, [first, k.mul_wide(k.grid_blocks_x(), THREADS)], |matrix, [vector, line]| {
        let start = vector * STEP as u64;
        let at = k.mad(line, v.strides[0], locate(k, v, matrix)) + start;
        let left = v.length - start; // no vector begins behind the end
        let byte = |n: usize| {
            let at = Ptr::<Global<u8>>::new(at).plus(n as i32);
            at.load_if(left.gt(n as u64), 0u8).to::<u32>()
        };
        let words = [0, 4, 8, 12].map(|n| join(k, [0, 1, 2, 3].map(|i| byte(n + i))));
        let to = k.mad(k.mad(matrix, v.lines, line), v.padded, v.to + start);
        Ptr::<Global<u32>>::new(to).store_vec(words);
    });
}

/// A tile a block.
fn tiles<'k>(k: &'k Builder, v: &Vals<'k>, words: bool) {
    let shared = k.shared_aligned::<u32>(SIDE * LINE, 16);
    let all = [k.block_x().to::<u64>(), k.grid_blocks_x().to::<u64>()];
    each(k, v, all, |matrix, place| {
        let [line, along] = place.map(|place| place * u64::from(SIDE));
        gather(k, v, locate(k, v, matrix), [line, along], words, shared);
        k.barrier();
        scatter(k, v, matrix, [line, along], shared);
        k.barrier(); // so that the next tile does not overwrite what others still read
    });
}

/// Where matrix `number` of those that differ begins.
fn locate<'k>(k: &'k Builder, v: &Vals<'k>, number: Reg<'k, u64>) -> Reg<'k, u64> {
    let (at, left) = (k.var(v.from), k.var(number));
    for axis in 0..AXES {
        k.when(v.rank.gt(axis as u32), || {
            let (dim, stride) = (v.axes.get(2 * axis), v.axes.get(2 * axis + 1));
            let quotient = k.div(left, dim);
            at.set(k.mad(left - quotient * dim, stride, at));
            left.set(quotient);
        });
    }
    at
}

/// A tile to shared memory: four lines a lane, four elements of each at a time.
fn gather<'k>(
    k: &'k Builder,
    v: &Vals<'k>,
    from: Reg<'k, u64>,
    [line, along]: [Reg<'k, u64>; 2],
    words: bool,
    shared: Ptr<'k, Shared<u32>>,
) {
    let own = line + (k.lane() * 4u32).to::<u64>();
    for step in 0..LINE / WARPS {
        let quad = k.warp() + step * WARPS;
        let first = along + (quad * 4u32).to::<u64>();
        let rows = [0u64, 1, 2, 3].map(|i| four(k, v, from, [own, first + i], words));
        let place = quad ^ ((k.lane() & 7u32) << 2u32);
        for (i, word) in turn(k, rows).into_iter().enumerate() {
            shared.at(k.mad(k.lane(), 4 * LINE, place)).plus(i as i32 * LINE as i32).store(word);
        }
    }
}

/// The elements of four lines at one place along k, as bytes of a word; 0 for those that there are not.
fn four<'k>(
    k: &'k Builder,
    v: &Vals<'k>,
    from: Reg<'k, u64>,
    [line, along]: [Reg<'k, u64>; 2],
    words: bool,
) -> Reg<'k, u32> {
    let at = k.mad(line, v.strides[0], k.mad(along, v.strides[1], from));
    let inside = along.lt(v.length);
    if words {
        return Ptr::<Global<u32>>::new(at).load_if(inside & line.lt(v.lines), 0u32);
    }
    let byte = |i: u64| {
        let at = Ptr::<Global<u8>>::new(k.mad(v.strides[0], i, at));
        at.load_if(inside & (line + i).lt(v.lines), 0u8).to::<u32>()
    };
    join(k, [0, 1, 2, 3].map(byte))
}

/// Four bytes as a word.
fn join<'k>(k: &'k Builder, bytes: [Reg<'k, u32>; 4]) -> Reg<'k, u32> {
    let [a, b, c, d] = bytes;
    k.prmt(k.prmt(a, b, 0x0040u32), k.prmt(c, d, 0x0040u32), 0x5410u32)
}

/// The transpose of 4 x 4 bytes.
fn turn<'k>(k: &'k Builder, [a, b, c, d]: [Reg<'k, u32>; 4]) -> [Reg<'k, u32>; 4] {
    let pairs = |order: u32| [k.prmt(a, b, order), k.prmt(c, d, order)];
    let ([low, next], [high, last]) = (pairs(0x5140), pairs(0x7362));
    let halves = |x: Reg<'k, u32>, y: Reg<'k, u32>| [k.prmt(x, y, 0x5410u32), k.prmt(x, y, 0x7632u32)];
    let ([e, f], [g, h]) = (halves(low, next), halves(high, last));
    [e, f, g, h]
}

/// A tile from shared memory to where it goes: a vector of a line a thread at a time.
fn scatter<'k>(
    k: &'k Builder,
    v: &Vals<'k>,
    matrix: Reg<'k, u64>,
    [line, along]: [Reg<'k, u64>; 2],
    shared: Ptr<'k, Shared<u32>>,
) {
    const VECTORS: u32 = LINE / 4;
    for step in 0..SIDE * VECTORS / THREADS {
        let number = k.thread_x() + step * THREADS;
        let (own, vector) = (number >> VECTORS.ilog2(), number & (VECTORS - 1));
        let place = (vector << 2u32) ^ ((own >> 2u32 & 7u32) << 2u32);
        let words = shared.at(k.mad(own, LINE, place)).load_vec::<4>();
        let (row, first) = (line + own.to::<u64>(), along + (vector * STEP as u32).to::<u64>());
        k.only(row.lt(v.lines) & first.lt(v.padded), || {
            let to = k.mad(k.mad(matrix, v.lines, row), v.padded, v.to + first);
            Ptr::<Global<u32>>::new(to).store_vec(words);
        });
    }
}
