//! The parts that threads share (handle table, gate, request, port), each raced alone and without a thread of the library,
//! so that Miri can run them: `cargo +nightly miri test --test parts`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::*};
use std::thread;
use std::time::Duration;
use weft::device::Cpu;
use weft::device::gate::{Gate, deadline};
use weft::handle::{Kind, Registry};
use weft::op::Op;
use weft::queue::{Cancel, Outcome, Port, Request, Tag, wait};
use weft::status::*;

/// How often each race is run: Miri is slow, and tries several orders by itself.
const ROUNDS: usize = if cfg!(miri) { 3 } else { 2000 };

struct Nothing;
impl Op for Nothing {
    fn cpu(&self, _: &Cpu) -> Result<()> {
        Ok(())
    }
}

fn request(port: Option<Arc<Port>>) -> Arc<Request> {
    Arc::new(Request::new(Box::new(Nothing), Tag::default(), Vec::new(), port))
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
        let port = Arc::new(Port::new(1).unwrap());
        assert!(port.reserve() && !port.reserve());
        let request = request(Some(port.clone()));
        let posted = AtomicUsize::new(0);
        request.accept(None);
        thread::scope(|scope| {
            scope.spawn(|| match request.take_op() {
                Some(_) => drop(posted.fetch_add(usize::from(request.post(Outcome::default())), SeqCst)),
                None => request.await_post(),
            });
            scope.spawn(|| posted.fetch_add(usize::from(request.cancel() == Cancel::Done), SeqCst));
            scope.spawn(|| request.expire());
            scope.spawn(|| assert!(wait(std::slice::from_ref(&request), false, None)));
            assert!(wait(&[request.clone(), request.clone()], true, None));
        });
        let status = request.status();
        assert_eq!(posted.into_inner(), usize::from(status != WEFT_ERROR_DEADLINE_EXCEEDED));
        let mut records = Vec::new();
        assert_eq!(port.poll(9, |entry| records.push(entry.record)), 1);
        assert_eq!(records[0].status, status);
        assert!(port.reserve(), "its place is free again");
    }
}

#[test]
fn a_port_delivers_each_completion_once() {
    const POSTS: usize = if cfg!(miri) { 6 } else { 5000 };
    let port = Arc::new(Port::new(4).unwrap());
    let taken = AtomicUsize::new(0);
    let post = || {
        for _ in 0..POSTS {
            while !port.reserve() {
                thread::yield_now();
            }
            request(Some(port.clone())).post(Outcome::default());
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
        scope.spawn(post);
        scope.spawn(post);
        scope.spawn(take);
        scope.spawn(take);
    });
    assert_eq!((taken.into_inner(), port.waiting()), (2 * POSTS, 0));
}
