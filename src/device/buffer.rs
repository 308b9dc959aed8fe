//! Buffers: memory of one device, shared by its handle and by the requests in flight.

use super::cuda::Memory;
use super::{Context, Device};
use crate::ensure;
use crate::status::{Error, Result};
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

const ALIGN: usize = 64;
/// Buffers of so many bytes are the system's own, in large pages where it has them: with small ones, streams over them wait
/// for translations of addresses.
const LARGE: usize = 4 << 20;

/// Memory of a device. Zeroed when created.
pub struct Buffer {
    context: Arc<Context>,
    place: Place,
    size: usize,
}

/// Where it lies.
enum Place {
    /// In the host's memory, as the CPU device reaches it.
    Host(NonNull<u8>),
    /// In a GPU's memory.
    Cuda(Memory),
    /// The caller's, at this address of the device.
    Caller(u64),
}

// SAFETY: the buffer is raw memory that kernels reach by pointer only; ordering accesses is the queues' business, and
// an unordered pair of requests finds unspecified bytes there, as documented, never anything else.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// `size` zeroed bytes, aligned to 64.
    pub fn new(context: Arc<Context>, size: u64) -> Result<Self> {
        let bytes = usize::try_from(size).unwrap_or(usize::MAX);
        let place = match context.device() {
            Device::Cpu(_) => Place::Host(allocate(bytes)?),
            Device::Cuda(cuda) => Place::Cuda(cuda.allocate(bytes)?),
        };
        context.memory.take(size);
        Ok(Self { context, place, size: bytes })
    }

    /// `size` bytes of the caller's at the device's address `at`.
    ///
    /// # Safety
    ///
    /// They are valid for reads and writes by the context's device for as long as the buffer lives.
    pub unsafe fn import(context: Arc<Context>, at: u64, size: u64) -> Result<Self> {
        ensure!(
            at.is_multiple_of(ALIGN as u64),
            "weft_buffer_desc.address is {at:#x}; expected a multiple of {ALIGN}"
        );
        ensure!(
            at.checked_add(size).is_some_and(|end| isize::try_from(end).is_ok()),
            "weft_buffer_desc.address is {at:#x} and size {size}: no memory ends there"
        );
        if let Device::Cuda(cuda) = context.device() {
            cuda.check_address(at, size)?;
        }
        context.memory.take(size);
        Ok(Self { context, place: Place::Caller(at), size: size as usize })
    }

    /// The first byte as the host reaches it: valid for [`size`](Self::size) bytes as long as the buffer lives. Null where
    /// it lies elsewhere.
    pub fn ptr(&self) -> *mut u8 {
        match &self.place {
            Place::Host(at) => at.as_ptr(),
            Place::Caller(at) if matches!(self.context.device(), Device::Cpu(_)) => *at as *mut u8,
            Place::Cuda(_) | Place::Caller(_) => null_mut(),
        }
    }

    /// The first byte as its device reaches it.
    pub fn at(&self) -> u64 {
        match &self.place {
            Place::Host(at) => at.as_ptr() as u64,
            Place::Cuda(memory) => memory.at(),
            Place::Caller(at) => *at,
        }
    }

    /// As [`at`](Self::at), for others than the context's queues: zeroing is done, unless the device is lost.
    pub fn settled_address(&self) -> Result<u64> {
        if let (Place::Cuda(_), Device::Cuda(cuda)) = (&self.place, self.context.device()) {
            let settled = cuda.await_memory();
            settled.or_else(|error| if self.context.check().is_err() { Ok(()) } else { Err(error) })?;
        }
        Ok(self.at())
    }

    /// Whether some of its bytes may be bytes of `other`: buffers on memory of the caller's may share it.
    pub fn meets(&self, other: &Self) -> bool {
        let (here, there) = (self.at(), other.at());
        here < there + other.size as u64 && there < here + self.size as u64
    }

    /// Bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The context it belongs to.
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }
}

fn allocate(size: usize) -> Result<NonNull<u8>> {
    let refused = || Error::out_of_memory(size);
    let layout = Layout::from_size_align(size.max(1), ALIGN).map_err(|_| refused())?;
    if size >= LARGE {
        return map(size).ok_or_else(refused);
    }
    // SAFETY: the layout has at least one byte.
    NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or_else(refused)
}

/// New pages, which are zero.
fn map(size: usize) -> Option<NonNull<u8>> {
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a mapping of its own, at no particular address.
    let at = unsafe { libc::mmap(null_mut(), size, access, kind, -1, 0) };
    if at == libc::MAP_FAILED {
        return None;
    }
    #[cfg(target_os = "linux")]
    // SAFETY: advice about this mapping; a system without large pages refuses it, and nothing is lost.
    unsafe {
        libc::madvise(at, size, libc::MADV_HUGEPAGE)
    };
    NonNull::new(at.cast())
}

/// Gives back what `allocate` gave.
///
/// # Safety
///
/// It is of this size, and nobody reaches it any more.
unsafe fn release(at: NonNull<u8>, size: usize) {
    // SAFETY: this function's contract: a mapping of `map`'s, or memory of this layout, which was valid there.
    unsafe {
        match size {
            LARGE.. => drop(libc::munmap(at.as_ptr().cast(), size)),
            _ => dealloc(at.as_ptr(), Layout::from_size_align_unchecked(size.max(1), ALIGN)),
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.context.memory.give(self.size as u64);
        if let Place::Host(at) = self.place {
            // SAFETY: allocated by `allocate` with this size; the last owner goes.
            unsafe { release(at, self.size) };
        }
    }
}
