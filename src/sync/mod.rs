//! What threads share, from one place: under `--cfg loom` the same names stand for types whose every interleaving the
//! models of tests/loom.rs explore.

#[cfg(loom)]
mod modelled;
#[cfg(loom)]
pub use modelled::{Arc, Condvar, Mutex, OnceCell, RwLock, atomic, end, join, over, spawn, yield_now};

#[cfg(not(loom))]
pub use {
    once_cell::sync::OnceCell,
    parking_lot::{Mutex, RwLock},
    std::{
        sync::{Arc, atomic},
        thread::yield_now,
    },
};

// Where there is futex(2), only models want it.
#[cfg(not(loom))]
#[allow(unused_imports)]
pub use parking_lot::Condvar;

/// Alone on its cache lines (a processor fetches them in pairs): one side writes it while the other writes what is beside.
#[derive(Default)]
#[repr(align(128))]
pub struct Line<T>(pub T);

/// Whether a thread that waits may look again and again for a while. A model would look for ever: its clock stands still.
pub const SPINS: bool = cfg!(not(loom));

/// Whether threads that live as long as the process are to end: models leave none behind.
#[cfg(not(loom))]
pub const fn over() -> bool {
    false
}

/// Declares a constructor that is const, but for models: their types cannot be made before the model runs.
macro_rules! constructor {
    ($(#[$note:meta])* pub fn $($rest:tt)*) => {
        $(#[$note])*
        #[cfg(not(loom))]
        pub const fn $($rest)*
        $(#[$note])*
        #[cfg(loom)]
        pub fn $($rest)*
    };
}

/// Declares a static, which a model makes anew for each interleaving.
macro_rules! shared {
    ($(#[$note:meta])* pub static $name:ident: $type:ty = $value:expr;) => {
        $crate::sync::shared!(@ $(#[$note])* [pub] $name: $type = $value);
    };
    ($(#[$note:meta])* static $name:ident: $type:ty = $value:expr;) => {
        $crate::sync::shared!(@ $(#[$note])* [] $name: $type = $value);
    };
    (@ $(#[$note:meta])* [$($seen:tt)*] $name:ident: $type:ty = $value:expr) => {
        #[cfg(not(loom))]
        $(#[$note])*
        $($seen)* static $name: $type = $value;
        #[cfg(loom)]
        loom::lazy_static! {
            $(#[$note])*
            $($seen)* static ref $name: $type = $value;
        }
    };
}

pub(crate) use {constructor, shared};
