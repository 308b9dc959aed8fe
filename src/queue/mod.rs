//! Queues: requests in, completions out, both in order.
//!
//! A bounded ring feeds one worker thread a queue. Requests of one queue run one after another; requests of different
//! queues run side by side. A queue whose last owner is gone finishes what it accepted, then its worker ends.

mod port;
mod request;
mod timer;

pub use port::Port;
pub use request::{Cancel, Outcome, Request, Tag, Watch, wait, weft_complete_fn, weft_completion};
pub use timer::schedule;

use crate::device::gate::{Gate, deadline};
use crate::device::{Context, Device, thread};
use crate::op::Op;
use crate::status::{Error, Result, WEFT_ERROR_DEPENDENCY_FAILED};
use crate::telemetry::trace::{self, Shape};
use crate::telemetry::{By, Ledger, Running, Traffic, clock};
use crate::tell;
use parking_lot::Mutex;
use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::*};
use std::time::{Duration, Instant};

/// How long an idle worker spins before it sleeps.
const SPIN: Duration = Duration::from_micros(50);

/// How long a queue's head waits for other queues until the log is told.
const STALL: Duration = Duration::from_secs(1);

/// Workers of released queues that have not ended yet, and where to wait for them.
static ENDING: AtomicUsize = AtomicUsize::new(0);
static ENDED: Gate = Gate::new();

/// Waits until what released queues had accepted is complete and their memory is free. `false` if `deadline` came before.
pub fn await_released(deadline: Option<Instant>) -> bool {
    ENDED.wait(Duration::ZERO, deadline, || ENDING.load(SeqCst) == 0)
}

/// An ordered stream of requests to one device.
pub struct Queue {
    core: Arc<Core>,
}

/// What the queue and its worker share.
struct Core {
    context: Arc<Context>,
    depth: u64,
    priority: usize,
    ring: Mutex<Ring>,
    /// What is counted; `ledger.submitted` and `completed` are the queue's timeline.
    ledger: &'static Ledger,
    completed: Line<AtomicU64>,
    closed: AtomicBool,
    /// The worker waits here for requests, submitters and drains for completions.
    filled: Gate,
    emptied: Gate,
    /// The first failure that nobody holds a handle for, until a drain reports it.
    unseen: Mutex<Option<Error>>,
    /// The head of the queue while it waits for other requests, and since when.
    blocked: Mutex<Option<Blocked>>,
}

/// A request that waits for others, and since which tick.
pub type Blocked = (Arc<Request>, u64);

/// Accepted requests that the worker has not taken yet.
struct Ring {
    requests: VecDeque<Arc<Request>>,
    /// Completed requests on their way back to the submitter, who frees what it allocated: an allocator is slow when
    /// one thread frees what another allocates.
    spent: VecDeque<Arc<Request>>,
    /// Whether the queue is in its priority's lane: it has work, taken by the worker or not.
    busy: bool,
    /// `completed` as it was last seen: looked at again only when the queue seems full.
    completed: u64,
}

/// Alone on its cache line: one side writes it while the other writes something else.
#[repr(align(128))]
struct Line<T>(T);

fn reserve(depth: u32) -> Result<VecDeque<Arc<Request>>> {
    let mut requests = VecDeque::new();
    let enough = requests.try_reserve(depth as usize);
    enough.map_err(|_| Error::out_of_memory(depth as usize * size_of::<Arc<Request>>()))?;
    Ok(requests)
}

impl Queue {
    /// Starts a queue that holds at most `depth` requests, of priority 0 (lowest) to 2.
    pub fn new(context: Arc<Context>, depth: u32, priority: usize) -> Result<Self> {
        let ring = Ring { requests: reserve(depth)?, spent: reserve(depth)?, busy: false, completed: 0 };
        let batch = reserve(depth)?;
        let ledger = context.account.open()?;
        let core = Arc::new(Core {
            context,
            depth: u64::from(depth),
            priority,
            ring: Mutex::new(ring),
            ledger,
            completed: Line(AtomicU64::new(0)),
            closed: AtomicBool::new(false),
            filled: Gate::new(),
            emptied: Gate::new(),
            unseen: Mutex::new(None),
            blocked: Mutex::new(None),
        });
        let worker = core.clone();
        let started = thread::spawn(c"weft-queue", move || {
            worker.ledger.set_track(trace::thread());
            worker.serve(batch);
            worker.context.account.close(worker.ledger);
            drop(worker);
            ENDING.fetch_sub(1, SeqCst);
            ENDED.open();
        });
        if let Err(error) = started {
            core.context.account.close(ledger);
            return Err(error);
        }
        Ok(Self { core })
    }

    /// The context whose device runs the requests.
    pub fn context(&self) -> &Arc<Context> {
        &self.core.context
    }

    /// How many requests it holds at the most.
    pub fn depth(&self) -> u64 {
        self.core.depth
    }

