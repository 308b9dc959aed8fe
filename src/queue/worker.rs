//! The worker of a queue: takes what was accepted, in order, waits for what a request waits for, runs it, and posts its
//! completion; or, on a CUDA device, launches it and leaves the rest to its flight.

use super::wait::await_either;
use super::{Core, Failure, Outcome, Request};
use crate::device::{Context, Device};
use crate::op::{Husk, Op};
use crate::status::{Error, Result, weft_status};
use crate::sync::atomic::Ordering::*;
use crate::telemetry::trace;
use crate::telemetry::{By, Running, Traffic, clock};
use crate::tell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an idle worker spins before it sleeps.
const SPIN: Duration = Duration::from_micros(50);

/// How long a queue's head waits for other queues until the log is told.
const STALL: Duration = Duration::from_secs(1);

/// What the trace is still to be told of a request when it ends.
#[derive(Clone, Copy)]
pub(super) enum Untold {
    /// Nothing.
    Nothing,
    /// That its work ended, at this tick.
    End(u64),
    /// That its work never began.
    Drop,
}

impl Untold {
    fn tell(self, request: &Request, status: weft_status) {
        match self {
            Self::End(at) => request.traced(&|_| Ok(())).ended(at, status),
            Self::Drop if trace::on() => request.traced(&|_| Ok(())).dropped(status),
            _ => {}
        }
    }
}

impl Core {
    /// The worker's life, on its thread.
    pub(super) fn serve(&self, batch: VecDeque<Arc<Request>>) {
        self.ledger.set_track(trace::thread());
        if let Device::Cuda(cuda) = self.context.device() {
            let _ = cuda.gpu().settle(); // what fails here fails at every launch too, and is told there
        }
        self.work(batch);
        self.context.account.close(self.ledger);
    }

    /// Takes all that waits at once; ends when the queue is closed and empty.
    fn work(&self, mut batch: VecDeque<Arc<Request>>) {
        loop {
            self.exchange(&mut batch);
            if batch.is_empty() {
                let over = || self.closed.load(SeqCst) && self.is_idle();
                if over() {
                    return;
                }
                self.filled.wait(SPIN, None, || self.has_more() || over());
            }
            match &self.flights {
                None => self.finish_all(&batch),
                Some(flights) => self.launch_all(flights, &batch),
            }
        }
    }

    /// Whether there is something to take, and no submitter at it.
    fn has_more(&self) -> bool {
        let taken = &self.taken.0;
        self.submitted().load(SeqCst) != taken.count.load(SeqCst) && !taken.steered.load(SeqCst)
    }

    /// Gives back the requests that are done and nobody else holds, as far as there is room; takes those that wait.
    fn exchange(&self, batch: &mut VecDeque<Arc<Request>>) {
        batch.retain(|request| Arc::strong_count(request) == 1);
        let mut ring = self.ring.0.lock();
        let room = ring.spent.capacity() - ring.spent.len();
        ring.spent.extend(batch.drain(..room.min(batch.len())));
        batch.clear();
        if self.taken.0.steered.load(Relaxed) {
            return;
        }
        std::mem::swap(&mut ring.requests, batch);
        let taken = &self.taken.0.count;
        taken.store(taken.load(Relaxed) + batch.len() as u64, SeqCst);
        if batch.is_empty() && ring.busy {
            ring.busy = false;
            self.context.lanes.0.leave(self.priority);
        }
    }

    fn is_idle(&self) -> bool {
        self.submitted().load(SeqCst) == self.done.0.completed.load(SeqCst)
    }

    /// Brings a batch to its end.
    fn finish_all(&self, batch: &VecDeque<Arc<Request>>) {
        for (index, request) in batch.iter().enumerate() {
            ask_ahead(batch, index);
            self.finish(request);
        }
    }

    /// Brings one request to its end.
    fn finish(&self, request: &Arc<Request>) {
        let blocked = self.await_others(request);
        self.context.lanes.0.give_way(self.priority);
        let ended = request.begin().map(|(op, _held)| match blocked {
            Some(failure) => turn_away(op, failure),
            None => self.run(request, op, true),
        });
        self.settle(request, ended);
    }

    /// One more is done: makes room for another and posts the completion. By one thread at a time.
    pub(super) fn settle(&self, request: &Request, ended: Option<(Outcome, Untold)>) {
        let done = &self.done.0;
        let finished = done.completed.load(Relaxed) + 1;
        done.freed.store(finished, Release);
        self.post(request, ended);
        done.completed.store(finished, Release);
        self.emptied.open();
    }

