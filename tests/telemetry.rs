//! Statistics, the debug report and the log's hook, inside one process: sums agree with what was submitted, a report names
//! what lives and who waits for whom, a hook hears what it asked for and may call nothing.

mod support;

use parking_lot::Mutex;
use std::ffi::{CStr, c_char};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use support::queues::{barrier, options, queue, wait};
use support::*;
use weft::api::buffer::*;
use weft::api::context::*;
use weft::api::library::*;
use weft::api::operations::weft_gather_rows;
use weft::api::port::*;
use weft::api::queue::*;
use weft::api::report::weft_debug_report;
use weft::api::request::*;
use weft::api::submit::*;
use weft::api::telemetry::*;
use weft::api::transfer::*;
use weft::dtype::Dtype::*;
use weft::ops::rows::weft_rows_desc;
use weft::queue::weft_completion;
use weft::status::*;
use weft::telemetry::log::*;

fn stats(context: u64) -> weft_stats_info {
    let mut stats =
        weft_stats_info { struct_size: size_of::<weft_stats_info>() as u32, ..Default::default() };
    // SAFETY: a struct with its size set.
    ok(unsafe { weft_stats(context, &mut stats) });
    let completed = stats.completed_ok
        + stats.completed_failed
        + stats.completed_cancelled
        + stats.completed_deadline
        + stats.completed_dependency
        + stats.completed_lost;
    assert_eq!(stats.submitted, completed + stats.in_flight);
    stats
}

fn fill(queue: u64, buffer: u64, size: u64) -> u64 {
    let mut request = 0;
    // SAFETY: pointers to locals.
    ok(unsafe { weft_fill(queue, buffer, 0, size, 1, 1, ptr::null(), &mut request) });
    request
}

fn report(context: u64) -> String {
    let (mut text, mut needed) = (vec![0 as c_char; 1 << 20], 0);
    // SAFETY: pointers to locals of these lengths.
    ok(unsafe { weft_debug_report(context, text.as_mut_ptr(), text.len(), &mut needed) });
    // SAFETY: zero-terminated by the call above.
    let told = unsafe { CStr::from_ptr(text.as_ptr()) }.to_str().unwrap().to_owned();
    assert_eq!(needed, told.len() + 1);
    told
}

/// What one thread of the test below saw: accepted, refused, cancelled, bytes written.
#[derive(Default)]
struct Seen([AtomicU64; 4]);

fn submit_at_random(seed: u64, queues: &[u64], buffer: u64, seen: &Seen) {
    let mut rng = Rng(seed);
    let host = [7u8; 64];
    for _ in 0..5000 {
        let (queue, copy) = (rng.pick(queues), rng.chance(2));
        let submit = weft_submit { flags: WEFT_SUBMIT_COPY_HOST * u32::from(copy), ..options() };
        let mut request = 0;
        let status = if copy {
            // SAFETY: pointers to locals; the bytes are copied.
            unsafe { weft_write(queue, buffer, 0, host.as_ptr().cast(), 64, &submit, &mut request) }
        } else {
            barrier(queue, &submit).tap(&mut request)
        };
        if status == WEFT_WOULD_BLOCK {
            seen.0[1].fetch_add(1, SeqCst);
            continue;
        }
        ok(status);
        seen.0[0].fetch_add(1, SeqCst);
        let cancelled = rng.chance(4) && weft_request_cancel(request) == WEFT_OK;
        seen.0[2].fetch_add(u64::from(cancelled), SeqCst);
        seen.0[3].fetch_add(if copy && !cancelled { 64 } else { 0 }, SeqCst);
        if rng.chance(3) {
            wait(request);
        }
        ok(weft_request_release(request));
    }
}

trait Tap {
    fn tap(self, request: &mut u64) -> i32;
}

impl Tap for (i32, u64) {
    fn tap(self, request: &mut u64) -> i32 {
        *request = self.1;
        self.0
    }
}

