//! Loops over elements side by side, compiled for each instruction set: sums in several running values that merge in a tree, so
//! that they are the same on every instruction set, and updates. Products of complex numbers are summed part by part, each with its
//! neighbour.
#![allow(clippy::needless_range_loop)] // lanes are numbered: what several arrays have at one place belongs together

use crate::for_each_isa;
use crate::kernels::prefetch::prefetch_second;
use crate::ops::blas::number::{Number, Real};

/// Parts that are taken at once, and running values side by side.
pub(super) const LANES: usize = 32;
/// Parts of two blocks: added up in pairs, before their running value, for a sum waits for the one before it.
const TWO: usize = 2 * LANES;

/// How far ahead of a sum memory is asked for, in bytes: the order in which a block is read hides from the processor that it reads on.
const AHEAD: usize = 8192;

/// Asks for what comes that far behind `count` elements.
#[inline(always)]
fn ask_ahead<R>(x: *const R, count: usize) {
    for line in (0..count * size_of::<R>()).step_by(64) {
        prefetch_second(x.wrapping_byte_add(AHEAD + line));
    }
}

/// The sum of running values, in a tree.
#[inline(always)]
fn tree<R: Real, const L: usize>(mut lanes: [R; L]) -> R {
    let mut half = L / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] = lanes[lane] + lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// `L` elements from number `start` on.
///
/// # Safety
///
/// There are as many.
#[inline(always)]
pub(super) unsafe fn take<R: Copy, const L: usize>(x: *const R, start: usize) -> [R; L] {
    // SAFETY: this function's contract.
    unsafe { x.add(start).cast::<[R; L]>().read_unaligned() }
}

/// The sums of products of `count` parts, and of those with the other part of the number, in lanes; as `wide` makes them.
#[inline(always)]
fn products<R: Real, W: Real>(
    x: *const R,
    y: *const R,
    (count, complex): (usize, bool),
    wide: impl Fn(R) -> W,
) -> [[W; LANES]; 2] {
    let mut lanes = [[W::ZERO; LANES]; 2];
    let [pairs, whole] = [TWO, LANES].map(|block| count - count % block);
    let long = count * size_of::<R>() >= 2 * AHEAD;
    for start in (0..pairs).step_by(TWO) {
        if long {
            [x, y].into_iter().for_each(|x| ask_ahead(x.wrapping_add(start), TWO));
        }
        // SAFETY: below `count`, by the contract of this file's functions with their callers.
        let (x, y): ([R; TWO], [R; TWO]) = unsafe { (take(x, start), take(y, start)) };
        let both = |lane: usize, turn: usize| {
            wide(x[lane]) * wide(y[lane ^ turn]) + wide(x[lane + LANES]) * wide(y[(lane ^ turn) + LANES])
        };
        for lane in 0..LANES {
            lanes[0][lane] = lanes[0][lane] + both(lane, 0);
        }
        if complex {
            for lane in 0..LANES {
                lanes[1][lane] = lanes[1][lane] + both(lane, 1);
            }
        }
    }
    for start in (pairs..whole).step_by(LANES) {
        // SAFETY: below `count`, by the contract of this file's functions with their callers.
        let (x, y): ([R; LANES], [R; LANES]) = unsafe { (take(x, start), take(y, start)) };
        for lane in 0..LANES {
            lanes[0][lane] = lanes[0][lane] + wide(x[lane]) * wide(y[lane]);
        }
        if complex {
            for lane in 0..LANES {
                lanes[1][lane] = lanes[1][lane] + wide(x[lane]) * wide(y[lane ^ 1]);
            }
        }
    }
    for i in whole..count {
        // SAFETY: as above; a number's parts are neighbours.
        let (a, b, other) = unsafe { (*x.add(i), *y.add(i), if complex { *y.add(i ^ 1) } else { R::ZERO }) };
        lanes[0][i - whole] = lanes[0][i - whole] + wide(a) * wide(b);
        lanes[1][i - whole] = lanes[1][i - whole] + wide(a) * wide(other);
    }
    lanes
}

/// The number that sums of products make.
#[inline(always)]
fn number<W: Real, const L: usize>([mut own, other]: [[W; L]; 2], complex: bool) -> [W; 2] {
    if complex {
        (1..L).step_by(2).for_each(|lane| own[lane] = -own[lane]);
    }
    [tree(own), if complex { tree(other) } else { W::ZERO }]
}

for_each_isa! {
    /// The sum of x y in wide numbers. Both hold `count` elements.
    pub fn dot<N: Number>(x: *const N, y: *const N, count: usize) -> N::Wide {
        let complex = N::PARTS == 2;
        let sums = products(x.cast::<N::Real>(), y.cast::<N::Real>(), (count * N::PARTS, complex), N::Real::wide);
        let [re, im] = number(sums, complex);
        N::Wide::of(re, im)
    }
}

for_each_isa! {
    /// The sum of x y in the elements' own type. Both hold `count` elements.
    pub fn product<N: Number>(x: *const N, y: *const N, count: usize) -> N {
        let complex = N::PARTS == 2;
        let sums = products(x.cast::<N::Real>(), y.cast::<N::Real>(), (count * N::PARTS, complex), |part| part);
        let [re, im] = number(sums, complex);
        N::of(re.wide(), im.wide())
    }
}

