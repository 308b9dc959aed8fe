//! Parameters: what the host passes and what the kernel receives, declared once by `params!`.

use super::Builder;
use super::pointer::{Global, Ptr};
use super::target::{EVERY, Needs};
use super::ty::{Element, Reg};
use std::ops::Range;

/// The arguments of a kernel, declared for both sides by [`params!`](crate::ptx::params).
pub trait Params {
    /// The same fields, as the kernel sees them.
    type Device<'k>;
    /// Declares and loads every field.
    fn declare(k: &Builder) -> Self::Device<'_>;
    /// What the driver's launch call is given.
    fn arguments(&self) -> Arguments;
}

/// The values of a kernel's arguments, for the list of pointers that the driver's launch call takes.
///
/// One block of all of them (`CU_LAUNCH_PARAM_BUFFER_POINTER`) would not do: where a [`TensorMap`] is among them, the driver
/// places it by an alignment of its own.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    block: Vec<u8>,
    fields: Vec<Range<usize>>,
}

impl Arguments {
    /// The bytes of each argument, in the order of the declaration.
    pub fn fields(&self) -> impl Iterator<Item = &[u8]> {
        self.fields.iter().map(|field| &self.block[field.clone()])
    }

    /// Adds those of a kernel's other part.
    pub fn append(&mut self, others: &Self) {
        others.fields().for_each(|field| self.push(field));
    }

    fn push(&mut self, bytes: &[u8]) {
        let start = self.block.len().next_multiple_of(if bytes.len() > 8 { 64 } else { bytes.len() });
        self.block.resize(start, 0);
        self.block.extend_from_slice(bytes);
        self.fields.push(start..start + bytes.len());
    }
}

/// A type that can be a field of [`Params`].
pub trait Param {
    /// What the host passes.
    type Host: Copy + std::fmt::Debug;
    /// What the kernel receives.
    type Device<'k>;
    /// Declares one parameter and loads it.
    fn declare<'k>(k: &'k Builder, name: &str) -> Self::Device<'k>;
    /// Appends the argument.
    fn put(host: Self::Host, arguments: &mut Arguments);
}

/// One declared parameter.
pub(super) struct Declared {
    /// As the entry's head declares it.
    pub(super) text: String,
    /// Bytes of the argument.
    pub(super) size: usize,
}

/// Declares the arguments of a kernel: a struct for the host, and its twin for the device.
///
/// A field is a number (`u32`, `f32`...) or device memory (`Global<f32>`: on the host the address, a `u64`).
#[doc(hidden)]
#[macro_export]
macro_rules! ptx_params {
    ($(#[$meta:meta])* $vis:vis struct $host:ident / $device:ident { $($(#[$doc:meta])* $field:ident: $ty:ty),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug)]
        $vis struct $host { $($(#[$doc])* pub $field: <$ty as $crate::ptx::Param>::Host),* }

        $(#[$meta])*
        $vis struct $device<'k> {
            $($(#[$doc])* pub $field: <$ty as $crate::ptx::Param>::Device<'k>,)*
            /// Ties the values to their kernel, also where there are none.
            #[allow(dead_code)]
            pub kernel: &'k $crate::ptx::Builder,
        }

        impl $crate::ptx::Params for $host {
            type Device<'k> = $device<'k>;
            fn declare(k: &$crate::ptx::Builder) -> $device<'_> {
                $device { $($field: <$ty as $crate::ptx::Param>::declare(k, stringify!($field)),)* kernel: k }
            }
            fn arguments(&self) -> $crate::ptx::Arguments {
                #[allow(unused_mut)]
                let mut arguments = $crate::ptx::Arguments::default();
                $(<$ty as $crate::ptx::Param>::put(self.$field, &mut arguments);)*
                arguments
            }
        }

        /// As a part of the arguments of a kernel that takes more.
        impl $crate::ptx::Param for $host {
            type Host = $host;
            type Device<'k> = $device<'k>;
            fn declare<'k>(k: &'k $crate::ptx::Builder, _: &str) -> $device<'k> {
                <$host as $crate::ptx::Params>::declare(k)
            }
            fn put(host: $host, arguments: &mut $crate::ptx::Arguments) {
                arguments.append(&$crate::ptx::Params::arguments(&host));
            }
        }
    };
}
pub use ptx_params as params;

impl Builder {
    /// Declares a parameter as `text` says, and returns its name.
    fn declare(&self, name: &str, text: impl Fn(&str) -> String, size: usize) -> String {
        let name = format!("p_{name}");
        self.state.borrow_mut().params.push(Declared { text: text(&name), size });
        name
    }

    /// Declares a parameter and loads it.
    fn parameter<T: Element>(&self, name: &str) -> Reg<'_, T> {
        let size = T::SIZE as usize;
        let name = self.declare(name, |name| format!(".param .{} {name}", T::BITS), size);
        self.value(EVERY, &format!("ld.param.{}", T::BITS), format_args!("[{name}]"))
    }
}

macro_rules! numbers {
    ($($ty:ty)*) => {$(
        impl Param for $ty {
            type Host = $ty;
            type Device<'k> = Reg<'k, $ty>;
            fn declare<'k>(k: &'k Builder, name: &str) -> Reg<'k, $ty> {
                k.parameter(name)
            }
            fn put(host: $ty, arguments: &mut Arguments) {
                arguments.push(&host.to_le_bytes());
            }
        }
    )*};
}

