//! The table of operations. To add one, add its descriptor and its function here.

use super::border::{Sized32, element};
use super::submit::{Target, buffer_of, operation, submit, weft_submit};
use super::{weft_queue, weft_request};
use crate::device::Context;
use crate::op::code::*;
use crate::op::{Bind, What};
use crate::ops::*;
use crate::status::weft_status;
use std::mem::offset_of;
use std::sync::Arc;

// SAFETY: repr(C), begins with struct_size, integers and floats alone.
unsafe impl Sized32 for matmul::weft_matmul_desc {
    const NAME: &'static str = "weft_matmul_desc";
    const FIRST: usize = offset_of!(matmul::weft_matmul_desc, alpha_imag);
}
// SAFETY: repr(C), begins with struct_size, integers and floats alone.
unsafe impl Sized32 for attention::weft_attention_desc {
    const NAME: &'static str = "weft_attention_desc";
}
// SAFETY: repr(C), begins with struct_size, integers and floats alone.
unsafe impl Sized32 for norm::weft_norm_desc {
    const NAME: &'static str = "weft_norm_desc";
}
// SAFETY: repr(C), begins with struct_size, integers and floats alone.
unsafe impl Sized32 for rope::weft_rope_desc {
    const NAME: &'static str = "weft_rope_desc";
}
// SAFETY: repr(C), begins with struct_size, integers and floats alone.
unsafe impl Sized32 for elementwise::weft_elementwise_desc {
    const NAME: &'static str = "weft_elementwise_desc";
}
// SAFETY: repr(C), begins with struct_size, integers and floats alone.
unsafe impl Sized32 for softmax::weft_softmax_desc {
    const NAME: &'static str = "weft_softmax_desc";
}
// SAFETY: repr(C), begins with struct_size, integers and floats alone.
unsafe impl Sized32 for rows::weft_rows_desc {
    const NAME: &'static str = "weft_rows_desc";
}
// SAFETY: repr(C), begins with struct_size, integers and floats alone.
unsafe impl Sized32 for rank::weft_rank_desc {
    const NAME: &'static str = "weft_rank_desc";
}
// SAFETY: repr(C), begins with struct_size, integers and floats alone.
unsafe impl Sized32 for reduce::weft_reduce_desc {
    const NAME: &'static str = "weft_reduce_desc";
}
// SAFETY: repr(C), begins with struct_size, integers and floats alone.
unsafe impl Sized32 for cast::weft_cast_desc {
    const NAME: &'static str = "weft_cast_desc";
}

/// D = act(alpha A B + beta C + bias): see weft_matmul_desc. A [..., M, K], B [..., K, N], D [..., M, N]; any strides,
/// batch axes broadcast; floats of 64 to 8 bits, i8, complex. The request ends with WEFT_ERROR_OUT_OF_MEMORY (on a GPU
/// WEFT_ERROR_OUT_OF_DEVICE_MEMORY) when there is no scratch memory, and with WEFT_ERROR_UNSUPPORTED when it needs more
/// than desc->workspace.
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
pub unsafe extern "C" fn weft_matmul(
    queue: weft_queue,
    desc: *const matmul::weft_matmul_desc,
    options: *const weft_submit,
    out: *mut weft_request,
) -> weft_status {
    // SAFETY: this function's contract.
    unsafe { operation("matmul", Target { queue, op: WEFT_OP_MATMUL, options, out }, desc, matmul::new) }
}

