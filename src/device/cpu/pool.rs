//! One pool of helper threads for the process. Whoever has a parallel job puts it into a slot, works at it too, and
//! leaves when no tile is left: it never waits for a helper that has not started.
//!
//! A slot's word says whether the slot is taken, whether helpers may join, how many may and how many did. A helper
//! joins by raising the count while the slot is open, and only then reads the job; the owner closes the slot and waits
//! for the count to fall to zero before the job, which lives on its stack, goes away.
//!
//! A thread that waits for a request spins a while, and takes a processor from those that work for it. So it may work at a
//! short job itself, if the job's owner lends it: an [`Assistant`] takes the place of a helper.

use crate::device::gate::{Gate, spin_until};
use crate::device::thread;
use crate::device::thread::computes_by_default;
use crate::sync::shared;
use std::cell::{Cell, UnsafeCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::*};
use std::time::Duration;

const SLOTS: usize = 16;
const MAX_HELPERS: usize = 255;
const SPIN: Duration = Duration::from_micros(50);

const TAKEN: u32 = 1 << 31;
const OPEN: u32 = 1 << 30;
/// Threads that wait may join too.
const LENT: u32 = 1 << 29;
const LIMIT_SHIFT: u32 = 8;
const JOINED: u32 = 0xff;

/// Work cut into tiles `0..tiles`, each done once by whichever thread takes it.
struct Job<'a> {
    work: &'a (dyn Fn(usize) + Sync),
    tiles: usize,
    next: AtomicUsize,
    panicked: AtomicBool,
}

impl Job<'_> {
    /// Takes tiles until none is left.
    fn work(&self) {
        while let Some(tile) = self.take() {
            (self.work)(tile);
        }
    }

    fn take(&self) -> Option<usize> {
        let tile = self.next.fetch_add(1, Relaxed);
        (tile < self.tiles).then_some(tile)
    }

    /// The same on a helper, where a panic must be carried to the owner instead of unwinding.
    fn help(&self) {
        if catch_unwind(AssertUnwindSafe(|| self.work())).is_err() {
            self.panicked.store(true, Relaxed);
            self.next.store(self.tiles, Relaxed);
        }
    }
}

struct Slot {
    state: AtomicU32,
    job: UnsafeCell<*const Job<'static>>,
}

// SAFETY: `job` is written only by the thread that moved `state` from 0 to TAKEN, before it opens the slot, and read
// only by helpers that joined while it was open; the owner waits for them before it frees the slot.
unsafe impl Sync for Slot {}

impl Slot {
    const fn new() -> Self {
        Self { state: AtomicU32::new(0), job: UnsafeCell::new(std::ptr::null()) }
    }

    fn claim(&self) -> bool {
        self.state.load(Relaxed) == 0 && self.state.compare_exchange(0, TAKEN, Acquire, Relaxed).is_ok()
    }

    /// Joins the job if the slot has these bits and is below its limit; works; leaves.
    fn help(&self, bits: u32) {
        let mut state = self.state.load(Relaxed);
        loop {
            let limit = state >> LIMIT_SHIFT & JOINED;
            if state & bits != bits || state & JOINED >= limit {
                return;
            }
            match self.state.compare_exchange_weak(state, state + 1, Acquire, Relaxed) {
                Ok(_) => break,
                Err(now) => state = now,
            }
        }
        // SAFETY: joined, so the owner keeps the job alive until the count falls again.
        unsafe { (**self.job.get()).help() };
        self.state.fetch_sub(1, Release);
    }
}

/// Closes the slot and waits for the helpers, also when the owner's own tile panics.
struct Close<'a>(&'a Slot);

impl Drop for Close<'_> {
    fn drop(&mut self) {
        self.0.state.fetch_and(!OPEN, Relaxed);
        while self.0.state.load(Acquire) & JOINED != 0 {
            std::hint::spin_loop();
        }
        self.0.state.store(0, Release);
    }
}