#[test]
fn sums_agree_with_what_was_submitted_by_eight_threads() {
    let session = Session::new(2);
    let queues = [queue(session.context, 4, 0), queue(session.context, 64, 0), session.queue];
    let (buffer, seen) = (session.buffer(4096), Seen::default());
    std::thread::scope(|scope| {
        for seed in 0..8 {
            let (queues, seen) = (&queues, &seen);
            scope.spawn(move || submit_at_random(seed, queues, buffer, seen));
        }
        // Beside it all: every sum holds at any moment.
        for _ in 0..200 {
            let (now, before) = (stats(session.context), stats(session.context));
            assert!(now.submitted <= before.submitted && now.in_flight <= 4 + 64 + 4096 + 8);
            assert!(stats(0).submitted >= before.submitted);
        }
    });
    queues.iter().for_each(|&queue| ok(weft_queue_drain(queue, FOREVER)));
    let [accepted, refused, cancelled, bytes] = seen.0.map(AtomicU64::into_inner);
    let check = |s: weft_stats_info, queues: u64| {
        assert_eq!((s.submitted, s.refused, s.in_flight), (accepted, refused, 0));
        assert_eq!((s.completed_ok, s.completed_cancelled), (accepted - cancelled, cancelled));
        assert_eq!((s.completed_failed, s.bytes_written, s.bytes_read), (0, bytes, 0));
        assert_eq!(
            (s.queue_wait.iter().sum::<u64>(), s.run_time.iter().sum::<u64>()),
            (s.completed_ok, s.completed_ok)
        );
        assert_eq!((s.queues, s.requests, s.contexts), (queues, 0, 1));
        // A bucket holds at least 2^i ns each and less than 2^(i+1).
        for (buckets, sum) in [(s.queue_wait, s.queue_wait_ns), (s.run_time, s.run_time_ns)] {
            let least: u128 = (1..64).map(|i| u128::from(buckets[i]) << i).sum();
            let most: u128 = (0..64).map(|i| u128::from(buckets[i]) << (i + 1)).sum();
            assert!(least <= u128::from(sum) && u128::from(sum) < most, "{least} {sum} {most}");
        }
    };
    check(stats(session.context), 3);
    assert!(cancelled > 0 && bytes > 0, "{cancelled} {bytes}");
    // What queues counted stays when they are gone.
    queues[..2].iter().for_each(|&queue| ok(weft_queue_release(queue)));
    let late = fill(session.queue, buffer, 64);
    assert_eq!(wait(late), WEFT_OK);
    ok(weft_request_release(late));
    let after = stats(session.context);
    assert_eq!((after.submitted, after.bytes_filled, after.queues), (accepted + 1, 64, 1));
    println!("{accepted} accepted, {refused} refused, {cancelled} cancelled");
    ok(weft_buffer_release(buffer));
}

/// A gather whose indices are out of range, with what it reads.
fn failing(session: &Session) -> u64 {
    let mut rng = Rng(1);
    let table = session.normal(&mut rng, F32, &[4, 4], Style::Packed);
    let indices = session.exact(&mut rng, I32, &[2], Style::Packed, &[1.0, 99.0]);
    let rows = session.output(&mut rng, F32, &[2, 4], Style::Packed);
    let desc = weft_rows_desc {
        struct_size: size_of::<weft_rows_desc>() as u32,
        table: table.desc,
        indices: indices.desc,
        rows: rows.desc,
        ..Default::default()
    };
    let mut request = 0;
    // SAFETY: structs with their sizes set, pointers to locals.
    ok(unsafe { weft_gather_rows(session.queue, &desc, ptr::null(), &mut request) });
    session.free(&[&table, &indices, &rows]);
    request
}

