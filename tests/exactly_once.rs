//! Exactly one completion: eight threads submit, cancel, release, wait and poll against each other, with deadlines, wait
//! lists, finalizers, priorities, several queues and ports, one with a thread. Every accepted request's record arrives
//! once and is true, and its finalizer is called once; a refused one's never.

mod support;

use std::cell::RefCell;
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::time::{Duration, Instant};
use support::queues::queue;
use support::*;
use weft::api::port::*;
use weft::api::queue::*;
use weft::api::request::*;
use weft::api::submit::*;
use weft::device::Cpu;
use weft::device::cuda::Stream;
use weft::device::gate::Wake;
use weft::op::Op;
use weft::queue::weft_completion;
use weft::status::*;

const THREADS: usize = 8;
/// Accepted requests of a thread.
const SHARE: usize = 128 << 10;
/// Attempts of a thread that have a number of their own; later refusals are tried again under the same number.
const ATTEMPTS: usize = 2 * SHARE;
const UNSEEN: i32 = i32::MIN;
/// What lost places look like: no room anywhere for this long.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often each attempt was finalized.
static FINALIZED: [AtomicU8; THREADS * ATTEMPTS] = [const { AtomicU8::new(0) }; THREADS * ATTEMPTS];

/// Records that the port with a thread delivered.
static DELIVERED: Mutex<Vec<(u64, i32)>> = Mutex::new(Vec::new());

/// How often each attempt's work ran.
static RAN: [AtomicU8; THREADS * ATTEMPTS] = [const { AtomicU8::new(0) }; THREADS * ATTEMPTS];

struct Mark(usize);

impl Mark {
    fn run(&self) -> Result<()> {
        RAN[self.0].fetch_add(1, SeqCst);
        Ok(())
    }
}

impl Op for Mark {
    fn cpu(&self, _: &Cpu) -> Result<()> {
        self.run()
    }
    fn cuda(&self, _: &Stream) -> Result<()> {
        self.run()
    }
}

/// What became of one attempt, as its submitter knows it.
#[derive(Clone, Copy)]
struct Attempt {
    accepted: bool,
    port: bool,
    finalizer: bool,
    deadline: bool,
    /// What a cancel answered; `UNSEEN` if there was none.
    cancel: i32,
    /// Numbers of the requests it waited for; its own for none.
    after: [usize; 2],
}

#[derive(Clone, Copy)]
struct Recent {
    handle: u64,
    number: usize,
}

thread_local! {
    static CALLED: RefCell<Vec<(u64, i32)>> = const { RefCell::new(Vec::new()) };
}

unsafe extern "C" fn callback(user: u64, completion: *const weft_completion) {
    // SAFETY: the library hands over a record that lives as long as this call.
    let status = unsafe { (*completion).status };
    CALLED.with(|called| called.borrow_mut().push((user, status)));
}

unsafe extern "C" fn deliver(user: u64, completion: *const weft_completion) {
    // SAFETY: the library hands over a record that lives as long as this call.
    let status = unsafe { (*completion).status };
    DELIVERED.lock().unwrap().push((user, status));
}

unsafe extern "C" fn finalize(user: u64) {
    FINALIZED[user as usize].fetch_add(1, SeqCst);
}

fn port(context: u64, capacity: u32, flags: u32) -> u64 {
    let size = size_of::<weft_port_desc>() as u32;
    let (options, mut port) =
        (weft_port_desc { struct_size: size, capacity, flags, ..Default::default() }, 0);
    // SAFETY: pointers to locals.
    ok(unsafe { weft_port_create(context, &options, &mut port) });
    port
}

struct Racer {
    thread: usize,
    rng: Rng,
    context: u64,
    queues: [u64; 3],
    own: u64,
    ports: [u64; 3],
    threaded: u64,
    attempts: Vec<Attempt>,
    recent: Vec<Recent>,
    /// Number and status of every record that this thread took.
    seen: Vec<(u64, i32)>,
    refused: usize,
}

impl Racer {
    fn race(mut self) -> Self {
        let (mut accepted, mut last) = (0, Instant::now());
        while accepted < SHARE {
            if self.attempt(SHARE - accepted) {
                (accepted, last) = (accepted + 1, Instant::now());
            }
            assert!(last.elapsed() < PATIENCE, "no room for {PATIENCE:?}: places were lost");
            match self.rng.next() % 16 {
                0..=3 => self.cancel(),
                4 => self.wait(),
                5..=9 => self.take(),
                10 => self.dispatch(),
                _ => {}
            }
            while self.recent.len() > 6 {
                let oldest = self.recent.remove(self.rng.next() as usize % 3);
                ok(weft_request_release(oldest.handle));
            }
            if self.rng.chance(4000) {
                ok(weft_queue_release(self.own));
                self.own = queue(self.context, 16, self.thread as u32 % 3);
            }
        }
        self.recent.iter().for_each(|recent| ok(weft_request_release(recent.handle)));
        ok(weft_queue_release(self.own));
        self
    }