    /// Posts the completion, unless somebody else does: who dropped the work, or ended the request while it ran.
    fn post(&self, request: &Request, ended: Option<(Outcome, Untold)>) {
        let untold = ended.as_ref().map_or(Untold::Nothing, |ended| ended.1);
        let fine = ended.as_ref().is_some_and(|ended| ended.0.failure.is_none());
        let tell = |status| untold.tell(request, status);
        let posted = ended.is_some_and(|(outcome, _)| request.post(outcome, By::Worker, tell));
        if !posted {
            request.await_settled();
            tell(request.status());
        }
        if !(posted && fine) {
            self.note_unseen(request);
        }
    }

    /// Runs the work and counts what it took. What it owned is released before anyone learns that it is done; its memory
    /// with `keeps` goes to whoever frees the request.
    pub(super) fn run(&self, request: &Request, op: Box<dyn Op>, keeps: bool) -> (Outcome, Untold) {
        let (begin, traffic) = (clock::now(), op.traffic());
        let traced = trace::on() && request.traced(&|out| op.shape(out)).began(begin);
        let handle = request.handle.load(Relaxed);
        self.ledger.begin(Running { since: begin, op: request.tag.op, handle });
        let mut husk = None;
        let done = run(op, &self.context, &mut husk);
        let failure = done.err().map(|error| Box::new(Failure { error, root: None }));
        if keeps {
            request.keep(husk);
        }
        let end = clock::now();
        let (wait_ns, device_ns) = (clock::between(request.stamp, begin), clock::between(begin, end));
        let moved = if failure.is_none() { traffic } else { Traffic::default() };
        self.ledger.ran(wait_ns, device_ns, moved);
        (Outcome { failure, device_ns }, if traced { Untold::End(end) } else { Untold::Nothing })
    }

    /// Waits for the requests of other queues that this one names, or for its own early end. What it ends with if one of
    /// them failed: the first.
    pub(super) fn await_others(&self, request: &Arc<Request>) -> Option<Failure> {
        request.after(0)?;
        *self.blocked.lock() = Some((request.clone(), clock::now()));
        self.context.lanes.0.leave(self.priority);
        (0..).map_while(|index| request.after(index)).for_each(|other| self.await_other(request, &other));
        self.context.lanes.0.enter(self.priority);
        *self.blocked.lock() = None;
        let failure = |other: &Arc<Request>| {
            other.outcome()?.failure.as_ref().map(|failure| failure.of_dependent(&other.record()))
        };
        request.take_after().iter().find_map(failure)
    }

    /// Waits for `other`, or for the early end of `request`, and tells the log now and then that it still does.
    fn await_other(&self, request: &Arc<Request>, other: &Arc<Request>) {
        let (mut patience, start) = (STALL, Instant::now());
        while !await_either(other, request, start.checked_add(patience)) {
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

    fn note_unseen(&self, request: &Request) {
        if request.handle.load(Relaxed) == 0
            && let Some(error) = request.outcome().and_then(Outcome::error)
        {
            self.unseen.lock().get_or_insert_with(|| error.clone());
        }
    }
}

/// While the request of this place runs the memory of the next two comes over from their submitter's processor.
pub(super) fn ask_ahead(batch: &VecDeque<Arc<Request>>, index: usize) {
    if let Some(later) = batch.get(index + 2) {
        later.ask();
    }
    if let Some(next) = batch.get(index + 1) {
        next.ask_for_work();
    }
}

/// Drops work whose wait list failed.
pub(super) fn turn_away(op: Box<dyn Op>, failure: Failure) -> (Outcome, Untold) {
    drop(op);
    (Outcome { failure: Some(Box::new(failure)), device_ns: 0 }, Untold::Drop)
}

/// Runs the work on the calling thread, and leaves its memory behind.
fn run(op: Box<dyn Op>, context: &Context, husk: &mut Option<Husk>) -> Result<()> {
    guarded(move || {
        let done = context.check().and_then(|()| match context.device() {
            Device::Cpu(cpu) => op.cpu(cpu),
            Device::Cuda(_) => Err(Error::panic()), // their queues have flights
        });
        *husk = Some(Husk::of(op));
        done
    })
}

/// The last that a panic reaches.
pub(super) fn guarded(work: impl FnOnce() -> Result<()>) -> Result<()> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        // Dropping a payload may itself panic; it must not take the worker along.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(payload)));
        Err(Error::panic())
    })
}