#[test]
fn each_kind_of_end_is_counted_before_anyone_learns_of_it() {
    let session = Session::new(1);
    let other = queue(session.context, 0, 0);
    let buffer = session.buffer(1 << 26);
    let before = stats(session.context);
    let slow = fill(session.queue, buffer, 1 << 26);
    let failed = failing(&session);
    let after = weft_submit { after: &failed, after_count: 1, ..options() };
    let dependent = barrier(other, &after).1;
    let cancelled = barrier(other, &options()).1;
    assert_eq!(weft_request_cancel(cancelled), WEFT_OK);
    let now = stats(session.context);
    assert_eq!(now.completed_cancelled, 1, "counted at once");
    let overdue = barrier(other, &weft_submit { deadline_ns: 1, ..options() }).1;
    assert_eq!(wait(overdue), WEFT_ERROR_DEADLINE_EXCEEDED);
    assert_eq!(stats(session.context).completed_deadline, 1);
    assert_eq!(wait(failed), WEFT_ERROR_OUT_OF_RANGE);
    assert_eq!(stats(session.context).completed_failed, 1);
    assert_eq!(wait(dependent), WEFT_ERROR_DEPENDENCY_FAILED);
    let now = stats(session.context);
    let ran = now.completed_ok + now.completed_failed;
    assert_eq!((now.completed_dependency, now.in_flight), (1, 0));
    assert_eq!((now.run_time.iter().sum::<u64>(), now.queue_wait.iter().sum::<u64>()), (ran, ran));
    assert_eq!(now.bytes_filled - before.bytes_filled, 1 << 26);
    assert_eq!(now.requests, 5);
    [slow, failed, dependent, cancelled, overdue]
        .iter()
        .for_each(|&request| ok(weft_request_release(request)));
    ok(weft_queue_release(other));
    ok(weft_buffer_release(buffer));
}

#[test]
fn what_lives_is_counted_for_its_own_context() {
    let options =
        weft_port_desc { struct_size: size_of::<weft_port_desc>() as u32, capacity: 2, ..Default::default() };
    let (mut context, mut port, mut buffer) = (0, 0, 0);
    // SAFETY: pointers to locals.
    unsafe {
        ok(weft_context_create(c"cpu".as_ptr(), ptr::null(), &mut context));
        ok(weft_port_create(context, &options, &mut port));
        ok(weft_buffer_create(context, 1000, ptr::null(), &mut buffer));
    }
    let own = queue(context, 0, 0);
    let (_, request) = barrier(own, &weft_submit { port, ..self::options() });
    let (_, second) = barrier(own, &weft_submit { port, ..self::options() });
    assert_eq!(barrier(own, &weft_submit { port, ..self::options() }), (WEFT_WOULD_BLOCK, 0), "a full port");
    let now = stats(context);
    assert_eq!((now.queues, now.ports, now.requests, now.buffers), (1, 1, 2, 1));
    assert_eq!((now.buffer_bytes, now.buffer_bytes_peak, now.refused), (1000, 1000, 1));
    ok(weft_buffer_release(buffer));
    let now = stats(context);
    assert_eq!((now.buffers, now.buffer_bytes, now.buffer_bytes_peak), (0, 0, 1000));
    // Children outlive their context and are nobody else's, though the next context may get its slot.
    ok(weft_context_release(context));
    let next = Session::new(1);
    let now = stats(next.context);
    assert_eq!((now.queues, now.ports, now.requests, now.submitted), (1, 0, 0, 0));
    let whole = stats(0);
    assert!(whole.queues >= 2 && whole.ports >= 1 && whole.requests >= 2 && whole.contexts >= 1);
    for handle in [request, second] {
        ok(weft_request_release(handle));
    }
    ok(weft_port_release(port));
    ok(weft_queue_release(own));
}

