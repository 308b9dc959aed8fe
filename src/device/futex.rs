//! A word that threads sleep on: futex(2), whose sleep ends when a signal handler ran in the sleeping thread. Elsewhere a
//! lock and a condition variable, which signals do not end.

use crate::sync::{atomic::AtomicU32, constructor};
use std::time::Duration;

/// Why a sleep ended. Like every sleep on a condition, it may end for no reason: as `Woken`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Somebody woke it, or the word had changed before.
    Woken,
    /// The time ran out.
    TimedOut,
    /// A signal handler ran in this thread.
    Interrupted,
}

/// The word, and what wakes those who sleep on it.
pub struct Futex {
    /// Change it before [`wake_all`](Self::wake_all).
    pub word: AtomicU32,
    sleep: Sleep,
}

impl Futex {
    constructor! {
        /// A word of this value that nobody sleeps on.
        pub fn new(value: u32) -> Self {
            Self { word: AtomicU32::new(value), sleep: Sleep::new() }
        }
    }

    /// Sleeps while the word is `expected`, for `timeout` at the most.
    pub fn wait(&self, expected: u32, timeout: Option<Duration>) -> End {
        self.sleep.wait(&self.word, expected, timeout)
    }

    /// Wakes all who sleep.
    pub fn wake_all(&self) {
        self.sleep.wake_all(&self.word);
    }
}

#[cfg(all(target_os = "linux", target_pointer_width = "64", not(loom)))]
mod system {
    use super::*;

    pub struct Sleep;

    impl Sleep {
        pub const fn new() -> Self {
            Self
        }

        pub fn wait(&self, word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> End {
            let timeout = timeout.map(|time| libc::timespec {
                tv_sec: time.as_secs().min(i64::MAX as u64) as i64,
                tv_nsec: i64::from(time.subsec_nanos()),
            });
            let limit = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
            let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
            // SAFETY: the word and the limit outlive the call, which only reads them.
            let code = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, expected, limit) };
            match std::io::Error::last_os_error().raw_os_error() {
                Some(libc::ETIMEDOUT) if code != 0 => End::TimedOut,
                Some(libc::EINTR) if code != 0 => End::Interrupted,
                _ => End::Woken,
            }
        }

        pub fn wake_all(&self, word: &AtomicU32) {
            let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
            // SAFETY: the kernel takes the word's address as a name and does not write to it.
            unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, i32::MAX) };
        }
    }
}

#[cfg(not(all(target_os = "linux", target_pointer_width = "64", not(loom))))]
mod system {
    use super::*;
    use crate::sync::{Condvar, Mutex, atomic::Ordering::SeqCst};

    pub struct Sleep {
        lock: Mutex<()>,
        woken: Condvar,
    }

    impl Sleep {
        constructor! {
            pub fn new() -> Self {
                Self { lock: Mutex::new(()), woken: Condvar::new() }
            }
        }

        pub fn wait(&self, word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> End {
            let mut guard = self.lock.lock();
            // Whoever wakes changes the word first and takes the lock then: no wake-up falls between.
            if word.load(SeqCst) != expected {
                return End::Woken;
            }
            let Some(timeout) = timeout else {
                self.woken.wait(&mut guard);
                return End::Woken;
            };
            if self.woken.wait_for(&mut guard, timeout).timed_out() { End::TimedOut } else { End::Woken }
        }

        pub fn wake_all(&self, _: &AtomicU32) {
            drop(self.lock.lock());
            self.woken.notify_all();
        }
    }
}

use system::Sleep;