    /// Submits once; whether it was accepted. `left` is how many still have to be.
    fn attempt(&mut self, left: usize) -> bool {
        let number = self.thread * ATTEMPTS + self.attempts.len();
        let mut submit = weft_submit {
            struct_size: size_of::<weft_submit>() as u32,
            user_data: number as u64,
            ..Default::default()
        };
        let mut attempt = Attempt {
            accepted: false,
            port: false,
            finalizer: false,
            deadline: false,
            cancel: UNSEEN,
            after: [number; 2],
        };
        if !self.rng.chance(8) {
            (attempt.port, submit.port) = (true, self.rng.pick(&self.ports));
            submit.callback = Some(callback);
            if self.rng.chance(8) {
                submit.port = self.threaded;
                submit.callback = Some(deliver);
            }
        }
        if self.rng.chance(4) {
            attempt.finalizer = true;
            submit.finalizer = Some(finalize);
        }
        if self.rng.chance(6) {
            (attempt.deadline, submit.deadline_ns) = (true, self.rng.next() % 30_000 + 1);
        }
        let mut after = [0; 2];
        if self.rng.chance(6) && !self.recent.is_empty() {
            let chosen = [self.rng.pick(&self.recent), self.rng.pick(&self.recent)];
            (after, attempt.after) = (chosen.map(|one| one.handle), chosen.map(|one| one.number));
            (submit.after, submit.after_count) = (after.as_ptr(), 2);
        }
        submit.timeout_ns = if self.rng.chance(16) { 2_000 } else { 0 };
        let queue = if self.rng.chance(4) { self.own } else { self.rng.pick(&self.queues) };
        let mut out = 0;
        // Without a port only the handle tells of the end.
        let place = if attempt.port && self.rng.chance(4) { ptr::null_mut() } else { &raw mut out };
        let target = Target { queue, op: 1000, options: &submit, out: place };
        // SAFETY: options, wait list and place for the handle are locals.
        let status = unsafe { weft::api::submit::submit(target, |_, _| Ok(Box::new(Mark(number)))) };
        assert_ne!(after.as_ptr(), ptr::null());
        if status == WEFT_WOULD_BLOCK {
            self.refused += 1;
            if ATTEMPTS - self.attempts.len() > left {
                self.attempts.push(attempt);
            }
            self.take();
            std::thread::yield_now();
            return false;
        }
        ok(status);
        self.attempts.push(Attempt { accepted: true, ..attempt });
        match (place.is_null(), attempt.port) {
            (true, _) => {}
            (false, true) => self.recent.push(Recent { handle: out, number }),
            (false, false) => self.see_to_the_end(out, number),
        }
        true
    }

    /// Without a port: cancels sometimes, waits, and takes the record by the handle.
    fn see_to_the_end(&mut self, handle: u64, number: usize) {
        if self.rng.chance(2) {
            self.attempts.last_mut().unwrap().cancel = weft_request_cancel(handle);
        }
        let mut record = weft_completion::default();
        // SAFETY: pointers to locals.
        let status = unsafe { weft_request_wait(&handle, 1, WEFT_WAIT_ALL, FOREVER, ptr::null_mut()) };
        // SAFETY: pointers to locals.
        ok(unsafe { weft_request_completion(handle, &mut record) });
        assert_eq!((record.user_data, record.request, record.status), (number as u64, handle, status));
        self.seen.push((record.user_data, status));
        ok(weft_request_release(handle));
    }

    fn cancel(&mut self) {
        if let Some(&Recent { handle, number }) = self.recent.last() {
            let answer = weft_request_cancel(handle);
            let own = &mut self.attempts[number % ATTEMPTS].cancel;
            // A second cancel finds nothing to do, unless the first was too late.
            assert!(*own != WEFT_OK || answer == WEFT_NOT_FOUND);
            *own = if *own == WEFT_OK { WEFT_OK } else { answer };
        }
    }

    fn wait(&mut self) {
        let handles: Vec<u64> = self.recent.iter().map(|recent| recent.handle).collect();
        let (count, mode) = (handles.len() as u32, self.rng.next() as u32 % 2);
        let timeout = self.rng.pick(&[0, 1_000, 50_000, FOREVER]);
        // SAFETY: as many handles as the count says.
        let status = unsafe { weft_request_wait(handles.as_ptr(), count, mode, timeout, ptr::null_mut()) };
        assert!(status == WEFT_TIMEOUT && timeout < FOREVER || status <= WEFT_OK, "{status}");
    }

    fn take(&mut self) {
        let (mut records, mut count) = ([weft_completion::default(); 32], 0);
        let (port, most) = (self.rng.pick(&self.ports), self.rng.next() as u32 % 32 + 1);
        // SAFETY: room for 32 records; a local.
        let status = unsafe {
            match self.rng.chance(8) {
                true => weft_port_wait(port, records.as_mut_ptr(), most, 1_000, &mut count),
                false => weft_port_poll(port, records.as_mut_ptr(), most, &mut count),
            }
        };
        assert!(status == WEFT_OK || status == WEFT_TIMEOUT && count <= most, "{status}");
        self.seen.extend(records[..count as usize].iter().map(|record| (record.user_data, record.status)));
    }

