//! Arrays whose dtype is known while the kernel is written: elements are computed with in f32 or f64.

use crate::dtype::{Dtype, bf16, f16};
use crate::ptx::{Builder, Constant, Element, Global, Operand, Ptr, Reg};

/// A type that kernels compute in.
pub trait Float: Element + Constant {
    /// Its dtype.
    const DTYPE: Dtype;
    /// The element at `at`, converted.
    fn load<'k>(at: Array<'k>) -> Reg<'k, Self>;
    /// Stores `value` at `at`, rounded once, to nearest even.
    fn store<'k>(at: Array<'k>, value: Reg<'k, Self>);
    /// From f64, exactly or rounded.
    fn constant(value: f64) -> Self;
}

/// Elements of one dtype in the device's memory.
#[derive(Clone, Copy)]
pub struct Array<'k> {
    k: &'k Builder,
    /// What they are.
    pub dtype: Dtype,
    base: Reg<'k, u64>,
    /// Bytes beyond it, which cost nothing.
    ahead: i32,
}

impl<'k> Array<'k> {
    /// Those from the address `base` on.
    pub fn new(k: &'k Builder, dtype: Dtype, base: Reg<'k, u64>) -> Self {
        Self { k, dtype, base, ahead: 0 }
    }

    /// The array from element `index` on. Offsets that are negative wrap, as they must.
    pub fn at(self, index: impl Operand<u64>) -> Self {
        Self { base: self.k.mad(index, self.dtype.size() as u64, self.base), ..self }
    }

    /// The array from element `index` on.
    pub fn at32(self, index: impl Operand<u32>) -> Self {
        let bytes = self.k.mul_wide(index, self.dtype.size() as u32);
        Self { base: self.base + bytes, ..self }
    }

    /// The array from element `index` on, which is known while writing: no instruction.
    pub fn plus(self, index: u32) -> Self {
        Self { ahead: self.ahead + (index * self.dtype.size() as u32) as i32, ..self }
    }

    /// The array from the last boundary of 16 bytes on, and how many bytes that is ahead of its own beginning; what
    /// [`plus`](Self::plus) added is a multiple of 16 bytes.
    pub fn from_boundary(self) -> (Self, Reg<'k, u32>) {
        (Self { base: self.base & !15u64, ..self }, self.base.to::<u32>() & 15u32)
    }

    /// The first element, as a pointer to `T`, which must be the dtype's.
    pub fn ptr<T: Element>(self) -> Ptr<'k, Global<T>> {
        Ptr::new(self.base).plus(self.ahead / T::SIZE as i32)
    }

    /// The address of the first element.
    pub fn address(self) -> Reg<'k, u64> {
        self.ptr::<u8>().address()
    }

    /// The first element, converted.
    pub fn load<F: Float>(self) -> Reg<'k, F> {
        F::load(self)
    }

    /// Stores into the first element, rounded.
    pub fn store<F: Float>(self, value: Reg<'k, F>) {
        F::store(self, value);
    }
}

impl Float for f32 {
    const DTYPE: Dtype = Dtype::F32;

    fn load<'k>(at: Array<'k>) -> Reg<'k, f32> {
        match at.dtype {
            Dtype::F16 => at.ptr::<f16>().load().to::<f32>(),
            Dtype::Bf16 => at.ptr::<bf16>().load().widen(),
            Dtype::F64 => at.ptr::<f64>().load().to::<f32>(),
            _ => at.ptr::<f32>().load(),
        }
    }

    fn store<'k>(at: Array<'k>, value: Reg<'k, f32>) {
        match at.dtype {
            Dtype::F16 => at.ptr::<f16>().store(value.to::<f16>()),
            Dtype::Bf16 => at.ptr::<bf16>().store(value.to::<bf16>()),
            Dtype::F64 => at.ptr::<f64>().store(value.to::<f64>()),
            _ => at.ptr::<f32>().store(value),
        }
    }

    fn constant(value: f64) -> Self {
        value as f32
    }
}

impl Float for f64 {
    const DTYPE: Dtype = Dtype::F64;

    fn load<'k>(at: Array<'k>) -> Reg<'k, f64> {
        match at.dtype {
            Dtype::F64 => at.ptr::<f64>().load(),
            _ => at.load::<f32>().to::<f64>(),
        }
    }

    fn store<'k>(at: Array<'k>, value: Reg<'k, f64>) {
        match at.dtype {
            Dtype::F64 => at.ptr::<f64>().store(value),
            Dtype::F16 => at.ptr::<f16>().store(value.to::<f16>()),
            Dtype::Bf16 => at.ptr::<bf16>().store(to_odd(at.k, value).to::<bf16>()),
            _ => at.ptr::<f32>().store(value.to::<f32>()),
        }
    }

    fn constant(value: f64) -> Self {
        value
    }
}

/// To f32, towards zero, with the lowest bit set where that lost something: rounding once more is then as if only once
/// (Boldo and Melquiond, "When double rounding is odd").
pub fn to_odd<'k>(k: &'k Builder, value: Reg<'k, f64>) -> Reg<'k, f32> {
    let cut = value.cut();
    let lost = cut.to::<f64>().ne(value);
    let odd = (cut.bits::<u32>() | 1u32).bits::<f32>();
    k.select(lost & k.is_finite(cut), odd, cut)
}
