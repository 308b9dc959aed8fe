//! A shutdown ends in order. One test: it is for the whole process.

mod support;

use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use support::*;
use weft::api::buffer::*;
use weft::api::context::*;
use weft::api::library::*;
use weft::api::port::*;
use weft::api::queue::*;
use weft::api::request::*;
use weft::api::submit::*;
use weft::api::transfer::*;
use weft::queue::weft_completion;
use weft::status::*;

fn fill(queue: u64, buffer: u64, size: u64, out: *mut u64) -> i32 {
    // SAFETY: `out` is null or a local of the caller's.
    unsafe { weft_fill(queue, buffer, 0, size, 1, 1, ptr::null(), out) }
}

static CALLED: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" fn called(_: u64, _: *const weft_completion) {
    // SAFETY: sleeping is always allowed.
    unsafe { finalized(0) };
}

unsafe extern "C" fn finalized(_: u64) {
    std::thread::sleep(std::time::Duration::from_millis(10));
    CALLED.fetch_add(1, SeqCst);
}

/// A callback on a thread of the library's, and two finalizers behind it; the port is released at once.
fn call_back_slowly(session: &Session) -> i32 {
    let mut port = 0;
    let options = weft_port_desc {
        struct_size: size_of::<weft_port_desc>() as u32,
        flags: WEFT_PORT_THREAD,
        finalizer: Some(finalized),
        ..Default::default()
    };
    // SAFETY: pointers to locals.
    ok(unsafe { weft_port_create(session.context, &options, &mut port) });
    let submit = weft_submit {
        struct_size: size_of::<weft_submit>() as u32,
        port,
        callback: Some(called),
        finalizer: Some(finalized),
        ..Default::default()
    };
    // SAFETY: pointers to locals.
    let status = unsafe { weft_barrier(session.queue, &submit, ptr::null_mut()) };
    ok(weft_port_release(port));
    status
}

#[test]
fn a_shutdown_waits_for_what_was_accepted() {
    let session = Session::new(2);
    let (queue, size) = (session.queue, 1 << 28);
    let buffer = session.buffer(size as usize);
    let mut request = 0;
    ok(fill(queue, buffer, size, &mut request));
    ok(fill(queue, buffer, size, ptr::null_mut()));
    (0..5).for_each(|_| ok(call_back_slowly(&session)));
    assert_eq!(weft_shutdown(0), WEFT_TIMEOUT);
    assert_eq!(under_signals(false, || weft_shutdown(FOREVER)), WEFT_INTERRUPTED);
    assert_eq!(fill(queue, buffer, 64, ptr::null_mut()), WEFT_ERROR_SHUT_DOWN);
    ok(weft_shutdown(FOREVER));
    assert_eq!(CALLED.load(SeqCst), 5 * 3, "a shutdown waits for what the library's threads have to call");
    assert_eq!(weft_request_poll(request), WEFT_OK);
    ok(weft_request_release(request));
    let mut info =
        weft_context_info { struct_size: size_of::<weft_context_info>() as u32, ..Default::default() };
    ok(weft_buffer_release(buffer));
    // SAFETY: a struct with its size set.
    ok(unsafe { weft_context_info_get(session.context, &mut info) });
    assert_eq!(info.buffer_bytes, 0, "memory is back");
}
