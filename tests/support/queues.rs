//! Queues, and the shortest requests on them.

use super::{FOREVER, ok};
use std::ptr;
use weft::api::queue::*;
use weft::api::request::*;
use weft::api::submit::weft_submit;
use weft::api::transfer::weft_barrier;

/// A queue of this depth (0: the default) and priority.
pub fn queue(context: u64, depth: u32, priority: u32) -> u64 {
    let struct_size = size_of::<weft_queue_desc>() as u32;
    let options = weft_queue_desc { struct_size, depth, priority, ..Default::default() };
    let mut queue = 0;
    // SAFETY: pointers to locals.
    ok(unsafe { weft_queue_create(context, &options, &mut queue) });
    queue
}

/// Options that ask for nothing.
pub fn options() -> weft_submit {
    weft_submit { struct_size: size_of::<weft_submit>() as u32, ..Default::default() }
}

/// Submits a request that does nothing: the answer, and its handle.
pub fn barrier(queue: u64, submit: &weft_submit) -> (i32, u64) {
    let mut request = 0;
    // SAFETY: pointers to locals.
    (unsafe { weft_barrier(queue, submit, &mut request) }, request)
}

/// Waits for the end of a request.
pub fn wait(request: u64) -> i32 {
    // SAFETY: a pointer to a local.
    unsafe { weft_request_wait(&request, 1, WEFT_WAIT_ALL, FOREVER, ptr::null_mut()) }
}
