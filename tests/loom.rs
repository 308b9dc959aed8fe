//! Models: every interleaving of a few threads, up to two or three preemptions, of the code that the library runs: the
//! table of handles, gates, requests, finalizers, ports and their threads, queues. Only under `--cfg loom`, by tests/run:
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test --release --test loom --target-dir target/loom
//! ```
//!
//! What is not explored: orders weaker than loom knows (it takes SeqCst loads and stores for acquire and release),
//! time (waits here have no deadlines; what a deadline does is called directly), futex(2) (a gate sleeps on the lock and
//! the condition variable that other systems have), signals, and the eventfd inside a port. The
//! eventfd is the real one: a model runs on one thread of the system, so the kernel sees its calls in the modelled
//! order; those of posting and taking are made under the ring's lock, which is explored.

#![cfg(loom)]

use loom::model::Builder;
use loom::sync::atomic::{AtomicUsize, Ordering::*};
use loom::thread;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use weft::device::gate::{Gate, Wake};
use weft::device::{Context, Cpu};
use weft::handle::{Kind, Registry};
use weft::op::Op;
use weft::queue::callback::await_paid;
use weft::queue::{
    Admission, Cancel, Finalizer, Outcome, Place, Port, Queue, Rare, Request, Tag, Watch, wait,
    weft_completion,
};
use weft::status::*;
use weft::telemetry::{Account, By, Ledger};

/// Explores a model with up to three preemptions, and prints in how many interleavings.
fn explore(name: &str, model: impl Fn() + Send + Sync + 'static) {
    explore_within(3, name, model);
}

/// The same with up to `preemptions`: two where there are four threads.
fn explore_within(preemptions: usize, name: &str, model: impl Fn() + Send + Sync + 'static) {
    let rounds = Arc::new(AtomicU64::new(0));
    let counted = rounds.clone();
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    builder.check(move || {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        model();
    });
    println!("{name}: {} interleavings", rounds.load(std::sync::atomic::Ordering::Relaxed));
}

/// Work that counts how often it ran.
struct Count(Arc<AtomicUsize>);

impl Op for Count {
    fn cpu(&self, _: &Cpu) -> Result<()> {
        self.0.fetch_add(1, SeqCst);
        Ok(())
    }
}

/// A watch that counts how often it was told.
struct Told(AtomicUsize);

impl Watch for Told {
    fn completed(&self, request: &Request) {
        assert!(request.outcome().is_some(), "told before the record was set");
        self.0.fetch_add(1, SeqCst);
    }
}

/// Counters, which no model looks at: they are made once.
fn ledger() -> &'static Ledger {
    static LEDGER: std::sync::OnceLock<&Ledger> = std::sync::OnceLock::new();
    LEDGER.get_or_init(|| Account::default().open().unwrap())
}

fn request(ran: &Arc<AtomicUsize>, port: Option<&Arc<Port>>) -> Arc<Request> {
    let work = Box::new(Count(ran.clone()));
    Arc::new(Request::new(work, Tag::default(), None, port.cloned(), ledger()))
}

fn port(capacity: u32) -> Arc<Port> {
    Port::new(capacity, false, 0).unwrap()
}

fn reserve(port: &Port) {
    assert_eq!(port.reserve(), Place::Kept);
}

fn post(request: &Arc<Request>) -> thread::JoinHandle<bool> {
    let request = request.clone();
    thread::spawn(move || request.post(Outcome::default(), By::Other, |_| ()))
}

fn post_to(port: &Arc<Port>) -> thread::JoinHandle<bool> {
    post(&request(&counter(), Some(port)))
}

fn counter() -> Arc<AtomicUsize> {
    Arc::new(AtomicUsize::new(0))
}

fn failure(status: i32) -> Outcome {
    Outcome::failed(Error::new(status, "on purpose"))
}

fn take_all(port: &Port) -> Vec<weft_completion> {
    let mut records = Vec::new();
    port.poll(8, |entry| records.push(entry.record));
    records
}

fn readable(fd: i32) -> bool {
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one local record.
    unsafe { libc::poll(&mut poll, 1, 0) == 1 }
}

