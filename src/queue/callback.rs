//! Calls of the caller's functions: callbacks and finalizers. A thread knows while it is inside one, for there it must
//! not wait; the library's threads are counted as owing what they have still to call, for a shutdown to wait for.

use super::request::{weft_complete_fn, weft_completion};
use crate::device::gate::{Gate, Wake};
use crate::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use crate::sync::shared;
use std::cell::Cell;
use std::time::{Duration, Instant};

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

shared! {
    /// Calls that threads of the library have still to make or are making.
    static OWED: AtomicUsize = AtomicUsize::new(0);
}
shared! {
    /// Where to wait for them.
    static PAID: Gate = Gate::new();
}

/// Whether this thread is inside a function of the caller's.
pub fn inside() -> bool {
    INSIDE.get()
}

/// Runs `call`, which calls a function of the caller's.
pub(super) fn calling(call: impl FnOnce()) {
    let before = INSIDE.replace(true);
    call();
    INSIDE.set(before);
}

/// Calls `callback` with the record, if there is one.
pub(super) fn call(callback: weft_complete_fn, record: &weft_completion) {
    if let Some(callback) = callback {
        // SAFETY: the submitter promised a function that takes these two, and does not unwind.
        calling(|| unsafe { callback(record.user_data, record) });
    }
}

/// A thread of the library has one more call to make.
pub(super) fn owe() {
    OWED.fetch_add(1, SeqCst);
}

/// It made one.
pub(super) fn paid() {
    OWED.fetch_sub(1, SeqCst);
    PAID.open();
}

/// Waits until the library's threads have made all calls that they owe.
pub fn await_paid(deadline: Option<Instant>) -> Wake {
    PAID.wait_or_signal(Duration::ZERO, deadline, || OWED.load(SeqCst) == 0)
}
