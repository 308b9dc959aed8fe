//! Ledgers: the counters of one queue, each on the cache lines of the thread that writes it, summed when somebody asks.
//!
//! A ledger is lent to a queue and goes back when its worker ends; what it counted is then added to its account (a
//! context's) and to the process's. Requests point to their queue's ledger without a count of references: a queue's worker
//! outlives every request that it accepted until that is complete, and nobody writes to the ledger after that.

use super::histogram::{BUCKETS, Buckets, Histogram, bump};
use crate::status::*;
use crate::sync::Line;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::*, fence};

/// How a request ended, as statistics tell it apart.
const ENDINGS: usize = 6;

/// The place in the table of endings.
fn ending(status: weft_status) -> usize {
    match status {
        WEFT_OK => 0,
        WEFT_ERROR_CANCELLED => 2,
        WEFT_ERROR_DEADLINE_EXCEEDED => 3,
        WEFT_ERROR_DEPENDENCY_FAILED => 4,
        WEFT_ERROR_DEVICE_LOST => 5,
        _ => 1,
    }
}

/// Who ended a request: the queue's worker, or somebody else (a cancel, a deadline).
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The one thread that writes the worker's counters.
    Worker,
    /// Any other thread.
    Other,
}

/// Bytes that a request moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Host to buffer.
    pub written: u64,
    /// Buffer to host.
    pub read: u64,
    /// Buffer to buffer.
    pub copied: u64,
    /// By weft_fill.
    pub filled: u64,
}

/// What the worker counts.
struct Work {
    ended: [AtomicU64; ENDINGS],
    written: AtomicU64,
    read: AtomicU64,
    copied: AtomicU64,
    filled: AtomicU64,
    wait_ns: AtomicU64,
    run_ns: AtomicU64,
    wait: Histogram,
    run: Histogram,
}

/// What others count, with locked instructions: rare.
struct Rare {
    ended: [AtomicU64; ENDINGS],
    refused: AtomicU64,
}

/// What the worker runs; `since` is 0 while it runs nothing, and is changed first and last.
struct Now {
    since: AtomicU64,
    op: AtomicU32,
    handle: AtomicU64,
}

/// What a queue's worker runs.
#[derive(Clone, Copy, Debug)]
pub struct Running {
    /// Since when, in ticks.
    pub since: u64,
    /// Which operation.
    pub op: u32,
    /// The request's handle, or 0.
    pub handle: u64,
}

/// The counters of one queue.
pub struct Ledger {
    account: AtomicU32,
    /// What the border calls the queue: its handle.
    label: AtomicU64,
    /// The worker's thread, as the system numbers it.
    track: AtomicU32,
    /// Whether the trace has its name.
    named: AtomicBool,
    /// Whether somebody waited for one of its requests since this was last asked.
    waited: AtomicBool,
    submitted: Line<AtomicU64>,
    work: Line<Work>,
    rare: Line<Rare>,
    now: Line<Now>,
}

const fn zeroes<const N: usize>() -> [AtomicU64; N] {
    [const { AtomicU64::new(0) }; N]
}

impl Ledger {
    const fn new() -> Self {
        let [written, read, copied, filled, wait_ns, run_ns] = zeroes();
        let (wait, run, ended) = (Histogram::new(), Histogram::new(), zeroes());
        let work = Work { ended, written, read, copied, filled, wait_ns, run_ns, wait, run };
        Self {
            account: AtomicU32::new(0),
            label: AtomicU64::new(0),
            track: AtomicU32::new(0),
            named: AtomicBool::new(false),
            waited: AtomicBool::new(false),
            submitted: Line(AtomicU64::new(0)),
            work: Line(work),
            rare: Line(Rare { ended: zeroes(), refused: AtomicU64::new(0) }),
            now: Line(Now { since: AtomicU64::new(0), op: AtomicU32::new(0), handle: AtomicU64::new(0) }),
        }
    }

    /// Somebody waits for one of its requests: a hint, which a request may give at any time.
    pub fn note_wait(&self) {
        self.waited.store(true, Relaxed);
    }

    /// Whether somebody waited since the last call. By one thread at a time.
    pub fn was_waited_for(&self) -> bool {
        let waited = self.waited.load(Relaxed);
        if waited {
            self.waited.store(false, Relaxed);
        }
        waited
    }

