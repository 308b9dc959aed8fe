//! loom's types under the names and signatures that the library uses. Times never pass: a wait with a deadline is one
//! without.

pub use loom::sync::atomic;
pub use loom::thread::yield_now;

use atomic::{AtomicU32, Ordering::*};
use loom::cell::UnsafeCell;
use std::cell::RefCell;
use std::ffi::CStr;
use std::ops::{Deref, DerefMut};
use std::time::Instant;

thread_local! {
    /// Threads of the library in this model; one thread of the system runs all of it.
    static STARTED: RefCell<Vec<loom::thread::JoinHandle<()>>> = const { RefCell::new(Vec::new()) };
}

/// As `device::thread::spawn`.
pub fn spawn(_: &'static CStr, body: impl FnOnce() + 'static) -> crate::status::Result<()> {
    let thread = loom::thread::spawn(body);
    STARTED.with(|started| started.borrow_mut().push(thread));
    Ok(())
}

/// Waits until the library's threads have ended: a model's statics do not outlive its first thread.
pub fn join() {
    for thread in STARTED.take() {
        thread.join().expect("a model ends with its first panic");
    }
}

/// As `parking_lot::Mutex`.
pub struct Mutex<T>(loom::sync::Mutex<T>);

/// A lock that is held; empty only inside [`Condvar::wait`].
pub struct MutexGuard<'a, T>(Option<loom::sync::MutexGuard<'a, T>>);

impl<T> Mutex<T> {
    /// An open lock.
    pub fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    /// Waits for the lock.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard(self.0.lock().ok())
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.0.as_ref().expect("held")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("held")
    }
}

/// As `parking_lot::RwLock`.
pub struct RwLock<T>(loom::sync::RwLock<T>);

impl<T> RwLock<T> {
    /// An open lock.
    pub fn new(value: T) -> Self {
        Self(loom::sync::RwLock::new(value))
    }

    /// Waits for a share of the lock.
    pub fn read(&self) -> loom::sync::RwLockReadGuard<'_, T> {
        self.0.read().expect("a model ends with its first panic")
    }

    /// Waits for the lock.
    pub fn write(&self) -> loom::sync::RwLockWriteGuard<'_, T> {
        self.0.write().expect("a model ends with its first panic")
    }
}

/// As `parking_lot::Condvar`.
pub struct Condvar(loom::sync::Condvar);

/// The answer of a wait with a deadline.
pub struct Waited;

impl Waited {
    /// Never.
    pub fn timed_out(&self) -> bool {
        false
    }
}

impl Condvar {
    /// With nobody waiting.
    pub fn new() -> Self {
        Self(loom::sync::Condvar::new())
    }

    /// Gives up the lock until it is notified.
    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        guard.0 = guard.0.take().and_then(|held| self.0.wait(held).ok());
    }

    /// As [`wait`](Self::wait).
    pub fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, _: Instant) -> Waited {
        self.wait(guard);
        Waited
    }

    /// Wakes all.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// As `once_cell::sync::OnceCell`.
pub struct OnceCell<T> {
    set: AtomicU32,
    setting: Mutex<()>,
    value: UnsafeCell<Option<T>>,
}

// SAFETY: `value` is written once, under `setting` and before `set` says so, and only read afterwards; loom checks it.
unsafe impl<T: Send + Sync> Sync for OnceCell<T> {}

impl<T> OnceCell<T> {
    /// Empty.
    pub fn new() -> Self {
        Self { set: AtomicU32::new(0), setting: Mutex::new(()), value: UnsafeCell::new(None) }
    }

    /// What was set.
    pub fn get(&self) -> Option<&T> {
        if self.set.load(Acquire) == 0 {
            return None;
        }
        // SAFETY: set, so never written again.
        self.value.with(|value| unsafe { (*value).as_ref() })
    }

    /// Sets the value unless there is one.
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        let _ = self.get_or_try_init(|| Ok::<T, ()>(value.take().expect("asked for once")));
        value.map_or(Ok(()), Err)
    }

    /// What was set, or what `make` makes.
    pub fn get_or_try_init<E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        let setting = self.setting.lock();
        if self.set.load(Relaxed) == 0 {
            let made = make()?;
            // SAFETY: under the lock, and nobody reads before `set` is raised.
            self.value.with_mut(|value| unsafe { *value = Some(made) });
            self.set.store(1, Release);
        }
        drop(setting);
        Ok(self.get().expect("set above"))
    }
}
