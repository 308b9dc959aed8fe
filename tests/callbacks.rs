//! Callbacks on the caller's and on the library's threads, finalizers, and what may be called inside them.

mod support;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};
use support::hold::Hold;
use support::*;
use weft::api::port::*;
use weft::api::queue::*;
use weft::api::request::*;
use weft::api::submit::*;
use weft::api::transfer::*;
use weft::queue::{weft_complete_fn, weft_completion};
use weft::status::*;

const HEADER: &str = include_str!(concat!(env!("OUT_DIR"), "/weft.h"));

/// What the functions below saw; `user_data` is its address.
#[derive(Default)]
struct Tally {
    calls: AtomicU64,
    finals: AtomicU64,
    /// Finalizers that ran before their callback had returned, or inside a submission, a cancel or a release.
    wrong: AtomicU64,
    port_finals: AtomicU64,
    /// `calls` and `finals` when the port's finalizer ran.
    at_port_final: (AtomicU64, AtomicU64),
    threads: AtomicU64,
    unblocked: AtomicU64,
    held: AtomicBool,
    port: AtomicU64,
}

thread_local! {
    /// Whether this thread of the test is inside a call that must not call back.
    static BUSY: Cell<bool> = const { Cell::new(false) };
}

impl Tally {
    fn new() -> &'static Self {
        Box::leak(Box::default())
    }
    fn user(&'static self) -> u64 {
        self as *const Self as u64
    }
    fn of(user: u64) -> &'static Self {
        // SAFETY: every user_data of these tests is the address of a leaked tally.
        unsafe { &*(user as *const Self) }
    }
    fn counts(&self) -> (u64, u64) {
        (self.calls.load(SeqCst), self.finals.load(SeqCst))
    }
}

unsafe extern "C" fn count(user: u64, record: *const weft_completion) {
    let tally = Tally::of(user);
    // SAFETY: the library hands over a record.
    assert_eq!(unsafe { (*record).user_data }, user);
    tally.wrong.fetch_add(u64::from(BUSY.get()), SeqCst);
    tally.calls.fetch_add(1, SeqCst);
}

unsafe extern "C" fn finalize(user: u64) {
    let tally = Tally::of(user);
    tally.wrong.fetch_add(u64::from(BUSY.get()), SeqCst);
    tally.finals.fetch_add(1, SeqCst);
}

unsafe extern "C" fn finalize_port(user: u64) {
    let tally = Tally::of(user);
    tally.wrong.fetch_add(u64::from(BUSY.get()), SeqCst);
    tally.at_port_final.0.store(tally.calls.load(SeqCst), SeqCst);
    tally.at_port_final.1.store(tally.finals.load(SeqCst), SeqCst);
    tally.port_finals.fetch_add(1, SeqCst);
}

/// Runs a call that must not call back.
fn quietly<R>(call: impl FnOnce() -> R) -> R {
    BUSY.set(true);
    let result = call();
    BUSY.set(false);
    result
}

#[track_caller]
fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < end, "never came: {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn port(session: &Session, flags: u32, capacity: u32, tally: &'static Tally) -> u64 {
    let struct_size = size_of::<weft_port_desc>() as u32;
    let user_data = tally.user();
    let finalizer: weft::queue::weft_finalize_fn = Some(finalize_port);
    let options = weft_port_desc { struct_size, capacity, flags, reserved: 0, user_data, finalizer };
    let mut port = 0;
    // SAFETY: pointers to locals.
    ok(unsafe { weft_port_create(session.context, &options, &mut port) });
    port
}

fn options(port: u64, callback: weft_complete_fn, tally: &'static Tally) -> weft_submit {
    weft_submit {
        struct_size: size_of::<weft_submit>() as u32,
        user_data: tally.user(),
        port,
        callback,
        finalizer: Some(finalize),
        ..Default::default()
    }
}

fn barrier(queue: u64, options: &weft_submit) -> i32 {
    // SAFETY: a pointer to a local of the caller's.
    quietly(|| unsafe { weft_barrier(queue, options, ptr::null_mut()) })
}

fn queue(session: &Session) -> u64 {
    let mut queue = 0;
    // SAFETY: pointers to locals.
    ok(unsafe { weft_queue_create(session.context, ptr::null(), &mut queue) });
    queue
}

