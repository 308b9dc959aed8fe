//! The library itself: version, ABI check, names of codes, the last error.

use super::QUEUES;
use super::border::{call, check, last_error};
use super::port::check_no_callback;
use crate::device::gate::deadline;
use crate::queue::await_released;
use crate::status::{Result, WEFT_OK, WEFT_TIMEOUT, name, weft_status};
use crate::telemetry::trace;
use crate::{fail, tell};
use std::ffi::c_char;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Instant;

/// Version of the C ABI that this header describes: major in the upper 16 bits, minor in the lower.
pub const WEFT_ABI_VERSION: u32 = 0x0001_0000;

/// The version of the C ABI that the library implements: major in the upper 16 bits, minor in the lower.
///
/// Thread safety: any thread. Blocks: no. Returns: the version. Since: 1.0.
#[unsafe(no_mangle)]
pub extern "C" fn weft_abi_version() -> u32 {
    WEFT_ABI_VERSION
}

/// Checks that a program compiled with this header works with the library: weft_abi_check(WEFT_ABI_VERSION).
///
/// Thread safety: any thread. Blocks: no. Returns: WEFT_OK; WEFT_ERROR_ABI_MISMATCH when the major versions differ or
/// the library's minor version is the older one. Since: 1.0.
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

/// The library's version, such as "0.1.0".
///
/// Thread safety: any thread. Blocks: no. Ownership: a constant. Returns: the text, never NULL. Since: 1.0.
#[unsafe(no_mangle)]
pub extern "C" fn weft_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

/// The name of a status, such as "WEFT_ERROR_STALE_HANDLE"; "WEFT_STATUS_UNKNOWN" for a number that is none.
///
/// Thread safety: any thread. Blocks: no. Ownership: a constant. Returns: the text, never NULL. Since: 1.0.
#[unsafe(no_mangle)]
pub extern "C" fn weft_status_name(status: weft_status) -> *const c_char {
    name(status).as_ptr()
}

/// The sentence that explains the calling thread's last call that returned an error: the argument, its value, what was
/// expected. Calls that succeed leave it alone. Empty before the first error.
///
/// Thread safety: any thread; each has its own. Blocks: no. Ownership: valid until the thread's next call that fails.
/// Returns: UTF-8 text of at most 1023 bytes, never NULL. Since: 1.0.
#[unsafe(no_mangle)]
pub extern "C" fn weft_last_error() -> *const c_char {
    last_error()
}

static SHUT_DOWN: AtomicBool = AtomicBool::new(false);

/// An error once the library was shut down.
pub(super) fn check_running() -> Result<()> {
    match SHUT_DOWN.load(SeqCst) {
        false => Ok(()),
        true => fail!(WEFT_ERROR_SHUT_DOWN, "weft_shutdown was called: the library accepts no more work"),
    }
}

/// Accepts no more work from here on, and waits until all that was accepted, by released queues too, is complete, `timeout_ns` at the most. For
/// the end of a program or before it unloads what its callbacks use; releases go on working, and it may be called again.
///
/// Thread safety: any thread. Blocks: yes. Returns: WEFT_OK; WEFT_TIMEOUT: work is still in flight; WEFT_ERROR_IN_CALLBACK;
/// WEFT_ERROR_OUT_OF_MEMORY; WEFT_ERROR_FORKED.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub extern "C" fn weft_shutdown(timeout_ns: u64) -> weft_status {
    call(|| {
        check_no_callback("weft_shutdown")?;
        SHUT_DOWN.store(true, SeqCst);
        let end = deadline(timeout_ns);
        let left =
            || end.map_or(u64::MAX, |end| end.saturating_duration_since(Instant::now()).as_nanos() as u64);
        let drained = QUEUES.all()?.iter().all(|queue| queue.drain(left()).is_some()) && await_released(end);
        trace::settle();
        tell!(
            WEFT_LOG_INFO,
            "weft_shutdown: {}",
            if drained { "all is complete" } else { "work is still in flight" }
        );
        Ok(if drained { WEFT_OK } else { WEFT_TIMEOUT })
    })
}
