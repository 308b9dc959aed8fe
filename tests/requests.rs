//! Queues and requests: order, waits, full queues, release in any order, exactly one completion.

mod support;

use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use support::hold::Hold;
use support::queues::{options, queue};
use support::*;
use weft::api::buffer::*;
use weft::api::context::*;
use weft::api::queue::*;
use weft::api::request::*;
use weft::api::submit::*;
use weft::api::transfer::*;
use weft::op::code::WEFT_OP_BARRIER;
use weft::queue::weft_completion;
use weft::status::*;

fn barrier(queue: u64) -> u64 {
    let mut request = 0;
    // SAFETY: pointers to locals.
    ok(unsafe { weft_barrier(queue, ptr::null(), &mut request) });
    request
}

fn wait(requests: &[u64], mode: u32, timeout: u64) -> (i32, u32) {
    let mut index = 77;
    // SAFETY: pointers to locals of these lengths.
    let status =
        unsafe { weft_request_wait(requests.as_ptr(), requests.len() as u32, mode, timeout, &mut index) };
    (status, index)
}

/// Keeps a queue busy for as long as the fill of a large buffer takes.
fn busy(session: &Session, queue: u64, buffer: u64, size: u64) -> u64 {
    let mut request = 0;
    // SAFETY: pointers to locals.
    ok(unsafe { weft_fill(queue, buffer, 0, size, 1, 1, ptr::null(), &mut request) });
    assert_ne!(session.queue, 0);
    request
}

#[test]
fn the_completion_record_tells_what_was_asked() {
    let session = Session::new(1);
    let submit = weft_submit { user_data: 42, ..options() };
    let mut request = 0;
    // SAFETY: pointers to locals.
    ok(unsafe { weft_barrier(session.queue, &submit, &mut request) });
    assert_eq!(wait(&[request], WEFT_WAIT_ALL, FOREVER), (WEFT_OK, 0));
    let mut record = weft_completion::default();
    // SAFETY: pointers to locals.
    ok(unsafe { weft_request_completion(request, &mut record) });
    assert_eq!(
        (record.user_data, record.request, record.status, record.op),
        (42, request, WEFT_OK, WEFT_OP_BARRIER)
    );
    assert_eq!(weft_request_poll(request), WEFT_OK);
    let (mut text, mut needed) = ([1 as std::ffi::c_char; 8], 0);
    // SAFETY: pointers to locals of these lengths.
    ok(unsafe { weft_request_error(request, text.as_mut_ptr(), 8, &mut needed) });
    assert_eq!((text[0], needed), (0, 1));
    ok(weft_request_release(request));
    assert_eq!(weft_request_poll(request), WEFT_ERROR_STALE_HANDLE);
    assert_eq!(size_of::<weft_completion>(), 64);
}

#[test]
fn waits_time_out_and_find_any() {
    let session = Session::new(1);
    let other = queue(session.context, 0, 0);
    let hold = Hold::of(&session);
    let slow = hold.request;
    assert_eq!(wait(&[slow], WEFT_WAIT_ALL, 1000), (WEFT_TIMEOUT, 77));
    assert_eq!(weft_request_poll(slow), WEFT_NOT_READY);
    assert_eq!(weft_queue_drain(session.queue, 0), WEFT_TIMEOUT);
    let quick = barrier(other);
    assert_eq!(wait(&[slow, quick], WEFT_WAIT_ANY, FOREVER), (WEFT_OK, 1));
    hold.end_later();
    assert_eq!(wait(&[slow, quick, slow], WEFT_WAIT_ALL, FOREVER), (WEFT_OK, 0));
    assert_eq!(wait(&[], WEFT_WAIT_ANY, FOREVER).0, WEFT_OK);
    for handle in [slow, quick] {
        ok(weft_request_release(handle));
    }
    ok(weft_queue_release(other));
}

