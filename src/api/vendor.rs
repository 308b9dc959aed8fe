//! The vendor libraries that GPUs are driven by: which are there, where, and what to do about those that are not.

use super::border::{Sized32, check, require_out, write, write_struct};
use super::context::put_text;
use crate::device::cuda;
use crate::ensure;
use crate::status::{WEFT_ERROR_UNAVAILABLE, WEFT_OK, weft_status};
use std::ffi::c_char;

/// What `weft_library_info_get` tells of a library.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct weft_library_info {
    /// sizeof(weft_library_info), set by the caller.
    pub struct_size: u32,
    /// WEFT_OK, or WEFT_ERROR_UNAVAILABLE where it is absent or of no use; then reason says why.
    pub status: weft_status,
    /// Its name, such as "libcuda", zero-terminated.
    pub name: [c_char; 32],
    /// Its version, such as "13.0", zero-terminated; empty where it is absent.
    pub version: [c_char; 32],
    /// Where it was found, zero-terminated UTF-8, cut at 511 bytes; empty where it is absent.
    pub path: [c_char; 512],
    /// Where it is absent: why, and what to do about it, zero-terminated UTF-8, cut at 1023 bytes.
    pub reason: [c_char; 1024],
}

impl Default for weft_library_info {
    fn default() -> Self {
        // SAFETY: integers alone, for which zero is a value.
        unsafe { std::mem::zeroed() }
    }
}

// SAFETY: repr(C), begins with struct_size, integers alone.
unsafe impl Sized32 for weft_library_info {
    const NAME: &'static str = "weft_library_info";
}

/// How many vendor libraries Weft knows, whether they are there or not.
///
/// Thread safety: any thread.
/// Blocks: briefly, while the first call opens the libraries.
/// Callable from callback: yes.
/// Ownership: none.
/// Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT (count is NULL); WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `count` is NULL or valid for one write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_library_count(count: *mut u32) -> weft_status {
    check(|| {
        require_out("count", count)?;
        // SAFETY: this function's contract.
        unsafe { write("count", count, cuda::libraries().len() as u32) }
    })
}

/// Tells of vendor library `index`, counted from 0: where it was found, or why it is not used and the remedy. A library that
/// is absent is an answer, not an error: info->status has it. The caller sets info->struct_size.
///
/// Thread safety: any thread.
/// Blocks: briefly, while the first call opens the libraries.
/// Callable from callback: yes.
/// Ownership: none.
/// Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT (no such library, info is NULL, struct_size); WEFT_ERROR_FORKED;
/// WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `info` is NULL or points to a weft_library_info of info->struct_size bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_library_info_get(index: u32, info: *mut weft_library_info) -> weft_status {
    check(|| {
        let libraries = cuda::libraries();
        let count = libraries.len();
        let found = libraries.get(index as usize);
        ensure!(
            found.is_some(),
            "index is {index}; expected less than {count}, the libraries that Weft knows"
        );
        let value = found.map(describe).unwrap_or_default();
        // SAFETY: this function's contract.
        unsafe { write_struct("info", info, &value) }
    })
}

fn describe((name, found): &cuda::Found) -> weft_library_info {
    let mut info = weft_library_info::default();
    put_text(&mut info.name, name);
    match found {
        Ok((path, version)) => {
            info.status = WEFT_OK;
            put_text(&mut info.path, path);
            put_text(&mut info.version, version);
        }
        Err(reason) => {
            info.status = WEFT_ERROR_UNAVAILABLE;
            put_text(&mut info.reason, reason);
        }
    }
    info
}
