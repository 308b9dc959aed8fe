//! dot, nrm2, asum and iamax on the CPU: vectors in pieces, whose values merge in their order.

use super::view::{CHUNK, Room, Vector, batch};
use super::{BYTE_NS, lanes};
use crate::device::{Cpu, cpu::Scratch};
use crate::dtype::Dtype;
use crate::kernels::walk::Walk;
use crate::op::Choice;
use crate::ops::blas::fold::{Fold, Measure};
use crate::ops::blas::number::{Complex, Number, Real, with_number};
use crate::status::Result;
use std::marker::PhantomData;

/// Best first.
pub(in crate::ops::blas) const CHOICES: &[Choice<Fold, Cpu>] =
    &[Choice { name: "pieces", accepts: |_, _| true, run }];

/// Elements of a piece.
const PIECE: usize = 1 << 16;

fn run(op: &Fold, cpu: &Cpu) -> Result<()> {
    match (op.measure, op.x.dtype()) {
        (Measure::Dot, dtype) => with_number!(dtype, N => fold::<Dot<N>>(op, cpu)),
        (Measure::Asum, dtype) => with_number!(dtype, N => fold::<Asum<N>>(op, cpu)),
        (Measure::Iamax, dtype) => with_number!(dtype, N => fold::<Iamax<N>>(op, cpu)),
        (Measure::Nrm2, Dtype::F32) => fold::<Single<f32>>(op, cpu),
        (Measure::Nrm2, Dtype::C32) => fold::<Single<Complex<f32>>>(op, cpu),
        (Measure::Nrm2, Dtype::F64) => fold::<Double<f64>>(op, cpu),
        (Measure::Nrm2, _) => fold::<Double<Complex<f64>>>(op, cpu),
    }
}

/// A fold of pairs of elements that lie side by side.
trait Measured {
    /// An element.
    type In: Number;
    /// A running value.
    type Acc: Copy;
    /// Of no elements.
    const START: Self::Acc;
    /// Of `count` elements from number `first` on.
    fn of(x: *const Self::In, y: *const Self::In, first: usize, count: usize) -> Self::Acc;
    /// Of two parts, the first one first.
    fn merge(a: Self::Acc, b: Self::Acc) -> Self::Acc;
    /// Writes the result of this dtype.
    ///
    /// # Safety
    ///
    /// `to` is valid for a write of it.
    unsafe fn write(acc: Self::Acc, dtype: Dtype, to: *mut u8);
}

/// Starts and lengths of blocks of so many elements, which stay in the nearest cache.
fn blocks(count: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..count).step_by(CHUNK).map(move |start| (start, CHUNK.min(count - start)))
}

struct Dot<N>(PhantomData<N>);
struct Asum<N>(PhantomData<N>);
struct Single<N>(PhantomData<N>);
struct Double<N>(PhantomData<N>);
struct Iamax<N>(PhantomData<N>);

impl<N: Number> Measured for Dot<N> {
    type In = N;
    type Acc = N::Wide;
    const START: N::Wide = <N::Wide as Number>::ZERO;
    fn of(x: *const N, y: *const N, _: usize, count: usize) -> N::Wide {
        lanes::dot(x, y, count)
    }
    fn merge(a: N::Wide, b: N::Wide) -> N::Wide {
        a + b
    }
    unsafe fn write(acc: N::Wide, _: Dtype, to: *mut u8) {
        // SAFETY: this function's contract.
        unsafe { to.cast::<N>().write(N::narrowed(acc)) };
    }
}

/// # Safety
///
/// `to` is valid for a write of a float of this dtype.
unsafe fn write_float(value: f64, dtype: Dtype, to: *mut u8) {
    // SAFETY: this function's contract.
    unsafe {
        if dtype == Dtype::F64 { to.cast::<f64>().write(value) } else { to.cast::<f32>().write(value as f32) }
    }
}

impl<N: Number> Measured for Asum<N> {
    type In = N;
    type Acc = f64;
    const START: f64 = 0.0;
    fn of(x: *const N, _: *const N, _: usize, count: usize) -> f64 {
        lanes::magnitudes::<N::Real>(x.cast(), N::PARTS * count)
    }
    fn merge(a: f64, b: f64) -> f64 {
        a + b
    }
    unsafe fn write(acc: f64, dtype: Dtype, to: *mut u8) {
        // SAFETY: this function's contract.
        unsafe { write_float(acc, dtype, to) };
    }
}

impl<N: Number<Real = f32>> Measured for Single<N> {
    type In = N;
    type Acc = f64;
    const START: f64 = 0.0;
    fn of(x: *const N, _: *const N, _: usize, count: usize) -> f64 {
        lanes::squares_of_singles(x.cast(), N::PARTS * count)
    }
    fn merge(a: f64, b: f64) -> f64 {
        a + b
    }
    unsafe fn write(acc: f64, dtype: Dtype, to: *mut u8) {
        // SAFETY: this function's contract.
        unsafe { write_float(acc.sqrt(), dtype, to) };
    }
}

impl<N: Number<Real = f64>> Measured for Double<N> {
    type In = N;
    type Acc = lanes::Squares;
    const START: lanes::Squares = [0.0; 3];
    fn of(x: *const N, _: *const N, _: usize, count: usize) -> lanes::Squares {
        lanes::three_squares(x.cast(), N::PARTS * count)
    }
    fn merge(a: lanes::Squares, b: lanes::Squares) -> lanes::Squares {
        std::array::from_fn(|n| a[n] + b[n])
    }
    unsafe fn write(acc: lanes::Squares, dtype: Dtype, to: *mut u8) {
        // SAFETY: this function's contract.
        unsafe { write_float(root(acc), dtype, to) };
    }
}

