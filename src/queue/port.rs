//! Ports: where completions of any queues collect, for an event loop or a thread to take them in batches.
//!
//! A bounded ring of records. Room is reserved when a request is submitted and given back when its record is taken, so
//! that posting never allocates, never blocks and never drops. The event handle is an eventfd that is readable while
//! records wait: written when the ring stops being empty and cleared when it becomes empty, both under the ring's lock.
//!
//! One word counts what keeps a released port: places that are held and callbacks that run. Whoever takes the last of
//! them away ends the port: its finalizer is called then. A released port without a thread drops its records, for nobody
//! can take them any more; one with a thread delivers all that was accepted first.

use super::callback::{call, owe, paid};
use super::finalizer::{Due, Finalizer};
use super::request::{Request, weft_complete_fn, weft_completion};
use crate::device::gate::{Gate, Wake};
use crate::device::thread;
use crate::fail;
use crate::status::{Error, Result};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering::*};
use crate::telemetry::trace;
use std::collections::VecDeque;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a waiting thread spins before it sleeps.
const SPIN: Duration = Duration::from_micros(50);

/// The word of what keeps a port: places in the lower half, running callbacks above, and whether it was released.
const RUNNING: u64 = 1 << 32;
const RELEASED: u64 = 1 << 63;
const PLACES: u64 = RUNNING - 1;

/// A record and the functions that want it.
pub struct Entry {
    /// What became of the request.
    pub record: weft_completion,
    callback: weft_complete_fn,
    /// Dropped when nobody calls the callback.
    finalizer: Option<Due>,
}

/// What became of an attempt to reserve a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is reserved.
    Kept,
    /// All are taken.
    Full,
    /// A signal handler ran while the thread waited for one.
    Interrupted,
    /// The port was released.
    Released,
}

/// What takes up a port's room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// How many places there are.
    pub capacity: u64,
    /// Those that are kept: for completions that wait, and for requests that are pending.
    pub places: u64,
    /// Callbacks that run.
    pub calls: u64,
}

/// A ring of completions.
pub struct Port {
    /// Whose it is: the number of a context's account.
    pub account: u32,
    capacity: u64,
    /// Whether a thread of the library dispatches it, which nobody else may do then.
    threaded: bool,
    kept: AtomicU64,
    pub(super) ring: Mutex<Ring>,
    /// Raised by every wake: a waiting thread returns when it moves.
    wakes: AtomicU64,
    gate: Gate,
    /// Submitters wait here for places.
    room: Gate,
    finalizer: Mutex<Option<Finalizer>>,
}

/// What lies behind a port's lock.
pub(super) struct Ring {
    pub(super) entries: VecDeque<Entry>,
    pub(super) event: Option<OwnedFd>,
    /// Whether the event tells of a record that is still to come.
    pub(super) announced: bool,
    /// Whether it takes records.
    open: bool,
}

impl Port {
    /// With room for `capacity` completions, reserved ones among them, for the context of this account.
    pub fn new(capacity: u32, threaded: bool, account: u32) -> Result<Arc<Self>> {
        let mut entries = VecDeque::new();
        let bytes = capacity as usize * size_of::<Entry>();
        entries.try_reserve_exact(capacity as usize).map_err(|_| Error::out_of_memory(bytes))?;
        let port = Arc::new(Self {
            account,
            capacity: u64::from(capacity),
            threaded,
            kept: AtomicU64::new(0),
            ring: Mutex::new(Ring { entries, event: None, announced: false, open: true }),
            wakes: AtomicU64::new(0),
            gate: Gate::new(),
            room: Gate::new(),
            finalizer: Mutex::new(None),
        });
        if threaded {
            let served = port.clone();
            thread::spawn(c"weft-port", move || served.serve())?;
        }
        Ok(port)
    }

    /// What to call after its end.
    pub fn finalize_by(&self, finalizer: Option<Finalizer>) {
        *self.finalizer.lock() = finalizer;
    }

    /// Whether a thread of the library dispatches it.
    pub fn threaded(&self) -> bool {
        self.threaded
    }