    /// How many requests were accepted so far, and how many of them are complete.
    pub fn progress(&self) -> (u64, u64) {
        let completed = self.core.completed.0.load(SeqCst);
        (self.core.ledger.submitted().load(SeqCst), completed)
    }

    /// Its counters.
    pub fn ledger(&self) -> &'static Ledger {
        self.core.ledger
    }

    /// Its priority, 0 (lowest) to 2.
    pub fn priority(&self) -> usize {
        self.core.priority
    }

    /// The head, while it waits for requests of other queues.
    pub fn blocked(&self) -> Option<Blocked> {
        self.core.blocked.lock().clone()
    }

    /// Accepts `request`; when the queue is full, waits up to `timeout_ns` for room. `false` if there was none.
    pub fn submit(&self, request: Arc<Request>, timeout_ns: u64) -> bool {
        if trace::on() { self.submit_traced(request, timeout_ns) } else { self.accept(request, timeout_ns) }
    }

    fn submit_traced(&self, request: Arc<Request>, timeout_ns: u64) -> bool {
        let (mut shape, kept) = (Shape::default(), request.clone());
        request.shape(&mut shape);
        let accepted = self.accept(request, timeout_ns);
        if accepted {
            kept.traced(&|out| out.write_str(shape.text())).submitted();
        }
        accepted
    }

    fn accept(&self, request: Arc<Request>, timeout_ns: u64) -> bool {
        let (core, request) = (&*self.core, Cell::new(Some(request)));
        if core.push(&request) {
            return true;
        }
        let accepted =
            timeout_ns > 0 && core.emptied.wait(Duration::ZERO, deadline(timeout_ns), || core.push(&request));
        if !accepted {
            self.refuse("the queue is");
        }
        accepted
    }

    /// Counts a request that was refused for want of room; `what` is full.
    pub fn refuse(&self, what: &str) {
        self.core.ledger.refuse();
        tell!(WEFT_LOG_DEBUG, "queue {:#x} refused a request: {what} full", self.core.ledger.label());
    }

    /// Waits until all that was accepted before the call is complete. `None` on timeout; else the first failure since
    /// the last drain among requests without a handle.
    pub fn drain(&self, timeout_ns: u64) -> Option<Result<()>> {
        let core = &*self.core;
        let goal = core.ledger.submitted().load(SeqCst);
        let done = || core.completed.0.load(SeqCst) >= goal;
        let spin = Duration::from_micros(20).min(Duration::from_nanos(timeout_ns));
        let answer = core.emptied.wait(spin, deadline(timeout_ns), done);
        answer.then(|| core.unseen.lock().take().map_or(Ok(()), Err))
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        ENDING.fetch_add(1, SeqCst);
        self.core.closed.store(true, SeqCst);
        self.core.filled.open();
    }
}

impl Core {
    /// Takes `request` if there is room. By value: the submitter must not touch it again while the worker runs it, for
    /// its cache line would travel.
    fn push(&self, request: &Cell<Option<Arc<Request>>>) -> bool {
        let mut ring = self.ring.lock();
        let submitted = self.ledger.submitted().load(Relaxed);
        if submitted - ring.completed >= self.depth {
            ring.completed = self.completed.0.load(Acquire);
            if submitted - ring.completed >= self.depth {
                return false;
            }
        }
        ring.requests.extend(request.take());
        if !ring.busy {
            ring.busy = true;
            self.context.lanes.enter(self.priority);
        }
        self.ledger.submitted().store(submitted + 1, Release);
        let spent = (ring.spent.pop_front(), ring.spent.pop_front());
        drop(ring);
        self.filled.open();
        drop(spent);
        true
    }

    /// The worker's life: takes all that waits at once; ends when the queue is closed and empty.
    fn serve(&self, mut batch: VecDeque<Arc<Request>>) {
        loop {
            self.exchange(&mut batch);
            if batch.is_empty() {
                if self.closed.load(SeqCst) && self.is_idle() {
                    return;
                }
                self.filled.wait(SPIN, None, || !self.is_idle() || self.closed.load(SeqCst));
            }
            batch.iter().for_each(|request| self.finish(request));
        }
    }

    /// Gives back the requests that are done and nobody else holds, as far as there is room; takes those that wait.
    fn exchange(&self, batch: &mut VecDeque<Arc<Request>>) {
        batch.retain(|request| Arc::strong_count(request) == 1);
        let mut ring = self.ring.lock();
        let room = ring.spent.capacity() - ring.spent.len();
        ring.spent.extend(batch.drain(..room.min(batch.len())));
        batch.clear();
        std::mem::swap(&mut ring.requests, batch);
        if batch.is_empty() && ring.busy {
            ring.busy = false;
            self.context.lanes.leave(self.priority);
        }
    }

