//! What a thread takes of a row at once: a piece of 16 packed bytes, or a single element from anywhere.

use super::{Array, Float, Team};
use crate::dtype::Dtype;
use crate::ptx::compare::ComparesFloat;
use crate::ptx::floats::float;
use crate::ptx::{Bf16x2, Builder, F16x2, Has, Load, Reg, Store};

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
    /// 1 / sqrt(x).
    fn reciprocal_root<'k>(k: &'k Builder, x: Reg<'k, f64>) -> Reg<'k, Self>;
    /// The largest element of a piece, NaN aside.
    fn largest<'k>(k: &'k Builder, dtype: Dtype, words: Words<'k>) -> Reg<'k, Self>;
    /// The largest that threads of a team have, which is not NaN in any, in all of them.
    fn largest_of_team<'k>(team: &Team<'k>, value: Reg<'k, Self>) -> Reg<'k, Self>;
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

    fn reciprocal_root<'k>(k: &'k Builder, x: Reg<'k, f64>) -> Reg<'k, f32> {
        // A step of Newton's brings what the hardware gives to an error of 1.5 half units.
        let narrow = x.to::<f32>();
        let near = k.rsqrt_ftz(narrow);
        let lacks = k.fma(-(narrow * near), near, 1.0f32);
        let root = k.var(k.fma(near * 0.5f32, lacks, near));
        k.unless(x.gt(1e-30f64) & x.lt(1e36f64), || root.set(k.rsqrt(x).to::<f32>()));
        root
    }

    fn largest<'k>(k: &'k Builder, dtype: Dtype, words: Words<'k>) -> Reg<'k, f32> {
        let [a, b, c, d] = words;
        match dtype {
            Dtype::F16 => {
                let [a, b, c, d] = [a, b, c, d].map(|word| word.bits::<F16x2>());
                let [low, high] = k.max(k.max(a, b), k.max(c, d)).widen();
                k.max(low, high)
            }
            Dtype::Bf16 => {
                let [a, b, c, d] = [a, b, c, d].map(|word| word.bits::<Bf16x2>());
                let [low, high] = k.max(k.max(a, b), k.max(c, d)).widen();
                k.max(low, high)
            }
            _ => {
                let [a, b, c, d] = [a, b, c, d].map(|word| word.bits::<f32>());
                k.max(k.max(a, b), k.max(c, d))
            }
        }
    }

    fn largest_of_team<'k>(team: &Team<'k>, value: Reg<'k, f32>) -> Reg<'k, f32> {
        // As integers of the same order, for which a warp has one instruction.
        let turned = |bits: Reg<'k, i32>| bits ^ ((bits >> 31u32) & i32::MAX);
        let k = team.k;
        let lanes = |value| k.redux_max_signed(value, u32::MAX);
        let [most] = team.fold_by([turned(value.bits::<i32>())], lanes, |a, b| k.max(a, b));
        turned(most).bits()
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

    fn reciprocal_root<'k>(k: &'k Builder, x: Reg<'k, f64>) -> Reg<'k, f64> {
        k.rsqrt(x)
    }

    fn largest<'k>(k: &'k Builder, _: Dtype, words: Words<'k>) -> Reg<'k, f64> {
        k.max(k.pack(words[0], words[1]), k.pack(words[2], words[3]))
    }

    fn largest_of_team<'k>(team: &Team<'k>, value: Reg<'k, f64>) -> Reg<'k, f64> {
        team.fold(value, |a, b| team.k.max(a, b))
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
        Self::piece_or(k, at, Some(there), Fill::Zero)
    }

    /// The same; of `otherwise` unless it is there.
    pub fn piece_or(k: &'k Builder, at: Array<'k>, there: Option<Reg<'k, bool>>, otherwise: Fill) -> Self {
        let from = at.ptr::<u32>().loading(Load::NoAllocate);
        let words = match there {
            Some(there) => from.load_vec_or(there, otherwise.words(at.dtype)),
            None => from.load_vec(),
        };
        Self::Piece(k, at.dtype, words)
    }

    /// The element at `at`.
    pub fn one(at: Array<'k>) -> Self {
        Self::One(at.dtype, at.load())
    }

    /// The largest of its elements, NaN aside where there are several.
    pub fn largest(&self) -> Reg<'k, F> {
        match *self {
            Self::Piece(k, dtype, words) => F::largest(k, dtype, words),
            Self::One(_, value) => value,
        }
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
        self.store_or(k, at, Some(there));
    }

    /// The same, if it is there.
    pub fn store_or(&self, k: &'k Builder, at: Array<'k>, there: Option<Reg<'k, bool>>) {
        let store = || match *self {
            // First to leave the caches: what rows are written to is mostly larger than they are.
            Self::Piece(_, _, words) => at.ptr::<u32>().storing(Store::Cs).store_vec(words),
            Self::One(_, value) => at.store(value),
        };
        match there {
            Some(there) => k.only(there, store),
            None => store(),
        }
    }
}