#[test]
fn a_full_queue_answers_would_block_and_loses_nothing() {
    let session = Session::new(1);
    let small = queue(session.context, 4, 0);
    let hold = Hold::new(small);
    let (mut accepted, mut refused) = (vec![hold.request], 0);
    for _ in 0..64 {
        let mut request = 99;
        // SAFETY: pointers to locals.
        match unsafe { weft_barrier(small, ptr::null(), &mut request) } {
            WEFT_OK => accepted.push(request),
            status => {
                assert_eq!((status, request), (WEFT_WOULD_BLOCK, 0));
                refused += 1;
            }
        }
    }
    assert_eq!((accepted.len(), refused), (4, 61));
    hold.end_later();
    let patient = weft_submit { timeout_ns: FOREVER, ..options() };
    let mut request = 0;
    // SAFETY: pointers to locals.
    ok(unsafe { weft_barrier(small, &patient, &mut request) });
    accepted.push(request);
    ok(weft_queue_drain(small, FOREVER));
    assert!(accepted.iter().all(|&request| weft_request_poll(request) == WEFT_OK));
    let mut info = weft_queue_info { struct_size: size_of::<weft_queue_info>() as u32, ..Default::default() };
    // SAFETY: a struct with its size set.
    ok(unsafe { weft_queue_info_get(small, &mut info) });
    assert_eq!(
        (info.depth, info.submitted, info.completed),
        (4, accepted.len() as u64, accepted.len() as u64)
    );
    accepted.iter().for_each(|&request| ok(weft_request_release(request)));
    ok(weft_queue_release(small));
}

#[test]
fn everything_may_be_released_in_flight() {
    for round in 0..50u64 {
        let session = Session::new(2);
        let (size, mut host) = (1u64 << 22, vec![0u8; 1 << 22]);
        let own = queue(session.context, 0, 0);
        let buffer = session.buffer(size as usize);
        busy(&session, own, buffer, size);
        let mut request = 0;
        // SAFETY: `host` outlives the wait below.
        ok(unsafe { weft_read(own, buffer, 0, host.as_mut_ptr().cast(), size, ptr::null(), &mut request) });
        // Any order: buffer, queue; the context goes with the session's own handles.
        if round % 2 == 0 {
            ok(weft_buffer_release(buffer));
            ok(weft_queue_release(own));
        } else {
            ok(weft_queue_release(own));
            ok(weft_buffer_release(buffer));
        }
        drop(session);
        assert_eq!(wait(&[request], WEFT_WAIT_ALL, FOREVER).0, WEFT_OK);
        assert!(host.iter().all(|&byte| byte == 1), "the read in flight was lost");
        ok(weft_request_release(request));
    }
}

#[test]
fn children_outlive_their_context_and_free_its_memory() {
    let session = Session::new(1);
    let mut context = 0;
    // SAFETY: pointers to locals.
    ok(unsafe { weft_context_create(device().as_ptr(), ptr::null(), &mut context) });
    let own = queue(context, 0, 0);
    let mut buffer = 0;
    // SAFETY: pointers to locals.
    ok(unsafe { weft_buffer_create(context, 64, ptr::null(), &mut buffer) });
    ok(weft_context_release(context));
    // SAFETY: pointers to locals.
    assert_eq!(unsafe { weft_buffer_create(context, 64, ptr::null(), &mut buffer) }, WEFT_ERROR_STALE_HANDLE);
    // SAFETY: pointers to locals.
    ok(unsafe { weft_fill(own, buffer, 0, 64, 1, 1, ptr::null(), ptr::null_mut()) });
    ok(weft_queue_drain(own, FOREVER));
    // SAFETY: pointers to locals.
    let status = unsafe { weft_fill(session.queue, buffer, 0, 64, 1, 1, ptr::null(), ptr::null_mut()) };
    assert_eq!(status, WEFT_ERROR_WRONG_CONTEXT);
    ok(weft_buffer_release(buffer));
    ok(weft_queue_release(own));
}

#[test]
fn each_request_completes_once_under_eight_threads() {
    let session = Session::new(2);
    let (queues, seen) = ([queue(session.context, 0, 0), queue(session.context, 64, 0)], AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..8usize {
            let (queues, seen) = (&queues, &seen);
            scope.spawn(move || {
                for i in 0..20_000usize {
                    let patient = weft_submit { timeout_ns: FOREVER, user_data: i as u64, ..options() };
                    let mut request = 0;
                    // SAFETY: pointers to locals.
                    ok(unsafe { weft_barrier(queues[(i + thread) % 2], &patient, &mut request) });
                    if i % 3 != 0 {
                        assert_eq!(wait(&[request], WEFT_WAIT_ALL, FOREVER).0, WEFT_OK);
                        let mut record = weft_completion::default();
                        // SAFETY: pointers to locals.
                        ok(unsafe { weft_request_completion(request, &mut record) });
                        assert_eq!(record.user_data, i as u64);
                    }
                    seen.fetch_add(1, SeqCst);
                    ok(weft_request_release(request));
                }
            });
        }
    });
    let mut info = weft_queue_info { struct_size: size_of::<weft_queue_info>() as u32, ..Default::default() };
    let mut completed = 0;
    for queue in queues {
        ok(weft_queue_drain(queue, FOREVER));
        // SAFETY: a struct with its size set.
        ok(unsafe { weft_queue_info_get(queue, &mut info) });
        assert_eq!(info.submitted, info.completed);
        completed += info.completed;
        ok(weft_queue_release(queue));
    }
    assert_eq!((seen.into_inner(), completed), (160_000, 160_000));
}