fn dispatch(port: u64) -> i32 {
    // SAFETY: no place for the count.
    unsafe { weft_port_dispatch(port, 0, ptr::null_mut()) }
}

/// The names of the header's functions.
fn functions() -> Vec<&'static str> {
    let (_, text) = HEADER.split_once("extern \"C\" {").unwrap();
    let declarations = text.split("*/").skip(1).filter_map(|text| text.split_once('('));
    let mut names: Vec<_> =
        declarations.map(|(before, _)| before.rsplit([' ', '*', '\n']).next().unwrap()).collect();
    names.sort_unstable();
    names
}

fn build_reentry() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("callbacks");
    std::fs::create_dir_all(&folder).unwrap();
    // Beside the test, under the name that cargo gives it or the one that it has among installed files.
    let beside = |name: &str| std::env::current_exe().unwrap().with_file_name(name);
    let library = ["libweft.so", "libweft.so.1"].map(beside).into_iter().find(|path| path.exists());
    std::fs::copy(library.expect("the library"), folder.join("libweft.so.1")).unwrap();
    std::fs::write(folder.join("weft.h"), HEADER).unwrap();
    let program = folder.join("reentry");
    let place = folder.display();
    let built = Command::new("cc")
        .args(["-std=c11", "-D_DEFAULT_SOURCE", "-O1", "-Wall", "-Wextra", "-Werror", "tests/c/reentry.c"])
        .args([format!("-I{place}"), format!("-L{place}"), format!("-Wl,-rpath,{place}")])
        .args(["-l:libweft.so.1", "-o"])
        .arg(&program)
        .status()
        .unwrap();
    assert!(built.success());
    program
}

#[test]
fn every_function_inside_callbacks_and_finalizers_works_or_is_refused() {
    let program = build_reentry();
    let listed = String::from_utf8(Command::new(&program).output().unwrap().stdout).unwrap();
    let mut listed: Vec<&str> = listed.lines().collect();
    listed.sort_unstable();
    assert_eq!(listed, functions(), "tests/c/reentry.c must place every function of the header");
    let places = ["dispatch", "thread", "after", "finalizer"];
    for name in &listed {
        for place in places {
            // Its own alarm ends a program that hangs.
            let output = Command::new(&program).args([name, place]).output().unwrap();
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{name} inside {place}: {} {text}", output.status);
        }
    }
    println!("{} functions in {} places, 0 deadlocks", listed.len(), places.len());
}

/// Notes on which thread it runs and with which signals.
unsafe extern "C" fn look_around(user: u64, record: *const weft_completion) {
    let tally = Tally::of(user);
    // SAFETY: plain calls about this thread; the set is a local that the call fills.
    unsafe {
        let mut blocked: libc::sigset_t = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), &mut blocked);
        let open = [libc::SIGINT, libc::SIGTERM, libc::SIGUSR1, libc::SIGCHLD, libc::SIGPROF]
            .iter()
            .any(|&signal| libc::sigismember(&blocked, signal) == 0);
        tally.unblocked.fetch_add(u64::from(open), SeqCst);
        let before = tally.threads.swap(libc::pthread_self(), SeqCst);
        tally.wrong.fetch_add(u64::from(before != 0 && before != libc::pthread_self()), SeqCst);
        count(user, record);
    }
}

#[test]
fn a_port_with_a_thread_calls_back_on_it_and_gives_its_records_to_nobody_else() {
    let (session, tally) = (Session::new(1), Tally::new());
    let port = port(&session, WEFT_PORT_THREAD, 0, tally);
    let submit = options(port, Some(look_around), tally);
    (0..1000).for_each(|_| ok(barrier(session.queue, &submit)));
    until("a thousand callbacks", || tally.counts() == (1000, 1000));
    // SAFETY: a call about this thread.
    assert_ne!(tally.threads.load(SeqCst), unsafe { libc::pthread_self() });
    assert_eq!((tally.unblocked.load(SeqCst), tally.wrong.load(SeqCst)), (0, 0));
    let (mut records, mut number, mut fd) = ([weft_completion::default(); 2], 0, 0);
    // SAFETY: pointers to locals of these lengths.
    let statuses = unsafe {
        [
            weft_port_poll(port, records.as_mut_ptr(), 2, &mut number),
            weft_port_wait(port, records.as_mut_ptr(), 2, FOREVER, &mut number),
            weft_port_dispatch(port, 0, &mut number),
            weft_port_event_handle(port, &mut fd),
        ]
    };
    assert_eq!(statuses, [WEFT_ERROR_INVALID_ARGUMENT; 4]);
    assert!(last_error().contains("WEFT_PORT_THREAD"), "{}", last_error());
    assert_eq!(barrier(session.queue, &options(port, None, tally)), WEFT_ERROR_INVALID_ARGUMENT);
    assert!(last_error().contains("callback"), "{}", last_error());
    ok(quietly(|| weft_port_release(port)));
    until("the port's finalizer", || tally.port_finals.load(SeqCst) == 1);
    assert_eq!(tally.counts(), (1000, 1000), "a refused submission finalizes nothing");
}

