//! Vectors of f32 as attention needs them: one trait, implemented for AVX-512, AVX2 and plain Rust.

use crate::dtype::{Dtype, Float, bf16, f16};

/// An instruction set.
///
/// # Safety
///
/// Every function needs the instruction set at run time and must be inlined into a function that enables it; pointers
/// are valid for as many elements as are named, at any alignment.
pub(super) trait Simd: Copy + 'static {
    /// `LANES` values of f32.
    type V: Copy;
    const LANES: usize;
    /// Elements in a 32-bit word of the products' operands: 1 of f32, or 2 of bf16.
    const PAIR: usize;

    unsafe fn splat(x: f32) -> Self::V;
    /// The word at `from`, whatever it holds, in every lane.
    unsafe fn splat_word(from: *const f32) -> Self::V;
    unsafe fn load(from: *const f32) -> Self::V;
    unsafe fn load_f16(from: *const f16) -> Self::V;
    unsafe fn load_bf16(from: *const bf16) -> Self::V;
    unsafe fn store(to: *mut f32, x: Self::V);
    unsafe fn store_f16(to: *mut f16, x: Self::V);
    unsafe fn store_bf16(to: *mut bf16, x: Self::V);
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    /// The greater; `b` where either is NaN.
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// a * b + c.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// c plus the products of the elements in each word of a and b.
    unsafe fn dot(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// 2^x for x up to 1: within 2.1e-7, 0 from -200 down (or earlier: from -126), NaN for NaN.
    unsafe fn exp2(x: Self::V) -> Self::V;
    unsafe fn sum(x: Self::V) -> f32;
    /// The sums of four vectors.
    unsafe fn sum4(a: Self::V, b: Self::V, c: Self::V, d: Self::V) -> [f32; 4];
    /// Of no NaN.
    unsafe fn greatest(x: Self::V) -> f32;
    /// 2 `LANES` values of f32, rounded to pairs in `LANES` words. Only where `PAIR` is 2.
    unsafe fn narrow(from: *const f32, to: *mut f32);
    /// `LANES` rows of `LANES` words, transposed.
    unsafe fn transpose(from: *const f32, from_step: usize, to: *mut f32, to_step: usize);

    /// `LANES` elements of `T`.
    #[inline(always)]
    unsafe fn load_as<T: Float>(from: *const T) -> Self::V {
        // SAFETY: the trait's contract; the pointer has the type that is asked for.
        unsafe {
            match T::DTYPE {
                Dtype::F16 => Self::load_f16(from.cast()),
                Dtype::Bf16 => Self::load_bf16(from.cast()),
                _ => Self::load(from.cast()),
            }
        }
    }

    /// `LANES` elements, rounded to `T`.
    #[inline(always)]
    unsafe fn store_as<T: Float>(to: *mut T, x: Self::V) {
        // SAFETY: as above.
        unsafe {
            match T::DTYPE {
                Dtype::F16 => Self::store_f16(to.cast(), x),
                Dtype::Bf16 => Self::store_bf16(to.cast(), x),
                _ => Self::store(to.cast(), x),
            }
        }
    }
}

/// Whatever the target guarantees: four lanes, which the compiler keeps in a register where there are any.
#[derive(Clone, Copy)]
pub(super) struct Portable;

/// The coefficients of 2^x on [-1/2, 1/2], from x^5 down: fitted for the least relative error, 1e-7.
#[allow(clippy::approx_constant)] // Near ln 2, which the series would have there.
pub(super) const EXP2: [f32; 6] =
    [1.326_472_7e-3, 9.671_513e-3, 5.550_733_6e-2, 0.240_222_42, 0.693_147, 1.0];

#[inline(always)]
fn each(f: impl Fn(usize) -> f32) -> [f32; 4] {
    [f(0), f(1), f(2), f(3)]
}

#[inline(always)]
fn exp2(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    if x < -126.0 {
        return 0.0;
    }
    if x.is_nan() {
        return x;
    }
    let n = (x + ROUND) - ROUND;
    let p = EXP2.iter().fold(0.0, |p, c| p * (x - n) + c);
    p * f32::from_bits((n as i32).wrapping_add(127) as u32 * (1 << 23))
}

