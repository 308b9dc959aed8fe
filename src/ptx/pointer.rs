//! State spaces and addresses: what memory a pointer reaches, how it is displaced, and how it turns into another.

use super::Builder;
use super::memory::{Load, Store};
use super::target::{EVERY, Needs};
use super::ty::{Element, Operand, Reg, Ty};
use std::fmt;
use std::marker::PhantomData;

/// A state space of the PTX machine, and what lies there.
pub trait Space {
    /// What lies there.
    type Item: Element;
    /// The same space with other things in it.
    type With<U: Element>: Space<Item = U, Word = Self::Word>;
    /// The width of its addresses: `u64`, or `u32` in shared memory.
    type Word: Word;
    /// As instructions name it: `.global`.
    const NAME: &'static str;
    /// What naming it asks for.
    #[doc(hidden)]
    const NEEDS: Needs;
}

/// A space that can be written.
pub trait Writable: Space {}

/// The type of an address.
pub trait Word: Element {
    /// `base + index * size`.
    fn element<'k>(k: &'k Builder, base: Reg<'k, Self>, index: impl Operand<u32>, size: u32)
    -> Reg<'k, Self>;
    /// `base + bytes`.
    fn displaced<'k>(k: &'k Builder, base: Reg<'k, Self>, bytes: impl Operand<Self>) -> Reg<'k, Self>;
}

impl Word for u64 {
    fn element<'k>(k: &'k Builder, base: Reg<'k, u64>, index: impl Operand<u32>, size: u32) -> Reg<'k, u64> {
        k.value(EVERY, "mad.wide.u32", format_args!("{}, {size}, {base}", index.reg(k)))
    }
    fn displaced<'k>(k: &'k Builder, base: Reg<'k, u64>, bytes: impl Operand<u64>) -> Reg<'k, u64> {
        k.add(base, bytes)
    }
}

impl Word for u32 {
    fn element<'k>(k: &'k Builder, base: Reg<'k, u32>, index: impl Operand<u32>, size: u32) -> Reg<'k, u32> {
        k.mad(index, size, base)
    }
    fn displaced<'k>(k: &'k Builder, base: Reg<'k, u32>, bytes: impl Operand<u32>) -> Reg<'k, u32> {
        k.add(base, bytes)
    }
}

macro_rules! spaces {
    ($($(#[$doc:meta])* $space:ident $name:literal $word:ty, $needs:expr;)*) => {$(
        $(#[$doc])*
        pub struct $space<T>(PhantomData<T>);
        impl<T: Element> Space for $space<T> {
            type Item = T;
            type With<U: Element> = $space<U>;
            type Word = $word;
            const NAME: &'static str = $name;
            const NEEDS: Needs = $needs;
        }
    )*};
}

spaces! {
    /// Memory of the device.
    Global ".global" u64, EVERY;
    /// Memory of the block.
    Shared ".shared" u32, EVERY;
    /// Shared memory of any block of the cluster.
    Cluster ".shared::cluster" u32, Needs::new(90, 78);
    /// Tables that come with the kernel.
    Const ".const" u64, EVERY;
    /// Any of them, by 64-bit addresses that the hardware tells apart.
    Generic "" u64, EVERY;
}

impl<T: Element> Writable for Global<T> {}
impl<T: Element> Writable for Shared<T> {}
impl<T: Element> Writable for Cluster<T> {}
impl<T: Element> Writable for Generic<T> {}

/// The address of an element in a space: a register and a displacement that costs nothing.
pub struct Ptr<'k, S: Space> {
    pub(super) base: Reg<'k, S::Word>,
    pub(super) bytes: i32,
    pub(super) load: Load,
    pub(super) store: Store,
    pub(super) policy: Option<Reg<'k, u64>>,
}

impl<S: Space> Clone for Ptr<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: Space> Copy for Ptr<'_, S> {}

impl<S: Space> fmt::Display for Ptr<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bytes {
            0 => write!(f, "[{}]", self.base),
            bytes => write!(f, "[{}{bytes:+}]", self.base),
        }
    }
}

impl<'k, S: Space> Ptr<'k, S> {
    /// The element at this address.
    pub fn new(base: Reg<'k, S::Word>) -> Self {
        Self { base, bytes: 0, load: Load::Plain, store: Store::Plain, policy: None }
    }

