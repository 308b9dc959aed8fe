//! Complex numbers in f64, real ones among them, and the comparison of results with a bound.

use crate::array::{is_complex, part, rounded};
use crate::support::unit;
use std::ops::{Add, Mul, Sub};
use weft::dtype::Dtype;

#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct C {
    pub re: f64,
    pub im: f64,
}

impl C {
    pub fn new(re: f64, im: f64) -> Self {
        Self { re, im }
    }
    pub fn conj_if(self, conjugate: bool) -> Self {
        if conjugate { Self { im: -self.im, ..self } } else { self }
    }
    pub fn abs(self) -> f64 {
        self.re.hypot(self.im)
    }
}

impl Add for C {
    type Output = C;
    fn add(self, b: C) -> C {
        C::new(self.re + b.re, self.im + b.im)
    }
}

impl Sub for C {
    type Output = C;
    fn sub(self, b: C) -> C {
        C::new(self.re - b.re, self.im - b.im)
    }
}

impl Mul for C {
    type Output = C;
    fn mul(self, b: C) -> C {
        // Real numbers stay real, infinite ones too.
        if self.im == 0.0 && b.im == 0.0 {
            return C::new(self.re * b.re, 0.0);
        }
        C::new(self.re * b.re - self.im * b.im, self.re * b.im + self.im * b.re)
    }
}

/// A sum of products in f64, and the sum of their magnitudes.
#[derive(Clone, Copy, Default)]
pub struct Sum {
    pub value: C,
    pub magnitude: f64,
    terms: usize,
}

impl Sum {
    pub fn add(&mut self, a: C, b: C) {
        self.value = self.value + a * b;
        self.magnitude += a.abs() * b.abs();
        self.terms += 1;
    }

    pub fn of(pairs: impl Iterator<Item = (C, C)>) -> Self {
        let mut sum = Self::default();
        pairs.for_each(|(a, b)| sum.add(a, b));
        sum
    }

    pub fn scaled(self, by: C) -> Self {
        Self { value: by * self.value, magnitude: by.abs() * self.magnitude, ..self }
    }

    pub fn plus(self, other: Self) -> Self {
        let value = self.value + other.value;
        Self { value, magnitude: self.magnitude + other.magnitude, terms: self.terms + other.terms }
    }

    /// What this plain sum is off by at the most.
    pub fn own_error(&self) -> f64 {
        4.0 * (self.terms + 4) as f64 * 2f64.powi(-53) * self.magnitude
    }

    /// Fails unless `got` is within `ulps` half ulps of the magnitude (twice as many for complex numbers).
    #[track_caller]
    pub fn check(&self, what: &str, dtype: Dtype, got: C, ulps: f64) {
        let twice = if is_complex(dtype) { 2.0 } else { 1.0 };
        let allowed = twice * ulps * unit(part(dtype)) * self.magnitude + self.own_error() + tiny(dtype);
        near(what, got, self.value, allowed);
    }
}

/// Half the least number of a dtype's parts, some times.
pub fn tiny(dtype: Dtype) -> f64 {
    if part(dtype) == Dtype::F32 { 4.0 * 2f64.powi(-150) } else { 4.0 * f64::from_bits(1) }
}

/// Fails unless |got - want| is at most `allowed`; NaN must meet NaN, infinities be equal.
#[track_caller]
pub fn near(what: &str, got: C, want: C, allowed: f64) {
    for (got, want) in [(got.re, want.re), (got.im, want.im)] {
        let same = got == want || (got.is_nan() && want.is_nan()) || (got - want).abs() <= allowed;
        assert!(
            same,
            "{what}: {got}, expected {want} (off by {:e}, allowed {allowed:e})",
            (got - want).abs()
        );
    }
}

/// Some factors: 0, 1, others; as the dtype holds them.
pub fn factor(rng: &mut crate::support::Rng, dtype: Dtype) -> C {
    let im = if is_complex(dtype) && !rng.chance(3) { rng.normal() } else { 0.0 };
    let any = C::new(rng.normal(), im);
    let factor = rng.pick(&[C::default(), C::new(1.0, 0.0), C::new(-1.0, 0.0), any, any, any]);
    rounded(dtype, factor)
}