/// What elements are that are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// 0.
    Zero,
    /// -infinity.
    Least,
}

impl Fill {
    /// As a number.
    pub fn value(self) -> f64 {
        match self {
            Self::Zero => 0.0,
            Self::Least => f64::NEG_INFINITY,
        }
    }

    /// As a piece.
    fn words(self, dtype: Dtype) -> [u32; 4] {
        let wide = self.value().to_bits();
        let narrow = (self.value() as f32).to_bits();
        match (dtype, self) {
            (Dtype::F64, _) => [wide as u32, (wide >> 32) as u32, wide as u32, (wide >> 32) as u32],
            (Dtype::F16, Self::Least) => [0xFC00_FC00; 4],
            (Dtype::Bf16, Self::Least) => [narrow | narrow >> 16; 4],
            _ => [narrow; 4],
        }
    }
}

/// `count` packed elements (a piece of some dtype) of an array that may be of another one, f32; aligned to 16 bytes or to
/// all of them, if those are fewer. Zeros unless they are there.
pub fn packed<'k, F: Real>(
    k: &'k Builder,
    at: Array<'k>,
    count: u32,
    there: Option<Reg<'k, bool>>,
) -> Vec<Reg<'k, F>> {
    let len = piece_len(at.dtype);
    if count < len {
        let from = at.ptr::<f32>();
        let pair = there.map_or_else(|| from.load_vec::<2>(), |there| from.load_vec_if(there, 0.0f32));
        return pair.map(F::of_f32).to_vec();
    }
    let piece = |i: u32| {
        let from = at.ptr::<u32>().plus(4 * i as i32);
        there.map_or_else(|| from.load_vec::<4>(), |there| from.load_vec_if(there, 0u32))
    };
    (0..count / len).flat_map(|i| F::unpack(k, at.dtype, piece(i))).collect()
}

/// `count` packed elements, 16 bytes or more of them, at `at`, of an array that begins and ends anywhere in `within`: from the
/// 16 bytes in which they begin up to those in which they end, if the array has all of these, else one by one.
pub fn shifted<'k, F: Real>(
    k: &'k Builder,
    at: Array<'k>,
    count: u32,
    within: [Reg<'k, u64>; 2],
) -> Vec<Reg<'k, F>> {
    let values: Vec<_> = (0..count).map(|_| k.var(F::constant(0.0))).collect();
    let (whole, bytes) = at.from_boundary();
    let (from, pieces) = (whole.ptr::<u32>(), count / piece_len(at.dtype));
    let first = from.address();
    let inside = first.ge(within[0]) & (first + u64::from(16 * (pieces + 1))).le(within[1]);
    let together = || {
        let words: Vec<_> = (0..=pieces as i32).flat_map(|i| from.plus(4 * i).load_vec::<4>()).collect();
        let words = moved_down(k, words, bytes);
        let pieces = words.chunks_exact(4).take(pieces as usize);
        let read = pieces.flat_map(|piece| F::unpack(k, at.dtype, [piece[0], piece[1], piece[2], piece[3]]));
        values.iter().zip(read).for_each(|(value, read)| value.set(read));
    };
    let apart = || (0..count).zip(&values).for_each(|(i, value)| value.set(at.plus(i).load()));
    k.if_else(inside, together, apart);
    values
}

/// Words less the first `bytes` of them, an even number below 16.
fn moved_down<'k>(k: &'k Builder, words: Vec<Reg<'k, u32>>, bytes: Reg<'k, u32>) -> Vec<Reg<'k, u32>> {
    let by = |words: Vec<Reg<'k, u32>>, count: usize, condition: Reg<'k, bool>| -> Vec<_> {
        words.iter().zip(&words[count..]).map(|(&here, &there)| k.select(condition, there, here)).collect()
    };
    let words = by(words, 2, (bytes & 8u32).ne(0u32));
    let words = by(words, 1, (bytes & 4u32).ne(0u32));
    let bits = (bytes & 2u32) << 3u32;
    words.windows(2).map(|two| k.shf_r(two[0], two[1], bits)).collect()
}
