//! Integer arithmetic, logic and shifts.

use super::table::instructions;
use super::target::EVERY;
use super::{Builder, Operand, Reg, Ty};

instructions! { integer;
    /// `a * b`, the high half of the product.
    mul_hi 2 { u16 i16 u32 i32 u64 i64: "mul.hi.*", EVERY; }
    /// `a * b + c`, the low half.
    mad 3 { u16 i16 u32 i32 u64 i64: "mad.lo.*", EVERY; }
    /// The high half of `a * b`, plus `c`.
    mad_hi 3 { u16 i16 u32 i32 u64 i64: "mad.hi.*", EVERY; }
    /// `a + b`, kept within the type's range.
    add_sat 2 { i32: "add.sat.s32", EVERY; }
    /// `a - b`, kept within the type's range.
    sub_sat 2 { i32: "sub.sat.s32", EVERY; }
    /// `|a - b| + c`.
    sad 3 { u16 i16 u32 i32 u64 i64: "sad.*", EVERY; }
    /// The remainder of `a / b`, with the sign of `a`.
    rem 2 { u16 i16 u32 i32 u64 i64: "rem.*", EVERY; }
    /// Bits in both.
    and 2 { bool u16 i16 u32 i32 u64 i64: "and.#", EVERY; }
    /// Bits in either.
    or 2 { bool u16 i16 u32 i32 u64 i64: "or.#", EVERY; }
    /// Bits in one alone.
    xor 2 { bool u16 i16 u32 i32 u64 i64: "xor.#", EVERY; }
    /// Bits not in `a`.
    not 1 { bool u16 i16 u32 i32 u64 i64: "not.#", EVERY; }
    /// The bits of `a` in reverse.
    brev 1 { u32 u64: "brev.#", EVERY; }
    /// Four bytes of `a` (0 to 3) and `b` (4 to 7), picked by the four low hexadecimal digits of `c`.
    prmt 3 { u32: "prmt.b32", EVERY; }
    /// The high word of `b:a << c`, with `c` taken modulo 32.
    shf_l 3 { u32: "shf.l.wrap.b32", EVERY; }
    /// The low word of `b:a >> c`, with `c` taken modulo 32.
    shf_r 3 { u32: "shf.r.wrap.b32", EVERY; }
}

/// Integers that shift, and whose fields and bits are counted.
pub trait Integer: Ty + super::Has<integer::and> + super::Has<integer::mad> {
    /// Twice as wide.
    type Wide: Ty;
}

macro_rules! integers {
    ($($ty:ty => $wide:ty;)*) => { $(impl Integer for $ty { type Wide = $wide; })* };
}

integers! { u16 => u32; i16 => i32; u32 => u64; i32 => i64; }

/// Words: what counts and cuts bits.
pub trait Words: Ty {}
impl Words for u32 {}
impl Words for i32 {}
impl Words for u64 {}
impl Words for i64 {}

impl Builder {
    /// `a * b` in full.
    pub fn mul_wide<T: Integer>(&self, a: impl Operand<T>, b: impl Operand<T>) -> Reg<'_, T::Wide> {
        let operands = (a.reg(self), b.show(self));
        self.value(EVERY, &format!("mul.wide.{}", T::NAME), format_args!("{}, {}", operands.0, operands.1))
    }

    /// `a * b + c` in full.
    pub fn mad_wide<T: Integer>(
        &self,
        a: impl Operand<T>,
        b: impl Operand<T>,
        c: impl Operand<T::Wide>,
    ) -> Reg<'_, T::Wide> {
        let (a, b, c) = (a.reg(self), b.show(self), c.show(self));
        self.value(EVERY, &format!("mad.wide.{}", T::NAME), format_args!("{a}, {b}, {c}"))
    }

    /// `a << by`; 0 when `by` is the width or more.
    pub fn shl<T: super::Has<integer::and> + super::Element>(
        &self,
        a: impl Operand<T>,
        by: impl Operand<u32>,
    ) -> Reg<'_, T> {
        let (a, by) = (a.show(self), by.show(self));
        self.value(EVERY, &format!("shl.{}", T::BITS), format_args!("{a}, {by}"))
    }

    /// `a >> by`, filled with zeros, or with the sign where there is one.
    pub fn shr<T: super::Has<integer::and> + super::Element>(
        &self,
        a: impl Operand<T>,
        by: impl Operand<u32>,
    ) -> Reg<'_, T> {
        let (a, by) = (a.show(self), by.show(self));
        self.value(EVERY, &format!("shr.{}", T::NAME), format_args!("{a}, {by}"))
    }

    /// Any function of three bits, bit by bit: `table` is the function of 0xF0, 0xCC and 0xAA, as in `a & b | c` = 0xEA.
    pub fn lop3(
        &self,
        a: impl Operand<u32>,
        b: impl Operand<u32>,
        c: impl Operand<u32>,
        table: u8,
    ) -> Reg<'_, u32> {
        let (a, b, c) = (a.show(self), b.show(self), c.show(self));
        self.value(EVERY, "lop3.b32", format_args!("{a}, {b}, {c}, {table}"))
    }

    /// How many bits are set.
    pub fn popc<T: Words>(&self, a: impl Operand<T>) -> Reg<'_, u32> {
        let a = a.show(self);
        self.value(EVERY, &format!("popc.{}", T::BITS), format_args!("{a}"))
    }

    /// How many bits above the highest set one.
    pub fn clz<T: Words>(&self, a: impl Operand<T>) -> Reg<'_, u32> {
        let a = a.show(self);
        self.value(EVERY, &format!("clz.{}", T::BITS), format_args!("{a}"))
    }

    /// The place of the highest bit that differs from the sign; all ones when there is none.
    pub fn bfind<T: Words>(&self, a: impl Operand<T>) -> Reg<'_, u32> {
        let a = a.show(self);
        self.value(EVERY, &format!("bfind.{}", T::NAME), format_args!("{a}"))
    }

    /// `length` bits of `a` from bit `start` on, with the field's sign where there is one.
    pub fn bfe<T: Words>(
        &self,
        a: impl Operand<T>,
        start: impl Operand<u32>,
        length: impl Operand<u32>,
    ) -> Reg<'_, T> {
        let (a, start, length) = (a.show(self), start.show(self), length.show(self));
        self.value(EVERY, &format!("bfe.{}", T::NAME), format_args!("{a}, {start}, {length}"))
    }

    /// `into` with its `length` bits from bit `start` on replaced by the lowest of `field`.
    pub fn bfi<T: Words>(
        &self,
        field: impl Operand<T>,
        into: impl Operand<T>,
        start: impl Operand<u32>,
        length: impl Operand<u32>,
    ) -> Reg<'_, T> {
        let (field, into) = (field.show(self), into.show(self));
        let (start, length) = (start.show(self), length.show(self));
        self.value(EVERY, &format!("bfi.{}", T::BITS), format_args!("{field}, {into}, {start}, {length}"))
    }

    /// `c` plus the four products of the signed bytes of `a` and `b`.
    pub fn dp4a(
        &self,
        a: impl Operand<super::I8x4>,
        b: impl Operand<super::I8x4>,
        c: impl Operand<i32>,
    ) -> Reg<'_, i32> {
        let (a, b, c) = (a.reg(self), b.reg(self), c.show(self));
        self.value(EVERY, "dp4a.s32.s32", format_args!("{a}, {b}, {c}"))
    }
}
