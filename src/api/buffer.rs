//! Buffers.

use super::border::{Sized32, check, read_struct, require_out, write, write_struct};
use super::{BUFFERS, CONTEXTS, weft_buffer, weft_context};
use crate::device::Buffer;
use crate::ensure;
use crate::handle::own_slot;
use crate::status::weft_status;
use std::mem::offset_of;
use std::sync::Arc;

/// The buffer can be used.
pub const WEFT_BUFFER_READY: u32 = 1;
/// The buffer's device was lost: requests that name it fail.
pub const WEFT_BUFFER_LOST: u32 = 2;

/// Options of `weft_buffer_create`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_buffer_desc {
    /// sizeof(weft_buffer_desc).
    pub struct_size: u32,
    /// 0.
    pub flags: u32,
    /// Memory that exists already, to be used as it is instead of new memory: the device's address of its first byte (a
    /// CUdeviceptr on a CUDA device, a host pointer on the CPU), a multiple of 64. It must stay valid until the buffer is
    /// released and the last request that names it is complete; it is never freed here. 0 for new memory.
    pub address: u64,
}

// SAFETY: repr(C), begins with struct_size, integers alone.
unsafe impl Sized32 for weft_buffer_desc {
    const NAME: &'static str = "weft_buffer_desc";
    const FIRST: usize = offset_of!(weft_buffer_desc, address);
}

/// What `weft_buffer_info_get` tells.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_buffer_info {
    /// sizeof(weft_buffer_info), set by the caller.
    pub struct_size: u32,
    /// WEFT_BUFFER_READY or WEFT_BUFFER_LOST.
    pub state: u32,
    /// Bytes.
    pub size: u64,
    /// 1 when created; raised when the context's device is lost.
    pub generation: u32,
    /// 0.
    pub reserved: u32,
    /// The device's address of the first byte: a CUdeviceptr on a CUDA device, a host pointer on the CPU. Its use by others
    /// is ordered with requests by waiting for them alone.
    pub address: u64,
}

// SAFETY: repr(C), begins with struct_size, integers alone.
unsafe impl Sized32 for weft_buffer_info {
    const NAME: &'static str = "weft_buffer_info";
    const FIRST: usize = offset_of!(weft_buffer_info, address);
}

/// Allocates `size` bytes of the context's device, all zero, aligned to 64, or wraps memory of the caller's
/// (options->address). `options` may be NULL; size may be 0.
///
/// Thread safety: any thread.
/// Blocks: no.
/// Callable from callback: yes.
/// Ownership: release the buffer with weft_buffer_release.
/// Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT (options, buffer is NULL); WEFT_ERROR_STALE_HANDLE;
/// WEFT_ERROR_WRONG_KIND; WEFT_ERROR_OUT_OF_MEMORY; WEFT_ERROR_OUT_OF_DEVICE_MEMORY; WEFT_ERROR_UNAVAILABLE;
/// WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `options` is NULL or a struct of its struct_size, `buffer` NULL or valid for one write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_buffer_create(
    context: weft_context,
    size: u64,
    options: *const weft_buffer_desc,
    buffer: *mut weft_buffer,
) -> weft_status {
    check(|| {
        require_out("buffer", buffer)?;
        let device = CONTEXTS.get("context", context)?;
        device.check()?;
        // SAFETY: this function's contract.
        let options = unsafe { read_struct(options)? };
        ensure!(options.flags == 0, "weft_buffer_desc.flags are {:#x}; expected 0", options.flags);
        let made = match options.address {
            0 => Buffer::new(device, size)?,
            // SAFETY: the caller's promise, in the struct's documentation.
            at => unsafe { Buffer::import(device, at, size)? },
        };
        let handle = BUFFERS.insert(own_slot(context), Arc::new(made))?;
        // SAFETY: this function's contract.
        unsafe { write("buffer", buffer, handle) }
    })
}

/// Tells about a buffer. The caller sets info->struct_size.
///
/// Thread safety: any thread.
/// Blocks: briefly, until the memory is zeroed.
/// Callable from callback: yes.
/// Ownership: none.
/// Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND;
/// WEFT_ERROR_OUT_OF_DEVICE_MEMORY and WEFT_ERROR_UNAVAILABLE (the driver does not say whether the memory is zeroed);
/// WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `info` is NULL or points to a weft_buffer_info of info->struct_size bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_buffer_info_get(
    buffer: weft_buffer,
    info: *mut weft_buffer_info,
) -> weft_status {
    check(|| {
        let buffer = BUFFERS.get("buffer", buffer)?;
        let address = buffer.settled_address()?; // first: it may find that the device is lost
        let lost = buffer.context().check().is_err();
        let value = weft_buffer_info {
            struct_size: 0,
            state: if lost { WEFT_BUFFER_LOST } else { WEFT_BUFFER_READY },
            size: buffer.size() as u64,
            generation: buffer.context().generation(),
            reserved: 0,
            address,
        };
        // SAFETY: this function's contract.
        unsafe { write_struct("info", info, &value) }
    })
}

/// Gives up a buffer. The handle dies at once, the memory when the last request that names it completes. 0 is allowed.
///
/// Thread safety: any thread.
/// Blocks: no.
/// Callable from callback: yes.
/// Ownership: none.
/// Returns: WEFT_OK; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub extern "C" fn weft_buffer_release(buffer: weft_buffer) -> weft_status {
    check(|| if buffer == 0 { Ok(()) } else { BUFFERS.remove("buffer", buffer).map(drop) })
}
