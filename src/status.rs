//! Status codes, and the one error type: a code and the sentence that explains it.
//!
//! Zero is success, positive codes are outcomes that are not failures, negative codes are errors.
//! A number is never reused for another meaning.

use std::ffi::CStr;

/// What a call returns and what a request ends with: 0 OK, above 0 an outcome that is no failure, below 0 an error.
#[allow(non_camel_case_types)]
pub type weft_status = i32;

/// Success.
pub const WEFT_OK: weft_status = 0;
/// The request has not completed yet.
pub const WEFT_NOT_READY: weft_status = 1;
/// The time given ran out before the condition held; nothing else changed.
pub const WEFT_TIMEOUT: weft_status = 2;
/// The queue or the port is full; nothing was accepted.
pub const WEFT_WOULD_BLOCK: weft_status = 3;
/// A cancel found the request already complete.
pub const WEFT_NOT_FOUND: weft_status = 4;
/// A cancel found the request begun: it goes on.
pub const WEFT_TOO_LATE: weft_status = 5;
/// A signal handler ran in the waiting thread before the condition held; nothing else changed. Wait again.
pub const WEFT_INTERRUPTED: weft_status = 6;
/// An argument is null, out of range, misaligned, or contradicts another.
pub const WEFT_ERROR_INVALID_ARGUMENT: weft_status = -1;
/// A handle names an object that was released.
pub const WEFT_ERROR_STALE_HANDLE: weft_status = -2;
/// A handle was never issued, or names an object of another kind.
pub const WEFT_ERROR_WRONG_KIND: weft_status = -3;
/// Objects of two contexts meet in one call.
pub const WEFT_ERROR_WRONG_CONTEXT: weft_status = -4;
/// Host memory ran out, or a fixed limit of the library was reached.
pub const WEFT_ERROR_OUT_OF_MEMORY: weft_status = -5;
/// Device memory ran out.
pub const WEFT_ERROR_OUT_OF_DEVICE_MEMORY: weft_status = -6;
/// A device, driver or library that the call needs is not on this machine.
pub const WEFT_ERROR_UNAVAILABLE: weft_status = -7;
/// The request is well formed, but this device has no way to run it.
pub const WEFT_ERROR_UNSUPPORTED: weft_status = -8;
/// The device failed for good; every request of its context ends with this.
pub const WEFT_ERROR_DEVICE_LOST: weft_status = -9;
/// An index read from a buffer at run time lies outside the tensor that it indexes.
pub const WEFT_ERROR_OUT_OF_RANGE: weft_status = -10;
/// The request was cancelled before it ran.
pub const WEFT_ERROR_CANCELLED: weft_status = -11;
/// The request's deadline passed before it completed.
pub const WEFT_ERROR_DEADLINE_EXCEEDED: weft_status = -12;
/// A request that this one waited for failed.
pub const WEFT_ERROR_DEPENDENCY_FAILED: weft_status = -13;
/// The process is a fork's child: the library works in the parent alone.
pub const WEFT_ERROR_FORKED: weft_status = -14;
/// The header that the caller was compiled with and this library do not fit.
pub const WEFT_ERROR_ABI_MISMATCH: weft_status = -15;
/// A defect of this library, stopped at its border. Please report it.
pub const WEFT_ERROR_INTERNAL: weft_status = -16;
/// The call is not allowed in a callback or a finalizer, where it could wait for itself.
pub const WEFT_ERROR_IN_CALLBACK: weft_status = -17;
/// The library was shut down: it accepts no more work.
pub const WEFT_ERROR_SHUT_DOWN: weft_status = -18;

