//! Requests: wait, poll, the completion record, the error's text and numbers, cancel, release.

use super::border::{Sized32, call, check, outcome_of, report, require_out, write, write_struct, write_text};
use super::port::check_no_callback;
use super::{REQUESTS, weft_request};
use crate::device::gate::{Wake, deadline};
use crate::ensure;
use crate::queue::{Cancel, Outcome, Request, wait, weft_completion};
use crate::status::{Error, Result, WEFT_NOT_FOUND, WEFT_NOT_READY, WEFT_OK, WEFT_TOO_LATE, weft_status};
use crate::telemetry::trace;
use std::ffi::c_char;
use std::sync::Arc;

/// weft_request_wait: until all are complete.
pub const WEFT_WAIT_ALL: u32 = 0;
/// weft_request_wait: until at least one is complete.
pub const WEFT_WAIT_ANY: u32 = 1;

/// What `weft_request_error_info_get` tells of a request that is complete.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_error_info {
    /// sizeof(weft_error_info), set by the caller.
    pub struct_size: u32,
    /// WEFT_OK, or why the request failed.
    pub status: weft_status,
    /// The code of the device, driver or library behind the failure; 0 for none.
    pub native_code: i64,
    /// Which operation the request was, a WEFT_OP constant.
    pub op: u32,
    /// Which operation the root cause was, a WEFT_OP constant; 0 without one.
    pub root_op: u32,
    /// With WEFT_ERROR_DEPENDENCY_FAILED: the handle (released or not) of the request whose own failure was the first
    /// cause, however long the chain of requests between. 0 when the request failed by itself or did not fail.
    pub root_request: weft_request,
    /// What the root cause ended with; WEFT_OK without one.
    pub root_status: weft_status,
    /// 0.
    pub reserved: u32,
}

// SAFETY: repr(C), begins with struct_size, integers alone.
unsafe impl Sized32 for weft_error_info {
    const NAME: &'static str = "weft_error_info";
}

/// Waits until all (WEFT_WAIT_ALL) or at least one (WEFT_WAIT_ANY) of `count` requests are complete, `timeout_ns` from
/// now at the most (WEFT_FOREVER never ends, 0 only looks). A request that is complete has its record at its port too. A
/// signal handler that runs in the waiting thread ends the wait, as EINTR ends a system call; one installed with
/// SA_RESTART does not end a wait without a time-out. At first the thread may work at short requests of a CPU device itself
/// instead of only looking on. `*index`, unless NULL, becomes the place in the array of the request that the status speaks
/// of: the first failed one, else (ANY) the first complete one, else 0.
///
/// Thread safety: any thread, several at once.
/// Blocks: yes.
/// Callable from callback: no (WEFT_ERROR_IN_CALLBACK).
/// Ownership: none.
/// Returns: WEFT_OK when the condition holds and no complete request that it looked at failed (no requests: at once);
/// WEFT_TIMEOUT; WEFT_INTERRUPTED (wait again); the status of the request that failed, with its sentence in
/// weft_last_error; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_IN_CALLBACK;
/// WEFT_ERROR_OUT_OF_MEMORY; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `requests` is NULL or valid for `count` reads, `index` NULL or valid for one write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_request_wait(
    requests: *const weft_request,
    count: u32,
    mode: u32,
    timeout_ns: u64,
    index: *mut u32,
) -> weft_status {
    call(|| {
        check_no_callback("weft_request_wait")?;
        ensure!(mode <= WEFT_WAIT_ANY, "mode is {mode}; expected WEFT_WAIT_ALL (0) or WEFT_WAIT_ANY (1)");
        // SAFETY: this function's contract.
        if let Some(status) = unsafe { status_of_one(requests, count) } {
            trace::settle();
            if !index.is_null() {
                // SAFETY: not null, so valid for one write by this function's contract.
                unsafe { index.write_unaligned(0) };
            }
            return Ok(status);
        }
        // SAFETY: this function's contract.
        let requests = unsafe { resolve("requests", requests, count)? };
        let any = mode == WEFT_WAIT_ANY && count > 0;
        requests.iter().for_each(|request| request.note_wait());
        let wake = wait(&requests, any, deadline(timeout_ns));
        if wake != Wake::Ready {
            return Ok(outcome_of(wake));
        }
        trace::settle();
        let verdict = verdict(&requests, any);
        if !index.is_null() {
            // SAFETY: not null, so valid for one write by this function's contract.
            unsafe { index.write_unaligned(verdict as u32) };
        }
        Ok(requests.get(verdict).map_or(WEFT_OK, |request| tell(request)))
    })
}

