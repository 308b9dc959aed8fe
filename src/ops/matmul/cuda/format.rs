//! Weights in blocks, as a kernel takes them apart: a few neighbouring lanes share a block, each takes 4 bytes of it, or a few
//! more. What they decode is exact.

use crate::dtype::{Dtype, f16};
use crate::ops::matmul::problem::Problem;
use crate::ptx::{Builder, F16x2, Global, Load, Ptr, Reg};

use super::arguments::bytes;

/// The bits of 2^23: a byte below them makes a float whose last bit is 1.
const WHOLE: u32 = 0x4B00_0000;

/// A block type, and how its blocks lie.
#[derive(Clone, Copy)]
pub struct Format {
    dtype: Dtype,
    /// Whether blocks begin at multiples of what lanes load at once.
    aligned: bool,
}

/// What a lane has of a block.
pub struct Raw<'k> {
    words: Vec<Reg<'k, u32>>,
    scales: Vec<Reg<'k, f32>>,
}

impl Format {
    /// Of a block type whose blocks begin at multiples of 2, or, `aligned`, of 4 (WEFT_Q4_K: of 16).
    pub fn new(dtype: Dtype, aligned: bool) -> Self {
        Self { dtype, aligned }
    }

    /// Of a problem's B.
    pub fn of(p: &Problem) -> Self {
        let boundary = if p.b.dtype == Dtype::Q4K { 16 } else { 4 };
        let strides = p.axes().iter().fold(bytes(&p.b, p.b.col), |all, axis| all | bytes(&p.b, axis.1[1]));
        let aligned = (p.b.dtype.size() as u64 | p.b.at as u64 | strides).is_multiple_of(boundary);
        Self::new(p.b.dtype, aligned)
    }

    /// For a kernel's key and name.
    pub fn number(self) -> u32 {
        u32::from(self.aligned)
    }

    /// Bytes of a block.
    pub fn bytes(self) -> u64 {
        self.dtype.size() as u64
    }

    /// Elements of a block.
    pub fn items(self) -> u32 {
        self.dtype.block() as u32
    }

    /// Lanes that share a block.
    pub fn lanes(self) -> u32 {
        match self.dtype {
            Dtype::Q8_0 => 8,
            Dtype::Q4_0 | Dtype::Q4_1 => 4,
            _ => 32,
        }
    }

    /// Where the runs of neighbouring elements begin that lane `lane` decodes: each of [`run`](Self::run) elements.
    pub fn offsets<'k>(self, k: &'k Builder, lane: Reg<'k, u32>) -> Vec<Reg<'k, u32>> {
        let four = lane * 4u32;
        match self.dtype {
            Dtype::Q8_0 => vec![four],
            Dtype::Q4_0 | Dtype::Q4_1 => vec![four, four + 16u32],
            Dtype::Q4K => {
                let low = k.mad(lane >> 3u32, 64u32, four & 31u32);
                vec![low, low + 32u32]
            }
            _ => {
                let first = k.mad(lane >> 4u32, 128u32, (lane & 15u32) * 2u32);
                vec![first, first + 32u32, first + 64u32, first + 96u32]
            }
        }
    }

    /// Elements of a run.
    pub fn run(self) -> u32 {
        if self.dtype == Dtype::Q6K { 2 } else { 4 }
    }

