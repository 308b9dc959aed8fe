//! Devices and contexts.

use super::border::{Sized32, check, read_struct, read_text, require_out, write, write_struct};
use super::{CONTEXTS, telemetry, weft_context};
use crate::device::cpu::{isa, physical_cores};
use crate::device::{Context, Device, WEFT_DEVICE_CPU, WEFT_DEVICE_CUDA};
use crate::status::{WEFT_OK, weft_status};
use crate::{ensure, tell};
use std::ffi::c_char;
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
}

impl Default for weft_device_info {
    fn default() -> Self {
        let (name, description) = ([0; 32], [0; 128]);
        Self { struct_size: 0, kind: 0, name, description, memory: 0, units: 0, reserved: 0 }
    }
}

// SAFETY: repr(C), begins with struct_size, integers alone.
unsafe impl Sized32 for weft_device_info {
    const NAME: &'static str = "weft_device_info";
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

/// How many devices there are. The CPU is always one of them, and the last.
///
/// Thread safety: any thread.
/// Blocks: no.
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
    // SAFETY: this function's contract.
    check(|| unsafe { write("count", count, 1) })
}

/// Describes device `index`, counted from 0. The caller sets info->struct_size.
///
/// Thread safety: any thread.
/// Blocks: no.
/// Callable from callback: yes.
/// Ownership: none.
/// Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT (no such device, info is NULL, struct_size); WEFT_ERROR_FORKED;
/// WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `info` is NULL or points to a weft_device_info of info->struct_size bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_device_info_get(index: u32, info: *mut weft_device_info) -> weft_status {
    check(|| {
        ensure!(index < 1, "index is {index}; expected less than the 1 device that there is");
        // SAFETY: this function's contract.
        unsafe { write_struct("info", info, &describe_cpu()) }
    })
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

fn put_text<const N: usize>(out: &mut [c_char; N], text: &str) {
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
/// sentence says why and what to do); WEFT_ERROR_OUT_OF_MEMORY (also: 256 contexts are open); WEFT_ERROR_FORKED;
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
