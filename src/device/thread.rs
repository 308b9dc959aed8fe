//! Threads of the library: detached, named, with every signal blocked but those of their own faults, so that the host's
//! handlers do not run on them, and computing as a new process does, whatever rounding or traps the thread that started them had chosen.
//!
//! `pthread_create` and not `std::thread`: the latter aborts the process when memory runs out behind it.

use crate::fail;
use crate::status::Result;
use std::cell::Cell;
use std::ffi::{CStr, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

static FORKED: AtomicBool = AtomicBool::new(false);

/// Marks the children of all later forks. To be called before the library first takes a lock: a child finds it taken for
/// ever. It takes none itself, and registering twice does no harm.
pub fn mark_forks() -> Result<()> {
    static MARKED: AtomicBool = AtomicBool::new(false);
    extern "C" fn child() {
        FORKED.store(true, SeqCst);
    }
    if !MARKED.load(SeqCst) {
        // SAFETY: `child` is async-signal-safe (one atomic store) and never unloaded: the library is linked nodelete.
        let code = unsafe { libc::pthread_atfork(None, None, Some(child)) };
        if code != 0 {
            fail!(
                WEFT_ERROR_OUT_OF_MEMORY,
                "the system refused a fork handler (pthread_atfork: error {code})"
            );
        }
        MARKED.store(true, SeqCst);
    }
    Ok(())
}

/// Whether this process is the child of a fork that happened after the library had opened a context.
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

/// What a new thread is to be called and to do.
struct Start {
    name: &'static CStr,
    body: Box<dyn FnOnce() + Send>,
}

/// Runs `body` on a new detached thread of this name (15 bytes at most).
#[cfg(not(loom))]
pub fn spawn(name: &'static CStr, body: impl FnOnce() + Send + 'static) -> Result<()> {
    let argument = Box::into_raw(Box::new(Start { name, body: Box::new(body) }));
    let code = with_signals_blocked(|| create(argument.cast()));
    if code != 0 {
        // SAFETY: no thread was created, so the box is still ours.
        drop(unsafe { Box::from_raw(argument) });
        fail!(WEFT_ERROR_OUT_OF_MEMORY, "the system refused a thread (pthread_create: error {code})");
    }
    Ok(())
}

/// Starts a thread in [`enter`]. 0, or the system's reason why not.
fn create(argument: *mut c_void) -> i32 {
    // SAFETY: an all-zero `pthread_attr_t` is only a place for `pthread_attr_init` to fill; `enter` takes
    // exactly this argument and frees it.
    unsafe {
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        libc::pthread_attr_init(&mut attributes);
        libc::pthread_attr_setdetachstate(&mut attributes, libc::PTHREAD_CREATE_DETACHED);
        libc::pthread_attr_setstacksize(&mut attributes, 2 << 20);
        let mut thread: libc::pthread_t = std::mem::zeroed();
        let code = libc::pthread_create(&mut thread, &attributes, enter, argument);
        libc::pthread_attr_destroy(&mut attributes);
        code
    }
}

extern "C" fn enter(argument: *mut c_void) -> *mut c_void {
    // SAFETY: `spawn` made this box, and gave it to this thread alone.
    let Start { name, body } = *unsafe { Box::from_raw(argument.cast::<Start>()) };
    // SAFETY: this thread names itself; a name that is too long is refused, not misread.
    unsafe { libc::pthread_setname_np(libc::pthread_self(), name.as_ptr()) };
    forget_inherited_mode();
    // A panic must not unwind into the C caller of this function; its payload is dropped under guard too.
    let _ = catch_unwind(AssertUnwindSafe(|| inside(|| drop(catch_unwind(AssertUnwindSafe(body))))));
    std::ptr::null_mut()
}

/// A new thread inherits rounding, flushing of denormals and traps from its creator: results must not depend on them, and a
/// trap would end the process.
fn forget_inherited_mode() {
    #[cfg(target_os = "linux")]
    {
        unsafe extern "C" {
            fn fesetenv(environment: *const c_void) -> i32;
        }
        /// FE_DFL_ENV of glibc and musl.
        const DEFAULT: *const c_void = std::ptr::without_provenance(usize::MAX);
        // SAFETY: this constant is no address, but names the default environment.
        unsafe { fesetenv(DEFAULT) };
    }
}

/// Whether this thread rounds, flushes and traps as a new process does, so that results are the same on it as on a thread of
/// the library's.
#[inline]
pub fn computes_by_default() -> bool {
    #[cfg(miri)]
    return true; // it reads no such register, and has but one mode
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        /// What MXCSR is at first, and its bits that only tell what has happened.
        const DEFAULT: u32 = 0x1F80;
        const TOLD: u32 = 0x3F;
        let mut mode = 0u32;
        // SAFETY: stores the register in a local.
        unsafe { std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut mode, options(nostack, preserves_flags)) };
        mode & !TOLD == DEFAULT
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    {
        let mode: u64;
        // SAFETY: reads a register that every thread may read.
        unsafe { std::arch::asm!("mrs {}, fpcr", out(reg) mode, options(nomem, nostack, preserves_flags)) };
        mode == 0
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", miri)))]
    false
}

/// A new thread inherits the mask of its creator: block all, create, restore. Not those by which the thread's own faults
/// are told: a crash reporter is to see them.
fn with_signals_blocked<R>(create: impl FnOnce() -> R) -> R {
    // SAFETY: both sets are plain data, filled by the calls before they are read.
    unsafe {
        let (mut all, mut before): (libc::sigset_t, libc::sigset_t) =
            (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&mut all);
        for own in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP] {
            libc::sigdelset(&mut all, own);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        let result = create();
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
        result
    }
}
