//! Queues.

use super::border::{Sized32, call, check, outcome_of, read_struct, require_out, write, write_struct};
use super::port::check_no_callback;
use super::{CONTEXTS, QUEUES, weft_context, weft_queue};
use crate::device::gate::Wake;
use crate::handle::own_slot;
use crate::queue::Queue;
use crate::status::weft_status;
use crate::telemetry::trace;
use crate::{ensure, fail, tell};
use std::mem::offset_of;
use std::sync::Arc;

const DEFAULT_DEPTH: u32 = 4096;
const MAX_DEPTH: u32 = 1 << 20;

/// Neither high nor low.
pub const WEFT_PRIORITY_NORMAL: u32 = 0;
/// Goes first.
pub const WEFT_PRIORITY_HIGH: u32 = 1;
/// Goes last.
pub const WEFT_PRIORITY_LOW: u32 = 2;

/// Options of `weft_queue_create`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_queue_desc {
    /// sizeof(weft_queue_desc).
    pub struct_size: u32,
    /// 0.
    pub flags: u32,
    /// How many requests may be pending, 1048576 at most; 0 means 4096.
    pub depth: u32,
    /// WEFT_PRIORITY_NORMAL (0), _HIGH or _LOW: while a queue of a higher priority has work, one of a lower priority of
    /// the same context begins none. On a CUDA device that is work which waits to be launched; launched work shares the
    /// device, whose streams have the same priorities.
    pub priority: u32,
    /// On a CUDA device, a stream of the caller's (a CUstream or cudaStream_t of the device's primary context) that takes
    /// the requests' work instead of one made for the queue: behind all that was there at the submission. The submission,
    /// or a thread of the library soon after, puts it there; what the caller puts there itself is certain to be behind a
    /// request only once that is complete. While the stream is being captured into a graph, submissions are refused, and
    /// those before must be complete when a capture begins. It must outlive the queue and its requests. 0 for a stream of
    /// the queue's own.
    pub stream: u64,
}

// SAFETY: repr(C), begins with struct_size, integers alone.
unsafe impl Sized32 for weft_queue_desc {
    const NAME: &'static str = "weft_queue_desc";
    const FIRST: usize = offset_of!(weft_queue_desc, stream);
}

/// What `weft_queue_info_get` tells.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_queue_info {
    /// sizeof(weft_queue_info), set by the caller.
    pub struct_size: u32,
    /// How many requests may be pending.
    pub depth: u32,
    /// Requests accepted so far.
    pub submitted: u64,
    /// Requests completed so far.
    pub completed: u64,
}

// SAFETY: repr(C), begins with struct_size, integers alone.
unsafe impl Sized32 for weft_queue_info {
    const NAME: &'static str = "weft_queue_info";
}

/// Creates a queue. Its requests run one after another in the order of submission; requests of different queues run
/// side by side, and see each other's results only after a wait. `options` may be NULL.
///
/// Thread safety: any thread.
/// Blocks: no.
/// Callable from callback: yes.
/// Ownership: release the queue with weft_queue_release.
/// Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT (options, queue is NULL); WEFT_ERROR_STALE_HANDLE;
/// WEFT_ERROR_WRONG_KIND; WEFT_ERROR_OUT_OF_MEMORY (also: no more threads); WEFT_ERROR_OUT_OF_DEVICE_MEMORY;
/// WEFT_ERROR_UNAVAILABLE; WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `options` is NULL or a struct of its struct_size, `queue` NULL or valid for one write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_queue_create(
    context: weft_context,
    options: *const weft_queue_desc,
    queue: *mut weft_queue,
) -> weft_status {
    check(|| {
        require_out("queue", queue)?;
        let device = CONTEXTS.get("context", context)?;
        device.check()?;
        // SAFETY: this function's contract.
        let options = unsafe { read_struct(options)? };
        ensure!(options.flags == 0, "weft_queue_desc.flags are {:#x}; expected 0", options.flags);
        ensure!(
            options.depth <= MAX_DEPTH,
            "weft_queue_desc.depth is {}; expected at most {MAX_DEPTH}",
            options.depth
        );
        let lane = [1, 2, 0].get(options.priority as usize).copied();
        let Some(lane) = lane else {
            fail!(
                WEFT_ERROR_INVALID_ARGUMENT,
                "weft_queue_desc.priority is {}; expected 0 to 2",
                options.priority
            )
        };
        let depth = if options.depth == 0 { DEFAULT_DEPTH } else { options.depth };
        let made = Arc::new(Queue::on_stream(device, depth, lane, options.stream)?);
        let ledger = made.ledger();
        let handle = QUEUES.insert(own_slot(context), made)?;
        ledger.set_label(handle);
        tell!(WEFT_LOG_INFO, "queue {handle:#x} created on context {context:#x}, {depth} deep");
        // SAFETY: this function's contract.
        unsafe { write("queue", queue, handle) }
    })
}

/// Tells about a queue. The caller sets info->struct_size.
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
/// `info` is NULL or points to a weft_queue_info of info->struct_size bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_queue_info_get(queue: weft_queue, info: *mut weft_queue_info) -> weft_status {
    check(|| {
        let queue = QUEUES.get("queue", queue)?;
        let (submitted, completed) = queue.progress();
        let value = weft_queue_info { struct_size: 0, depth: queue.depth() as u32, submitted, completed };
        // SAFETY: this function's contract.
        unsafe { write_struct("info", info, &value) }
    })
}

/// Waits until every request that the queue accepted before this call is complete, `timeout_ns` at the most.
///
/// Thread safety: any thread.
/// Blocks: yes; with 0 it only looks.
/// Callable from callback: no (WEFT_ERROR_IN_CALLBACK).
/// Ownership: none.
/// Returns: WEFT_OK; WEFT_TIMEOUT; WEFT_INTERRUPTED: a signal handler ran first (wait again); or the status of the first
/// request that failed since the last drain and was submitted without a place for its handle (weft_last_error has its
/// sentence); WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_IN_CALLBACK;
/// WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub extern "C" fn weft_queue_drain(queue: weft_queue, timeout_ns: u64) -> weft_status {
    call(|| {
        check_no_callback("weft_queue_drain")?;
        let queue = QUEUES.get("queue", queue)?;
        let wake = queue.drain(timeout_ns);
        if wake == Wake::Ready {
            trace::settle();
            queue.take_unseen()?;
        }
        Ok(outcome_of(wake))
    })
}

/// Gives up a queue. What it accepted still runs and completes. 0 is allowed.
///
/// Thread safety: any thread.
/// Blocks: no.
/// Callable from callback: yes.
/// Ownership: none.
/// Returns: WEFT_OK; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub extern "C" fn weft_queue_release(queue: weft_queue) -> weft_status {
    check(|| {
        if queue == 0 {
            return Ok(());
        }
        // First of all it counts as released: a shutdown must find it in one place or the other.
        QUEUES.get("queue", queue)?.release();
        QUEUES.remove("queue", queue)?;
        tell!(WEFT_LOG_INFO, "queue {queue:#x} released");
        Ok(())
    })
}
