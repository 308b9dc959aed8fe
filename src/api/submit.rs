//! Submission: from a descriptor to an accepted request, the same steps for every operation.

use super::border::{Sized32, call, read_struct, with_struct};
use super::request::resolve;
use super::{BUFFERS, PORTS, QUEUES, REQUESTS, library, weft_port, weft_queue, weft_request};
use crate::device::gate::{deadline, left};
use crate::device::{Buffer, Context};
use crate::handle::context_slot;
use crate::op::{Bind, Op, What};
use crate::queue::callback::inside;
use crate::queue::{
    Admission, Finalizer, Place, Port, Queue, Rare, Request, Tag, is_shut_down, schedule, weft_complete_fn,
    weft_finalize_fn,
};
use crate::reserve;
use crate::status::{Result, WEFT_INTERRUPTED, WEFT_OK, WEFT_WOULD_BLOCK, weft_status};
use crate::{ensure, fail};
use std::fmt::Display;
use std::mem::offset_of;
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
    /// How long to wait for room when the queue or the port is full; 0 answers WEFT_WOULD_BLOCK at once, and so does every
    /// submission inside a callback or a finalizer. A signal handler that runs meanwhile ends the wait with
    /// WEFT_INTERRUPTED, and nothing was accepted.
    pub timeout_ns: u64,
    /// Requests of any queue that must be complete before this one begins; if one fails, so does this one. NULL with 0.
    pub after: *const weft_request,
    /// How many requests after names.
    pub after_count: u32,
    /// 0.
    pub reserved: u32,
    /// The port that takes the completion; 0 for none. As long as its completions, pending or not taken yet, are as many
    /// as its capacity it is full.
    pub port: weft_port,
    /// Called with user_data and the record, by weft_port_dispatch or by the port's own thread, which may be before the
    /// submission returns, but not before it has written the request's handle to *out. Needs a port, and a port
    /// with WEFT_PORT_THREAD needs it. NULL for none.
    pub callback: weft_complete_fn,
    /// Nanoseconds from now after which the request ends with WEFT_ERROR_DEADLINE_EXCEEDED; 0 for never.
    pub deadline_ns: u64,
    /// Called with user_data exactly once if the request is accepted, never if it is refused: after its callback returned
    /// and on the same thread; or, on a thread of the library's, when no callback will ever be called: there is no port and
    /// the request is complete, its record was taken by weft_port_poll or weft_port_wait, or the port was released. In any
    /// case the device is done with the request, and so with the host's memory that it names: when a deadline passed while
    /// it ran, a thread of the library's calls the finalizer later. Never inside a submission, a cancel or a release. It
    /// must be brief, for all others wait for it, and may call what a callback may. NULL for none.
    pub finalizer: weft_finalize_fn,
}

impl Default for weft_submit {
    fn default() -> Self {
        // SAFETY: integers, a pointer and an optional function, for all of which zero is a value.
        unsafe { std::mem::zeroed() }
    }
}

// SAFETY: repr(C), begins with struct_size, integers, pointers and optional functions, for which zero is a value.
unsafe impl Sized32 for weft_submit {
    const NAME: &'static str = "weft_submit";
    const FIRST: usize = offset_of!(weft_submit, finalizer);
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

impl Target {
    /// Writes the request's handle to where the caller wants it.
    fn tell(&self, handle: weft_request) {
        if !self.out.is_null() {
            // SAFETY: not null, so valid for one write by the contract of `submit`, which alone reads a `Target`.
            unsafe { self.out.write_unaligned(handle) };
        }
    }
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
        queue.check_stream()?;
        // SAFETY: this function's contract.
        let options = unsafe { read_options(target.options)? };
        let op = build(queue.context(), options.flags)?;
        // SAFETY: this function's contract, which the options inherit.
        let after = unsafe { resolve("weft_submit.after", options.after, options.after_count)? };
        let port = port_of(&options)?;
        let finalizer = Finalizer::new(options.finalizer, options.user_data)?;
        let tag = Tag { op: target.op, user_data: options.user_data, callback: options.callback };
        let rare = Rare::new(after, finalizer);
        let ledger = queue.ledger();
        let request = Arc::new(Request::new(op, tag, rare, port.clone(), ledger).flying(queue.flights()));
        let accepted = admit(&queue, port.as_deref(), request, &target, &options)?;
        if accepted != WEFT_OK {
            target.tell(0);
        }
        Ok(accepted)
    })
}