/// Rows that are read side by side.
pub(super) const FOUR: usize = 4;
/// Parts of a row of [`FOUR`] that are taken at once.
const SHORT: usize = 16;

/// `sums` + a x, each lane.
#[inline(always)]
fn more<R: Real>(mut sums: [R; SHORT], a: [R; SHORT], x: [R; SHORT]) -> [R; SHORT] {
    for lane in 0..SHORT {
        sums[lane] = sums[lane] + a[lane] * x[lane];
    }
    sums
}

/// Each number's parts in turn: the other part of the number.
#[inline(always)]
fn others<R: Real>(x: [R; SHORT]) -> [R; SHORT] {
    let mut other = x;
    for lane in 0..SHORT {
        other[lane] = x[lane ^ 1];
    }
    other
}

for_each_isa! {
    /// The sums of a x in the elements' own type, of four rows a of complex numbers that lie `step` elements apart. All hold `count`
    /// elements.
    pub fn product_four<N: Number>(a: *const N, step: isize, x: *const N, count: usize) -> [N; FOUR] {
        let a: [*const N::Real; FOUR] = std::array::from_fn(|n| a.wrapping_offset(step.wrapping_mul(n as isize)).cast());
        let (x, parts) = (x.cast::<N::Real>(), count * N::PARTS);
        let (zero, whole) = ([<N::Real as Number>::ZERO; SHORT], parts - parts % SHORT);
        let (mut own, mut other) = ([zero; FOUR], [zero; FOUR]);
        for start in (0..whole).step_by(SHORT) {
            // SAFETY: below `count`, as everywhere here.
            let [a, b, c, d, x]: [[N::Real; SHORT]; 5] = unsafe {
                [take(a[0], start), take(a[1], start), take(a[2], start), take(a[3], start), take(x, start)]
            };
            // One by one, for registers.
            own = [more(own[0], a, x), more(own[1], b, x), more(own[2], c, x), more(own[3], d, x)];
            let x = others(x);
            other = [more(other[0], a, x), more(other[1], b, x), more(other[2], c, x), more(other[3], d, x)];
        }
        for i in whole..parts {
            for (n, row) in a.into_iter().enumerate() {
                // SAFETY: as above; a number's parts are neighbours.
                let (a, x, too) = unsafe { (*row.add(i), *x.add(i), *x.add(i ^ 1)) };
                own[n][i - whole] = own[n][i - whole] + a * x;
                other[n][i - whole] = other[n][i - whole] + a * too;
            }
        }
        let mut sums = [N::ZERO; FOUR];
        for (n, sum) in sums.iter_mut().enumerate() {
            let [re, im] = number([own[n], other[n]], true);
            *sum = N::of(re.wide(), im.wide());
        }
        sums
    }
}

/// The sum of magnitudes, or of squares of `by` times each, of `count` real numbers. Without closures, which would not be compiled
/// for the instruction set of their caller.
#[inline(always)]
fn sum_of<R: Real>(x: *const R, count: usize, squares: Option<f64>) -> f64 {
    let mut lanes = [0.0f64; LANES];
    let [pairs, whole] = [TWO, LANES].map(|block| count - count % block);
    for start in (0..pairs).step_by(TWO) {
        // SAFETY: below `count`, as everywhere here.
        let x: [R; TWO] = unsafe { take(x, start) };
        for lane in 0..LANES {
            lanes[lane] += term(x[lane].wide(), squares) + term(x[lane + LANES].wide(), squares);
        }
    }
    for start in (pairs..whole).step_by(LANES) {
        // SAFETY: below `count`, as everywhere here.
        let x: [R; LANES] = unsafe { take(x, start) };
        for lane in 0..LANES {
            lanes[lane] += term(x[lane].wide(), squares);
        }
    }
    for i in whole..count {
        // SAFETY: as above.
        lanes[i - whole] += term(unsafe { *x.add(i) }.wide(), squares);
    }
    tree(lanes)
}

/// What a number adds to [`sum_of`].
#[inline(always)]
fn term(x: f64, squares: Option<f64>) -> f64 {
    match squares {
        Some(by) => (x * by) * (x * by),
        None => x.abs(),
    }
}

for_each_isa! {
    /// The sum of magnitudes of `count` real numbers.
    pub fn magnitudes<R: Real>(x: *const R, count: usize) -> f64 {
        sum_of(x, count, None)
    }
}

for_each_isa! {
    /// The sum of squares of `count` f32, each exact.
    pub fn squares_of_singles(x: *const f32, count: usize) -> f64 {
        sum_of(x, count, Some(1.0))
    }
}

/// Sums of squares: of numbers that are small (scaled up), of those between, of those that are large (scaled down).
pub type Squares = [f64; 3];

/// Blue's scales for f64 (E. Anderson, Algorithm 978).
pub(in crate::ops::blas) const UP: f64 = f64::from_bits((1023 + 537) << 52);
pub(in crate::ops::blas) const DOWN: f64 = f64::from_bits((1023 - 538) << 52);