#[test]
fn options_of_a_port_are_checked() {
    let (session, mut port) = (Session::new(1), 0);
    let good = weft_port_desc { struct_size: size_of::<weft_port_desc>() as u32, ..Default::default() };
    for bad in [weft_port_desc { flags: 2, ..good }, weft_port_desc { reserved: 1, ..good }] {
        // SAFETY: pointers to locals.
        let status = unsafe { weft_port_create(session.context, &bad, &mut port) };
        assert_eq!((status, port), (WEFT_ERROR_INVALID_ARGUMENT, 0));
    }
    // A program that knows the struct's first two fields alone.
    let old = weft_port_desc { struct_size: 8, flags: 77, reserved: 77, ..good };
    // SAFETY: pointers to locals.
    ok(unsafe { weft_port_create(session.context, &old, &mut port) });
    ok(weft_port_release(port));
}

unsafe extern "C" fn hold(user: u64, record: *const weft_completion) {
    let tally = Tally::of(user);
    tally.threads.fetch_add(1, SeqCst);
    while tally.held.load(SeqCst) {
        std::thread::sleep(Duration::from_millis(1));
    }
    // SAFETY: what the library handed over.
    unsafe { count(user, record) };
}

#[test]
fn a_callback_that_sleeps_holds_up_nobody_else() {
    let session = Session::new(1);
    let (slow, quick) = (Tally::new(), Tally::new());
    slow.held.store(true, SeqCst);
    let ports = [port(&session, WEFT_PORT_THREAD, 0, slow), port(&session, WEFT_PORT_THREAD, 0, quick)];
    for _ in 0..10 {
        ok(barrier(session.queue, &options(ports[0], Some(hold), slow)));
    }
    until("the sleeper", || slow.threads.load(SeqCst) == 1);
    for _ in 0..1000 {
        ok(barrier(session.queue, &options(ports[1], Some(count), quick)));
    }
    // The same queue, another port, and finalizers of requests without a port.
    ok(barrier(session.queue, &options(0, None, quick)));
    ok(weft_queue_drain(session.queue, FOREVER));
    until("the others", || quick.counts() == (1000, 1001));
    assert_eq!(slow.counts(), (0, 0));
    ports.iter().for_each(|&port| ok(quietly(|| weft_port_release(port))));
    until("the idle port's end", || quick.port_finals.load(SeqCst) == 1);
    assert_eq!(slow.port_finals.load(SeqCst), 0, "its callback runs still");
    slow.held.store(false, SeqCst);
    until("the sleeper's port's end", || slow.port_finals.load(SeqCst) == 1);
    assert_eq!((slow.at_port_final.0.load(SeqCst), slow.at_port_final.1.load(SeqCst)), (10, 10));
}

/// Releases its own request, port and queue, and the context, from the first call on.
unsafe extern "C" fn release_all(user: u64, record: *const weft_completion) {
    let tally = Tally::of(user);
    // SAFETY: what the library handed over.
    unsafe { count(user, record) };
    let port = tally.port.swap(0, SeqCst);
    if port != 0 {
        ok(weft_port_release(port));
        assert_eq!(weft_port_release(port), WEFT_ERROR_STALE_HANDLE);
        let submit = options(port, Some(count), tally);
        let queue = tally.threads.load(SeqCst);
        assert_eq!(barrier(queue, &submit), WEFT_ERROR_STALE_HANDLE);
        ok(weft_queue_release(queue));
    }
}