    /// Loads what lane `lane` needs of the block at `at`.
    pub fn fetch<'k>(self, k: &'k Builder, at: Reg<'k, u64>, lane: Reg<'k, u32>) -> Raw<'k> {
        let half = |at: Reg<'k, u64>, index: i32| {
            Ptr::<Global<f16>>::new(at).plus(index).loading(Load::ReadOnly).load().to::<f32>()
        };
        let word = |start: i32| self.word(k, k.mad_wide(lane, 4u32, at), start);
        match self.dtype {
            Dtype::Q8_0 | Dtype::Q4_0 => Raw { words: vec![word(2)], scales: vec![half(at, 0)] },
            Dtype::Q4_1 => Raw { words: vec![word(4)], scales: vec![half(at, 0), half(at, 1)] },
            Dtype::Q4K => {
                let mut words = vec![word(16)];
                match self.aligned {
                    true => words.extend(Ptr::<Global<u32>>::new(at).loading(Load::ReadOnly).load_vec::<4>()),
                    false => words.extend([0, 4, 8, 12].map(|start| self.word(k, at, start))),
                }
                Raw { words, scales: Vec::new() }
            }
            _ => Self::fetch_six(k, at, lane),
        }
    }

    /// Four bytes from `start` on.
    fn word<'k>(self, k: &'k Builder, at: Reg<'k, u64>, start: i32) -> Reg<'k, u32> {
        if self.aligned {
            return Ptr::<Global<u32>>::new(at).plus(start / 4).loading(Load::ReadOnly).load();
        }
        let halves = Ptr::<Global<u16>>::new(at).plus(start / 2).loading(Load::ReadOnly);
        k.pack::<u32>(halves.load(), halves.plus(1).load())
    }

    /// The bytes of two elements of each quarter of 128, and their scales.
    fn fetch_six<'k>(k: &'k Builder, at: Reg<'k, u64>, lane: Reg<'k, u32>) -> Raw<'k> {
        let (part, pair) = (lane >> 4u32, (lane & 15u32) * 2u32);
        let two = |at: Reg<'k, u64>, start: i32| {
            Ptr::<Global<u16>>::new(at).plus(start / 2).loading(Load::ReadOnly).load().to::<u32>()
        };
        let low = at + k.mad(part, 64u32, pair).to::<u64>();
        let high = at + k.mad(part, 32u32, pair).to::<u64>();
        let scales = at + k.mad(part, 8u32, pair >> 4u32).to::<u64>();
        let scale = Ptr::<Global<f16>>::new(at).plus(104).loading(Load::ReadOnly).load().to::<f32>();
        let of = |quarter: i32| {
            let s = Ptr::<Global<i8>>::new(scales).plus(192 + 2 * quarter).loading(Load::ReadOnly).load();
            k.mul(scale, s.to::<f32>())
        };
        Raw { words: vec![two(low, 0), two(low, 32), two(high, 128)], scales: (0..4).map(of).collect() }
    }

    /// The elements of each run.
    pub fn values<'k>(self, k: &'k Builder, raw: &Raw<'k>, lane: Reg<'k, u32>) -> Vec<Vec<Reg<'k, f32>>> {
        let word = raw.words[0];
        let nibbles = || [word & 0x0F0F_0F0Fu32, (word >> 4u32) & 0x0F0F_0F0Fu32];
        let run = |word: Reg<'k, u32>, zero: f32| (0..4).map(move |index| byte(k, word, index, zero));
        let scaled =
            |word: Reg<'k, u32>, zero: f32| run(word, zero).map(|q| k.mul(q, raw.scales[0])).collect();
        match self.dtype {
            Dtype::Q8_0 => vec![scaled(word ^ 0x8080_8080u32, 128.0)],
            Dtype::Q4_0 => nibbles().map(|word| scaled(word, 8.0)).into(),
            Dtype::Q4_1 => {
                let value = |q| k.fma(q, raw.scales[0], raw.scales[1]);
                nibbles().map(|word| run(word, 0.0).map(value).collect()).into()
            }
            Dtype::Q4K => {
                let scales = k_scales(k, &raw.words[1..], lane);
                let value = |[scale, offset]: [Reg<'k, f32>; 2]| move |q| k.fma(q, scale, offset);
                let both = nibbles().into_iter().zip(scales);
                both.map(|(word, scales)| run(word, 0.0).map(value(scales)).collect()).collect()
            }
            _ => six(k, raw),
        }
    }
}

/// Byte `index` of a word, less `zero`.
fn byte<'k>(k: &'k Builder, word: Reg<'k, u32>, index: u32, zero: f32) -> Reg<'k, f32> {
    k.prmt(word, WHOLE, 0x7540 + index).bits::<f32>() - (8_388_608.0 + zero)
}

/// For the lower and the upper halves of a lane's bytes, the scale and the offset.
fn k_scales<'k>(k: &'k Builder, header: &[Reg<'k, u32>], lane: Reg<'k, u32>) -> [[Reg<'k, f32>; 2]; 2] {
    let [both, low, middle, high] = [header[0], header[1], header[2], header[3]];
    let [scale, offset] = both.bits::<F16x2>().widen();
    let upper = lane.ge(16u32);
    let join = |four: Reg<'k, u32>, two: Reg<'k, u32>| {
        let above = (four & 0x0F0F_0F0Fu32) | ((two >> 2u32) & 0x3030_3030u32);
        let word = k.select(upper, above, two & 0x3F3F_3F3Fu32);
        // Lanes of odd eights take the word's upper half.
        word >> ((lane & 8u32) << 1u32)
    };
    let (scales, offsets) = (join(high, low), join(high >> 4u32, middle));
    [0, 1].map(|index| {
        let offset = k.mul(offset, byte(k, offsets, index, 0.0));
        [k.mul(scale, byte(k, scales, index, 0.0)), -offset]
    })
}

/// The two elements of each quarter.
fn six<'k>(k: &'k Builder, raw: &Raw<'k>) -> Vec<Vec<Reg<'k, f32>>> {
    let quarter = |quarter: usize| {
        let low = raw.words[quarter % 2] >> if quarter < 2 { 0u32 } else { 4u32 };
        let high = (raw.words[2] >> (2 * quarter as u32)) & 0x0303u32;
        let word = (low & 0x0F0Fu32) | (high << 4u32);
        (0..2).map(|index| k.mul(byte(k, word, index, 32.0), raw.scales[quarter])).collect()
    };
    (0..4).map(quarter).collect()
}
