//! Ports, callbacks, wait lists, cancel, deadlines, priorities: every accepted request completes once, with the truth.

mod support;

use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use support::*;
use weft::api::buffer::*;
use weft::api::port::*;
use weft::api::queue::*;
use weft::api::request::*;
use weft::api::submit::*;
use weft::api::transfer::*;
use weft::queue::weft_completion;
use weft::status::*;

fn options() -> weft_submit {
    weft_submit { struct_size: size_of::<weft_submit>() as u32, ..Default::default() }
}

fn port(context: u64, capacity: u32) -> u64 {
    let (options, mut port) = (weft_port_desc { struct_size: 8, capacity }, 0);
    // SAFETY: pointers to locals.
    ok(unsafe { weft_port_create(context, &options, &mut port) });
    port
}

fn queue(context: u64, priority: u32) -> u64 {
    let options =
        weft_queue_desc { struct_size: size_of::<weft_queue_desc>() as u32, priority, ..Default::default() };
    let mut queue = 0;
    // SAFETY: pointers to locals.
    ok(unsafe { weft_queue_create(context, &options, &mut queue) });
    queue
}

fn barrier(queue: u64, submit: &weft_submit) -> (i32, u64) {
    let mut request = 0;
    // SAFETY: pointers to locals.
    (unsafe { weft_barrier(queue, submit, &mut request) }, request)
}

/// Keeps `queue` busy for some tenths of a second.
fn busy(session: &Session, queue: u64) -> u64 {
    let (buffer, mut request) = (session.buffer(1 << 28), 0);
    // SAFETY: pointers to locals.
    ok(unsafe { weft_fill(queue, buffer, 0, 1 << 28, 1, 1, ptr::null(), &mut request) });
    ok(weft_buffer_release(buffer));
    request
}

fn wait(request: u64) -> i32 {
    // SAFETY: pointers to locals.
    unsafe { weft_request_wait(&request, 1, WEFT_WAIT_ALL, FOREVER, ptr::null_mut()) }
}

fn take(port: u64, timeout: u64) -> Vec<weft_completion> {
    let (mut records, mut count) = ([weft_completion::default(); 64], 99);
    // SAFETY: pointers to locals of these lengths.
    let status = unsafe { weft_port_wait(port, records.as_mut_ptr(), 64, timeout, &mut count) };
    assert!(status == WEFT_OK || (status == WEFT_TIMEOUT && count == 0), "{status} {count}");
    records[..count as usize].to_vec()
}

fn readable(fd: i64) -> bool {
    let mut poll = libc::pollfd { fd: fd as i32, events: libc::POLLIN, revents: 0 };
    // SAFETY: one local record.
    unsafe { libc::poll(&mut poll, 1, 0) == 1 }
}

#[test]
fn completions_of_several_queues_collect_and_the_event_handle_follows() {
    let session = Session::new(1);
    let (port, other, mut fd) = (port(session.context, 16), queue(session.context, 0), 0);
    // SAFETY: pointers to locals.
    ok(unsafe { weft_port_event_handle(port, &mut fd) });
    assert!(!readable(fd));
    for i in 0..16 {
        let submit = weft_submit { port, user_data: i, ..options() };
        assert_eq!(barrier(if i % 2 == 0 { session.queue } else { other }, &submit).0, WEFT_OK);
    }
    assert_eq!(
        barrier(other, &weft_submit { port, ..options() }),
        (WEFT_WOULD_BLOCK, 0),
        "no seventeenth place"
    );
    let mut seen = Vec::new();
    while seen.len() < 16 {
        seen.extend(take(port, FOREVER));
    }
    assert!(!readable(fd) && take(port, 1000).is_empty());
    let mut numbers: Vec<u64> = seen.iter().map(|record| record.user_data).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..16).collect::<Vec<_>>());
    assert!(seen.iter().all(|record| record.status == WEFT_OK && record.request != 0));
    seen.iter().for_each(|record| ok(weft_request_release(record.request)));
    let (_, request) = barrier(other, &weft_submit { port, ..options() });
    assert_eq!(wait(request), WEFT_OK);
    ok(weft_request_release(request));
    ok(weft_queue_drain(other, FOREVER));
    assert!(readable(fd));
    assert_eq!((take(port, 0).len(), readable(fd)), (1, false));
    ok(weft_port_wake(port));
    assert!(readable(fd));
    ok(weft_port_release(port));
    ok(weft_queue_release(other));
}

static CALLED: AtomicU64 = AtomicU64::new(0);
static REFUSED: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" fn callback(user: u64, completion: *const weft_completion) {
    // SAFETY: the library hands over a record.
    let record = unsafe { &*completion };
    assert_eq!((record.user_data, record.status), (user, WEFT_OK));
    CALLED.fetch_add(1, SeqCst);
    // Allowed: release. Refused: to wait.
    ok(weft_request_release(record.request));
    // SAFETY: no pointers that matter.
    if unsafe { weft_request_wait(ptr::null(), 0, 0, 0, ptr::null_mut()) } == WEFT_ERROR_IN_CALLBACK {
        REFUSED.fetch_add(1, SeqCst);
    }
}

