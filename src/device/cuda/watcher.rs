//! The watcher: one thread a context that looks whether the device is past what was launched. It spins for a moment after
//! each launch and each completion, then sleeps, longer the longer it has waited: a 64th of that time, so that what it adds
//! to a long wait is small, and its own time next to nothing.

use super::gpu::Gpu;
use crate::device::gate::Gate;
use crate::device::thread;
use crate::status::Result;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How long it spins.
const SPIN: Duration = Duration::from_micros(100);
/// Rounds of a spin loop between two looks.
const LOOKS_APART: usize = 8;
/// How long it sleeps at the least and at the most: a sleep and a look cost about 10 us of a processor.
const NAP: (Duration, Duration) = (Duration::from_micros(10), Duration::from_millis(1));
/// How often it asks the driver whether a stream that does not move is all right: only so is a fault noticed.
const PROBE: Duration = Duration::from_millis(5);

/// What a look at one queue shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Nothing is in flight.
    Idle,
    /// Something was done.
    Moved,
    /// Something is in flight.
    Waiting,
}

/// A queue, to the watcher.
pub trait Watched: Send + Sync {
    /// Ends what the device is past.
    fn look(&self) -> Sight;
    /// Asks the driver whether the device is still there.
    fn probe(&self);
}

/// Looks after the queues of one context.
#[derive(Default)]
pub struct Watcher {
    watched: Mutex<Vec<Weak<dyn Watched>>>,
    /// How often it was told of a launch.
    told: AtomicU64,
    over: AtomicBool,
    gate: Gate,
}

impl Watcher {
    /// Starts the thread.
    pub fn start(gpu: Arc<Gpu>) -> Result<Arc<Self>> {
        let watcher = Arc::new(Self::default());
        let own = watcher.clone();
        thread::spawn(c"weft-cuda", move || {
            let _ = gpu.settle();
            own.watch();
        })?;
        Ok(watcher)
    }

    /// Looks after `watched`, too, as long as it lives.
    pub fn add(&self, watched: Weak<dyn Watched>) {
        let mut list = self.watched.lock();
        list.retain(|other| other.strong_count() > 0);
        list.push(watched);
    }

    /// Something was launched.
    pub fn tell(&self) {
        self.told.fetch_add(1, SeqCst);
        self.gate.open();
    }

    /// Ends the thread.
    pub fn end(&self) {
        self.over.store(true, SeqCst);
        self.gate.open();
    }

    fn watch(&self) {
        let (mut since, mut probed) = (Instant::now(), Instant::now());
        while !self.over.load(SeqCst) {
            let told = self.told.load(SeqCst);
            let news = || self.told.load(SeqCst) != told || self.over.load(SeqCst);
            match self.look() {
                Sight::Moved => since = Instant::now(),
                Sight::Idle => {
                    self.gate.wait(SPIN, None, news);
                    (since, probed) = (Instant::now(), Instant::now());
                }
                Sight::Waiting => {
                    if probed.elapsed() >= PROBE {
                        self.each(|watched| watched.probe());
                        probed = Instant::now();
                    }
                    if self.pause(since.elapsed(), news) {
                        since = Instant::now();
                    }
                }
            }
        }
    }

    /// Between two looks at something that has not moved for so long. Whether there was news meanwhile.
    fn pause(&self, waited: Duration, news: impl Fn() -> bool) -> bool {
        if waited < SPIN {
            // Not too often: a look takes cache lines from the worker that launches and from a thread that waits.
            (0..LOOKS_APART).for_each(|_| std::hint::spin_loop());
            return false;
        }
        let nap = (waited / 64).clamp(NAP.0, NAP.1);
        self.gate.wait(Duration::ZERO, Some(Instant::now() + nap), news)
    }

    fn look(&self) -> Sight {
        let mut all = Sight::Idle;
        self.each(|watched| match (watched.look(), all) {
            (Sight::Moved, _) => all = Sight::Moved,
            (Sight::Waiting, Sight::Idle) => all = Sight::Waiting,
            _ => {}
        });
        all
    }

    /// Calls `visit` for each that lives, without holding the lock: a queue may end, or begin, meanwhile.
    fn each(&self, mut visit: impl FnMut(&dyn Watched)) {
        for index in 0.. {
            let watched = match self.watched.lock().get(index) {
                Some(watched) => watched.upgrade(),
                None => return,
            };
            if let Some(watched) = watched {
                visit(&*watched);
            }
        }
    }
}