#[test]
fn a_handle_is_removed_once_and_never_reaches_its_slots_next_owner() {
    explore("handles", || {
        let table = Arc::new(Registry::with_limits(Kind::Buffer, 1, 3));
        let first = table.insert(0, Arc::new(1)).unwrap();
        let other = table.clone();
        let remover = thread::spawn(move || {
            let removed = other.remove("x", first).is_ok();
            (removed, other.insert(0, Arc::new(2)).ok())
        });
        let found = table.get("x", first).ok().map(|value| *value);
        assert!(found.is_none_or(|value| value == 1), "a stale handle reached a stranger");
        let removed = table.remove("x", first).is_ok();
        let (elsewhere, second) = remover.join().unwrap();
        assert!(removed != elsewhere, "removed {removed} here, {elsewhere} there");
        let second = second.expect("the slot was free by then");
        assert!(second != first && table.get("x", first).is_err());
        assert_eq!(*table.get("x", second).unwrap(), 2);
    });
}

#[test]
fn a_gate_misses_no_wake_up() {
    explore("gate", || {
        let (gate, ready) = (Arc::new(Gate::new()), counter());
        let opener = {
            let (gate, ready) = (gate.clone(), ready.clone());
            thread::spawn(move || {
                ready.store(1, Relaxed);
                gate.open();
            })
        };
        assert!(gate.wait(Duration::ZERO, None, || ready.load(Relaxed) == 1));
        opener.join().unwrap();
    });
}

#[test]
fn a_gate_wakes_every_sleeper() {
    explore("gate with two sleepers", || {
        let (gate, ready) = (Arc::new(Gate::new()), counter());
        let sleeper = || {
            let (gate, ready) = (gate.clone(), ready.clone());
            thread::spawn(move || assert!(gate.wait(Duration::ZERO, None, || ready.load(Relaxed) == 1)))
        };
        let sleepers = [sleeper(), sleeper()];
        ready.store(1, Relaxed);
        gate.open();
        sleepers.into_iter().for_each(|sleeper| sleeper.join().unwrap());
    });
}

#[test]
fn a_gate_with_two_openers_wakes_who_waits_for_both() {
    explore("gate with two openers", || {
        let (gate, ready) = (Arc::new(Gate::new()), counter());
        let opener = || {
            let (gate, ready) = (gate.clone(), ready.clone());
            thread::spawn(move || {
                ready.fetch_add(1, Relaxed);
                gate.open();
            })
        };
        let openers = [opener(), opener()];
        assert!(gate.wait(Duration::ZERO, None, || ready.load(Relaxed) == 2));
        openers.into_iter().for_each(|opener| opener.join().unwrap());
    });
}

/// What a queue's worker does with a request. Whether it posted the completion.
fn work(request: &Request) -> bool {
    let outcome = request.begin().map(|(op, _held)| {
        let error = op.cpu(&Cpu::new(1)).err();
        error.map_or_else(Outcome::default, Outcome::failed)
    });
    outcome.is_some_and(|outcome| request.post(outcome, By::Other, |_| ()))
}

/// A queue's worker with one request: it goes on when the request is complete, whoever completes it.
fn serve(request: &Arc<Request>) -> thread::JoinHandle<()> {
    let request = request.clone();
    thread::spawn(move || {
        if !work(&request) {
            request.await_settled();
        }
        assert!(request.outcome().is_some());
    })
}

#[test]
fn run_cancel_and_expiry_make_one_completion_that_is_true() {
    // The worker does not wait for the others here: of two threads that look again and again, one might do so for ever.
    explore("worker, cancel and deadline", || {
        let (ran, port) = (counter(), port(1));
        reserve(&port);
        let request = request(&ran, Some(&port));
        request.accept(None);
        let worker = {
            let request = request.clone();
            thread::spawn(move || work(&request))
        };
        let timer = {
            let request = request.clone();
            thread::spawn(move || request.expire())
        };
        let cancel = request.cancel();
        let posted = worker.join().unwrap();
        timer.join().unwrap();
        let records = take_all(&port);
        assert_eq!(records.len(), 1, "one completion");
        let (status, ran) = (records[0].status, ran.load(SeqCst));
        assert_eq!(request.status(), status);
        match status {
            WEFT_OK => assert!(posted && ran == 1 && cancel != Cancel::Done),
            WEFT_ERROR_CANCELLED => assert!(!posted && ran == 0 && cancel == Cancel::Done),
            WEFT_ERROR_DEADLINE_EXCEEDED => assert!(!posted && cancel != Cancel::Done),
            _ => panic!("{status}"),
        }
    });
}

#[test]
fn a_watch_is_told_once_or_refused() {
    explore("post and watch", || {
        let request = request(&counter(), None);
        let told = Arc::new(Told(AtomicUsize::new(0)));
        let poster = |status| {
            let request = request.clone();
            thread::spawn(move || request.post(failure(status), By::Other, |_| ()))
        };
        let posters = [poster(-10), poster(-11)];
        let watched = request.watch(told.clone());
        let posted = posters.map(|poster| poster.join().unwrap());
        assert!(posted[0] != posted[1], "one post counts");
        assert_eq!(request.status(), if posted[0] { -10 } else { -11 });
        assert_eq!(told.0.load(SeqCst), usize::from(watched), "told as often as it was taken on");
    });
}