    fn dispatch(&mut self) {
        let mut count = 0;
        // SAFETY: a local; the callback keeps its promise.
        ok(unsafe { weft_port_dispatch(self.rng.pick(&self.ports), 16, &mut count) });
        let called = CALLED.take();
        assert_eq!(called.len(), count as usize);
        self.seen.extend(called);
    }
}

/// The status of every attempt; fails for records that came twice.
fn merge(racers: &[Racer]) -> Vec<i32> {
    let mut statuses = vec![UNSEEN; THREADS * ATTEMPTS];
    for &(number, status) in racers.iter().flat_map(|racer| &racer.seen) {
        let place = &mut statuses[number as usize];
        assert_eq!(*place, UNSEEN, "request {number} completed a second time, with {status}");
        *place = status;
    }
    statuses
}

/// Whether this is what must have become of an attempt, given what became of the others.
fn is_true(number: usize, attempt: &Attempt, statuses: &[i32]) -> bool {
    let (status, ran) = (statuses[number], RAN[number].load(SeqCst));
    let failed = |other: usize| other != number && statuses[other] != WEFT_OK;
    let cancelled = attempt.cancel == WEFT_OK;
    match status {
        _ if !attempt.accepted => status == UNSEEN && ran == 0,
        WEFT_OK => ran == 1 && !cancelled && !attempt.after.into_iter().any(failed),
        WEFT_ERROR_CANCELLED => ran == 0 && cancelled,
        WEFT_ERROR_DEADLINE_EXCEEDED => ran <= 1 && !cancelled && attempt.deadline,
        WEFT_ERROR_DEPENDENCY_FAILED => ran == 0 && !cancelled && attempt.after.into_iter().any(failed),
        _ => false,
    }
}

#[test]
fn every_accepted_request_completes_exactly_once_with_the_truth() {
    let (session, start) = (Session::new(1), Instant::now());
    let context = session.context;
    let queues = [
        queue(context, 64, 0),
        queue(context, 256, WEFT_PRIORITY_HIGH),
        queue(context, 8, WEFT_PRIORITY_LOW),
    ];
    let ports = [port(context, 512, 0), port(context, 64, 0), port(context, 1, 0)];
    let threaded = port(context, 128, WEFT_PORT_THREAD);
    let mut racers: Vec<Racer> = std::thread::scope(|scope| {
        let racer = |thread: usize| Racer {
            thread,
            rng: Rng(thread as u64),
            context,
            queues,
            own: queue(context, 16, thread as u32 % 3),
            ports,
            threaded,
            attempts: Vec::new(),
            recent: Vec::new(),
            seen: Vec::new(),
            refused: 0,
        };
        let started: Vec<_> = (0..THREADS).map(racer).map(|racer| scope.spawn(|| racer.race())).collect();
        started.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    // A drain reports requests without a handle that failed: any status but a time-out.
    queues.iter().for_each(|&queue| assert!(weft_queue_drain(queue, FOREVER) <= WEFT_OK));
    assert_eq!(weft::queue::await_released(None), Wake::Ready);
    for &port in &ports {
        while let Some(last) = drain_port(port) {
            racers[0].seen.extend(last);
        }
        ok(weft_port_release(port));
    }
    ok(weft_port_release(threaded));
    assert_eq!(weft::queue::callback::await_paid(None), Wake::Ready);
    racers[0].seen.append(&mut DELIVERED.lock().unwrap());
    queues.iter().for_each(|&queue| ok(weft_queue_release(queue)));
    let statuses = merge(&racers);
    let (mut accepted, mut counts) = (0, std::collections::BTreeMap::new());
    for racer in &racers {
        for (index, attempt) in racer.attempts.iter().enumerate() {
            let number = racer.thread * ATTEMPTS + index;
            let finalized = FINALIZED[number].load(SeqCst);
            assert_eq!(finalized, u8::from(attempt.accepted && attempt.finalizer), "finalizers of {number}");
            let told = (statuses[number], RAN[number].load(SeqCst), attempt.cancel, attempt.deadline);
            assert!(is_true(number, attempt, &statuses), "request {number}: {told:?} is not true");
            accepted += usize::from(attempt.accepted);
            *counts.entry(statuses[number]).or_insert(0) += usize::from(attempt.accepted);
        }
    }
    let refused: usize = racers.iter().map(|racer| racer.refused).sum();
    println!(
        "{accepted} requests accepted, each completed once; {refused} refused, none completed; by status {counts:?} \
         ({:.1} s)",
        start.elapsed().as_secs_f64()
    );
    assert_eq!(accepted, THREADS * SHARE);
    assert!(
        counts.iter().filter(|(_, count)| **count > 100).count() >= 4,
        "too little was raced: {counts:?}"
    );
}

/// Records that wait; `None` if there are none.
fn drain_port(port: u64) -> Option<Vec<(u64, i32)>> {
    let (mut records, mut count) = ([weft_completion::default(); 64], 0);
    // SAFETY: room for 64 records; a local.
    ok(unsafe { weft_port_poll(port, records.as_mut_ptr(), 64, &mut count) });
    let taken = records[..count as usize].iter().map(|record| (record.user_data, record.status));
    (count > 0).then(|| taken.collect())
}
