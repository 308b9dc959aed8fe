//! Streams: one GPU's work in order, with what a request needs while it runs: kernels, scratch memory and a word that
//! its kernels can leave a verdict in.

use super::gpu::Gpu;
use super::kernel::{Key, Loaded};
use super::memory::{Memory, Pinned};
use crate::ptx::{Kernel, Params, Target};
use crate::status::{Error, Result};
use cudarc::driver::sys::{CUdeviceptr, CUstream};
use parking_lot::Mutex;
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::*};

/// CU_STREAM_NON_BLOCKING: never waits for the default stream.
const NON_BLOCKING: u32 = 1;
/// How many requests can be in flight on a stream: so many verdicts are kept apart.
const IN_FLIGHT: u32 = 1024;
/// Bytes from the start of the host's page to the verdicts: the timeline has a cache line of its own.
const VERDICTS: usize = 128;
/// Scratch memory that a stream keeps for its next request.
const KEPT: usize = 256 << 20;

/// Work of one GPU in order.
pub struct Stream {
    gpu: Arc<Gpu>,
    stream: CUstream,
    /// Whether it was made here, or is the caller's.
    owned: bool,
    /// The timeline's word, then the verdicts.
    page: Pinned,
    /// The request whose work is being queued.
    number: AtomicU32,
    scratch: Mutex<Scratch>,
}

// SAFETY: the driver's functions take a stream from any thread.
unsafe impl Send for Stream {}
// SAFETY: as above.
unsafe impl Sync for Stream {}

/// Memory that requests of one stream use one after the other.
#[derive(Default)]
struct Scratch {
    at: CUdeviceptr,
    size: usize,
    used: usize,
    /// Blocks that became too small, still used by the request that found them so.
    outgrown: Vec<CUdeviceptr>,
}

impl Stream {
    /// A stream of its own.
    pub fn new(gpu: Arc<Gpu>) -> Result<Arc<Self>> {
        let mut stream = null_mut();
        // SAFETY: a pointer to a local; the context is current.
        gpu.with(|driver| unsafe { driver.stream_create(&mut stream, NON_BLOCKING) })?;
        Self::of(gpu, stream, true).map(Arc::new)
    }

    /// A stream of the caller's, which outlives this.
    ///
    /// # Safety
    ///
    /// `stream` is a stream of this GPU's primary context and stays one.
    pub unsafe fn import(gpu: Arc<Gpu>, stream: CUstream) -> Result<Arc<Self>> {
        Self::of(gpu, stream, false).map(Arc::new)
    }

    fn of(gpu: Arc<Gpu>, stream: CUstream, owned: bool) -> Result<Self> {
        let page = Pinned::new(gpu.clone(), VERDICTS + IN_FLIGHT as usize * 4)?;
        let (number, scratch) = (AtomicU32::new(0), Mutex::new(Scratch::default()));
        Ok(Self { gpu, stream, owned, page, number, scratch })
    }

    /// The GPU.
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// The driver's name of it.
    pub fn raw(&self) -> CUstream {
        self.stream
    }

    /// The kernel of this key, written and compiled when it is first asked for.
    pub fn kernel<P: Params + 'static>(
        &self,
        key: Key,
        write: impl FnOnce(Target) -> Result<Kernel<P>>,
    ) -> Result<Arc<Loaded<P>>> {
        self.gpu.kernels().get(&self.gpu, key, write)
    }

    /// Waits until all of its work is done.
    pub fn synchronize(&self) -> Result<()> {
        // SAFETY: a stream that lives.
        self.gpu.with(|driver| unsafe { driver.stream_synchronize(self.stream) })
    }

    /// Memory of its own, not initialised, taken and given back in this stream's order.
    pub fn allocate(self: &Arc<Self>, bytes: usize) -> Result<Memory> {
        Memory::new(self.clone(), bytes)
    }

    /// Copies host bytes to the device.
    ///
    /// # Safety
    ///
    /// `from` is valid for `bytes` reads until the stream gets past this, and so is `to` on the device for writes.
    pub unsafe fn write(&self, to: CUdeviceptr, from: *const c_void, bytes: usize) -> Result<()> {
        // SAFETY: this function's contract.
        self.gpu.with(|driver| unsafe { driver.copy_to_device(to, from, bytes, self.stream) })
    }

    /// Copies device bytes to the host.
    ///
    /// # Safety
    ///
    /// As for [`write`](Self::write), the other way round.
    pub unsafe fn read(&self, to: *mut c_void, from: CUdeviceptr, bytes: usize) -> Result<()> {
        // SAFETY: this function's contract.
        self.gpu.with(|driver| unsafe { driver.copy_to_host(to, from, bytes, self.stream) })
    }
}

