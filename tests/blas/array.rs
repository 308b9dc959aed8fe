//! Vectors and matrices, real and complex, in poisoned buffers: strides of either sign, gaps, repeated inputs, batch axes that are
//! broadcast.

use crate::complex::C;
use crate::support::{Rng, Session, Style, Tensor, decode, decode_number, encode_number};
pub use crate::support::{is_complex, part};
use weft::dtype::Dtype::{self, *};
use weft::layout::weft_tensor;

/// A tensor on the device, real or complex.
pub struct Array {
    pub desc: weft_tensor,
    tensor: Tensor,
    /// The elements in row-major order, exact.
    pub values: Vec<C>,
}

fn put(dtype: Dtype, value: C, out: &mut [u8]) {
    encode_number(dtype, [value.re, value.im], out);
}

fn get(dtype: Dtype, bytes: &[u8]) -> C {
    let [re, im] = decode_number(dtype, bytes);
    C::new(re, im)
}

/// `value` as `dtype` holds it.
pub fn rounded(dtype: Dtype, value: C) -> C {
    let mut bytes = vec![0; dtype.size()];
    put(dtype, value, &mut bytes);
    get(dtype, &bytes)
}

fn decoded(tensor: &Tensor, bytes: &[u8]) -> Vec<C> {
    let dtype = tensor.dtype;
    let of = |bytes: &[u8]| match dtype {
        I32 | I64 => C::new(decode(dtype, bytes), 0.0),
        _ => get(dtype, bytes),
    };
    tensor.places().into_iter().map(|place| of(&bytes[place])).collect()
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
        let mut tensor = session.blank(rng, dtype, dims, style);
        for place in tensor.places() {
            put(dtype, value(rng), &mut tensor.image[place]);
        }
        session.write_bytes(tensor.desc.buffer, &tensor.image);
        // Repeated elements were written several times: what is there counts.
        let values = decoded(&tensor, &tensor.image);
        Self { desc: tensor.desc, tensor, values }
    }

    /// Standard normal parts.
    pub fn normal(session: &Session, rng: &mut Rng, dtype: Dtype, dims: &[i64], style: Style) -> Self {
        Self::new(session, rng, dtype, dims, style, |rng| C::new(rng.normal(), rng.normal()))
    }

    /// NaN everywhere: what must not be read.
    pub fn nan(session: &Session, rng: &mut Rng, dtype: Dtype, dims: &[i64], style: Style) -> Self {
        Self::new(session, rng, dtype, dims, style, |_| C::new(f64::NAN, f64::NAN))
    }

    pub fn dims(&self) -> &[i64] {
        self.tensor.dims()
    }

    /// The elements after a request, having checked that nothing around them changed.
    #[track_caller]
    pub fn read(&self, session: &Session) -> Vec<C> {
        decoded(&self.tensor, &session.read_image(&self.tensor))
    }

    /// Whether the whole buffer still holds what it held at first.
    pub fn untouched(&self, session: &Session) -> bool {
        session.untouched(&self.tensor)
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
