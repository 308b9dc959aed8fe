//! Loops over elements side by side, compiled for each instruction set: sums in several running values that merge in a tree, so
//! that they are the same on every instruction set, and updates.

use crate::for_each_isa;
use crate::ops::blas::number::{Number, Real};

/// Running values side by side.
const LANES: usize = 16;
/// The same, of pairs or triples.
const FEW: usize = 8;

/// The sum of running values, in a tree.
#[inline(always)]
fn tree<N: Number, const L: usize>(mut lanes: [N; L]) -> N {
    let mut half = L / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] = lanes[lane] + lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

for_each_isa! {
    /// The sum of x y in wide numbers. Both hold `count` elements.
    pub fn dot<N: Number>(x: *const N, y: *const N, count: usize) -> N::Wide {
        let mut lanes = [N::Wide::ZERO; LANES];
        // SAFETY: below `count`, by this function's contract with this file's callers.
        let term = |i: usize| unsafe { (*x.add(i)).widened() * (*y.add(i)).widened() };
        let whole = count / LANES * LANES;
        for start in (0..whole).step_by(LANES) {
            for (lane, sum) in lanes.iter_mut().enumerate() {
                *sum = *sum + term(start + lane);
            }
        }
        (whole..count).for_each(|i| lanes[i - whole] = lanes[i - whole] + term(i));
        tree(lanes)
    }
}

for_each_isa! {
    /// The sum of x y in the elements' own type. Both hold `count` elements.
    pub fn product<N: Number>(x: *const N, y: *const N, count: usize) -> N {
        const L: usize = 2 * LANES;
        let mut lanes = [N::ZERO; L];
        // SAFETY: as in `dot`.
        let term = |i: usize| unsafe { *x.add(i) * *y.add(i) };
        let whole = count / L * L;
        for start in (0..whole).step_by(L) {
            for (lane, sum) in lanes.iter_mut().enumerate() {
                *sum = *sum + term(start + lane);
            }
        }
        (whole..count).for_each(|i| lanes[i - whole] = lanes[i - whole] + term(i));
        tree(lanes)
    }
}

for_each_isa! {
    /// The sum of magnitudes of `count` real numbers.
    pub fn magnitudes<R: Real>(x: *const R, count: usize) -> f64 {
        let mut lanes = [0.0f64; LANES];
        // SAFETY: as in `dot`.
        let term = |i: usize| unsafe { *x.add(i) }.magnitude().wide();
        let whole = count / LANES * LANES;
        for start in (0..whole).step_by(LANES) {
            lanes.iter_mut().enumerate().for_each(|(lane, sum)| *sum += term(start + lane));
        }
        (whole..count).for_each(|i| lanes[i - whole] += term(i));
        tree(lanes)
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
        let mut lanes = [[0.0f64; FEW]; 3];
        // SAFETY: as in `dot`.
        let term = |i: usize| squares(unsafe { *x.add(i) });
        let whole = count / FEW * FEW;
        let mut add = |lane: usize, i: usize| {
            let square = term(i);
            (0..3).for_each(|n| lanes[n][lane] += square[n]);
        };
        for start in (0..whole).step_by(FEW) {
            (0..FEW).for_each(|lane| add(lane, start + lane));
        }
        (whole..count).for_each(|i| add(i - whole, i));
        lanes.map(tree)
    }
}

for_each_isa! {
    /// The sum of squares of `count` f32, each exact.
    pub fn squares_of_singles(x: *const f32, count: usize) -> f64 {
        let mut lanes = [0.0f64; LANES];
        // SAFETY: as in `dot`.
        let term = |i: usize| { let x = f64::from(unsafe { *x.add(i) }); x * x };
        let whole = count / LANES * LANES;
        for start in (0..whole).step_by(LANES) {
            lanes.iter_mut().enumerate().for_each(|(lane, sum)| *sum += term(start + lane));
        }
        (whole..count).for_each(|i| lanes[i - whole] += term(i));
        tree(lanes)
    }
}

for_each_isa! {
    /// The largest size of `count` elements; a NaN is no larger than anything. -1 of none.
    pub fn largest<N: Number>(x: *const N, count: usize) -> N::Real {
        let least = N::Real::of(-1.0, 0.0);
        let mut lanes = [least; LANES];
        let larger = |a: N::Real, b: N::Real| if b > a { b } else { a };
        // SAFETY: as in `dot`.
        let term = |i: usize| unsafe { *x.add(i) }.size();
        let whole = count / LANES * LANES;
        for start in (0..whole).step_by(LANES) {
            for (lane, most) in lanes.iter_mut().enumerate() {
                *most = larger(*most, term(start + lane));
            }
        }
        (whole..count).for_each(|i| lanes[i - whole] = larger(lanes[i - whole], term(i)));
        lanes.into_iter().fold(least, larger)
    }
}

for_each_isa! {
    /// y = f x + y. Both hold `count` elements; they are the same, or apart.
    pub fn axpy<N: Number>(f: N, x: *const N, y: *mut N, count: usize) {
        for i in 0..count {
            // SAFETY: below `count`.
            unsafe { y.add(i).write(f * *x.add(i) + *y.add(i)) };
        }
    }
}

for_each_isa! {
    /// y = f[0] x[0] + ... + f[3] x[3] + y: four columns, `step` elements apart. All hold `count` elements.
    pub fn axpy_four<N: Number>(f: [N; 4], x: *const N, step: isize, y: *mut N, count: usize) {
        let x: [*const N; 4] = std::array::from_fn(|n| x.wrapping_offset(step.wrapping_mul(n as isize)));
        for i in 0..count {
            // SAFETY: below `count`.
            unsafe {
                let [a, b, c, d] = x.map(|x| *x.add(i));
                y.add(i).write((f[0] * a + f[1] * b) + (f[2] * c + f[3] * d) + *y.add(i));
            }
        }
    }
}

for_each_isa! {
    /// x = f x, of `count` elements.
    pub fn scale<N: Number>(f: N, x: *mut N, count: usize) {
        for i in 0..count {
            // SAFETY: below `count`.
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
