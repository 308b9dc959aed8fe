//! What sums are computed in, f32, f64 or i32, and how elements of any dtype become it and are made of it.

use crate::dtype::{Dtype, bf16, f16};
use crate::kernels::gpu::math::Math;
use crate::kernels::gpu::{Array, narrow_small, widen_small};
use crate::ptx::{Bf16x2, Builder, Constant, Element, F16x2, Global, Ptr, Reg, Shared};

/// What sums are computed in: the parts of complex numbers too.
pub trait Number: Element + Constant {
    /// Its dtype.
    const SUM: Dtype;
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// a b + sum.
    fn step<'k>(k: &'k Builder, a: Reg<'k, Self>, b: Reg<'k, Self>, sum: Reg<'k, Self>) -> Reg<'k, Self>;
    /// x, or -x.
    fn signed<'k>(k: &'k Builder, negative: Reg<'k, bool>, x: Reg<'k, Self>) -> Reg<'k, Self>;
    /// x times a scale, where there are any.
    fn scaled<'k>(x: Reg<'k, Self>, scale: Reg<'k, f32>) -> Reg<'k, Self>;
    /// Four neighbours in shared memory, aligned to 16 bytes.
    fn load4<'k>(at: Ptr<'k, Shared<Self>>) -> [Reg<'k, Self>; 4];
    /// The same, stored.
    fn store4<'k>(at: Ptr<'k, Shared<Self>>, values: [Reg<'k, Self>; 4]);
    /// Of an element's bits.
    fn of_bits<'k>(k: &'k Builder, dtype: Dtype, bits: Bits<'k>) -> Reg<'k, Self>;
}

/// A float that sums are computed in.
pub trait Real: Math + Number {
    /// What elements can be, in the order of their kinds.
    const KINDS: &'static [Dtype];
    /// Of an argument.
    fn of(value: Reg<'_, f64>) -> Reg<'_, Self>;
    /// Of a number in memory.
    fn of_single(value: Reg<'_, f32>) -> Reg<'_, Self>;
    /// To it.
    fn to_single(value: Reg<'_, Self>) -> Reg<'_, f32>;
    /// The elements in words.
    fn values<'k>(k: &'k Builder, dtype: Dtype, words: &[Reg<'k, u32>]) -> Vec<Reg<'k, Self>>;
}

/// What a factor of this dtype sums up in, with another of its kind; `exact`: whether integers do in i32.
pub fn sum_of(factor: Dtype, exact: bool) -> Dtype {
    match factor {
        Dtype::F64 | Dtype::C64 => Dtype::F64,
        Dtype::I8 if exact => Dtype::I32,
        _ => Dtype::F32,
    }
}

/// Whether elements have two parts.
pub fn is_complex(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::C32 | Dtype::C64)
}

/// What the parts of an element are.
pub fn part(dtype: Dtype) -> Dtype {
    match dtype {
        Dtype::C32 => Dtype::F32,
        Dtype::C64 => Dtype::F64,
        real => real,
    }
}

/// The bits of an element of 1, 2, 4 or 8 bytes.
#[derive(Clone, Copy)]
pub enum Bits<'k> {
    Byte(Reg<'k, u8>),
    Half(Reg<'k, u16>),
    Word(Reg<'k, u32>),
    Long(Reg<'k, u64>),
}

impl<'k> Bits<'k> {
    /// Those of 0, of an element of `dtype`.
    pub fn zero(k: &'k Builder, dtype: Dtype) -> Self {
        match dtype.size() {
            1 => Self::Byte(k.var(0u8)),
            2 => Self::Half(k.var(0u16)),
            4 => Self::Word(k.var(0u32)),
            _ => Self::Long(k.var(0u64)),
        }
    }

    /// Becomes what is at the address `at`, or 0 unless `condition`.
    pub fn fetch(self, at: Reg<'k, u64>, condition: Reg<'k, bool>) {
        match self {
            Self::Byte(bits) => bits.set(Ptr::<Global<u8>>::new(at).load_if(condition, 0u8)),
            Self::Half(bits) => bits.set(Ptr::<Global<u16>>::new(at).load_if(condition, 0u16)),
            Self::Word(bits) => bits.set(Ptr::<Global<u32>>::new(at).load_if(condition, 0u32)),
            Self::Long(bits) => bits.set(Ptr::<Global<u64>>::new(at).load_if(condition, 0u64)),
        }
    }
}

/// The number of a dtype among those of its [`Real`], and those of 8 bits.
pub fn kind(dtype: Dtype) -> u32 {
    match dtype {
        Dtype::F16 => 1,
        Dtype::Bf16 => 2,
        Dtype::F8E4m3 => 3,
        Dtype::F8E5m2 => 4,
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

/// As [`store_kind`], floats of 8 bits too, which keep in their range.
pub fn store_any<'k, R: Real>(k: &'k Builder, of: Reg<'k, u32>, at: Reg<'k, u64>, value: Reg<'k, R>) {
    store_kind(k, of, at, value);
    if R::SUM != Dtype::F32 {
        return;
    }
    let value = R::to_single(value);
    for dtype in [Dtype::F8E4m3, Dtype::F8E5m2] {
        k.when(of.eq(kind(dtype)), || {
            Ptr::<Global<u8>>::new(at).store(narrow_small(k, dtype, value, true).to::<u8>());
        });
    }
}

/// What floats and integers have in common.
macro_rules! number {
    ($ty:ty, $dtype:ident, $step:ident) => {
        const SUM: Dtype = Dtype::$dtype;
        const ZERO: $ty = 0 as $ty;
        const ONE: $ty = 1 as $ty;

        fn step<'k>(k: &'k Builder, a: Reg<'k, $ty>, b: Reg<'k, $ty>, sum: Reg<'k, $ty>) -> Reg<'k, $ty> {
            k.$step(a, b, sum)
        }

        fn signed<'k>(k: &'k Builder, negative: Reg<'k, bool>, x: Reg<'k, $ty>) -> Reg<'k, $ty> {
            k.select(negative, -x, x)
        }
    };
}

impl Number for f32 {
    number!(f32, F32, fma);

    fn scaled<'k>(x: Reg<'k, f32>, scale: Reg<'k, f32>) -> Reg<'k, f32> {
        x * scale
    }

    fn load4<'k>(at: Ptr<'k, Shared<f32>>) -> [Reg<'k, f32>; 4] {
        at.load_vec()
    }

    fn store4<'k>(at: Ptr<'k, Shared<f32>>, values: [Reg<'k, f32>; 4]) {
        at.store_vec(values);
    }

    fn of_bits<'k>(k: &'k Builder, dtype: Dtype, bits: Bits<'k>) -> Reg<'k, f32> {
        match bits {
            Bits::Byte(bits) if dtype == Dtype::I8 => bits.bits::<i8>().to(),
            Bits::Byte(bits) => widen_small(k, dtype, bits.to()),
            Bits::Half(bits) if dtype == Dtype::F16 => bits.bits::<f16>().to(),
            Bits::Half(bits) => bits.bits::<bf16>().widen(),
            Bits::Word(bits) => bits.bits(),
            Bits::Long(bits) => bits.bits::<f64>().to(),
        }
    }
}

impl Number for f64 {
    number!(f64, F64, fma);

    fn scaled<'k>(x: Reg<'k, f64>, scale: Reg<'k, f32>) -> Reg<'k, f64> {
        x * scale.to::<f64>()
    }

    fn load4<'k>(at: Ptr<'k, Shared<f64>>) -> [Reg<'k, f64>; 4] {
        let ([a, b], [c, d]) = (at.load_vec(), at.plus(2).load_vec());
        [a, b, c, d]
    }

    fn store4<'k>(at: Ptr<'k, Shared<f64>>, [a, b, c, d]: [Reg<'k, f64>; 4]) {
        at.store_vec([a, b]);
        at.plus(2).store_vec([c, d]);
    }

    fn of_bits<'k>(k: &'k Builder, dtype: Dtype, bits: Bits<'k>) -> Reg<'k, f64> {
        match bits {
            Bits::Long(bits) => bits.bits(),
            narrow => f32::of_bits(k, dtype, narrow).to(),
        }
    }
}

impl Number for i32 {
    number!(i32, I32, mad);

    /// Integers are scaled as floats.
    fn scaled<'k>(x: Reg<'k, i32>, _: Reg<'k, f32>) -> Reg<'k, i32> {
        x
    }

    fn load4<'k>(at: Ptr<'k, Shared<i32>>) -> [Reg<'k, i32>; 4] {
        at.load_vec()
    }

    fn store4<'k>(at: Ptr<'k, Shared<i32>>, values: [Reg<'k, i32>; 4]) {
        at.store_vec(values);
    }

    fn of_bits<'k>(_: &'k Builder, _: Dtype, bits: Bits<'k>) -> Reg<'k, i32> {
        match bits {
            Bits::Byte(bits) => bits.bits::<i8>().to(),
            Bits::Half(bits) => bits.bits::<i16>().to(),
            Bits::Word(bits) => bits.bits(),
            Bits::Long(bits) => bits.to(),
        }
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

    fn to_single(value: Reg<'_, f32>) -> Reg<'_, f32> {
        value
    }

    fn values<'k>(_: &'k Builder, dtype: Dtype, words: &[Reg<'k, u32>]) -> Vec<Reg<'k, f32>> {
        match dtype {
            Dtype::F16 => words.iter().flat_map(|word| word.bits::<F16x2>().widen()).collect(),
            Dtype::Bf16 => words.iter().flat_map(|word| word.bits::<Bf16x2>().widen()).collect(),
            _ => words.iter().map(|word| word.bits::<f32>()).collect(),
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

    fn to_single(value: Reg<'_, f64>) -> Reg<'_, f32> {
        value.to()
    }

    fn values<'k>(k: &'k Builder, _: Dtype, words: &[Reg<'k, u32>]) -> Vec<Reg<'k, f64>> {
        words.chunks_exact(2).map(|pair| k.pack::<f64>(pair[0], pair[1])).collect()
    }
}