/// The process's helpers.
pub struct Pool {
    slots: [Slot; SLOTS],
    helpers: AtomicUsize,
    /// Raised by every job that is posted: a helper sleeps until it moves.
    posted: AtomicU64,
    /// How many helpers are awake and looking for a job.
    looking: AtomicUsize,
    /// How many threads that wait look for a job that is lent.
    waiting: AtomicUsize,
    /// Whether the last job was lent: then as many helpers sleep as threads wait.
    lent: AtomicBool,
    gate: Gate,
}

shared! {
    /// The one pool.
    pub static POOL: Pool = Pool {
        slots: [const { Slot::new() }; SLOTS],
        helpers: AtomicUsize::new(0),
        posted: AtomicU64::new(0),
        looking: AtomicUsize::new(0),
        waiting: AtomicUsize::new(0),
        lent: AtomicBool::new(false),
        gate: Gate::new(),
    };
}

/// What the pool does at this moment.
#[derive(Clone, Copy, Debug)]
pub struct PoolUse {
    /// Helper threads that were started.
    pub threads: usize,
    /// Those of them that are awake and look for work.
    pub looking: usize,
    /// Those that work at somebody's job.
    pub working: usize,
    /// Jobs that are open to helpers or wait for them.
    pub jobs: usize,
    /// Jobs shared so far.
    pub posted: u64,
}

/// How the process's pool is used.
pub fn pool_use() -> PoolUse {
    let states = || POOL.slots.iter().map(|slot| slot.state.load(Relaxed));
    PoolUse {
        threads: POOL.helpers.load(Relaxed),
        looking: POOL.looking.load(Relaxed),
        working: states().map(|state| (state & JOINED) as usize).sum(),
        jobs: states().filter(|state| state & TAKEN != 0).count(),
        posted: POOL.posted.load(Relaxed),
    }
}

impl Pool {
    /// Whether somebody would join at once, without being woken.
    pub fn is_warm(&self, lent: bool) -> bool {
        self.awake(lent) > 0
    }

    fn awake(&self, lent: bool) -> usize {
        self.looking.load(SeqCst) + if lent { self.waiting.load(SeqCst) } else { 0 }
    }

    /// Runs `work` once for each tile on the calling thread and up to `threads - 1` helpers, or, if it is `lent`, threads
    /// that wait. Returns when all is done; what the tiles wrote is then visible to the caller.
    pub fn run(&'static self, threads: usize, tiles: usize, lent: bool, work: &(dyn Fn(usize) + Sync)) {
        let helpers = self.staff(threads.min(tiles).saturating_sub(1));
        let slot = if helpers == 0 { None } else { self.slots.iter().find(|slot| slot.claim()) };
        match slot {
            Some(slot) => self.share(slot, helpers, tiles, lent, work),
            None => (0..tiles).for_each(work),
        }
    }

    fn share(&self, slot: &Slot, helpers: usize, tiles: usize, lent: bool, work: &(dyn Fn(usize) + Sync)) {
        let job = Job { work, tiles, next: AtomicUsize::new(0), panicked: AtomicBool::new(false) };
        let close = Close(slot);
        // SAFETY: this thread claimed the slot, and no helper reads the job before OPEN is set below. The lifetime is
        // erased; `close` ends every use of the job before it goes out of scope.
        unsafe { *slot.job.get() = (&raw const job).cast() };
        let bits = TAKEN | OPEN | if lent { LENT } else { 0 };
        slot.state.store(bits | (helpers as u32) << LIMIT_SHIFT, Release);
        self.lent.store(lent, Relaxed);
        self.posted.fetch_add(1, SeqCst);
        if self.awake(lent) < helpers {
            self.gate.open();
        }
        job.work();
        drop(close);
        assert!(!job.panicked.load(Relaxed), "a tile panicked on a helper");
    }

    /// How many helpers there are for a job that wants `wanted`, starting those that are missing.
    fn staff(&'static self, wanted: usize) -> usize {
        let wanted = wanted.min(MAX_HELPERS);
        if wanted == 0 || thread::forked() {
            return 0;
        }
        let mut have = self.helpers.load(Relaxed);
        while have < wanted {
            match self.helpers.compare_exchange(have, have + 1, Relaxed, Relaxed) {
                Ok(_) if thread::spawn(c"weft-cpu", move || self.serve(have)).is_ok() => have += 1,
                Ok(_) => {
                    self.helpers.fetch_sub(1, Relaxed);
                    break;
                }
                Err(now) => have = now,
            }
        }
        have.min(wanted)
    }