/// Sums of squares, 2^-880 to 2^900, that lost nothing of weight: a square that goes under loses at most 2^-1075, and no memory
/// holds so many of them that it counts; and sums of all that memory holds stay finite.
const SURE: std::ops::RangeInclusive<f64> =
    f64::from_bits((1023 - 880) << 52)..=f64::from_bits((1023 + 900) << 52);

for_each_isa! {
    /// The sums of squares of `count` f64: all in one of the three, which the plain sum tells.
    pub fn three_squares(x: *const f64, count: usize) -> Squares {
        let plain = sum_of(x, count, Some(1.0));
        if SURE.contains(&plain) || plain.is_nan() {
            [0.0, plain, 0.0]
        } else if plain < 1.0 {
            [sum_of(x, count, Some(UP)), 0.0, 0.0]
        } else {
            [0.0, 0.0, sum_of(x, count, Some(DOWN))]
        }
    }
}

for_each_isa! {
    /// The largest size of `count` elements; a NaN is no larger than anything. -1 of none.
    pub fn largest<N: Number>(x: *const N, count: usize) -> N::Real {
        let least = N::Real::of(-1.0, 0.0);
        let mut lanes = [least; LANES];
        let larger = |a: N::Real, b: N::Real| if b > a { b } else { a };
        let whole = count - count % LANES;
        for start in (0..whole).step_by(LANES) {
            // SAFETY: below `count`, as everywhere here.
            let x: [N; LANES] = unsafe { take(x, start) };
            (0..LANES).for_each(|lane| lanes[lane] = larger(lanes[lane], x[lane].size()));
        }
        // SAFETY: as above.
        let rest = (whole..count).map(|i| unsafe { *x.add(i) }.size());
        lanes.into_iter().chain(rest).fold(least, larger)
    }
}

/// Writes `L` elements from number `start` on.
///
/// # Safety
///
/// There is room for as many.
#[inline(always)]
pub(super) unsafe fn put<R: Copy, const L: usize>(y: *mut R, start: usize, values: [R; L]) {
    // SAFETY: this function's contract.
    unsafe { y.add(start).cast::<[R; L]>().write_unaligned(values) }
}

/// How many of `count` elements are done in lanes: of complex numbers none, whose loops the compiler puts into lanes itself.
#[inline(always)]
pub(super) fn in_lanes<N: Number>(count: usize) -> usize {
    if N::PARTS == 1 { count - count % LANES } else { 0 }
}

for_each_isa! {
    /// y = f x + y. Both hold `count` elements; they are the same, or apart.
    pub fn axpy<N: Number>(f: N, x: *const N, y: *mut N, count: usize) {
        for i in 0..count {
            // SAFETY: below `count`, as everywhere here.
            unsafe { y.add(i).write(f * *x.add(i) + *y.add(i)) };
        }
    }
}

for_each_isa! {
    /// y = f[0] x[0] + ... + f[3] x[3] + y: four columns, `step` elements apart. All hold `count` elements.
    pub fn axpy_four<N: Number>(f: [N; 4], x: *const N, step: isize, y: *mut N, count: usize) {
        let x: [*const N; 4] = std::array::from_fn(|n| x.wrapping_offset(step.wrapping_mul(n as isize)));
        let whole = in_lanes::<N>(count);
        for start in (0..whole).step_by(LANES) {
            // SAFETY: below `count`, as everywhere here.
            unsafe {
                let (a, b): ([N; LANES], [N; LANES]) = (take(x[0], start), take(x[1], start));
                let (c, d): ([N; LANES], [N; LANES]) = (take(x[2], start), take(x[3], start));
                let mut sum: [N; LANES] = take(y, start);
                for lane in 0..LANES {
                    let four = (f[0] * a[lane] + f[1] * b[lane]) + (f[2] * c[lane] + f[3] * d[lane]);
                    sum[lane] = four + sum[lane];
                }
                put(y, start, sum);
            }
        }
        for i in whole..count {
            // SAFETY: as above.
            unsafe {
                let [a, b, c, d] = [*x[0].add(i), *x[1].add(i), *x[2].add(i), *x[3].add(i)];
                y.add(i).write((f[0] * a + f[1] * b) + (f[2] * c + f[3] * d) + *y.add(i));
            }
        }
    }
}

for_each_isa! {
    /// x = f x, of `count` elements.
    pub fn scale<N: Number>(f: N, x: *mut N, count: usize) {
        for i in 0..count {
            // SAFETY: below `count`, as everywhere here.
            unsafe { x.add(i).write(f * *x.add(i)) };
        }
    }
}

for_each_isa! {
    /// x = c x + s y, y = c y - conj(s) x, of `count` elements each, apart from each other.
    pub fn rotate<N: Number>(c: N, s: N, x: *mut N, y: *mut N, count: usize) {
        for i in 0..count {
            // SAFETY: below `count`.
            unsafe {
                let (a, b) = (*x.add(i), *y.add(i));
                x.add(i).write(c * a + s * b);
                y.add(i).write(c * b - s.conjugate() * a);
            }
        }
    }
}