/// The status of the only request, if it is complete: what a wait for a brief one finds.
///
/// # Safety
///
/// `requests` is null or valid for `count` reads.
unsafe fn status_of_one(requests: *const weft_request, count: u32) -> Option<weft_status> {
    if count != 1 || requests.is_null() {
        return None;
    }
    // SAFETY: one handle is readable by this function's contract.
    let handle = unsafe { requests.read_unaligned() };
    let look = |request: &Request| {
        request.note_wait();
        request.outcome().is_some().then(|| tell(request))
    };
    REQUESTS.look(handle, look).flatten()
}

/// The request to speak of: the first failed one, else (with `any`) the first complete one, else the first.
fn verdict(requests: &[Arc<Request>], any: bool) -> usize {
    let failed = requests.iter().position(|request| error_of(request).is_some());
    let complete = || requests.iter().position(|request| any && request.outcome().is_some());
    failed.or_else(complete).unwrap_or(0)
}

/// The status of a request, its sentence left in the thread's last error.
fn tell(request: &Request) -> weft_status {
    match error_of(request) {
        Some(error) => report(error),
        None => request.status(),
    }
}

fn error_of(request: &Request) -> Option<&Error> {
    request.outcome().and_then(Outcome::error)
}

/// The requests behind an array of handles; `what` names the argument.
///
/// # Safety
///
/// `requests` is null or valid for `count` reads.
pub(super) unsafe fn resolve(
    what: &str,
    requests: *const weft_request,
    count: u32,
) -> Result<Vec<Arc<Request>>> {
    ensure!(!requests.is_null() || count == 0, "{what} is NULL; expected {count} handles");
    let count = count as usize;
    let mut found = Vec::new();
    found.try_reserve_exact(count).map_err(|_| Error::out_of_memory(count.saturating_mul(8)))?;
    for index in 0..count {
        // SAFETY: `index < count`, readable by this function's contract.
        let handle = unsafe { requests.add(index).read_unaligned() };
        let named = REQUESTS.get(what, handle);
        found.push(named.map_err(|error| Error {
            message: error.message.replacen(what, &format!("{what}[{index}]"), 1),
            ..error
        })?);
    }
    Ok(found)
}

/// Asks whether a request is complete.
///
/// Thread safety: any thread.
/// Blocks: no.
/// Callable from callback: yes.
/// Ownership: none.
/// Returns: WEFT_NOT_READY while it is pending; then WEFT_OK or the status with which it failed:
/// WEFT_ERROR_OUT_OF_RANGE, WEFT_ERROR_OUT_OF_MEMORY, WEFT_ERROR_OUT_OF_DEVICE_MEMORY, WEFT_ERROR_CANCELLED,
/// WEFT_ERROR_DEADLINE_EXCEEDED, WEFT_ERROR_DEPENDENCY_FAILED, WEFT_ERROR_UNAVAILABLE, WEFT_ERROR_DEVICE_LOST,
/// WEFT_ERROR_INTERNAL; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub extern "C" fn weft_request_poll(request: weft_request) -> weft_status {
    call(|| {
        let request = REQUESTS.get("request", request)?;
        request.note_wait();
        if request.look() {
            trace::settle();
        }
        Ok(tell(&request))
    })
}

