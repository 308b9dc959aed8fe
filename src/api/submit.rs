//! Submission: from a descriptor to an accepted request, the same steps for every operation.

use super::border::{Sized32, call, read_struct, require_struct};
use super::request::resolve;
use super::{BUFFERS, PORTS, QUEUES, REQUESTS, library, weft_port, weft_queue, weft_request};
use crate::device::gate::deadline;
use crate::device::{Buffer, Context};
use crate::handle::context_slot;
use crate::op::{Bind, Name, Op};
use crate::queue::{Port, Queue, Request, Tag, schedule, weft_complete_fn};
use crate::reserve;
use crate::status::{Result, WEFT_OK, WEFT_WOULD_BLOCK, weft_status};
use crate::{ensure, fail};
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// weft_write copies the host's bytes during the call, so that they need not stay valid until completion.
pub const WEFT_SUBMIT_COPY_HOST: u32 = 1;

/// Options of a submission; NULL means all defaults.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct weft_submit {
    /// sizeof(weft_submit).
    pub struct_size: u32,
    /// WEFT_SUBMIT_COPY_HOST or 0.
    pub flags: u32,
    /// The caller's own number, handed back in weft_completion.
    pub user_data: u64,
    /// How long to wait for room when the queue is full; 0 answers WEFT_WOULD_BLOCK at once.
    pub timeout_ns: u64,
    /// Requests of any queue that must be complete before this one begins; if one fails, so does this one. NULL with 0.
    pub after: *const weft_request,
    /// How many requests after names.
    pub after_count: u32,
    /// 0.
    pub reserved: u32,
    /// The port that takes the completion; 0 for none. A full port answers WEFT_WOULD_BLOCK.
    pub port: weft_port,
    /// Called by weft_port_dispatch with user_data and the record. Needs a port. NULL for none.
    pub callback: weft_complete_fn,
    /// Nanoseconds from now after which the request ends with WEFT_ERROR_DEADLINE_EXCEEDED; 0 for never.
    pub deadline_ns: u64,
}

impl Default for weft_submit {
    fn default() -> Self {
        // SAFETY: integers, a pointer and an optional function, for all of which zero is a value.
        unsafe { std::mem::zeroed() }
    }
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
        library::check_running()?;
        reserve::check()?;
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
        // SAFETY: this function's contract, which the options inherit.
        let extras = unsafe { Extras::read(&options)? };
        let tag = Tag { op: target.op, user_data: options.user_data, callback: options.callback };
        if extras.port.as_ref().is_some_and(|port| !port.reserve()) {
            queue.refuse("the port is");
            return Ok(WEFT_WOULD_BLOCK);
        }
        let port = extras.port.clone();
        let request = Arc::new(Request::new(op, tag, extras.after, extras.port, queue.ledger()));
        let answer = hand_over(&queue, request, &target, &options);
        if let (Some(port), false) = (port, matches!(answer, Ok(WEFT_OK))) {
            port.unreserve();
        }
        answer
    })
}

/// What few submissions have.
struct Extras {
    after: Vec<Arc<Request>>,
    port: Option<Arc<Port>>,
}

impl Extras {
    /// # Safety
    ///
    /// `options.after` is null or valid for `after_count` reads.
    unsafe fn read(options: &weft_submit) -> Result<Self> {
        // SAFETY: this function's contract.
        let after = unsafe { resolve("weft_submit.after", options.after, options.after_count)? };
        let port = if options.port == 0 { None } else { Some(PORTS.get("weft_submit.port", options.port)?) };
        ensure!(
            port.is_some() || options.callback.is_none(),
            "weft_submit.callback is given without a port to dispatch it"
        );
        Ok(Self { after, port })
    }
}

/// Gives the request a handle if one is wanted, and pushes it.
fn hand_over(
    queue: &Queue,
    request: Arc<Request>,
    target: &Target,
    options: &weft_submit,
) -> Result<weft_status> {
    let handle = if target.out.is_null() {
        0
    } else {
        REQUESTS.insert(context_slot(target.queue), request.clone())?
    };
    request.handle.store(handle, Relaxed);
    let accepted = if options.deadline_ns > 0 {
        push_with_deadline(queue, request, options)?
    } else {
        queue.submit(request, options.timeout_ns)
    };
    if !accepted && handle != 0 {
        REQUESTS.remove("request", handle)?;
    }
    if !target.out.is_null() {
        // SAFETY: not null, so valid for one write by the contract of `submit`.
        unsafe { target.out.write_unaligned(if accepted { handle } else { 0 }) };
    }
    Ok(answer(accepted))
}

fn push_with_deadline(queue: &Queue, request: Arc<Request>, options: &weft_submit) -> Result<bool> {
    let at = deadline(options.deadline_ns);
    if let Some(at) = at {
        schedule(&request, at)?;
    }
    let accepted = queue.submit(request.clone(), options.timeout_ns);
    if accepted {
        request.accept(at);
    }
    Ok(accepted)
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
