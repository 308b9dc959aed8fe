//! gemv on the CPU: blocks of rows, each a product with x where rows lie nearer, columns added up where those do; long sums in pieces,
//! which meet in scratch memory.

use super::BYTE_NS;
use super::lanes::{self, FOUR};
use super::view::{CHUNK, Matrix, Room, Vector, batch};
use crate::device::{Cpu, cpu::Scratch};
use crate::kernels::walk::Walk;
use crate::op::Choice;
use crate::ops::blas::gemv::Gemv;
use crate::ops::blas::number::{Number, with_number};
use crate::status::Result;
use std::mem::MaybeUninit;

/// Best first.
pub(in crate::ops::blas) const CHOICES: &[Choice<Gemv, Cpu>] =
    &[Choice { name: "blocks", accepts: |_, _| true, run }];

/// Rows of a block whose rows lie nearer.
const ROWS: usize = 32;
/// Rows of a block whose columns lie nearer.
const DOWN: usize = 4 * CHUNK;
/// Blocks that a product is cut for, if it has the columns, and least columns of a piece.
const BLOCKS: usize = 16;
const WIDE: usize = 4 * CHUNK;
const NARROW: usize = 64;

fn run(op: &Gemv, cpu: &Cpu) -> Result<()> {
    with_number!(op.y.dtype(), N => blocks::<N>(op, cpu))
}

/// How a product is cut: by shape and strides alone.
struct Cut {
    rows: usize,
    columns: usize,
    /// Rows of a block.
    block: usize,
    /// Columns of a piece.
    piece: usize,
    /// Whether the elements of a row lie nearer than those of a column.
    along: bool,
}

impl Cut {
    fn new<N: Number>(op: &Gemv, a: Matrix<N>, batches: usize) -> Self {
        let (rows, columns) = op.sizes();
        let along = rows == 1 || (columns != 1 && a.col.unsigned_abs() <= a.row.unsigned_abs());
        let (block, least) = if along { (ROWS, WIDE) } else { (DOWN, NARROW) };
        let units = batches * rows.div_ceil(block);
        let pieces = BLOCKS.div_ceil(units).min(columns / least).max(1);
        Self { rows, columns, block, piece: columns.div_ceil(pieces).max(1), along }
    }

    fn blocks(&self) -> usize {
        self.rows.div_ceil(self.block)
    }

    fn pieces(&self) -> usize {
        self.columns.div_ceil(self.piece).max(1)
    }
}

/// Sums on their way: [piece][matrix][row].
struct Sums<N>(*mut N);

// SAFETY: scratch memory, of which every thread writes its own places.
unsafe impl<N> Sync for Sums<N> {}

fn blocks<N: Number>(op: &Gemv, cpu: &Cpu) -> Result<()> {
    let walk = Walk::new([&batch(&op.a, 2), &batch(&op.x, 1), &batch(&op.y, 1)]);
    let cut = Cut::new::<N>(op, Matrix::of(&op.a, 0), walk.count());
    let all = walk.count() * cut.rows;
    let scratch = Scratch::<N>::new(if cut.pieces() > 1 { all * cut.pieces() } else { 0 })?;
    let sums = Sums(scratch.ptr());
    let items = walk.count() * cut.blocks() * cut.pieces();
    let bytes = (cut.block.min(cut.rows) * cut.piece.min(cut.columns) + cut.block) * size_of::<N>();
    cpu.parallel_ranges(items, bytes as f64 * BYTE_NS + 50.0, |start, end| {
        let (sums, mut rooms) = (&sums, Rooms::new());
        for item in start..end {
            let (number, piece) = (item / cut.pieces(), item % cut.pieces());
            let (matrix, row) = (number / cut.blocks(), number % cut.blocks() * cut.block);
            let task = Task::<N>::new(op, walk.at(matrix), &cut, row);
            let from = piece * cut.piece;
            task.sum(from, (from + cut.piece).min(cut.columns), &mut rooms);
            // SAFETY: room for all sums of all pieces; this item's own place.
            let place = || unsafe { sums.0.add(piece * all + matrix * cut.rows + row) };
            if cut.pieces() == 1 {
                task.finish(op, rooms.sums.all())
            } else {
                task.leave(place(), &mut rooms)
            }
        }
    });
    if cut.pieces() > 1 {
        join(op, &walk, &cut, &sums);
    }
    Ok(())
}

/// The pieces of each row in their order.
fn join<N: Number>(op: &Gemv, walk: &Walk<3>, cut: &Cut, sums: &Sums<N>) {
    let all = walk.count() * cut.rows;
    for piece in 1..cut.pieces() {
        // SAFETY: room for all sums of all pieces, which all threads wrote before.
        let from = unsafe { sums.0.add(piece * all) };
        lanes::axpy(N::of(1.0, 0.0), from, sums.0, all);
    }
    for number in 0..all {
        // SAFETY: as above.
        let sum = unsafe { *sums.0.add(number) };
        Task::<N>::new(op, walk.at(number / cut.rows), cut, number % cut.rows).finish(op, &[sum]);
    }
}

/// What a thread works in.
struct Rooms<N> {
    x: Room<N>,
    line: Room<N>,
    sums: Totals<N>,
}

