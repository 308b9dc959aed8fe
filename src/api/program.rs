//! Programs of the caller's own: PTX text, its kernels, and their launches.

use super::border::{Sized32, check, read_text, require_out, require_struct, write, write_text};
use super::submit::{Target, buffer_of, submit, weft_submit};
use super::{CONTEXTS, KERNELS, PROGRAMS, weft_context, weft_kernel, weft_program, weft_queue, weft_request};
use crate::device::{Context, Device};
use crate::handle::{context_slot, own_slot};
use crate::op::Op;
use crate::op::code::WEFT_OP_LAUNCH;
use crate::ops::launch::{self, Kernel, Program, Sources, weft_argument, weft_launch_desc};
use crate::status::{Error, Result, weft_status};
use crate::{ensure, fail, tell};
use std::ffi::{CStr, c_char};
use std::sync::Arc;
use std::time::Instant;

/// The most arguments that a kernel can have: the parameters of a CUDA kernel have 32764 bytes at the most.
const MOST_ARGUMENTS: u32 = 32764;

/// What `weft_program_create` compiles.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct weft_program_desc {
    /// sizeof(weft_program_desc).
    pub struct_size: u32,
    /// 0.
    pub flags: u32,
    /// PTX text: UTF-8, read during the call. It is trusted as the program's own code is: its kernels reach what they like
    /// of the device's memory.
    pub ptx: *const c_char,
    /// Bytes of the text; 0: as far as its closing zero byte.
    pub size: u64,
    /// Where the compiler's whole log goes, zero-terminated and cut to log_capacity; the sentence of an error has its
    /// beginning. Written by the call; empty if there is nothing to say. NULL with 0.
    pub log: *mut c_char,
    /// Bytes at log; more than 1048576 are not used.
    pub log_capacity: u64,
}

impl Default for weft_program_desc {
    fn default() -> Self {
        // SAFETY: integers and pointers, for all of which zero is a value.
        unsafe { std::mem::zeroed() }
    }
}

// SAFETY: repr(C), begins with struct_size, integers and pointers, for which zero is a value.
unsafe impl Sized32 for weft_program_desc {
    const NAME: &'static str = "weft_program_desc";
}
// SAFETY: repr(C), begins with struct_size, integers and a pointer, for which zero is a value.
unsafe impl Sized32 for weft_launch_desc {
    const NAME: &'static str = "weft_launch_desc";
}

/// Compiles PTX text for the context's GPU. PTX is trusted code: what its kernels do to the device's memory is the
/// caller's, and a fault of theirs ends the device for the process. The CPU device runs none.
///
/// Thread safety: any thread.
/// Blocks: while the driver compiles.
/// Callable from callback: yes.
/// Ownership: release the program with weft_program_release.
/// Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT (desc, program is NULL; the text is none or does not compile: the sentence
/// and desc->log have the compiler's log); WEFT_ERROR_UNSUPPORTED (the CPU device); WEFT_ERROR_STALE_HANDLE;
/// WEFT_ERROR_WRONG_KIND; WEFT_ERROR_OUT_OF_MEMORY; WEFT_ERROR_OUT_OF_DEVICE_MEMORY; WEFT_ERROR_UNAVAILABLE;
/// WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `desc` is NULL or a struct of its struct_size, `program` NULL or valid for one write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_program_create(
    context: weft_context,
    desc: *const weft_program_desc,
    program: *mut weft_program,
) -> weft_status {
    check(|| {
        require_out("program", program)?;
        let device = CONTEXTS.get("context", context)?;
        device.check()?;
        // SAFETY: this function's contract, which the descriptor inherits.
        let desc = unsafe { require_struct("desc", desc)? };
        let start = Instant::now();
        // SAFETY: as above.
        let (made, size) = unsafe { compile(device, &desc)? };
        let handle = PROGRAMS.insert(own_slot(context), Arc::new(made))?;
        let took = start.elapsed();
        tell!(WEFT_LOG_INFO, "program {handle:#x} compiled: {size} bytes of PTX in {took:.1?}");
        // SAFETY: this function's contract.
        unsafe { write("program", program, handle) }
    })
}