    /// How many requests were accepted.
    pub fn submitted(&self) -> &AtomicU64 {
        &self.submitted.0
    }

    /// A request was refused: the queue or its port was full.
    pub fn refuse(&self) {
        self.rare.0.refused.fetch_add(1, Relaxed);
    }

    /// A request ended. Called before anyone can see that it did.
    pub fn end(&self, status: weft_status, by: By) {
        match by {
            By::Worker => bump(&self.work.0.ended[ending(status)], 1),
            By::Other => drop(self.rare.0.ended[ending(status)].fetch_add(1, Release)),
        }
    }

    /// The worker begins to run a request.
    pub fn begin(&self, running: Running) {
        let now = &self.now.0;
        now.since.store(0, Relaxed);
        fence(Release);
        now.op.store(running.op, Relaxed);
        now.handle.store(running.handle, Relaxed);
        now.since.store(running.since.max(1), Release);
    }

    /// Its work is done, after so many nanoseconds in the queue and in work.
    pub fn ran(&self, wait_ns: u64, run_ns: u64, traffic: Traffic) {
        let work = &self.work.0;
        self.now.0.since.store(0, Relaxed);
        work.wait.note(wait_ns);
        work.run.note(run_ns);
        bump(&work.wait_ns, wait_ns);
        bump(&work.run_ns, run_ns);
        if traffic != Traffic::default() {
            bump(&work.written, traffic.written);
            bump(&work.read, traffic.read);
            bump(&work.copied, traffic.copied);
            bump(&work.filled, traffic.filled);
        }
    }

    /// What runs now. `None` if nothing does, or when it just changes.
    pub fn running(&self) -> Option<Running> {
        let now = &self.now.0;
        let since = now.since.load(Acquire);
        let (op, handle) = (now.op.load(Relaxed), now.handle.load(Relaxed));
        fence(Acquire);
        let same = since != 0 && now.since.load(Relaxed) == since;
        same.then_some(Running { since, op, handle })
    }

    /// Whose queue it is.
    pub fn account(&self) -> u32 {
        self.account.load(Relaxed)
    }

    /// The queue's handle; 0 until it has one.
    pub fn label(&self) -> u64 {
        self.label.load(Relaxed)
    }

    /// The queue has this handle from here on.
    pub fn set_label(&self, label: u64) {
        self.label.store(label, Relaxed);
    }

    /// The thread that runs the requests.
    pub fn track(&self) -> u32 {
        self.track.load(Relaxed)
    }

    /// The calling thread runs the requests.
    pub fn set_track(&self, track: u32) {
        self.track.store(track, Relaxed);
    }

    /// Whether this is the first call since the queue was made.
    pub fn is_first_naming(&self) -> bool {
        !self.named.load(Relaxed) && !self.named.swap(true, Relaxed)
    }

    fn read(&self) -> Totals {
        let (work, rare) = (&self.work.0, &self.rare.0);
        let value = |counter: &AtomicU64| counter.load(Acquire);
        // Endings before submissions: what ended was submitted.
        let ended = std::array::from_fn(|i| value(&work.ended[i]) + value(&rare.ended[i]));
        let traffic = Traffic {
            written: value(&work.written),
            read: value(&work.read),
            copied: value(&work.copied),
            filled: value(&work.filled),
        };
        Totals {
            ended,
            traffic,
            refused: value(&rare.refused),
            wait_ns: value(&work.wait_ns),
            run_ns: value(&work.run_ns),
            wait: work.wait.read(),
            run: work.run.read(),
            submitted: value(&self.submitted.0),
        }
    }

    /// As new, for another queue.
    fn clear(&self) {
        let (work, rare) = (&self.work.0, &self.rare.0);
        let counters = [&work.written, &work.read, &work.copied, &work.filled, &work.wait_ns, &work.run_ns];
        let more = [&self.label, &self.submitted.0, &rare.refused, &self.now.0.since];
        let all = counters.into_iter().chain(more).chain(&work.ended).chain(&rare.ended);
        all.for_each(|counter| counter.store(0, Relaxed));
        work.wait.clear();
        work.run.clear();
        self.named.store(false, Relaxed);
        self.track.store(0, Relaxed);
    }
}