/// As weft_matmul, `count` multiplications, 65536 at most, of any shapes as one request: descs is an array, all of one
/// struct_size. All are checked first, and if one is wrong nothing runs: the sentence says which. None may write what
/// another reads or writes. They run in any order, or together. weft_completion.op is WEFT_OP_MATMUL. The request ends with
/// WEFT_ERROR_OUT_OF_MEMORY and WEFT_ERROR_UNSUPPORTED as that of weft_matmul; what others of the list wrote then is
/// undefined.
///
/// Thread safety: any thread.
/// Blocks: no (up to options->timeout_ns when the queue is full).
/// Callable from callback: yes.
/// Ownership: release *out with weft_request_release; options and out may be NULL; descs may be NULL with 0.
/// Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
/// WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
/// WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `descs` is NULL or `count` structs, one after another, of the struct_size of the first; `options` is NULL or a struct of its
/// struct_size; `out` is NULL or valid for one write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_matmul_grouped(
    queue: weft_queue,
    descs: *const matmul::weft_matmul_desc,
    count: u64,
    options: *const weft_submit,
    out: *mut weft_request,
) -> weft_status {
    // SAFETY: this function's contract.
    let desc = |number| unsafe { element("descs", descs, number) };
    let build = |context: &Arc<Context>, _| {
        let lookup = |what: What, handle| buffer_of(context, what, handle);
        matmul::Grouped::checked(count, desc, &Bind::new("matmul", &lookup))
    };
    // SAFETY: this function's contract.
    unsafe { submit(Target { queue, op: WEFT_OP_MATMUL, options, out }, build) }
}

/// O = softmax(scale Q K^T + bias, masked) V: see weft_attention_desc. f32, f16, bf16; any strides; grouped heads, masks,
/// packed and paged sequences. The request ends with WEFT_ERROR_OUT_OF_RANGE when a length, start or page read from a
/// buffer is out of range, and with WEFT_ERROR_OUT_OF_MEMORY (on a GPU WEFT_ERROR_OUT_OF_DEVICE_MEMORY) when there is no
/// scratch memory.
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
pub unsafe extern "C" fn weft_attention(
    queue: weft_queue,
    desc: *const attention::weft_attention_desc,
    options: *const weft_submit,
    out: *mut weft_request,
) -> weft_status {
    // SAFETY: this function's contract.
    unsafe {
        operation("attention", Target { queue, op: WEFT_OP_ATTENTION, options, out }, desc, attention::new)
    }
}

/// y = x / sqrt(mean(x^2) + epsilon) * weight + bias over the trailing axes, of x + residual if there is one: see
/// weft_norm_desc. f32, f64, f16, bf16.
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
pub unsafe extern "C" fn weft_rms_norm(
    queue: weft_queue,
    desc: *const norm::weft_norm_desc,
    options: *const weft_submit,
    out: *mut weft_request,
) -> weft_status {
    // SAFETY: this function's contract.
    unsafe { operation("rms_norm", Target { queue, op: WEFT_OP_RMS_NORM, options, out }, desc, norm::rms) }
}

/// y = (x - mean) / sqrt(variance + epsilon) * weight + bias over the trailing axes, of x + residual if there is one:
/// see weft_norm_desc. f32, f64, f16, bf16.
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
pub unsafe extern "C" fn weft_layer_norm(
    queue: weft_queue,
    desc: *const norm::weft_norm_desc,
    options: *const weft_submit,
    out: *mut weft_request,
) -> weft_status {
    // SAFETY: this function's contract.
    unsafe {
        operation("layer_norm", Target { queue, op: WEFT_OP_LAYER_NORM, options, out }, desc, norm::layer)
    }
}

/// Rotary position embedding of x [B, H, S, D]: see weft_rope_desc. f32, f64, f16, bf16.
/// The request ends with WEFT_ERROR_OUT_OF_RANGE when a position is outside given cos and sin tables.
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
pub unsafe extern "C" fn weft_rope(
    queue: weft_queue,
    desc: *const rope::weft_rope_desc,
    options: *const weft_submit,
    out: *mut weft_request,
) -> weft_status {
    // SAFETY: this function's contract.
    unsafe { operation("rope", Target { queue, op: WEFT_OP_ROPE, options, out }, desc, rope::new) }
}

/// y = f(a, b, c), each operand broadcast to y: see weft_elementwise_desc and the WEFT_EW constants.
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
pub unsafe extern "C" fn weft_elementwise(
    queue: weft_queue,
    desc: *const elementwise::weft_elementwise_desc,
    options: *const weft_submit,
    out: *mut weft_request,
) -> weft_status {
    // SAFETY: this function's contract.
    unsafe {
        operation(
            "elementwise",
            Target { queue, op: WEFT_OP_ELEMENTWISE, options, out },
            desc,
            elementwise::new,
        )
    }
}

