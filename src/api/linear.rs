//! The table of linear algebra (BLAS) operations, as that of the others is in `operations`.

use super::border::Sized32;
use super::submit::{Target, operation, weft_submit};
use super::{weft_queue, weft_request};
use crate::op::code::*;
use crate::ops::blas;
use crate::status::weft_status;

// SAFETY: repr(C), begins with struct_size, integers and floats alone.
unsafe impl Sized32 for blas::weft_axpy_desc {
    const NAME: &'static str = "weft_axpy_desc";
}
// SAFETY: repr(C), begins with struct_size, integers and floats alone.
unsafe impl Sized32 for blas::weft_scal_desc {
    const NAME: &'static str = "weft_scal_desc";
}
// SAFETY: repr(C), begins with struct_size, integers and floats alone.
unsafe impl Sized32 for blas::weft_swap_desc {
    const NAME: &'static str = "weft_swap_desc";
}
// SAFETY: repr(C), begins with struct_size, integers and floats alone.
unsafe impl Sized32 for blas::weft_rot_desc {
    const NAME: &'static str = "weft_rot_desc";
}
// SAFETY: repr(C), begins with struct_size, integers and floats alone.
unsafe impl Sized32 for blas::weft_dot_desc {
    const NAME: &'static str = "weft_dot_desc";
}
// SAFETY: repr(C), begins with struct_size, integers and floats alone.
unsafe impl Sized32 for blas::weft_vector_desc {
    const NAME: &'static str = "weft_vector_desc";
}
// SAFETY: repr(C), begins with struct_size, integers and floats alone.
unsafe impl Sized32 for blas::weft_gemv_desc {
    const NAME: &'static str = "weft_gemv_desc";
}
// SAFETY: repr(C), begins with struct_size, integers and floats alone.
unsafe impl Sized32 for blas::weft_ger_desc {
    const NAME: &'static str = "weft_ger_desc";
}
// SAFETY: repr(C), begins with struct_size, integers and floats alone.
unsafe impl Sized32 for blas::weft_syrk_desc {
    const NAME: &'static str = "weft_syrk_desc";
}
// SAFETY: repr(C), begins with struct_size, integers and floats alone.
unsafe impl Sized32 for blas::weft_trsm_desc {
    const NAME: &'static str = "weft_trsm_desc";
}

/// y = alpha x + y: see weft_axpy_desc. f32, f64, c32, c64; any strides; batch axes in front.
///
/// Thread safety: any thread.
/// Blocks: no (up to options->timeout_ns when the queue is full).
/// Callable from callback: yes.
/// Ownership: release *out with weft_request_release; options and out may be NULL.
/// Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
/// WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
/// WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_axpy(
    queue: weft_queue,
    desc: *const blas::weft_axpy_desc,
    options: *const weft_submit,
    out: *mut weft_request,
) -> weft_status {
    // SAFETY: this function's contract.
    unsafe { operation("axpy", Target { queue, op: WEFT_OP_AXPY, options, out }, desc, blas::axpy) }
}

/// x = alpha x: see weft_scal_desc. f32, f64, c32, c64; any strides; batch axes in front.
///
/// Thread safety: any thread.
/// Blocks: no (up to options->timeout_ns when the queue is full).
/// Callable from callback: yes.
/// Ownership: release *out with weft_request_release; options and out may be NULL.
/// Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
/// WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
/// WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_scal(
    queue: weft_queue,
    desc: *const blas::weft_scal_desc,
    options: *const weft_submit,
    out: *mut weft_request,
) -> weft_status {
    // SAFETY: this function's contract.
    unsafe { operation("scal", Target { queue, op: WEFT_OP_SCAL, options, out }, desc, blas::scal) }
}

/// x and y change places: see weft_swap_desc. f32, f64, c32, c64; any strides; batch axes in front.
///
/// Thread safety: any thread.
/// Blocks: no (up to options->timeout_ns when the queue is full).
/// Callable from callback: yes.
/// Ownership: release *out with weft_request_release; options and out may be NULL.
/// Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
/// WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
/// WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_swap(
    queue: weft_queue,
    desc: *const blas::weft_swap_desc,
    options: *const weft_submit,
    out: *mut weft_request,
) -> weft_status {
    // SAFETY: this function's contract.
    unsafe { operation("swap", Target { queue, op: WEFT_OP_SWAP, options, out }, desc, blas::swap) }
}

