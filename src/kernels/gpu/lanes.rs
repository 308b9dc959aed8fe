//! Values of any dtype in registers of the type that is computed in, one at a time or several from the words of a vector.

use super::{Array, Float};
use crate::dtype::Dtype;
use crate::ptx::{Bf16x2, Builder, F16x2, Reg, Ty};

/// A type that elements are computed in: f32 for f16 and bf16 too, 32-bit integers for shorter ones, truth values.
pub trait Lane: Ty {
    /// The element at `at`.
    fn read<'k>(k: &'k Builder, at: Array<'k>) -> Reg<'k, Self>;
    /// Stores the element at `at`: floats rounded, integers cut.
    fn write<'k>(k: &'k Builder, at: Array<'k>, value: Reg<'k, Self>);
    /// Element `index` of a vector.
    fn unpack<'k>(k: &'k Builder, dtype: Dtype, words: &[Reg<'k, u32>], index: u32) -> Reg<'k, Self>;
    /// The words of a vector.
    fn pack<'k>(k: &'k Builder, dtype: Dtype, values: &[Reg<'k, Self>]) -> Vec<Reg<'k, u32>>;
}

/// Fields of `bits` bits side by side in words.
fn join<'k>(k: &'k Builder, bits: u32, fields: &[Reg<'k, u32>]) -> Vec<Reg<'k, u32>> {
    let word = |fields: &[Reg<'k, u32>]| {
        let places = (1..).map(|place| place * bits);
        fields[1..].iter().zip(places).fold(fields[0], |word, (&field, at)| k.bfi(field, word, at, bits))
    };
    fields.chunks(32 / bits as usize).map(word).collect()
}

impl Lane for f32 {
    fn read<'k>(_: &'k Builder, at: Array<'k>) -> Reg<'k, f32> {
        <f32 as Float>::load(at)
    }

    fn write<'k>(_: &'k Builder, at: Array<'k>, value: Reg<'k, f32>) {
        <f32 as Float>::store(at, value);
    }

    fn unpack<'k>(_: &'k Builder, dtype: Dtype, words: &[Reg<'k, u32>], index: u32) -> Reg<'k, f32> {
        let (word, half) = (index as usize / 2, index as usize % 2);
        match dtype {
            Dtype::F16 => words[word].bits::<F16x2>().widen()[half],
            Dtype::Bf16 => words[word].bits::<Bf16x2>().widen()[half],
            _ => words[index as usize].bits(),
        }
    }

    fn pack<'k>(k: &'k Builder, dtype: Dtype, values: &[Reg<'k, f32>]) -> Vec<Reg<'k, u32>> {
        let pairs = values.chunks_exact(2);
        match dtype {
            Dtype::F16 => pairs.map(|v| k.pair::<F16x2>(v[0], v[1]).bits()).collect(),
            Dtype::Bf16 => pairs.map(|v| k.pair::<Bf16x2>(v[0], v[1]).bits()).collect(),
            _ => values.iter().map(|v| v.bits()).collect(),
        }
    }
}

impl Lane for f64 {
    fn read<'k>(_: &'k Builder, at: Array<'k>) -> Reg<'k, f64> {
        <f64 as Float>::load(at)
    }

    fn write<'k>(_: &'k Builder, at: Array<'k>, value: Reg<'k, f64>) {
        <f64 as Float>::store(at, value);
    }

    fn unpack<'k>(k: &'k Builder, _: Dtype, words: &[Reg<'k, u32>], index: u32) -> Reg<'k, f64> {
        k.pack::<f64>(words[2 * index as usize], words[2 * index as usize + 1])
    }

    fn pack<'k>(k: &'k Builder, _: Dtype, values: &[Reg<'k, f64>]) -> Vec<Reg<'k, u32>> {
        values.iter().flat_map(|&value| k.unpack(value)).collect()
    }
}

macro_rules! words {
    ($($type:ty: $byte:ty, $short:ty;)*) => {$(
        impl Lane for $type {
            fn read<'k>(_: &'k Builder, at: Array<'k>) -> Reg<'k, $type> {
                match at.dtype.size() {
                    1 => at.ptr::<$byte>().load().to::<$type>(),
                    2 => at.ptr::<$short>().load().to::<$type>(),
                    _ => at.ptr::<$type>().load(),
                }
            }

            fn write<'k>(_: &'k Builder, at: Array<'k>, value: Reg<'k, $type>) {
                match at.dtype.size() {
                    1 => at.ptr::<$byte>().store(value.to::<$byte>()),
                    2 => at.ptr::<$short>().store(value.to::<$short>()),
                    _ => at.ptr::<$type>().store(value),
                }
            }

            fn unpack<'k>(k: &'k Builder, dtype: Dtype, words: &[Reg<'k, u32>], index: u32) -> Reg<'k, $type> {
                let (size, in_word) = (dtype.size() as u32, 4 / dtype.size() as u32);
                let word = words[(index / in_word) as usize].bits::<$type>();
                if size == 4 { word } else { k.bfe(word, index % in_word * size * 8, size * 8) }
            }

            fn pack<'k>(k: &'k Builder, dtype: Dtype, values: &[Reg<'k, $type>]) -> Vec<Reg<'k, u32>> {
                let fields: Vec<Reg<'k, u32>> = values.iter().map(|value| value.bits()).collect();
                join(k, dtype.size() as u32 * 8, &fields)
            }
        }
    )*};
}

words! { i32: i8, i16; u32: u8, u16; }

macro_rules! long {
    ($($type:ty)*) => {$(
        impl Lane for $type {
            fn read<'k>(_: &'k Builder, at: Array<'k>) -> Reg<'k, $type> {
                at.ptr::<$type>().load()
            }

            fn write<'k>(_: &'k Builder, at: Array<'k>, value: Reg<'k, $type>) {
                at.ptr::<$type>().store(value);
            }

            fn unpack<'k>(k: &'k Builder, _: Dtype, words: &[Reg<'k, u32>], index: u32) -> Reg<'k, $type> {
                k.pack::<u64>(words[2 * index as usize], words[2 * index as usize + 1]).bits()
            }

            fn pack<'k>(k: &'k Builder, _: Dtype, values: &[Reg<'k, $type>]) -> Vec<Reg<'k, u32>> {
                values.iter().flat_map(|value| k.unpack(value.bits::<u64>())).collect()
            }
        }
    )*};
}

long! { i64 u64 }

impl Lane for bool {
    fn read<'k>(k: &'k Builder, at: Array<'k>) -> Reg<'k, bool> {
        <u32 as Lane>::read(k, at).ne(0u32)
    }

    fn write<'k>(k: &'k Builder, at: Array<'k>, value: Reg<'k, bool>) {
        <u32 as Lane>::write(k, at, k.select(value, 1u32, 0u32));
    }

    fn unpack<'k>(k: &'k Builder, dtype: Dtype, words: &[Reg<'k, u32>], index: u32) -> Reg<'k, bool> {
        <u32 as Lane>::unpack(k, dtype, words, index).ne(0u32)
    }

    fn pack<'k>(k: &'k Builder, dtype: Dtype, values: &[Reg<'k, bool>]) -> Vec<Reg<'k, u32>> {
        let numbers: Vec<_> = values.iter().map(|&value| k.select(value, 1u32, 0u32)).collect();
        <u32 as Lane>::pack(k, dtype, &numbers)
    }
}
