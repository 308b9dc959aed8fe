//! The end of the process: the driver takes its state down in a handler of its own while threads of the library and of the
//! caller may still be inside it. Handlers run in the reverse order of their registration, so one that is registered after
//! the driver's start runs before: it lets nobody in any more and waits for those inside to come out.

use crate::device::thread::{forked, spawn};
use crate::status::{Error, Result, WEFT_ERROR_DEVICE_LOST};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// How many threads are inside the driver.
static INSIDE: AtomicUsize = AtomicUsize::new(0);
/// How many open a library of the vendor's.
static OPENING: AtomicUsize = AtomicUsize::new(0);
static ENDING: AtomicBool = AtomicBool::new(false);
/// How long the end of the process waits for the one and the other: opening takes a second, but a thread may also have
/// been interrupted by the handler of a signal that ends the process, or hang, and never come out.
const PATIENCE: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(2)];

/// While a library of the vendor's is opened, how often the end is guarded anew, and how many times at most.
const AGAIN: Duration = Duration::from_micros(200);
const TIMES: usize = 25_000;

/// A thread that is where it must not be when the driver ends.
pub(super) struct Inside(&'static AtomicUsize);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// To be held while the driver is called.
pub(super) fn enter() -> Result<Inside> {
    count(&INSIDE)
}

/// To be held while a library of the vendor's is opened.
pub(super) fn enter_opening() -> Result<Inside> {
    count(&OPENING)
}

fn count(threads: &'static AtomicUsize) -> Result<Inside> {
    threads.fetch_add(1, SeqCst);
    let inside = Inside(threads);
    if ENDING.load(SeqCst) {
        let message = "the process is ending, and the CUDA driver with it";
        return Err(Error::new(WEFT_ERROR_DEVICE_LOST, message));
    }
    Ok(inside)
}

/// Whether the process is ending: what fails then has failed by that.
pub(super) fn ending() -> bool {
    ENDING.load(SeqCst)
}

/// To be called after the driver's start, and after everything else by which a library of the vendor's may have registered
/// handlers: what was registered last runs first.
pub(super) fn guard_the_end() {
    // SAFETY: a function that does not unwind, of a library that is never unloaded (it is linked nodelete).
    unsafe { libc::atexit(end) };
}

/// Opens a library of the vendor's. Its constructors register handlers one after another, each of which takes down what
/// the next constructor needs, if the process ends meanwhile: so ours is registered again and again, to come before them.
pub(super) fn guarded<R>(open: impl FnOnce() -> R) -> R {
    let opened = Arc::new(AtomicBool::new(false));
    let done = opened.clone();
    guard_the_end();
    // Without a thread, ours comes before what was registered so far.
    let _ = spawn(c"weft-guard", move || {
        let over = || done.load(SeqCst) || ENDING.load(SeqCst);
        (0..TIMES).take_while(|_| !over()).for_each(|_| {
            guard_the_end();
            std::thread::sleep(AGAIN);
        });
    });
    let result = open();
    opened.store(true, SeqCst);
    guard_the_end();
    result
}

extern "C" fn end() {
    ENDING.store(true, SeqCst);
    let start = Instant::now();
    let awaited = |(threads, patience): (&AtomicUsize, Duration)| {
        threads.load(SeqCst) > 0 && start.elapsed() < patience
    };
    // A fork's child has none of the threads that were inside.
    while !forked() && [&INSIDE, &OPENING].into_iter().zip(PATIENCE).any(awaited) {
        std::thread::yield_now();
    }
}