    /// Keeps a place for one completion.
    pub fn reserve(&self) -> Place {
        let more = |kept: u64| (kept & RELEASED == 0 && kept & PLACES < self.capacity).then_some(kept + 1);
        match self.kept.fetch_update(AcqRel, Relaxed, more) {
            Ok(_) => Place::Kept,
            Err(kept) if kept & RELEASED != 0 => Place::Released,
            Err(_) => Place::Full,
        }
    }

    /// As [`reserve`](Self::reserve), but waits for a place until `deadline`, or until `stop` says to try no more.
    pub fn await_place(&self, deadline: Option<Instant>, stop: impl Fn() -> bool) -> Place {
        let place = std::cell::Cell::new(Place::Full);
        let ready = || {
            place.set(self.reserve());
            place.get() != Place::Full || stop()
        };
        match self.room.wait_or_signal(Duration::ZERO, deadline, ready) {
            Wake::Interrupted => Place::Interrupted,
            _ => place.get(),
        }
    }

    /// Makes those who wait for a place look again.
    pub fn look_again(&self) {
        self.room.open();
    }

    /// Gives back the place of a request that was not accepted.
    pub fn unreserve(&self) {
        self.give_back(1);
    }

    /// Takes `what` from what keeps the port, and ends it if that was the last.
    fn give_back(&self, what: u64) {
        if self.kept.fetch_sub(what, AcqRel) - what == RELEASED {
            self.end();
        }
        if what & PLACES != 0 {
            self.room.open();
        }
    }

    /// Released, and nothing will come any more: nobody gets here twice, for a released port keeps no new place.
    fn end(&self) {
        let finalizer = self.finalizer.lock().take();
        drop(finalizer.as_ref().map(Finalizer::due));
        self.gate.open();
    }

    /// What takes up its room.
    pub fn room(&self) -> Room {
        let kept = self.kept.load(Acquire);
        Room { capacity: self.capacity, places: kept & PLACES, calls: (kept & !RELEASED) / RUNNING }
    }

    /// How many completions wait.
    pub fn waiting(&self) -> usize {
        self.ring.lock().entries.len()
    }

    /// Adds the completion of a request that holds a place, and makes the request complete: both at once for everyone
    /// who takes records.
    pub fn post(&self, request: &Request) {
        let entry = Entry {
            record: request.record(),
            callback: request.tag.callback,
            finalizer: request.take_finalizer(),
        };
        let mut ring = self.ring.lock();
        let dropped = ring.add(entry, self.threaded);
        request.publish();
        drop(ring);
        match dropped {
            None => self.gate.open(),
            // The finalizer first: the port's own comes after those of its requests.
            Some(entry) => {
                drop(entry);
                self.give_back(1);
            }
        }
    }

    /// Takes up to `most` completions, oldest first, and frees their places.
    pub fn poll(&self, most: usize, take: impl FnMut(Entry)) -> usize {
        let mut ring = self.settled();
        let count = most.min(ring.entries.len());
        ring.entries.drain(..count).for_each(take);
        ring.clear_if_empty();
        drop(ring);
        if count > 0 {
            self.give_back(count as u64);
        }
        count
    }

    /// Takes the oldest completion and calls its functions on this thread, with no lock held. `false` if there is none.
    pub fn dispatch(&self) -> bool {
        let Some(entry) = self.begin() else { return false };
        trace::settle();
        call(entry.callback, &entry.record);
        if let Some(finalizer) = entry.finalizer {
            finalizer.call();
        }
        self.give_back(RUNNING);
        if self.threaded {
            paid();
        }
        true
    }

    /// Takes one completion and frees its place, but keeps the port.
    fn begin(&self) -> Option<Entry> {
        let mut ring = self.settled();
        let entry = ring.entries.pop_front();
        // A look that finds nothing clears the mark that a wake left.
        ring.clear_if_empty();
        let entry = entry?;
        self.kept.fetch_add(RUNNING - 1, AcqRel);
        drop(ring);
        self.room.open();
        Some(entry)
    }