/// A rotation of pairs of elements, x = c x + s y and y = c y - conj(s) x: see weft_rot_desc. f32, f64, c32, c64; any
/// strides; batch axes in front.
///
/// Thread safety: any thread.
/// Blocks: no (up to options->timeout_ns when the queue is full).
/// Callable from callback: yes.
/// Ownership: release *out with weft_request_release; options and out may be NULL.
/// Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
/// WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
/// WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_rot(
    queue: weft_queue,
    desc: *const blas::weft_rot_desc,
    options: *const weft_submit,
    out: *mut weft_request,
) -> weft_status {
    // SAFETY: this function's contract.
    unsafe { operation("rot", Target { queue, op: WEFT_OP_ROT, options, out }, desc, blas::rot) }
}

/// result = the sum of x y, or of conj(x) y: see weft_dot_desc. f32, f64, c32, c64; any strides; batch axes in front. The
/// request ends with WEFT_ERROR_OUT_OF_MEMORY (on a GPU WEFT_ERROR_OUT_OF_DEVICE_MEMORY) when there is no scratch
/// memory.
///
/// Thread safety: any thread.
/// Blocks: no (up to options->timeout_ns when the queue is full).
/// Callable from callback: yes.
/// Ownership: release *out with weft_request_release; options and out may be NULL.
/// Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
/// WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
/// WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_dot(
    queue: weft_queue,
    desc: *const blas::weft_dot_desc,
    options: *const weft_submit,
    out: *mut weft_request,
) -> weft_status {
    // SAFETY: this function's contract.
    unsafe { operation("dot", Target { queue, op: WEFT_OP_DOT, options, out }, desc, blas::dot) }
}

/// The Euclidean norm of vectors: see weft_vector_desc. f32, f64, c32, c64; any strides; batch axes in front. The request
/// ends with WEFT_ERROR_OUT_OF_MEMORY (on a GPU WEFT_ERROR_OUT_OF_DEVICE_MEMORY) when there is no scratch memory.
///
/// Thread safety: any thread.
/// Blocks: no (up to options->timeout_ns when the queue is full).
/// Callable from callback: yes.
/// Ownership: release *out with weft_request_release; options and out may be NULL.
/// Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
/// WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
/// WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_nrm2(
    queue: weft_queue,
    desc: *const blas::weft_vector_desc,
    options: *const weft_submit,
    out: *mut weft_request,
) -> weft_status {
    // SAFETY: this function's contract.
    unsafe { operation("nrm2", Target { queue, op: WEFT_OP_NRM2, options, out }, desc, blas::nrm2) }
}

/// The sum of the magnitudes of vectors' parts: see weft_vector_desc. f32, f64, c32, c64; any strides; batch axes in front.
/// The request ends with WEFT_ERROR_OUT_OF_MEMORY (on a GPU WEFT_ERROR_OUT_OF_DEVICE_MEMORY) when there is no scratch
/// memory.
///
/// Thread safety: any thread.
/// Blocks: no (up to options->timeout_ns when the queue is full).
/// Callable from callback: yes.
/// Ownership: release *out with weft_request_release; options and out may be NULL.
/// Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
/// WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
/// WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_asum(
    queue: weft_queue,
    desc: *const blas::weft_vector_desc,
    options: *const weft_submit,
    out: *mut weft_request,
) -> weft_status {
    // SAFETY: this function's contract.
    unsafe { operation("asum", Target { queue, op: WEFT_OP_ASUM, options, out }, desc, blas::asum) }
}