#[test]
fn a_signal_ends_every_wait_and_loses_nothing() {
    let session = Session::new(1);
    let (hold, other) = (Hold::of(&session), queue(session.context, 1, 0));
    let slow: Vec<u64> = [hold.request].into_iter().chain((0..15).map(|_| barrier(session.queue))).collect();
    let last = slow[15];
    assert_eq!(under_signals(false, || wait(&[last], WEFT_WAIT_ALL, FOREVER).0), WEFT_INTERRUPTED);
    assert_eq!(under_signals(false, || wait(&slow, WEFT_WAIT_ALL, FOREVER / 4).0), WEFT_INTERRUPTED);
    assert_eq!(under_signals(false, || weft_queue_drain(session.queue, FOREVER)), WEFT_INTERRUPTED);
    // A queue of one place whose request waits for the slow ones.
    let after = weft_submit { after: &last, after_count: 1, ..options() };
    let patient = || weft_submit { timeout_ns: FOREVER, ..options() };
    let (mut first, mut second) = (0, 0);
    // SAFETY: pointers to locals.
    ok(unsafe { weft_barrier(other, &after, &mut first) });
    // SAFETY: pointers to locals.
    let status = under_signals(false, || unsafe { weft_barrier(other, &patient(), &mut second) });
    assert_eq!((status, second), (WEFT_INTERRUPTED, 0));
    slow[1..].iter().for_each(|&request| assert!(weft_request_cancel(request) >= 0));
    // A handler with SA_RESTART does not end a wait without a time-out.
    hold.end_later();
    assert_eq!(under_signals(true, || wait(&[slow[0]], WEFT_WAIT_ALL, FOREVER).0), WEFT_OK);
    assert!([WEFT_OK, WEFT_ERROR_DEPENDENCY_FAILED].contains(&wait(&[first], WEFT_WAIT_ALL, FOREVER).0));
    // SAFETY: pointers to locals.
    ok(unsafe { weft_barrier(other, &patient(), &mut second) });
    assert_eq!(wait(&[second], WEFT_WAIT_ALL, FOREVER).0, WEFT_OK);
    slow.iter().chain(&[first, second]).for_each(|&request| ok(weft_request_release(request)));
    ok(weft_queue_release(other));
}

#[test]
fn who_has_seen_a_completion_finds_the_room() {
    let session = Session::new(1);
    for depth in [1, 3] {
        let own = queue(session.context, depth, 0);
        let mut pending: Vec<u64> = (0..depth).map(|_| barrier(own)).collect();
        for _ in 0..30_000 {
            let oldest = pending.remove(0);
            assert_eq!(wait(&[oldest], WEFT_WAIT_ALL, FOREVER).0, WEFT_OK);
            pending.push(barrier(own));
            ok(weft_request_release(oldest));
        }
        pending.iter().for_each(|&request| ok(weft_request_release(request)));
        ok(weft_queue_release(own));
    }
}

#[test]
fn a_queue_never_holds_more_than_its_depth() {
    let session = Session::new(1);
    let (gate, own) = (queue(session.context, 0, 0), queue(session.context, 8, 0));
    for timeout_ns in [0, 1_000_000] {
        let hold = Hold::new(gate);
        let slow = hold.request;
        let after = weft_submit { after: &slow, after_count: 1, timeout_ns, ..options() };
        let address = &raw const after as usize;
        let submit = move || {
            // SAFETY: the options outlive the threads of the scope below; nobody wants the handle.
            let status = unsafe { weft_barrier(own, address as *const weft_submit, ptr::null_mut()) };
            assert!([WEFT_OK, WEFT_WOULD_BLOCK].contains(&status));
            usize::from(status == WEFT_OK)
        };
        let accepted: usize = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(move || (0..5).map(|_| submit()).sum::<usize>())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!((accepted, weft_request_poll(slow)), (8, WEFT_NOT_READY));
        hold.end();
        ok(weft_queue_drain(own, FOREVER));
        ok(weft_request_release(slow));
    }
    ok(weft_queue_release(own));
    ok(weft_queue_release(gate));
}
