//! Queues: requests in, completions out, both in order.
//!
//! A bounded ring feeds one worker thread a queue. Requests of one queue run one after another; requests of different
//! queues run side by side. A queue whose last owner is gone finishes what it accepted, then its worker ends.

pub mod callback;
mod finalizer;
mod outcome;
mod port;
mod request;
mod timer;
mod wait;

pub use finalizer::{Finalizer, weft_finalize_fn};
pub use outcome::{Failure, Outcome, Root, weft_complete_fn, weft_completion};
pub use port::{Place, Port};
pub use request::{Cancel, Rare, Request, Tag, Watch};
pub use timer::schedule;
pub use wait::wait;

use crate::device::gate::{Gate, Wake, deadline};
use crate::device::{Context, Device, thread};
use crate::op::Op;
use crate::status::{Error, Result};
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::*};
use crate::sync::{Mutex, shared};
use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wait::await_either;

/// How long an idle worker spins before it sleeps.
const SPIN: Duration = Duration::from_micros(50);

shared! {
    /// Released queues whose worker has not ended yet.
    static ENDING: AtomicUsize = AtomicUsize::new(0);
}
shared! {
    /// Where to wait for them.
    static ENDED: Gate = Gate::new();
}

shared! {
    /// Whether queues accept no more.
    static SHUT_DOWN: AtomicBool = AtomicBool::new(false);
}

/// From here on no queue accepts anything.
pub fn shut_down() {
    SHUT_DOWN.store(true, SeqCst);
}

/// Whether [`shut_down`] was called.
pub fn is_shut_down() -> bool {
    SHUT_DOWN.load(SeqCst)
}

/// Waits until what released queues had accepted is complete and their memory is free.
pub fn await_released(deadline: Option<Instant>) -> Wake {
    ENDED.wait_or_signal(Duration::ZERO, deadline, || ENDING.load(SeqCst) == 0)
}

/// What became of an attempt to submit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The queue took the request.
    Accepted,
    /// There was no room, also not within the time given.
    Full,
    /// A signal handler ran while the thread waited for room.
    Interrupted,
    /// The library was shut down.
    ShutDown,
}

/// An ordered stream of requests to one device.
pub struct Queue {
    core: Arc<Core>,
    /// Whether it counts among those that end.
    released: AtomicBool,
}

/// What the queue and its worker share.
struct Core {
    context: Arc<Context>,
    depth: u64,
    priority: usize,
    ring: Mutex<Ring>,
    /// How many requests were accepted: the queue's timeline.
    submitted: Line<AtomicU64>,
    done: Line<Done>,
    closed: AtomicBool,
    /// The worker waits here for requests, submitters and drains for completions.
    filled: Gate,
    emptied: Gate,
    /// The first failure that nobody holds a handle for, until a drain reports it.
    unseen: Mutex<Option<Error>>,
}

/// How far along its timeline the queue is; the worker alone writes it.
struct Done {
    /// Requests whose room is free again: before they are complete, so that who has seen a completion finds the room.
    freed: AtomicU64,
    /// Requests that are complete.
    completed: AtomicU64,
}

