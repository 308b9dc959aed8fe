//! The parts that threads share (handle table, gate, request, port), each raced alone and without a thread of the library,
//! so that Miri can run them: `cargo +nightly miri test --test parts`.

use std::sync::atomic::{AtomicUsize, Ordering::*};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;
use weft::device::Cpu;
use weft::device::gate::{Gate, Wake, deadline};
use weft::handle::{Kind, Registry};
use weft::op::Op;
use weft::queue::{Cancel, Outcome, Place, Port, Request, Tag, wait};
use weft::status::*;
use weft::telemetry::{Account, By, Ledger};

/// How often each race is run: Miri is slow, and tries several orders by itself.
const ROUNDS: usize = if cfg!(miri) { 3 } else { 2000 };

struct Nothing;
impl Op for Nothing {
    fn cpu(&self, _: &Cpu) -> Result<()> {
        Ok(())
    }
}

fn ledger() -> &'static Ledger {
    static LEDGER: OnceLock<&Ledger> = OnceLock::new();
    LEDGER.get_or_init(|| Account::default().open().unwrap())
}

fn request(port: Option<Arc<Port>>) -> Arc<Request> {
    Arc::new(Request::new(Box::new(Nothing), Tag::default(), None, port, ledger()))
}

/// Posts a success, as any thread but a queue's worker does.
fn post(request: &Request) -> bool {
    request.post(Outcome::default(), By::Other, |_| ())
}

#[test]
fn a_handle_names_its_own_object_or_nothing() {
    let table = Registry::with_limits(Kind::Buffer, 4, 1 << 20);
    let live_in_another = |name: usize| {
        for _ in 0..ROUNDS {
            let handle = table.insert(0, Arc::new(name)).unwrap();
            assert_eq!(*table.get("x", handle).unwrap(), name);
            assert_eq!(*table.remove("x", handle).unwrap(), name);
            assert_eq!(table.get("x", handle).unwrap_err().status, WEFT_ERROR_STALE_HANDLE);
            assert_eq!(table.remove("x", handle).unwrap_err().status, WEFT_ERROR_STALE_HANDLE);
        }
    };
    thread::scope(|scope| {
        (0..4).for_each(|name| {
            scope.spawn(move || live_in_another(name));
        });
    });
    assert_eq!(table.live(), 0);
}

#[test]
fn of_several_that_remove_one_handle_one_succeeds() {
    let table = Registry::new(Kind::Queue);
    for _ in 0..ROUNDS {
        let handle = table.insert(0, Arc::new(())).unwrap();
        let removed = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| removed.fetch_add(usize::from(table.remove("q", handle).is_ok()), SeqCst));
            }
        });
        assert_eq!(removed.into_inner(), 1);
    }
}

#[test]
fn a_gate_misses_no_wake() {
    let (gate, turn) = (Gate::new(), AtomicUsize::new(0));
    let play = |mine: usize| {
        for round in 0..ROUNDS {
            assert!(gate.wait(Duration::ZERO, None, || turn.load(SeqCst) == 2 * round + mine));
            turn.fetch_add(1, SeqCst);
            gate.open();
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| play(0));
        scope.spawn(|| play(1));
    });
    assert!(!gate.wait(Duration::ZERO, deadline(1000), || false));
}

/// Runs it as a worker does, cancels it, and lets its deadline pass, all at once; waits on two threads.
#[test]
fn a_request_has_one_outcome() {
    for _ in 0..ROUNDS {
        let port = Port::new(1, false, 0).unwrap();
        assert_eq!((port.reserve(), port.reserve()), (Place::Kept, Place::Full));
        let request = request(Some(port.clone()));
        let posted = AtomicUsize::new(0);
        request.accept(None);
        thread::scope(|scope| {
            scope.spawn(|| match request.begin() {
                Some(_) => drop(posted.fetch_add(usize::from(post(&request)), SeqCst)),
                None => request.await_settled(),
            });
            scope.spawn(|| posted.fetch_add(usize::from(request.cancel() == Cancel::Done), SeqCst));
            scope.spawn(|| request.expire());
            scope.spawn(|| assert_eq!(wait(std::slice::from_ref(&request), false, None), Wake::Ready));
            assert_eq!(wait(&[request.clone(), request.clone()], true, None), Wake::Ready);
        });
        let status = request.status();
        assert_eq!(posted.into_inner(), usize::from(status != WEFT_ERROR_DEADLINE_EXCEEDED));
        let mut records = Vec::new();
        assert_eq!(port.poll(9, |entry| records.push(entry.record)), 1);
        assert_eq!(records[0].status, status);
        assert_eq!(port.reserve(), Place::Kept, "its place is free again");
    }
}

#[test]
fn a_port_delivers_each_completion_once() {
    const POSTS: usize = if cfg!(miri) { 6 } else { 5000 };
    let port = Port::new(4, false, 0).unwrap();
    let taken = AtomicUsize::new(0);
    let submit = || {
        for _ in 0..POSTS {
            while port.reserve() != Place::Kept {
                thread::yield_now();
            }
            post(&request(Some(port.clone())));
        }
    };
    let take = || {
        while taken.load(SeqCst) < 2 * POSTS {
            port.wait(deadline(1_000_000));
            taken.fetch_add(port.poll(3, |_| ()), SeqCst);
        }
        port.wake();
    };
    thread::scope(|scope| {
        scope.spawn(submit);
        scope.spawn(submit);
        scope.spawn(take);
        scope.spawn(take);
    });
    assert_eq!((taken.into_inner(), port.waiting()), (2 * POSTS, 0));
}
