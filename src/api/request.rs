//! Requests: wait, poll, the completion record, error text, release.

use super::border::{call, check, report, write, write_text};
use super::{REQUESTS, weft_request};
use crate::device::gate::deadline;
use crate::ensure;
use crate::queue::{Outcome, Request, wait};
use crate::status::{Error, Result, WEFT_NOT_READY, WEFT_OK, WEFT_TIMEOUT, weft_status};
use std::ffi::c_char;
use std::sync::Arc;

/// weft_request_wait: until all are complete.
pub const WEFT_WAIT_ALL: u32 = 0;
/// weft_request_wait: until at least one is complete.
pub const WEFT_WAIT_ANY: u32 = 1;

/// A completion: what became of a request. Frozen: 64 bytes, whose fields never change.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_completion {
    /// The caller's own number, from weft_submit.
    pub user_data: u64,
    /// The request's handle; 0 if none was asked for.
    pub request: weft_request,
    /// WEFT_OK, or why it failed.
    pub status: weft_status,
    /// Which operation, a WEFT_OP constant.
    pub op: u32,
    /// 0.
    pub flags: u32,
    /// 0.
    pub reserved0: u32,
    /// Nanoseconds that the device spent on it.
    pub device_ns: u64,
    /// 0.
    pub result: u64,
    /// 0.
    pub reserved1: [u64; 2],
}

fn record(request: &Request, handle: weft_request, outcome: &Outcome) -> weft_completion {
    weft_completion {
        user_data: request.tag.user_data,
        request: handle,
        status: outcome.status(),
        op: request.tag.op,
        device_ns: outcome.device_ns,
        ..Default::default()
    }
}

/// Waits until all (WEFT_WAIT_ALL) or at least one (WEFT_WAIT_ANY) of `count` requests are complete, `timeout_ns` from
/// now at the most (WEFT_FOREVER never ends, 0 only looks). `*index`, unless NULL, becomes the place in the array of the
/// request that the status speaks of: the first failed one, else (ANY) the first complete one, else 0.
///
/// Thread safety: any thread, several at once. Blocks: yes. Returns: WEFT_OK when the condition holds and no complete
/// request that it looked at failed (no requests: at once); WEFT_TIMEOUT; the status of the request that failed, with its
/// sentence in weft_last_error; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND;
/// WEFT_ERROR_OUT_OF_MEMORY; WEFT_ERROR_FORKED. Since: 1.0.
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
        ensure!(mode <= WEFT_WAIT_ANY, "mode is {mode}; expected WEFT_WAIT_ALL (0) or WEFT_WAIT_ANY (1)");
        // SAFETY: this function's contract.
        let requests = unsafe { resolve(requests, count)? };
        let any = mode == WEFT_WAIT_ANY && count > 0;
        if !wait(&requests, any, deadline(timeout_ns)) {
            return Ok(WEFT_TIMEOUT);
        }
        let verdict = verdict(&requests, any);
        if !index.is_null() {
            // SAFETY: not null, so valid for one write by this function's contract.
            unsafe { index.write_unaligned(verdict as u32) };
        }
        Ok(requests.get(verdict).map_or(WEFT_OK, |request| tell(request)))
    })
}

/// The request to speak of: the first failed one, else (with `any`) the first complete one, else the first.
fn verdict(requests: &[Arc<Request>], any: bool) -> usize {
    let failed =
        requests.iter().position(|request| request.outcome().is_some_and(|outcome| outcome.error.is_some()));
    let complete = || requests.iter().position(|request| any && request.outcome().is_some());
    failed.or_else(complete).unwrap_or(0)
}

/// The status of a request, its sentence left in the thread's last error.
fn tell(request: &Request) -> weft_status {
    match request.outcome().and_then(|outcome| outcome.error.as_ref()) {
        Some(error) => report(error),
        None => request.status(),
    }
}

/// # Safety
///
/// `requests` is null or valid for `count` reads.
unsafe fn resolve(requests: *const weft_request, count: u32) -> Result<Vec<Arc<Request>>> {
    ensure!(!requests.is_null() || count == 0, "requests is NULL; expected {count} handles");
    let count = count as usize;
    let mut found = Vec::new();
    found.try_reserve_exact(count).map_err(|_| Error::out_of_memory(count.saturating_mul(8)))?;
    for index in 0..count {
        // SAFETY: `index < count`, readable by this function's contract.
        let handle = unsafe { requests.add(index).read_unaligned() };
        let what = if count == 1 { "request" } else { "requests[i]" };
        found.push(REQUESTS.get(what, handle)?);
    }
    Ok(found)
}

/// Asks whether a request is complete.
///
/// Thread safety: any thread. Blocks: no. Returns: WEFT_NOT_READY while it is pending; then WEFT_OK or the status with
/// which it failed; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub extern "C" fn weft_request_poll(request: weft_request) -> weft_status {
    call(|| Ok(tell(&*REQUESTS.get("request", request)?)))
}

/// Fills in the completion record of a request.
///
/// Thread safety: any thread. Blocks: no. Returns: WEFT_OK; WEFT_NOT_READY while it is pending (*completion is left
/// alone); WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED. Since: 1.0.
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
        let Some(outcome) = found.outcome() else { return Ok(WEFT_NOT_READY) };
        // SAFETY: this function's contract.
        unsafe { write("completion", completion, record(&found, request, outcome))? };
        Ok(WEFT_OK)
    })
}

/// Copies the sentence that explains why a request failed to `buffer`, zero-terminated and cut to `capacity` bytes;
/// empty if it did not fail or is pending. `*needed`, unless NULL, becomes the bytes that all of it takes.
///
/// Thread safety: any thread. Blocks: no. Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE;
/// WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED. Since: 1.0.
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
        let error = request.outcome().and_then(|outcome| outcome.error.as_ref());
        let text = error.map_or("", |error| error.message.as_str());
        // SAFETY: this function's contract.
        unsafe { write_text(text, buffer, capacity, needed) }
    })
}

/// Gives up a request's handle. The request itself still runs and completes. 0 is allowed.
///
/// Thread safety: any thread. Blocks: no. Returns: WEFT_OK; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND;
/// WEFT_ERROR_FORKED. Since: 1.0.
#[unsafe(no_mangle)]
pub extern "C" fn weft_request_release(request: weft_request) -> weft_status {
    check(|| if request == 0 { Ok(()) } else { REQUESTS.remove("request", request).map(drop) })
}
