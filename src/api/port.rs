//! Ports: completions for event loops.

use super::border::{Sized32, call, check, forked, outcome_of, read_struct, require_out, write};
use super::{CONTEXTS, PORTS, weft_context, weft_port};
use crate::device::gate::deadline;
use crate::device::thread;
use crate::handle::own_slot;
use crate::queue::callback::inside;
use crate::queue::{Finalizer, Port, weft_completion, weft_finalize_fn};
use crate::status::{Result, WEFT_OK, weft_status};
use crate::telemetry::trace;
use crate::{ensure, fail};
use std::mem::offset_of;
use std::sync::Arc;

const DEFAULT_CAPACITY: u32 = 4096;
const MAX_CAPACITY: u32 = 1 << 20;

/// weft_port_desc: a thread of the library's dispatches the port.
pub const WEFT_PORT_THREAD: u32 = 1;

/// Options of `weft_port_create`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_port_desc {
    /// sizeof(weft_port_desc).
    pub struct_size: u32,
    /// How many requests may be pending or wait to be taken, 1048576 at most; 0 means 4096.
    pub capacity: u32,
    /// WEFT_PORT_THREAD: the port has a thread of its own, with every signal blocked, that calls the callback of each
    /// completion, one after the other and as soon as it comes. Every request for such a port needs a callback, and
    /// nobody else may poll, wait for or dispatch it. 0: the caller takes the completions.
    pub flags: u32,
    /// 0.
    pub reserved: u32,
    /// The caller's own number, for finalizer.
    pub user_data: u64,
    /// Called once with user_data on a thread of the library's, when the port is released, none of its callbacks runs or
    /// will ever run again, and the finalizers of its requests have been called. It must be brief. NULL for none.
    pub finalizer: weft_finalize_fn,
}

// SAFETY: repr(C), begins with struct_size, integers and an optional function, for which zero is a value.
unsafe impl Sized32 for weft_port_desc {
    const NAME: &'static str = "weft_port_desc";
    const FIRST: usize = offset_of!(weft_port_desc, flags);
}

/// An error inside a callback or a finalizer, for calls that could wait for it to return.
pub(super) fn check_no_callback(name: &str) -> Result<()> {
    match inside() {
        false => Ok(()),
        true => fail!(
            WEFT_ERROR_IN_CALLBACK,
            "{name} was called inside a callback or a finalizer, where it could wait for itself"
        ),
    }
}

/// The port of this handle, for calls that take completions: a port with a thread hands them to nobody else.
fn takeable(name: &str, handle: weft_port) -> Result<Arc<Port>> {
    let port = PORTS.get("port", handle)?;
    ensure!(
        !port.threaded(),
        "{name}: port is {handle:#x}, created with WEFT_PORT_THREAD; expected a port whose completions the caller takes"
    );
    Ok(port)
}

/// Creates a port. Requests of any queue of any context whose weft_submit names it post their completions there;
/// `context` is the one that the port belongs to. `options` may be NULL.
///
/// Thread safety: any thread.
/// Blocks: no.
/// Callable from callback: yes.
/// Ownership: release the port with weft_port_release; a call that fails does not call the finalizer.
/// Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT (options, port is NULL); WEFT_ERROR_STALE_HANDLE;
/// WEFT_ERROR_WRONG_KIND; WEFT_ERROR_OUT_OF_MEMORY (also: no more threads); WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
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
        let options = unsafe { read_struct(options)? };
        check_options(&options)?;
        let capacity = if options.capacity == 0 { DEFAULT_CAPACITY } else { options.capacity };
        let made = Port::new(capacity, options.flags & WEFT_PORT_THREAD != 0, account)?;
        // A port that gets no handle ends as one that is released: its thread is waiting.
        let handle = register(context, &made, &options).inspect_err(|_| made.release())?;
        // SAFETY: this function's contract.
        unsafe { write("port", port, handle) }
    })
}

fn check_options(options: &weft_port_desc) -> Result<()> {
    let (capacity, flags, known) = (options.capacity, options.flags, WEFT_PORT_THREAD);
    ensure!(
        capacity <= MAX_CAPACITY,
        "weft_port_desc.capacity is {capacity}; expected at most {MAX_CAPACITY}"
    );
    ensure!(flags & !known == 0, "weft_port_desc.flags are {flags:#x}; expected bits of {known:#x}");
    ensure!(options.reserved == 0, "weft_port_desc.reserved is {}; expected 0", options.reserved);
    Ok(())
}

/// Gives the port its handle, and then the finalizer, which must not be called before there is a handle.
fn register(context: weft_context, port: &Arc<Port>, options: &weft_port_desc) -> Result<weft_port> {
    let finalizer = Finalizer::new(options.finalizer, options.user_data)?;
    let handle = PORTS.insert(own_slot(context), port.clone())?;
    port.finalize_by(finalizer);
    Ok(handle)
}

/// Takes up to `capacity` completions that wait, oldest first, into `completions`; `*count` becomes how many. Their
/// callbacks are not called; finalizers of theirs are, by a thread of the library's, perhaps before this call returns.
///
/// Thread safety: any thread, several at once.
/// Blocks: no.
/// Callable from callback: yes.
/// Ownership: none.
/// Returns: WEFT_OK (also when there are none); WEFT_ERROR_INVALID_ARGUMENT (also: a port with a thread);
/// WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
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
        let port = takeable("weft_port_poll", port)?;
        // SAFETY: this function's contract.
        unsafe { take(&port, completions, capacity, count) }
    })
}

fn check_places(completions: *mut weft_completion, capacity: u32, count: *mut u32) -> Result<()> {
    require_out("count", count)?;
    ensure!(
        !completions.is_null() || capacity == 0,
        "completions is NULL; expected room for {capacity} records"
    );
    Ok(())
}