/// The text of a descriptor.
///
/// # Safety
///
/// `desc.ptx` is null or valid for `desc.size` reads, or, with size 0, up to a zero byte.
unsafe fn read_ptx<'a>(desc: &weft_program_desc) -> Result<&'a str> {
    ensure!(desc.flags == 0, "weft_program_desc.flags are {:#x}; expected 0", desc.flags);
    ensure!(!desc.ptx.is_null(), "weft_program_desc.ptx is NULL; expected PTX text");
    ensure!(
        desc.size <= isize::MAX as u64,
        "weft_program_desc.size is {}; expected the bytes of the text, or 0",
        desc.size
    );
    let bytes = match desc.size {
        // SAFETY: not null, so it ends in a zero byte by the contract.
        0 => unsafe { CStr::from_ptr(desc.ptx) }.to_bytes(),
        // SAFETY: not null, so valid for so many reads by the contract.
        size => unsafe { std::slice::from_raw_parts(desc.ptx.cast(), size as usize) },
    };
    // Some count the closing zero byte.
    let text = std::str::from_utf8(bytes.strip_suffix(b"\0").unwrap_or(bytes));
    ensure!(text.is_ok(), "weft_program_desc.ptx is not valid UTF-8");
    let text = text.unwrap_or_default();
    ensure!(!text.trim().is_empty(), "weft_program_desc.ptx is empty; expected PTX text");
    Ok(text)
}

/// Compiles, and tells the caller's log. The program, and the bytes of its text.
///
/// # Safety
///
/// As for [`read_ptx`]; `desc.log` is null or valid for `desc.log_capacity` writes.
unsafe fn compile(context: Arc<Context>, desc: &weft_program_desc) -> Result<(Program, usize)> {
    let capacity = desc.log_capacity.min(1 << 20) as usize;
    ensure!(
        !desc.log.is_null() || capacity == 0,
        "weft_program_desc.log is NULL, but log_capacity is {}",
        desc.log_capacity
    );
    let mut log = Vec::new();
    log.try_reserve_exact(capacity).map_err(|_| Error::out_of_memory(capacity))?;
    // SAFETY: this function's contract.
    let text = unsafe { read_ptx(desc) };
    let made = text.and_then(|text| Ok((Program::new(context, text, &mut log)?, text.len())));
    let told = CStr::from_bytes_until_nul(&log).unwrap_or_default().to_string_lossy();
    if capacity > 0 {
        // SAFETY: this function's contract.
        unsafe { write_text(&told, desc.log, capacity, std::ptr::null_mut())? };
    }
    made
}

/// The kernel of this name (a .visible .entry) of a program. It stays valid when the program is released.
///
/// Thread safety: any thread.
/// Blocks: no.
/// Callable from callback: yes.
/// Ownership: release the kernel with weft_kernel_release.
/// Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT (name is NULL or of no kernel, kernel is NULL); WEFT_ERROR_UNSUPPORTED
/// (parameters that an old driver does not tell of, .explicitcluster); WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND;
/// WEFT_ERROR_OUT_OF_MEMORY; WEFT_ERROR_OUT_OF_DEVICE_MEMORY; WEFT_ERROR_UNAVAILABLE; WEFT_ERROR_DEVICE_LOST;
/// WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `name` is NULL or a zero-terminated string, `kernel` NULL or valid for one write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_kernel_get(
    program: weft_program,
    name: *const c_char,
    kernel: *mut weft_kernel,
) -> weft_status {
    check(|| {
        require_out("kernel", kernel)?;
        let found = PROGRAMS.get("program", program)?;
        found.context().check()?;
        // SAFETY: this function's contract.
        let made = found.kernel(unsafe { read_text("name", name)? })?;
        let handle = KERNELS.insert(context_slot(program), Arc::new(made))?;
        // SAFETY: this function's contract.
        unsafe { write("kernel", kernel, handle) }
    })
}

/// Launches a kernel of the caller's: see weft_launch_desc. Number and sizes of the arguments are checked against the
/// kernel's parameters, grid, block and shared memory against what it can have; buffers live until the launch is complete.
/// What the kernel does is not checked.
///
/// Thread safety: any thread.
/// Blocks: no (up to options->timeout_ns when the queue is full).
/// Callable from callback: yes.
/// Ownership: release *out with weft_request_release; options and out may be NULL.
/// Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED (the CPU
/// device); WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
/// WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_launch(
    queue: weft_queue,
    desc: *const weft_launch_desc,
    options: *const weft_submit,
    out: *mut weft_request,
) -> weft_status {
    // SAFETY: this function's contract, which the descriptor inherits.
    let build = |context: &Arc<Context>, _| unsafe { launch(context, desc) };
    // SAFETY: this function's contract.
    unsafe { submit(Target { queue, op: WEFT_OP_LAUNCH, options, out }, build) }
}

