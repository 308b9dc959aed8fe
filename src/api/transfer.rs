//! Transfers: write, read, copy, fill, and the barrier.

use super::submit::{Target, WEFT_SUBMIT_COPY_HOST, buffer_of, submit, weft_submit};
use super::{weft_buffer, weft_queue, weft_request};
use crate::op::Op;
use crate::op::code::*;
use crate::ops::transfer::{Barrier, Slice, Transfer};
use crate::status::{Result, weft_status};
use std::ffi::c_void;

fn boxed(transfer: Result<Transfer>) -> Result<Box<dyn Op>> {
    Ok(Box::new(transfer?))
}

/// Copies `size` bytes from host memory at `src` into `buffer` at byte `offset`. The host memory must stay valid and
/// unchanged until the request completes, unless options->flags has WEFT_SUBMIT_COPY_HOST.
///
/// Thread safety: any thread.
/// Blocks: no (up to options->timeout_ns when the queue is full).
/// Callable from callback: yes.
/// Ownership: release *out with weft_request_release; options and out may be NULL.
/// Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE;
/// WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY; WEFT_ERROR_DEVICE_LOST;
/// WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `src` is NULL or readable for `size` bytes until completion; `options` NULL or a struct of its struct_size; `out`
/// NULL or valid for one write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_write(
    queue: weft_queue,
    buffer: weft_buffer,
    offset: u64,
    src: *const c_void,
    size: u64,
    options: *const weft_submit,
    out: *mut weft_request,
) -> weft_status {
    // SAFETY: this function's contract.
    unsafe {
        submit(Target { queue, op: WEFT_OP_WRITE, options, out }, |context, flags| {
            let dst =
                Slice::new("weft_write", buffer_of(context, "weft_write: buffer", buffer)?, offset, size)?;
            let copied = flags & WEFT_SUBMIT_COPY_HOST != 0;
            boxed(if copied {
                Transfer::write_copied(src.cast(), dst)
            } else {
                Transfer::write(src.cast(), dst)
            })
        })
    }
}

/// Copies `size` bytes of `buffer` from byte `offset` to host memory at `dst`, which must stay valid until the request
/// completes and is undefined before.
///
/// Thread safety: any thread.
/// Blocks: no (up to options->timeout_ns when the queue is full).
/// Callable from callback: yes.
/// Ownership: release *out with weft_request_release; options and out may be NULL.
/// Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE;
/// WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY; WEFT_ERROR_DEVICE_LOST;
/// WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `dst` is NULL or writable for `size` bytes until completion; `options` NULL or a struct of its struct_size; `out`
/// NULL or valid for one write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_read(
    queue: weft_queue,
    buffer: weft_buffer,
    offset: u64,
    dst: *mut c_void,
    size: u64,
    options: *const weft_submit,
    out: *mut weft_request,
) -> weft_status {
    // SAFETY: this function's contract.
    unsafe {
        submit(Target { queue, op: WEFT_OP_READ, options, out }, |context, _| {
            let src =
                Slice::new("weft_read", buffer_of(context, "weft_read: buffer", buffer)?, offset, size)?;
            boxed(Transfer::read(src, dst.cast()))
        })
    }
}

/// Copies `size` bytes from `src` at byte `src_offset` to `dst` at byte `dst_offset`. The two may lie in one buffer,
/// but must not overlap.
///
/// Thread safety: any thread.
/// Blocks: no (up to options->timeout_ns when the queue is full).
/// Callable from callback: yes.
/// Ownership: release *out with weft_request_release; options and out may be NULL.
/// Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE;
/// WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY; WEFT_ERROR_DEVICE_LOST;
/// WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `options` is NULL or a struct of its struct_size, `out` NULL or valid for one write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_copy(
    queue: weft_queue,
    src: weft_buffer,
    src_offset: u64,
    dst: weft_buffer,
    dst_offset: u64,
    size: u64,
    options: *const weft_submit,
    out: *mut weft_request,
) -> weft_status {
    // SAFETY: this function's contract.
    unsafe {
        submit(Target { queue, op: WEFT_OP_COPY, options, out }, |context, _| {
            let from =
                Slice::new("weft_copy: src", buffer_of(context, "weft_copy: src", src)?, src_offset, size)?;
            let to =
                Slice::new("weft_copy: dst", buffer_of(context, "weft_copy: dst", dst)?, dst_offset, size)?;
            boxed(Transfer::copy(from, to))
        })
    }
}

/// Fills `size` bytes of `buffer` from byte `offset` with the low `pattern_size` (1, 2, 4 or 8) bytes of `pattern`,
/// least significant first, over and over. offset and size are multiples of pattern_size.
///
/// Thread safety: any thread.
/// Blocks: no (up to options->timeout_ns when the queue is full).
/// Callable from callback: yes.
/// Ownership: release *out with weft_request_release; options and out may be NULL.
/// Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE;
/// WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY; WEFT_ERROR_DEVICE_LOST;
/// WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `options` is NULL or a struct of its struct_size, `out` NULL or valid for one write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_fill(
    queue: weft_queue,
    buffer: weft_buffer,
    offset: u64,
    size: u64,
    pattern: u64,
    pattern_size: u32,
    options: *const weft_submit,
    out: *mut weft_request,
) -> weft_status {
    // SAFETY: this function's contract.
    unsafe {
        submit(Target { queue, op: WEFT_OP_FILL, options, out }, |context, _| {
            let dst =
                Slice::new("weft_fill", buffer_of(context, "weft_fill: buffer", buffer)?, offset, size)?;
            boxed(Transfer::fill(dst, pattern, pattern_size))
        })
    }
}

/// Submits no work: the request completes when everything before it in the queue has.
///
/// Thread safety: any thread.
/// Blocks: no (up to options->timeout_ns when the queue is full).
/// Callable from callback: yes.
/// Ownership: release *out with weft_request_release; options and out may be NULL.
/// Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE;
/// WEFT_ERROR_WRONG_KIND; WEFT_ERROR_OUT_OF_MEMORY; WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED;
/// WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `options` is NULL or a struct of its struct_size, `out` NULL or valid for one write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_barrier(
    queue: weft_queue,
    options: *const weft_submit,
    out: *mut weft_request,
) -> weft_status {
    // SAFETY: this function's contract.
    unsafe { submit(Target { queue, op: WEFT_OP_BARRIER, options, out }, |_, _| Ok(Box::new(Barrier))) }
}