/// Sums of some ledgers.
#[derive(Clone)]
pub struct Totals {
    /// Requests accepted.
    pub submitted: u64,
    /// Requests refused for want of room.
    pub refused: u64,
    /// Requests complete: ok, failed, cancelled, deadline exceeded, dependency failed, device lost.
    pub ended: [u64; ENDINGS],
    /// Bytes moved.
    pub traffic: Traffic,
    /// Nanoseconds that the requests which ran had spent in their queues.
    pub wait_ns: u64,
    /// Nanoseconds that they ran.
    pub run_ns: u64,
    /// The same by powers of two.
    pub wait: Buckets,
    /// The same by powers of two.
    pub run: Buckets,
}

impl Totals {
    const fn new() -> Self {
        Self {
            submitted: 0,
            refused: 0,
            ended: [0; ENDINGS],
            traffic: Traffic { written: 0, read: 0, copied: 0, filled: 0 },
            wait_ns: 0,
            run_ns: 0,
            wait: [0; BUCKETS],
            run: [0; BUCKETS],
        }
    }

    fn add(&mut self, other: &Self) {
        let add = |to: &mut u64, by: u64| *to = to.wrapping_add(by);
        add(&mut self.submitted, other.submitted);
        add(&mut self.refused, other.refused);
        add(&mut self.wait_ns, other.wait_ns);
        add(&mut self.run_ns, other.run_ns);
        add(&mut self.traffic.written, other.traffic.written);
        add(&mut self.traffic.read, other.traffic.read);
        add(&mut self.traffic.copied, other.traffic.copied);
        add(&mut self.traffic.filled, other.traffic.filled);
        self.ended.iter_mut().zip(other.ended).for_each(|(to, by)| add(to, by));
        self.wait.iter_mut().zip(other.wait).for_each(|(to, by)| add(to, by));
        self.run.iter_mut().zip(other.run).for_each(|(to, by)| add(to, by));
    }
}

/// The ledgers in use, those to be lent again, and what all that came back had counted.
struct Book {
    open: Vec<&'static Ledger>,
    free: Vec<&'static Ledger>,
    closed: Totals,
}

static BOOK: Mutex<Book> = Mutex::new(Book { open: Vec::new(), free: Vec::new(), closed: Totals::new() });

/// Whose queues are summed together: a context's.
pub struct Account {
    number: u32,
    closed: Mutex<Totals>,
}

impl Default for Account {
    fn default() -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let number = LAST.fetch_add(1, Relaxed).wrapping_add(1);
        Self { number, closed: Mutex::new(Totals::new()) }
    }
}

impl Account {
    /// A number that no other live account has.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// A ledger for a new queue. Leaked, for requests point to it; given back it serves the next queue.
    pub fn open(&self) -> Result<&'static Ledger> {
        let mut book = BOOK.lock();
        let count = book.open.len() + book.free.len() + 1;
        let refused = |_| Error::out_of_memory(size_of::<Ledger>());
        let Book { open, free, .. } = &mut *book;
        open.try_reserve(1).map_err(refused)?;
        // Room for every ledger, so that giving one back never allocates.
        free.try_reserve(count - free.len()).map_err(refused)?;
        let ledger = free.pop().unwrap_or_else(|| Box::leak(Box::new(Ledger::new())));
        ledger.clear();
        ledger.account.store(self.number, Relaxed);
        open.push(ledger);
        Ok(ledger)
    }

    /// Takes a ledger back, after the last request of its queue.
    pub fn close(&self, ledger: &'static Ledger) {
        let mut book = BOOK.lock();
        let totals = ledger.read();
        book.closed.add(&totals);
        self.closed.lock().add(&totals);
        book.open.retain(|open| !std::ptr::eq(*open, ledger));
        book.free.push(ledger);
    }
}

/// The sums of an account, or of the process.
pub fn totals(account: Option<&Account>) -> Totals {
    let book = BOOK.lock();
    let mut sum = account.map_or_else(|| book.closed.clone(), |account| account.closed.lock().clone());
    let ours = |ledger: &&&Ledger| account.is_none_or(|account| account.number == ledger.account());
    book.open.iter().filter(ours).for_each(|ledger| sum.add(&ledger.read()));
    sum
}