#[test]
fn a_wait_for_any_and_for_all_sees_posts_from_two_threads() {
    explore("wait", || {
        let pair = [request(&counter(), None), request(&counter(), None)];
        let posters = pair.each_ref().map(post);
        assert_eq!(wait(&pair, true, None), Wake::Ready);
        assert!(pair.iter().any(|request| request.outcome().is_some()));
        assert_eq!(wait(&pair, false, None), Wake::Ready);
        assert!(pair.iter().all(|request| request.outcome().is_some()));
        posters.into_iter().for_each(|poster| assert!(poster.join().unwrap()));
    });
}

#[test]
fn a_port_never_has_more_than_its_places_and_loses_no_record() {
    explore("port", || {
        let port = port(1);
        let submitter = || {
            let port = port.clone();
            thread::spawn(move || {
                let reserved = port.reserve() == Place::Kept;
                if reserved {
                    request(&counter(), Some(&port)).post(Outcome::default(), By::Other, |_| ());
                }
                usize::from(reserved)
            })
        };
        let submitters = [submitter(), submitter()];
        let early = take_all(&port).len();
        let reserved: usize = submitters.into_iter().map(|submitter| submitter.join().unwrap()).sum();
        let late = take_all(&port).len();
        assert!((1..=2).contains(&reserved) && early <= 1 && late <= 1);
        assert_eq!(early + late, reserved, "a record for each place");
        assert_eq!([port.reserve(), port.reserve()], [Place::Kept, Place::Full], "all places came back");
    });
}

#[test]
fn who_waits_for_a_place_gets_the_one_that_comes_back() {
    explore("room at a port", || {
        let port = port(1);
        reserve(&port);
        request(&counter(), Some(&port)).post(Outcome::default(), By::Other, |_| ());
        let taker = {
            let port = port.clone();
            thread::spawn(move || take_all(&port).len())
        };
        assert_eq!(port.await_place(None, || false), Place::Kept);
        assert_eq!((taker.join().unwrap(), port.reserve()), (1, Place::Full));
    });
}

#[test]
fn who_waits_for_a_place_learns_of_the_release() {
    explore("room at a released port", || {
        let port = port(1);
        reserve(&port);
        let releaser = {
            let port = port.clone();
            thread::spawn(move || port.release())
        };
        assert_eq!(port.await_place(None, || false), Place::Released);
        releaser.join().unwrap();
    });
}

#[test]
fn a_request_is_complete_exactly_when_its_record_can_be_taken() {
    explore("wait and record", || {
        let port = port(1);
        reserve(&port);
        let request = request(&counter(), Some(&port));
        let poster = post(&request);
        let taker = {
            let (port, request) = (port.clone(), request.clone());
            thread::spawn(move || {
                let taken = take_all(&port).len();
                assert!(taken == 0 || request.outcome().is_some(), "a record of a pending request");
                taken
            })
        };
        assert_eq!(wait(std::slice::from_ref(&request), false, None), Wake::Ready);
        let taken = take_all(&port).len();
        assert_eq!(taken + taker.join().unwrap(), 1, "who has waited finds the record, unless it was taken");
        assert!(poster.join().unwrap());
    });
}

#[test]
fn a_ports_event_handle_is_readable_whenever_a_record_waits() {
    explore("event handle", || {
        let port = port(2);
        (0..2).for_each(|_| reserve(&port));
        request(&counter(), Some(&port)).post(Outcome::default(), By::Other, |_| ());
        let poster = post_to(&port);
        let fd = port.event_handle().unwrap();
        let early = take_all(&port).len();
        poster.join().unwrap();
        assert_eq!(readable(fd), early < 2, "{early} taken before");
        assert_eq!(take_all(&port).len() + early, 2);
        assert!(!readable(fd), "nothing waits");
    });
}

#[test]
fn a_wait_at_a_port_ends_with_a_record_or_a_wake() {
    explore("wait at a port", || {
        let port = port(1);
        reserve(&port);
        let poster = post_to(&port);
        assert_eq!(port.wait(None), Wake::Ready);
        assert_eq!(take_all(&port).len(), 1);
        poster.join().unwrap();
    });
}