/// The norm of three sums of squares, as Algorithm 978 ends.
fn root([small, between, large]: lanes::Squares) -> f64 {
    let more = between > 0.0 || between.is_nan();
    if large > 0.0 {
        let all = if more { large + between * lanes::DOWN * lanes::DOWN } else { large };
        return all.sqrt() / lanes::DOWN;
    }
    if small == 0.0 || !more {
        return if small > 0.0 { small.sqrt() / lanes::UP } else { between.sqrt() };
    }
    let (a, b) = (between.sqrt(), small.sqrt() / lanes::UP);
    let (most, least) = if a > b || a.is_nan() { (a, b) } else { (b, a) };
    most * (1.0 + (least / most) * (least / most)).sqrt()
}

impl<N: Number> Measured for Iamax<N> {
    type In = N;
    /// The largest size and its number; infinity for a NaN that comes first.
    type Acc = (N::Real, usize);
    const START: Self::Acc = (<N::Real as Number>::ZERO, usize::MAX);
    fn of(x: *const N, _: *const N, first: usize, count: usize) -> Self::Acc {
        // SAFETY: below `count`.
        let size = |i: usize| unsafe { *x.add(i) }.size();
        let nan = |size: N::Real| size.wide().is_nan();
        if count > 0 && first == 0 && nan(size(0)) {
            return (N::Real::of(f64::INFINITY, 0.0), 0);
        }
        let (mut most, mut at) = (N::Real::of(-1.0, 0.0), (0, 0));
        for (start, count) in blocks(count) {
            // SAFETY: below `count`.
            let here = lanes::largest(unsafe { x.add(start) }, count);
            (most, at) = if here > most { (here, (start, count)) } else { (most, at) };
        }
        let found = (at.0..at.0 + at.1).find(|&i| size(i) == most);
        found.map_or(Self::START, |i| (most, first + i))
    }
    fn merge(a: Self::Acc, b: Self::Acc) -> Self::Acc {
        if a.1 == usize::MAX || (b.1 != usize::MAX && b.0 > a.0) { b } else { a }
    }
    unsafe fn write(acc: Self::Acc, dtype: Dtype, to: *mut u8) {
        let index = if acc.1 == usize::MAX { -1 } else { acc.1 as i64 };
        // SAFETY: this function's contract.
        unsafe {
            if dtype == Dtype::I32 {
                to.cast::<i32>().write(index as i32)
            } else {
                to.cast::<i64>().write(index)
            }
        };
    }
}

/// A pair of vectors and where its result goes.
struct Task<N> {
    x: Vector<N>,
    y: Vector<N>,
    conjugate: bool,
    /// Whether y is another vector than x.
    two: bool,
}

impl<N: Number> Task<N> {
    fn new(op: &Fold, at: [isize; 3]) -> Self {
        let (x, y) = (Vector::of(&op.x, at[0]), Vector::of(&op.y, at[1]));
        Self { x, y, conjugate: op.conjugate, two: op.measure == Measure::Dot }
    }

    /// The elements `start..end`.
    fn fold<M: Measured<In = N>>(&self, start: usize, end: usize, rooms: &mut [Room<N>; 2]) -> M::Acc {
        let packed = self.x.step == 1 && !self.conjugate && (!self.two || self.y.step == 1);
        let longest = if packed { PIECE } else { CHUNK };
        let [first, second] = rooms;
        let mut all = M::START;
        for from in (start..end).step_by(longest) {
            let count = longest.min(end - from);
            // SAFETY: elements of the checked layouts, at most a chunk where they do not lie side by side.
            let x = unsafe { self.x.skip(from).packed(count, self.conjugate, first) };
            // SAFETY: as above.
            let y = if self.two { unsafe { self.y.skip(from).packed(count, false, second) } } else { x };
            all = M::merge(all, M::of(x, y, from, count));
        }
        all
    }
}

/// Running values of all pieces of all vectors.
struct Partials<A>(*mut A);

// SAFETY: scratch memory, of which every thread writes its own places.
unsafe impl<A> Sync for Partials<A> {}

/// All of it: [vector][piece] in scratch memory, then each vector's pieces in their order.
fn fold<M: Measured>(op: &Fold, cpu: &Cpu) -> Result<()> {
    let walk = Walk::new([&batch(&op.x, 1), &batch(&op.y, 1), op.result.layout()]);
    let (count, pieces) = (op.count(), op.count().div_ceil(PIECE).max(1));
    let scratch = Scratch::<M::Acc>::new(walk.count() * pieces)?;
    let partials = Partials(scratch.ptr());
    let ns = BYTE_NS * size_of::<M::In>() as f64 * count.min(PIECE) as f64 + 20.0;
    cpu.parallel_ranges(walk.count() * pieces, ns, |start, end| {
        let partials = &partials;
        let mut rooms = [const { Room::<M::In>::new() }; 2];
        for item in start..end {
            let (task, piece) = (Task::new(op, walk.at(item / pieces)), item % pieces * PIECE);
            let acc = task.fold::<M>(piece, (piece + PIECE).min(count), &mut rooms);
            // SAFETY: this item's own place, and `partials` has one for each.
            unsafe { partials.0.add(item).write(acc) };
        }
    });
    for vector in 0..walk.count() {
        // SAFETY: written above, by all threads before the call returned.
        let all = (0..pieces).map(|piece| unsafe { *partials.0.add(vector * pieces + piece) });
        let acc = all.reduce(M::merge).unwrap_or(M::START);
        let size = op.result.dtype().size() as isize;
        // SAFETY: an element of the checked layout of the result.
        unsafe {
            M::write(acc, op.result.dtype(), op.result.address().wrapping_offset(walk.at(vector)[2] * size))
        };
    }
    Ok(())
}
