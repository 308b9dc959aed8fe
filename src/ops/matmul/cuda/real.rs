//! What sums are computed in, f32 or f64, and how elements of any dtype become it and are made of it.

use crate::dtype::{Dtype, bf16, f16};
use crate::kernels::gpu::Array;
use crate::kernels::gpu::math::Math;
use crate::ptx::{Bf16x2, Builder, F16x2, Ptr, Reg, Shared};

/// What sums are computed in.
pub trait Real: Math {
    /// What elements can be, in the order of their kinds.
    const KINDS: &'static [Dtype];
    /// Of an argument.
    fn of(value: Reg<'_, f64>) -> Reg<'_, Self>;
    /// Of an f32, exactly.
    fn of_single(value: Reg<'_, f32>) -> Reg<'_, Self>;
    /// The elements in words.
    fn values<'k>(k: &'k Builder, dtype: Dtype, words: &[Reg<'k, u32>]) -> Vec<Reg<'k, Self>>;
    /// Four neighbours in shared memory, aligned to 16 bytes.
    fn load4<'k>(at: Ptr<'k, Shared<Self>>) -> [Reg<'k, Self>; 4];
    /// The same, stored.
    fn store4<'k>(at: Ptr<'k, Shared<Self>>, values: [Reg<'k, Self>; 4]);
    /// Of an element's bits.
    fn of_bits<'k>(dtype: Dtype, bits: Bits<'k>) -> Reg<'k, Self>;
}

/// The bits of an element of 2, 4 or 8 bytes.
#[derive(Clone, Copy)]
pub enum Bits<'k> {
    Half(Reg<'k, u16>),
    Word(Reg<'k, u32>),
    Long(Reg<'k, u64>),
}

impl<'k> Bits<'k> {
    /// Those of 0, of an element of `dtype`.
    pub fn zero(k: &'k Builder, dtype: Dtype) -> Self {
        match dtype.size() {
            2 => Self::Half(k.var(0u16)),
            4 => Self::Word(k.var(0u32)),
            _ => Self::Long(k.var(0u64)),
        }
    }

    /// Becomes what is at the address `at`, or 0 unless `condition`.
    pub fn fetch(self, at: Reg<'k, u64>, condition: Reg<'k, bool>) {
        use crate::ptx::Global;
        match self {
            Self::Half(bits) => bits.set(Ptr::<Global<u16>>::new(at).load_if(condition, 0u16)),
            Self::Word(bits) => bits.set(Ptr::<Global<u32>>::new(at).load_if(condition, 0u32)),
            Self::Long(bits) => bits.set(Ptr::<Global<u64>>::new(at).load_if(condition, 0u64)),
        }
    }
}

/// The number of a dtype among those of its [`Real`].
pub fn kind(dtype: Dtype) -> u32 {
    match dtype {
        Dtype::F16 => 1,
        Dtype::Bf16 => 2,
        _ => 0,
    }
}

/// The element at `at` of a kind that is known when the kernel runs.
pub fn load_kind<'k, R: Real>(k: &'k Builder, kind: Reg<'k, u32>, at: Reg<'k, u64>) -> Reg<'k, R> {
    let value = k.var(R::constant(0.0));
    for (number, &dtype) in R::KINDS.iter().enumerate() {
        k.when(kind.eq(number as u32), || value.set(Array::new(k, dtype, at).load::<R>()));
    }
    value
}

/// The way back, rounded once.
pub fn store_kind<'k, R: Real>(k: &'k Builder, kind: Reg<'k, u32>, at: Reg<'k, u64>, value: Reg<'k, R>) {
    for (number, &dtype) in R::KINDS.iter().enumerate() {
        k.when(kind.eq(number as u32), || Array::new(k, dtype, at).store(value));
    }
}

impl Real for f32 {
    const KINDS: &'static [Dtype] = &[Dtype::F32, Dtype::F16, Dtype::Bf16];

    fn of(value: Reg<'_, f64>) -> Reg<'_, f32> {
        value.to()
    }

    fn of_single(value: Reg<'_, f32>) -> Reg<'_, f32> {
        value
    }

    fn values<'k>(_: &'k Builder, dtype: Dtype, words: &[Reg<'k, u32>]) -> Vec<Reg<'k, f32>> {
        match dtype {
            Dtype::F16 => words.iter().flat_map(|word| word.bits::<F16x2>().widen()).collect(),
            Dtype::Bf16 => words.iter().flat_map(|word| word.bits::<Bf16x2>().widen()).collect(),
            _ => words.iter().map(|word| word.bits::<f32>()).collect(),
        }
    }

    fn load4<'k>(at: Ptr<'k, Shared<f32>>) -> [Reg<'k, f32>; 4] {
        at.load_vec()
    }

    fn store4<'k>(at: Ptr<'k, Shared<f32>>, values: [Reg<'k, f32>; 4]) {
        at.store_vec(values);
    }

    fn of_bits<'k>(dtype: Dtype, bits: Bits<'k>) -> Reg<'k, f32> {
        match bits {
            Bits::Half(bits) if dtype == Dtype::F16 => bits.bits::<f16>().to(),
            Bits::Half(bits) => bits.bits::<bf16>().widen(),
            Bits::Word(bits) => bits.bits(),
            Bits::Long(bits) => bits.bits::<f64>().to(),
        }
    }
}

impl Real for f64 {
    const KINDS: &'static [Dtype] = &[Dtype::F64];

    fn of(value: Reg<'_, f64>) -> Reg<'_, f64> {
        value
    }

    fn of_single(value: Reg<'_, f32>) -> Reg<'_, f64> {
        value.to()
    }

    fn values<'k>(k: &'k Builder, _: Dtype, words: &[Reg<'k, u32>]) -> Vec<Reg<'k, f64>> {
        words.chunks_exact(2).map(|pair| k.pack::<f64>(pair[0], pair[1])).collect()
    }

    fn load4<'k>(at: Ptr<'k, Shared<f64>>) -> [Reg<'k, f64>; 4] {
        let ([a, b], [c, d]) = (at.load_vec(), at.plus(2).load_vec());
        [a, b, c, d]
    }

    fn store4<'k>(at: Ptr<'k, Shared<f64>>, [a, b, c, d]: [Reg<'k, f64>; 4]) {
        at.store_vec([a, b]);
        at.plus(2).store_vec([c, d]);
    }

    fn of_bits<'k>(dtype: Dtype, bits: Bits<'k>) -> Reg<'k, f64> {
        match bits {
            Bits::Long(bits) => bits.bits(),
            narrow => f32::of_bits(dtype, narrow).to(),
        }
    }
}
