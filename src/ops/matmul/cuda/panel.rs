//! Tiles of a factor of half type on their way to shared memory: 128 rows of A, or columns of B, by 32 along k, in pieces of
//! 16 bytes that are copied beside the threads. Lines lie as they lie in memory, along k or across it, with a gap between
//! them that puts eight pieces below each other into different banks.

use crate::ptx::{Builder, Element, Global, Ptr, Reg, Shared};

/// Threads of a block.
pub(super) const THREADS: u32 = 256;
/// Rows and columns of D that a block computes at once.
pub(super) const EDGE: u32 = 128;
/// Columns of A and rows of B that a tile holds.
pub(super) const DEPTH: u32 = 32;
/// Elements of a piece.
const PIECE: u32 = 8;
/// Pieces that a thread copies of a tile.
const EACH: u32 = EDGE * DEPTH / PIECE / THREADS;
/// Elements of a tile in shared memory, at most.
pub(super) const LEN: u32 = EDGE * (DEPTH + PIECE);

/// Elements of a line.
fn length(along: bool) -> u32 {
    if along { DEPTH } else { EDGE }
}

/// Where element (outside, depth) of a tile lies, in elements.
pub fn at<'k>(k: &'k Builder, along: bool, outside: Reg<'k, u32>, depth: Reg<'k, u32>) -> Reg<'k, u32> {
    let (line, place) = if along { (outside, depth) } else { (depth, outside) };
    k.mad(line, length(along) + PIECE, place)
}

/// The same of constants.
pub fn offset(along: bool, outside: u32, depth: u32) -> i32 {
    let (line, place) = if along { (outside, depth) } else { (depth, outside) };
    (line * (length(along) + PIECE) + place) as i32
}

/// The lines of a matrix.
pub struct Lines<'k> {
    /// Where element (0, 0) is.
    pub at: Reg<'k, u64>,
    /// Bytes from a line to the next.
    pub stride: Reg<'k, u64>,
    /// The first row of A, or column of B, of the tile.
    pub from: Reg<'k, u32>,
    /// How many there are.
    pub end: Reg<'k, u32>,
    /// k.
    pub depth: Reg<'k, u32>,
}

/// The pieces that a thread copies, DEPTH further along k each time.
pub struct Panel<'k, T: Element> {
    k: &'k Builder,
    along: bool,
    pieces: Vec<Piece<'k, T>>,
    /// Bytes to the next tile.
    step: Reg<'k, u64>,
}

/// One of them.
struct Piece<'k, T: Element> {
    /// Where the next one is.
    at: Reg<'k, u64>,
    to: Ptr<'k, Shared<T>>,
    /// How far along k the next one begins, and where there are no more.
    depth: Reg<'k, u32>,
    end: Reg<'k, u32>,
    /// Bytes of it that are there, but for the end of k.
    bytes: Reg<'k, u32>,
}

impl<'k, T: Element> Panel<'k, T> {
    /// Those of this thread, to be copied to `to`.
    pub fn new(k: &'k Builder, along: bool, lines: &Lines<'k>, to: Ptr<'k, Shared<T>>) -> Self {
        let piece = |number: u32| Piece::new(k, along, lines, to, k.thread_x() + number * THREADS);
        let step = if along { k.var(u64::from(DEPTH * 2)) } else { lines.stride * u64::from(DEPTH) };
        Self { k, along, pieces: (0..EACH).map(piece).collect(), step }
    }

    /// Begins to copy those of the next tile, `offset` bytes further in shared memory; zeros beyond the ends.
    pub fn fetch(&self, offset: Reg<'k, u32>) {
        for piece in &self.pieces {
            let bytes = piece.left(self.k, self.along);
            let (from, to) = (Ptr::new(piece.at), piece.to.displaced(offset));
            let whole = || to.copy_some_from::<16>(&from, bytes);
            self.k.if_else((bytes & (PIECE * 2 - 1)).eq(0u32), whole, || begin(&from, &to, bytes));
            piece.at.set(piece.at + self.step);
            piece.depth.set(piece.depth + DEPTH);
        }
    }
}

/// Copies the first `bytes` of a piece at once, zeros beyond. A copy beside the threads would read no more either, but
/// compute-sanitizer takes it for one of the whole piece.
fn begin<'k, T: Element>(from: &Ptr<'k, Global<T>>, to: &Ptr<'k, Shared<T>>, bytes: Reg<'k, u32>) {
    for number in 0..PIECE {
        let there = bytes.gt(number * 2);
        let item = from.cast::<u16>().plus(number as i32).load_if(there, 0u16);
        to.cast::<u16>().plus(number as i32).store(item);
    }
}

impl<'k, T: Element> Piece<'k, T> {
    /// Number `number` of a tile.
    fn new(
        k: &'k Builder,
        along: bool,
        lines: &Lines<'k>,
        to: Ptr<'k, Shared<T>>,
        number: Reg<'k, u32>,
    ) -> Self {
        let pieces = length(along) / PIECE;
        let (line, place) = (number >> pieces.ilog2(), (number & (pieces - 1)) * PIECE);
        let to = to.at(k.mad(line, length(along) + PIECE, place));
        let (outside, depth) = if along { (line, place) } else { (place, line) };
        let outside = outside + lines.from;
        let (line, place) = if along { (outside, depth) } else { (depth, outside) };
        let start = k.mad(line.to::<u64>(), lines.stride, lines.at);
        let at = k.var(start + (place * 2u32).to::<u64>());
        let inside = outside.lt(lines.end);
        let (end, bytes) = match along {
            true => (k.select(inside, lines.depth, 0u32), k.var(16u32)),
            false => (k.var(lines.depth), k.select(inside, k.min((lines.end - outside) * 2u32, 16u32), 0u32)),
        };
        Self { at, to, depth: k.var(depth), end, bytes }
    }

    /// Bytes of the next one that are there.
    fn left(&self, k: &'k Builder, along: bool) -> Reg<'k, u32> {
        let bytes = if along { k.min((self.end - self.depth) * 2u32, 16u32) } else { self.bytes };
        k.select(self.depth.lt(self.end), bytes, 0u32)
    }
}
