//! Atomic operations and reductions in global and shared memory.

use super::builder::braces;
use super::memory::Scope;
use super::pointer::{Global, Ptr, Space, Writable};
use super::table::Sample;
use super::target::{EVERY, Needs};
use super::{Bf16x2, Element, F16x2, Operand, Reg, Ty};
use crate::dtype::{bf16, f16};

/// What an atomic operation is ordered with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Nothing.
    #[default]
    Relaxed,
    /// What comes after it.
    Acquire,
    /// What comes before it.
    Release,
    /// Both.
    AcqRel,
}

impl Order {
    fn name(self) -> &'static str {
        match self {
            Self::Relaxed => "relaxed",
            Self::Acquire => "acquire",
            Self::Release => "release",
            Self::AcqRel => "acq_rel",
        }
    }
}

/// An element that is changed by atomic operations.
#[derive(Clone, Copy)]
pub struct Atomic<'k, S: Space> {
    at: Ptr<'k, S>,
    order: Order,
    scope: Scope,
}

impl<'k, S: Writable> Ptr<'k, S> {
    /// Atomic operations on the element here: relaxed, seen by the device.
    pub fn atomic(&self) -> Atomic<'k, S> {
        Atomic { at: *self, order: Order::default(), scope: Scope::default() }
    }
}

/// The type has the atomic operation `I`.
#[diagnostic::on_unimplemented(message = "PTX has no atomic `{I}` for `{Self}`")]
pub trait HasAtomic<I>: Element {
    /// `*` stands for the type's name, `#` for its bits.
    #[doc(hidden)]
    const MNEMONIC: &'static str;
    #[doc(hidden)]
    const NEEDS: Needs;
}

/// A name for each operation, to say of a type that it [has](HasAtomic) it.
#[allow(missing_docs)]
pub mod operation {
    pub enum Add {}
    pub enum Min {}
    pub enum Max {}
    pub enum And {}
    pub enum Or {}
    pub enum Xor {}
    pub enum Swap {}
    pub enum Replace {}
    pub enum Cycle {}
}

macro_rules! atomics {
    ($($operation:ident { $($($ty:ty)+: $mnemonic:literal, $needs:expr;)+ })*) => {$($($(
        impl HasAtomic<operation::$operation> for $ty {
            const MNEMONIC: &'static str = $mnemonic;
            const NEEDS: Needs = $needs;
        }
    )+)+)*};
}

const BF16: Needs = Needs::new(90, 78);

atomics! {
    Add { u32 i32 u64 f32 f64: "add.*", EVERY; f16 F16x2: "add.noftz.*", EVERY; bf16 Bf16x2: "add.noftz.*", BF16; }
    Min { u32 i32 u64 i64: "min.*", EVERY; }
    Max { u32 i32 u64 i64: "max.*", EVERY; }
    And { u32 i32 u64 i64: "and.#", EVERY; }
    Or { u32 i32 u64 i64: "or.#", EVERY; }
    Xor { u32 i32 u64 i64: "xor.#", EVERY; }
    Swap { u32 i32 f32 u64 i64 f64: "exch.#", EVERY; }
    Replace { u16 i16 f16 bf16 u32 i32 f32 u64 i64 f64: "cas.#", EVERY; }
    Cycle { u32: "inc.u32", EVERY; }
}

impl<'k, S: Writable> Atomic<'k, S> {
    /// Ordered so.
    pub fn order(self, order: Order) -> Self {
        Self { order, ..self }
    }

