//! Models: every interleaving of a few threads, up to three preemptions, of the code that the library runs: the table of
//! handles, gates, requests, ports, queues. Only under `--cfg loom`, by tests/run:
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test --release --test loom --target-dir target/loom
//! ```
//!
//! What is not explored: orders weaker than loom knows (it takes SeqCst loads and stores for acquire and release),
//! time (waits here have no deadlines; what a deadline does is called directly), and the eventfd inside a port. The
//! eventfd is the real one: a model runs on one thread of the system, so the kernel sees its calls in the modelled
//! order; those of posting and taking are made under the ring's lock, which is explored.

#![cfg(loom)]

use loom::model::Builder;
use loom::sync::atomic::{AtomicUsize, Ordering::*};
use loom::thread;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use weft::device::gate::Gate;
use weft::device::{Context, Cpu};
use weft::handle::{Kind, Registry};
use weft::op::Op;
use weft::queue::{Cancel, Outcome, Port, Queue, Request, Tag, Watch, wait, weft_completion};
use weft::status::*;

/// Explores a model, and prints in how many interleavings.
fn explore(name: &str, model: impl Fn() + Send + Sync + 'static) {
    let rounds = Arc::new(AtomicU64::new(0));
    let counted = rounds.clone();
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
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

fn request(ran: &Arc<AtomicUsize>, port: Option<&Arc<Port>>) -> Arc<Request> {
    let work = Box::new(Count(ran.clone()));
    Arc::new(Request::new(work, Tag::default(), Vec::new(), port.cloned()))
}

fn counter() -> Arc<AtomicUsize> {
    Arc::new(AtomicUsize::new(0))
}

fn failure(status: i32) -> Outcome {
    Outcome { error: Some(Box::new(Error::new(status, "on purpose"))), ..Default::default() }
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

/// What a queue's worker does with one request.
fn serve(request: &Request) {
    match request.take_op() {
        Some(op) => {
            let error = op.cpu(&Cpu::new(1)).err();
            request.post(Outcome { error: error.map(Box::new), ..Default::default() });
        }
        None => request.await_post(),
    }
}

#[test]
fn run_cancel_and_expiry_make_one_completion_that_is_true() {
    explore("worker, cancel and deadline", || {
        let (ran, port) = (counter(), Arc::new(Port::new(1).unwrap()));
        assert!(port.reserve());
        let request = request(&ran, Some(&port));
        request.accept(None);
        let worker = {
            let request = request.clone();
            thread::spawn(move || serve(&request))
        };
        let timer = {
            let request = request.clone();
            thread::spawn(move || request.expire())
        };
        let cancel = request.cancel();
        worker.join().unwrap();
        timer.join().unwrap();
        let records = take_all(&port);
        assert_eq!(records.len(), 1, "one completion");
        let (status, ran) = (records[0].status, ran.load(SeqCst));
        assert_eq!(request.status(), status);
        match status {
            WEFT_OK => assert!(ran == 1 && cancel != Cancel::Done),
            WEFT_ERROR_CANCELLED => assert!(ran == 0 && cancel == Cancel::Done),
            WEFT_ERROR_DEADLINE_EXCEEDED => assert!(cancel != Cancel::Done),
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
            thread::spawn(move || request.post(failure(status)))
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
        let posters = pair.clone().map(|request| thread::spawn(move || request.post(Outcome::default())));
        assert!(wait(&pair, true, None));
        assert!(pair.iter().any(|request| request.outcome().is_some()));
        assert!(wait(&pair, false, None));
        assert!(pair.iter().all(|request| request.outcome().is_some()));
        posters.into_iter().for_each(|poster| assert!(poster.join().unwrap()));
    });
}

#[test]
fn a_port_never_has_more_than_its_places_and_loses_no_record() {
    explore("port", || {
        let port = Arc::new(Port::new(1).unwrap());
        let submitter = || {
            let port = port.clone();
            thread::spawn(move || {
                let reserved = port.reserve();
                if reserved {
                    request(&counter(), Some(&port)).post(Outcome::default());
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
        assert!(port.reserve() && !port.reserve(), "all places came back");
    });
}

#[test]
fn a_ports_event_handle_is_readable_whenever_a_record_waits() {
    explore("event handle", || {
        let port = Arc::new(Port::new(2).unwrap());
        assert!(port.reserve() && port.reserve());
        request(&counter(), Some(&port)).post(Outcome::default());
        let poster = {
            let port = port.clone();
            thread::spawn(move || request(&counter(), Some(&port)).post(Outcome::default()))
        };
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
        let port = Arc::new(Port::new(1).unwrap());
        assert!(port.reserve());
        let poster = {
            let port = port.clone();
            thread::spawn(move || request(&counter(), Some(&port)).post(Outcome::default()))
        };
        assert!(port.wait(None));
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
            thread::spawn(move || usize::from(queue.submit(request(&ran, None), 0)))
        };
        let own = queue.submit(request(&ran, None), u64::MAX);
        assert!(own, "room comes in the end");
        let accepted = 1 + submitter.join().unwrap();
        assert!(queue.drain(u64::MAX).unwrap().is_ok());
        assert_eq!((ran.load(SeqCst), queue.progress()), (accepted, (accepted as u64, accepted as u64)));
        drop(queue);
        assert!(weft::queue::await_released(None));
        weft::device::thread::join();
    });
}