#[test]
fn a_refusal_counts_however_long_the_wait_for_room_was() {
    let session = Session::new(1);
    let (own, buffer) = (queue(session.context, 1, 0), session.buffer(1 << 28));
    let sized = size_of::<weft_port_desc>() as u32;
    let desc = weft_port_desc { struct_size: sized, capacity: 1, ..Default::default() };
    let mut port = 0;
    // SAFETY: pointers to locals.
    ok(unsafe { weft_port_create(session.context, &desc, &mut port) });
    // The queue's head waits for the last of these.
    let fills: Vec<u64> = (0..50).map(|_| fill(session.queue, buffer, 1 << 28)).collect();
    let submit = weft_submit { after: &fills[49], after_count: 1, port, ..options() };
    let first = barrier(own, &submit).1;
    let waits = weft_submit { timeout_ns: 1_000_000, ..options() };
    assert_eq!(barrier(own, &waits).0, WEFT_WOULD_BLOCK, "a full queue");
    assert_eq!(stats(session.context).refused, 1);
    assert_eq!(barrier(session.queue, &weft_submit { port, ..waits }).0, WEFT_WOULD_BLOCK, "a full port");
    assert_eq!(stats(session.context).refused, 2);
    let overdue = barrier(session.queue, &weft_submit { deadline_ns: 1, ..waits }).1;
    let now = stats(session.context);
    assert_eq!((now.submitted, now.completed_deadline, now.requests), (52, 1, 52));
    fills.iter().for_each(|&fill| assert!(weft_request_cancel(fill) >= 0));
    wait(first);
    let text = report(session.context);
    let line = format!("port {port:#x}: capacity 1, 1 completions wait, 0 requests pending\n");
    assert!(text.contains(&line), "{line}: not in\n{text}");
    fills.iter().chain([&first, &overdue]).for_each(|&request| ok(weft_request_release(request)));
    ok(weft_port_release(port));
    ok(weft_queue_release(own));
    ok(weft_buffer_release(buffer));
}

/// What a callback on a port's own thread has come to: begun, may end.
static HELD: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];

unsafe extern "C" fn hold(_: u64, _: *const weft_completion) {
    HELD[0].fetch_add(1, SeqCst);
    while HELD[1].load(SeqCst) == 0 {
        std::thread::yield_now();
    }
}

#[test]
fn a_report_tells_of_a_port_that_has_a_thread() {
    let session = Session::new(1);
    let desc = weft_port_desc {
        struct_size: size_of::<weft_port_desc>() as u32,
        capacity: 5,
        flags: WEFT_PORT_THREAD,
        ..Default::default()
    };
    let mut port = 0;
    // SAFETY: pointers to locals.
    ok(unsafe { weft_port_create(session.context, &desc, &mut port) });
    for _ in 0..3 {
        let (status, request) =
            barrier(session.queue, &weft_submit { port, callback: Some(hold), ..options() });
        ok(status);
        assert_eq!(wait(request), WEFT_OK);
        ok(weft_request_release(request));
    }
    while HELD[0].load(SeqCst) == 0 {
        std::thread::yield_now();
    }
    let (text, line) = (
        report(session.context),
        format!(
            "port {port:#x}: capacity 5, 2 completions wait, 0 requests pending, \
             dispatched by a thread of its own, 1 callbacks run\n"
        ),
    );
    HELD[1].store(1, SeqCst);
    assert!(text.contains(&line), "{line}: not in\n{text}");
    ok(weft_port_release(port));
    assert_eq!(stats(session.context).ports, 0);
}

