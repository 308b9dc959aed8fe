//! Pinned memory of the host, which the device reaches: pages of our own that the driver is told of. Memory that the driver
//! allocates is gone when it ends, a moment before the process does, under threads that still look at it.

use super::gpu::Gpu;
use crate::status::{Error, Result};
use cudarc::driver::sys::CUdeviceptr;
use libc::{MAP_ANONYMOUS, MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE};
use std::mem::ManuallyDrop;
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

/// CU_MEMHOSTREGISTER_PORTABLE and CU_MEMHOSTREGISTER_DEVICEMAP.
const PORTABLE_MAPPED: u32 = 3;

/// Pages of zeros.
struct Pages {
    at: NonNull<u8>,
    bytes: usize,
}

impl Pages {
    /// Shared, so that a fork leaves the parent the pages that the device writes to; the child has no use for them.
    fn new(bytes: usize) -> Result<Self> {
        let (protection, kind) = (PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
        // SAFETY: a mapping of its own, at an address that the system chooses.
        let at = unsafe { libc::mmap(null_mut(), bytes, protection, kind, -1, 0) };
        let at = NonNull::new(at.cast::<u8>()).filter(|_| at != MAP_FAILED);
        let at = at.ok_or_else(|| Error::out_of_memory(bytes))?;
        // SAFETY: the mapping above. Advice: it does not matter whether it is taken.
        unsafe { libc::madvise(at.as_ptr().cast(), bytes, libc::MADV_DONTFORK) };
        Ok(Self { at, bytes })
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`, owned by this alone.
        unsafe { libc::munmap(self.at.as_ptr().cast(), self.bytes) };
    }
}

/// Memory of the host that the device reaches.
pub struct Pinned {
    gpu: Arc<Gpu>,
    pages: ManuallyDrop<Pages>,
    device: CUdeviceptr,
}

// SAFETY: raw memory that is reached by pointer or by atomic words only.
unsafe impl Send for Pinned {}
// SAFETY: as above.
unsafe impl Sync for Pinned {}

impl Pinned {
    /// `bytes` zero bytes.
    pub fn new(gpu: Arc<Gpu>, bytes: usize) -> Result<Self> {
        let (pages, mut device) = (Pages::new(bytes.max(1))?, 0);
        gpu.with(|driver| {
            let at = pages.at.as_ptr().cast();
            // SAFETY: pages of so many bytes, a pointer to a local.
            unsafe {
                driver.host_register(at, pages.bytes, PORTABLE_MAPPED)?;
                let address = driver.host_address(&mut device, at, 0);
                address.inspect_err(|_| drop(driver.host_unregister(at)))
            }
        })?;
        Ok(Self { gpu, pages: ManuallyDrop::new(pages), device })
    }

    /// The host's address.
    pub fn ptr(&self) -> *mut u8 {
        self.pages.at.as_ptr()
    }

    /// The device's address.
    pub fn device(&self) -> CUdeviceptr {
        self.device
    }

    /// Bytes.
    pub fn bytes(&self) -> usize {
        self.pages.bytes
    }

    /// The word at byte `offset`, a multiple of 4 inside the memory.
    pub fn word(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4) && offset + 4 <= self.bytes(), "a word outside its memory");
        // SAFETY: inside, aligned (pages are), and atomic for all on the host.
        unsafe { AtomicU32::from_ptr(self.ptr().add(offset).cast()) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: registered in `new`; whoever gave its address to the device waited for it.
        let ended = self.gpu.with(|driver| unsafe { driver.host_unregister(self.ptr().cast()) });
        if ended.is_ok() {
            // SAFETY: dropped here and nowhere else. Else they stay for good: the device may still write to them.
            unsafe { ManuallyDrop::drop(&mut self.pages) };
        }
    }
}
