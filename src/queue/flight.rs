//! Flights: requests whose work is on a CUDA device. The worker launches them, or the submitter itself (see `steer`), and puts a number behind each on the
//! stream's timeline; whoever sees the timeline reach a number, one thread at a time, lands the flight: asks the operation
//! what became of it, frees what it owned and posts the completion.

use super::worker::{Untold, ask_ahead, guarded, turn_away};
use super::{Core, Failure, Outcome, Request, finalizer::Due};
use crate::device::ahead::ask_for;
use crate::device::cuda::{IN_FLIGHT, Sight, Stream, Watched};
use crate::device::{Context, Device, lost};
use crate::ensure;
use crate::op::{Husk, Op};
use crate::status::{Error, Result};
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::*};
use crate::sync::{Line, Mutex};
use crate::telemetry::trace;
use crate::telemetry::{Running, Traffic, clock};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// A mark on the timeline costs about as much as an empty launch: of requests that are launched in one go, every so many
/// get one. One that somebody may ask for counts as several.
const MARK_EVERY: usize = 32;
const ASKED_FOR: usize = 4;

/// For how many nanoseconds after a look the next one is expected.
const ATTENTION: u64 = 2_000;

/// What is on the device of one queue.
pub(super) struct Flights {
    stream: Arc<Stream>,
    list: Line<Mutex<VecDeque<Flight>>>,
    /// Held by whoever lands flights; when the last one landed, in ticks.
    landing: Mutex<u64>,
    /// The latest flight; whoever launches, one thread at a time, writes it.
    latest: Line<Latest>,
    /// The number of the latest that landed; they land in order, and whoever lands them alone writes it.
    landed: Line<AtomicU32>,
    /// The tick at which a thread that looks again and again was last seen.
    attended: Line<AtomicU64>,
}

/// The latest flight.
#[derive(Default)]
struct Latest {
    number: AtomicU32,
    /// Whether its completion goes to a port.
    posts: AtomicBool,
}

/// A request on its way.
struct Flight {
    number: u32,
    request: Arc<Request>,
    work: Option<Work>,
}

/// What its work came to so far.
struct Work {
    op: Box<dyn Op>,
    /// Why it did not get to the device, or not whole.
    failure: Option<Failure>,
    /// Whether it was begun at all, and whether the trace was told of that.
    begun: Option<u64>,
    traced: bool,
    _held: Option<Due>,
}

impl Flights {
    /// Those of a new queue; `None` on the CPU device, which has none.
    pub(super) fn new(context: &Context, priority: usize, stream: u64) -> Result<Option<Self>> {
        let Device::Cuda(cuda) = context.device() else {
            ensure!(
                stream == 0,
                "weft_queue_desc.stream is {stream:#x}; expected 0: the CPU device has no streams"
            );
            return Ok(None);
        };
        let stream = match stream {
            0 => cuda.stream(priority)?,
            // SAFETY: the caller's promise, in the documentation of weft_queue_desc.
            stream => unsafe { cuda.import_stream(stream)? },
        };
        let mut list = VecDeque::new();
        list.try_reserve(IN_FLIGHT as usize).map_err(|_| Error::out_of_memory(0))?;
        let (list, landing) = (Line(Mutex::new(list)), Mutex::new(0));
        let (latest, landed, attended) = (Line::default(), Line::default(), Line::default());
        Ok(Some(Self { stream, list, landing, latest, landed, attended }))
    }

    /// Whether the stream is the caller's and its work becomes a graph now.
    pub(super) fn is_captured(&self) -> bool {
        self.stream.is_captured()
    }

    /// The number of the next flight.
    fn next(&self) -> u32 {
        self.latest.0.number.load(Relaxed).wrapping_add(1)
    }

    /// How many are on their way.
    fn count(&self) -> u32 {
        // The one that grows last: what it is taken from cannot have overtaken it.
        let landed = self.landed.0.load(Acquire);
        self.latest.0.number.load(Acquire).wrapping_sub(landed)
    }

    /// Whether a thread looked a moment ago and is about to look again.
    fn is_attended(&self) -> bool {
        clock::between(self.attended.0.load(Relaxed), clock::now()) < ATTENTION
    }

    /// Whether the device is past the first; with the device lost all are done for.
    fn is_first_done(&self) -> bool {
        self.count() > 0 && (self.is_first_reached() || self.stream.gpu().lost().is_some())
    }

    /// Whether the timeline says so. This alone touches no cache line that a launching thread writes.
    fn is_first_reached(&self) -> bool {
        let first = self.landed.0.load(Acquire).wrapping_add(1);
        self.stream.reached().wrapping_sub(first).cast_signed() >= 0
    }