impl<N: Number> Rooms<N> {
    const fn new() -> Self {
        Self { x: Room::new(), line: Room::new(), sums: Totals(MaybeUninit::uninit(), 0) }
    }
}

/// Room for the sums of a block's rows, and how many of them there are.
struct Totals<N>(MaybeUninit<[N; DOWN]>, usize);

impl<N: Number> Totals<N> {
    /// So many zeros, at most [`DOWN`].
    fn start(&mut self, rows: usize) {
        debug_assert!(rows <= DOWN);
        // SAFETY: there is room for as many.
        (0..rows).for_each(|row| unsafe { self.0.as_mut_ptr().cast::<N>().add(row).write(N::ZERO) });
        self.1 = rows;
    }

    fn all(&mut self) -> &mut [N] {
        // SAFETY: as many as `start` has written.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), self.1) }
    }
}

/// A block of rows of a matrix.
struct Task<N> {
    a: Matrix<N>,
    x: Vector<N>,
    y: Vector<N>,
    rows: usize,
    along: bool,
    conjugate: bool,
}

impl<N: Number> Task<N> {
    fn new(op: &Gemv, at: [isize; 3], cut: &Cut, row: usize) -> Self {
        let a = Matrix::of(&op.a, at[0]).skip(row, 0);
        let (x, y) = (Vector::of(&op.x, at[1]), Vector::of(&op.y, at[2]).skip(row));
        let (rows, conjugate) = (cut.block.min(cut.rows - row), op.conjugate);
        Self { a, x, y, rows, along: cut.along, conjugate }
    }

    /// The sums over the columns `start..end`.
    fn sum(&self, start: usize, end: usize, rooms: &mut Rooms<N>) {
        rooms.sums.start(self.rows);
        // What lies side by side needs no room.
        let packed = self.x.step == 1 && (!self.along || self.a.col == 1 && !self.conjugate);
        let most = if packed { (end - start).max(1) } else { CHUNK };
        for from in (start..end).step_by(most) {
            let count = most.min(end - from);
            let Rooms { x, line, sums } = rooms;
            // SAFETY: elements of x's checked layout, at most a chunk unless they lie side by side.
            let x = unsafe { self.x.skip(from).packed(count, false, x) };
            let add = if self.along { Self::rows_of } else { Self::columns_of };
            add(self, self.a.skip(0, from), (x, count), line, sums.all());
        }
    }

    fn rows_of(&self, a: Matrix<N>, (x, count): (*const N, usize), room: &mut Room<N>, sums: &mut [N]) {
        let by_four = N::PARTS == 2 && a.col == 1 && !self.conjugate;
        let fours = if by_four { sums.len() / FOUR } else { 0 };
        for (four, sums) in sums.chunks_exact_mut(FOUR).take(fours).enumerate() {
            let more = lanes::product_four(a.row(FOUR * four).at, a.row, x, count);
            (0..FOUR).for_each(|n| sums[n] = sums[n] + more[n]);
        }
        for (i, sum) in sums.iter_mut().enumerate().skip(FOUR * fours) {
            // SAFETY: elements of a's checked layout, at most a chunk unless they lie side by side.
            let line = unsafe { a.row(i).packed(count, self.conjugate, room) };
            *sum = *sum + lanes::product(line, x, count);
        }
    }

    fn columns_of(&self, a: Matrix<N>, (x, count): (*const N, usize), room: &mut Room<N>, sums: &mut [N]) {
        let turned = a.turned();
        let fours = if a.row == 1 && !self.conjugate { count / 4 } else { 0 };
        for four in 0..fours {
            // SAFETY: x has `count` elements.
            let x = std::array::from_fn(|n| unsafe { *x.add(4 * four + n) });
            lanes::axpy_four(x, turned.row(4 * four).at, a.col, sums.as_mut_ptr(), self.rows);
        }
        for (j, first) in (4 * fours..count).flat_map(|j| (0..self.rows).step_by(CHUNK).map(move |i| (j, i)))
        {
            let rows = CHUNK.min(self.rows - first);
            // SAFETY: elements of the checked layouts, at most a chunk.
            let (line, x) =
                unsafe { (turned.row(j).skip(first).packed(rows, self.conjugate, room), *x.add(j)) };
            lanes::axpy(x, line, sums[first..].as_mut_ptr(), rows);
        }
    }

    fn leave(&self, to: *mut N, rooms: &mut Rooms<N>) {
        // SAFETY: the caller's place for as many sums.
        unsafe { std::ptr::copy_nonoverlapping(rooms.sums.all().as_ptr(), to, self.rows) };
    }

    /// y = alpha sum + beta y.
    fn finish(&self, op: &Gemv, sums: &[N]) {
        let (alpha, beta) = (N::of(op.alpha.re, op.alpha.im), N::of(op.beta.re, op.beta.im));
        for (i, &sum) in sums.iter().enumerate() {
            let (y, scaled) = (self.y.element(i), if op.alpha.is_zero() { N::ZERO } else { alpha * sum });
            // SAFETY: an element of y's checked layout, which is this task's alone.
            unsafe { y.write(if op.beta.is_zero() { scaled } else { scaled + beta * *y }) };
        }
    }
}
