//! Vectors and matrices, real and complex, in poisoned buffers: strides of either sign, gaps, repeated inputs, batch axes that are
//! broadcast.

use crate::complex::C;
use crate::support::{Rng, Session, Style, decode, encode};
use weft::dtype::Dtype::{self, *};
use weft::layout::{Layout, weft_tensor};

const POISON: u8 = 0xDB;

/// A tensor on the device with what its buffer held when it was written.
pub struct Array {
    pub desc: weft_tensor,
    pub dtype: Dtype,
    layout: Layout,
    image: Vec<u8>,
    /// The elements in row-major order, exact.
    pub values: Vec<C>,
}

/// The dtype of a number's parts.
pub fn part(dtype: Dtype) -> Dtype {
    match dtype {
        C32 => F32,
        C64 => F64,
        other => other,
    }
}

pub fn is_complex(dtype: Dtype) -> bool {
    matches!(dtype, C32 | C64)
}

fn put(dtype: Dtype, value: C, out: &mut [u8]) {
    let (first, second) = out.split_at_mut(part(dtype).size());
    encode(part(dtype), value.re, first);
    if is_complex(dtype) {
        encode(part(dtype), value.im, second);
    }
}

fn get(dtype: Dtype, bytes: &[u8]) -> C {
    let (first, second) = bytes.split_at(part(dtype).size());
    let im = if is_complex(dtype) { decode(part(dtype), second) } else { 0.0 };
    C::new(decode(part(dtype), first), im)
}

/// `value` as `dtype` holds it.
pub fn rounded(dtype: Dtype, value: C) -> C {
    let mut bytes = vec![0; dtype.size()];
    put(dtype, value, &mut bytes);
    get(dtype, &bytes)
}

fn strides(rng: &mut Rng, dims: &[i64], style: Style) -> Vec<i64> {
    let mut strides = vec![0; dims.len()];
    if style == Style::Packed {
        return strides;
    }
    let mut order: Vec<usize> = (0..dims.len()).collect();
    (0..dims.len()).for_each(|i| order.swap(i, rng.range(0, i as i64) as usize));
    let mut step = rng.pick(&[1, 1, 2, 3]);
    for axis in order {
        strides[axis] = if rng.chance(5) { -step } else { step };
        step = step * dims[axis].max(1) + rng.pick(&[0, 0, 1, 5]);
        if style == Style::Repeated && rng.chance(3) {
            strides[axis] = 0;
        }
    }
    strides
}

impl Array {
    /// Of `value`s, one after another in row-major order, rounded.
    pub fn new(
        session: &Session,
        rng: &mut Rng,
        dtype: Dtype,
        dims: &[i64],
        style: Style,
        mut value: impl FnMut(&mut Rng) -> C,
    ) -> Self {
        let strides = strides(rng, dims, style);
        let packed = strides.iter().all(|&stride| stride == 0);
        let layout = if packed { Layout::packed(dims) } else { Layout::strided(dims, &strides) };
        let (span, size) = (layout.span(), dtype.size());
        let gap = if style == Style::Packed { 0 } else { rng.range(0, 5) };
        let before = span.map_or(0, |span| -span.low) + gap;
        let bytes = (before + span.map_or(0, |span| span.high + 1) + rng.range(0, 3)) as usize * size;
        let mut desc = weft_tensor { dtype: dtype.code(), rank: dims.len() as u32, ..Default::default() };
        (desc.buffer, desc.offset) = (session.buffer(bytes), before as u64 * size as u64);
        desc.dims[..dims.len()].copy_from_slice(dims);
        desc.strides[..dims.len()].copy_from_slice(&strides);
        let mut array = Self { desc, dtype, layout, image: vec![POISON; bytes], values: Vec::new() };
        for i in 0..layout.count() {
            let at = array.at(i);
            put(dtype, value(rng), &mut array.image[at..at + size]);
        }
        // Repeated elements were written several times: what is there counts.
        array.values = array.decoded(&array.image);
        session.write_bytes(desc.buffer, &array.image);
        array
    }