/// Where in vectors the element of the largest |re| + |im| is, from 0: see weft_vector_desc. f32, f64, c32, c64; any
/// strides; batch axes in front. The request ends with WEFT_ERROR_OUT_OF_MEMORY (on a GPU
/// WEFT_ERROR_OUT_OF_DEVICE_MEMORY) when there is no scratch memory.
///
/// Thread safety: any thread.
/// Blocks: no (up to options->timeout_ns when the queue is full).
/// Callable from callback: yes.
/// Ownership: release *out with weft_request_release; options and out may be NULL.
/// Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
/// WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
/// WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_iamax(
    queue: weft_queue,
    desc: *const blas::weft_vector_desc,
    options: *const weft_submit,
    out: *mut weft_request,
) -> weft_status {
    // SAFETY: this function's contract.
    unsafe { operation("iamax", Target { queue, op: WEFT_OP_IAMAX, options, out }, desc, blas::iamax) }
}

/// y = alpha A x + beta y: see weft_gemv_desc. f32, f64, c32, c64; any strides; batch axes in front. The request ends with
/// WEFT_ERROR_OUT_OF_MEMORY (on a GPU WEFT_ERROR_OUT_OF_DEVICE_MEMORY) when there is no scratch memory.
///
/// Thread safety: any thread.
/// Blocks: no (up to options->timeout_ns when the queue is full).
/// Callable from callback: yes.
/// Ownership: release *out with weft_request_release; options and out may be NULL.
/// Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
/// WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
/// WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_gemv(
    queue: weft_queue,
    desc: *const blas::weft_gemv_desc,
    options: *const weft_submit,
    out: *mut weft_request,
) -> weft_status {
    // SAFETY: this function's contract.
    unsafe { operation("gemv", Target { queue, op: WEFT_OP_GEMV, options, out }, desc, blas::gemv) }
}

/// A = A + alpha x y^T, or y^H: see weft_ger_desc. f32, f64, c32, c64; any strides; batch axes in front.
///
/// Thread safety: any thread.
/// Blocks: no (up to options->timeout_ns when the queue is full).
/// Callable from callback: yes.
/// Ownership: release *out with weft_request_release; options and out may be NULL.
/// Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
/// WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
/// WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_ger(
    queue: weft_queue,
    desc: *const blas::weft_ger_desc,
    options: *const weft_submit,
    out: *mut weft_request,
) -> weft_status {
    // SAFETY: this function's contract.
    unsafe { operation("ger", Target { queue, op: WEFT_OP_GER, options, out }, desc, blas::ger) }
}

/// C = alpha A A^T + beta C in one triangle, or A A^H (HERK): see weft_syrk_desc. f32, f64, c32, c64; any strides; batch
/// axes in front. The request ends with WEFT_ERROR_OUT_OF_MEMORY (on a GPU WEFT_ERROR_OUT_OF_DEVICE_MEMORY) when there
/// is no scratch memory.
///
/// Thread safety: any thread.
/// Blocks: no (up to options->timeout_ns when the queue is full).
/// Callable from callback: yes.
/// Ownership: release *out with weft_request_release; options and out may be NULL.
/// Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
/// WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
/// WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_syrk(
    queue: weft_queue,
    desc: *const blas::weft_syrk_desc,
    options: *const weft_submit,
    out: *mut weft_request,
) -> weft_status {
    // SAFETY: this function's contract.
    unsafe { operation("syrk", Target { queue, op: WEFT_OP_SYRK, options, out }, desc, blas::syrk) }
}

/// X = alpha A^-1 B or alpha B A^-1, A triangular, in B's place: see weft_trsm_desc. f32, f64, c32, c64; any strides; batch
/// axes in front. The request ends with WEFT_ERROR_OUT_OF_MEMORY (on a GPU WEFT_ERROR_OUT_OF_DEVICE_MEMORY) when there
/// is no scratch memory.
///
/// Thread safety: any thread.
/// Blocks: no (up to options->timeout_ns when the queue is full).
/// Callable from callback: yes.
/// Ownership: release *out with weft_request_release; options and out may be NULL.
/// Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
/// WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
/// WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_trsm(
    queue: weft_queue,
    desc: *const blas::weft_trsm_desc,
    options: *const weft_submit,
    out: *mut weft_request,
) -> weft_status {
    // SAFETY: this function's contract.
    unsafe { operation("trsm", Target { queue, op: WEFT_OP_TRSM, options, out }, desc, blas::trsm) }
}