#[test]
fn a_report_names_what_lives_and_who_waits_for_whom() {
    let session = Session::new(1);
    let other = queue(session.context, 7, 0);
    let buffer = session.buffer(1 << 28);
    let fills: Vec<u64> = (0..12).map(|_| fill(session.queue, buffer, 1 << 28)).collect();
    let last = fills[11];
    let after = weft_submit { after: &last, after_count: 1, ..options() };
    let dependent = barrier(other, &after).1;
    let edge = format!(
        "request {dependent:#x} (barrier) waits for request {last:#x} (fill) of queue {:#x}",
        session.queue
    );
    // The worker of the other queue comes to its head in its own time.
    let blocked = format!("queue {other:#x} is blocked by its head request {dependent:#x} (barrier)");
    let runs = format!(
        "queue {:#x}: depth 4096, priority normal, 12 in flight, runs fill {:#x}",
        session.queue, fills[0]
    );
    let head =
        format!("queue {other:#x}: depth 7, priority normal, 1 in flight, its head request {dependent:#x}");
    let has_all = |text: &String| [&blocked, &edge, &runs, &head].iter().all(|&line| text.contains(line));
    let told = std::iter::repeat_with(|| report(session.context))
        .find(|text| has_all(text) || weft_request_poll(fills[0]) != WEFT_NOT_READY)
        .unwrap();
    for line in [&blocked, &edge, &runs, &head] {
        assert!(told.contains(line.as_str()), "{line}: not in\n{told}");
    }
    for line in [
        format!("context {:#x}: cpu, 1 threads, ready", session.context),
        format!("buffer {buffer:#x}: 268435456 bytes, generation 1, ready"),
        format!("request {last:#x}: fill 268435456 bytes, pending, queue {:#x}", session.queue),
        format!("request {:#x}: fill, begun, queue", fills[0]),
    ] {
        assert!(told.contains(&line), "{line}: not in\n{told}");
    }
    assert!(report(0).contains(&format!("queue {other:#x}: depth 7")));
    fills[1..].iter().for_each(|&fill| assert_eq!(weft_request_cancel(fill), WEFT_OK));
    assert_eq!(wait(dependent), WEFT_ERROR_DEPENDENCY_FAILED);
    let told = report(session.context);
    assert!(told.contains(&format!("request {last:#x}: fill, complete: WEFT_ERROR_CANCELLED")), "{told}");
    assert!(!told.contains("waits for"), "{told}");
    fills.iter().chain([&dependent]).for_each(|&request| ok(weft_request_release(request)));
    ok(weft_queue_release(other));
    ok(weft_buffer_release(buffer));
}

#[test]
fn a_report_is_cut_to_the_room_that_there_is() {
    let session = Session::new(1);
    let (mut text, mut needed) = ([7 as c_char; 16], 0);
    // SAFETY: pointers to locals of these lengths, or NULL with none.
    unsafe {
        ok(weft_debug_report(session.context, ptr::null_mut(), 0, &mut needed));
        assert!(needed > 100);
        ok(weft_debug_report(session.context, text.as_mut_ptr(), 10, ptr::null_mut()));
        assert_eq!((text[9], text[10]), (0, 7));
        assert_eq!(CStr::from_ptr(text.as_ptr()), c"weft 1.0.");
    }
}

#[test]
fn reports_run_beside_everything() {
    let session = Session::new(2);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let context = session.context;
            scope.spawn(move || {
                for _ in 0..300 {
                    let own = queue(context, 8, 0);
                    let first = barrier(own, &options()).1;
                    let after = weft_submit { after: &first, after_count: 1, ..options() };
                    let second = barrier(own, &after).1;
                    ok(weft_queue_release(own));
                    if thread % 2 == 0 {
                        wait(second);
                    }
                    ok(weft_request_release(first));
                    ok(weft_request_release(second));
                }
            });
        }
        (0..200).for_each(|_| assert!(report(0).starts_with("weft ")));
    });
}

/// One hook for the process: tests that set it take turns.
static TURN: Mutex<()> = Mutex::new(());
static HEARD: Mutex<Vec<(u64, u32, String)>> = Mutex::new(Vec::new());
static ANSWERS: Mutex<Vec<i32>> = Mutex::new(Vec::new());

unsafe extern "C" fn hear(user: u64, level: u32, message: *const c_char) {
    // SAFETY: the library hands over a zero-terminated text.
    let text = unsafe { CStr::from_ptr(message) }.to_str().unwrap().to_owned();
    HEARD.lock().push((user, level, text));
}

/// A hook that calls back, which it may not.
unsafe extern "C" fn meddle(_: u64, _: u32, _: *const c_char) {
    let mut handle = 0;
    // SAFETY: pointers to locals or null.
    let refused = unsafe {
        [
            weft_request_poll(handle),
            weft_request_release(0),
            weft_queue_drain(0, 0),
            weft_stats(0, ptr::null_mut()),
            weft_debug_report(0, ptr::null_mut(), 0, ptr::null_mut()),
            weft_log_hook(None, 0, 0),
            weft_context_create(c"cpu".as_ptr(), ptr::null(), &mut handle),
            weft_shutdown(0),
            weft_abi_check(WEFT_ABI_VERSION),
        ]
    };
    ANSWERS.lock().extend(refused);
    assert_eq!(weft_abi_version(), WEFT_ABI_VERSION);
    assert!(!weft_status_name(0).is_null() && !weft_version().is_null() && !weft_last_error().is_null());
}