    /// Standard normal parts.
    pub fn normal(session: &Session, rng: &mut Rng, dtype: Dtype, dims: &[i64], style: Style) -> Self {
        Self::new(session, rng, dtype, dims, style, |rng| C::new(rng.normal(), rng.normal()))
    }

    /// NaN everywhere: what must not be read.
    pub fn nan(session: &Session, rng: &mut Rng, dtype: Dtype, dims: &[i64], style: Style) -> Self {
        Self::new(session, rng, dtype, dims, style, |_| C::new(f64::NAN, f64::NAN))
    }

    fn at(&self, number: usize) -> usize {
        (self.desc.offset as isize + self.layout.offset_of(number) * self.dtype.size() as isize) as usize
    }

    fn decoded(&self, bytes: &[u8]) -> Vec<C> {
        if self.dtype == I32 || self.dtype == I64 {
            let whole = |at: usize| decode(self.dtype, &bytes[at..at + self.dtype.size()]);
            return (0..self.layout.count()).map(|i| C::new(whole(self.at(i)), 0.0)).collect();
        }
        let number = |at: usize| get(self.dtype, &bytes[at..at + self.dtype.size()]);
        (0..self.layout.count()).map(|i| number(self.at(i))).collect()
    }

    pub fn dims(&self) -> &[i64] {
        self.layout.dims()
    }

    /// The elements after a request, having checked that nothing around them changed.
    #[track_caller]
    pub fn read(&self, session: &Session) -> Vec<C> {
        let now = session.read_bytes(self.desc.buffer, self.image.len());
        let mut inside = vec![false; now.len()];
        for i in 0..self.layout.count() {
            inside[self.at(i)..self.at(i) + self.dtype.size()].fill(true);
        }
        let changed = (0..now.len()).find(|&i| !inside[i] && now[i] != self.image[i]);
        assert_eq!(changed, None, "a byte outside the tensor changed: {:?}", self.desc);
        self.decoded(&now)
    }

    /// Whether the whole buffer still holds what it held at first.
    pub fn untouched(&self, session: &Session) -> bool {
        session.read_bytes(self.desc.buffer, self.image.len()) == self.image
    }

    /// The elements of the block of the last `axes` axes that belongs to matrix or vector `number` of the batch.
    pub fn block(&self, batch: &[i64], number: usize, axes: usize) -> &[C] {
        let (own, block) = self.dims().split_at(self.dims().len() - axes);
        let size: usize = block.iter().product::<i64>() as usize;
        let (mut left, mut at, mut step) = (number, 0, 1);
        for (axis, &dim) in batch.iter().enumerate().rev() {
            let index = left % dim as usize;
            left /= dim as usize;
            let Some(mine) = (axis + own.len()).checked_sub(batch.len()) else { continue };
            at += if own[mine] == 1 { 0 } else { index * step };
            step *= own[mine] as usize;
        }
        &self.values[at * size..(at + 1) * size]
    }
}

/// Batch axes, mostly none.
pub fn batch(rng: &mut Rng) -> Vec<i64> {
    let rank = rng.pick(&[0, 0, 0, 1, 1, 2]);
    (0..rank).map(|_| if rng.chance(24) { 0 } else { rng.range(1, 3) }).collect()
}

/// Batch axes that can be broadcast to these.
pub fn narrower(rng: &mut Rng, batch: &[i64]) -> Vec<i64> {
    let cut = if rng.chance(3) { rng.range(0, batch.len() as i64) as usize } else { 0 };
    batch[cut..].iter().map(|&dim| if rng.chance(4) { 1 } else { dim }).collect()
}

/// Batch axes and the others.
pub fn dims(batch: &[i64], block: &[i64]) -> Vec<i64> {
    [batch, block].concat()
}

pub fn style(rng: &mut Rng) -> Style {
    rng.pick(&[Style::Packed, Style::Hostile])
}

pub fn any_style(rng: &mut Rng) -> Style {
    rng.pick(&[Style::Packed, Style::Hostile, Style::Hostile, Style::Repeated])
}