/// Accepted requests that the worker has not taken yet.
struct Ring {
    requests: VecDeque<Arc<Request>>,
    /// Completed requests on their way back to the submitter, who frees what it allocated: an allocator is slow when
    /// one thread frees what another allocates.
    spent: VecDeque<Arc<Request>>,
    /// Whether the queue is in its priority's lane: it has work, taken by the worker or not.
    busy: bool,
    /// `freed` as it was last seen: looked at again only when the queue seems full.
    freed: u64,
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
        let ring = Ring { requests: reserve(depth)?, spent: reserve(depth)?, busy: false, freed: 0 };
        let batch = reserve(depth)?;
        let core = Arc::new(Core {
            context,
            depth: u64::from(depth),
            priority,
            ring: Mutex::new(ring),
            submitted: Line(AtomicU64::new(0)),
            done: Line(Done { freed: AtomicU64::new(0), completed: AtomicU64::new(0) }),
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
        Ok(Self { core, released: AtomicBool::new(false) })
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
        let completed = self.core.done.0.completed.load(SeqCst);
        (self.core.submitted.0.load(SeqCst), completed)
    }

    /// Accepts `request`; when the queue is full, waits up to `timeout_ns` for room.
    pub fn submit(&self, request: Arc<Request>, timeout_ns: u64) -> Admission {
        let (core, request) = (&*self.core, Cell::new(Some(request)));
        let answer = core.push(&request);
        if answer != Admission::Full || timeout_ns == 0 {
            return answer;
        }
        let answer = Cell::new(answer);
        let ready = || {
            answer.set(core.push(&request));
            answer.get() != Admission::Full
        };
        match core.emptied.wait_or_signal(Duration::ZERO, deadline(timeout_ns), ready) {
            Wake::Interrupted => Admission::Interrupted,
            _ => answer.get(),
        }
    }

    /// Waits until all that was accepted before the call is complete.
    pub fn drain(&self, timeout_ns: u64) -> Wake {
        let core = &*self.core;
        let goal = core.submitted.0.load(SeqCst);
        let done = || core.done.0.completed.load(SeqCst) >= goal;
        let spin = Duration::from_micros(20).min(Duration::from_nanos(timeout_ns));
        core.emptied.wait_or_signal(spin, deadline(timeout_ns), done)
    }

    /// The first failure among requests without a handle since it was last asked for.
    pub fn take_unseen(&self) -> Result<()> {
        self.core.unseen.lock().take().map_or(Ok(()), Err)
    }

    /// After [`shut_down`]: when this returns, nothing that is being submitted will still be accepted, and those who wait
    /// for room have been told.
    pub fn settle_submissions(&self) {
        // Submissions look under this lock: who has seen the library running has counted its request by now.
        drop(self.core.ring.lock());
        self.core.emptied.open();
    }

    /// Counts it among those that [`await_released`] waits for. Before its handle is forgotten, so that nobody finds it
    /// in neither place.
    pub fn release(&self) {
        if !self.released.swap(true, SeqCst) {
            ENDING.fetch_add(1, SeqCst);
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.release();
        self.core.closed.store(true, SeqCst);
        self.core.filled.open();
    }
}

impl Core {
    /// Takes `request` if there is room. By value: the submitter must not touch it again while the worker runs it, for
    /// its cache line would travel.
    fn push(&self, request: &Cell<Option<Arc<Request>>>) -> Admission {
        let mut ring = self.ring.lock();
        let submitted = self.submitted.0.load(Relaxed);
        if is_shut_down() {
            return Admission::ShutDown;
        }
        if !self.has_room(&mut ring, submitted) {
            return Admission::Full;
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
        Admission::Accepted
    }

    fn has_room(&self, ring: &mut Ring, submitted: u64) -> bool {
        if submitted - ring.freed >= self.depth {
            ring.freed = self.done.0.freed.load(Acquire);
        }
        submitted - ring.freed < self.depth
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
        self.submitted.0.load(SeqCst) == self.done.0.completed.load(SeqCst)
    }

    /// Brings one request to its end.
    fn finish(&self, request: &Arc<Request>) {
        let blocked = self.await_others(request);
        self.context.lanes.give_way(self.priority);
        let outcome = request.begin().map(|(op, _held)| self.run(op, blocked));
        let done = &self.done.0;
        let finished = done.completed.load(Relaxed) + 1;
        done.freed.store(finished, Release);
        self.post(request, outcome);
        done.completed.store(finished, Release);
        self.emptied.open();
    }

    /// Posts the completion, unless somebody else does: who dropped the work, or ended the request while it ran.
    fn post(&self, request: &Request, outcome: Option<Outcome>) {
        let fine = outcome.as_ref().is_some_and(|outcome| outcome.failure.is_none());
        let posted = outcome.is_some_and(|outcome| request.post(outcome));
        if !posted {
            request.await_settled();
        }
        if !(posted && fine) {
            self.note_unseen(request);
        }
    }

    /// Runs the work, unless it is blocked. What it owned is released before anyone learns that it is done.
    fn run(&self, op: Box<dyn Op>, blocked: Option<Failure>) -> Outcome {
        let start = Instant::now();
        let own = |error| Failure { error, root: None };
        let failure = blocked.or_else(|| run(op, &self.context).err().map(own));
        Outcome { failure: failure.map(Box::new), device_ns: start.elapsed().as_nanos() as u64 }
    }

    /// Waits for the requests of other queues that this one names, or for its own early end. What it ends with if one of
    /// them failed: the first.
    fn await_others(&self, request: &Arc<Request>) -> Option<Failure> {
        let others = request.take_after();
        if others.is_empty() {
            return None;
        }
        self.context.lanes.leave(self.priority);
        others.iter().for_each(|other| await_either(other, request));
        self.context.lanes.enter(self.priority);
        let failure = |other: &Arc<Request>| {
            other.outcome()?.failure.as_ref().map(|failure| failure.of_dependent(&other.record()))
        };
        others.iter().find_map(failure)
    }

    fn note_unseen(&self, request: &Request) {
        if request.handle.load(Relaxed) == 0
            && let Some(error) = request.outcome().and_then(Outcome::error)
        {
            self.unseen.lock().get_or_insert_with(|| error.clone());
        }
    }
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