#[test]
fn callbacks_run_in_dispatch_and_may_not_wait() {
    let session = Session::new(1);
    let port = port(session.context, 0);
    for i in 0..100 {
        assert_eq!(
            barrier(
                session.queue,
                &weft_submit { port, user_data: i, callback: Some(callback), ..options() }
            )
            .0,
            WEFT_OK
        );
    }
    ok(weft_queue_drain(session.queue, FOREVER));
    assert_eq!(CALLED.load(SeqCst), 0, "never outside dispatch");
    let mut count = 0;
    // SAFETY: pointers to locals; the callback keeps its promise.
    ok(unsafe { weft_port_dispatch(port, 30, &mut count) });
    assert_eq!((count, CALLED.load(SeqCst)), (30, 30));
    // SAFETY: as above.
    ok(unsafe { weft_port_dispatch(port, 0, &mut count) });
    assert_eq!((count, CALLED.load(SeqCst), REFUSED.load(SeqCst)), (70, 100, 100));
    let status = barrier(session.queue, &weft_submit { callback: Some(callback), ..options() }).0;
    assert_eq!(status, WEFT_ERROR_INVALID_ARGUMENT, "a callback needs a port");
    ok(weft_port_release(port));
}

#[test]
fn wait_lists_order_queues_and_carry_failures() {
    let session = Session::new(1);
    let other = queue(session.context, 0);
    let slow = busy(&session, session.queue);
    let after = weft_submit { after: &slow, after_count: 1, ..options() };
    let (status, second) = barrier(other, &after);
    assert_eq!((status, weft_request_poll(second)), (WEFT_OK, WEFT_NOT_READY));
    assert_eq!((wait(second), weft_request_poll(slow)), (WEFT_OK, WEFT_OK));
    let blocker = busy(&session, session.queue);
    let (_, doomed) = barrier(session.queue, &options());
    let (_, dependent) = barrier(other, &weft_submit { after: &doomed, after_count: 1, ..options() });
    let (_, next) = barrier(session.queue, &weft_submit { after: &dependent, after_count: 1, ..options() });
    assert_eq!(weft_request_cancel(doomed), WEFT_OK);
    for (request, status) in [
        (doomed, WEFT_ERROR_CANCELLED),
        (dependent, WEFT_ERROR_DEPENDENCY_FAILED),
        (next, WEFT_ERROR_DEPENDENCY_FAILED),
    ] {
        assert_eq!(wait(request), status);
    }
    assert!(last_error().contains("cancelled"), "the root cause: {}", last_error());
    [slow, second, blocker, doomed, dependent, next]
        .iter()
        .for_each(|&request| ok(weft_request_release(request)));
    ok(weft_queue_release(other));
}

#[test]
fn cancel_and_deadline_tell_the_truth() {
    let session = Session::new(1);
    let running = busy(&session, session.queue);
    let hasty = weft_submit { deadline_ns: 20_000_000, ..options() };
    let (_, late) = barrier(session.queue, &hasty);
    let (_, cancelled) = barrier(session.queue, &options());
    assert_eq!((wait(late), weft_request_poll(running)), (WEFT_ERROR_DEADLINE_EXCEEDED, WEFT_NOT_READY));
    assert_eq!(weft_request_cancel(cancelled), WEFT_OK);
    assert_eq!(weft_request_cancel(running), WEFT_TOO_LATE);
    assert_eq!(weft_request_cancel(cancelled), WEFT_NOT_FOUND);
    assert_eq!((wait(running), wait(cancelled)), (WEFT_OK, WEFT_ERROR_CANCELLED));
    ok(weft_queue_drain(session.queue, FOREVER));
    [running, late, cancelled].iter().for_each(|&request| ok(weft_request_release(request)));
}

#[test]
fn a_high_queue_goes_first_and_a_low_one_is_not_starved_by_its_dependents() {
    let session = Session::new(1);
    let (high, low) = (queue(session.context, WEFT_PRIORITY_HIGH), queue(session.context, WEFT_PRIORITY_LOW));
    let first = busy(&session, high);
    let below = barrier(low, &options()).1;
    let above = barrier(high, &options()).1;
    assert_eq!(wait(below), WEFT_OK);
    assert_eq!(weft_request_poll(first), WEFT_OK, "the low request waited for the high queue");
    let (_, needed) = barrier(low, &options());
    let (_, needing) = barrier(high, &weft_submit { after: &needed, after_count: 1, ..options() });
    assert_eq!(wait(needing), WEFT_OK);
    [first, below, above, needed, needing].iter().for_each(|&request| ok(weft_request_release(request)));
    [high, low].iter().for_each(|&queue| ok(weft_queue_release(queue)));
}