/// Defines methods whose bodies are unsafe only as the trait says.
macro_rules! methods {
    ($(fn $name:ident($($arg:ident: $type:ty),*) $(-> $ret:ty)? = $body:expr;)*) => {
        $(
            #[inline(always)]
            #[allow(unused_unsafe)]
            unsafe fn $name($($arg: $type),*) $(-> $ret)? {
                // SAFETY: the trait's contract: the instructions are there and the pointers valid.
                unsafe { $body }
            }
        )*
    };
}
pub(super) use methods;

impl Simd for Portable {
    type V = [f32; 4];
    const LANES: usize = 4;
    const PAIR: usize = 1;

    methods! {
        fn splat(x: f32) -> [f32; 4] = [x; 4];
        fn splat_word(from: *const f32) -> [f32; 4] = [from.read(); 4];
        fn load(from: *const f32) -> [f32; 4] = from.cast::<[f32; 4]>().read_unaligned();
        fn load_f16(from: *const f16) -> [f32; 4] = each(|i| from.add(i).read().to_f32());
        fn load_bf16(from: *const bf16) -> [f32; 4] = each(|i| from.add(i).read().to_f32());
        fn store(to: *mut f32, x: [f32; 4]) = to.cast::<[f32; 4]>().write_unaligned(x);
        fn store_f16(to: *mut f16, x: [f32; 4]) = (0..4).for_each(|i| to.add(i).write(f16::from_f32(x[i])));
        fn store_bf16(to: *mut bf16, x: [f32; 4]) = (0..4).for_each(|i| to.add(i).write(bf16::from_f32(x[i])));
        fn add(a: [f32; 4], b: [f32; 4]) -> [f32; 4] = each(|i| a[i] + b[i]);
        fn mul(a: [f32; 4], b: [f32; 4]) -> [f32; 4] = each(|i| a[i] * b[i]);
        fn max(a: [f32; 4], b: [f32; 4]) -> [f32; 4] = each(|i| if a[i] > b[i] { a[i] } else { b[i] });
        fn fma(a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] = each(|i| a[i] * b[i] + c[i]);
        fn dot(a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] = each(|i| a[i] * b[i] + c[i]);
        fn exp2(x: [f32; 4]) -> [f32; 4] = each(|i| exp2(x[i]));
        fn sum(x: [f32; 4]) -> f32 = (x[0] + x[2]) + (x[1] + x[3]);
        fn sum4(a: [f32; 4], b: [f32; 4], c: [f32; 4], d: [f32; 4]) -> [f32; 4] =
            [Self::sum(a), Self::sum(b), Self::sum(c), Self::sum(d)];
        fn greatest(x: [f32; 4]) -> f32 = x[0].max(x[1]).max(x[2].max(x[3]));
        fn narrow(_from: *const f32, _to: *mut f32) = unreachable!("words of f32");
        fn transpose(from: *const f32, from_step: usize, to: *mut f32, to_step: usize) =
            transpose_plainly::<4>(from, from_step, to, to_step);
    }
}

/// `N` rows of `N` words, transposed.
///
/// # Safety
///
/// Both pointers are valid for `N` rows of `N` elements at their steps.
#[inline(always)]
pub(super) unsafe fn transpose_plainly<const N: usize>(
    from: *const f32,
    from_step: usize,
    to: *mut f32,
    to_step: usize,
) {
    for i in 0..N {
        for j in 0..N {
            // SAFETY: this function's contract.
            unsafe {
                to.add(j.wrapping_mul(to_step) + i).write(from.add(i.wrapping_mul(from_step) + j).read())
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp2_is_close_and_ends_in_zero() {
        for step in 0..=200_000 {
            let x = -126.0 + 127.0 * step as f32 / 200_000.0;
            let want = f64::from(x).exp2();
            assert!((f64::from(exp2(x)) - want).abs() <= 2.1e-7 * want, "{x}");
        }
        assert_eq!((exp2(f32::NEG_INFINITY), exp2(0.0)), (0.0, 1.0));
        assert!(exp2(f32::NAN).is_nan());
    }
}
