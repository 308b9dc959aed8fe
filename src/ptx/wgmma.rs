//! Matrix products of a warpgroup (sm_90a): four warps, `acc += a * b` with a tile of `a` of 64 rows, both read from shared
//! memory by the tensor cores themselves, or `a` from registers.
//!
//! `wgmma_fence` comes before the first product and whenever registers of a product were written; products run in groups
//! (`wgmma_commit`), and their accumulators may be read after `wgmma_wait`.

use super::builder::braces;
use super::mma::{A, Factor};
use super::pointer::{Ptr, Shared};
use super::target::{EVERY, Needs};
use super::{Builder, E4m3, E5m2, Element, Operand, Reg, Tf32};
use crate::dtype::{bf16, f16};
use std::marker::PhantomData;

const WARPGROUP: Needs = Needs::only(&[90], 80);

/// How 16-byte pieces of a tile are scattered in shared memory, as `CU_TENSOR_MAP_SWIZZLE` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swizzle {
    /// Not at all.
    None,
    /// Within rows of 32 bytes.
    Bytes32,
    /// Within rows of 64 bytes.
    Bytes64,
    /// Within rows of 128 bytes.
    Bytes128,
}

impl Swizzle {
    fn bits(self) -> u64 {
        let mode: u64 = match self {
            Self::None => 0,
            Self::Bytes128 => 1,
            Self::Bytes64 => 2,
            Self::Bytes32 => 3,
        };
        mode << 62
    }
}

/// Where a tile of `T` lies in shared memory, and how.
pub struct Tile<'k, T> {
    bits: Reg<'k, u64>,
    ty: PhantomData<T>,
}

impl<T> Clone for Tile<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Tile<'_, T> {}

impl<'k, T: Element> Tile<'k, T> {
    /// The tile at `at`. `leading` and `stride` are the manual's offsets in bytes between its 8-row or 8-column pieces, multiples
    /// of 16 below 2^18. Swizzled tiles are aligned to 8 of their rows (1024 bytes for rows of 128).
    pub fn new(at: &Ptr<'k, Shared<T>>, swizzle: Swizzle, leading: u32, stride: u32) -> Self {
        let k = at.k();
        let fine = [leading, stride].iter().all(|offset| offset % 16 == 0 && *offset < 1 << 18);
        k.check(
            fine,
            format_args!("offsets of {leading} and {stride} bytes in a tile; expected multiples of 16"),
        );
        let place = ((at.address() & 0x3FFFFu32) >> 4u32).to::<u64>();
        let rest = swizzle.bits() | u64::from(leading >> 4) << 16 | u64::from(stride >> 4) << 32;
        Self { bits: place | rest, ty: PhantomData }
    }

    /// The tile `bytes` (a multiple of 16) further on.
    pub fn plus(&self, bytes: u32) -> Self {
        Self { bits: self.bits + u64::from(bytes >> 4), ty: PhantomData }
    }

    /// The tile `bytes` (a multiple of 16) further on.
    pub fn displaced(&self, bytes: impl Operand<u32>) -> Self {
        let k = self.bits.k;
        Self { bits: self.bits + k.shr(bytes, 4u32).to::<u64>(), ty: PhantomData }
    }
}

/// Which way a tile of 16-bit elements lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Major {
    /// Its depth is contiguous.
    Depth,
    /// Its rows of `a`, or columns of `b`, are.
    Outer,
}

/// Types that warpgroups multiply, summed up in f32.
#[diagnostic::on_unimplemented(message = "no warpgroup multiplies `{Self}` by `{U}` into f32")]
pub trait Wgmma<U: Factor>: Factor {
    /// The depth of one instruction.
    #[doc(hidden)]
    const DEPTH: u32;
    /// Whether tiles may lie either way.
    #[doc(hidden)]
    const TURNS: bool;
}

macro_rules! products {
    ($($a:ty, $b:ty: $depth:literal $turns:literal;)*) => {$(
        impl Wgmma<$b> for $a {
            const DEPTH: u32 = $depth;
            const TURNS: bool = $turns;
        }
    )*};
}

products! {
    f16, f16: 16 true;
    bf16, bf16: 16 true;
    Tf32, Tf32: 8 false;
    E4m3, E4m3: 32 false;
    E4m3, E5m2: 32 false;
    E5m2, E4m3: 32 false;
    E5m2, E5m2: 32 false;
}

