//! The library itself: version, ABI check, names of codes, the last error.

use super::border::{call, check, last_error, outcome_of};
use super::port::check_no_callback;
use super::{PORTS, QUEUES};
use crate::device::gate::{Wake, deadline, left};
use crate::fail;
use crate::queue::callback::await_paid;
use crate::queue::{await_released, is_shut_down, shut_down};
use crate::status::{Result, name, weft_status};
use std::ffi::c_char;
use std::time::Instant;

/// Version of the C ABI that this header describes: major in the upper 16 bits, minor in the lower.
pub const WEFT_ABI_VERSION: u32 = 0x0001_0000;

/// The version of the C ABI that the library implements: major in the upper 16 bits, minor in the lower.
///
/// Thread safety: any thread.
/// Blocks: no.
/// Callable from callback: yes.
/// Ownership: none.
/// Returns: the version.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub extern "C" fn weft_abi_version() -> u32 {
    WEFT_ABI_VERSION
}

/// Checks that a program compiled with this header works with the library: weft_abi_check(WEFT_ABI_VERSION).
///
/// Thread safety: any thread.
/// Blocks: no.
/// Callable from callback: yes.
/// Ownership: none.
/// Returns: WEFT_OK; WEFT_ERROR_ABI_MISMATCH when the major versions differ or the library's minor version is the older
/// one; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub extern "C" fn weft_abi_check(header_version: u32) -> weft_status {
    check(|| {
        let fits = header_version >> 16 == WEFT_ABI_VERSION >> 16 && header_version <= WEFT_ABI_VERSION;
        if !fits {
            let text = |v: u32| format!("{}.{}", v >> 16, v & 0xffff);
            let (header, library) = (text(header_version), text(WEFT_ABI_VERSION));
            fail!(
                WEFT_ERROR_ABI_MISMATCH,
                "header_version is {header}, but the library implements ABI {library}"
            );
        }
        Ok(())
    })
}

/// The library's version, such as "1.0.0".
///
/// Thread safety: any thread.
/// Blocks: no.
/// Callable from callback: yes.
/// Ownership: a constant.
/// Returns: the text, never NULL.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub extern "C" fn weft_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

/// The name of a status, such as "WEFT_ERROR_STALE_HANDLE"; "WEFT_STATUS_UNKNOWN" for a number that is none.
///
/// Thread safety: any thread.
/// Blocks: no.
/// Callable from callback: yes.
/// Ownership: a constant.
/// Returns: the text, never NULL.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub extern "C" fn weft_status_name(status: weft_status) -> *const c_char {
    name(status).as_ptr()
}

/// The sentence that explains the calling thread's last call that returned an error: the argument, its value, what was
/// expected. Calls that succeed leave it alone. Empty before the first error.
///
/// Thread safety: any thread; each has its own.
/// Blocks: no.
/// Callable from callback: yes.
/// Ownership: valid until the thread's next call that fails.
/// Returns: UTF-8 text of at most 1023 bytes, never NULL.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub extern "C" fn weft_last_error() -> *const c_char {
    last_error()
}

/// An error once the library was shut down.
pub(super) fn check_running() -> Result<()> {
    match is_shut_down() {
        false => Ok(()),
        true => fail!(WEFT_ERROR_SHUT_DOWN, "weft_shutdown was called: the library accepts no more work"),
    }
}

/// Accepts no more work from here on, and waits, `timeout_ns` at the most, until all that was accepted, by released
/// queues too, is complete, and the library's own threads have made every call of a callback and a finalizer that they
/// have to make. For the end of a program or before it unloads what its callbacks use; releases and weft_port_dispatch go
/// on working, and it may be called again.
///
/// Thread safety: any thread.
/// Blocks: yes.
/// Callable from callback: no (WEFT_ERROR_IN_CALLBACK).
/// Ownership: none.
/// Returns: WEFT_OK; WEFT_TIMEOUT: work is still in flight; WEFT_INTERRUPTED: a signal handler ran, and work is still in
/// flight; WEFT_ERROR_IN_CALLBACK; WEFT_ERROR_OUT_OF_MEMORY; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub extern "C" fn weft_shutdown(timeout_ns: u64) -> weft_status {
    call(|| {
        check_no_callback("weft_shutdown")?;
        shut_down();
        await_all(deadline(timeout_ns)).map(outcome_of)
    })
}

fn await_all(end: Option<Instant>) -> Result<Wake> {
    PORTS.all()?.iter().for_each(|port| port.look_again());
    let queues = QUEUES.all()?;
    queues.iter().for_each(|queue| queue.settle_submissions());
    let drained = queues.iter().map(|queue| queue.drain(left(end))).find(|wake| *wake != Wake::Ready);
    // The last owners of queues that others release meanwhile must not be here.
    drop(queues);
    let then = |before: Wake, next: fn(Option<Instant>) -> Wake| {
        if before == Wake::Ready { next(end) } else { before }
    };
    Ok(then(then(drained.unwrap_or(Wake::Ready), await_released), await_paid))
}