/// # Safety
///
/// `completions` is null or valid for `capacity` writes, `count` null or valid for one write.
unsafe fn take(port: &Port, completions: *mut weft_completion, capacity: u32, count: *mut u32) -> Result<()> {
    check_places(completions, capacity, count)?;
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
/// Thread safety: any thread, several at once.
/// Blocks: yes.
/// Callable from callback: no (WEFT_ERROR_IN_CALLBACK).
/// Ownership: none.
/// Returns: WEFT_OK (*count may be 0: after a wake or a release of the port, or when another thread took what came);
/// WEFT_TIMEOUT; WEFT_INTERRUPTED: a signal handler ran first (wait again); WEFT_ERROR_INVALID_ARGUMENT (also: a port
/// with a thread); WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_IN_CALLBACK; WEFT_ERROR_FORKED;
/// WEFT_ERROR_INTERNAL.
/// Since: 1.0.
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
        let port = takeable("weft_port_wait", port)?;
        check_places(completions, capacity, count)?;
        let wake = port.wait(deadline(timeout_ns));
        // SAFETY: this function's contract.
        unsafe { take(&port, completions, capacity, count)? };
        // What came in the last moment is not given up for a time-out or a signal.
        // SAFETY: `check_places` saw that it is not null; the call above wrote it.
        let came = unsafe { count.read_unaligned() } > 0;
        Ok(if came { WEFT_OK } else { outcome_of(wake) })
    })
}

/// Takes up to `most` completions that wait (0: all that wait now) and calls their callbacks on this thread, each
/// followed by its request's finalizer; those without a callback are only taken. `*count`, unless NULL, becomes how many
/// were taken. No lock is held: a callback may submit, poll, cancel and release, its own port too; it must not throw. What
/// could wait for it (weft_request_wait, weft_port_wait, weft_queue_drain, weft_port_dispatch, weft_shutdown) answers
/// WEFT_ERROR_IN_CALLBACK there, and a submission answers WEFT_WOULD_BLOCK at once whatever its timeout_ns.
///
/// Thread safety: any thread, several at once.
/// Blocks: as long as the callbacks do.
/// Callable from callback: no (WEFT_ERROR_IN_CALLBACK).
/// Ownership: none.
/// Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT (also: a port with a thread); WEFT_ERROR_STALE_HANDLE;
/// WEFT_ERROR_WRONG_KIND; WEFT_ERROR_IN_CALLBACK; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `count` is NULL or valid for one write; the callbacks keep their promise.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_port_dispatch(port: weft_port, most: u32, count: *mut u32) -> weft_status {
    check(|| {
        check_no_callback("weft_port_dispatch")?;
        let port = takeable("weft_port_dispatch", port)?;
        // At least one look, which clears the event handle after a wake.
        let limit = if most == 0 { port.waiting().max(1) } else { most as usize };
        // One at a time: a callback runs with no lock held, and may release the port.
        let mut done = 0;
        while done < limit && port.dispatch() {
            // A callback may fork: its child must not come back to locks that nobody will open.
            if thread::forked() {
                return Err(forked());
            }
            done += 1;
        }
        // SAFETY: this function's contract.
        if count.is_null() { Ok(()) } else { unsafe { write("count", count, done as u32) } }
    })
}

/// Gives an eventfd that is readable while completions wait, for poll, epoll, libuv, asyncio and the like. Do not read
/// or close it: taking the last completion clears it. weft_port_release closes it. It may become readable a moment before
/// the first completion can be taken: weft_port_poll and weft_port_dispatch wait for that one, some microseconds at most.
///
/// Thread safety: any thread.
/// Blocks: no.
/// Callable from callback: yes.
/// Ownership: none.
/// Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT (also: a port with a thread); WEFT_ERROR_STALE_HANDLE;
/// WEFT_ERROR_WRONG_KIND; WEFT_ERROR_OUT_OF_MEMORY (no more descriptors); WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `fd` is NULL or valid for one write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_port_event_handle(port: weft_port, fd: *mut i64) -> weft_status {
    check(|| {
        require_out("fd", fd)?;
        let value = takeable("weft_port_event_handle", port)?.event_handle()?;
        // SAFETY: this function's contract.
        unsafe { write("fd", fd, i64::from(value)) }
    })
}

/// For loops that are told of edges alone (EPOLLET): makes the event handle readable anew if completions wait.
///
/// Thread safety: any thread.
/// Blocks: no.
/// Callable from callback: yes.
/// Ownership: none.
/// Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED;
/// WEFT_ERROR_INTERNAL.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub extern "C" fn weft_port_arm(port: weft_port) -> weft_status {
    check(|| PORTS.get("port", port).map(|port| port.arm()))
}

/// Ends every weft_port_wait on this port, and makes the event handle readable once.
///
/// Thread safety: any thread.
/// Blocks: no.
/// Callable from callback: yes.
/// Ownership: none.
/// Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED;
/// WEFT_ERROR_INTERNAL.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub extern "C" fn weft_port_wake(port: weft_port) -> weft_status {
    check(|| PORTS.get("port", port).map(|port| port.wake()))
}

/// Gives up a port. Requests in flight that name it still complete. Completions that nobody has taken are dropped with
/// it: their callbacks are never called, their finalizers are. A port with WEFT_PORT_THREAD first delivers all that it
/// accepted. Waits on it end. Allowed everywhere, in a callback of its own too. 0 is allowed.
///
/// Thread safety: any thread.
/// Blocks: no.
/// Callable from callback: yes.
/// Ownership: none.
/// Returns: WEFT_OK; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub extern "C" fn weft_port_release(port: weft_port) -> weft_status {
    check(|| if port == 0 { Ok(()) } else { PORTS.remove("port", port).map(|port| port.release()) })
}
