//! Folds: what one more element does to a running value, and the loops over many of them.

use crate::dtype::Dtype;
use crate::for_each_isa;
use crate::kernels::math;
use std::marker::PhantomData;

/// A number that a fold takes or gives.
pub trait Number: Copy + Send + Sync + PartialOrd + 'static {
    /// Its element type.
    const DTYPE: Dtype;
}

macro_rules! numbers {
    ($($type:ty: $dtype:ident;)*) => {$( impl Number for $type { const DTYPE: Dtype = Dtype::$dtype; } )*};
}
numbers! { f32: F32; f64: F64; i64: I64; u64: U64; }

/// What a running value becomes element by element.
pub trait Fold {
    /// An element.
    type In: Number;
    /// A running value.
    type Acc: Number;
    /// Before the first element.
    const START: Self::Acc;
    /// With one more element; `shift` is the result's own constant, where the fold has one.
    fn step(acc: Self::Acc, x: Self::In, shift: Self::Acc) -> Self::Acc;
    /// Of two running values.
    fn merge(a: Self::Acc, b: Self::Acc) -> Self::Acc;
}

/// Floats that are folded in f64.
pub trait Real: Number {
    /// Exact.
    fn wide(self) -> f64;
    /// e^(self - shift), where `shift` came from a number of this type.
    fn exp_from(self, shift: f64) -> f64;
    /// -infinity and infinity.
    const ENDS: [Self; 2];
}

impl Real for f32 {
    #[inline(always)]
    fn wide(self) -> f64 {
        f64::from(self)
    }
    #[inline(always)]
    fn exp_from(self, shift: f64) -> f64 {
        f64::from(math::exp(self - shift as f32))
    }
    const ENDS: [f32; 2] = [f32::NEG_INFINITY, f32::INFINITY];
}

impl Real for f64 {
    #[inline(always)]
    fn wide(self) -> f64 {
        self
    }
    #[inline(always)]
    fn exp_from(self, shift: f64) -> f64 {
        (self - shift).exp()
    }
    const ENDS: [f64; 2] = [f64::NEG_INFINITY, f64::INFINITY];
}

/// Integers that wrap.
pub trait Whole: Number {
    /// 0, 1, the least and the largest.
    const MARKS: [Self; 4];
    /// Sum.
    fn plus(self, other: Self) -> Self;
    /// Product.
    fn times(self, other: Self) -> Self;
    /// Magnitude.
    fn magnitude(self) -> Self;
}

macro_rules! wholes {
    ($($type:ty: $magnitude:expr;)*) => {$(
        impl Whole for $type {
            const MARKS: [Self; 4] = [0, 1, <$type>::MIN, <$type>::MAX];
            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }
            #[inline(always)]
            fn times(self, other: Self) -> Self {
                self.wrapping_mul(other)
            }
            #[inline(always)]
            fn magnitude(self) -> Self {
                $magnitude(self)
            }
        }
    )*};
}
wholes! { i64: i64::wrapping_abs; u64: |x| x; }

