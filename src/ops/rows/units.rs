//! Units of a row on a GPU: 1 to 16 bytes in 32-bit words, and their elements' sums.

pub(super) use crate::kernels::gpu::{
    load_words as load_unit, load_words_if as load_unit_if, store_words as store_unit,
};

use crate::dtype::Dtype::{self, *};
use crate::ptx::{Bf16x2, Builder, F16x2, Reg};

/// The sums of the elements of two units: floats of 16 bits in f32, rounded once; integers wrap.
pub(super) fn add_words<'k>(
    k: &'k Builder,
    dtype: Dtype,
    a: &[Reg<'k, u32>],
    b: &[Reg<'k, u32>],
) -> Vec<Reg<'k, u32>> {
    if dtype.size() < 8 {
        return a.iter().zip(b).map(|(&a, &b)| add_word(k, dtype, a, b)).collect();
    }
    let wide = |words: &[Reg<'k, u32>]| k.pack::<u64>(words[0], words[1]);
    let sum = |(a, b): (&[Reg<'k, u32>], &[Reg<'k, u32>])| match dtype {
        F64 => (wide(a).bits::<f64>() + wide(b).bits::<f64>()).bits::<u64>(),
        _ => wide(a) + wide(b),
    };
    a.chunks(2).zip(b.chunks(2)).flat_map(|pair| k.unpack(sum(pair))).collect()
}

/// Of as many elements as a word has; what lies above a lone one is 0 in both and stays so or is not stored.
fn add_word<'k>(k: &'k Builder, dtype: Dtype, a: Reg<'k, u32>, b: Reg<'k, u32>) -> Reg<'k, u32> {
    match (dtype, dtype.size()) {
        (F32, _) => (a.bits::<f32>() + b.bits::<f32>()).bits(),
        (F16, _) => {
            let ([a, c], [b, d]) = (a.bits::<F16x2>().widen(), b.bits::<F16x2>().widen());
            k.pair::<F16x2>(a + b, c + d).bits()
        }
        (Bf16, _) => {
            let ([a, c], [b, d]) = (a.bits::<Bf16x2>().widen(), b.bits::<Bf16x2>().widen());
            k.pair::<Bf16x2>(a + b, c + d).bits()
        }
        (_, 1) => add_parts(a, b, 0x8080_8080),
        (_, 2) => add_parts(a, b, 0x8000_8000),
        _ => a + b,
    }
}

/// Of parts whose highest bits are `top`: they are added without a carry, so that none gets to the next part.
fn add_parts<'k>(a: Reg<'k, u32>, b: Reg<'k, u32>, top: u32) -> Reg<'k, u32> {
    ((a & !top) + (b & !top)) ^ ((a ^ b) & top)
}
