//! The trace: `WEFT_TRACE=file.json` writes what became of every request in the format of Chrome's trace viewer and
//! Perfetto (the JSON Array Format of "Trace Event Format").
//!
//! Threads leave events in a bounded ring; a thread of the library writes them. Off, it costs a relaxed load. Whoever
//! learns of a completion writes what is left over first ([`settle`]): what a program knew of is in its trace, also when
//! it ends by abort.

mod event;
mod file;
mod ring;

pub use event::Shape;

use super::{Ledger, clock};
use event::{Event, Phase, Request};
use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};

static ON: AtomicBool = AtomicBool::new(false);

/// Whether events are wanted.
#[inline]
pub fn on() -> bool {
    ON.load(Relaxed)
}

/// Opens the file that WEFT_TRACE names. `spawn` starts [`serve`] on a thread.
pub fn start(spawn: impl FnOnce() -> crate::status::Result<()>) {
    let Some(name) = super::environment("WEFT_TRACE") else { return };
    match file::open(&name).and_then(|()| ring::prepare()).and_then(|()| spawn()) {
        Ok(()) => ON.store(true, SeqCst),
        Err(error) => {
            file::close();
            crate::tell!(WEFT_LOG_WARN, "WEFT_TRACE is {name:?}: {error}; there will be no trace");
        }
    }
}

/// Nothing more is written.
fn stop() {
    ON.store(false, SeqCst);
}

/// The writer's life.
pub fn serve() {
    loop {
        ring::wait();
        file::drain();
    }
}

/// Writes all that was recorded before, on the calling thread. For whoever was just told of a completion.
#[inline]
pub fn settle() {
    if on() {
        file::settle();
    }
}

/// The moment of a submission. While there is a trace no two are the same: it names requests by them.
#[inline]
pub fn stamp() -> u64 {
    let now = clock::now();
    if on() { distinct(now) } else { now }
}

fn distinct(now: u64) -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let next = |last: u64| Some(now.max(last + 1));
    let last = LAST.fetch_update(AcqRel, Relaxed, next).unwrap_or(now);
    now.max(last + 1)
}

/// What the trace tells of a request.
pub struct Traced<'a> {
    /// Its operation.
    pub op: &'static str,
    /// When it was submitted: also its name in the trace.
    pub stamp: u64,
    /// Its handle, or 0.
    pub handle: u64,
    /// The counters of its queue.
    pub ledger: &'static Ledger,
    /// Writes its shape.
    pub shape: &'a dyn Fn(&mut Shape) -> fmt::Result,
}

impl Traced<'_> {
    fn request(&self) -> Request {
        let mut shape = Shape::default();
        // One that does not fit is cut.
        let _ = (self.shape)(&mut shape);
        Request { op: self.op, id: self.stamp, handle: self.handle, queue: self.ledger.label(), shape }
    }

    fn event(&self, phase: Phase, track: u32, from: u64) -> Event {
        Event { phase, track, from, until: clock::now(), request: self.request() }
    }

    /// The queue accepted it, on this thread.
    pub fn submitted(&self) {
        ring::push(self.event(Phase::Submit, thread(), self.stamp));
    }

    /// Its work begins, on this thread, the queue's. `false` if there was no room: then its end must not be told.
    pub fn began(&self, at: u64) -> bool {
        self.name_track();
        ring::push_begin(self.event(Phase::Begin, self.ledger.track(), at))
    }

    /// Its work ended, and it with this status.
    pub fn ended(&self, at: u64, status: i32) {
        ring::push_end(self.event(Phase::End(status), self.ledger.track(), at));
    }

    /// It ended with this status and never ran.
    pub fn dropped(&self, status: i32) {
        self.name_track();
        ring::push(self.event(Phase::Dropped(status), self.ledger.track(), clock::now()));
    }

    fn name_track(&self) {
        if self.ledger.is_first_naming() {
            ring::push(self.event(Phase::Name, self.ledger.track(), self.stamp));
        }
    }
}

/// The calling thread's number, as the system has it.
pub fn thread() -> u32 {
    thread_local! {
        static NUMBER: Cell<u32> = const { Cell::new(0) };
    }
    if NUMBER.get() == 0 {
        // SAFETY: asks the kernel for a number.
        NUMBER.set(unsafe { libc::syscall(libc::SYS_gettid) } as u32);
    }
    NUMBER.get()
}
