//! Ports: completions for event loops.

use super::border::{Sized32, call, check, read_struct, require_out, write};
use super::{CONTEXTS, PORTS, weft_context, weft_port};
use crate::device::gate::deadline;
use crate::handle::own_slot;
use crate::queue::{Port, weft_completion};
use crate::status::{Result, WEFT_OK, WEFT_TIMEOUT, weft_status};
use crate::telemetry::trace;
use crate::{ensure, fail};
use std::cell::Cell;
use std::sync::Arc;

const DEFAULT_CAPACITY: u32 = 4096;
const MAX_CAPACITY: u32 = 1 << 20;

thread_local! {
    /// Whether this thread is inside a completion's callback.
    static IN_CALLBACK: Cell<bool> = const { Cell::new(false) };
}

/// Options of `weft_port_create`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_port_desc {
    /// sizeof(weft_port_desc).
    pub struct_size: u32,
    /// How many requests may be pending or wait to be taken, 1048576 at most; 0 means 4096.
    pub capacity: u32,
}

// SAFETY: repr(C), begins with struct_size, integers alone.
unsafe impl Sized32 for weft_port_desc {
    const NAME: &'static str = "weft_port_desc";
}

/// An error inside a completion's callback, for calls that could wait for it to return.
pub(super) fn check_no_callback(name: &str) -> Result<()> {
    match IN_CALLBACK.get() {
        false => Ok(()),
        true => fail!(
            WEFT_ERROR_IN_CALLBACK,
            "{name} was called inside a completion's callback, where it could wait for itself"
        ),
    }
}

/// Creates a port. Requests of any queue of any context whose weft_submit names it post their completions there;
/// `context` is the one that the port belongs to. `options` may be NULL.
///
/// Thread safety: any thread. Blocks: no. Ownership: release the port with weft_port_release. Returns: WEFT_OK;
/// WEFT_ERROR_INVALID_ARGUMENT (options, port is NULL); WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND;
/// WEFT_ERROR_OUT_OF_MEMORY; WEFT_ERROR_FORKED. Since: 1.0.
///
/// # Safety
///
/// `options` is NULL or a struct of its struct_size, `port` NULL or valid for one write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_port_create(
    context: weft_context,
    options: *const weft_port_desc,
    port: *mut weft_port,
) -> weft_status {
    check(|| {
        require_out("port", port)?;
        let account = CONTEXTS.get("context", context)?.account.number();
        // SAFETY: this function's contract.
        let capacity = unsafe { read_struct(options)? }.capacity;
        ensure!(
            capacity <= MAX_CAPACITY,
            "weft_port_desc.capacity is {capacity}; expected at most {MAX_CAPACITY}"
        );
        let capacity = if capacity == 0 { DEFAULT_CAPACITY } else { capacity };
        let handle = PORTS.insert(own_slot(context), Arc::new(Port::new(capacity, account)?))?;
        // SAFETY: this function's contract.
        unsafe { write("port", port, handle) }
    })
}

/// Takes up to `capacity` completions that wait, oldest first, into `completions`; `*count` becomes how many.
///
/// Thread safety: any thread, several at once. Blocks: no. Returns: WEFT_OK (also when there are none);
/// WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED. Since: 1.0.
///
/// # Safety
///
/// `completions` is valid for `capacity` writes, `count` NULL or valid for one write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_port_poll(
    port: weft_port,
    completions: *mut weft_completion,
    capacity: u32,
    count: *mut u32,
) -> weft_status {
    check(|| {
        let port = PORTS.get("port", port)?;
        // SAFETY: this function's contract.
        unsafe { take(&port, completions, capacity, count) }
    })
}

/// # Safety
///
/// `completions` is null or valid for `capacity` writes, `count` null or valid for one write.
unsafe fn take(port: &Port, completions: *mut weft_completion, capacity: u32, count: *mut u32) -> Result<()> {
    require_out("count", count)?;
    ensure!(
        !completions.is_null() || capacity == 0,
        "completions is NULL; expected room for {capacity} records"
    );
    let mut next = completions;
    let taken = port.poll(capacity as usize, |entry| {
        // SAFETY: at most `capacity` records are taken, each to the next place.
        unsafe {
            next.write_unaligned(entry.record);
            next = next.add(1);
        }
    });
    if taken > 0 {
        trace::settle();
    }
    // SAFETY: this function's contract.
    unsafe { write("count", count, taken as u32) }
}

