//! What each element of a multiplication should be, in f64, and how far off it may be.

use crate::array::Array;
use crate::draw::Case;
use crate::support::*;
use weft::dtype::Dtype::{self, *};
use weft::ops::matmul::*;

pub fn times([a, b]: [f64; 2], [c, d]: [f64; 2]) -> [f64; 2] {
    [a * c - b * d, a * d + b * c]
}

pub fn size([a, b]: [f64; 2]) -> f64 {
    a.abs() + b.abs()
}

/// The unit of rounding, and half the smallest step.
pub fn rounding(dtype: Dtype) -> (f64, f64) {
    match dtype {
        F8E4m3 => (2f64.powi(-4), 2f64.powi(-10)),
        F8E5m2 => (2f64.powi(-3), 2f64.powi(-17)),
        F16 => (unit(F16), 2f64.powi(-25)),
        C32 => (unit(F32), 0.0),
        C64 => (unit(F64), 0.0),
        _ => (unit(dtype), 0.0),
    }
}

pub fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + libm::erf(x / 2f64.sqrt()))
}

pub fn gelu_tanh(x: f64) -> f64 {
    0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh())
}

/// The slope of gelu.
pub fn gelu_slope(x: f64) -> f64 {
    let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
    0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2) + x * density
}

/// That of gelu by the tanh: of x times the sigmoid of 2u.
pub fn gelu_tanh_slope(x: f64) -> f64 {
    let root = (2.0 / std::f64::consts::PI).sqrt();
    let twice = 2.0 * root * (x + 0.044715 * x * x * x);
    let (s, rest) = (1.0 / (1.0 + (-twice).exp()), 1.0 / (1.0 + twice.exp()));
    s + x * 2.0 * root * (1.0 + 3.0 * 0.044715 * x * x) * s * rest
}

/// What an element should be.
pub struct Want {
    /// Before the epilogue, behind it, and how far off that may be.
    pub before: [f64; 2],
    pub value: [f64; 2],
    pub error: f64,
}

impl Case {
    pub fn alpha(&self) -> [f64; 2] {
        let alpha = [self.desc.alpha, self.desc.alpha_imag];
        if alpha == [0.0; 2] && self.desc.flags & WEFT_MATMUL_ALPHA == 0 { [1.0, 0.0] } else { alpha }
    }

    /// The unit of sums, and how far off, of the sum of magnitudes, products of 8-bit floats may be besides.
    pub fn unit(&self) -> f64 {
        match self.d.dtype {
            F64 | C64 => unit(F64),
            I32 => 0.0,
            _ => unit(F32),
        }
    }

    pub fn scale(&self, operand: usize, index: &[i64], k: i64) -> f64 {
        let Some(scale) = &self.scales[operand] else { return 1.0 };
        let rank = index.len();
        let own = scale.dims();
        let line = index[rank - 2 + operand];
        let lines = own[own.len() - 2 + operand];
        let whole = self.dims[rank - 2 + operand];
        let line = if lines == whole { line } else { line / 128 };
        let mut at = index.to_vec();
        at[rank - 2 + operand] = line;
        at[rank - 1 - operand] = k / 128;
        let mut dims = self.dims.clone();
        dims[rank - 1 - operand] = i64::MAX;
        scale.at(&dims, &at)[0]
    }

    /// Where the row of A and the column of B begin that an element is the product of.
    pub fn first_factors(&self, index: &[i64]) -> (usize, usize) {
        let rank = index.len();
        if self.k == 0 {
            return (0, 0);
        }
        let first = |array: &Array, axis: usize| {
            let (mut dims, mut at) = (self.dims.clone(), index.to_vec());
            (dims[axis], at[axis]) = (self.k, 0);
            array.number(&dims, &at)
        };
        (first(&self.a, rank - 1), first(&self.b, rank - 2))
    }

