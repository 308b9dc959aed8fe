//! Devices and contexts.

use super::border::{Sized32, check, read_struct, read_text, require_out, write, write_struct};
use super::{CONTEXTS, telemetry, weft_context};
use crate::device::cpu::{isa, physical_cores};
use crate::device::{Context, Device, WEFT_DEVICE_CPU, WEFT_DEVICE_CUDA, cuda};
use crate::status::{Result, WEFT_OK, weft_status};
use crate::{ensure, tell};
use std::ffi::c_char;
use std::mem::offset_of;
use std::sync::Arc;

/// What `weft_device_info_get` tells of a device.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct weft_device_info {
    /// sizeof(weft_device_info), set by the caller.
    pub struct_size: u32,
    /// WEFT_DEVICE_CPU or WEFT_DEVICE_CUDA.
    pub kind: u32,
    /// The name to give to weft_context_create, zero-terminated.
    pub name: [c_char; 32],
    /// What it is, for people, zero-terminated UTF-8.
    pub description: [c_char; 128],
    /// Bytes of memory in all.
    pub memory: u64,
    /// Cores (CPU) or multiprocessors (GPU).
    pub units: u32,
    /// 0.
    pub reserved: u32,
    /// GPU: its compute capability, the number before the point; 0 for the CPU.
    pub compute_major: u32,
    /// GPU: the number behind the point.
    pub compute_minor: u32,
    /// GPU: the CUDA version of its driver, 1000 times the major plus 10 times the minor; 0 for the CPU.
    pub cuda_version: u32,
    /// 0.
    pub reserved1: u32,
}

impl Default for weft_device_info {
    fn default() -> Self {
        // SAFETY: integers alone, for which zero is a value.
        unsafe { std::mem::zeroed() }
    }
}

// SAFETY: repr(C), begins with struct_size, integers alone.
unsafe impl Sized32 for weft_device_info {
    const NAME: &'static str = "weft_device_info";
    const FIRST: usize = offset_of!(weft_device_info, compute_major);
}

/// Options of `weft_context_create`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_context_desc {
    /// sizeof(weft_context_desc).
    pub struct_size: u32,
    /// Threads that a kernel of the CPU device may use, 256 at most; 0 means one for each physical core.
    pub threads: u32,
}

// SAFETY: repr(C), begins with struct_size, integers alone.
unsafe impl Sized32 for weft_context_desc {
    const NAME: &'static str = "weft_context_desc";
}

/// What `weft_context_info_get` tells.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_context_info {
    /// sizeof(weft_context_info), set by the caller.
    pub struct_size: u32,
    /// WEFT_DEVICE_CPU or WEFT_DEVICE_CUDA.
    pub kind: u32,
    /// Threads that a kernel of the CPU device may use.
    pub threads: u32,
    /// WEFT_OK, or WEFT_ERROR_DEVICE_LOST once the device is lost.
    pub state: weft_status,
    /// Bytes in buffers that are not freed yet.
    pub buffer_bytes: u64,
}

// SAFETY: repr(C), begins with struct_size, integers alone.
unsafe impl Sized32 for weft_context_info {
    const NAME: &'static str = "weft_context_info";
}

/// How many devices there are: the GPUs of the CUDA driver, then the CPU, which is always there and the last.
///
/// Thread safety: any thread.
/// Blocks: briefly, while the first call starts the CUDA driver.
/// Callable from callback: yes.
/// Ownership: none.
/// Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT (count is NULL); WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `count` is NULL or valid for one write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_device_count(count: *mut u32) -> weft_status {
    check(|| {
        require_out("count", count)?;
        // SAFETY: this function's contract.
        unsafe { write("count", count, cuda::count() + 1) }
    })
}

/// Describes device `index`, counted from 0: GPU N of the CUDA driver is device N and "cuda:N", the CPU is the last. The
/// caller sets info->struct_size.
///
/// Thread safety: any thread.
/// Blocks: briefly, while the first call starts the CUDA driver.
/// Callable from callback: yes.
/// Ownership: none.
/// Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT (no such device, info is NULL, struct_size); WEFT_ERROR_UNAVAILABLE,
/// WEFT_ERROR_OUT_OF_DEVICE_MEMORY and WEFT_ERROR_DEVICE_LOST (the driver does not tell of a GPU); WEFT_ERROR_FORKED;
/// WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `info` is NULL or points to a weft_device_info of info->struct_size bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_device_info_get(index: u32, info: *mut weft_device_info) -> weft_status {
    check(|| {
        let gpus = cuda::count();
        ensure!(
            index <= gpus,
            "index is {index}; expected less than {}, the devices that there are",
            gpus + 1
        );
        let value = if index < gpus { describe_gpu(index)? } else { describe_cpu() };
        // SAFETY: this function's contract.
        unsafe { write_struct("info", info, &value) }
    })
}

