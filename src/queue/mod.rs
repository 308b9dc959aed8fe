//! Queues: requests in, completions out, both in order.
//!
//! A bounded ring feeds one worker thread a queue. Requests of one queue run one after another; requests of different
//! queues run side by side. A queue whose last owner is gone finishes what it accepted, then its worker ends.

mod ahead;
pub mod callback;
mod finalizer;
mod flight;
mod outcome;
mod port;
mod request;
mod steer;
mod timer;
mod wait;
mod worker;

#[cfg(loom)]
pub use finalizer::end;
pub use finalizer::{Finalizer, weft_finalize_fn};
use flight::Flights;
pub use outcome::{Failure, Outcome, Root, weft_complete_fn, weft_completion};
pub use port::{Place, Port};
pub use request::{Cancel, Rare, Request, Tag, Watch};
pub use timer::schedule;
pub use wait::wait;

use crate::device::cuda::Watched;
use crate::device::gate::{Gate, Wake, deadline};
use crate::device::{Context, thread};
use crate::status::{Error, Result};
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::*};
use crate::sync::{Line, Mutex, shared};
use crate::telemetry::Ledger;
use crate::telemetry::trace::{self, Shape};
use crate::{ensure, tell};
use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

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
    ring: Line<Mutex<Ring>>,
    /// What is counted, among it how many requests were accepted: the queue's timeline.
    ledger: &'static Ledger,
    /// The same for models, which must see every access, and whose atomics no ledger could keep from one to the next.
    #[cfg(loom)]
    timeline: AtomicU64,
    done: Line<Done>,
    taken: Line<Taken>,
    closed: AtomicBool,
    /// The worker waits here for requests, submitters and drains for completions.
    filled: Gate,
    emptied: Gate,
    /// The first failure that nobody holds a handle for, until a drain reports it.
    unseen: Mutex<Option<Error>>,
    /// What is on the device, where that is not the worker itself.
    flights: Option<Flights>,
    /// The head of the queue while it waits for other requests, and since when.
    blocked: Mutex<Option<Blocked>>,
}

/// A request that waits for others, and since which tick.
pub type Blocked = (Arc<Request>, u64);

/// How far along its timeline the queue is; the worker alone writes it.
struct Done {
    /// Requests whose room is free again: before they are complete, so that who has seen a completion finds the room.
    freed: AtomicU64,
    /// Requests that are complete.
    completed: AtomicU64,
}

/// Who takes what was accepted; written with the ring locked.
#[derive(Default)]
struct Taken {
    /// How many requests were taken out of the ring, or past it.
    count: AtomicU64,
    /// A submitter launches or runs its request: the worker takes nothing.
    steered: AtomicBool,
}

/// Accepted requests that nobody has taken yet.
struct Ring {
    requests: VecDeque<Arc<Request>>,
    /// Completed requests on their way back to the submitter, who frees what it allocated: an allocator is slow when
    /// one thread frees what another allocates.
    spent: VecDeque<Arc<Request>>,
    /// Whether the queue is in its priority's lane: it has work, taken by the worker (or a submitter) or not.
    busy: bool,
    /// `freed` as it was last seen: looked at again only when the queue seems full.
    freed: u64,
}

fn reserve(depth: u32) -> Result<VecDeque<Arc<Request>>> {
    let mut requests = VecDeque::new();
    let enough = requests.try_reserve(depth as usize);
    enough.map_err(|_| Error::out_of_memory(depth as usize * size_of::<Arc<Request>>()))?;
    Ok(requests)
}

impl Queue {
    /// Starts a queue that holds at most `depth` requests, of priority 0 (lowest) to 2.
    pub fn new(context: Arc<Context>, depth: u32, priority: usize) -> Result<Self> {
        Self::on_stream(context, depth, priority, 0)
    }

