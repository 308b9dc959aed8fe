//! Ahead of time: what a thread that will run or end a request does for it while it is still busy with another or waits for
//! the device: memory comes over from the processor that wrote it last, and a sleeper begins to wake.

use super::port::{Entry, Port, Ring};
use super::request::Request;
use crate::device::ahead::ask_for;
use crate::sync::SPINS;
use crate::sync::atomic::Ordering::Relaxed;
use std::ops::DerefMut;

/// How often a look for a record that was announced is repeated: some microseconds, in which it comes unless the thread
/// that posts it lost its processor.
const PATIENCE: usize = if SPINS { 200 } else { 1 };

impl Request {
    /// Asks for the request's own memory, by the thread that will run it.
    pub fn ask(&self) {
        ask_for((&raw const *self).cast(), size_of::<Self>());
    }

    /// Asks for its work's.
    pub fn ask_for_work(&self) {
        ask_for(std::ptr::without_provenance(self.place.0), self.place.1);
    }

    /// Asks for its port's ring.
    pub fn ask_for_port(&self) {
        if let Some(port) = &self.port {
            port.ask();
        }
    }

    /// It is about to be posted.
    pub fn announce(&self) {
        match &self.port {
            Some(port) if !self.claimed.load(Relaxed) => port.announce(),
            _ => {}
        }
    }

    /// Whether its completion goes to a port.
    pub fn posts(&self) -> bool {
        self.port.is_some()
    }

    /// Whether anybody can tell when it completes: it has a handle, a port or a finalizer.
    pub fn is_asked_for(&self) -> bool {
        self.posts() || self.handle.load(Relaxed) != 0 || !self.is_plain()
    }
}

impl Port {
    /// Asks for the memory of its ring, by a thread that will post to it.
    pub fn ask(&self) {
        ask_for((&raw const self.ring).cast(), size_of_val(&self.ring));
        if let Some(ring) = self.ring.try_lock() {
            // Where the next one goes if none waits, for then somebody is to be woken.
            ask_for(ring.entries.as_slices().0.as_ptr_range().end.cast(), size_of::<Entry>());
        }
    }

    /// A completion is about to be posted: makes the event handle readable, for what is left to be done takes less time than
    /// waking a thread. Who takes records waits for those moments.
    pub fn announce(&self) {
        let mut ring = self.ring.lock();
        if ring.event.is_some() && ring.entries.is_empty() && !ring.announced {
            ring.announced = true;
            ring.signal();
        }
    }

    /// The ring, once a record that was announced is there.
    pub(super) fn settled(&self) -> impl DerefMut<Target = Ring> {
        let (mut ring, mut patience) = (self.ring.lock(), PATIENCE);
        while ring.announced && ring.entries.is_empty() && patience > 0 {
            drop(ring);
            std::hint::spin_loop();
            patience -= 1;
            ring = self.ring.lock();
        }
        ring
    }
}