/// # Safety
///
/// `options` is null or a struct of its struct_size.
unsafe fn read_options(options: *const weft_submit) -> Result<weft_submit> {
    // SAFETY: this function's contract.
    let options = unsafe { read_struct(options)? };
    let known = WEFT_SUBMIT_COPY_HOST;
    ensure!(
        options.flags & !known == 0,
        "weft_submit.flags are {:#x}; expected bits of {known:#x}",
        options.flags
    );
    Ok(options)
}

/// The port that the options name, if its kind and the callback fit.
fn port_of(options: &weft_submit) -> Result<Option<Arc<Port>>> {
    let callback = options.callback.is_some();
    if options.port == 0 {
        ensure!(!callback, "weft_submit.callback is given without a port to dispatch it");
        return Ok(None);
    }
    let port = PORTS.get("weft_submit.port", options.port)?;
    ensure!(
        callback || !port.threaded(),
        "weft_submit.callback is NULL; expected a function, for the port has WEFT_PORT_THREAD"
    );
    Ok(Some(port))
}

/// Keeps a place at the port and pushes the request.
fn admit(
    queue: &Queue,
    port: Option<&Port>,
    request: Arc<Request>,
    target: &Target,
    options: &weft_submit,
) -> Result<weft_status> {
    // Inside a callback a thread might wait for itself.
    let mut timeout_ns = if inside() { 0 } else { options.timeout_ns };
    let place = port.map_or(Place::Kept, |port| keep_place(port, &mut timeout_ns));
    match place {
        Place::Kept => {}
        Place::Full => {
            library::check_running()?;
            queue.refuse("the port is");
            return Ok(WEFT_WOULD_BLOCK);
        }
        Place::Interrupted => return Ok(WEFT_INTERRUPTED),
        Place::Released => return PORTS.get("weft_submit.port", options.port).map(|_| WEFT_WOULD_BLOCK),
    }
    let answer = hand_over(queue, request, target, options, timeout_ns);
    if let (Some(port), false) = (port, matches!(answer, Ok(WEFT_OK))) {
        port.unreserve();
    }
    answer
}

/// Reserves a place at the port, within a time that shrinks by what that took.
fn keep_place(port: &Port, timeout_ns: &mut u64) -> Place {
    let place = port.reserve();
    if place != Place::Full || *timeout_ns == 0 {
        return place;
    }
    let end = deadline(*timeout_ns);
    let place = port.await_place(end, is_shut_down);
    *timeout_ns = left(end);
    place
}

/// Gives the request a handle if one is wanted, and pushes it. The caller has the handle before anything of the request
/// can be called.
fn hand_over(
    queue: &Queue,
    request: Arc<Request>,
    target: &Target,
    options: &weft_submit,
    timeout_ns: u64,
) -> Result<weft_status> {
    let handle = if target.out.is_null() {
        0
    } else {
        REQUESTS.insert(context_slot(target.queue), request.clone())?
    };
    request.handle.store(handle, Relaxed);
    target.tell(handle);
    let admission = if options.deadline_ns > 0 {
        push_with_deadline(queue, request, options, timeout_ns)
    } else {
        Ok(queue.submit(request, timeout_ns))
    };
    if !matches!(admission, Ok(Admission::Accepted)) && handle != 0 {
        target.tell(0);
        REQUESTS.remove("request", handle)?;
    }
    match admission? {
        Admission::Accepted => Ok(WEFT_OK),
        Admission::Full => Ok(WEFT_WOULD_BLOCK),
        Admission::Interrupted => Ok(WEFT_INTERRUPTED),
        Admission::ShutDown => library::check_running().map(|()| WEFT_WOULD_BLOCK),
    }
}

fn push_with_deadline(
    queue: &Queue,
    request: Arc<Request>,
    options: &weft_submit,
    timeout_ns: u64,
) -> Result<Admission> {
    let at = deadline(options.deadline_ns);
    if let Some(at) = at {
        schedule(&request, at)?;
    }
    let admission = queue.submit(request.clone(), timeout_ns);
    if admission == Admission::Accepted {
        request.accept(at);
    }
    Ok(admission)
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
        let lookup = |what: What, handle| buffer_of(context, what, handle);
        // SAFETY: this function's contract.
        unsafe { with_struct("desc", desc, |desc| new(desc, &Bind::new(name, &lookup))) }
    };
    // SAFETY: this function's contract.
    unsafe { submit(target, build) }
}
