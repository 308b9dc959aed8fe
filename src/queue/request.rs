//! Requests: accepted work and its completion: one record, posted exactly once.
//!
//! Who claims the record, one of the worker, a cancel and a deadline, decides what became of the request: a second post
//! changes nothing and says so. The first is counted, traced and logged, and then sets the record for all to see. The request is complete, for everyone
//! who asks, when the record is at its port too: a wait that returned finds it there, and a record that was taken there is
//! of a complete request. Then each [`Watch`] is told once.

use super::finalizer::{Due, Finalizer};
pub use super::outcome::{Outcome, weft_complete_fn, weft_completion};
use super::port::Port;
use crate::device::cuda::Watched;
use crate::op::{Husk, Op, code::name};
use crate::status::{
    Error, WEFT_ERROR_CANCELLED, WEFT_ERROR_DEADLINE_EXCEEDED, WEFT_ERROR_INTERNAL, WEFT_NOT_READY,
    weft_status,
};
use crate::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::*};
use crate::sync::{Mutex, OnceCell, yield_now};
use crate::telemetry::trace::{self, Shape, Traced};
use crate::telemetry::{By, Ledger, log};
use crate::tell;
use std::fmt::{self, Write};
use std::sync::{Arc, Weak};
use std::time::Instant;

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

/// What few submitters say about a request.
pub struct Rare {
    /// Earlier requests that it waits for. Taken when it runs: a chain of requests must not keep itself alive.
    after: Mutex<Vec<Arc<Request>>>,
    finalizer: Mutex<Option<Finalizer>>,
}

impl Rare {
    /// To run after those of `after`; `finalizer` is called when nothing of the request is left to call.
    pub fn new(after: Vec<Arc<Request>>, finalizer: Option<Finalizer>) -> Option<Box<Self>> {
        let any = !after.is_empty() || finalizer.is_some();
        any.then(|| Box::new(Self { after: Mutex::new(after), finalizer: Mutex::new(finalizer) }))
    }
}

/// Someone to tell of completions.
pub trait Watch: Send + Sync {
    /// `request` is complete. Called once, on the thread that posted it, with no lock held.
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

/// How far posting has got: not there yet, the port has the record, nothing is left to do but to tell watches.
const PENDING: u8 = 0;
const POSTED: u8 = 1;
const SETTLED: u8 = 2;

/// The operation until it runs, then its memory.
struct Work {
    op: Option<Box<dyn Op>>,
    husk: Option<Husk>,
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
    pub(super) claimed: AtomicBool,
    /// Whether the work was dropped before it began, set with `work` locked.
    withdrawn: AtomicBool,
    /// `PENDING`, `POSTED` (at a port) or `SETTLED`.
    posted: AtomicU8,
    rare: Option<Box<Rare>>,
    /// Who can see that a device is done with it: a thread that waits for it may look by itself.
    flights: Option<Weak<dyn Watched>>,
    /// Where its completion goes; it holds a place there.
    pub(super) port: Option<Arc<Port>>,
    work: Mutex<Work>,
    /// Whether the CPU is done with it in a few microseconds.
    pub brief: bool,
    /// The address and the size of the operation, only to ask for its memory.
    pub(super) place: (usize, usize),
    outcome: OnceCell<Outcome>,
    /// Few requests are watched: boxed, so that the others stay small.
    watches: Mutex<Option<Box<Watches>>>,
}

impl Request {
    /// Work that nobody has begun, for the queue of `ledger`; its completion goes to `port`, which has kept a place.
    #[inline(always)]
    pub fn new(
        op: Box<dyn Op>,
        tag: Tag,
        rare: Option<Box<Rare>>,
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
            withdrawn: AtomicBool::new(false),
            posted: AtomicU8::new(PENDING),
            rare,
            flights: None,
            port,
            brief: op.is_brief(),
            place: ((&raw const *op).cast::<u8>().addr(), size_of_val(&*op)),
            work: Mutex::new(Work { op: Some(op), husk: None }),
            outcome: OnceCell::new(),
            watches: Mutex::new(None),
        }
    }

    /// The same, launched on a device by the queue behind `flights`.
    #[inline(always)]
    pub fn flying(self, flights: Option<Weak<dyn Watched>>) -> Self {
        Self { flights, ..self }
    }

    /// Who may look whether the device is done with it.
    pub fn flights(&self) -> Option<Arc<dyn Watched>> {
        self.flights.as_ref()?.upgrade()
    }

    /// A thread waits for it, and submits nothing meanwhile.
    pub fn note_wait(&self) {
        self.ledger.note_wait();
    }

    /// Whether it is complete, after a look at the device.
    pub fn look(&self) -> bool {
        if self.outcome().is_none()
            && let Some(flights) = self.flights()
        {
            flights.look();
        }
        self.outcome().is_some()
    }

    /// The work, for the worker; `None` if it was dropped before. With it goes a hold on the finalizer, which waits for
    /// the device even when an overdue request completes before.
    pub fn begin(&self) -> Option<(Box<dyn Op>, Option<Due>)> {
        let op = self.work.lock().op.take()?;
        Some((op, self.hold_finalizer()))
    }

    /// Whether it waits for no other request and has no finalizer.
    pub fn is_plain(&self) -> bool {
        self.rare.is_none()
    }

    /// Takes back work of [`begin`](Self::begin) of which nothing was done.
    pub fn resume(&self, op: Box<dyn Op>) {
        self.work.lock().op = Some(op);
    }