    /// The same whose work goes to the caller's stream `stream`, unless that is 0. The stream is the caller's promise.
    pub fn on_stream(context: Arc<Context>, depth: u32, priority: usize, stream: u64) -> Result<Self> {
        let ring = Ring { requests: reserve(depth)?, spent: reserve(depth)?, busy: false, freed: 0 };
        let batch = reserve(depth)?;
        let flights = Flights::new(&context, priority, stream)?;
        let ledger = context.account.open()?;
        let core = Arc::new(Core {
            context,
            depth: u64::from(depth),
            priority,
            ring: Line(Mutex::new(ring)),
            ledger,
            #[cfg(loom)]
            timeline: AtomicU64::new(0),
            done: Line(Done { freed: AtomicU64::new(0), completed: AtomicU64::new(0) }),
            taken: Line::default(),
            closed: AtomicBool::new(false),
            filled: Gate::new(),
            emptied: Gate::new(),
            unseen: Mutex::new(None),
            flights,
            blocked: Mutex::new(None),
        });
        core.clone().be_watched();
        let worker = core.clone();
        let started = thread::spawn(c"weft-queue", move || {
            worker.serve(batch);
            drop(worker);
            ENDING.fetch_sub(1, SeqCst);
            ENDED.open();
        });
        started.inspect_err(|_| core.context.account.close(ledger))?;
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
        (self.core.submitted().load(SeqCst), completed)
    }

    /// Who can see that the device is done with its requests, where that is not the worker itself.
    pub fn flights(&self) -> Option<Weak<dyn Watched>> {
        self.core.flights.as_ref()?;
        let core: Arc<dyn Watched> = self.core.clone();
        Some(Arc::downgrade(&core))
    }

    /// An error while its stream, the caller's, is being captured: the work would become a graph, and nothing would tell of it.
    pub fn check_stream(&self) -> Result<()> {
        let captured = self.core.flights.as_ref().is_some_and(Flights::is_captured);
        ensure!(
            !captured,
            "queue has a stream (weft_queue_desc.stream) that is being captured into a graph; expected one whose work runs"
        );
        Ok(())
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

    /// Accepts `request`; when the queue is full, waits up to `timeout_ns` for room.
    pub fn submit(&self, request: Arc<Request>, timeout_ns: u64) -> Admission {
        let answer =
            if trace::on() { self.traced(request, timeout_ns) } else { self.accept(request, timeout_ns) };
        if answer == Admission::Full {
            self.refuse("the queue is");
        }
        answer
    }

    /// Counts a request that was refused for want of room; `what` is full.
    pub fn refuse(&self, what: &str) {
        self.core.ledger.refuse();
        tell!(WEFT_LOG_DEBUG, "queue {:#x} refused a request: {what} full", self.core.ledger.label());
    }

    /// As `submit`, and tells the trace.
    fn traced(&self, request: Arc<Request>, timeout_ns: u64) -> Admission {
        let (mut shape, kept) = (Shape::default(), request.clone());
        request.shape(&mut shape);
        let answer = self.accept(request, timeout_ns);
        if answer == Admission::Accepted {
            kept.traced(&|out| out.write_str(shape.text())).submitted();
        }
        answer
    }

    fn accept(&self, request: Arc<Request>, timeout_ns: u64) -> Admission {
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
        core.ledger.note_wait();
        let goal = core.submitted().load(SeqCst);
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
        drop(self.core.ring.0.lock());
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
    /// How many requests were accepted.
    #[cfg(not(loom))]
    fn submitted(&self) -> &AtomicU64 {
        self.ledger.submitted()
    }

    #[cfg(loom)]
    fn submitted(&self) -> &AtomicU64 {
        &self.timeline
    }

    /// Takes `request` if there is room. By value: the submitter must not touch it again while the worker runs it, for
    /// its cache line would travel.
    fn push(&self, request: &Cell<Option<Arc<Request>>>) -> Admission {
        let mut ring = self.ring.0.lock();
        let submitted = self.submitted().load(Relaxed);
        if is_shut_down() {
            return Admission::ShutDown;
        }
        if !self.has_room(&mut ring, submitted) {
            return Admission::Full;
        }
        let steered = self.may_steer(&ring, submitted, request);
        if steered {
            // Whoever sees it in the count of submissions sees these too.
            self.taken.0.steered.store(true, Release);
            self.taken.0.count.store(submitted + 1, Release);
        } else {
            ring.requests.extend(request.take());
        }
        if !ring.busy {
            ring.busy = true;
            self.context.lanes.0.enter(self.priority);
        }
        self.submitted().store(submitted + 1, Release);
        let spent = (ring.spent.pop_front(), ring.spent.pop_front());
        drop(ring);
        match request.take() {
            Some(request) => self.steer(request),
            None => self.filled.open(),
        }
        drop(spent);
        Admission::Accepted
    }

    fn has_room(&self, ring: &mut Ring, submitted: u64) -> bool {
        if submitted - ring.freed >= self.depth {
            ring.freed = self.done.0.freed.load(Acquire);
        }
        submitted - ring.freed < self.depth
    }
}