    pub(super) fn k(&self) -> &'k Builder {
        self.base.k
    }

    /// The address in a register.
    pub fn address(&self) -> Reg<'k, S::Word> {
        match self.bytes {
            0 => self.base,
            bytes => {
                let name = <S::Word as Ty>::NAME.replace('u', "s");
                self.k().value(EVERY, &format!("add.{name}"), format_args!("{}, {bytes}", self.base))
            }
        }
    }

    /// `index` elements on.
    pub fn at(&self, index: impl Operand<u32>) -> Self {
        Self { base: S::Word::element(self.k(), self.base, index, S::Item::SIZE), ..*self }
    }

    /// `bytes` on.
    pub fn displaced(&self, bytes: impl Operand<S::Word>) -> Self {
        Self { base: S::Word::displaced(self.k(), self.base, bytes), ..*self }
    }

    /// `elements` on, known while writing: no instruction.
    pub fn plus(&self, elements: i32) -> Self {
        let bytes = elements.checked_mul(S::Item::SIZE as i32).and_then(|more| self.bytes.checked_add(more));
        self.k().check(bytes.is_some(), format_args!("a displacement of {elements} elements is too large"));
        Self { bytes: bytes.unwrap_or(0), ..*self }
    }

    /// The same address, with other things there. Its alignment is the author's to know.
    pub fn cast<U: Element>(&self) -> Ptr<'k, S::With<U>> {
        let Self { base, bytes, load, store, policy } = *self;
        Ptr { base, bytes, load, store, policy }
    }

    /// The same address in a register that [`Ptr::advance`] may change.
    pub fn walking(&self) -> Self {
        Self { base: self.k().var(self.base), ..*self }
    }

    /// Moves this pointer itself on by `bytes`.
    pub fn advance(&self, bytes: impl Operand<S::Word>) {
        let mnemonic = format!("add.{}", <S::Word as Ty>::NAME);
        self.k().op(EVERY, &mnemonic, format_args!("{0}, {0}, {1}", self.base, bytes.show(self.k())));
    }
}

impl<'k, T: Element> Ptr<'k, Global<T>> {
    /// Element `index`, for arrays of more than 2^32 elements.
    pub fn at_far(&self, index: impl Operand<u64>) -> Self {
        let k = self.k();
        Self::new(k.mad(index, u64::from(T::SIZE), self.address()))
    }

    /// As a generic address: they are the same number.
    pub fn generic(&self) -> Ptr<'k, Generic<T>> {
        Ptr::new(self.k().value(EVERY, "cvta.global.u64", format_args!("{}", self.address())))
    }
}

impl<'k, T: Element> Ptr<'k, Shared<T>> {
    /// As a generic address.
    pub fn generic(&self) -> Ptr<'k, Generic<T>> {
        let k = self.k();
        let wide = k.value::<u64>(EVERY, "cvt.u64.u32", format_args!("{}", self.address()));
        Ptr::new(k.value(EVERY, "cvta.shared.u64", format_args!("{wide}")))
    }
}

impl<'k, T: Element> Ptr<'k, Generic<T>> {
    /// As an address in shared memory, where it must lie.
    pub fn shared(&self) -> Ptr<'k, Shared<T>> {
        let k = self.k();
        let wide = k.value::<u64>(EVERY, "cvta.to.shared.u64", format_args!("{}", self.address()));
        Ptr::new(k.value(EVERY, "cvt.u32.u64", format_args!("{wide}")))
    }

    /// As an address in global memory, where it must lie.
    pub fn global(&self) -> Ptr<'k, Global<T>> {
        Ptr::new(self.k().value(EVERY, "cvta.to.global.u64", format_args!("{}", self.address())))
    }

    /// Whether it lies in global memory.
    pub fn is_global(&self) -> Reg<'k, bool> {
        self.k().value(EVERY, "isspacep.global", format_args!("{}", self.address()))
    }

    /// Whether it lies in shared memory.
    pub fn is_shared(&self) -> Reg<'k, bool> {
        self.k().value(EVERY, "isspacep.shared", format_args!("{}", self.address()))
    }
}