    /// Seen by these threads.
    pub fn scope(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    fn mnemonic<I>(&self, verb: &str) -> String
    where
        S::Item: HasAtomic<I>,
    {
        let (scope, needs) = self.scope.parts();
        let what = S::Item::MNEMONIC.replace('*', S::Item::NAME).replace('#', S::Item::BITS);
        let k = self.at.k();
        k.require(needs, "an atomic operation of this scope");
        k.require(S::NEEDS, "an atomic operation in this space");
        let fine = verb == "atom" || !matches!(self.order, Order::Acquire | Order::AcqRel);
        k.check(fine, format_args!("an atomic operation without a result cannot acquire"));
        format!("{verb}.{}{scope}{}.{what}", self.order.name(), S::NAME)
    }

    fn returning<I>(&self, operands: &str) -> Reg<'k, S::Item>
    where
        S::Item: HasAtomic<I>,
    {
        let mnemonic = self.mnemonic::<I>("atom");
        self.at.k().value(S::Item::NEEDS, &mnemonic, format_args!("{}, {operands}", self.at))
    }

    fn reducing<I>(&self, operands: &str)
    where
        S::Item: HasAtomic<I>,
    {
        let mnemonic = self.mnemonic::<I>("red");
        self.at.k().op(S::Item::NEEDS, &mnemonic, format_args!("{}, {operands}", self.at));
    }
}

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident $reduce:ident $operation:ident;)*) => {
        impl<'k, S: Writable> Atomic<'k, S> {$(
            $(#[$doc])*
            /// Returns what was there.
            pub fn $name(&self, value: impl Operand<S::Item>) -> Reg<'k, S::Item>
            where
                S::Item: HasAtomic<operation::$operation>,
            {
                self.returning::<operation::$operation>(&value.show(self.at.k()))
            }

            $(#[$doc])*
            pub fn $reduce(&self, value: impl Operand<S::Item>)
            where
                S::Item: HasAtomic<operation::$operation>,
            {
                self.reducing::<operation::$operation>(&value.show(self.at.k()));
            }
        )*}
    };
}

methods! {
    /// Adds `value`.
    fetch_add add Add;
    /// Keeps the smaller.
    fetch_min min Min;
    /// Keeps the larger.
    fetch_max max Max;
    /// Keeps the bits that are in both.
    fetch_and and And;
    /// Sets the bits of `value`.
    fetch_or or Or;
    /// Turns the bits of `value`.
    fetch_xor xor Xor;
    /// Adds one; above `value` it begins at zero again.
    fetch_cycle cycle Cycle;
}

impl<'k, S: Writable> Atomic<'k, S> {
    /// Puts `value` there. Returns what was there.
    pub fn swap(&self, value: impl Operand<S::Item>) -> Reg<'k, S::Item>
    where
        S::Item: HasAtomic<operation::Swap>,
    {
        self.returning::<operation::Swap>(&value.show(self.at.k()))
    }

    /// Puts `value` there if `expected` is there. Returns what was there.
    pub fn replace(&self, expected: impl Operand<S::Item>, value: impl Operand<S::Item>) -> Reg<'k, S::Item>
    where
        S::Item: HasAtomic<operation::Replace>,
    {
        let k = self.at.k();
        self.returning::<operation::Replace>(&format!("{}, {}", expected.show(k), value.show(k)))
    }
}

impl<'k> Atomic<'k, Global<f32>> {
    /// Adds 2 or 4 neighbours, each by itself, aligned to all of them.
    pub fn add_vec<const N: usize>(&self, values: [Reg<'k, f32>; N]) {
        const { assert!(N == 2 || N == 4, "vectors of 2 or 4") };
        let (scope, needs) = self.scope.parts();
        self.at.k().require(needs, "an atomic operation of this scope");
        let mnemonic = format!("red.{}{scope}.global.add.v{N}.f32", self.order.name());
        self.at.k().op(Needs::new(90, 81), &mnemonic, format_args!("{}, {}", self.at, braces(&values)));
    }
}

macro_rules! samples {
    ($($name:ident: $($ty:ty)+;)*) => {
        vec![$($(Sample {
            name: stringify!($name),
            ty: <$ty as Ty>::NAME,
            write: |k| {
                let at = Ptr::<Global<$ty>>::new(k.any());
                k.keep(at.plus(2).atomic().$name(k.any::<$ty>()));
                k.keep(k.shared::<$ty>(4).atomic().scope(Scope::Block).$name(k.any::<$ty>()));
            },
        }),+),*]
    };
}

macro_rules! reductions {
    ($($name:ident: $($ty:ty)+;)*) => {
        vec![$($(Sample {
            name: stringify!($name),
            ty: <$ty as Ty>::NAME,
            write: |k| {
                Ptr::<Global<$ty>>::new(k.any()).atomic().$name(k.any::<$ty>());
                k.shared::<$ty>(4).atomic().scope(Scope::Block).$name(k.any::<$ty>());
            },
        }),+),*]
    };
}

/// One of each.
#[doc(hidden)]
pub fn samples() -> Vec<Sample> {
    let atoms: Vec<Sample> = samples! {
        fetch_add: u32 i32 u64 f32 f64 f16 F16x2 bf16 Bf16x2;
        fetch_min: u32 i32 u64 i64;
        fetch_max: u32 i32 u64 i64;
        fetch_and: u32 u64;
        fetch_or: u32 u64;
        fetch_xor: u32 u64;
        fetch_cycle: u32;
        swap: u32 i32 f32 u64 i64 f64;
    };
    let reductions: Vec<Sample> = reductions! {
        add: u32 i32 u64 f32 f64 f16 F16x2 bf16 Bf16x2;
        min: u32 i32 u64 i64;
        max: u32 i32 u64 i64;
        and: u32 i32 u64 i64;
        or: u32 i32 u64 i64;
        xor: u32 i32 u64 i64;
        cycle: u32;
    };
    atoms.into_iter().chain(reductions).collect()
}