    /// Asks for the memory that landing the first touches.
    fn ask_for_first(&self) {
        let Some(list) = self.list.0.try_lock() else { return };
        let Some(flight) = list.front() else { return };
        ask_for((&raw const *flight).cast(), size_of::<Flight>());
        flight.request.ask();
        if let Some(work) = &flight.work {
            ask_for((&raw const *work.op).cast(), size_of_val(&*work.op));
        }
        flight.request.ask_for_port();
    }
}

impl Core {
    /// Has the context's watcher look after this queue's flights.
    pub(super) fn be_watched(self: Arc<Self>) {
        if let Device::Cuda(cuda) = self.context.device() {
            let watched: Arc<dyn Watched> = self.clone();
            cuda.watcher().add(Arc::downgrade(&watched));
        }
    }

    /// Launches a batch.
    pub(super) fn launch_all(&self, flights: &Flights, batch: &VecDeque<Arc<Request>>) {
        let mut unmarked = 0;
        for (index, request) in batch.iter().enumerate() {
            ask_ahead(batch, index);
            if unmarked > 0 && (request.after(0).is_some() || !self.context.lanes.0.is_free(self.priority)) {
                self.mark(flights); // before it waits for others
                unmarked = 0;
            }
            self.launch(flights, request);
            unmarked += if request.is_asked_for() || trace::on() { ASKED_FOR } else { 1 };
            if unmarked >= MARK_EVERY {
                self.mark(flights);
                unmarked = 0;
            }
        }
        if unmarked > 0 {
            self.mark(flights);
        }
    }

    fn launch(&self, flights: &Flights, request: &Arc<Request>) {
        let blocked = self.await_others(request);
        self.context.lanes.0.give_way(self.priority);
        self.await_room(flights);
        let work = self.begin(flights, request, blocked);
        self.add(flights, request.clone(), work);
    }

    /// Begins the work and queues it on the stream, unless it is `blocked`.
    fn begin(&self, flights: &Flights, request: &Request, blocked: Option<Failure>) -> Option<Work> {
        let (op, held) = request.begin()?;
        let begun = blocked.is_none().then(clock::now);
        let mut work = Work { op, failure: blocked, begun, traced: false, _held: held };
        if work.failure.is_none() {
            self.start(flights, &mut work);
        }
        Some(work)
    }

    /// Adds a flight, now that its work is queued.
    fn add(&self, flights: &Flights, request: Arc<Request>, mut work: Option<Work>) {
        if let Some(Work { op, begun: Some(at), traced, .. }) = &mut work {
            *traced = trace::on() && request.traced(&|out| op.shape(out)).began(*at);
        }
        let (number, latest) = (flights.next(), &flights.latest.0);
        latest.posts.store(request.posts(), Relaxed);
        flights.list.0.lock().push_back(Flight { number, request, work });
        latest.number.store(number, Release);
    }

    /// Launches the request of a submitter, but not what would take a while. Whether it did.
    pub(super) fn launch_now(&self, flights: &Flights, request: &Arc<Request>) -> bool {
        flights.stream.gpu().stay(|| self.try_launch(flights, request)).unwrap_or(false)
    }

    fn try_launch(&self, flights: &Flights, request: &Arc<Request>) -> bool {
        let mut work = None;
        let launched = flights.stream.hastily(|| work = self.begin(flights, request, None));
        if launched {
            self.add(flights, request.clone(), work);
            self.mark(flights);
        } else if let Some(work) = work {
            request.resume(work.op);
        }
        launched
    }

    /// Puts the timeline behind what was launched, and has it watched.
    fn mark(&self, flights: &Flights) {
        flights.stream.mark_or_wait(flights.latest.0.number.load(Relaxed));
        if let Device::Cuda(cuda) = self.context.device() {
            cuda.watcher().tell();
        }
    }

    /// Waits until another verdict has a place.
    fn await_room(&self, flights: &Flights) {
        let room = || flights.count() < IN_FLIGHT;
        if !room() {
            self.mark(flights);
            self.emptied.wait(Duration::ZERO, None, room);
        }
    }

    /// Queues the work on the stream.
    fn start(&self, flights: &Flights, work: &mut Work) {
        let (op, stream) = (&work.op, &flights.stream);
        let begin = || {
            self.context.check()?;
            stream.begin(flights.next())?;
            self.await_memory(stream)?;
            op.cuda(stream)
        };
        work.failure = guarded(begin).err().map(|error| Failure { error, root: None });
    }