fn set_hook(hook: weft_log_fn, user: u64, level: u32) {
    // SAFETY: the hooks of this file keep the promises.
    ok(unsafe { weft_log_hook(hook, user, level) });
}

/// What `work` brought about at `level`, of which a line holds `word`.
fn heard(level: u32, work: impl FnOnce()) -> Vec<(u64, u32, String)> {
    let _turn = TURN.lock();
    set_hook(Some(hear), 42, level);
    HEARD.lock().clear();
    work();
    set_hook(None, 0, 0);
    let heard = std::mem::take(&mut *HEARD.lock());
    assert!(heard.iter().all(|line| line.0 == 42 && (1..=level).contains(&line.1)), "{heard:?}");
    heard
}

/// Does something of every level; the handle of the session's queue.
fn eventful() -> u64 {
    let session = Session::new(1);
    let mut rng = Rng(3);
    let failed = failing(&session);
    assert_eq!(wait(failed), WEFT_ERROR_OUT_OF_RANGE);
    ok(weft_request_release(failed));
    let x = session.normal(&mut rng, F32, &[8], Style::Packed);
    let y = session.output(&mut rng, F16, &[8], Style::Packed);
    let cast = weft::ops::cast::weft_cast_desc {
        struct_size: size_of::<weft::ops::cast::weft_cast_desc>() as u32,
        x: x.desc,
        y: y.desc,
        ..Default::default()
    };
    session.run(weft::api::operations::weft_cast, &cast);
    session.free(&[&x, &y]);
    assert_eq!(weft_queue_release(session.context), WEFT_ERROR_WRONG_KIND);
    session.queue
}

#[test]
fn a_hook_hears_the_levels_that_it_asked_for() {
    let mut queue = 0;
    let lines = heard(WEFT_LOG_DEBUG, || queue = eventful());
    let has = |lines: &[(u64, u32, String)], level: u32, words: &[&str]| {
        lines.iter().any(|line| line.1 == level && words.iter().all(|word| line.2.contains(word)))
    };
    let name = format!("queue {queue:#x}");
    assert!(has(&lines, WEFT_LOG_INFO, &[&name, "created"]), "{lines:?}");
    assert!(has(&lines, WEFT_LOG_INFO, &["context", "kernels", "1 threads"]), "{lines:?}");
    let failure = [&*name, "gather_rows", "WEFT_ERROR_OUT_OF_RANGE"];
    assert!(has(&lines, WEFT_LOG_WARN, &failure), "{lines:?}");
    assert!(has(&lines, WEFT_LOG_WARN, &["WEFT_ERROR_WRONG_KIND", "names a context"]), "{lines:?}");
    assert!(has(&lines, WEFT_LOG_DEBUG, &["cast runs by its choice"]), "{lines:?}");
    let lines = heard(WEFT_LOG_WARN, || queue = eventful());
    let name = format!("queue {queue:#x}");
    assert!(has(&lines, WEFT_LOG_WARN, &[&name, "gather_rows"]), "{lines:?}");
    assert!(!has(&lines, WEFT_LOG_INFO, &[]) && !has(&lines, WEFT_LOG_DEBUG, &[]));
    let lines = heard(WEFT_LOG_ERROR, || queue = eventful());
    assert!(lines.is_empty(), "{lines:?}");
    let _turn = TURN.lock();
    HEARD.lock().clear();
    eventful();
    assert!(HEARD.lock().is_empty(), "removed is removed");
}

#[test]
fn a_hook_may_call_nothing_and_the_library_goes_on() {
    let turn = TURN.lock();
    set_hook(Some(meddle), 0, WEFT_LOG_DEBUG);
    eventful();
    set_hook(None, 0, 0);
    let answers = std::mem::take(&mut *ANSWERS.lock());
    assert!(
        answers.len() >= 9 && answers.iter().all(|&status| status == WEFT_ERROR_IN_CALLBACK),
        "{answers:?}"
    );
    drop(turn);
    eventful();
}