#[test]
fn a_port_may_be_released_inside_its_own_callback() {
    for flags in [0, WEFT_PORT_THREAD] {
        let (session, tally) = (Session::new(1), Tally::new());
        let (port, own) = (port(&session, flags, 0, tally), queue(&session));
        tally.threads.store(own, SeqCst);
        tally.port.store(port, SeqCst);
        let submit = options(port, Some(release_all), tally);
        let accepted = (0..500).take_while(|_| barrier(own, &submit) == WEFT_OK).count() as u64;
        assert!(accepted > 0);
        if flags == 0 {
            until("the first record", || dispatch(port) != WEFT_OK || tally.calls.load(SeqCst) > 0);
        }
        until("all finalizers", || tally.port_finals.load(SeqCst) == 1);
        assert_eq!(tally.finals.load(SeqCst), accepted);
        let calls = tally.calls.load(SeqCst);
        assert!(if flags == 0 { calls == 1 } else { calls == accepted }, "{calls} of {accepted} delivered");
        assert_eq!(tally.at_port_final.1.load(SeqCst), accepted, "the port's finalizer is the last");
    }
}

#[test]
fn a_refused_submission_finalizes_nothing_and_a_dropped_record_its_own() {
    let (session, tally) = (Session::new(1), Tally::new());
    let port = port(&session, 0, 3, tally);
    let submit = options(port, Some(count), tally);
    (0..3).for_each(|_| ok(barrier(session.queue, &submit)));
    assert_eq!(barrier(session.queue, &submit), WEFT_WOULD_BLOCK);
    let late = weft_submit { timeout_ns: 1_000_000, ..submit };
    assert_eq!(barrier(session.queue, &late), WEFT_WOULD_BLOCK);
    assert_eq!(barrier(session.queue, &weft_submit { flags: 64, ..submit }), WEFT_ERROR_INVALID_ARGUMENT);
    assert_eq!(barrier(session.queue, &weft_submit { port: 99, ..submit }), WEFT_ERROR_WRONG_KIND);
    assert_eq!(barrier(99, &submit), WEFT_ERROR_WRONG_KIND);
    ok(weft_queue_drain(session.queue, FOREVER));
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(tally.counts(), (0, 0), "records that can still be dispatched");
    let (mut record, mut taken) = (weft_completion::default(), 0);
    // SAFETY: pointers to locals.
    ok(quietly(|| unsafe { weft_port_poll(port, &mut record, 1, &mut taken) }));
    until("the finalizer of the record that was taken", || tally.counts() == (0, 1));
    // SAFETY: no place for the count.
    ok(unsafe { weft_port_dispatch(port, 1, ptr::null_mut()) });
    assert_eq!(tally.counts(), (1, 2), "right behind the callback");
    ok(quietly(|| weft_port_release(port)));
    until("the finalizers of the rest", || tally.port_finals.load(SeqCst) == 1);
    assert_eq!((tally.counts(), tally.wrong.load(SeqCst)), ((1, 3), 0));
    assert_eq!(barrier(session.queue, &submit), WEFT_ERROR_STALE_HANDLE);
    // Cancelled before it ran, and without a port.
    let mut request = 0;
    let (blocker, buffer) =
        (weft_submit { struct_size: submit.struct_size, ..Default::default() }, session.buffer(1 << 26));
    // SAFETY: pointers to locals.
    unsafe {
        ok(weft_fill(session.queue, buffer, 0, 1 << 26, 1, 1, &blocker, ptr::null_mut()));
        ok(weft_barrier(session.queue, &options(0, None, tally), &mut request));
    }
    // On a GPU it may be launched by now.
    let answers = [WEFT_OK, WEFT_NOT_FOUND, by_device(WEFT_OK, WEFT_TOO_LATE)];
    assert!(answers.contains(&quietly(|| weft_request_cancel(request))));
    until("the finalizer of the one that was cancelled", || tally.counts() == (1, 4));
    ok(quietly(|| weft_request_release(request)));
}

