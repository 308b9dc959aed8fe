//! Parameters: what the host passes and what the kernel receives, declared once by `params!`.

use super::Builder;
use super::pointer::{Global, Ptr};
use super::target::{EVERY, Needs};
use super::ty::{Element, Reg};

/// The arguments of a kernel, declared for both sides by [`params!`](crate::ptx::params).
pub trait Params {
    /// The same fields, as the kernel sees them.
    type Device<'k>;
    /// Declares and loads every field.
    fn declare(k: &Builder) -> Self::Device<'_>;
    /// The block of arguments as the driver copies it (`CU_LAUNCH_PARAM_BUFFER_POINTER`): each field at its offset.
    fn bytes(&self) -> Vec<u8>;
}

/// A type that can be a field of [`Params`].
pub trait Param {
    /// What the host passes.
    type Host: Copy + std::fmt::Debug;
    /// What the kernel receives.
    type Device<'k>;
    /// Declares one parameter and loads it.
    fn declare<'k>(k: &'k Builder, name: &str) -> Self::Device<'k>;
    /// Appends the argument to the block, after what its alignment asks for.
    fn put(host: Self::Host, block: &mut Vec<u8>);
}

/// One declared parameter.
pub(super) struct Declared {
    /// As the entry's head declares it.
    pub(super) text: String,
    /// Where it ends in the block of arguments.
    pub(super) end: usize,
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
            pub kernel: &'k $crate::ptx::Builder,
        }

        impl $crate::ptx::Params for $host {
            type Device<'k> = $device<'k>;
            fn declare(k: &$crate::ptx::Builder) -> $device<'_> {
                $device { $($field: <$ty as $crate::ptx::Param>::declare(k, stringify!($field)),)* kernel: k }
            }
            fn bytes(&self) -> Vec<u8> {
                #[allow(unused_mut)]
                let mut block = Vec::new();
                $(<$ty as $crate::ptx::Param>::put(self.$field, &mut block);)*
                block
            }
        }
    };
}
pub use ptx_params as params;

/// `size` up to the next multiple of `align`.
fn aligned(size: usize, align: usize) -> usize {
    size.div_ceil(align) * align
}

impl Builder {
    /// Declares a parameter as `text` says, and returns its name.
    fn declare(&self, name: &str, text: impl Fn(&str) -> String, size: usize, align: usize) -> String {
        let name = format!("p_{name}");
        let mut state = self.state.borrow_mut();
        let start = aligned(state.params.last().map_or(0, |last| last.end), align);
        state.params.push(Declared { text: text(&name), end: start + size });
        name
    }

    /// Declares a parameter and loads it.
    fn parameter<T: Element>(&self, name: &str) -> Reg<'_, T> {
        let size = T::SIZE as usize;
        let name = self.declare(name, |name| format!(".param .{} {name}", T::BITS), size, size);
        self.value(EVERY, &format!("ld.param.{}", T::BITS), format_args!("[{name}]"))
    }
}

fn put(block: &mut Vec<u8>, bytes: &[u8], align: usize) {
    block.resize(aligned(block.len(), align), 0);
    block.extend_from_slice(bytes);
}

macro_rules! numbers {
    ($($ty:ty)*) => {$(
        impl Param for $ty {
            type Host = $ty;
            type Device<'k> = Reg<'k, $ty>;
            fn declare<'k>(k: &'k Builder, name: &str) -> Reg<'k, $ty> {
                k.parameter(name)
            }
            fn put(host: $ty, block: &mut Vec<u8>) {
                put(block, &host.to_le_bytes(), size_of_val(&host));
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
    fn put(host: u64, block: &mut Vec<u8>) {
        put(block, &host.to_le_bytes(), size_of_val(&host));
    }
}

/// The description of a tensor for the tensor memory accelerator, made on the host by `cuTensorMapEncodeTiled`.
pub struct TensorMap;

impl Param for TensorMap {
    type Host = [u8; 128];
    type Device<'k> = Reg<'k, u64>;
    fn declare<'k>(k: &'k Builder, name: &str) -> Reg<'k, u64> {
        let name = k.declare(name, |name| format!(".param .align 64 .b8 {name}[128]"), 128, 64);
        let at = k.value::<u64>(EVERY, "mov.b64", format_args!("{name}"));
        k.value(Needs::new(80, 77), "cvta.param.u64", format_args!("{at}"))
    }
    fn put(host: [u8; 128], block: &mut Vec<u8>) {
        put(block, &host, 64);
    }
}
