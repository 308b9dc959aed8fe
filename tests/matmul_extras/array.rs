//! Tensors of every dtype that a multiplication takes, however they lie; all around them is poisoned.

use crate::support::eight::{narrow, widen};
use crate::support::*;
use weft::dtype::Dtype::{self, *};
use weft::layout::weft_tensor;

/// A tensor of any dtype, its elements as real and imaginary part in row-major order.
pub struct Array {
    pub desc: weft_tensor,
    pub dtype: Dtype,
    pub values: Vec<[f64; 2]>,
    pub image: Vec<u8>,
}

/// How a tensor lies.
#[derive(Clone, Copy, PartialEq)]
pub enum Lie {
    Packed,
    /// Matrices stored column by column.
    Turned,
    /// Rows further apart than they are long.
    Padded,
    /// Every second element, rows further apart.
    Sparse,
}

pub fn put(dtype: Dtype, [re, im]: [f64; 2], out: &mut [u8]) {
    match dtype {
        F8E4m3 | F8E5m2 => out[0] = narrow(dtype, re),
        _ => encode_number(dtype, [re, im], out),
    }
}

pub fn get(dtype: Dtype, bytes: &[u8]) -> [f64; 2] {
    match dtype {
        F8E4m3 | F8E5m2 => [widen(dtype, bytes[0]), 0.0],
        _ => decode_number(dtype, bytes),
    }
}

pub fn strides_of(rng: &mut Rng, dims: &[i64], lie: Lie) -> Vec<i64> {
    let mut order: Vec<usize> = (0..dims.len()).rev().collect();
    if lie == Lie::Turned && dims.len() >= 2 {
        order.swap(0, 1);
    }
    let mut step = if lie == Lie::Sparse { 2 } else { 1 };
    let mut strides = vec![0; dims.len()];
    for (number, axis) in order.into_iter().enumerate() {
        strides[axis] = step;
        step *= dims[axis].max(1);
        let gap = if number == 0 { rng.pick(&[0, 1, 16]) } else { 0 };
        step += if matches!(lie, Lie::Padded | Lie::Sparse) { gap } else { 0 };
    }
    strides
}

impl Array {
    pub fn new(
        session: &Session,
        rng: &mut Rng,
        dtype: Dtype,
        dims: &[i64],
        lie: Lie,
        mut value: impl FnMut(&mut Rng) -> Option<f64>,
    ) -> Self {
        let strides = strides_of(rng, dims, lie);
        let last: i64 = dims.iter().zip(&strides).map(|(dim, stride)| (dim - 1).max(0) * stride).sum();
        let before = if lie == Lie::Packed { 0 } else { rng.range(0, 3) } as usize;
        let size = dtype.size();
        let mut desc = weft_tensor { dtype: dtype.code(), rank: dims.len() as u32, ..Default::default() };
        desc.dims[..dims.len()].copy_from_slice(dims);
        desc.strides[..dims.len()].copy_from_slice(&strides);
        desc.offset = (before * size) as u64;
        let image = vec![0xDB; (before + last as usize + 3) * size];
        desc.buffer = session.buffer(image.len());
        let mut array = Self { desc, dtype, values: Vec::new(), image };
        for place in array.places() {
            if let Some(re) = value(rng) {
                put(dtype, [re, value(rng).unwrap_or(0.0)], &mut array.image[place..place + size]);
            }
        }
        array.values = array.decode(&array.image);
        session.write_bytes(array.desc.buffer, &array.image);
        array
    }

    pub fn normal(session: &Session, rng: &mut Rng, dtype: Dtype, dims: &[i64], lie: Lie) -> Self {
        let wide = if dtype == I8 { 40.0 } else { 1.0 };
        let whole = matches!(dtype, I8 | I32);
        let value = move |rng: &mut Rng| rng.normal() * wide;
        Self::new(session, rng, dtype, dims, lie, |rng| {
            Some(if whole { value(rng).round().clamp(-128.0, 127.0) } else { value(rng) })
        })
    }

    pub fn output(session: &Session, rng: &mut Rng, dtype: Dtype, dims: &[i64], lie: Lie) -> Self {
        Self::new(session, rng, dtype, dims, lie, |_| None)
    }

    pub fn dims(&self) -> &[i64] {
        &self.desc.dims[..self.desc.rank as usize]
    }

    /// Where each element's bytes begin.
    pub fn places(&self) -> Vec<usize> {
        let count = self.dims().iter().product::<i64>();
        let place = |number: i64| {
            let (mut left, mut at) = (number, 0);
            for axis in (0..self.dims().len()).rev() {
                at += left % self.dims()[axis] * self.desc.strides[axis];
                left /= self.dims()[axis];
            }
            self.desc.offset as usize + at as usize * self.dtype.size()
        };
        (0..count).map(place).collect()
    }

    pub fn decode(&self, bytes: &[u8]) -> Vec<[f64; 2]> {
        let size = self.dtype.size();
        self.places().into_iter().map(|place| get(self.dtype, &bytes[place..place + size])).collect()
    }

    /// What is there now, having checked that nothing around it changed; and puts back what was there.
    #[track_caller]
    pub fn take(&self, session: &Session, what: &str) -> Vec<[f64; 2]> {
        let now = session.read_bytes(self.desc.buffer, self.image.len());
        let mut inside = vec![false; now.len()];
        self.places().into_iter().for_each(|place| inside[place..place + self.dtype.size()].fill(true));
        let changed = (0..now.len()).find(|&i| !inside[i] && now[i] != self.image[i]);
        assert_eq!(changed, None, "{what}: a byte outside of {:?} changed", self.desc);
        session.write_bytes(self.desc.buffer, &self.image);
        self.decode(&now)
    }

    /// The element that broadcasts to `index` of `dims`.
    pub fn at(&self, dims: &[i64], index: &[i64]) -> [f64; 2] {
        self.values[self.number(dims, index)]
    }

    pub fn number(&self, dims: &[i64], index: &[i64]) -> usize {
        let own = self.dims();
        let mut number = 0;
        for (axis, dim) in own.iter().enumerate() {
            let i = index[dims.len() - own.len() + axis];
            number = number * dim + if *dim == 1 { 0 } else { i };
        }
        number as usize
    }
}
