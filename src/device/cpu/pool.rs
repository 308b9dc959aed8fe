//! One pool of helper threads for the process. Whoever has a parallel job puts it into a slot, works at it too, and
//! leaves when no tile is left: it never waits for a helper that has not started.
//!
//! A slot's word says whether the slot is taken, whether helpers may join, how many may and how many did. A helper
//! joins by raising the count while the slot is open, and only then reads the job; the owner closes the slot and waits
//! for the count to fall to zero before the job, which lives on its stack, goes away.

use crate::device::gate::{Gate, spin_until};
use crate::device::thread;
use crate::sync::shared;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::*};
use std::time::Duration;

const SLOTS: usize = 16;
const MAX_HELPERS: usize = 255;
const SPIN: Duration = Duration::from_micros(50);

const TAKEN: u32 = 1 << 31;
const OPEN: u32 = 1 << 30;
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

    /// Joins the job if the slot is open and below its limit; works; leaves.
    fn help(&self) {
        let mut state = self.state.load(Relaxed);
        loop {
            let limit = state >> LIMIT_SHIFT & JOINED;
            if state & OPEN == 0 || state & JOINED >= limit {
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
    posted: AtomicU32,
    /// How many helpers are awake and looking for a job.
    looking: AtomicUsize,
    gate: Gate,
}

shared! {
    /// The one pool.
    pub static POOL: Pool = Pool {
        slots: [const { Slot::new() }; SLOTS],
        helpers: AtomicUsize::new(0),
        posted: AtomicU32::new(0),
        looking: AtomicUsize::new(0),
        gate: Gate::new(),
    };
}

impl Pool {
    /// Whether a helper would join at once, without being woken.
    pub fn is_warm(&self) -> bool {
        self.looking.load(Relaxed) > 0
    }

    /// Runs `work` once for each tile on the calling thread and up to `threads - 1` helpers. Returns when all is done;
    /// what the tiles wrote is then visible to the caller.
    pub fn run(&'static self, threads: usize, tiles: usize, work: &(dyn Fn(usize) + Sync)) {
        let helpers = self.staff(threads.min(tiles).saturating_sub(1));
        let slot = if helpers == 0 { None } else { self.slots.iter().find(|slot| slot.claim()) };
        match slot {
            Some(slot) => self.share(slot, helpers, tiles, work),
            None => (0..tiles).for_each(work),
        }
    }

    fn share(&self, slot: &Slot, helpers: usize, tiles: usize, work: &(dyn Fn(usize) + Sync)) {
        let job = Job { work, tiles, next: AtomicUsize::new(0), panicked: AtomicBool::new(false) };
        let close = Close(slot);
        // SAFETY: this thread claimed the slot, and no helper reads the job before OPEN is set below. The lifetime is
        // erased; `close` ends every use of the job before it goes out of scope.
        unsafe { *slot.job.get() = (&raw const job).cast() };
        slot.state.store(TAKEN | OPEN | (helpers as u32) << LIMIT_SHIFT, Release);
        self.posted.fetch_add(1, SeqCst);
        self.gate.open();
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
                Ok(_) if thread::spawn(c"weft-cpu", || self.serve()).is_ok() => have += 1,
                Ok(_) => {
                    self.helpers.fetch_sub(1, Relaxed);
                    break;
                }
                Err(now) => have = now,
            }
        }
        have.min(wanted)
    }

    /// A helper's life.
    fn serve(&self) {
        loop {
            let seen = self.posted.load(SeqCst);
            self.slots.iter().for_each(Slot::help);
            let moved = || self.posted.load(SeqCst) != seen;
            self.looking.fetch_add(1, Relaxed);
            let awake = spin_until(SPIN, moved);
            self.looking.fetch_sub(1, Relaxed);
            if !awake {
                self.gate.wait(Duration::ZERO, None, moved);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn every_tile_runs_once_from_many_owners() {
        std::thread::scope(|scope| {
            for owner in 0..24u64 {
                scope.spawn(move || {
                    for round in 0..200 {
                        let tiles = (owner * 7 + round) as usize % 65;
                        let done: Vec<AtomicU64> = (0..tiles).map(|_| AtomicU64::new(0)).collect();
                        POOL.run(1 + round as usize % 5, tiles, &|tile| {
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
        for _ in 0..50 {
            let run = || POOL.run(4, 64, &|tile| assert!(tile != 17, "deliberate"));
            assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
        }
        let sum = AtomicU64::new(0);
        POOL.run(4, 100, &|tile| {
            sum.fetch_add(tile as u64, Relaxed);
        });
        assert_eq!(sum.into_inner(), 4950);
    }
}