/// Defines folds over a family of numbers: name, running value, start, step, merge.
macro_rules! folds {
    ($number:ident: $($(#[$doc:meta])* $name:ident, $acc:ty, $start:expr, $step:expr, $merge:expr;)*) => {$(
        $(#[$doc])*
        pub struct $name<N>(PhantomData<N>);

        impl<N: $number> Fold for $name<N> {
            type In = N;
            type Acc = $acc;
            const START: $acc = $start;
            #[inline(always)]
            fn step(acc: $acc, x: N, shift: $acc) -> $acc {
                $step(acc, x, shift)
            }
            #[inline(always)]
            fn merge(a: $acc, b: $acc) -> $acc {
                $merge(a, b)
            }
        }
    )*};
}

/// The larger, or NaN; written so that a NaN, once there, stays.
#[inline(always)]
fn larger<N: PartialOrd>(a: N, b: N) -> N {
    #[allow(clippy::eq_op)]
    if b > a || b != b { b } else { a }
}

/// The smaller, or NaN.
#[inline(always)]
fn smaller<N: PartialOrd>(a: N, b: N) -> N {
    #[allow(clippy::eq_op)]
    if b < a || b != b { b } else { a }
}

folds! { Real:
    /// Sum.
    Sum, f64, 0.0, |acc, x: N, _| acc + x.wide(), |a, b| a + b;
    /// Product.
    Product, f64, 1.0, |acc, x: N, _| acc * x.wide(), |a, b| a * b;
    /// Sum of magnitudes.
    Magnitudes, f64, 0.0, |acc, x: N, _| acc + x.wide().abs(), |a, b| a + b;
    /// Sum of squares.
    Squares, f64, 0.0, |acc, x: N, _| acc + x.wide() * x.wide(), |a, b| a + b;
    /// Sum of e^(x - shift).
    Exponentials, f64, 0.0, |acc, x: N, shift| acc + x.exp_from(shift), |a, b| a + b;
    /// Largest.
    Largest, N, N::ENDS[0], |acc, x, _| larger(acc, x), larger;
    /// Smallest.
    Smallest, N, N::ENDS[1], |acc, x, _| smaller(acc, x), smaller;
}

folds! { Whole:
    /// Sum.
    WholeSum, N, N::MARKS[0], |acc: N, x: N, _| acc.plus(x), N::plus;
    /// Product.
    WholeProduct, N, N::MARKS[1], |acc: N, x: N, _| acc.times(x), N::times;
    /// Sum of magnitudes.
    WholeMagnitudes, N, N::MARKS[0], |acc: N, x: N, _| acc.plus(x.magnitude()), N::plus;
    /// Sum of squares.
    WholeSquares, N, N::MARKS[0], |acc: N, x: N, _| acc.plus(x.times(x)), N::plus;
    /// Largest.
    WholeLargest, N, N::MARKS[2], |acc, x, _| larger(acc, x), larger;
    /// Smallest.
    WholeSmallest, N, N::MARKS[3], |acc, x, _| smaller(acc, x), smaller;
}

/// Folds `count` elements in `L` running values side by side, which then merge in a tree. The same sum on every
/// instruction set.
///
/// # Safety
///
/// `from` is valid for `count` elements.
#[inline(always)]
unsafe fn row<F: Fold, const L: usize>(from: *const F::In, count: usize, shift: F::Acc) -> F::Acc {
    let mut lanes = [F::START; L];
    let whole = count / L * L;
    for start in (0..whole).step_by(L) {
        for (lane, acc) in lanes.iter_mut().enumerate() {
            // SAFETY: `start + lane` is below `count`.
            *acc = F::step(*acc, unsafe { *from.add(start + lane) }, shift);
        }
    }
    let mut half = L / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] = F::merge(lanes[lane], lanes[lane + half]);
        }
        half /= 2;
    }
    if L > FEW {
        // SAFETY: the rest of the elements.
        let rest = unsafe { row::<F, FEW>(from.add(whole), count - whole, shift) };
        return F::merge(lanes[0], rest);
    }
    // SAFETY: below `count`.
    (whole..count).fold(lanes[0], |acc, i| F::step(acc, unsafe { *from.add(i) }, shift))
}

/// Running values of a short row, and of a long one.
const FEW: usize = 8;
const MANY: usize = 64;

for_each_isa! {
    /// Folds each of `rows.len()` rows of `count` elements into a running value of its own.
    pub fn rows<F: Fold>(from: Lines<F::In>, count: usize, shifts: &[F::Acc], accs: &mut [F::Acc]) {
        for (number, (acc, &shift)) in accs.iter_mut().zip(shifts).enumerate() {
            let at = from.line(number);
            // SAFETY: `Lines`' promise: line `number` has `count` elements.
            *acc = unsafe {
                if count < 4 * MANY { row::<F, FEW>(at, count, shift) } else { row::<F, MANY>(at, count, shift) }
            };
        }
    }
}

for_each_isa! {
    /// Folds `count` rows into the running values, one element of each row into each.
    pub fn columns<F: Fold>(from: Lines<F::In>, count: usize, shifts: &[F::Acc], accs: &mut [F::Acc]) {
        let width = accs.len().min(shifts.len());
        let (accs, shifts) = (accs.as_mut_ptr(), shifts.as_ptr());
        for number in 0..count {
            let at = from.line(number);
            for i in 0..width {
                // SAFETY: below `width`; `Lines`' promise: line `number` has as many elements.
                unsafe { accs.add(i).write(F::step(*accs.add(i), *at.add(i), *shifts.add(i))) };
            }
        }
    }
}

/// Lines of elements side by side, at a distance from each other. Whoever makes one promises that they are there.
#[derive(Clone, Copy)]
pub struct Lines<T> {
    first: *const T,
    step: isize,
}

impl<T> Lines<T> {
    /// # Safety
    ///
    /// Every line that a fold is then asked to read is valid for as many elements as it is asked to read.
    pub unsafe fn new(first: *const T, step: isize) -> Self {
        Self { first, step }
    }

    #[inline(always)]
    fn line(&self, number: usize) -> *const T {
        self.first.wrapping_offset(self.step.wrapping_mul(number as isize))
    }
}
