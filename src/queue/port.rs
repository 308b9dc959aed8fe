//! Ports: where completions of any queues collect, for an event loop or a thread to take them in batches.
//!
//! A bounded ring of records. Room is reserved when a request is submitted and given back when its record is taken, so
//! that posting never allocates, never blocks and never drops. The event handle is an eventfd that is readable while
//! records wait: written when the ring stops being empty and cleared when it becomes empty, both under the ring's lock.

use super::request::{Request, weft_complete_fn, weft_completion};
use crate::device::gate::Gate;
use crate::status::{Error, Result, WEFT_ERROR_OUT_OF_MEMORY};
use once_cell::sync::OnceCell;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering::*};
use std::time::{Duration, Instant};

/// How long a waiting thread spins before it sleeps.
const SPIN: Duration = Duration::from_micros(50);

/// A record and the function that wants it.
#[derive(Clone, Copy)]
pub struct Entry {
    /// What became of the request.
    pub record: weft_completion,
    /// The submitter's function, if it gave one.
    pub callback: weft_complete_fn,
}

/// A ring of completions.
pub struct Port {
    /// Whose it is: the number of a context's account.
    pub account: u32,
    capacity: u64,
    reserved: AtomicU64,
    ring: Mutex<VecDeque<Entry>>,
    /// Raised by every wake: a waiting thread returns when it moves.
    wakes: AtomicU64,
    gate: Gate,
    event: OnceCell<OwnedFd>,
}

impl Port {
    /// With room for `capacity` completions, reserved ones among them.
    pub fn new(capacity: u32, account: u32) -> Result<Self> {
        let mut ring = VecDeque::new();
        let bytes = capacity as usize * size_of::<Entry>();
        ring.try_reserve_exact(capacity as usize).map_err(|_| Error::out_of_memory(bytes))?;
        Ok(Self {
            account,
            capacity: u64::from(capacity),
            reserved: AtomicU64::new(0),
            ring: Mutex::new(ring),
            wakes: AtomicU64::new(0),
            gate: Gate::new(),
            event: OnceCell::new(),
        })
    }

    /// Keeps a place for one completion; `false` if all are taken.
    pub fn reserve(&self) -> bool {
        let more = |reserved| (reserved < self.capacity).then_some(reserved + 1);
        self.reserved.fetch_update(AcqRel, Relaxed, more).is_ok()
    }

    /// Gives back the place of a request that was not accepted.
    pub fn unreserve(&self) {
        self.reserved.fetch_sub(1, AcqRel);
    }

    /// How many completions it has room for, and how many of those places are taken.
    pub fn room(&self) -> (u64, u64) {
        (self.capacity, self.reserved.load(Acquire))
    }

    /// How many completions wait.
    pub fn waiting(&self) -> usize {
        self.ring.lock().len()
    }

    /// Adds the completion of a request that holds a place.
    pub fn post(&self, request: &Request) {
        let entry = Entry { record: request.record(), callback: request.tag.callback };
        let mut ring = self.ring.lock();
        ring.push_back(entry);
        if ring.len() == 1 {
            self.signal();
        }
        drop(ring);
        self.gate.open();
    }

    /// Takes up to `most` completions, oldest first, and frees their places.
    pub fn poll(&self, most: usize, mut take: impl FnMut(&Entry)) -> usize {
        let mut ring = self.ring.lock();
        let count = most.min(ring.len());
        ring.drain(..count).for_each(|entry| take(&entry));
        if ring.is_empty() {
            self.clear();
        }
        self.reserved.fetch_sub(count as u64, AcqRel);
        count
    }

    /// Waits until a completion is there or somebody calls [`wake`](Self::wake). `false` if `deadline` came before.
    pub fn wait(&self, deadline: Option<Instant>) -> bool {
        let before = self.wakes.load(SeqCst);
        let ready = || !self.ring.lock().is_empty() || self.wakes.load(SeqCst) != before;
        let spin = deadline.map_or(SPIN, |at| at.saturating_duration_since(Instant::now()).min(SPIN));
        self.gate.wait(spin, deadline, ready)
    }

    /// Makes every thread that waits here return, and the event handle readable.
    pub fn wake(&self) {
        self.wakes.fetch_add(1, SeqCst);
        self.signal();
        self.gate.open();
    }

    /// Makes the event handle readable again if completions wait: for loops that are told of edges alone.
    pub fn arm(&self) {
        let ring = self.ring.lock();
        if !ring.is_empty() {
            self.signal();
        }
    }

    /// The eventfd, made at the first call.
    pub fn event_handle(&self) -> Result<i32> {
        let event = self.event.get_or_try_init(|| {
            // SAFETY: no pointers; a negative answer is checked before the number is owned.
            let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
            if fd < 0 {
                let reason = std::io::Error::last_os_error();
                return Err(Error::new(
                    WEFT_ERROR_OUT_OF_MEMORY,
                    format!("the system refused an eventfd: {reason}"),
                ));
            }
            // SAFETY: a descriptor that was just made and that nobody else owns.
            Ok(unsafe { OwnedFd::from_raw_fd(fd) })
        })?;
        self.arm();
        Ok(event.as_raw_fd())
    }

    fn signal(&self) {
        if let Some(event) = self.event.get() {
            let one = 1u64;
            // SAFETY: writes eight bytes of a local to our own descriptor. A full counter is readable already.
            unsafe { libc::write(event.as_raw_fd(), (&raw const one).cast(), 8) };
        }
    }

    fn clear(&self) {
        if let Some(event) = self.event.get() {
            let mut count = 0u64;
            // SAFETY: reads eight bytes into a local; the descriptor does not block.
            unsafe { libc::read(event.as_raw_fd(), (&raw mut count).cast(), 8) };
        }
    }
}
