//! Submission: from a descriptor to an accepted request, the same steps for every operation.

use super::border::{Sized32, call, read_struct, require_struct};
use super::{BUFFERS, QUEUES, REQUESTS, weft_queue, weft_request};
use crate::device::{Buffer, Context};
use crate::handle::context_slot;
use crate::op::{Bind, Name, Op};
use crate::queue::{Request, Tag};
use crate::status::{Result, WEFT_OK, WEFT_WOULD_BLOCK, weft_status};
use crate::{ensure, fail};
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// weft_write copies the host's bytes during the call, so that they need not stay valid until completion.
pub const WEFT_SUBMIT_COPY_HOST: u32 = 1;

/// Options of a submission; NULL means all defaults.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_submit {
    /// sizeof(weft_submit).
    pub struct_size: u32,
    /// WEFT_SUBMIT_COPY_HOST or 0.
    pub flags: u32,
    /// The caller's own number, handed back in weft_completion.
    pub user_data: u64,
    /// How long to wait for room when the queue is full; 0 answers WEFT_WOULD_BLOCK at once.
    pub timeout_ns: u64,
}

// SAFETY: repr(C), begins with struct_size, integers alone.
unsafe impl Sized32 for weft_submit {
    const NAME: &'static str = "weft_submit";
}

/// Where a request goes and what the caller wants to know of it.
pub struct Target {
    /// The queue's handle.
    pub queue: weft_queue,
    /// Which operation.
    pub op: u32,
    /// NULL or options.
    pub options: *const weft_submit,
    /// NULL or a place for the request's handle.
    pub out: *mut weft_request,
}

/// The buffer behind a handle, if it belongs to `context`.
pub fn buffer_of(context: &Arc<Context>, what: impl Display + Copy, handle: u64) -> Result<Arc<Buffer>> {
    let buffer = BUFFERS.get(what, handle)?;
    if !Arc::ptr_eq(buffer.context(), context) {
        fail!(
            WEFT_ERROR_WRONG_CONTEXT,
            "{what} is {handle:#x}, a buffer of another context than the queue's"
        );
    }
    Ok(buffer)
}

/// Builds a request with `build(context, flags)` and hands it to the queue: the body of every submission.
///
/// # Safety
///
/// `target.options` is null or a struct of its struct_size, `target.out` null or valid for one write.
pub unsafe fn submit(
    target: Target,
    build: impl FnOnce(&Arc<Context>, u32) -> Result<Box<dyn Op>>,
) -> weft_status {
    call(|| {
        let queue = QUEUES.get("queue", target.queue)?;
        queue.context().check()?;
        // SAFETY: this function's contract.
        let options = unsafe { read_struct(target.options)? };
        let known = WEFT_SUBMIT_COPY_HOST;
        ensure!(
            options.flags & !known == 0,
            "weft_submit.flags are {:#x}; expected bits of {known:#x}",
            options.flags
        );
        let op = build(queue.context(), options.flags)?;
        let tag = Tag { op: target.op, user_data: options.user_data };
        let request = Arc::new(Request::new(op, tag));
        if target.out.is_null() {
            return Ok(answer(queue.submit(request, options.timeout_ns)));
        }
        let handle = REQUESTS.insert(context_slot(target.queue), request.clone())?;
        request.handle.store(handle, Relaxed);
        let accepted = queue.submit(request, options.timeout_ns);
        let handle = if accepted { handle } else { REQUESTS.remove("request", handle).map(|_| 0)? };
        // SAFETY: not null, so valid for one write by this function's contract.
        unsafe { target.out.write_unaligned(handle) };
        Ok(answer(accepted))
    })
}

fn answer(accepted: bool) -> weft_status {
    if accepted { WEFT_OK } else { WEFT_WOULD_BLOCK }
}

/// Submits the operation that `new` makes of the descriptor: the body of every `weft_<op>`.
///
/// # Safety
///
/// As for [`submit`]; `desc` is null or a struct of its struct_size.
pub unsafe fn operation<D: Sized32>(
    name: &'static str,
    target: Target,
    desc: *const D,
    new: impl FnOnce(&D, &Bind) -> Result<Box<dyn Op>>,
) -> weft_status {
    let build = |context: &Arc<Context>, _| {
        // SAFETY: this function's contract.
        let desc = unsafe { require_struct("desc", desc)? };
        let lookup = |what: Name, handle| buffer_of(context, what, handle);
        new(&desc, &Bind::new(name, &lookup))
    };
    // SAFETY: this function's contract.
    unsafe { submit(target, build) }
}