/// Every code and its name. The header, the names and the tests derive from this table.
pub(crate) const STATUSES: &[(weft_status, &CStr)] = &[
    (WEFT_OK, c"WEFT_OK"),
    (WEFT_NOT_READY, c"WEFT_NOT_READY"),
    (WEFT_TIMEOUT, c"WEFT_TIMEOUT"),
    (WEFT_WOULD_BLOCK, c"WEFT_WOULD_BLOCK"),
    (WEFT_NOT_FOUND, c"WEFT_NOT_FOUND"),
    (WEFT_TOO_LATE, c"WEFT_TOO_LATE"),
    (WEFT_INTERRUPTED, c"WEFT_INTERRUPTED"),
    (WEFT_ERROR_INVALID_ARGUMENT, c"WEFT_ERROR_INVALID_ARGUMENT"),
    (WEFT_ERROR_STALE_HANDLE, c"WEFT_ERROR_STALE_HANDLE"),
    (WEFT_ERROR_WRONG_KIND, c"WEFT_ERROR_WRONG_KIND"),
    (WEFT_ERROR_WRONG_CONTEXT, c"WEFT_ERROR_WRONG_CONTEXT"),
    (WEFT_ERROR_OUT_OF_MEMORY, c"WEFT_ERROR_OUT_OF_MEMORY"),
    (WEFT_ERROR_OUT_OF_DEVICE_MEMORY, c"WEFT_ERROR_OUT_OF_DEVICE_MEMORY"),
    (WEFT_ERROR_UNAVAILABLE, c"WEFT_ERROR_UNAVAILABLE"),
    (WEFT_ERROR_UNSUPPORTED, c"WEFT_ERROR_UNSUPPORTED"),
    (WEFT_ERROR_DEVICE_LOST, c"WEFT_ERROR_DEVICE_LOST"),
    (WEFT_ERROR_OUT_OF_RANGE, c"WEFT_ERROR_OUT_OF_RANGE"),
    (WEFT_ERROR_CANCELLED, c"WEFT_ERROR_CANCELLED"),
    (WEFT_ERROR_DEADLINE_EXCEEDED, c"WEFT_ERROR_DEADLINE_EXCEEDED"),
    (WEFT_ERROR_DEPENDENCY_FAILED, c"WEFT_ERROR_DEPENDENCY_FAILED"),
    (WEFT_ERROR_FORKED, c"WEFT_ERROR_FORKED"),
    (WEFT_ERROR_ABI_MISMATCH, c"WEFT_ERROR_ABI_MISMATCH"),
    (WEFT_ERROR_INTERNAL, c"WEFT_ERROR_INTERNAL"),
    (WEFT_ERROR_IN_CALLBACK, c"WEFT_ERROR_IN_CALLBACK"),
    (WEFT_ERROR_SHUT_DOWN, c"WEFT_ERROR_SHUT_DOWN"),
];

/// The name of a code as the header spells it, or `"WEFT_STATUS_UNKNOWN"`.
pub fn name(status: weft_status) -> &'static CStr {
    STATUSES.iter().find(|row| row.0 == status).map_or(c"WEFT_STATUS_UNKNOWN", |row| row.1)
}

/// A status and the sentence that explains it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// The code that C sees; never [`WEFT_OK`].
    pub status: weft_status,
    /// What was wrong: the argument, its value, and what was expected.
    pub message: String,
    /// The code of the device, driver or library behind it; 0 for none.
    pub native: i64,
}

impl Error {
    /// An error of this code.
    pub fn new(status: weft_status, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), native: 0 }
    }

    /// The answer to a panic inside the library.
    pub fn panic() -> Self {
        Self::new(
            WEFT_ERROR_INTERNAL,
            "a defect inside weft (a panic was stopped at its border): please report it",
        )
    }

    /// The answer when `bytes` of host memory cannot be had.
    pub fn out_of_memory(bytes: usize) -> Self {
        Self::new(WEFT_ERROR_OUT_OF_MEMORY, format!("{bytes} bytes of host memory could not be allocated"))
    }
}

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// Returns from the function with an [`Error`] of this code and message.
#[macro_export]
#[doc(hidden)]
macro_rules! fail {
    ($status:ident, $($message:tt)+) => {
        return Err($crate::status::Error::new($crate::status::$status, format!($($message)+)))
    };
}

/// Returns `WEFT_ERROR_INVALID_ARGUMENT` with this message unless `cond` holds.
#[macro_export]
#[doc(hidden)]
macro_rules! ensure {
    ($cond:expr, $($message:tt)+) => {
        if !$cond {
            $crate::fail!(WEFT_ERROR_INVALID_ARGUMENT, $($message)+);
        }
    };
}