/// What a request uses while its work is queued.
impl Stream {
    /// Begins request `number` of the stream: its verdict is 0, all scratch memory is free for it.
    pub fn begin(&self, number: u32) -> Result<()> {
        self.number.store(number, Relaxed);
        self.verdict_word(number).store(0, Relaxed);
        let mut scratch = self.scratch.lock();
        scratch.used = 0;
        if scratch.size > KEPT {
            let at = std::mem::take(&mut scratch.at);
            scratch.outgrown.push(at);
            scratch.size = 0;
        }
        scratch.outgrown.drain(..).try_for_each(|at| self.give(at))
    }

    /// Where this request's kernels may write a u32 that is not 0, to be told to its `Op::conclude`. The address is host
    /// memory: write seldom.
    pub fn verdict(&self) -> CUdeviceptr {
        let offset = VERDICTS + (self.number.load(Relaxed) % IN_FLIGHT) as usize * 4;
        self.page.device() + offset as u64
    }

    /// The verdict of request `number`, whose work is done.
    pub fn verdict_of(&self, number: u32) -> u32 {
        self.verdict_word(number).load(Acquire)
    }

    fn verdict_word(&self, number: u32) -> &AtomicU32 {
        self.page.word(VERDICTS + (number % IN_FLIGHT) as usize * 4)
    }

    /// How far the stream is: the last number that [`mark`](Self::mark) put behind its work.
    pub fn reached(&self) -> u32 {
        self.page.word(0).load(Acquire)
    }

    /// Queues that the timeline says `number`.
    pub fn mark(&self, number: u32) -> Result<()> {
        let at = self.page.device();
        // SAFETY: a word of pinned memory that lives as long as the stream.
        self.gpu.with(|driver| unsafe { driver.stream_write32(self.stream, at, number, 0) })
    }

    /// Scratch memory for this request's work, not initialised, aligned to 256 bytes. Several blocks of a request are apart.
    pub fn scratch(&self, bytes: usize) -> Result<CUdeviceptr> {
        let bytes = bytes.max(1).next_multiple_of(256);
        let mut scratch = self.scratch.lock();
        if scratch.used + bytes > scratch.size {
            self.grow(&mut scratch, bytes)?;
        }
        let at = scratch.at + scratch.used as u64;
        scratch.used += bytes;
        Ok(at)
    }

    /// A larger block. The one before goes back when the next request begins: this one may still queue work that uses it.
    fn grow(&self, scratch: &mut Scratch, bytes: usize) -> Result<()> {
        let size = bytes.max(scratch.size * 2).checked_next_power_of_two().unwrap_or(bytes).max(1 << 20);
        scratch.outgrown.try_reserve(1).map_err(|_| Error::out_of_memory(8))?;
        let at = self.take(size)?;
        if scratch.size > 0 {
            scratch.outgrown.push(scratch.at);
        }
        (scratch.at, scratch.size, scratch.used) = (at, size, 0);
        Ok(())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let scratch = self.scratch.get_mut();
        let last = (scratch.size > 0).then_some(scratch.at);
        let blocks: Vec<CUdeviceptr> = scratch.outgrown.drain(..).chain(last).collect();
        // An error has nobody left to hear it.
        let _ = blocks.into_iter().try_for_each(|at| self.give(at));
        if self.owned {
            // SAFETY: created in `new`; the driver lets its pending work end first.
            let _ = self.gpu.with(|driver| unsafe { driver.stream_destroy(self.stream) });
        }
    }
}