    pub fn want(&self, index: &[i64], loose: f64) -> Want {
        let rank = index.len();
        let conjugate =
            |value: [f64; 2], flag| if self.desc.flags & flag != 0 { [value[0], -value[1]] } else { value };
        let (mut sum, mut magnitude) = ([0.0; 2], 0.0);
        let alpha = self.alpha();
        let scaled = self.scales.iter().any(Option::is_some);
        let (row, column) = self.first_factors(index);
        for k in 0..if alpha == [0.0; 2] { 0 } else { self.k } {
            let a = conjugate(self.a.values[row + k as usize], WEFT_MATMUL_CONJUGATE_A);
            let b_at = column + (k * self.dims[rank - 1]) as usize;
            let b = conjugate(self.b.values[b_at], WEFT_MATMUL_CONJUGATE_B);
            let scale = if scaled { self.scale(0, index, k) * self.scale(1, index, k) } else { 1.0 };
            let product = times(a, b).map(|part| part * scale);
            sum = [sum[0] + product[0], sum[1] + product[1]];
            magnitude += size(a) * size(b) * scale.abs();
        }
        let mut value = times(alpha, sum);
        magnitude *= size(alpha);
        let mut error = magnitude * loose;
        let mut add = |x: [f64; 2]| {
            value = [value[0] + x[0], value[1] + x[1]];
            magnitude += size(x);
        };
        if let Some(c) = &self.c {
            add(times([self.desc.beta, self.desc.beta_imag], c.at(&self.dims, index)));
        }
        if let Some(bias) = &self.bias {
            add(bias.at(&self.dims, index));
        }
        error += (2.0 * self.k as f64 + 12.0) * self.unit() * magnitude;
        let behind = self.epilogue(value[0], index);
        let error = 1.13 * error + 20.0 * self.unit() * value[0].abs() + 1e-300;
        Want { before: value, value: [behind, value[1]], error }
    }

    pub fn epilogue(&self, x: f64, index: &[i64]) -> f64 {
        let aux = || self.aux.as_ref().unwrap().at(&self.dims, index)[0];
        match self.desc.epilogue {
            1 | 5 => x.max(0.0),
            2 | 6 => gelu(x),
            3 | 7 => gelu_tanh(x),
            4 => x / (1.0 + (-x).exp()),
            8 if self.bit(&self.aux.as_ref().unwrap().values, index) => x,
            8 => 0.0,
            9 => x * gelu_slope(aux()),
            10 => x * gelu_tanh_slope(aux()),
            _ => x,
        }
    }

    /// An element's bit of a mask.
    pub fn bit(&self, mask: &[[f64; 2]], index: &[i64]) -> bool {
        let last = self.dims.len() - 1;
        let bytes = (self.dims[last] + 7) / 8;
        let line = index[..last].iter().zip(&self.dims).fold(0, |line, (i, dim)| line * dim + i);
        mask[(line * bytes + index[last] / 8) as usize][0] as u8 >> (index[last] % 8) & 1 != 0
    }

    pub fn indices(&self) -> Vec<Vec<i64>> {
        let index = |mut number: i64| {
            let mut index = vec![0; self.dims.len()];
            for axis in (0..index.len()).rev() {
                index[axis] = number % self.dims[axis];
                number /= self.dims[axis];
            }
            index
        };
        (0..self.dims.iter().product()).map(index).collect()
    }

    pub fn is_small(&self) -> bool {
        matches!(self.a.dtype, F8E4m3 | F8E5m2)
    }

    /// Whether cuBLASLt may round the product to d's dtype before it adds c or the bias.
    pub fn is_rounded_twice(&self) -> bool {
        self.d.dtype.size() == 2 && (self.c.is_some() || self.bias.is_some())
    }

    /// What it should be; and what a GPU may make of it, where tensor cores add up products of 8-bit floats with few bits, or
    /// cuBLASLt rounds twice.
    pub fn wants(&self) -> [Vec<Want>; 2] {
        let wants = |loose| self.indices().iter().map(|index| self.want(index, loose)).collect();
        let loose = match (self.is_small(), self.is_rounded_twice()) {
            (true, _) => wants(1e-3),
            (_, true) => wants(rounding(self.d.dtype).0),
            _ => Vec::new(),
        };
        [wants(0.0), loose]
    }
}

/// Cases that the oracle, which takes longest, works on side by side.
pub const TOGETHER: usize = 16;

/// What each case should be.
pub fn oracle(cases: &[Case]) -> Vec<[Vec<Want>; 2]> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = cases.iter().map(|case| scope.spawn(|| case.wants())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}
