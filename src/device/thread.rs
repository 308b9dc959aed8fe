//! Threads of the library: detached, named, with every signal blocked, so that the host's handlers never run on them.
//!
//! `pthread_create` and not `std::thread`: the latter aborts the process when memory runs out behind it.

use crate::fail;
use crate::status::Result;
use once_cell::sync::Lazy;
use std::cell::Cell;
use std::ffi::{CStr, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

static FORKED: AtomicBool = AtomicBool::new(false);

/// Registers the mark that a fork's child finds. Evaluated before the first thread starts.
static FORK_MARK: Lazy<()> = Lazy::new(|| {
    extern "C" fn child() {
        FORKED.store(true, SeqCst);
    }
    // SAFETY: `child` is async-signal-safe (one atomic store) and never unloaded: the library is linked nodelete.
    unsafe { libc::pthread_atfork(None, None, Some(child)) };
});

/// Whether this process is the child of a fork that happened after the library had started a thread.
pub fn forked() -> bool {
    FORKED.load(SeqCst)
}

thread_local! {
    /// How deep this thread is inside the library.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Runs library code: a panic in it is not printed, for it becomes a status. The host's own panics still are.
pub fn inside<R>(body: impl FnOnce() -> R) -> R {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            DEPTH.set(DEPTH.get() - 1);
        }
    }
    silence_panics();
    DEPTH.set(DEPTH.get() + 1);
    let _leave = Leave;
    body()
}

fn silence_panics() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if DEPTH.get() == 0 {
                before(info);
            }
        }));
    });
}

#[cfg(loom)]
pub use crate::sync::{join, spawn};

/// Runs `body` on a new detached thread of this name (15 bytes at most).
#[cfg(not(loom))]
pub fn spawn(name: &'static CStr, body: impl FnOnce() + Send + 'static) -> Result<()> {
    Lazy::force(&FORK_MARK);
    let body: Box<Box<dyn FnOnce() + Send>> = Box::new(Box::new(body));
    let argument = Box::into_raw(body).cast::<c_void>();
    let code = with_signals_blocked(|| create(argument));
    match code {
        Ok(thread) => {
            // SAFETY: `thread` was just created detached; a name it may no longer need is refused, not misread.
            unsafe { libc::pthread_setname_np(thread, name.as_ptr()) };
            Ok(())
        }
        Err(code) => {
            // SAFETY: no thread was created, so the box is still ours, and of the type put in above.
            drop(unsafe { Box::from_raw(argument.cast::<Box<dyn FnOnce() + Send>>()) });
            fail!(WEFT_ERROR_OUT_OF_MEMORY, "the system refused a thread (pthread_create: error {code})")
        }
    }
}

fn create(argument: *mut c_void) -> std::result::Result<libc::pthread_t, i32> {
    // SAFETY: an all-zero `pthread_attr_t` is only a place for `pthread_attr_init` to fill; `thread` is written on
    // success; `enter` takes exactly this argument and frees it.
    unsafe {
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        libc::pthread_attr_init(&mut attributes);
        libc::pthread_attr_setdetachstate(&mut attributes, libc::PTHREAD_CREATE_DETACHED);
        libc::pthread_attr_setstacksize(&mut attributes, 2 << 20);
        let mut thread: libc::pthread_t = std::mem::zeroed();
        let code = libc::pthread_create(&mut thread, &attributes, enter, argument);
        libc::pthread_attr_destroy(&mut attributes);
        if code == 0 { Ok(thread) } else { Err(code) }
    }
}

extern "C" fn enter(argument: *mut c_void) -> *mut c_void {
    // SAFETY: `spawn` made this box, and gave it to this thread alone.
    let body = unsafe { Box::from_raw(argument.cast::<Box<dyn FnOnce() + Send>>()) };
    // A panic must not unwind into the C caller of this function; its payload is dropped under guard too.
    let _ = catch_unwind(AssertUnwindSafe(|| inside(|| drop(catch_unwind(AssertUnwindSafe(body))))));
    std::ptr::null_mut()
}

/// A new thread inherits the mask of its creator: block all, create, restore.
fn with_signals_blocked<R>(create: impl FnOnce() -> R) -> R {
    // SAFETY: both sets are plain data, filled by the calls before they are read.
    unsafe {
        let (mut all, mut before): (libc::sigset_t, libc::sigset_t) =
            (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        let result = create();
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
        result
    }
}