    /// The life of the helper with this number.
    fn serve(&self, number: usize) {
        let relieved = || self.lent.load(Relaxed) && self.waiting.load(Relaxed) > number;
        loop {
            let seen = self.posted.load(SeqCst);
            self.slots.iter().for_each(|slot| slot.help(OPEN));
            let moved = || self.posted.load(SeqCst) != seen;
            self.looking.fetch_add(1, SeqCst);
            spin_until(SPIN, || moved() || relieved());
            self.looking.fetch_sub(1, SeqCst);
            if !moved() {
                self.gate.wait(Duration::ZERO, None, moved);
            }
        }
    }
}

/// A thread that waits, and works at jobs that are lent meanwhile.
pub struct Assistant {
    /// How many jobs there had been when it last looked.
    seen: Cell<u64>,
}

impl Assistant {
    /// The calling thread, if it computes as the library's own do.
    pub fn new() -> Option<Self> {
        if !computes_by_default() {
            return None;
        }
        POOL.waiting.fetch_add(1, SeqCst);
        Some(Self { seen: Cell::new(0) })
    }

    /// Works at what is lent.
    pub fn look(&self) {
        let posted = POOL.posted.load(SeqCst);
        if self.seen.replace(posted) != posted {
            POOL.slots.iter().for_each(|slot| slot.help(OPEN | LENT));
        }
    }
}

impl Drop for Assistant {
    fn drop(&mut self) {
        POOL.waiting.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tile_runs_once_from_many_owners() {
        std::thread::scope(|scope| {
            for owner in 0..24u64 {
                scope.spawn(move || {
                    for round in 0..200 {
                        let tiles = (owner * 7 + round) as usize % 65;
                        let done: Vec<AtomicU64> = (0..tiles).map(|_| AtomicU64::new(0)).collect();
                        POOL.run(1 + round as usize % 5, tiles, round % 2 == 0, &|tile| {
                            done[tile].fetch_add(1, Relaxed);
                        });
                        assert!(done.iter().all(|count| count.load(Relaxed) == 1));
                    }
                });
            }
        });
    }

    #[test]
    fn a_panic_in_a_tile_reaches_the_owner_and_the_pool_lives() {
        // Without the message of a panic, which a test's log would show each time.
        let work = |tile| {
            if tile == 17 {
                std::panic::resume_unwind(Box::new("deliberate"))
            }
        };
        for _ in 0..50 {
            assert!(catch_unwind(|| POOL.run(4, 64, false, &work)).is_err());
        }
        let sum = AtomicU64::new(0);
        POOL.run(4, 100, false, &|tile| {
            sum.fetch_add(tile as u64, Relaxed);
        });
        assert_eq!(sum.into_inner(), 4950);
    }

    #[test]
    fn threads_that_wait_work_at_what_is_lent_and_at_nothing_else() {
        let over = AtomicBool::new(false);
        let (mine, lent) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let assistant = Assistant::new().unwrap();
                while !over.load(SeqCst) {
                    assistant.look();
                }
            });
            let waits = || std::thread::current().id() == waiter.thread().id();
            let (start, mut round) = (std::time::Instant::now(), 0);
            let missed = || lent.load(Relaxed) == 0 && start.elapsed() < Duration::from_secs(60);
            while round < 1_000 || missed() {
                round += 1;
                let done = [const { AtomicU64::new(0) }; 8];
                let lends = round % 2 == 0;
                POOL.run(3, 8, lends, &|tile| {
                    done[tile].fetch_add(1, Relaxed);
                    if waits() {
                        if lends { &lent } else { &mine }.fetch_add(1, Relaxed);
                    }
                });
                assert!(done.iter().all(|count| count.load(Relaxed) == 1));
            }
            over.store(true, SeqCst);
        });
        assert!(mine.into_inner() == 0 && lent.into_inner() > 0);
    }
}