#[test]
fn a_queue_of_one_place_runs_what_it_accepts() {
    explore("queue", || {
        let context = Arc::new(Context::open("cpu", 1).unwrap());
        let ran = counter();
        let queue = Arc::new(Queue::new(context, 1, 0).unwrap());
        let submitter = {
            let (queue, ran) = (queue.clone(), ran.clone());
            thread::spawn(move || usize::from(queue.submit(request(&ran, None), 0) == Admission::Accepted))
        };
        let own = queue.submit(request(&ran, None), u64::MAX);
        assert_eq!(own, Admission::Accepted, "room comes in the end");
        let accepted = 1 + submitter.join().unwrap();
        assert_eq!(queue.drain(u64::MAX), Wake::Ready);
        assert!(queue.take_unseen().is_ok());
        assert_eq!((ran.load(SeqCst), queue.progress()), (accepted, (accepted as u64, accepted as u64)));
        drop(queue);
        assert_eq!(weft::queue::await_released(None), Wake::Ready);
        weft::device::thread::join();
    });
}

#[test]
fn a_released_queue_runs_what_it_accepted() {
    explore("released queue", || {
        let context = Arc::new(Context::open("cpu", 1).unwrap());
        let ran = counter();
        let queue = Queue::new(context, 2, 0).unwrap();
        assert_eq!(queue.submit(request(&ran, None), 0), Admission::Accepted);
        drop(queue);
        assert_eq!(weft::queue::await_released(None), Wake::Ready);
        assert_eq!(ran.load(SeqCst), 1);
        weft::device::thread::join();
    });
}

#[test]
fn taking_the_last_record_leaves_the_event_handle_clear() {
    explore("event handle against taking", || {
        let port = port(1);
        let fd = port.event_handle().unwrap();
        reserve(&port);
        let poster = post_to(&port);
        let early = take_all(&port).len();
        poster.join().unwrap();
        assert_eq!(readable(fd), early == 0, "{early} taken before");
    });
}

#[test]
fn a_record_that_is_announced_is_taken_once_and_the_event_handle_clear_then() {
    explore("announced record", || {
        let port = port(1);
        let fd = port.event_handle().unwrap();
        reserve(&port);
        let poster = {
            let (port, request) = (port.clone(), request(&counter(), Some(&port)));
            thread::spawn(move || {
                request.announce();
                port.announce();
                assert!(request.post(Outcome::default(), By::Other, |_| ()));
            })
        };
        let early = take_all(&port).len();
        poster.join().unwrap();
        assert_eq!(readable(fd), early == 0, "{early} taken before");
        assert_eq!(take_all(&port).len() + early, 1);
        assert!(!readable(fd), "nothing waits");
    });
}

/// What the caller's functions saw.
#[derive(Default)]
struct Tally {
    calls: AtomicUsize,
    finals: AtomicUsize,
    port_finals: AtomicUsize,
    /// Whether the device is at work.
    busy: AtomicUsize,
    /// Calls that came too early.
    early: AtomicUsize,
}

impl Tally {
    fn of(user: u64) -> &'static Tally {
        // SAFETY: the address of a tally that a model keeps until its threads have ended.
        unsafe { &*(user as *const Tally) }
    }

    fn number(self: &Arc<Self>) -> u64 {
        Arc::as_ptr(self) as u64
    }

    /// Callbacks, finalizers of requests and of ports, and those that came too early.
    fn counts(&self) -> [usize; 4] {
        [&self.calls, &self.finals, &self.port_finals, &self.early].map(|count| count.load(SeqCst))
    }

    /// Once all calls are made.
    fn last_counts(&self) -> [usize; 4] {
        assert_eq!(await_paid(None), Wake::Ready);
        let counts = self.counts();
        weft::queue::end();
        weft::device::thread::join();
        assert_eq!(self.counts(), counts, "a call after the last");
        counts
    }
}

unsafe extern "C" fn called(user: u64, _: *const weft_completion) {
    let tally = Tally::of(user);
    tally.early.fetch_add(tally.finals.load(SeqCst) + tally.port_finals.load(SeqCst), SeqCst);
    tally.calls.fetch_add(1, SeqCst);
}

unsafe extern "C" fn finalized(user: u64) {
    let tally = Tally::of(user);
    tally.early.fetch_add(tally.busy.load(SeqCst) + tally.port_finals.load(SeqCst), SeqCst);
    tally.finals.fetch_add(1, SeqCst);
}

unsafe extern "C" fn port_finalized(user: u64) {
    Tally::of(user).port_finals.fetch_add(1, SeqCst);
}