    /// Orders the stream behind the zeroing of every buffer that exists.
    fn await_memory(&self, stream: &Stream) -> Result<()> {
        match self.context.device() {
            Device::Cuda(cuda) => cuda.order_behind_memory(stream),
            Device::Cpu(_) => Ok(()),
        }
    }

    /// Lands what the device is past. Whether there was any.
    fn land_all(&self, flights: &Flights) -> bool {
        if !flights.is_first_done() {
            return false;
        }
        let Some(mut last) = flights.landing.try_lock() else { return false };
        let mut any = false;
        while flights.is_first_done() {
            let Some(flight) = flights.list.0.lock().pop_front() else { break };
            let number = flight.number;
            *last = self.land(flights, flight, *last);
            flights.landed.0.store(number, Release); // from here on its verdict's place may be another's
            any = true;
            if self.closed.load(SeqCst) {
                self.filled.open(); // for a worker that ends with the last of them
            }
        }
        any
    }

    /// Ends a flight. When, in ticks.
    fn land(&self, flights: &Flights, flight: Flight, last: u64) -> u64 {
        let (now, Flight { number, request, work }) = (clock::now(), flight);
        request.announce();
        let ended = work.map(|work| self.conclude(flights, &request, number, work, (last, now)));
        self.settle(&request, ended);
        self.give_back(request);
        now
    }

    /// Lets the submitter of the next request free what that of this one allocated, unless somebody holds it.
    fn give_back(&self, request: Arc<Request>) {
        if Arc::strong_count(&request) > 1 {
            return;
        }
        if let Some(mut ring) = self.ring.0.try_lock()
            && ring.spent.len() < ring.spent.capacity()
        {
            ring.spent.push_back(request);
        }
    }

    /// What became of work that the device is past. What it owned is released before anyone learns of it.
    fn conclude(
        &self,
        flights: &Flights,
        request: &Request,
        number: u32,
        work: Work,
        (last, now): (u64, u64),
    ) -> (Outcome, Untold) {
        let Some(begun) = work.begun else {
            let failure = work.failure.unwrap_or(Failure { error: Error::panic(), root: None });
            return turn_away(work.op, failure);
        };
        let (traffic, stream) = (work.op.traffic(), &flights.stream);
        let failure = match (work.failure, stream.gpu().lost()) {
            (Some(failure), None) => Some(failure),
            (_, Some(reason)) => Some(Failure { error: lost(reason), root: None }),
            (None, None) => concluded(&*work.op, stream.verdict_of(number)),
        };
        request.keep(Some(Husk::of(work.op)));
        stream.give_staging(number);
        let from = begun.max(last);
        let (wait_ns, device_ns) = (clock::between(request.stamp, from), clock::between(from, now));
        let moved = if failure.is_none() { traffic } else { Traffic::default() };
        self.ledger.begin(Running { since: from, op: request.tag.op, handle: request.handle.load(Relaxed) });
        self.ledger.ran(wait_ns, device_ns, moved);
        let untold = if work.traced { Untold::End(now) } else { Untold::Nothing };
        (Outcome { failure: failure.map(Box::new), device_ns }, untold)
    }
}

/// What the operation makes of its verdict.
fn concluded(op: &dyn Op, verdict: u32) -> Option<Failure> {
    guarded(|| op.conclude(verdict)).err().map(|error| Failure { error, root: None })
}

impl Watched for Core {
    fn look(&self) -> Sight {
        let Some(flights) = &self.flights else { return Sight::Idle };
        match self.land_all(flights) {
            true => Sight::Moved,
            false if flights.count() == 0 => Sight::Idle,
            false => Sight::Waiting,
        }
    }

    fn glance(&self) -> Sight {
        match &self.flights {
            Some(flights) if flights.is_attended() && flights.count() > 0 => Sight::Waiting,
            _ => self.look(),
        }
    }

    fn attend(&self) {
        if let Some(flights) = &self.flights {
            flights.attended.0.store(clock::now(), Relaxed);
        }
    }

    fn is_due(&self) -> bool {
        self.flights.as_ref().is_some_and(|flights| flights.is_first_reached() && !flights.is_attended())
    }

    fn ask_ahead(&self) {
        match &self.flights {
            // Of others some thread may wait for the first, and land it itself.
            Some(flights) if flights.latest.0.posts.load(Relaxed) => {
                flights.ask_for_first();
                ask_for((&raw const self.done).cast(), size_of_val(&self.done));
            }
            _ => {}
        }
    }

    fn probe(&self) {
        if let Some(flights) = &self.flights {
            flights.stream.probe();
        }
    }
}
