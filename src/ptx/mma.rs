//! Matrix products of a warp on the tensor cores: `acc += a * b`, one tile at a time.
//!
//! A tile of `a` is 16 rows by `K`, of `b` `K` rows by 8 columns, of the accumulator 16 by 8. A fragment is what one thread
//! holds of a tile: lane `4 * g + t` has, in rows `g` and `g + 8`, the elements that the manual's figures give to `t`.
//! The fragments' types hold the element type and the depth, so that tiles that do not fit each other do not compile.

use super::builder::braces;
use super::table::Sample;
use super::target::{EVERY, Needs};
use super::{Bf16x2, Builder, E4m3, E4m3x4, E5m2, E5m2x4, Element, F16x2, I8x4, Reg, Tf32, Ty, U8x4};
use crate::dtype::{bf16, f16};

/// A type of the elements of `a` and `b`.
pub trait Factor: Ty {
    /// As many of them as a register holds.
    type Packed: Element;
    /// As the instruction calls it.
    #[doc(hidden)]
    const MMA: &'static str;
}

macro_rules! factors {
    ($($ty:ty: $packed:ty, $name:literal;)*) => {$(
        impl Factor for $ty {
            type Packed = $packed;
            const MMA: &'static str = $name;
        }
    )*};
}

factors! {
    f16: F16x2, "f16";
    bf16: Bf16x2, "bf16";
    Tf32: Tf32, "tf32";
    i8: I8x4, "s8";
    u8: U8x4, "u8";
    E4m3: E4m3x4, "e4m3";
    E5m2: E5m2x4, "e5m2";
    f64: f64, "f64";
}

/// A thread's part of a tile of `a`, 16 x `K`.
#[derive(Clone)]
pub struct A<'k, T: Factor, const K: usize>(pub(super) Vec<Reg<'k, T::Packed>>);

/// A thread's part of a tile of `b`, `K` x 8.
#[derive(Clone)]
pub struct B<'k, T: Factor, const K: usize>(pub(super) Vec<Reg<'k, T::Packed>>);

/// A thread's part of an accumulator, 16 x 8 of `D`: four elements.
#[derive(Clone)]
pub struct Acc<'k, D: Sum>(Vec<Reg<'k, D::Packed>>);

/// A type that products are summed up in.
pub trait Sum: Element {
    /// As many of them as a register holds.
    type Packed: Element;
}

impl Sum for f32 {
    type Packed = f32;
}
impl Sum for f64 {
    type Packed = f64;
}
impl Sum for i32 {
    type Packed = i32;
}
impl Sum for f16 {
    type Packed = F16x2;
}

/// Registers that a warp's tile of `rows` x `columns` takes in each thread.
pub(super) const fn registers<T: Factor>(rows: usize, columns: usize) -> usize {
    rows * columns * T::SIZE as usize / 32 / <T::Packed as Ty>::SIZE as usize
}

impl<'k, T: Factor, const K: usize> A<'k, T, K> {
    /// Of the registers that hold it, in the manual's order.
    pub fn new<const N: usize>(registers: [Reg<'k, T::Packed>; N]) -> Self {
        const { assert!(N == self::registers::<T>(16, K), "a tile of `a` has another number of registers") };
        Self(registers.to_vec())
    }
}

impl<'k, T: Factor, const K: usize> B<'k, T, K> {
    /// Of the registers that hold it, in the manual's order.
    pub fn new<const N: usize>(registers: [Reg<'k, T::Packed>; N]) -> Self {
        const { assert!(N == self::registers::<T>(K, 8), "a tile of `b` has another number of registers") };
        Self(registers.to_vec())
    }
}

impl<'k, D: Sum> Acc<'k, D> {
    /// What each thread holds: elements (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1) of lane 4g + t.
    pub fn registers(&self) -> &[Reg<'k, D::Packed>] {
        &self.0
    }
}

impl Builder {
    /// An accumulator of zeros.
    pub fn acc<D: Sum>(&self) -> Acc<'_, D> {
        let count = 4 * D::SIZE / <D::Packed as Ty>::SIZE;
        let bits = super::ty::CLASSES[<D::Packed as Ty>::CLASS].1;
        let zero = |_| self.value(EVERY, &format!("mov.{bits}"), format_args!("0"));
        Acc((0..count).map(zero).collect())
    }
}

/// Tensor cores multiply tiles of this type and depth by tiles of `U`, into sums of `D`.
#[diagnostic::on_unimplemented(
    message = "no tensor core multiplies `{Self}` by `{U}` into `{D}` at this depth"
)]
pub trait Mma<U: Factor, D: Sum, const K: usize>: Factor {
    #[doc(hidden)]
    const NEEDS: Needs;
    /// Whether the sum can be kept in range.
    #[doc(hidden)]
    const INTEGER: bool;
}