/// Softmax or log-softmax along one axis: see weft_softmax_desc. f32, f64, f16, bf16.
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
pub unsafe extern "C" fn weft_softmax(
    queue: weft_queue,
    desc: *const softmax::weft_softmax_desc,
    options: *const weft_submit,
    out: *mut weft_request,
) -> weft_status {
    // SAFETY: this function's contract.
    unsafe { operation("softmax", Target { queue, op: WEFT_OP_SOFTMAX, options, out }, desc, softmax::new) }
}

/// rows[i..., r...] = table[indices[i...], r...] (embedding): see weft_rows_desc. Any dtype.
/// The request ends with WEFT_ERROR_OUT_OF_RANGE when an index is outside the table; the other rows are written.
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
pub unsafe extern "C" fn weft_gather_rows(
    queue: weft_queue,
    desc: *const rows::weft_rows_desc,
    options: *const weft_submit,
    out: *mut weft_request,
) -> weft_status {
    // SAFETY: this function's contract.
    unsafe {
        operation("gather_rows", Target { queue, op: WEFT_OP_GATHER_ROWS, options, out }, desc, rows::gather)
    }
}

/// table[indices[i...], r...] = rows[i..., r...] (cache append): see weft_rows_desc. Any dtype; adding needs a float of
/// 16 bits or more or an integer. The request ends with WEFT_ERROR_OUT_OF_RANGE when an index is outside the table; the
/// other rows are written.
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
pub unsafe extern "C" fn weft_scatter_rows(
    queue: weft_queue,
    desc: *const rows::weft_rows_desc,
    options: *const weft_submit,
    out: *mut weft_request,
) -> weft_status {
    // SAFETY: this function's contract.
    unsafe {
        operation(
            "scatter_rows",
            Target { queue, op: WEFT_OP_SCATTER_ROWS, options, out },
            desc,
            rows::scatter,
        )
    }
}

/// The k largest elements along an axis and where they are: see weft_rank_desc.
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
pub unsafe extern "C" fn weft_top_k(
    queue: weft_queue,
    desc: *const rank::weft_rank_desc,
    options: *const weft_submit,
    out: *mut weft_request,
) -> weft_status {
    // SAFETY: this function's contract.
    unsafe { operation("top_k", Target { queue, op: WEFT_OP_TOP_K, options, out }, desc, rank::top_k) }
}

/// Where the largest (or smallest) element along an axis is: see weft_rank_desc.
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
pub unsafe extern "C" fn weft_arg_reduce(
    queue: weft_queue,
    desc: *const rank::weft_rank_desc,
    options: *const weft_submit,
    out: *mut weft_request,
) -> weft_status {
    // SAFETY: this function's contract.
    unsafe {
        operation(
            "arg_reduce",
            Target { queue, op: WEFT_OP_ARG_REDUCE, options, out },
            desc,
            rank::arg_reduce,
        )
    }
}

/// Sum, mean, max, min and others over a set of axes: see weft_reduce_desc.
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
pub unsafe extern "C" fn weft_reduce(
    queue: weft_queue,
    desc: *const reduce::weft_reduce_desc,
    options: *const weft_submit,
    out: *mut weft_request,
) -> weft_status {
    // SAFETY: this function's contract.
    unsafe { operation("reduce", Target { queue, op: WEFT_OP_REDUCE, options, out }, desc, reduce::new) }
}

/// y = x, converted to y's dtype and layout, broadcast: see weft_cast_desc.
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
pub unsafe extern "C" fn weft_cast(
    queue: weft_queue,
    desc: *const cast::weft_cast_desc,
    options: *const weft_submit,
    out: *mut weft_request,
) -> weft_status {
    // SAFETY: this function's contract.
    unsafe { operation("cast", Target { queue, op: WEFT_OP_CAST, options, out }, desc, cast::new) }
}
