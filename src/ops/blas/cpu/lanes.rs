//! Loops over elements side by side, compiled for each instruction set: sums in several running values that merge in a tree, so
//! that they are the same on every instruction set, and updates. Products of complex numbers are summed part by part, each with its
//! neighbour.
#![allow(clippy::needless_range_loop)] // lanes are numbered: what several arrays have at one place belongs together

use crate::for_each_isa;
use crate::ops::blas::number::{Number, Real};

/// Parts that are taken at once, and running values side by side.
pub(super) const LANES: usize = 32;

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
    let whole = count - count % LANES;
    for start in (0..whole).step_by(LANES) {
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
fn number<W: Real>([mut own, other]: [[W; LANES]; 2], complex: bool) -> [W; 2] {
    if complex {
        (1..LANES).step_by(2).for_each(|lane| own[lane] = -own[lane]);
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

/// The sum of magnitudes, or of squares, of `count` real numbers. Without closures, which would not be compiled for the instruction
/// set of their caller.
#[inline(always)]
fn sum_of<R: Real>(x: *const R, count: usize, squares: bool) -> f64 {
    let mut lanes = [0.0f64; LANES];
    let whole = count - count % LANES;
    for start in (0..whole).step_by(LANES) {
        // SAFETY: below `count`, as everywhere here.
        let x: [R; LANES] = unsafe { take(x, start) };
        for lane in 0..LANES {
            let x = x[lane].wide();
            lanes[lane] += if squares { x * x } else { x.abs() };
        }
    }
    for i in whole..count {
        // SAFETY: as above.
        let x = unsafe { *x.add(i) }.wide();
        lanes[i - whole] += if squares { x * x } else { x.abs() };
    }
    tree(lanes)
}

for_each_isa! {
    /// The sum of magnitudes of `count` real numbers.
    pub fn magnitudes<R: Real>(x: *const R, count: usize) -> f64 {
        sum_of(x, count, false)
    }
}

for_each_isa! {
    /// The sum of squares of `count` f32, each exact.
    pub fn squares_of_singles(x: *const f32, count: usize) -> f64 {
        sum_of(x, count, true)
    }
}

/// Sums of squares: of numbers that are small (scaled up), of those between, of those that are large (scaled down).
pub type Squares = [f64; 3];

/// Blue's constants for f64 (E. Anderson, Algorithm 978): below the first a square loses digits, above the second it may overflow
/// in a sum; the scales for both.
pub(in crate::ops::blas) const SMALL: f64 = f64::from_bits((1023 - 511) << 52);
pub(in crate::ops::blas) const LARGE: f64 = f64::from_bits((1023 + 486) << 52);
pub(in crate::ops::blas) const UP: f64 = f64::from_bits((1023 + 537) << 52);
pub(in crate::ops::blas) const DOWN: f64 = f64::from_bits((1023 - 538) << 52);

/// The squares of one number.
#[inline(always)]
fn squares(x: f64) -> Squares {
    let x = x.abs();
    let (small, large) = (x < SMALL, x > LARGE);
    let [up, between, down] = [
        if small { x * UP } else { 0.0 },
        if small || large { 0.0 } else { x },
        if large { x * DOWN } else { 0.0 },
    ];
    [up * up, between * between, down * down]
}

for_each_isa! {
    /// The sums of squares of `count` f64.
    pub fn three_squares(x: *const f64, count: usize) -> Squares {
        if are_between(x, count) {
            return [0.0, sum_of(x, count, true), 0.0];
        }
        let mut sums = [0.0; 3];
        for i in 0..count {
            // SAFETY: below `count`, as everywhere here.
            let terms = squares(unsafe { *x.add(i) });
            (0..3).for_each(|n| sums[n] += terms[n]);
        }
        sums
    }
}

/// How far a number's magnitude is from [`SMALL`], as bits: beyond [`RANGE`] where it is small, large or NaN.
#[inline(always)]
fn off(x: f64) -> u64 {
    x.abs().to_bits().wrapping_sub(SMALL.to_bits())
}

const RANGE: u64 = LARGE.to_bits() - SMALL.to_bits();

/// Whether `count` numbers are neither small nor large, nor NaN.
#[inline(always)]
fn are_between(x: *const f64, count: usize) -> bool {
    let mut most = [0u64; LANES];
    let whole = count - count % LANES;
    for start in (0..whole).step_by(LANES) {
        // SAFETY: below `count`, as everywhere here.
        let x: [f64; LANES] = unsafe { take(x, start) };
        for lane in 0..LANES {
            let off = off(x[lane]);
            most[lane] = if off > most[lane] { off } else { most[lane] };
        }
    }
    let mut fine = true;
    for i in whole..count {
        // SAFETY: as above.
        fine &= off(unsafe { *x.add(i) }) <= RANGE;
    }
    fine && most.iter().all(|&off| off <= RANGE)
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