    /// The life of a port's own thread: it ends with the port.
    fn serve(&self) {
        let ended = || self.kept.load(SeqCst) == RELEASED;
        let ready = || !self.ring.lock().entries.is_empty() || ended();
        while self.gate.wait(SPIN, None, ready) && !ended() {
            while self.dispatch() {}
        }
    }

    /// Waits until a completion is there or somebody calls [`wake`](Self::wake).
    pub fn wait(&self, deadline: Option<Instant>) -> Wake {
        let before = self.wakes.load(SeqCst);
        let ready = || !self.ring.lock().entries.is_empty() || self.wakes.load(SeqCst) != before;
        let spin = deadline.map_or(SPIN, |at| at.saturating_duration_since(Instant::now()).min(SPIN));
        self.gate.wait_or_signal(spin, deadline, ready)
    }

    /// Makes every thread that waits here return, and the event handle readable.
    pub fn wake(&self) {
        self.wakes.fetch_add(1, SeqCst);
        self.ring.lock().signal();
        self.gate.open();
    }

    /// Makes the event handle readable again if completions wait: for loops that are told of edges alone.
    pub fn arm(&self) {
        let ring = self.ring.lock();
        if !ring.entries.is_empty() {
            ring.signal();
        }
    }

    /// The eventfd, made at the first call; closed when the port is released.
    pub fn event_handle(&self) -> Result<i32> {
        let mut ring = self.ring.lock();
        if ring.event.is_none() && ring.open {
            ring.event = Some(eventfd()?);
            if !ring.entries.is_empty() {
                ring.signal();
            }
        }
        match &ring.event {
            Some(event) => Ok(event.as_raw_fd()),
            None => fail!(WEFT_ERROR_STALE_HANDLE, "port was released during the call"),
        }
    }

    /// Gives the port up: it keeps no more places, waits end, and what nobody can take any more is dropped.
    pub fn release(&self) {
        let kept = self.kept.fetch_or(RELEASED, AcqRel);
        if kept & RELEASED != 0 {
            return;
        }
        self.wake();
        self.room.open();
        let mut ring = self.ring.lock();
        ring.open = false;
        ring.event = None;
        let left = if self.threaded { VecDeque::new() } else { std::mem::take(&mut ring.entries) };
        drop(ring);
        let places = left.len() as u64;
        drop(left);
        if kept == 0 {
            self.end();
        } else if places > 0 {
            self.give_back(places);
        }
    }
}

impl Ring {
    /// The entry comes back if nobody can take it any more.
    fn add(&mut self, entry: Entry, threaded: bool) -> Option<Entry> {
        if !self.open && !threaded {
            return Some(entry);
        }
        if threaded {
            owe();
        }
        self.entries.push_back(entry);
        let announced = std::mem::take(&mut self.announced);
        if self.entries.len() == 1 && !announced {
            self.signal();
        }
        None
    }

    pub(super) fn signal(&self) {
        if let Some(event) = &self.event {
            let one = 1u64;
            // SAFETY: writes eight bytes of a local to our own descriptor. A full counter is readable already.
            unsafe { libc::write(event.as_raw_fd(), (&raw const one).cast(), 8) };
        }
    }

    fn clear_if_empty(&mut self) {
        self.announced &= !self.entries.is_empty();
        if let (true, Some(event)) = (self.entries.is_empty(), &self.event) {
            let mut count = 0u64;
            // SAFETY: reads eight bytes into a local; the descriptor does not block.
            unsafe { libc::read(event.as_raw_fd(), (&raw mut count).cast(), 8) };
        }
    }
}

fn eventfd() -> Result<OwnedFd> {
    // SAFETY: no pointers; a negative answer is checked before the number is owned.
    let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
    if fd < 0 {
        let reason = std::io::Error::last_os_error();
        fail!(WEFT_ERROR_OUT_OF_MEMORY, "the system refused an eventfd: {reason}");
    }
    // SAFETY: a descriptor that was just made and that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
