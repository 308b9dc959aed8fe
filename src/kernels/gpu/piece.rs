//! What a thread takes of a row at once: a piece of 16 packed bytes, or a single element from anywhere.

use super::{Array, Float};
use crate::dtype::Dtype;
use crate::ptx::compare::ComparesFloat;
use crate::ptx::floats::float;
use crate::ptx::{Bf16x2, Builder, F16x2, Has, Load, Reg};

/// 16 bytes.
pub type Words<'k> = [Reg<'k, u32>; 4];

/// A type that kernels compute in, with the arithmetic that takes.
pub trait Real:
    Float
    + ComparesFloat
    + Has<float::add>
    + Has<float::sub>
    + Has<float::mul>
    + Has<float::fma>
    + Has<float::max>
{
    /// The elements of a piece.
    fn unpack<'k>(k: &'k Builder, dtype: Dtype, words: Words<'k>) -> Vec<Reg<'k, Self>>;
    /// A piece of as many elements as it holds, each rounded to nearest even.
    fn pack<'k>(k: &'k Builder, dtype: Dtype, values: &[Reg<'k, Self>]) -> Words<'k>;
    /// As an element of `dtype` would be read again.
    fn rounded(dtype: Dtype, value: Reg<'_, Self>) -> Reg<'_, Self>;
    /// Exactly in f64.
    fn wide(value: Reg<'_, Self>) -> Reg<'_, f64>;
    /// Rounded from f64.
    fn narrow(value: Reg<'_, f64>) -> Reg<'_, Self>;
    /// From f32, exactly.
    fn of_f32(value: Reg<'_, f32>) -> Reg<'_, Self>;
}

impl Real for f32 {
    fn unpack<'k>(_: &'k Builder, dtype: Dtype, words: Words<'k>) -> Vec<Reg<'k, f32>> {
        match dtype {
            Dtype::F16 => words.iter().flat_map(|word| word.bits::<F16x2>().widen()).collect(),
            Dtype::Bf16 => words.iter().flat_map(|word| word.bits::<Bf16x2>().widen()).collect(),
            _ => words.iter().map(|word| word.bits()).collect(),
        }
    }

    fn pack<'k>(k: &'k Builder, dtype: Dtype, values: &[Reg<'k, f32>]) -> Words<'k> {
        std::array::from_fn(|i| match dtype {
            Dtype::F16 => k.pair::<F16x2>(values[2 * i], values[2 * i + 1]).bits(),
            Dtype::Bf16 => k.pair::<Bf16x2>(values[2 * i], values[2 * i + 1]).bits(),
            _ => values[i].bits(),
        })
    }

    fn rounded(dtype: Dtype, value: Reg<'_, f32>) -> Reg<'_, f32> {
        match dtype {
            Dtype::F16 => value.to::<crate::dtype::f16>().to(),
            Dtype::Bf16 => value.to::<crate::dtype::bf16>().widen(),
            _ => value,
        }
    }

    fn wide(value: Reg<'_, f32>) -> Reg<'_, f64> {
        value.to()
    }

    fn narrow(value: Reg<'_, f64>) -> Reg<'_, f32> {
        value.to()
    }

    fn of_f32(value: Reg<'_, f32>) -> Reg<'_, f32> {
        value
    }
}

impl Real for f64 {
    fn unpack<'k>(k: &'k Builder, _: Dtype, words: Words<'k>) -> Vec<Reg<'k, f64>> {
        words.chunks(2).map(|pair| k.pack::<f64>(pair[0], pair[1])).collect()
    }

    fn pack<'k>(k: &'k Builder, _: Dtype, values: &[Reg<'k, f64>]) -> Words<'k> {
        let [[a, b], [c, d]] = [k.unpack(values[0]), k.unpack(values[1])];
        [a, b, c, d]
    }

    fn rounded(_: Dtype, value: Reg<'_, f64>) -> Reg<'_, f64> {
        value
    }

    fn wide(value: Reg<'_, f64>) -> Reg<'_, f64> {
        value
    }

    fn narrow(value: Reg<'_, f64>) -> Reg<'_, f64> {
        value
    }

    fn of_f32(value: Reg<'_, f32>) -> Reg<'_, f64> {
        value.to()
    }
}

/// Elements of a piece.
pub fn piece_len(dtype: Dtype) -> u32 {
    16 / dtype.size() as u32
}

/// What a thread took: as it lies in memory, for that takes fewer registers.
#[derive(Clone, Copy)]
pub enum Chunk<'k, F> {
    /// Packed elements.
    Piece(&'k Builder, Dtype, Words<'k>),
    /// One.
    One(Dtype, Reg<'k, F>),
}

impl<'k, F: Real> Chunk<'k, F> {
    /// The piece at `at`, aligned to 16 bytes; zeros unless `there`.
    pub fn piece(k: &'k Builder, at: Array<'k>, there: Reg<'k, bool>) -> Self {
        let from = at.ptr::<u32>().loading(Load::NoAllocate);
        Self::Piece(k, at.dtype, from.load_vec_if::<4>(there, 0u32))
    }

    /// The element at `at`.
    pub fn one(at: Array<'k>) -> Self {
        Self::One(at.dtype, at.load())
    }

    /// Its elements.
    pub fn values(&self) -> Vec<Reg<'k, F>> {
        match *self {
            Self::Piece(k, dtype, words) => F::unpack(k, dtype, words),
            Self::One(_, value) => vec![value],
        }
    }

    /// Others of the same dtype in their place, rounded to it.
    pub fn with(&self, values: &[Reg<'k, F>]) -> Self {
        match *self {
            Self::Piece(k, dtype, _) => Self::Piece(k, dtype, F::pack(k, dtype, values)),
            Self::One(dtype, _) => Self::One(dtype, F::rounded(dtype, values[0])),
        }
    }

    /// Stores it at `at`, of its dtype, where `there` holds.
    pub fn store(&self, k: &'k Builder, at: Array<'k>, there: Reg<'k, bool>) {
        k.only(there, || match *self {
            Self::Piece(_, _, words) => at.ptr::<u32>().store_vec(words),
            Self::One(_, value) => at.store(value),
        });
    }
}

/// `count` packed elements (a piece of some dtype) of an array that may be of another one, f32; aligned to 16 bytes or to
/// all of them, if those are fewer. Zeros unless `there`.
pub fn packed<'k, F: Real>(
    k: &'k Builder,
    at: Array<'k>,
    count: u32,
    there: Reg<'k, bool>,
) -> Vec<Reg<'k, F>> {
    let len = piece_len(at.dtype);
    if count < len {
        return at.ptr::<f32>().load_vec_if::<2>(there, 0.0f32).map(F::of_f32).to_vec();
    }
    let from = at.ptr::<u32>();
    let piece = |i: u32| from.plus(4 * i as i32).load_vec_if::<4>(there, 0u32);
    (0..count / len).flat_map(|i| F::unpack(k, at.dtype, piece(i))).collect()
}
