//! loom's types under the names and signatures that the library uses. Times never pass: a wait with a deadline is one
//! without.

pub use loom::sync::atomic;
pub use loom::thread::yield_now;

use atomic::{AtomicBool, AtomicU32, Ordering::*};
use loom::cell::UnsafeCell;
use std::cell::RefCell;
use std::ffi::CStr;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

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

loom::lazy_static! {
    static ref OVER: AtomicBool = AtomicBool::new(false);
}

/// Whether threads that live as long as the process are to end.
pub fn over() -> bool {
    OVER.load(SeqCst)
}

/// Tells them to. They must be woken then.
pub fn end() {
    OVER.store(true, SeqCst);
}

/// Waits until the library's threads have ended: a model's statics do not outlive its first thread.
pub fn join() {
    for thread in STARTED.take() {
        thread.join().expect("a model ends with its first panic");
    }
}

/// As `std::sync::Arc`, where an owner's end matters: others are the system's, which order nothing here.
pub struct Arc<T>(loom::sync::Arc<T>);

impl<T> Arc<T> {
    /// With one owner.
    pub fn new(value: T) -> Self {
        Self(loom::sync::Arc::new(value))
    }

    /// The value, for the last owner. Weaker than the real one: two owners who both try may both fail.
    pub fn into_inner(this: Self) -> Option<T> {
        loom::sync::Arc::try_unwrap(this.0).ok()
    }
}

impl<T> Clone for Arc<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Deref for Arc<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
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

    /// The lock if nobody holds it.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock().ok().map(|guard| MutexGuard(Some(guard)))
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
    pub fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, _: Duration) -> Waited {
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
