//! Requests: accepted work and its completion: one record, posted exactly once.
//!
//! Whoever wants to learn of it registers a [`Watch`]; waits are the first kind. Posting sets the record, then tells
//! each watch once. The record is what decides: a second post changes nothing and says so.

use super::port::Port;
use crate::device::gate::{Gate, spin_until};
use crate::op::Op;
use crate::status::{
    Error, WEFT_ERROR_CANCELLED, WEFT_ERROR_DEADLINE_EXCEEDED, WEFT_NOT_READY, WEFT_OK, weft_status,
};
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::*};
use crate::sync::{Mutex, OnceCell, yield_now};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a waiting thread spins before it sleeps.
const SPIN: Duration = Duration::from_micros(50);

/// A completion: what became of a request. Frozen: 64 bytes, whose fields never change.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_completion {
    /// The caller's own number, from weft_submit.
    pub user_data: u64,
    /// The request's handle; 0 if none was asked for.
    pub request: u64,
    /// WEFT_OK, or why it failed.
    pub status: weft_status,
    /// Which operation, a WEFT_OP constant.
    pub op: u32,
    /// 0.
    pub flags: u32,
    /// 0.
    pub reserved0: u32,
    /// Nanoseconds that the device spent on it.
    pub device_ns: u64,
    /// 0.
    pub result: u64,
    /// 0.
    pub reserved1: [u64; 2],
}

/// A function of the caller's, to be called with its own number and the record of a completion. It must not throw.
pub type weft_complete_fn = Option<unsafe extern "C" fn(user: u64, completion: *const weft_completion)>;

/// What the submitter said about a request.
#[derive(Clone, Copy, Default)]
pub struct Tag {
    /// Which operation, a WEFT_OP number.
    pub op: u32,
    /// The caller's own number.
    pub user_data: u64,
    /// Called for the completion when its port is dispatched.
    pub callback: weft_complete_fn,
}

/// What became of a request.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// `None` for success.
    pub error: Option<Box<Error>>,
    /// Nanoseconds that the device spent on it.
    pub device_ns: u64,
}

impl Outcome {
    /// The status that C sees.
    pub fn status(&self) -> weft_status {
        self.error.as_ref().map_or(WEFT_OK, |error| error.status)
    }
}

/// Someone to tell of completions.
pub trait Watch: Send + Sync {
    /// `request`'s record is set. Called once, on the thread that posted it, with no lock held.
    fn completed(&self, request: &Request);
}

/// Those to tell of one request.
type Watches = Vec<Arc<dyn Watch>>;

/// What became of an attempt to cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancel {
    /// It will not run: its completion says CANCELLED.
    Done,
    /// It had begun, and goes on.
    Begun,
    /// It was complete.
    Complete,
}

/// Accepted work.
pub struct Request {
    /// What the submitter said.
    pub tag: Tag,
    /// Its handle, 0 until it has one.
    pub handle: AtomicU64,
    /// Whether a queue took it: only then may its deadline end it.
    accepted: AtomicBool,
    /// Earlier requests that it waits for. Taken when it runs: a chain of requests must not keep itself alive.
    after: Option<Box<Mutex<Vec<Arc<Request>>>>>,
    /// Where its completion goes; it holds a place there.
    port: Option<Arc<Port>>,
    op: Mutex<Option<Box<dyn Op>>>,
    outcome: OnceCell<Outcome>,
    /// The record is set, and visible at the port too.
    posted: AtomicBool,
    /// Few requests are watched: boxed, so that the others stay small.
    watches: Mutex<Option<Box<Watches>>>,
}

impl Request {
    /// Work that nobody has begun, to run after those of `after`; its completion goes to `port`, which has kept a place.
    pub fn new(op: Box<dyn Op>, tag: Tag, after: Vec<Arc<Request>>, port: Option<Arc<Port>>) -> Self {
        Self {
            tag,
            handle: AtomicU64::new(0),
            accepted: AtomicBool::new(false),
            after: (!after.is_empty()).then(|| Box::new(Mutex::new(after))),
            port,
            op: Mutex::new(Some(op)),
            outcome: OnceCell::new(),
            posted: AtomicBool::new(false),
            watches: Mutex::new(None),
        }
    }

    /// The work, for whoever runs it; `None` the second time.
    pub fn take_op(&self) -> Option<Box<dyn Op>> {
        self.op.lock().take()
    }

    /// The requests that it waits for, for whoever runs it.
    pub fn take_after(&self) -> Vec<Arc<Request>> {
        self.after.as_ref().map(|after| std::mem::take(&mut *after.lock())).unwrap_or_default()
    }

