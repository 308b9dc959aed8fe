//! Looking inside: counters, the log and the trace. Below everything that has something to tell, above nothing but
//! statuses: whoever imports it learns nothing of anybody else.

pub mod clock;
mod histogram;
mod ledger;
pub mod log;
mod memory;
pub mod trace;

pub use histogram::Buckets;
pub use ledger::{Account, By, Ledger, Running, Totals, Traffic, totals};
pub use memory::Memory;

use std::ffi::OsString;

/// The value of an environment variable; `None` if it is empty, or in a program that runs with rights which its caller
/// has not (as secure_getenv).
pub fn environment(name: &str) -> Option<OsString> {
    // SAFETY: reads a number that the kernel gave the process.
    let secure = unsafe { libc::getauxval(libc::AT_SECURE) } != 0;
    std::env::var_os(name).filter(|value| !secure && !value.is_empty())
}
