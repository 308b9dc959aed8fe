//! The log: sentences for whoever runs the program, to the embedder's hook, else, where WEFT_LOG asks for it, to stderr.
//!
//! A sentence that nobody wants costs one relaxed load. One that somebody wants is put together on the stack: the log
//! allocates nothing, so that it can tell of memory that ran out.

use crate::status::{Error, Result, WEFT_ERROR_IN_CALLBACK};
use parking_lot::RwLock;
use std::cell::Cell;
use std::ffi::{CStr, OsStr, c_char};
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Something failed for good: a device was lost, a defect of the library was stopped.
pub const WEFT_LOG_ERROR: u32 = 1;
/// A request or a call failed, memory ran out, a queue is stuck.
pub const WEFT_LOG_WARN: u32 = 2;
/// What happens seldom: contexts and queues come and go, requests are cancelled.
pub const WEFT_LOG_INFO: u32 = 3;
/// What happens often: the way in which each operation runs, refusals by full queues.
pub const WEFT_LOG_DEBUG: u32 = 4;

/// A function of the caller's that takes sentences of the log: its own number, a WEFT_LOG level, and zero-terminated
/// UTF-8 that is valid during the call. It must not throw.
#[allow(non_camel_case_types)]
pub type weft_log_fn = Option<unsafe extern "C" fn(user: u64, level: u32, message: *const c_char)>;

/// Bytes of a sentence with its closing zero.
const TEXT: usize = 1024;

const NAMES: [&str; 5] = ["", "error", "warn", "info", "debug"];

/// Who reads.
struct Sink {
    hook: weft_log_fn,
    user: u64,
    /// The most talkative level that the hook wants.
    hook_level: u32,
    /// The same of stderr; 0 for nothing.
    stderr_level: u32,
}

static SINK: RwLock<Sink> = RwLock::new(Sink { hook: None, user: 0, hook_level: 0, stderr_level: 0 });

/// The most talkative level that somebody reads.
static WANTED: AtomicU32 = AtomicU32::new(0);

thread_local! {
    static IN_HOOK: Cell<bool> = const { Cell::new(false) };
}

impl Sink {
    fn level(&self) -> u32 {
        if self.hook.is_some() { self.hook_level } else { self.stderr_level }
    }
}

/// Whether somebody reads sentences of this level.
#[inline]
pub fn wants(level: u32) -> bool {
    level <= WANTED.load(Relaxed)
}

/// Tells a sentence, put into words only if somebody reads this level: `tell!(WEFT_LOG_WARN, "{x} failed")`.
#[macro_export]
#[doc(hidden)]
macro_rules! tell {
    ($level:ident, $($message:tt)+) => {
        if $crate::telemetry::log::wants($crate::telemetry::log::$level) {
            $crate::telemetry::log::write($crate::telemetry::log::$level, format_args!($($message)+));
        }
    };
}

/// A sentence that is cut when it is full.
struct Sentence {
    bytes: [u8; TEXT],
    length: usize,
}

impl Write for Sentence {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = TEXT - 1 - self.length;
        let cut = (0..=text.len().min(room)).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        self.bytes[self.length..self.length + cut].copy_from_slice(&text.as_bytes()[..cut]);
        self.length += cut;
        if cut == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

/// See `tell!`.
#[cold]
pub fn write(level: u32, message: fmt::Arguments) {
    // A sentence that a hook's own doing brought about would be told to the hook inside itself.
    if IN_HOOK.get() {
        return;
    }
    // Recursive: a hook may hold a lock of the program's for which a thread waits that is about to tell something too.
    let sink = SINK.read_recursive();
    if level > sink.level() {
        return;
    }
    let mut sentence = Sentence { bytes: [0; TEXT], length: 0 };
    match sink.hook {
        Some(hook) => {
            // A sentence that does not fit is cut.
            let _ = sentence.write_fmt(message);
            IN_HOOK.set(true);
            // SAFETY: the embedder promised a function that takes these and does not unwind; the text ends in a zero.
            unsafe { hook(sink.user, level, sentence.bytes.as_ptr().cast()) };
            IN_HOOK.set(false);
        }
        None => {
            let _ = write!(sentence, "weft: {}: {message}", NAMES[level as usize]);
            print(&mut sentence);
        }
    }
}

/// A line on stderr, in one piece.
fn print(sentence: &mut Sentence) {
    sentence.bytes[sentence.length] = b'\n';
    // SAFETY: a local of at least this length.
    unsafe { libc::write(2, sentence.bytes.as_ptr().cast(), sentence.length + 1) };
}

/// Sends sentences up to `level` to `hook` from here on; with none, to where WEFT_LOG says. Returns when no thread is
/// inside the hook that was there before; until then nobody enters it, and what would be told is lost.
pub fn set_hook(hook: weft_log_fn, user: u64, level: u32) {
    WANTED.store(0, Relaxed);
    let mut sink = SINK.write();
    (sink.hook, sink.user, sink.hook_level) = (hook, user, level);
    WANTED.store(sink.level(), Relaxed);
}

/// Reads WEFT_LOG.
pub fn read_environment() {
    let Some(value) = super::environment("WEFT_LOG") else { return };
    let known = NAMES.iter().position(|name| !name.is_empty() && value == OsStr::new(name));
    let mut sink = SINK.write();
    sink.stderr_level = known.unwrap_or(WEFT_LOG_WARN as usize) as u32;
    WANTED.store(sink.level(), Relaxed);
    drop(sink);
    if known.is_none() {
        crate::tell!(
            WEFT_LOG_WARN,
            "WEFT_LOG is {value:?}; expected error, warn, info or debug: taken as warn"
        );
    }
}

/// An error inside a hook of the log: it may be told of anything at any time, and so must call nothing.
#[inline]
pub fn check_no_hook() -> Result<()> {
    match IN_HOOK.get() {
        false => Ok(()),
        true => Err(in_hook()),
    }
}

#[cold]
fn in_hook() -> Error {
    Error::new(WEFT_ERROR_IN_CALLBACK, "weft was called inside the hook of its own log, where nothing may be")
}

/// The name of a status, for sentences.
pub fn status_name(status: i32) -> &'static str {
    let name: &CStr = crate::status::name(status);
    name.to_str().unwrap_or_default()
}