    /// What became of it; `None` while it is pending.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.get()
    }

    /// The status, `WEFT_NOT_READY` while it is pending.
    pub fn status(&self) -> weft_status {
        self.outcome().map_or(WEFT_NOT_READY, Outcome::status)
    }

    /// Sets the record and tells every watch. `false` if the record was set before, which changes nothing.
    pub fn post(&self, outcome: Outcome) -> bool {
        if self.outcome.set(outcome).is_err() {
            return false;
        }
        if let Some(port) = &self.port {
            port.post(self);
        }
        self.posted.store(true, Release);
        // A watch registered after this line sees the record itself: `watch` looks under the same lock.
        let watches = std::mem::take(&mut *self.watches.lock());
        watches.into_iter().flat_map(|watches| *watches).for_each(|watch| watch.completed(self));
        true
    }

    /// A queue took the request; `deadline` is the moment by which it must be complete.
    pub fn accept(&self, deadline: Option<Instant>) {
        self.accepted.store(true, SeqCst);
        if deadline.is_some_and(|at| at <= Instant::now()) {
            self.expire();
        }
    }

    /// Its deadline passed. Work that has not begun is dropped and never runs; work that has goes on, and what it holds
    /// stays held, but nobody waits for it any more.
    pub fn expire(&self) {
        if self.accepted.load(SeqCst) {
            drop(self.take_op());
            let message = "the request's deadline passed before it completed";
            let error = Some(Box::new(Error::new(WEFT_ERROR_DEADLINE_EXCEEDED, message)));
            self.post(Outcome { error, ..Default::default() });
        }
    }

    /// Cancels work that has not begun.
    pub fn cancel(&self) -> Cancel {
        let Some(work) = self.take_op() else {
            return if self.outcome().is_some() { Cancel::Complete } else { Cancel::Begun };
        };
        drop(work);
        let error = Error::new(WEFT_ERROR_CANCELLED, "the request was cancelled before it ran");
        match self.post(Outcome { error: Some(Box::new(error)), ..Default::default() }) {
            true => Cancel::Done,
            false => Cancel::Complete,
        }
    }

    /// The completion as C sees it.
    pub fn record(&self) -> weft_completion {
        let outcome = self.outcome();
        weft_completion {
            user_data: self.tag.user_data,
            request: self.handle.load(SeqCst),
            status: self.status(),
            op: self.tag.op,
            device_ns: outcome.map_or(0, |outcome| outcome.device_ns),
            ..Default::default()
        }
    }

    /// Waits for whoever took the work in place of the worker to have posted the completion: a matter of moments.
    pub fn await_post(&self) {
        while !self.posted.load(Acquire) {
            yield_now();
        }
    }

    /// Registers `watch`. `false` if the request is complete: then the watch is not told.
    pub fn watch(&self, watch: Arc<dyn Watch>) -> bool {
        let mut watches = self.watches.lock();
        if self.outcome.get().is_some() {
            return false;
        }
        watches.get_or_insert_default().push(watch);
        true
    }

    /// Takes `watch` back.
    pub fn unwatch(&self, watch: &Arc<dyn Watch>) {
        if let Some(watches) = self.watches.lock().as_mut() {
            watches.retain(|other| !Arc::ptr_eq(other, watch));
        }
    }
}

/// A sleeping thread's watch: how many of its requests completed.
#[derive(Default)]
struct Signal {
    gate: Gate,
    completed: AtomicUsize,
}

impl Watch for Signal {
    fn completed(&self, _: &Request) {
        self.completed.fetch_add(1, SeqCst);
        self.gate.open();
    }
}

/// Waits until all (or, with `any`, at least one) of `requests` are complete. `false` if `deadline` came before.
pub fn wait(requests: &[Arc<Request>], any: bool, deadline: Option<Instant>) -> bool {
    let done = || {
        let complete = |request: &Arc<Request>| request.outcome().is_some();
        if any { requests.iter().any(complete) } else { requests.iter().all(complete) }
    };
    let spin = deadline.map_or(SPIN, |at| at.saturating_duration_since(Instant::now()).min(SPIN));
    spin_until(spin, done) || sleep(requests, any, deadline)
}

fn sleep(requests: &[Arc<Request>], any: bool, deadline: Option<Instant>) -> bool {
    let signal = Arc::new(Signal::default());
    let watch: Arc<dyn Watch> = signal.clone();
    let pending = requests.iter().filter(|request| request.watch(watch.clone())).count();
    let already = requests.len() - pending;
    let needed = if any { 1 } else { requests.len() };
    let open = || already + signal.completed.load(SeqCst) >= needed;
    let answer = signal.gate.wait(Duration::ZERO, deadline, open);
    requests.iter().for_each(|request| request.unwatch(&watch));
    answer
}