    /// Keeps the memory of work that is over, for whoever frees the request.
    pub fn keep(&self, husk: Option<Husk>) {
        self.work.lock().husk = husk;
    }

    fn hold_finalizer(&self) -> Option<Due> {
        self.rare.as_ref()?.finalizer.lock().as_ref().map(Finalizer::due)
    }

    /// The work, for whoever drops it; `None` if it has begun or was dropped before.
    fn withdraw(&self) -> Option<Box<dyn Op>> {
        let mut work = self.work.lock();
        if work.op.is_some() {
            self.withdrawn.store(true, Relaxed);
        }
        work.op.take()
    }

    /// The requests that it waits for: they stay until `take_after`, for reports.
    pub fn after(&self, index: usize) -> Option<Arc<Request>> {
        self.rare.as_ref()?.after.lock().get(index).cloned()
    }

    /// The same, for whoever runs it, and gone from here.
    pub fn take_after(&self) -> Vec<Arc<Request>> {
        self.rare.as_ref().map(|rare| std::mem::take(&mut *rare.after.lock())).unwrap_or_default()
    }

    /// Its finalizer, due now, for whoever posts the completion.
    pub(super) fn take_finalizer(&self) -> Option<Due> {
        self.rare.as_ref()?.finalizer.lock().take().map(|finalizer| finalizer.due())
    }

    /// What became of it; `None` until it is complete: without a port as soon as the record is set.
    pub fn outcome(&self) -> Option<&Outcome> {
        // The record first: who spins here touches no other cache line while the worker writes to them.
        let outcome = self.outcome.get()?;
        let posted = self.port.is_none() || self.posted.load(Acquire) != PENDING;
        posted.then_some(outcome)
    }

    /// The status, `WEFT_NOT_READY` while it is pending.
    pub fn status(&self) -> weft_status {
        self.outcome().map_or(WEFT_NOT_READY, Outcome::status)
    }

    /// Sets the record and tells everyone. `false` if somebody else does, or did, which changes nothing. Before anyone can
    /// see the record it is counted, told to the log, and shown to `trace`.
    pub fn post(&self, outcome: Outcome, by: By, trace: impl FnOnce(weft_status)) -> bool {
        if self.claimed.swap(true, AcqRel) {
            return false;
        }
        self.ledger.end(outcome.status(), by);
        trace(outcome.status());
        if let Some(error) = outcome.error() {
            self.tell(error);
        }
        let _ = self.outcome.set(outcome); // the claim is what decides
        if let Some(port) = &self.port {
            port.post(self);
        }
        let finalizer = self.take_finalizer();
        if finalizer.is_none() {
            // At once, while the record's cache line is still here.
            self.posted.store(SETTLED, Release);
        }
        // A watch registered after this line sees that it is complete: `watch` looks under the same lock.
        let watches = std::mem::take(&mut *self.watches.lock());
        watches.into_iter().flat_map(|watches| *watches).for_each(|watch| watch.completed(self));
        if finalizer.is_some() {
            // Without a port nobody else calls it: the library's thread does.
            drop(finalizer);
            self.posted.store(SETTLED, Release);
        }
        true
    }

    /// Ends it with `error`, on any thread but its worker's. `false` if somebody else did.
    fn end(&self, error: Error) -> bool {
        self.post(Outcome::failed(error), By::Other, |status| {
            // Of work that began the worker tells.
            if trace::on() && self.withdrawn.load(Relaxed) {
                self.traced(&|_| Ok(())).dropped(status);
            }
        })
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
        self.work.lock().op.as_ref().map(|op| op.shape(out)).is_some()
    }

    /// The handle of the queue that took it, while it is pending.
    pub fn queue(&self) -> u64 {
        self.ledger.label()
    }

    /// The port has the record: from here on the request is complete.
    pub(super) fn publish(&self) {
        self.posted.store(POSTED, Release);
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
            let work = self.withdraw();
            let message = "the request's deadline passed before it completed";
            self.end(Error::new(WEFT_ERROR_DEADLINE_EXCEEDED, message));
            drop(work); // after the completion: a driver that holds up the release of its memory must not hold up that
        }
    }

    /// Cancels work that has not begun.
    pub fn cancel(&self) -> Cancel {
        if let Some(work) = self.withdraw() {
            drop(work);
            let error = Error::new(WEFT_ERROR_CANCELLED, "the request was cancelled before it ran");
            if self.end(error) {
                return Cancel::Done;
            }
        }
        if self.withdrawn.load(Relaxed) {
            // Whoever dropped the work before, or was faster to claim the record, is about to post the completion.
            self.await_settled();
        }
        if self.outcome().is_some() { Cancel::Complete } else { Cancel::Begun }
    }

    /// The completion as C sees it.
    pub fn record(&self) -> weft_completion {
        let outcome = self.outcome.get();
        weft_completion {
            user_data: self.tag.user_data,
            request: self.handle.load(SeqCst),
            status: outcome.map_or(WEFT_NOT_READY, Outcome::status),
            op: self.tag.op,
            device_ns: outcome.map_or(0, |outcome| outcome.device_ns),
            ..Default::default()
        }
    }

    /// Waits for whoever dropped the work, or ended the request, to have posted the completion: a matter of moments.
    pub fn await_settled(&self) {
        while self.posted.load(Acquire) != SETTLED {
            yield_now();
        }
    }

    /// Registers `watch`. `false` if the request is complete: then the watch is not told.
    pub fn watch(&self, watch: Arc<dyn Watch>) -> bool {
        let mut watches = self.watches.lock();
        if self.outcome().is_some() {
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