/// Whether the log told that queue `queue` stalls.
fn told_of_stall(queue: u64) -> bool {
    let name = format!("queue {queue:#x} stalls: request ");
    HEARD.lock().iter().any(|line| line.1 == WEFT_LOG_WARN && line.2.starts_with(&name))
}

#[test]
fn a_queue_that_waits_long_for_another_is_told() {
    let session = Session::new(1);
    let (other, buffer) = (queue(session.context, 0, 0), session.buffer(1 << 28));
    let fills: Vec<u64> = (0..1000).map(|_| fill(session.queue, buffer, 1 << 28)).collect();
    let submit = weft_submit { after: &fills[999], after_count: 1, ..options() };
    let lines = heard(WEFT_LOG_WARN, || {
        let dependent = barrier(other, &submit).1;
        while !told_of_stall(other) && weft_request_poll(fills[999]) == WEFT_NOT_READY {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(told_of_stall(other));
        fills.iter().for_each(|&fill| assert!(weft_request_cancel(fill) >= 0));
        assert_eq!(wait(dependent), WEFT_ERROR_DEPENDENCY_FAILED);
        ok(weft_request_release(dependent));
    });
    let words = format!("waits for request {:#x} of queue {:#x} since 1 s", fills[999], session.queue);
    assert!(lines.iter().any(|line| line.2.contains(&words)), "{lines:?}");
    fills.iter().for_each(|&fill| ok(weft_request_release(fill)));
    ok(weft_queue_release(other));
    ok(weft_buffer_release(buffer));
}

static INSIDE: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" fn slow(_: u64, _: u32, _: *const c_char) {
    INSIDE.fetch_add(1, SeqCst);
    std::thread::sleep(std::time::Duration::from_millis(1));
    INSIDE.fetch_sub(1, SeqCst);
}

#[test]
fn nobody_is_inside_a_hook_that_was_replaced() {
    let _turn = TURN.lock();
    let session = Session::new(1);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| (0..60).for_each(|_| assert!(weft_queue_release(session.context) < 0)));
        }
        for _ in 0..20 {
            set_hook(Some(slow), 0, WEFT_LOG_WARN);
            std::thread::yield_now();
            set_hook(None, 0, 0);
            assert_eq!(INSIDE.load(SeqCst), 0);
        }
    });
}

#[test]
fn bad_arguments_are_told() {
    let session = Session::new(1);
    let bad = WEFT_ERROR_INVALID_ARGUMENT;
    let told = |status: i32, expected: i32, word: &str| {
        assert_eq!(status, expected, "{word}: {}", last_error());
        assert!(last_error().contains(word), "{word} is not in: {}", last_error());
    };
    let mut text = [0 as c_char; 8];
    // SAFETY: every pointer is null on purpose, or to a local of the size that goes with it.
    unsafe {
        let mut sized =
            weft_stats_info { struct_size: size_of::<weft_stats_info>() as u32, ..Default::default() };
        told(weft_stats(session.context, ptr::null_mut()), bad, "stats is NULL");
        told(weft_stats(0, ptr::null_mut()), bad, "stats is NULL");
        told(weft_stats(0, &mut weft_stats_info::default()), bad, "weft_stats_info.struct_size is 0");
        told(weft_stats(session.queue, &mut sized), WEFT_ERROR_WRONG_KIND, "context");
        told(weft_stats(session.context ^ 1, &mut sized), WEFT_ERROR_STALE_HANDLE, "context");
        told(weft_debug_report(session.context, ptr::null_mut(), 9, ptr::null_mut()), bad, "buffer is NULL");
        told(
            weft_debug_report(session.queue, text.as_mut_ptr(), 8, ptr::null_mut()),
            WEFT_ERROR_WRONG_KIND,
            "context",
        );
        told(weft_log_hook(Some(hear), 0, 0), bad, "level is 0");
        told(weft_log_hook(Some(hear), 0, 5), bad, "level is 5");
        assert_eq!(sized.submitted, 0, "a call that fails writes nothing");
    }
}
