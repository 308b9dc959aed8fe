//! Finalizers: functions of the caller's that are called exactly once, when what they belong to is done with.
//!
//! A [`Finalizer`] may come to nothing: a submission that is refused drops it. Once it is [`Due`], it is the promise to
//! call, which may have two owners: the completion, and the device while it is at work. The last of them calls it, or
//! drops it; one that is dropped is called by a thread of the library's, in the order of dropping. So nothing that
//! happens to an accepted request or to a port can lose it. The thread is there before, and the finalizer is its own
//! place in the thread's list: nothing can fail later.

use super::callback::{calling, owe, paid};
use crate::device::gate::Gate;
use crate::device::thread;
use crate::status::Result;
use crate::sync::atomic::{AtomicBool, Ordering::Relaxed};
use crate::sync::{Mutex, OnceCell, shared};
use std::sync::Arc;
use std::time::Duration;

/// A function of the caller's, to be called once with its own number when the library is done with what it was given
/// for. It must not throw.
pub type weft_finalize_fn = Option<unsafe extern "C" fn(user_data: u64)>;

/// A function to call later, and its number.
pub struct Finalizer(Arc<Promise>);

/// An owner of the promise to call a finalizer.
pub struct Due(Arc<Promise>);

struct Promise {
    call: Option<Box<Call>>,
    due: AtomicBool,
}

struct Call {
    function: unsafe extern "C" fn(user_data: u64),
    user_data: u64,
    next: Option<Box<Call>>,
}

shared! {
    /// Calls that the thread has to make, the latest first.
    static CALLS: Mutex<Option<Box<Call>>> = Mutex::new(None);
}
shared! {
    static ARRIVED: Gate = Gate::new();
}
shared! {
    static STARTED: OnceCell<()> = OnceCell::new();
}

impl Finalizer {
    /// `function` with `user_data`, if there is one.
    pub fn new(function: weft_finalize_fn, user_data: u64) -> Result<Option<Self>> {
        let Some(function) = function else { return Ok(None) };
        STARTED.get_or_try_init(|| thread::spawn(c"weft-finalizer", serve))?;
        let call = Some(Box::new(Call { function, user_data, next: None }));
        Ok(Some(Self(Arc::new(Promise { call, due: AtomicBool::new(false) }))))
    }

    /// From here on it will be called, when all owners of the promise are gone.
    pub(super) fn due(&self) -> Due {
        self.0.due.store(true, Relaxed);
        Due(self.0.clone())
    }
}

impl Due {
    /// Calls it on this thread, unless there is another owner.
    pub(super) fn call(self) {
        if let Some(call) = Arc::into_inner(self.0).and_then(|mut promise| promise.call.take()) {
            call.make();
        }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        if let (true, Some(mut call)) = (*self.due.get_mut(), self.call.take()) {
            owe();
            let mut calls = CALLS.lock();
            call.next = calls.take();
            *calls = Some(call);
            drop(calls);
            ARRIVED.open();
        }
    }
}

impl Call {
    fn make(&self) {
        // SAFETY: the caller promised a function that takes its number, and does not unwind.
        calling(|| unsafe { (self.function)(self.user_data) });
    }
}

fn serve() {
    loop {
        ARRIVED.wait(Duration::ZERO, None, || CALLS.lock().is_some());
        let latest_first = CALLS.lock().take();
        let mut calls = reversed(latest_first);
        while let Some(mut call) = calls {
            calls = call.next.take();
            call.make();
            drop(call);
            paid();
        }
    }
}

fn reversed(mut calls: Option<Box<Call>>) -> Option<Box<Call>> {
    let mut first = None;
    while let Some(mut call) = calls {
        calls = call.next.take();
        call.next = first;
        first = Some(call);
    }
    first
}