impl<'k, D: Sum> Acc<'k, D> {
    /// `self += a * b`.
    pub fn mma<T, U, const K: usize>(&self, a: &A<'k, T, K>, b: &B<'k, U, K>)
    where
        T: Mma<U, D, K>,
        U: Factor,
    {
        self.multiply("", a, b);
    }

    /// `self += a * b`, kept within the range of `i32`.
    pub fn mma_sat<T, U, const K: usize>(&self, a: &A<'k, T, K>, b: &B<'k, U, K>)
    where
        T: Mma<U, D, K>,
        U: Factor,
    {
        const { assert!(T::INTEGER, "only sums of integers saturate") };
        self.multiply(".satfinite", a, b);
    }

    fn multiply<T, U, const K: usize>(&self, saturation: &str, a: &A<'k, T, K>, b: &B<'k, U, K>)
    where
        T: Mma<U, D, K>,
        U: Factor,
    {
        let (t, u, d) = (T::MMA, U::MMA, D::NAME);
        let mnemonic = format!("mma.sync.aligned.m16n8k{K}.row.col{saturation}.{d}.{t}.{u}.{d}");
        let (acc, a, b) = (braces(&self.0), braces(&a.0), braces(&b.0));
        self.0[0].k.op(T::NEEDS, &mnemonic, format_args!("{acc}, {a}, {b}, {acc}"));
    }
}

macro_rules! products {
    ($($a:ty, $b:ty => $d:ty: $($k:literal)+, $integer:literal, $needs:expr;)*) => {
        $($(
            impl Mma<$b, $d, $k> for $a {
                const NEEDS: Needs = $needs;
                const INTEGER: bool = $integer;
            }
        )+)*

        /// One of each.
        #[doc(hidden)]
        pub fn samples() -> Vec<Sample> {
            vec![$($(Sample {
                name: concat!("mma", stringify!($k)),
                ty: <$a as Factor>::MMA,
                write: |k| {
                    let a = A::<$a, $k>::any(k);
                    let b = B::<$b, $k>::any(k);
                    let acc = k.acc::<$d>();
                    acc.mma(&a, &b);
                    acc.registers().iter().for_each(|register| k.keep(*register));
                },
            }),+),*]
        }
    };
}

impl<'k, T: Factor, const K: usize> A<'k, T, K> {
    fn any(k: &'k Builder) -> Self {
        Self((0..registers::<T>(16, K)).map(|_| k.any()).collect())
    }
}

impl<'k, T: Factor, const K: usize> B<'k, T, K> {
    fn any(k: &'k Builder) -> Self {
        Self((0..registers::<T>(K, 8)).map(|_| k.any()).collect())
    }
}

/// 8-bit floats.
const FP8: Needs = Needs::new(89, 84);
/// The same at half the depth, or summed up in f16.
const FP8_MORE: Needs = Needs::new(89, 87);
/// f64 in tiles of 16 rows.
const F64: Needs = Needs::new(90, 78);

products! {
    f16, f16 => f32: 8 16, false, EVERY;
    f16, f16 => f16: 8 16, false, EVERY;
    bf16, bf16 => f32: 8 16, false, EVERY;
    Tf32, Tf32 => f32: 4 8, false, EVERY;
    i8, i8 => i32: 16 32, true, EVERY;
    i8, u8 => i32: 16 32, true, EVERY;
    u8, i8 => i32: 16 32, true, EVERY;
    u8, u8 => i32: 16 32, true, EVERY;
    E4m3, E4m3 => f32: 32, false, FP8;
    E4m3, E5m2 => f32: 32, false, FP8;
    E5m2, E4m3 => f32: 32, false, FP8;
    E5m2, E5m2 => f32: 32, false, FP8;
    E4m3, E4m3 => f32: 16, false, FP8_MORE;
    E4m3, E5m2 => f32: 16, false, FP8_MORE;
    E5m2, E4m3 => f32: 16, false, FP8_MORE;
    E5m2, E5m2 => f32: 16, false, FP8_MORE;
    E4m3, E4m3 => f16: 16 32, false, FP8_MORE;
    E4m3, E5m2 => f16: 16 32, false, FP8_MORE;
    E5m2, E4m3 => f16: 16 32, false, FP8_MORE;
    E5m2, E5m2 => f16: 16 32, false, FP8_MORE;
    f64, f64 => f64: 4 8 16, false, F64;
}

// The one tile of f64 that Ampere multiplies: 8 x 8 += 8 x 4 * 4 x 8.
impl Builder {
    /// `acc += a * b`; lane `4g + t` holds `a` (g, t), `b` (t, g), and of `acc` (g, 2t) and (g, 2t + 1).
    pub fn mma_f64<'k>(&'k self, acc: [Reg<'k, f64>; 2], a: Reg<'k, f64>, b: Reg<'k, f64>) {
        let acc = braces(&acc);
        let operands = format_args!("{acc}, {{{a}}}, {{{b}}}, {acc}");
        self.op(EVERY, "mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64", operands);
    }
}
