//! A run of elements added to another, for scatter.

use crate::dtype::Dtype::{self, *};
use crate::for_each_isa;
use crate::kernels::moves::Run;
use crate::kernels::narrow::{Bfloat16, Binary16, Narrow};

/// What can be added.
pub(super) const DTYPES: &[Dtype] = &[F32, F64, F16, Bf16, I8, I16, I32, I64, U8, U16, U32, U64];

trait Sum: Copy {
    fn plus(self, other: Self) -> Self;
}

macro_rules! sums {
    ($($type:ty: $plus:expr;)*) => {$(
        impl Sum for $type {
            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                $plus(self, other)
            }
        }
    )*};
}
// Signed and unsigned integers add alike.
sums! {
    f32: |a, b| a + b;
    f64: |a, b| a + b;
    Binary16: |a: Self, b: Self| Self::from_f32(a.to_f32() + b.to_f32());
    Bfloat16: |a: Self, b: Self| Self::from_f32(a.to_f32() + b.to_f32());
    u8: u8::wrapping_add;
    u16: u16::wrapping_add;
    u32: u32::wrapping_add;
    u64: u64::wrapping_add;
}

for_each_isa! {
    fn beside<T: Sum>(from: *const T, to: *mut T, count: usize) {
        // SAFETY: `add`'s contract: `count` elements side by side at both.
        (0..count).for_each(|i| unsafe { to.add(i).write((*to.add(i)).plus(*from.add(i))) });
    }
}

/// # Safety
///
/// As for [`add`], of elements that are `T`.
unsafe fn typed<T: Sum>(from: Run, to: Run, count: usize) {
    let whole = size_of::<T>() as isize;
    if from.step == whole && to.step == whole {
        return beside::<T>(from.at.cast(), to.at.cast(), count);
    }
    for i in 0..count {
        let (from, to) = (from.skip(i).at.cast::<T>(), to.skip(i).at.cast::<T>());
        // SAFETY: element `i` of both runs.
        unsafe { to.write((*to).plus(*from)) };
    }
}

/// `to` += `from`, element by element.
///
/// # Safety
///
/// Both runs hold `count` aligned elements of `dtype`, one of [`DTYPES`], and do not overlap.
pub unsafe fn add(dtype: Dtype, from: Run, to: Run, count: usize) {
    // SAFETY: this function's contract.
    unsafe {
        match (dtype, dtype.size()) {
            (F32, _) => typed::<f32>(from, to, count),
            (F64, _) => typed::<f64>(from, to, count),
            (F16, _) => typed::<Binary16>(from, to, count),
            (Bf16, _) => typed::<Bfloat16>(from, to, count),
            (_, 1) => typed::<u8>(from, to, count),
            (_, 2) => typed::<u16>(from, to, count),
            (_, 4) => typed::<u32>(from, to, count),
            _ => typed::<u64>(from, to, count),
        }
    }
}
