//! The CUDA device: NVIDIA GPUs through a driver that is opened at run time.

mod beside;
mod cache;
pub mod cublaslt;
mod driver;
mod elf;
pub mod entry;
mod folders;
mod gpu;
mod graph;
mod haste;
mod kernel;
mod leave;
mod library;
mod link;
mod memory;
mod module;
mod pinned;
mod staging;
pub mod store;
mod stream;
mod tensor;
mod timing;
mod transfer;
mod watcher;

pub use driver::{Driver, driver};
pub use gpu::{Description, Gpu, count, describe};
pub use graph::Graph;
pub use kernel::{Key, Loaded};
pub use memory::Memory;
pub use module::{Function, Limits, Module, Shape};
pub use pinned::Pinned;
pub use staging::Staging;
pub use stream::Stream;
pub(crate) use stream::{EPOCH_BITS, IN_FLIGHT};
pub use tensor::Tensor;
pub use transfer::Staged;
pub use watcher::{Sight, Watched, Watcher};

use super::lost;
use crate::ensure;
use crate::status::Result;
use cudarc::driver::sys::{CUevent, CUstream};
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::*};

/// CU_EVENT_DISABLE_TIMING: an event that only orders.
const ORDER_ALONE: u32 = 2;

/// A vendor library's name, and its path and version, or why it is not used.
pub type Found = (&'static str, std::result::Result<(String, String), String>);

/// What became of each vendor library. Opens those that nothing has asked for yet.
pub fn libraries() -> Vec<Found> {
    let version = |cuda: i32| format!("{}.{}", cuda / 1000, cuda % 1000 / 10);
    let driver = driver().map(|driver| (driver.path.clone(), version(driver.cuda)));
    vec![("libcuda", driver.map_err(|error| error.message)), ("libcublasLt", cublaslt::found())]
}

/// A GPU as one context sees it.
pub struct Cuda {
    gpu: Arc<Gpu>,
    /// In whose order memory is taken, zeroed and given back.
    store: Arc<Stream>,
    /// Behind the zeroing of all memory that was taken so far, and how often it was put there.
    zeroed: CUevent,
    zeroings: AtomicU64,
    watcher: Arc<Watcher>,
}

// SAFETY: the driver's functions take an event from any thread.
unsafe impl Send for Cuda {}
// SAFETY: as above.
unsafe impl Sync for Cuda {}

impl Cuda {
    /// GPU `ordinal`.
    pub fn open(ordinal: u32) -> Result<Self> {
        let gpu = Gpu::open(ordinal)?;
        gpu.lost().map_or(Ok(()), |reason| Err(lost(reason)))?;
        let store = Stream::new(gpu.clone())?;
        let watcher = Watcher::start(gpu.clone())?;
        let mut zeroed = null_mut();
        // SAFETY: a pointer to a local.
        let made = gpu.with(|driver| unsafe { driver.event_create(&mut zeroed, ORDER_ALONE) });
        made.inspect_err(|_| watcher.end())?;
        leave::guard_the_end();
        Ok(Self { gpu, store, zeroed, zeroings: AtomicU64::new(0), watcher })
    }

    /// The GPU.
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// Who looks after its queues.
    pub fn watcher(&self) -> &Watcher {
        &self.watcher
    }

    /// The caller's stream `stream`, for a queue.
    ///
    /// # Safety
    ///
    /// It is a stream of the GPU's primary context and outlives the queue.
    pub unsafe fn import_stream(&self, stream: u64) -> Result<Arc<Stream>> {
        // SAFETY: this function's contract.
        unsafe { Stream::import(self.gpu.clone(), stream as CUstream) }
    }

    /// A stream for a queue of this priority, 0 the lowest.
    pub fn stream(&self, priority: usize) -> Result<Arc<Stream>> {
        Stream::with_priority(self.gpu.clone(), priority)
    }

    /// `bytes` bytes, zero for every stream that comes behind.
    pub fn allocate(&self, bytes: usize) -> Result<Memory> {
        let memory = Memory::new(self.store.clone(), bytes)?;
        let stream = self.store.raw();
        self.gpu.with(|driver| {
            // SAFETY: memory of so many bytes; a stream and an event that live.
            unsafe {
                driver.fill(memory.at(), 0, bytes, stream)?;
                driver.event_record(self.zeroed, stream)
            }
        })?;
        self.zeroings.fetch_add(1, Release);
        Ok(memory)
    }

    /// Orders `stream` behind the zeroing of all memory that [`allocate`](Self::allocate) has returned.
    pub fn order_behind_memory(&self, stream: &Stream) -> Result<()> {
        let now = self.zeroings.load(Acquire);
        if !stream.has_seen(now) {
            // SAFETY: a stream and an event that live.
            self.gpu.with(|driver| unsafe { driver.stream_wait(stream.raw(), self.zeroed, 0) })?;
            stream.sees(now);
        }
        Ok(())
    }

    /// An error unless `size` bytes from `at` on are memory that this GPU reaches.
    pub fn check_address(&self, at: u64, size: u64) -> Result<()> {
        let found = self.gpu.range_of(at);
        ensure!(
            found.is_some_and(|(start, bytes)| at
                .checked_sub(start)
                .is_some_and(|skipped| { bytes.checked_sub(skipped).is_some_and(|left| size <= left) })),
            "weft_buffer_desc.address is {at:#x}; expected {size} bytes of memory of device \"cuda:{}\"; the driver knows {}",
            self.gpu.ordinal(),
            found.map_or("none there".into(), |(start, bytes)| format!("{bytes} bytes from {start:#x} on"))
        );
        Ok(())
    }

    /// Waits until all memory that was returned is zero, for those who use it by its address.
    pub fn await_memory(&self) -> Result<()> {
        self.store.synchronize()
    }
}

impl Drop for Cuda {
    fn drop(&mut self) {
        self.watcher.end();
        // SAFETY: created in `open`, and used by nobody any more.
        let _ = self.gpu.with(|driver| unsafe { driver.event_destroy(self.zeroed) });
    }
}