    fn is_idle(&self) -> bool {
        self.ledger.submitted().load(SeqCst) == self.completed.0.load(SeqCst)
    }

    /// Brings one request to its end.
    fn finish(&self, request: &Arc<Request>) {
        self.context.lanes.give_way(self.priority);
        let blocked = self.await_others(request);
        match request.take_op() {
            Some(op) => self.complete(request, op, blocked),
            // Whoever took the work posts the completion.
            None => request.await_post(),
        }
        self.completed.0.store(self.completed.0.load(Relaxed) + 1, Release); // this thread alone writes it
        self.emptied.open();
    }

    /// Runs the work and posts the completion. What it owned is released before anyone learns that it is done.
    fn complete(&self, request: &Arc<Request>, op: Box<dyn Op>, blocked: Option<Error>) {
        let (outcome, traced) = match blocked {
            Some(error) => (self.turn_away(request, op, error), None),
            None => self.measure(request, op),
        };
        self.note_unseen(request, &outcome);
        let claimed = request.claim();
        if let Some(end) = traced {
            if !claimed {
                request.await_post();
            }
            let status = if claimed { outcome.status() } else { request.status() };
            request.traced(&|_| Ok(())).ended(end, status);
        }
        if claimed {
            request.post(outcome, By::Worker);
        }
    }

    /// Drops work whose wait list failed.
    fn turn_away(&self, request: &Request, op: Box<dyn Op>, error: Error) -> Outcome {
        if trace::on() {
            request.traced(&|out| op.shape(out)).dropped(error.status);
        }
        drop(op);
        Outcome { error: Some(Box::new(error)), device_ns: 0 }
    }

    /// Runs work and counts what it took. With the moment of its end if the trace has its beginning.
    fn measure(&self, request: &Request, op: Box<dyn Op>) -> (Outcome, Option<u64>) {
        let (begin, traffic) = (clock::now(), op.traffic());
        let traced = trace::on() && request.traced(&|out| op.shape(out)).began(begin);
        let handle = request.handle.load(Relaxed);
        self.ledger.begin(Running { since: begin, op: request.tag.op, handle });
        let error = run(op, &self.context).err().map(Box::new);
        let end = clock::now();
        let (wait_ns, device_ns) = (clock::between(request.stamp, begin), clock::between(begin, end));
        let moved = if error.is_none() { traffic } else { Traffic::default() };
        self.ledger.ran(wait_ns, device_ns, moved);
        (Outcome { error, device_ns }, traced.then_some(end))
    }

    /// Waits for the requests of other queues that this one names, or for its own early end. The error of the first
    /// that failed.
    fn await_others(&self, request: &Arc<Request>) -> Option<Error> {
        request.after(0)?;
        *self.blocked.lock() = Some((request.clone(), clock::now()));
        self.context.lanes.leave(self.priority);
        (0..).map_while(|index| request.after(index)).for_each(|other| self.await_other(request, &other));
        self.context.lanes.enter(self.priority);
        *self.blocked.lock() = None;
        request.take_after().iter().find_map(|other| other.outcome()?.error.as_deref()).map(dependency_failed)
    }

    /// Waits for `other`, or for the early end of `request`, and tells the log now and then that it still does.
    fn await_other(&self, request: &Arc<Request>, other: &Arc<Request>) {
        let (mut patience, start) = (STALL, Instant::now());
        while !wait(&[other.clone(), request.clone()], true, start.checked_add(patience)) {
            let handle = |request: &Request| request.handle.load(Relaxed);
            tell!(
                WEFT_LOG_WARN,
                "queue {:#x} stalls: request {:#x} waits for request {:#x} of queue {:#x} since {} s",
                self.ledger.label(),
                handle(request),
                handle(other),
                other.queue(),
                patience.as_secs()
            );
            patience = patience.saturating_mul(2);
        }
    }

    fn note_unseen(&self, request: &Request, outcome: &Outcome) {
        if let Some(error) = &outcome.error
            && request.handle.load(Relaxed) == 0
        {
            self.unseen.lock().get_or_insert_with(|| (**error).clone());
        }
    }
}

/// What a request ends with when one that it waited for failed: the first cause, however long the chain.
fn dependency_failed(cause: &Error) -> Error {
    let message = match cause.status {
        WEFT_ERROR_DEPENDENCY_FAILED => cause.message.clone(),
        _ => format!("a request that this one waited for failed: {}", cause.message),
    };
    Error::new(WEFT_ERROR_DEPENDENCY_FAILED, message)
}

/// The only place that asks which device this is, and the last that a panic reaches.
fn run(op: Box<dyn Op>, context: &Context) -> Result<()> {
    let work = move || {
        context.check()?;
        match context.device() {
            Device::Cpu(cpu) => op.cpu(cpu),
        }
    };
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        // Dropping a payload may itself panic; it must not take the worker along.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(payload)));
        Err(Error::panic())
    })
}
