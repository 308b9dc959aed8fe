//! A gate: threads wait at it until a condition holds; whoever changes the condition opens it.
//!
//! One word: its lowest bit says that somebody sleeps or is about to, the others count how often it was opened since.
//! Opening costs one fence and one load while nobody sleeps. The two `SeqCst` sides (change, then read the word; set the
//! bit, then read the condition) make a missed wake-up impossible, and the count keeps a thread from falling asleep over
//! an opening that came between its look at the condition and its sleep.

use super::futex::{End, Futex};
use crate::sync::atomic::{Ordering::SeqCst, fence};
use crate::sync::{SPINS, constructor, yield_now};
use std::time::{Duration, Instant};

/// The bit of the word that says that somebody sleeps.
const ASLEEP: u32 = 1;

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// The condition holds.
    Ready,
    /// The deadline came before.
    Late,
    /// A signal handler ran in the waiting thread before: what EINTR is to a system call. A wait without a deadline goes
    /// on all the same when the handler was installed with SA_RESTART.
    Interrupted,
}

/// Where threads wait for a condition that other threads change.
pub struct Gate {
    futex: Futex,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    constructor! {
        /// A gate with nobody at it.
        pub fn new() -> Self {
            Self { futex: Futex::new(0) }
        }
    }

    /// Whether somebody sleeps here, or is about to.
    pub fn is_asleep(&self) -> bool {
        self.futex.word.load(SeqCst) & ASLEEP != 0
    }

    /// Wakes everyone, to look at the condition again. Call it after the change.
    pub fn open(&self) {
        fence(SeqCst);
        let word = &self.futex.word;
        let now = word.load(SeqCst);
        // Whoever loses this exchange leaves the waking to the winner, whose opening is the later one.
        if now & ASLEEP != 0 && word.compare_exchange(now, now.wrapping_add(1), SeqCst, SeqCst).is_ok() {
            self.futex.wake_all();
        }
    }

    /// Waits until `ready` answers true, spinning for `spin` first. `false` if `deadline` came before. Signals do not
    /// end it.
    pub fn wait(&self, spin: Duration, deadline: Option<Instant>, ready: impl Fn() -> bool) -> bool {
        loop {
            match self.wait_or_signal(spin, deadline, &ready) {
                Wake::Interrupted => continue,
                end => return end == Wake::Ready,
            }
        }
    }

    /// As [`wait`](Self::wait), for a thread of the caller's: a signal handler that ran in it ends the wait.
    pub fn wait_or_signal(
        &self,
        spin: Duration,
        deadline: Option<Instant>,
        ready: impl Fn() -> bool,
    ) -> Wake {
        if spin_until(spin, &ready) { Wake::Ready } else { self.sleep(deadline, ready) }
    }

    fn sleep(&self, deadline: Option<Instant>, ready: impl Fn() -> bool) -> Wake {
        let mut end = End::Woken;
        loop {
            let seen = self.futex.word.fetch_or(ASLEEP, SeqCst) | ASLEEP;
            fence(SeqCst);
            if ready() {
                return Wake::Ready;
            }
            if end == End::Interrupted {
                return Wake::Interrupted;
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Wake::Late;
            }
            end = self.futex.wait(seen, left);
        }
    }
}

/// How long a spinning thread keeps its processor before it offers it to others.
const KEEP: Duration = Duration::from_micros(10);

/// Looks at `ready` again and again for at most `spin`. Yields between rounds after a while: on a loaded machine the
/// thread that would make it true may wait for this very processor.
pub fn spin_until(spin: Duration, ready: impl Fn() -> bool) -> bool {
    if ready() {
        return true;
    }
    let start = Instant::now();
    while SPINS && start.elapsed() < spin {
        for _ in 0..32 {
            if ready() {
                return true;
            }
            std::hint::spin_loop();
        }
        if start.elapsed() > KEEP {
            yield_now();
        }
    }
    false
}

/// The moment `timeout_ns` from now; `None` when it is too far away to matter.
pub fn deadline(timeout_ns: u64) -> Option<Instant> {
    let later = || Instant::now().checked_add(Duration::from_nanos(timeout_ns));
    if timeout_ns < u64::MAX { later() } else { None }
}

/// The time until `deadline`, as [`deadline`] takes it.
pub fn left(deadline: Option<Instant>) -> u64 {
    let nanoseconds = |at: Instant| at.saturating_duration_since(Instant::now()).as_nanos() as u64;
    deadline.map_or(u64::MAX, nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn no_wake_up_is_missed_among_many_waiters() {
        let (gate, turn) = (Gate::new(), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for me in 0..4 {
                let (gate, turn) = (&gate, &turn);
                scope.spawn(move || {
                    for _ in 0..2_000 {
                        assert!(gate.wait(Duration::ZERO, None, || turn.load(SeqCst) % 4 == me));
                        turn.fetch_add(1, SeqCst);
                        gate.open();
                    }
                });
            }
        });
        assert_eq!(turn.into_inner(), 8_000);
        assert!(!gate.wait(Duration::ZERO, Some(Instant::now() + Duration::from_millis(1)), || false));
    }
}