/// A thread's part of an accumulator of 64 rows and so many columns. Thread `t` of the four warps holds, of every 8 columns, in
/// rows `16 * warp + g` and 8 below, the elements that it holds of a tile of `mma`.
pub struct WideAcc<'k> {
    columns: u32,
    registers: Vec<Reg<'k, f32>>,
}

impl Builder {
    /// An accumulator of 64 rows and `columns` (a multiple of 8 up to 256), of zeros.
    pub fn wide_acc(&self, columns: u32) -> WideAcc<'_> {
        let fine = columns.is_multiple_of(8) && (8..=256).contains(&columns);
        self.check(
            fine,
            format_args!("an accumulator of {columns} columns; expected a multiple of 8 up to 256"),
        );
        let zero = |_| self.value(EVERY, "mov.b32", format_args!("0"));
        WideAcc { columns, registers: (0..columns.min(256) / 2).map(zero).collect() }
    }

    /// Registers written before it are seen by the products after it.
    pub fn wgmma_fence(&self) {
        self.bare(WARPGROUP, "wgmma.fence.sync.aligned");
    }

    /// Closes the group of the products so far.
    pub fn wgmma_commit(&self) {
        self.bare(WARPGROUP, "wgmma.commit_group.sync.aligned");
    }

    /// Waits until at most the `newest` groups are still under way.
    pub fn wgmma_wait(&self, newest: u32) {
        self.check(newest < 8, format_args!("waiting for all but {newest} groups; expected at most 7"));
        self.op(WARPGROUP, "wgmma.wait_group.sync.aligned", format_args!("{newest}"));
    }
}

impl<'k> WideAcc<'k> {
    /// What each thread holds: for every 8 columns four elements, as of a tile of `mma`.
    pub fn registers(&self) -> &[Reg<'k, f32>] {
        &self.registers
    }

    /// `self += a * b`, or `self = a * b` where `add` is false; each tile lies as its `Major` says.
    pub fn wgmma<T, U>(&self, a: (Tile<'k, T>, Major), b: (Tile<'k, U>, Major), add: impl Operand<bool>)
    where
        T: Wgmma<U>,
        U: Factor,
    {
        let turned = |major| if major == Major::Outer { ", 1" } else { ", 0" };
        let turns = if T::TURNS { format!("{}{}", turned(a.1), turned(b.1)) } else { String::new() };
        let fine = T::TURNS || (a.1, b.1) == (Major::Depth, Major::Depth);
        self.check(fine, format_args!("tiles of this type have their depth contiguous"));
        self.multiply::<T, U>(&a.0.bits.to_string(), b.0, &turns, add);
    }

    /// The same with `a` in registers: each of the four warps has 16 of its rows, as a tile of `mma`.
    pub fn wgmma_from<T, U, const K: usize>(
        &self,
        a: &A<'k, T, K>,
        b: (Tile<'k, U>, Major),
        add: impl Operand<bool>,
    ) where
        T: Wgmma<U>,
        U: Factor,
    {
        const { assert!(K == T::DEPTH as usize, "a tile of another depth than the instruction's") };
        let turn = if b.1 == Major::Outer { ", 1" } else { ", 0" };
        let fine = T::TURNS || b.1 == Major::Depth;
        self.check(fine, format_args!("tiles of this type have their depth contiguous"));
        self.multiply::<T, U>(&braces(&a.0), b.0, if T::TURNS { turn } else { "" }, add);
    }

    fn check(&self, fine: bool, what: std::fmt::Arguments<'_>) {
        if let Some(register) = self.registers.first() {
            register.k.check(fine, what);
        }
    }

    fn multiply<T, U>(&self, a: &str, b: Tile<'k, U>, turns: &str, add: impl Operand<bool>)
    where
        T: Wgmma<U>,
        U: Factor,
    {
        let k = b.bits.k;
        let (depth, n) = (T::DEPTH, self.columns);
        let mnemonic = format!("wgmma.mma_async.sync.aligned.m64n{n}k{depth}.f32.{}.{}", T::MMA, U::MMA);
        let (acc, add) = (braces(&self.registers), add.reg(k));
        k.op(WARPGROUP, &mnemonic, format_args!("{acc}, {a}, {}, {add}, 1, 1{turns}", b.bits));
    }
}
