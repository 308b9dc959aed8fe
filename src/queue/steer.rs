//! Steering: the submitter does what the worker would have done, where the queue is idle: it launches on a GPU what is
//! ready to be launched, and runs on the CPU what takes less time than another thread takes to learn of it. That is for
//! programs that wait for each request, and for all while the worker sleeps: to wake it takes as long as the work, and it
//! may wake on this very processor. Those that submit one after another to a worker that is awake have it run one while
//! they submit the next.

use super::{Core, Request, Ring};
use crate::device::thread::computes_by_default;
use crate::sync::atomic::Ordering::*;
use std::cell::Cell;
use std::sync::Arc;

impl Core {
    /// Whether the submitter is to do the work itself: nothing is in flight or waits to be, so that nothing is won by leaving
    /// it to the worker, and it waits for nobody.
    pub(super) fn may_steer(
        &self,
        ring: &Ring,
        submitted: u64,
        request: &Cell<Option<Arc<Request>>>,
    ) -> bool {
        let is_fit = || {
            let inside = request.take();
            let here = |request: &Request| self.flights.is_some() || self.runs_here(request);
            let fit = inside.as_ref().is_some_and(|request| request.is_plain() && here(request));
            request.set(inside);
            fit
        };
        let idle = || self.done.0.completed.load(Acquire) == submitted;
        !ring.busy && is_fit() && idle() && self.context.lanes.0.is_free(self.priority)
    }

    fn runs_here(&self, request: &Request) -> bool {
        let pays = || self.ledger.was_waited_for() || self.filled.is_asleep();
        request.brief && pays() && computes_by_default()
    }

    /// Does the work of a submitter's request, which keeps the worker away meanwhile; or leaves it to the worker after all.
    pub(super) fn steer(&self, request: Arc<Request>) {
        let done = match &self.flights {
            Some(flights) => self.launch_now(flights, &request),
            None => self.run_now(&request),
        };
        let (mut ring, taken) = (self.ring.0.lock(), &self.taken.0);
        if !done {
            ring.requests.push_front(request);
            taken.count.store(taken.count.load(Relaxed) - 1, Release);
        }
        taken.steered.store(false, Release);
        if ring.requests.is_empty() {
            ring.busy = false;
            self.context.lanes.0.leave(self.priority);
        } else {
            drop(ring);
            self.filled.open();
        }
    }

    fn run_now(&self, request: &Arc<Request>) -> bool {
        let ended = request.begin().map(|(op, _held)| self.run(request, op, false));
        self.settle(request, ended);
        true
    }
}
