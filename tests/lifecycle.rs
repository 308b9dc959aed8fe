//! A shutdown ends in order. One test: it is for the whole process.

mod support;

use std::ptr;
use support::*;
use weft::api::buffer::*;
use weft::api::context::*;
use weft::api::library::*;
use weft::api::request::*;
use weft::api::transfer::*;
use weft::status::*;

fn fill(queue: u64, buffer: u64, size: u64, out: *mut u64) -> i32 {
    // SAFETY: `out` is null or a local of the caller's.
    unsafe { weft_fill(queue, buffer, 0, size, 1, 1, ptr::null(), out) }
}

#[test]
fn a_shutdown_waits_for_what_was_accepted() {
    let session = Session::new(2);
    let (queue, size) = (session.queue, 1 << 28);
    let buffer = session.buffer(size as usize);
    let mut request = 0;
    ok(fill(queue, buffer, size, &mut request));
    ok(fill(queue, buffer, size, ptr::null_mut()));
    assert_eq!(weft_shutdown(0), WEFT_TIMEOUT);
    assert_eq!(fill(queue, buffer, 64, ptr::null_mut()), WEFT_ERROR_SHUT_DOWN);
    ok(weft_shutdown(FOREVER));
    assert_eq!(weft_request_poll(request), WEFT_OK);
    ok(weft_request_release(request));
    let mut info =
        weft_context_info { struct_size: size_of::<weft_context_info>() as u32, ..Default::default() };
    ok(weft_buffer_release(buffer));
    // SAFETY: a struct with its size set.
    ok(unsafe { weft_context_info_get(session.context, &mut info) });
    assert_eq!(info.buffer_bytes, 0, "memory is back");
}
