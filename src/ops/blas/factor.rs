//! Factors that a descriptor gives as two numbers.

use super::is_complex;
use crate::dtype::Dtype;
use crate::ensure;
use crate::op::Bind;
use crate::status::Result;

/// A scale: real part, imaginary part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Factor {
    /// Real part.
    pub re: f64,
    /// Imaginary part.
    pub im: f64,
}

impl Factor {
    /// A real one.
    pub fn real(re: f64) -> Self {
        Self { re, im: 0.0 }
    }

    /// Of the argument `name`; an imaginary part needs a complex dtype.
    pub fn new(bind: &Bind, name: &str, (re, im): (f64, f64), dtype: Dtype) -> Result<Self> {
        ensure!(
            im == 0.0 || is_complex(dtype),
            "{}: {name}_imag is {im:?}; expected 0 for elements of {}, which are real",
            bind.op(),
            dtype.name()
        );
        Ok(Self { re, im })
    }

    /// Whether it is 0.
    pub fn is_zero(self) -> bool {
        self.re == 0.0 && self.im == 0.0
    }
}