fn describe_gpu(ordinal: u32) -> Result<weft_device_info> {
    let (about, cuda) = (cuda::describe(ordinal)?, cuda::driver()?.cuda);
    let mut info = weft_device_info {
        kind: WEFT_DEVICE_CUDA,
        memory: about.memory,
        units: about.multiprocessors,
        compute_major: about.capability.0.max(0).cast_unsigned(),
        compute_minor: about.capability.1.max(0).cast_unsigned(),
        cuda_version: cuda.max(0).cast_unsigned(),
        ..Default::default()
    };
    put_text(&mut info.name, &format!("cuda:{ordinal}"));
    put_text(&mut info.description, &about.name);
    Ok(info)
}

fn describe_cpu() -> weft_device_info {
    let mut info =
        weft_device_info { kind: WEFT_DEVICE_CPU, units: physical_cores() as u32, ..Default::default() };
    put_text(&mut info.name, "cpu");
    put_text(&mut info.description, &format!("{} ({:?} kernels)", cpu_model(), isa()));
    // SAFETY: sysconf reads two constants of the system.
    let (pages, page) = unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    info.memory = (pages.max(0) as u64).saturating_mul(page.max(0) as u64);
    info
}

fn cpu_model() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|line| line.split_once(':')).map(|pair| pair.1.trim().to_owned());
    name.unwrap_or_else(|| format!("{} CPU", std::env::consts::ARCH))
}

pub(super) fn put_text<const N: usize>(out: &mut [c_char; N], text: &str) {
    let end = (0..N).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0).min(text.len());
    out.iter_mut().zip(&text.as_bytes()[..end]).for_each(|(to, &from)| *to = from as c_char);
}

/// Opens a device: "auto" (the best there is), "cpu" or "cuda:N". `options` may be NULL.
///
/// Thread safety: any thread.
/// Blocks: briefly, while the device is opened.
/// Callable from callback: yes.
/// Ownership: release the context with weft_context_release.
/// Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT (device, options, context is NULL); WEFT_ERROR_UNAVAILABLE (the
/// sentence says why and what to do); WEFT_ERROR_OUT_OF_MEMORY (also: 256 contexts are open);
/// WEFT_ERROR_OUT_OF_DEVICE_MEMORY; WEFT_ERROR_DEVICE_LOST (by this process, for its life); WEFT_ERROR_FORKED;
/// WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `device` is NULL or a zero-terminated string, `options` NULL or a struct of its struct_size, `context` NULL or valid
/// for one write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_context_create(
    device: *const c_char,
    options: *const weft_context_desc,
    context: *mut weft_context,
) -> weft_status {
    check(|| {
        require_out("context", context)?;
        // SAFETY: this function's contract.
        let (device, options) = unsafe { (read_text("device", device)?, read_struct(options)?) };
        telemetry::start();
        let kernels = isa(); // asked here so that a bad WEFT_ISA is told at once
        let made = Arc::new(Context::open(device, options.threads)?);
        let what = match made.device() {
            Device::Cpu(cpu) => {
                format!("\"cpu\", {}, {kernels:?} kernels, {} threads", cpu_model(), cpu.threads())
            }
            Device::Cuda(cuda) => {
                format!("\"cuda:{}\", {}", cuda.gpu().ordinal(), cuda.gpu().description.name)
            }
        };
        let handle = CONTEXTS.insert(0, made)?;
        tell!(WEFT_LOG_INFO, "context {handle:#x} created: device {what}");
        // SAFETY: this function's contract.
        unsafe { write("context", context, handle) }
    })
}

/// Tells about a context. The caller sets info->struct_size.
///
/// Thread safety: any thread.
/// Blocks: no.
/// Callable from callback: yes.
/// Ownership: none.
/// Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED;
/// WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `info` is NULL or points to a weft_context_info of info->struct_size bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_context_info_get(
    context: weft_context,
    info: *mut weft_context_info,
) -> weft_status {
    check(|| {
        let context = CONTEXTS.get("context", context)?;
        let (kind, threads) = match context.device() {
            Device::Cpu(cpu) => (WEFT_DEVICE_CPU, cpu.threads() as u32),
            Device::Cuda(_) => (WEFT_DEVICE_CUDA, 0),
        };
        let value = weft_context_info {
            struct_size: 0,
            kind,
            threads,
            state: context.check().map_or_else(|error| error.status, |()| WEFT_OK),
            buffer_bytes: context.memory.bytes(),
        };
        // SAFETY: this function's contract.
        unsafe { write_struct("info", info, &value) }
    })
}

/// Gives up a context. Its buffers, queues and requests stay valid until they are released themselves, and work in
/// flight completes; the device is closed after the last of them. 0 is allowed.
///
/// Thread safety: any thread.
/// Blocks: no.
/// Callable from callback: yes.
/// Ownership: none.
/// Returns: WEFT_OK; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub extern "C" fn weft_context_release(context: weft_context) -> weft_status {
    check(|| {
        if context != 0 {
            CONTEXTS.remove("context", context)?;
            tell!(WEFT_LOG_INFO, "context {context:#x} released");
        }
        Ok(())
    })
}