/// # Safety
///
/// `desc` is null or a struct of its struct_size, whose arguments are null or valid for as many reads as it says, and so is
/// what those of WEFT_ARGUMENT_HOST name.
unsafe fn launch(context: &Arc<Context>, desc: *const weft_launch_desc) -> Result<Box<dyn Op>> {
    // SAFETY: this function's contract.
    let desc = unsafe { require_struct("desc", desc)? };
    if let Device::Cpu(_) = context.device() {
        fail!(WEFT_ERROR_UNSUPPORTED, "launch: the queue is of the CPU device, which does not run PTX");
    }
    let kernel = KERNELS.get("launch: kernel", desc.kernel)?;
    if !Arc::ptr_eq(kernel.context(), context) {
        fail!(
            WEFT_ERROR_WRONG_CONTEXT,
            "launch: kernel is {:#x}, a kernel of another context than the queue's",
            desc.kernel
        );
    }
    // SAFETY: this function's contract.
    let arguments = unsafe { read_arguments(&desc, &kernel)? };
    let buffers =
        |index, handle| buffer_of(context, format_args!("launch: arguments[{index}].buffer"), handle);
    // SAFETY: this function's contract.
    let host = |index: usize, of: &weft_argument| unsafe { read_host(index, of) };
    launch::new(&desc, kernel, &arguments, &Sources { buffers: &buffers, host: &host })
}

/// # Safety
///
/// `of.integer` is 0 or the address of `of.size` bytes to read.
unsafe fn read_host(index: usize, of: &weft_argument) -> Result<Vec<u8>> {
    let (at, size) = (of.integer as *const u8, of.size as usize);
    ensure!(!at.is_null(), "launch: arguments[{index}].integer is 0; expected the address of {size} bytes");
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size).map_err(|_| Error::out_of_memory(size))?;
    // SAFETY: not null, so valid for the reads by the contract.
    bytes.extend_from_slice(unsafe { std::slice::from_raw_parts(at, size) });
    Ok(bytes)
}

/// # Safety
///
/// `desc.arguments` is null or valid for `desc.argument_count` reads.
unsafe fn read_arguments(desc: &weft_launch_desc, kernel: &Kernel) -> Result<Vec<weft_argument>> {
    let (at, count) = (desc.arguments, desc.argument_count);
    ensure!(
        count <= MOST_ARGUMENTS,
        "launch: argument_count is {count}; expected {}, the parameters of kernel {:?}",
        kernel.parameters().len(),
        kernel.name()
    );
    ensure!(!at.is_null() || count == 0, "launch: arguments is NULL, but argument_count is {count}");
    let mut arguments = Vec::new();
    let bytes = count as usize * size_of::<weft_argument>();
    arguments.try_reserve_exact(count as usize).map_err(|_| Error::out_of_memory(bytes))?;
    // SAFETY: not null where there are any, so valid for the reads by the contract; it may be unaligned.
    arguments.extend((0..count as usize).map(|index| unsafe { at.add(index).read_unaligned() }));
    Ok(arguments)
}

/// Gives up a program. Its kernels stay valid until they are released themselves. 0 is allowed.
///
/// Thread safety: any thread.
/// Blocks: no.
/// Callable from callback: yes.
/// Ownership: none.
/// Returns: WEFT_OK; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub extern "C" fn weft_program_release(program: weft_program) -> weft_status {
    check(|| if program == 0 { Ok(()) } else { PROGRAMS.remove("program", program).map(drop) })
}

/// Gives up a kernel. Launches in flight complete. 0 is allowed.
///
/// Thread safety: any thread.
/// Blocks: no.
/// Callable from callback: yes.
/// Ownership: none.
/// Returns: WEFT_OK; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub extern "C" fn weft_kernel_release(kernel: weft_kernel) -> weft_status {
    check(|| if kernel == 0 { Ok(()) } else { KERNELS.remove("kernel", kernel).map(drop) })
}
