//! Buffers: memory of one device, shared by its handle and by the requests in flight.

use super::Context;
use crate::status::{Error, Result};
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;
use std::sync::Arc;

const ALIGN: usize = 64;

/// Memory of a device. Zeroed when created.
pub struct Buffer {
    context: Arc<Context>,
    at: NonNull<u8>,
    size: usize,
}

// SAFETY: the buffer is raw memory that kernels reach by pointer only; ordering accesses is the queues' business, and
// an unordered pair of requests finds unspecified bytes there, as documented, never anything else.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// `size` zeroed bytes, aligned to 64.
    pub fn new(context: Arc<Context>, size: u64) -> Result<Self> {
        let refused = || Error::out_of_memory(usize::try_from(size).unwrap_or(usize::MAX));
        let layout =
            usize::try_from(size).ok().and_then(|size| Layout::from_size_align(size.max(1), ALIGN).ok());
        let layout = layout.ok_or_else(refused)?;
        // SAFETY: the layout has at least one byte.
        let at = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or_else(refused)?;
        context.memory.take(size);
        Ok(Self { context, at, size: size as usize })
    }

    /// The first byte. Valid for [`size`](Self::size) bytes as long as the buffer lives.
    pub fn ptr(&self) -> *mut u8 {
        self.at.as_ptr()
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

impl Drop for Buffer {
    fn drop(&mut self) {
        self.context.memory.give(self.size as u64);
        // SAFETY: allocated in `new` with this layout, which was valid there.
        unsafe { dealloc(self.at.as_ptr(), Layout::from_size_align_unchecked(self.size.max(1), ALIGN)) };
    }
}
