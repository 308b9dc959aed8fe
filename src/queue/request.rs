//! Requests: accepted work and its completion: one record, posted exactly once.
//!
//! Whoever wants to learn of it registers a [`Watch`]; waits are the first kind. Who claims the record, one of the worker, a
//! cancel and a deadline, sets it, and then tells each watch once.

use super::port::Port;
use crate::device::gate::{Gate, spin_until};
use crate::op::{Op, code::name};
use crate::status::{
    Error, WEFT_ERROR_CANCELLED, WEFT_ERROR_DEADLINE_EXCEEDED, WEFT_ERROR_INTERNAL, WEFT_NOT_READY, WEFT_OK,
    weft_status,
};
use crate::telemetry::trace::{self, Shape, Traced};
use crate::telemetry::{By, Ledger, log};
use crate::tell;
use once_cell::sync::OnceCell;
use parking_lot::Mutex;
use std::fmt::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::*};
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
    /// When it was submitted, in ticks.
    pub stamp: u64,
    /// The counters of its queue. Not to be touched once it is complete.
    ledger: &'static Ledger,
    /// Whose queue that is.
    pub account: u32,
    /// Whether a queue took it: only then may its deadline end it.
    accepted: AtomicBool,
    /// Whether somebody took it upon himself to set the record.
    claimed: AtomicBool,
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
    /// Work that nobody has begun, for the queue of `ledger`, to run after those of `after`; its completion goes to `port`,
    /// which has kept a place.
    pub fn new(
        op: Box<dyn Op>,
        tag: Tag,
        after: Vec<Arc<Request>>,
        port: Option<Arc<Port>>,
        ledger: &'static Ledger,
    ) -> Self {
        Self {
            tag,
            stamp: trace::stamp(),
            ledger,
            account: ledger.account(),
            claimed: AtomicBool::new(false),
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

    /// The requests that it waits for: they stay until `take_after`, for reports.
    pub fn after(&self, index: usize) -> Option<Arc<Request>> {
        self.after.as_ref()?.lock().get(index).cloned()
    }

    /// The same, for whoever runs it, and gone from here.
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

    /// Ends it with `error`, from another thread than the worker's, `ran` or not. `false` if somebody else ended it.
    fn end(&self, error: Error, ran: bool) -> bool {
        let claimed = self.claim();
        if claimed {
            if trace::on() && !ran {
                self.traced(&|_| Ok(())).dropped(error.status);
            }
            self.post(Outcome { error: Some(Box::new(error)), ..Default::default() }, By::Other);
        }
        claimed
    }

    /// Takes the record for the caller, who must then `post`. `false` if somebody else has it.
    pub fn claim(&self) -> bool {
        !self.claimed.swap(true, AcqRel)
    }

    /// Sets the record, counted before anyone can see it, and tells every watch. For whoever claimed it.
    pub fn post(&self, outcome: Outcome, by: By) {
        self.ledger.end(outcome.status(), by);
        if let Some(error) = &outcome.error {
            self.tell(error);
        }
        let _ = self.outcome.set(outcome); // the claim is what decides
        if let Some(port) = &self.port {
            port.post(self);
        }
        self.posted.store(true, Release);
        // A watch registered after this line sees the record itself: `watch` looks under the same lock.
        let watches = std::mem::take(&mut *self.watches.lock());
        watches.into_iter().flat_map(|watches| *watches).for_each(|watch| watch.completed(self));
    }

    /// Tells the log how it failed.
    fn tell(&self, error: &Error) {
        let (op, handle, queue) = (name(self.tag.op), self.handle.load(Relaxed), self.ledger.label());
        let (status, message) = (log::status_name(error.status), &error.message);
        match error.status {
            WEFT_ERROR_CANCELLED => {
                tell!(WEFT_LOG_INFO, "{op} (request {handle:#x}, queue {queue:#x}) was cancelled")
            }
            WEFT_ERROR_INTERNAL => tell!(
                WEFT_LOG_ERROR,
                "{op} (request {handle:#x}, queue {queue:#x}) ended with {status}: {message}"
            ),
            _ => tell!(
                WEFT_LOG_WARN,
                "{op} (request {handle:#x}, queue {queue:#x}) ended with {status}: {message}"
            ),
        }
    }

    /// What the trace and reports say of it; `shape` writes its shape.
    pub fn traced<'a>(&self, shape: &'a dyn Fn(&mut Shape) -> fmt::Result) -> Traced<'a> {
        let (handle, op) = (self.handle.load(Relaxed), name(self.tag.op));
        Traced { op, stamp: self.stamp, handle, ledger: self.ledger, shape }
    }

    /// Writes the shape of work that nobody has begun. `false` if somebody has.
    pub fn shape(&self, out: &mut dyn Write) -> bool {
        self.op.lock().as_ref().map(|op| op.shape(out)).is_some()
    }

    /// The handle of the queue that took it, while it is pending.
    pub fn queue(&self) -> u64 {
        self.ledger.label()
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
            let ran = self.take_op().is_none();
            let message = "the request's deadline passed before it completed";
            self.end(Error::new(WEFT_ERROR_DEADLINE_EXCEEDED, message), ran);
        }
    }

    /// Cancels work that has not begun.
    pub fn cancel(&self) -> Cancel {
        let Some(work) = self.take_op() else {
            return if self.outcome().is_some() { Cancel::Complete } else { Cancel::Begun };
        };
        drop(work);
        let error = Error::new(WEFT_ERROR_CANCELLED, "the request was cancelled before it ran");
        if self.end(error, false) {
            return Cancel::Done;
        }
        self.await_post();
        Cancel::Complete
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
            std::thread::yield_now();
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
