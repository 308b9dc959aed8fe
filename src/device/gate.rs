//! A gate: threads wait at it until a condition holds; whoever changes the condition opens it.
//!
//! Opening costs one fence and one load while nobody sleeps. The two `SeqCst` sides (change, then read `sleepers`;
//! raise `sleepers`, then read the condition) make a missed wake-up impossible.

use crate::sync::atomic::{AtomicUsize, Ordering::SeqCst, fence};
use crate::sync::{Condvar, Mutex, SPINS, constructor, yield_now};
use std::time::{Duration, Instant};

/// Where threads wait for a condition that other threads change.
pub struct Gate {
    sleepers: AtomicUsize,
    lock: Mutex<()>,
    opened: Condvar,
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
            Self { sleepers: AtomicUsize::new(0), lock: Mutex::new(()), opened: Condvar::new() }
        }
    }

    /// Wakes everyone, to look at the condition again. Call it after the change.
    pub fn open(&self) {
        fence(SeqCst);
        if self.sleepers.load(SeqCst) > 0 {
            drop(self.lock.lock());
            self.opened.notify_all();
        }
    }

    /// Waits until `ready` answers true, spinning for `spin` first. `false` if `deadline` came before.
    pub fn wait(&self, spin: Duration, deadline: Option<Instant>, ready: impl Fn() -> bool) -> bool {
        spin_until(spin, &ready) || self.sleep(deadline, ready)
    }

    fn sleep(&self, deadline: Option<Instant>, ready: impl Fn() -> bool) -> bool {
        let mut guard = self.lock.lock();
        self.sleepers.fetch_add(1, SeqCst);
        fence(SeqCst);
        let mut open = ready();
        let mut late = false;
        while !open && !late {
            late = match deadline {
                Some(at) => self.opened.wait_until(&mut guard, at).timed_out(),
                None => {
                    self.opened.wait(&mut guard);
                    false
                }
            };
            open = ready();
        }
        self.sleepers.fetch_sub(1, SeqCst);
        open
    }
}

/// Looks at `ready` again and again for at most `spin`. Yields between rounds: on a loaded machine the thread that
/// would make it true may wait for this very processor.
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
        yield_now();
    }
    false
}

/// The moment `timeout_ns` from now; `None` when it is too far away to matter.
pub fn deadline(timeout_ns: u64) -> Option<Instant> {
    Instant::now().checked_add(Duration::from_nanos(timeout_ns)).filter(|_| timeout_ns < u64::MAX)
}
