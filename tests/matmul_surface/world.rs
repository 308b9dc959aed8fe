//! A multiplication of which everything can be wrong, and what must stay as it is then.

use crate::support::*;
use std::ptr;
use weft::api::operations::{weft_matmul, weft_matmul_grouped};
use weft::dtype::*;
use weft::layout::weft_tensor;
use weft::ops::matmul::*;
use weft::status::*;

pub const BAD: i32 = WEFT_ERROR_INVALID_ARGUMENT;

pub fn desc() -> weft_matmul_desc {
    weft_matmul_desc { struct_size: size_of::<weft_matmul_desc>() as u32, ..Default::default() }
}

pub fn zero(session: &Session, dtype: Dtype, dims: &[i64]) -> Tensor {
    session.tensor(&mut Rng(1), dtype, dims, Style::Packed, |_| 0.0)
}

/// An output that must stay as it is.
pub fn output(session: &Session, dtype: Dtype, dims: &[i64]) -> Tensor {
    session.output(&mut Rng(1), dtype, dims, Style::Packed)
}

/// The same memory as elements of another type.
pub fn seen_as(t: &Tensor, dtype: Dtype) -> weft_tensor {
    weft_tensor { dtype: dtype.code(), ..t.desc }
}

pub fn with_dims(t: weft_tensor, dims: &[i64], strides: &[i64]) -> weft_tensor {
    let mut t = weft_tensor { rank: dims.len() as u32, dims: [0; 8], strides: [0; 8], ..t };
    t.dims[..dims.len()].copy_from_slice(dims);
    t.strides[..strides.len()].copy_from_slice(strides);
    t
}

/// Tensors of a multiplication of [130, 260] by [260, 140], and what stands beside it.
pub struct World {
    pub session: Session,
    pub f32s: [Tensor; 3],
    pub eight: [Tensor; 2],
    pub complex: [Tensor; 3],
    pub out: Vec<Tensor>,
    pub scales: Vec<Tensor>,
}

pub const M: i64 = 130;
pub const K: i64 = 260;
pub const N: i64 = 140;

impl World {
    pub fn new() -> Self {
        let session = Session::new(2);
        let make = |dtype, dims: [i64; 2]| zero(&session, dtype, &dims);
        let f32s =
            [make(Dtype::F32, [M, K]), make(Dtype::F32, [K, N]), output(&session, Dtype::F32, &[M, N])];
        let eight = [make(Dtype::U8, [M, K]), make(Dtype::U8, [K, N])];
        // Twice as many floats as there are complex numbers.
        let complex = [
            make(Dtype::F32, [M, 2 * K]),
            make(Dtype::F32, [K, 2 * N]),
            output(&session, Dtype::F32, &[M, 2 * N]),
        ];
        let out =
            [Dtype::F16, Dtype::U8, Dtype::I32, Dtype::Bf16].map(|dtype| output(&session, dtype, &[M, N]));
        let mask = output(&session, Dtype::U8, &[M, (N + 7) / 8]);
        let lines = [[1, 1], [M, 1], [M, 3], [2, 3], [1, N], [3, N], [3, 2]];
        let scales = lines.map(|dims| zero(&session, Dtype::F32, &dims));
        let one = [output(&session, Dtype::F32, &[1]), output(&session, Dtype::F32, &[N])];
        let out = out.into_iter().chain([mask]).chain(one).collect();
        Self { session, f32s, eight, complex, out, scales: scales.into() }
    }

    pub fn f32(&self) -> weft_matmul_desc {
        let [a, b, d] = &self.f32s;
        weft_matmul_desc { a: a.desc, b: b.desc, d: d.desc, ..desc() }
    }

    /// 8-bit factors, and d number `out`.
    pub fn eight(&self, dtype: Dtype, d: weft_tensor) -> weft_matmul_desc {
        let [a, b] = &self.eight;
        weft_matmul_desc { a: seen_as(a, dtype), b: seen_as(b, dtype), d, ..desc() }
    }

    pub fn c32(&self) -> weft_matmul_desc {
        let view = |t: &Tensor, dims: &[i64]| with_dims(weft_tensor { dtype: WEFT_C32, ..t.desc }, dims, &[]);
        let [a, b, d] = &self.complex;
        weft_matmul_desc { a: view(a, &[M, K]), b: view(b, &[K, N]), d: view(d, &[M, N]), ..desc() }
    }

    pub fn refused(&self, what: &str, desc: weft_matmul_desc, status: i32, words: &str) {
        let (got, message) = self.session.refuse(weft_matmul, &desc);
        assert_eq!(got, status, "{what}: {message}");
        assert!(message.contains(words), "{what}: {message:?} lacks {words:?}");
    }

    pub fn check_untouched(&self) {
        for t in self.out.iter().chain([&self.f32s[2], &self.complex[2]]) {
            assert!(self.session.untouched(t), "{:?} was written", t.desc);
        }
    }
}

pub fn grouped(session: &Session, descs: &[weft_matmul_desc]) -> (i32, String) {
    // SAFETY: an array of structs of their struct_size, `out` a local of `outcome`.
    let status = session.outcome(|out| unsafe {
        weft_matmul_grouped(session.queue, descs.as_ptr(), descs.len() as u64, ptr::null(), out)
    });
    (status, last_error())
}
