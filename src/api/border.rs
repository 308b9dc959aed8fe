//! The border's machinery: every C function is one expression over [`call`], which stops panics, refuses forked
//! children and keeps the error's sentence; structs cross by [`read_struct`] and [`write_struct`] alone.

use crate::device::{gate::Wake, thread};
use crate::status::{
    Error, Result, WEFT_ERROR_FORKED, WEFT_ERROR_INTERNAL, WEFT_ERROR_OUT_OF_MEMORY, WEFT_INTERRUPTED,
    WEFT_OK, WEFT_TIMEOUT, weft_status,
};
use crate::telemetry::log::{check_no_hook, status_name};
use crate::{ensure, reserve, tell};
use std::cell::UnsafeCell;
use std::ffi::{CStr, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Bytes kept of an error's sentence, with its closing zero.
const TEXT: usize = 1024;

/// The most bytes that a struct newer than this library may have.
const LONGEST_STRUCT: usize = 1 << 16;

thread_local! {
    // No destructor and no allocation: usable on any thread at any time, also while it ends.
    static LAST_ERROR: UnsafeCell<[u8; TEXT]> = const { UnsafeCell::new([0; TEXT]) };
}

/// Runs the body of a C function; a body may answer with a status of its own that is no error.
pub fn call(body: impl FnOnce() -> Result<weft_status>) -> weft_status {
    if thread::forked() {
        return report(&forked());
    }
    let checked = || check_no_hook().and_then(|()| body());
    match catch_unwind(AssertUnwindSafe(|| thread::inside(checked))) {
        Ok(Ok(status)) => status,
        Ok(Err(error)) => refuse(&error),
        Err(payload) => {
            // Dropping a payload may itself panic.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(payload)));
            refuse(&Error::panic())
        }
    }
}

/// Tells the log of a call that failed, and reports it.
#[cold]
fn refuse(error: &Error) -> weft_status {
    let (name, used) = (status_name(error.status), reserve::in_use());
    match error.status {
        // A child that comes back from a callback: nobody will open the log's locks there.
        WEFT_ERROR_FORKED => {}
        WEFT_ERROR_INTERNAL => tell!(WEFT_LOG_ERROR, "{name}: {error}"),
        WEFT_ERROR_OUT_OF_MEMORY => {
            tell!(WEFT_LOG_WARN, "{name}: {error}; {used} blocks of the library's reserve are in use")
        }
        _ => tell!(WEFT_LOG_WARN, "{name}: {error}"),
    }
    report(error)
}

/// As [`call`], for bodies that only succeed or fail.
pub fn check(body: impl FnOnce() -> Result<()>) -> weft_status {
    call(|| body().map(|()| WEFT_OK))
}

/// What a wait that ended like this answers.
pub fn outcome_of(wake: Wake) -> weft_status {
    match wake {
        Wake::Ready => WEFT_OK,
        Wake::Late => WEFT_TIMEOUT,
        Wake::Interrupted => WEFT_INTERRUPTED,
    }
}

/// The answer to whatever a fork's child asks.
pub(super) fn forked() -> Error {
    let message =
        "this process was forked after weft had opened a context; use weft in the parent, or after exec";
    Error::new(WEFT_ERROR_FORKED, message)
}

/// Keeps the sentence for [`last_error`].
pub fn report(error: &Error) -> weft_status {
    let message = error.message.as_bytes();
    let length = utf8_floor(&error.message, TEXT - 1);
    LAST_ERROR.with(|text| {
        // SAFETY: only this thread reaches its own text, and no reference to it outlives a statement.
        let text = unsafe { &mut *text.get() };
        text[..length].copy_from_slice(&message[..length]);
        text[length] = 0;
    });
    error.status
}

/// The largest length up to `most` that does not cut a character in two.
fn utf8_floor(text: &str, most: usize) -> usize {
    (0..=text.len().min(most)).rev().find(|&length| text.is_char_boundary(length)).unwrap_or(0)
}

/// This thread's last sentence.
pub fn last_error() -> *const c_char {
    LAST_ERROR.with(|text| text.get().cast::<c_char>().cast_const())
}

/// A C struct that begins with `struct_size`.
///
/// # Safety
///
/// `repr(C)`, begins with a `u32` struct_size, and every bit pattern of its bytes is a valid value.
pub unsafe trait Sized32: Copy + Default {
    /// The C name, for errors.
    const NAME: &'static str;
    /// Its size when it was first published: callers can never pass less.
    const FIRST: usize = size_of::<Self>();
}

/// Reads a struct of the caller's, older or newer than ours; a null pointer gives all defaults.
///
/// # Safety
///
/// `at` is null or points to a struct of `struct_size` readable bytes, of which the first four hold that size.
pub unsafe fn read_struct<T: Sized32>(at: *const T) -> Result<T> {
    if at.is_null() {
        return Ok(T::default());
    }
    // SAFETY: not null, so valid for reads of `struct_size` by the contract; it may be unaligned.
    let size = unsafe { at.cast::<u32>().read_unaligned() } as usize;
    check_size::<T>(size)?;
    let ours = size_of::<T>();
    let mut value = T::default();
    // SAFETY: `min` bytes are readable by the contract, and `value` holds `ours`; any bytes make a valid `T`.
    unsafe { std::ptr::copy_nonoverlapping(at.cast::<u8>(), (&raw mut value).cast(), size.min(ours)) };
    for offset in ours..size {
        // SAFETY: `offset < size`, readable by the contract.
        let byte = unsafe { at.cast::<u8>().add(offset).read() };
        ensure!(
            byte == 0,
            "{}: byte {offset} is set, but this library knows only {ours} bytes of it",
            T::NAME
        );
    }
    Ok(value)
}

/// Shows `body` a struct of the caller's: as it lies there, if it is of this library's version, for a copy of a large one
/// takes its time, else as [`require_struct`] reads it.
///
/// # Safety
///
/// As for [`read_struct`], and nobody writes to the struct until this returns.
pub unsafe fn with_struct<T: Sized32, R>(
    what: &str,
    at: *const T,
    body: impl FnOnce(&T) -> Result<R>,
) -> Result<R> {
    // SAFETY: where it is not null the first four bytes are readable.
    let same = || unsafe { at.cast::<u32>().read_unaligned() } as usize == size_of::<T>();
    if !at.is_null() && at.is_aligned() && same() {
        // SAFETY: not null, aligned, of its full size, and by the contract not written to; any bytes make a valid `T`.
        return body(unsafe { &*at });
    }
    // SAFETY: this function's contract.
    body(&unsafe { require_struct(what, at)? })
}

/// As [`read_struct`], but null is an error that names the argument.
///
/// # Safety
///
/// As for [`read_struct`].
pub unsafe fn require_struct<T: Sized32>(what: &str, at: *const T) -> Result<T> {
    ensure!(!at.is_null(), "{what} is NULL; expected a {}", T::NAME);
    // SAFETY: this function's contract.
    unsafe { read_struct(at) }
}

/// Struct `number` of an array whose structs follow one another by the first one's struct_size, which is that of all.
///
/// # Safety
///
/// `array` is null or holds more than `number` structs, each of which [`read_struct`] could read.
pub unsafe fn element<T: Sized32>(what: &str, array: *const T, number: u64) -> Result<T> {
    ensure!(!array.is_null(), "{what} is NULL; expected an array of {}", T::NAME);
    // SAFETY: not null, so the first four bytes are readable.
    let size = unsafe { array.cast::<u32>().read_unaligned() } as usize;
    check_size::<T>(size)?;
    let at = array.wrapping_byte_add((number as usize).wrapping_mul(size));
    // SAFETY: this struct begins where the array holds it, by the contract.
    let own = unsafe { at.cast::<u32>().read_unaligned() } as usize;
    ensure!(own == size, "{}.struct_size is {own}; expected {size}, that of {what}[0]", T::NAME);
    // SAFETY: as above.
    unsafe { read_struct(at) }
}

/// Writes as much of `value` as the caller's struct holds, keeps its `struct_size`, and zeroes what only it knows.
///
/// # Safety
///
/// `at` is null or points to a struct of `struct_size` writable bytes, of which the first four hold that size.
pub unsafe fn write_struct<T: Sized32>(what: &str, at: *mut T, value: &T) -> Result<()> {
    ensure!(!at.is_null(), "{what} is NULL; expected a {} with struct_size set", T::NAME);
    // SAFETY: not null, so its first four bytes are readable.
    let size = unsafe { at.cast::<u32>().read_unaligned() } as usize;
    check_size::<T>(size)?;
    let both = size.min(size_of::<T>());
    // SAFETY: the caller's struct has `size` bytes and ours at least `both`; the first four stay as they are.
    unsafe {
        let (from, to) = ((&raw const *value).cast::<u8>(), at.cast::<u8>());
        std::ptr::copy_nonoverlapping(from.add(4), to.add(4), both - 4);
        to.add(both).write_bytes(0, size - both);
    }
    Ok(())
}

fn check_size<T: Sized32>(size: usize) -> Result<()> {
    ensure!(
        size >= T::FIRST && size <= LONGEST_STRUCT,
        "{}.struct_size is {size}; expected sizeof({}), which is {} here",
        T::NAME,
        T::NAME,
        size_of::<T>()
    );
    Ok(())
}

/// Writes `value` through an out pointer that must not be null.
///
/// # Safety
///
/// `out` is null or valid for one write.
pub unsafe fn write<T>(what: &str, out: *mut T, value: T) -> Result<()> {
    ensure!(!out.is_null(), "{what} is NULL; expected a place for the result");
    // SAFETY: not null, so valid by the contract; C may hand out unaligned places.
    unsafe { out.write_unaligned(value) };
    Ok(())
}

/// An error if an out pointer is null, asked before anything is done.
pub fn require_out<T>(what: &str, out: *mut T) -> Result<()> {
    ensure!(!out.is_null(), "{what} is NULL; expected a place for the result");
    Ok(())
}

/// A C string of UTF-8.
///
/// # Safety
///
/// `text` is null or points to a string that ends in a zero byte.
pub unsafe fn read_text<'a>(what: &str, text: *const c_char) -> Result<&'a str> {
    ensure!(!text.is_null(), "{what} is NULL; expected a string");
    // SAFETY: not null, so it ends in a zero byte by the contract.
    let text = unsafe { CStr::from_ptr(text) };
    let text = text.to_str();
    ensure!(text.is_ok(), "{what} is not valid UTF-8");
    Ok(text.unwrap_or_default())
}

/// Copies `text` and a zero byte to `buffer` as far as `capacity` goes, and reports the bytes that all of it needs.
///
/// # Safety
///
/// `buffer` is null or valid for `capacity` writes; `needed` is null or valid for one.
pub unsafe fn write_text(text: &str, buffer: *mut c_char, capacity: usize, needed: *mut usize) -> Result<()> {
    if !needed.is_null() {
        // SAFETY: not null, so valid by the contract.
        unsafe { needed.write_unaligned(text.len() + 1) };
    }
    ensure!(!buffer.is_null() || capacity == 0, "buffer is NULL, but capacity is {capacity}");
    if capacity > 0 {
        let length = utf8_floor(text, capacity - 1);
        // SAFETY: `length + 1 <= capacity` bytes are writable by the contract.
        unsafe {
            std::ptr::copy_nonoverlapping(text.as_ptr(), buffer.cast(), length);
            buffer.add(length).write(0);
        }
    }
    Ok(())
}