/// Fills in the completion record of a request.
///
/// Thread safety: any thread.
/// Blocks: no.
/// Callable from callback: yes.
/// Ownership: none.
/// Returns: WEFT_OK; WEFT_NOT_READY while it is pending (*completion is left alone); WEFT_ERROR_INVALID_ARGUMENT;
/// WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `completion` is NULL or valid for one write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_request_completion(
    request: weft_request,
    completion: *mut weft_completion,
) -> weft_status {
    call(|| {
        let found = REQUESTS.get("request", request)?;
        if found.outcome().is_none() {
            return Ok(WEFT_NOT_READY);
        }
        trace::settle();
        // SAFETY: this function's contract.
        unsafe { write("completion", completion, found.record())? };
        Ok(WEFT_OK)
    })
}

/// Copies the sentence that explains why a request failed to `buffer`, zero-terminated and cut to `capacity` bytes;
/// empty if it did not fail or is pending. `*needed`, unless NULL, becomes the bytes that all of it takes.
///
/// Thread safety: any thread.
/// Blocks: no.
/// Callable from callback: yes.
/// Ownership: none.
/// Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED;
/// WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `buffer` is NULL or valid for `capacity` writes, `needed` NULL or valid for one write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_request_error(
    request: weft_request,
    buffer: *mut c_char,
    capacity: usize,
    needed: *mut usize,
) -> weft_status {
    check(|| {
        let request = REQUESTS.get("request", request)?;
        let text = error_of(&request).map_or("", |error| error.message.as_str());
        // SAFETY: this function's contract.
        unsafe { write_text(text, buffer, capacity, needed) }
    })
}

/// Tells why a request failed, in numbers. The caller sets info->struct_size.
///
/// Thread safety: any thread.
/// Blocks: no.
/// Callable from callback: yes.
/// Ownership: none.
/// Returns: WEFT_OK (also when it did not fail: info->status is WEFT_OK then); WEFT_NOT_READY while it is pending (*info
/// is left alone); WEFT_ERROR_INVALID_ARGUMENT (info is NULL, struct_size); WEFT_ERROR_STALE_HANDLE;
/// WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `info` is NULL or points to a weft_error_info of info->struct_size bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_request_error_info_get(
    request: weft_request,
    info: *mut weft_error_info,
) -> weft_status {
    call(|| {
        let request = REQUESTS.get("request", request)?;
        require_out("info", info)?;
        let Some(outcome) = request.outcome() else { return Ok(WEFT_NOT_READY) };
        trace::settle();
        // SAFETY: this function's contract.
        unsafe { write_struct("info", info, &explain(&request, outcome))? };
        Ok(WEFT_OK)
    })
}

fn explain(request: &Request, outcome: &Outcome) -> weft_error_info {
    let root = outcome.failure.as_ref().and_then(|failure| failure.root);
    weft_error_info {
        struct_size: 0,
        status: outcome.status(),
        native_code: outcome.error().map_or(0, |error| error.native),
        op: request.tag.op,
        root_op: root.map_or(0, |root| root.op),
        root_request: root.map_or(0, |root| root.request),
        root_status: root.map_or(WEFT_OK, |root| root.status),
        reserved: 0,
    }
}

/// Cancels a request that has not begun: it will not run and ends with WEFT_ERROR_CANCELLED. Its completion still comes,
/// once, and says what happened.
///
/// Thread safety: any thread.
/// Blocks: no.
/// Callable from callback: yes.
/// Ownership: none.
/// Returns: WEFT_OK; WEFT_TOO_LATE: it has begun, and goes on; WEFT_NOT_FOUND: it was complete;
/// WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub extern "C" fn weft_request_cancel(request: weft_request) -> weft_status {
    call(|| {
        let became = REQUESTS.get("request", request)?.cancel();
        trace::settle();
        Ok(match became {
            Cancel::Done => WEFT_OK,
            Cancel::Begun => WEFT_TOO_LATE,
            Cancel::Complete => WEFT_NOT_FOUND,
        })
    })
}

/// Gives up a request's handle. The request itself still runs and completes. 0 is allowed.
///
/// Thread safety: any thread.
/// Blocks: no.
/// Callable from callback: yes.
/// Ownership: none.
/// Returns: WEFT_OK; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub extern "C" fn weft_request_release(request: weft_request) -> weft_status {
    check(|| if request == 0 { Ok(()) } else { REQUESTS.remove("request", request).map(drop) })
}
