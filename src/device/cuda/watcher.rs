//! The watcher: one thread a context that looks whether the device is past what was launched. It spins for a moment after
//! each launch and each completion, then sleeps, longer the longer it has waited: a 64th of that time, so that what it adds
//! to a long wait is small, and its own time next to nothing.

use super::gpu::Gpu;
use crate::device::gate::{Gate, spin_until};
use crate::device::thread;
use crate::status::Result;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How long it spins.
const SPIN: Duration = Duration::from_micros(100);
/// Glances at the timelines between two looks, and how many of them follow each other without a pause.
const GLANCES: [usize; 2] = [8, 4];
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
    /// The same for the watcher, unless another thread looks all the time: it would only be in its way.
    fn glance(&self) -> Sight;
    /// This thread looks again and again.
    fn attend(&self);
    /// Whether [`glance`](Self::glance) would find something, at the cost of a cache line or two that nobody else writes.
    fn is_due(&self) -> bool;
    /// Has the memory brought here that ending the first of what was launched touches, if it is for this thread to end.
    fn ask_ahead(&self);
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
        let (mut all, mut seen) = (Vec::new(), u64::MAX);
        while !self.over.load(SeqCst) {
            let told = self.told.load(SeqCst);
            if told != seen {
                self.gather(&mut all);
                all.iter().for_each(|watched| watched.ask_ahead());
                seen = told;
            }
            let news = || self.told.load(SeqCst) != told || self.over.load(SeqCst);
            match look(&all) {
                Sight::Moved => since = Instant::now(),
                Sight::Idle => {
                    if !spin_until(SPIN, news) {
                        all.clear(); // a queue may end meanwhile
                        seen = u64::MAX;
                        self.gate.wait(Duration::ZERO, None, news);
                    }
                    (since, probed) = (Instant::now(), Instant::now());
                }
                Sight::Waiting => {
                    if probed.elapsed() >= PROBE {
                        self.gather(&mut all); // without those that ended
                        all.iter().for_each(|watched| watched.probe());
                        probed = Instant::now();
                    }
                    if self.pause(&all, since.elapsed(), news) {
                        since = Instant::now();
                    }
                }
            }
        }
    }

    /// All that live. Held while something is launched or in flight: their counts of owners are others' cache lines.
    fn gather(&self, all: &mut Vec<Arc<dyn Watched>>) {
        all.clear();
        let list = self.watched.lock();
        if all.try_reserve(list.len()).is_ok() {
            all.extend(list.iter().filter_map(Weak::upgrade));
        }
    }

    /// Between two looks at something that has not moved for so long. Whether there was news meanwhile.
    fn pause(&self, all: &[Arc<dyn Watched>], waited: Duration, news: impl Fn() -> bool) -> bool {
        if waited < SPIN {
            // A look takes cache lines from the worker that launches and from a thread that waits.
            let due = || (0..GLANCES[1]).any(|_| all.iter().any(|watched| watched.is_due()));
            for _ in 0..GLANCES[0] {
                if due() || news() {
                    break;
                }
                std::hint::spin_loop();
            }
            return news();
        }
        let nap = (waited / 64).clamp(NAP.0, NAP.1);
        self.gate.wait(Duration::ZERO, Some(Instant::now() + nap), news)
    }
}

/// A look at all queues.
fn look(all: &[Arc<dyn Watched>]) -> Sight {
    let mut sight = Sight::Idle;
    for watched in all {
        match (watched.glance(), sight) {
            (Sight::Moved, _) => sight = Sight::Moved,
            (Sight::Waiting, Sight::Idle) => sight = Sight::Waiting,
            _ => {}
        }
    }
    sight
}
