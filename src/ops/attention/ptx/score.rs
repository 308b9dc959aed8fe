//! From products to logits: scale, softcap, bias, ALiBi. And exponentials.
//!
//! e^x is the hardware's 2^x (2 units in the last place) of x log2(e): with the rounding of that product a relative error of
//! 2 |x| u + 4 u, which weights of e^x carry within the bound of the descriptor, as |x| is at most twice the L there, or
//! the weight vanishes. Logarithms are the hardware's, wrong by 4 u (1 + ln N) at most, of sums of N weights up to 1.

use super::product::product;
use super::row::Row;
use super::{Spec, Vals, at, element};
use crate::dtype::{Dtype, bf16, f16};
use crate::kernels::gpu::math::tanh;
use crate::ptx::{Builder, Global, Ptr, Reg};
use std::f32::consts::{LN_2, LOG2_E};

/// e^x; exactly 0 of -infinity, which is what keeps hidden values from being looked at.
pub(super) fn exp<'k>(k: &'k Builder, x: Reg<'k, f32>) -> Reg<'k, f32> {
    k.ex2(x * LOG2_E)
}

/// ln(x).
pub(super) fn ln<'k>(k: &'k Builder, x: Reg<'k, f32>) -> Reg<'k, f32> {
    k.lg2(x) * LN_2
}

/// What logits of one row need, found once.
pub(super) struct Scores<'k> {
    q: Reg<'k, u64>,
    bias: Option<Reg<'k, u64>>,
    slope: Option<Reg<'k, f32>>,
    position: Reg<'k, i64>,
}

impl<'k> Scores<'k> {
    pub fn new(k: &'k Builder, v: &Vals<'k>, spec: &Spec, row: &Row<'k>) -> Self {
        let [_, head, _] = row.place;
        let q = element(k, &v.words, at::Q, &row.place);
        let bias = spec.bias.map(|_| element(k, &v.words, at::BIAS, &[row.b, head, row.i]));
        let slope = || {
            let from = element(k, &v.words, at::SLOPES, &[row.b, head]);
            Ptr::<Global<f32>>::new(from).load_if(row.used, 0.0f32)
        };
        Self { q, bias, slope: spec.slopes.then(slope), position: row.position }
    }

    /// The logit of key `j`, whose row begins at `key`; the row sees it.
    pub fn logit(
        &self,
        k: &'k Builder,
        v: &Vals<'k>,
        spec: &Spec,
        (j, key): (Reg<'k, u64>, Reg<'k, u64>),
    ) -> Reg<'k, f32> {
        let mut logit = product(k, &v.words, spec, [self.q, key]) * v.scale;
        if spec.softcap {
            logit = tanh(k, k.div(logit, v.softcap)) * v.softcap;
        }
        let bias = self.bias.zip(spec.bias).map(|(row, dtype)| {
            let from = k.mad(j, v.words.get(at::BIAS + 4), row);
            bias_at(k, dtype, from)
        });
        logit = bias.map_or(logit, |bias| logit + bias);
        if let Some(slope) = self.slope {
            let far = k.abs(self.position - j.bits::<i64>()).to::<f32>();
            logit = k.fma(-slope, far, logit);
        }
        let hidden = f32::NEG_INFINITY;
        bias.map_or(logit, |bias| k.select(bias.eq(hidden), hidden, logit))
    }
}

/// An element of the bias: -infinity where a mask is false.
fn bias_at<'k>(k: &'k Builder, dtype: Dtype, from: Reg<'k, u64>) -> Reg<'k, f32> {
    match dtype {
        Dtype::F16 => Ptr::<Global<f16>>::new(from).load().to::<f32>(),
        Dtype::Bf16 => Ptr::<Global<bf16>>::new(from).load().widen(),
        Dtype::F32 => Ptr::<Global<f32>>::new(from).load(),
        _ => {
            let seen = Ptr::<Global<u8>>::new(from).load().to::<u32>().ne(0u32);
            k.select(seen, 0.0f32, f32::NEG_INFINITY)
        }
    }
}