numbers! { u8 i8 u16 i16 u32 i32 u64 i64 f32 f64 }

impl<T: Element> Param for Global<T> {
    type Host = u64;
    type Device<'k> = Ptr<'k, Global<T>>;
    fn declare<'k>(k: &'k Builder, name: &str) -> Ptr<'k, Global<T>> {
        Ptr::new(k.parameter(name))
    }
    fn put(host: u64, arguments: &mut Arguments) {
        arguments.push(&host.to_le_bytes());
    }
}

/// Several arguments of one type, each a parameter of its own.
impl<P: Param, const N: usize> Param for [P; N] {
    type Host = [P::Host; N];
    type Device<'k> = [P::Device<'k>; N];
    fn declare<'k>(k: &'k Builder, name: &str) -> [P::Device<'k>; N] {
        std::array::from_fn(|index| P::declare(k, &format!("{name}_{index}")))
    }
    fn put(host: [P::Host; N], arguments: &mut Arguments) {
        host.into_iter().for_each(|host| P::put(host, arguments));
    }
}

/// `N` numbers as one parameter, each loaded where it is asked for: dims and strides, of which a kernel may need few.
pub struct Words<const N: usize>;

/// [`Words`] as a kernel sees them.
#[derive(Clone)]
pub struct WordList<'k> {
    k: &'k Builder,
    name: String,
    count: usize,
}

impl<'k> WordList<'k> {
    /// Number `index`.
    pub fn get(&self, index: usize) -> Reg<'k, u64> {
        let (k, name, count) = (self.k, &self.name, self.count);
        k.check(index < count, format_args!("word {index} of the {count} in {name}"));
        k.value(EVERY, "ld.param.b64", format_args!("[{name}+{}]", index * 8))
    }

    /// Number `index`, which must be below 2^32.
    pub fn get32(&self, index: usize) -> Reg<'k, u32> {
        let (k, name, count) = (self.k, &self.name, self.count);
        k.check(index < count, format_args!("word {index} of the {count} in {name}"));
        k.value(EVERY, "ld.param.b32", format_args!("[{name}+{}]", index * 8))
    }

    /// Where they begin, for [`behind`](Self::behind); each takes 8 bytes.
    pub fn start(&self) -> Reg<'k, u64> {
        self.k.value(EVERY, "mov.b64", format_args!("{}", self.name))
    }

    /// Number `index` from the one at `from` on: a place that is known only when the kernel runs.
    pub fn behind(&self, from: Reg<'k, u64>, index: usize) -> Reg<'k, u64> {
        self.k.value(EVERY, "ld.param.b64", format_args!("[{from}+{}]", index * 8))
    }
}

impl<const N: usize> Param for Words<N> {
    type Host = [u64; N];
    type Device<'k> = WordList<'k>;
    fn declare<'k>(k: &'k Builder, name: &str) -> WordList<'k> {
        let bytes = N * 8;
        let name = k.declare(name, |name| format!(".param .align 8 .b8 {name}[{bytes}]"), bytes);
        WordList { k, name, count: N }
    }
    fn put(host: [u64; N], arguments: &mut Arguments) {
        arguments.push(&host.map(u64::to_le_bytes).concat());
    }
}

/// The description of a tensor for the tensor memory accelerator, made on the host by `cuTensorMapEncodeTiled`.
pub struct TensorMap;

impl Param for TensorMap {
    type Host = [u8; 128];
    type Device<'k> = Reg<'k, u64>;
    fn declare<'k>(k: &'k Builder, name: &str) -> Reg<'k, u64> {
        let name = k.declare(name, |name| format!(".param .align 64 .b8 {name}[128]"), 128);
        let at = k.value::<u64>(EVERY, "mov.b64", format_args!("{name}"));
        k.value(Needs::new(80, 77), "cvta.param.u64", format_args!("{at}"))
    }
    fn put(host: [u8; 128], arguments: &mut Arguments) {
        arguments.push(&host);
    }
}