/// As weft_port_poll, but waits up to `timeout_ns` for the first completion. weft_port_wake ends the wait early.
///
/// Thread safety: any thread, several at once. Blocks: yes. Returns: WEFT_OK (*count may be 0 after a wake);
/// WEFT_TIMEOUT; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_IN_CALLBACK;
/// WEFT_ERROR_FORKED. Since: 1.0.
///
/// # Safety
///
/// `completions` is valid for `capacity` writes, `count` NULL or valid for one write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_port_wait(
    port: weft_port,
    completions: *mut weft_completion,
    capacity: u32,
    timeout_ns: u64,
    count: *mut u32,
) -> weft_status {
    call(|| {
        check_no_callback("weft_port_wait")?;
        let port = PORTS.get("port", port)?;
        let came = port.wait(deadline(timeout_ns));
        // SAFETY: this function's contract.
        unsafe { take(&port, completions, capacity, count)? };
        Ok(if came { WEFT_OK } else { WEFT_TIMEOUT })
    })
}

/// Takes up to `most` completions that wait (0: all that wait now) and calls their callbacks on this thread; those
/// without one are only taken. `*count`, unless NULL, becomes how many were taken. A callback may submit, poll, cancel and
/// release, but not wait, drain or dispatch; it must not throw.
///
/// Thread safety: any thread, several at once. Blocks: as long as the callbacks do. Returns: WEFT_OK;
/// WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_IN_CALLBACK;
/// WEFT_ERROR_FORKED. Since: 1.0.
///
/// # Safety
///
/// `count` is NULL or valid for one write; the callbacks keep their promise.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_port_dispatch(port: weft_port, most: u32, count: *mut u32) -> weft_status {
    check(|| {
        check_no_callback("weft_port_dispatch")?;
        let port = PORTS.get("port", port)?;
        let limit = if most == 0 { port.waiting() } else { most as usize };
        let mut done = 0;
        // One at a time: a callback runs with no lock held, and may release the port.
        while done < limit && dispatch_one(&port) {
            done += 1;
        }
        // SAFETY: this function's contract.
        if count.is_null() { Ok(()) } else { unsafe { write("count", count, done as u32) } }
    })
}

fn dispatch_one(port: &Port) -> bool {
    let mut entry = None;
    if port.poll(1, |taken| entry = Some(*taken)) > 0 {
        trace::settle();
    }
    if let Some(entry) = &entry
        && let Some(callback) = entry.callback
    {
        IN_CALLBACK.set(true);
        // SAFETY: the submitter promised a function that takes these two, and does not unwind.
        unsafe { callback(entry.record.user_data, &entry.record) };
        IN_CALLBACK.set(false);
    }
    entry.is_some()
}

/// Gives an eventfd that is readable while completions wait, for poll, epoll, libuv, asyncio and the like. Do not read
/// or close it: taking the last completion clears it. It lives as long as the port.
///
/// Thread safety: any thread. Blocks: no. Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE;
/// WEFT_ERROR_WRONG_KIND; WEFT_ERROR_OUT_OF_MEMORY (no more descriptors); WEFT_ERROR_FORKED. Since: 1.0.
///
/// # Safety
///
/// `fd` is NULL or valid for one write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_port_event_handle(port: weft_port, fd: *mut i64) -> weft_status {
    check(|| {
        require_out("fd", fd)?;
        let value = PORTS.get("port", port)?.event_handle()?;
        // SAFETY: this function's contract.
        unsafe { write("fd", fd, i64::from(value)) }
    })
}

/// For loops that are told of edges alone (EPOLLET): makes the event handle readable anew if completions wait.
///
/// Thread safety: any thread. Blocks: no. Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE;
/// WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED. Since: 1.0.
#[unsafe(no_mangle)]
pub extern "C" fn weft_port_arm(port: weft_port) -> weft_status {
    check(|| PORTS.get("port", port).map(|port| port.arm()))
}

/// Ends every weft_port_wait on this port, and makes the event handle readable once.
///
/// Thread safety: any thread. Blocks: no. Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE;
/// WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED. Since: 1.0.
#[unsafe(no_mangle)]
pub extern "C" fn weft_port_wake(port: weft_port) -> weft_status {
    check(|| PORTS.get("port", port).map(|port| port.wake()))
}

/// Gives up a port. Requests in flight that name it still complete, and their records are dropped with it. 0 is allowed.
///
/// Thread safety: any thread. Blocks: no. Returns: WEFT_OK; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND;
/// WEFT_ERROR_FORKED. Since: 1.0.
#[unsafe(no_mangle)]
pub extern "C" fn weft_port_release(port: weft_port) -> weft_status {
    check(|| if port == 0 { Ok(()) } else { PORTS.remove("port", port).map(|port| port.wake()) })
}
