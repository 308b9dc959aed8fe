//! How instructions whose operands share one type are written down: a line for each group of types, with the mnemonic and
//! what it needs. Methods and samples for the tests derive from the same lines.

use super::Builder;
use super::target::Needs;
use super::ty::{Operand, Reg, Ty};

/// The type has the instruction `I`.
#[diagnostic::on_unimplemented(message = "PTX has no `{I}` for `{Self}`")]
pub trait Has<I>: Ty {
    /// `*` stands for the type's name, `#` for its bits.
    #[doc(hidden)]
    const MNEMONIC: &'static str;
    #[doc(hidden)]
    const NEEDS: Needs;
}

/// One instruction with one type, written into a kernel: what the tests feed to the assembler.
#[doc(hidden)]
#[derive(Clone)]
pub struct Sample {
    pub name: &'static str,
    pub ty: &'static str,
    pub write: fn(&Builder),
}

impl Builder {
    /// Writes the instruction `I` of type `T`.
    pub(super) fn apply<I, T: Has<I>>(&self, operands: &[String]) -> Reg<'_, T> {
        let mnemonic = T::MNEMONIC.replace('*', T::NAME).replace('#', T::BITS);
        self.value(T::NEEDS, &mnemonic, format_args!("{}", operands.join(", ")))
    }

    /// The same with an operand that may be a constant where PTX wants a register.
    pub(super) fn apply_shown<I, T: Has<I>, const N: usize>(
        &self,
        operands: [&dyn Shown<T>; N],
    ) -> Reg<'_, T> {
        self.apply::<I, T>(&operands.map(|operand| operand.shown(self)))
    }
}

/// An operand behind a reference.
pub(super) trait Shown<T> {
    fn shown(&self, k: &Builder) -> String;
}

impl<T: Ty, O: Operand<T>> Shown<T> for O {
    fn shown(&self, k: &Builder) -> String {
        self.show(k)
    }
}

/// `name arity { types: mnemonic, needs; }`
macro_rules! instructions {
    ($module:ident; $($(#[$doc:meta])* $name:ident $arity:tt { $($($ty:ty)+: $mnemonic:literal, $needs:expr;)+ })*) => {
        /// A name for each instruction of this chapter, to say of a type that it [has](crate::ptx::Has) it.
        #[allow(missing_docs)]
        pub mod $module { $(pub enum $name {})* }

        $($($(
            impl $crate::ptx::table::Has<$module::$name> for $ty {
                const MNEMONIC: &'static str = $mnemonic;
                const NEEDS: $crate::ptx::target::Needs = $needs;
            }
        )+)+)*

        impl $crate::ptx::Builder {
            $($crate::ptx::table::instructions! { @method $arity $module $name $(#[$doc])* })*
        }

        #[doc(hidden)]
        pub fn samples() -> Vec<$crate::ptx::table::Sample> {
            vec![$($($($crate::ptx::table::instructions! { @sample $arity $name $ty }),+),+),*]
        }
    };
    (@method 1 $module:ident $name:ident $(#[$doc:meta])*) => {
        $(#[$doc])*
        pub fn $name<T: $crate::ptx::table::Has<$module::$name>>(
            &self,
            a: impl $crate::ptx::Operand<T>,
        ) -> $crate::ptx::Reg<'_, T> {
            self.apply_shown::<$module::$name, T, 1>([&a])
        }
    };
    (@method 2 $module:ident $name:ident $(#[$doc:meta])*) => {
        $(#[$doc])*
        pub fn $name<T: $crate::ptx::table::Has<$module::$name>>(
            &self,
            a: impl $crate::ptx::Operand<T>,
            b: impl $crate::ptx::Operand<T>,
        ) -> $crate::ptx::Reg<'_, T> {
            self.apply_shown::<$module::$name, T, 2>([&a, &b])
        }
    };
    (@method 3 $module:ident $name:ident $(#[$doc:meta])*) => {
        $(#[$doc])*
        pub fn $name<T: $crate::ptx::table::Has<$module::$name>>(
            &self,
            a: impl $crate::ptx::Operand<T>,
            b: impl $crate::ptx::Operand<T>,
            c: impl $crate::ptx::Operand<T>,
        ) -> $crate::ptx::Reg<'_, T> {
            self.apply_shown::<$module::$name, T, 3>([&a, &b, &c])
        }
    };
    (@sample 1 $name:ident $ty:ty) => {
        $crate::ptx::table::instructions! { @entry $name $ty, |k| k.keep(k.$name::<$ty>(k.any::<$ty>())) }
    };
    (@sample 2 $name:ident $ty:ty) => {
        $crate::ptx::table::instructions! {
            @entry $name $ty, |k| k.keep(k.$name::<$ty>(k.any::<$ty>(), k.any::<$ty>()))
        }
    };
    (@sample 3 $name:ident $ty:ty) => {
        $crate::ptx::table::instructions! {
            @entry $name $ty, |k| k.keep(k.$name::<$ty>(k.any::<$ty>(), k.any::<$ty>(), k.any::<$ty>()))
        }
    };
    (@entry $name:ident $ty:ty, $write:expr) => {
        $crate::ptx::table::Sample {
            name: stringify!($name),
            ty: <$ty as $crate::ptx::Ty>::NAME,
            write: $write,
        }
    };
}
pub(super) use instructions;

impl Builder {
    /// A value that the assembler cannot know.
    #[doc(hidden)]
    pub fn any<T: Ty>(&self) -> Reg<'_, T> {
        let clock = self.clock();
        let d = self.fresh::<T>();
        match T::CLASS {
            0 => self.op(super::target::EVERY, "setp.ne.u32", format_args!("{d}, {clock}, 7")),
            1 => self.op(super::target::EVERY, "cvt.u16.u32", format_args!("{d}, {clock}")),
            2 => self.op(super::target::EVERY, "mov.b32", format_args!("{d}, {clock}")),
            _ => self.op(super::target::EVERY, "mov.b64", format_args!("{d}, {{{clock}, {clock}}}")),
        }
        d
    }

    /// A use of a value that the assembler cannot leave out.
    #[doc(hidden)]
    pub fn keep<T: Ty>(&self, value: Reg<'_, T>) {
        let at = self.any::<u64>();
        match T::CLASS {
            0 => {
                let word = self.value::<u32>(super::target::EVERY, "selp.u32", format_args!("1, 0, {value}"));
                self.keep(word);
            }
            class => {
                let bits = super::ty::CLASSES[class].1;
                let mnemonic = format!("st.volatile.global.{bits}");
                self.op(super::target::EVERY, &mnemonic, format_args!("[{at}], {value}"));
            }
        }
    }
}
