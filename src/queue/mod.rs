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
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::*};
use crate::sync::{Mutex, shared};
use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an idle worker spins before it sleeps.
const SPIN: Duration = Duration::from_micros(50);

shared! {
    /// Workers of released queues that have not ended yet.
    static ENDING: AtomicUsize = AtomicUsize::new(0);
}
shared! {
    /// Where to wait for them.
    static ENDED: Gate = Gate::new();
}

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
    /// How many requests were accepted and how many are complete: the queue's timeline.
    submitted: Line<AtomicU64>,
    completed: Line<AtomicU64>,
    closed: AtomicBool,
    /// The worker waits here for requests, submitters and drains for completions.
    filled: Gate,
    emptied: Gate,
    /// The first failure that nobody holds a handle for, until a drain reports it.
    unseen: Mutex<Option<Error>>,
}

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
        let core = Arc::new(Core {
            context,
            depth: u64::from(depth),
            priority,
            ring: Mutex::new(ring),
            submitted: Line(AtomicU64::new(0)),
            completed: Line(AtomicU64::new(0)),
            closed: AtomicBool::new(false),
            filled: Gate::new(),
            emptied: Gate::new(),
            unseen: Mutex::new(None),
        });
        let worker = core.clone();
        thread::spawn(c"weft-queue", move || {
            worker.serve(batch);
            drop(worker);
            ENDING.fetch_sub(1, SeqCst);
            ENDED.open();
        })?;
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
        (self.core.submitted.0.load(SeqCst), completed)
    }

    /// Accepts `request`; when the queue is full, waits up to `timeout_ns` for room. `false` if there was none.
    pub fn submit(&self, request: Arc<Request>, timeout_ns: u64) -> bool {
        let (core, request) = (&*self.core, Cell::new(Some(request)));
        if core.push(&request) {
            return true;
        }
        if timeout_ns == 0 {
            return false;
        }
        core.emptied.wait(Duration::ZERO, deadline(timeout_ns), || core.push(&request))
    }

    /// Waits until all that was accepted before the call is complete. `None` on timeout; else the first failure since
    /// the last drain among requests without a handle.
    pub fn drain(&self, timeout_ns: u64) -> Option<Result<()>> {
        let core = &*self.core;
        let goal = core.submitted.0.load(SeqCst);
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
        let submitted = self.submitted.0.load(Relaxed);
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
        self.submitted.0.store(submitted + 1, Release);
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
        self.submitted.0.load(SeqCst) == self.completed.0.load(SeqCst)
    }

    /// Brings one request to its end.
    fn finish(&self, request: &Arc<Request>) {
        self.context.lanes.give_way(self.priority);
        let blocked = self.await_others(request);
        let well = match request.take_op() {
            Some(op) => self.complete(request, op, blocked),
            // Whoever took the work posts the completion.
            None => {
                request.await_post();
                false
            }
        };
        if !well {
            self.note_unseen(request);
        }
        self.completed.0.store(self.completed.0.load(Relaxed) + 1, Release); // this thread alone writes it
        self.emptied.open();
    }

    /// Runs the work and posts the completion. What it owned is released before anyone learns that it is done. Whether
    /// the completion says that all went well.
    fn complete(&self, request: &Request, op: Box<dyn Op>, blocked: Option<Error>) -> bool {
        let start = Instant::now();
        let error = blocked.or_else(|| run(op, &self.context).err());
        let well = error.is_none();
        let outcome = Outcome { error: error.map(Box::new), device_ns: start.elapsed().as_nanos() as u64 };
        request.post(outcome) && well
    }

    /// Waits for the requests of other queues that this one names, or for its own early end. The error of the first
    /// that failed.
    fn await_others(&self, request: &Arc<Request>) -> Option<Error> {
        let others = request.take_after();
        if others.is_empty() {
            return None;
        }
        self.context.lanes.leave(self.priority);
        for other in &others {
            wait(&[other.clone(), request.clone()], true, None);
        }
        self.context.lanes.enter(self.priority);
        others.iter().find_map(|other| other.outcome()?.error.as_deref()).map(dependency_failed)
    }

    fn note_unseen(&self, request: &Request) {
        let error = request.outcome().and_then(|outcome| outcome.error.as_deref());
        if let Some(error) = error.filter(|_| request.handle.load(Relaxed) == 0) {
            self.unseen.lock().get_or_insert_with(|| error.clone());
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
