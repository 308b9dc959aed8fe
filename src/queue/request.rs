//! Requests: accepted work and its completion: one record, posted exactly once.
//!
//! Whoever wants to learn of it registers a [`Watch`]; waits are the first kind. Posting sets the record, then tells
//! each watch once. The record is what decides: a second post changes nothing and says so.

use crate::device::gate::{Gate, spin_until};
use crate::op::Op;
use crate::status::{Error, WEFT_NOT_READY, WEFT_OK, weft_status};
use once_cell::sync::OnceCell;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// How long a waiting thread spins before it sleeps.
const SPIN: Duration = Duration::from_micros(50);

/// What the submitter said about a request.
#[derive(Clone, Copy, Default)]
pub struct Tag {
    /// Which operation, a WEFT_OP number.
    pub op: u32,
    /// The caller's own number.
    pub user_data: u64,
}

/// What became of a request.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// `None` for success.
    pub error: Option<Error>,
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

/// Accepted work.
pub struct Request {
    /// What the submitter said.
    pub tag: Tag,
    /// Its handle, 0 until it has one.
    pub handle: AtomicU64,
    op: Mutex<Option<Box<dyn Op>>>,
    outcome: OnceCell<Outcome>,
    watches: Mutex<Vec<Arc<dyn Watch>>>,
}

impl Request {
    /// Work that nobody has begun.
    pub fn new(op: Box<dyn Op>, tag: Tag) -> Self {
        let handle = AtomicU64::new(0);
        Self {
            tag,
            handle,
            op: Mutex::new(Some(op)),
            outcome: OnceCell::new(),
            watches: Mutex::new(Vec::new()),
        }
    }

    /// The work, for whoever runs it; `None` the second time.
    pub fn take_op(&self) -> Option<Box<dyn Op>> {
        self.op.lock().take()
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
        // A watch registered after this line sees the record itself: `watch` looks under the same lock.
        let watches = std::mem::take(&mut *self.watches.lock());
        watches.iter().for_each(|watch| watch.completed(self));
        true
    }

    /// Registers `watch`. `false` if the request is complete: then the watch is not told.
    pub fn watch(&self, watch: Arc<dyn Watch>) -> bool {
        let mut watches = self.watches.lock();
        if self.outcome.get().is_some() {
            return false;
        }
        watches.push(watch);
        true
    }

    /// Takes `watch` back.
    pub fn unwatch(&self, watch: &Arc<dyn Watch>) {
        self.watches.lock().retain(|other| !Arc::ptr_eq(other, watch));
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