/// Work that finalizers must not come before the end of.
struct Work(Arc<Tally>);

impl Op for Work {
    fn cpu(&self, _: &Cpu) -> Result<()> {
        self.0.busy.store(1, SeqCst);
        self.0.busy.store(0, SeqCst);
        Ok(())
    }
}

fn finalized_request(tally: &Arc<Tally>, port: Option<&Arc<Port>>) -> Arc<Request> {
    let finalizer = Finalizer::new(Some(finalized), tally.number()).unwrap();
    Arc::new(Request::new(
        Box::new(Work(tally.clone())),
        tag(tally, port),
        Rare::new(Vec::new(), finalizer),
        port.cloned(),
        ledger(),
    ))
}

fn tag(tally: &Arc<Tally>, port: Option<&Arc<Port>>) -> Tag {
    Tag { op: 1, user_data: tally.number(), callback: port.and(Some(called)) }
}

fn finalize(port: &Port, tally: &Arc<Tally>) {
    port.finalize_by(Finalizer::new(Some(port_finalized), tally.number()).unwrap());
}

#[test]
fn a_finalizer_with_two_owners_is_called_once_when_the_device_is_done() {
    explore_within(2, "finalizer of the worker and of the deadline", || {
        let tally = Arc::new(Tally::default());
        let request = finalized_request(&tally, None);
        request.accept(None);
        let worker = serve(&request);
        request.expire();
        worker.join().unwrap();
        drop(request);
        assert_eq!(tally.last_counts(), [0, 1, 0, 0]);
    });
}

#[test]
fn a_finalizer_comes_once_after_its_callback_whoever_ends_the_request() {
    explore_within(2, "finalizer behind a callback", || {
        let (tally, port) = (Arc::new(Tally::default()), port(1));
        reserve(&port);
        let request = finalized_request(&tally, Some(&port));
        request.accept(None);
        let worker = serve(&request);
        request.expire();
        let early = port.dispatch();
        worker.join().unwrap();
        assert!(port.dispatch() != early, "one record");
        drop(request);
        assert_eq!(tally.last_counts(), [1, 1, 0, 0]);
    });
}

#[test]
fn a_refused_request_is_not_finalized() {
    explore("refused finalizer", || {
        let tally = Arc::new(Tally::default());
        drop(finalized_request(&tally, None));
        assert_eq!(tally.last_counts(), [0, 0, 0, 0]);
    });
}

#[test]
fn a_port_released_in_flight_ends_once_after_its_requests() {
    explore_within(2, "release against post and dispatch", || {
        let (tally, port) = (Arc::new(Tally::default()), port(1));
        finalize(&port, &tally);
        reserve(&port);
        let poster = post(&finalized_request(&tally, Some(&port)));
        let dispatcher = {
            let port = port.clone();
            thread::spawn(move || usize::from(port.dispatch()))
        };
        port.release();
        assert_eq!(port.reserve(), Place::Released);
        let dispatched = dispatcher.join().unwrap();
        assert!(poster.join().unwrap());
        assert_eq!(take_all(&port).len(), 0, "nobody can take it any more");
        assert_eq!(tally.last_counts(), [dispatched, 1, 1, 0]);
    });
}

#[test]
fn a_port_with_a_thread_delivers_all_that_it_accepted_before_it_ends() {
    explore("port with a thread", || {
        let (tally, port) = (Arc::new(Tally::default()), Port::new(2, true, 0).unwrap());
        (0..2).for_each(|_| reserve(&port));
        let request = || {
            let work = Box::new(Count(counter()));
            Arc::new(Request::new(work, tag(&tally, Some(&port)), None, Some(port.clone()), ledger()))
        };
        let poster = post(&request());
        request().post(Outcome::default(), By::Other, |_| ());
        port.release();
        assert!(poster.join().unwrap());
        assert_eq!(await_paid(None), Wake::Ready);
        assert_eq!(tally.counts(), [2, 0, 0, 0]);
        // Its thread ends with it.
        weft::device::thread::join();
    });
}

#[test]
fn a_port_with_a_thread_is_finalized_after_the_last_finalizer() {
    explore_within(2, "finalizers of a port with a thread", || {
        let (tally, port) = (Arc::new(Tally::default()), Port::new(1, true, 0).unwrap());
        finalize(&port, &tally);
        reserve(&port);
        let poster = post(&finalized_request(&tally, Some(&port)));
        port.release();
        assert!(poster.join().unwrap());
        assert_eq!(tally.last_counts(), [1, 1, 1, 0]);
    });
}