/// One thread of the race below: what it accepted, by (ports with a thread, all others).
fn race(seed: u64, session: &Session, queues: &[u64], tallies: &[&'static Tally; 2]) -> (u64, u64) {
    let (mut rng, mut accepted) = (Rng(seed), (0, 0));
    let make = |threaded: bool| {
        let flags = if threaded { WEFT_PORT_THREAD } else { 0 };
        (port(session, flags, 64, tallies[usize::from(!threaded)]), threaded)
    };
    let mut ports = [make(true), make(false)];
    for round in 0..30_000 {
        let (port, threaded) = rng.pick(&[ports[0], ports[1], (0, false)]);
        let tally = tallies[usize::from(!threaded)];
        let callback: weft_complete_fn = if port != 0 { Some(count) } else { None };
        let mut submit = options(port, callback, tally);
        submit.deadline_ns = if rng.chance(8) { rng.next() % 20_000 + 1 } else { 0 };
        submit.timeout_ns = if rng.chance(4) { 100_000 } else { 0 };
        let mut request = 0;
        // SAFETY: pointers to locals.
        let status = quietly(|| unsafe { weft_barrier(rng.pick(queues), &submit, &mut request) });
        assert!([WEFT_OK, WEFT_WOULD_BLOCK].contains(&status), "{status} {}", last_error());
        if status == WEFT_OK {
            *(if threaded { &mut accepted.0 } else { &mut accepted.1 }) += 1;
            if rng.chance(4) {
                quietly(|| weft_request_cancel(request));
            }
            ok(quietly(|| weft_request_release(request)));
        }
        if status == WEFT_WOULD_BLOCK || rng.chance(16) {
            ok(dispatch(ports[1].0));
        }
        if round % 1000 == 999 {
            let which = rng.chance(2);
            ok(quietly(|| weft_port_release(ports[usize::from(which)].0)));
            ports[usize::from(which)] = make(!which);
        }
    }
    ports.iter().for_each(|port| ok(quietly(|| weft_port_release(port.0))));
    accepted
}

#[test]
fn every_accepted_request_is_finalized_once_under_races() {
    let session = Session::new(1);
    let (queues, tallies) = ([session.queue, queue(&session)], [Tally::new(), Tally::new()]);
    let accepted: Vec<(u64, u64)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6)
            .map(|seed| {
                scope.spawn({
                    let session = &session;
                    move || race(seed, session, &queues, &tallies)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let (threaded, others) = accepted.iter().fold((0, 0), |sum, pair| (sum.0 + pair.0, sum.1 + pair.1));
    let ports = 6 * (30 + 2);
    until("all finalizers", || {
        tallies[0].port_finals.load(SeqCst) + tallies[1].port_finals.load(SeqCst) == ports
            && tallies[1].finals.load(SeqCst) == others
    });
    println!("{threaded} by the library's threads, {others} others, {ports} ports");
    assert_eq!(
        tallies[0].counts(),
        (threaded, threaded),
        "all that a port with a thread accepts is delivered"
    );
    assert!(tallies[1].calls.load(SeqCst) <= others);
    assert_eq!((tallies[0].wrong.load(SeqCst), tallies[1].wrong.load(SeqCst)), (0, 0));
}

#[test]
fn a_finalizer_waits_for_the_device_when_the_deadline_does_not() {
    let (session, tally) = (Session::new(1), Tally::new());
    let port = port(&session, 0, 0, tally);
    for (round, port) in [0, port].into_iter().enumerate() {
        let mut submit = options(port, if port == 0 { None } else { Some(count) }, tally);
        submit.deadline_ns = 3_000_000;
        let hold = Hold::with(session.queue, &submit);
        // SAFETY: pointers to locals.
        let status = unsafe { weft_request_wait(&hold.request, 1, 0, FOREVER, ptr::null_mut()) };
        assert_eq!(status, WEFT_ERROR_DEADLINE_EXCEEDED);
        if port != 0 {
            ok(dispatch(port));
            assert_eq!(tally.calls.load(SeqCst), 1, "the callback comes at once");
        }
        // Work that the queue had not begun by then never runs, and its finalizer comes at once.
        assert!(!hold.begun() || tally.finals.load(SeqCst) == round as u64, "the device was still at work");
        hold.end();
        ok(weft_queue_drain(session.queue, FOREVER));
        until("the finalizer", || tally.finals.load(SeqCst) == round as u64 + 1);
        ok(weft_request_release(hold.request));
    }
    ok(weft_port_release(port));
}
