//! Streams: one GPU's work in order, with what a request needs while it runs: kernels, scratch memory and a word that
//! its kernels can leave a verdict in.

use super::beside::Sides;
use super::cublaslt::Blas;
use super::gpu::Gpu;
use super::haste::Haste;
use super::kernel::{Key, Loaded};
use super::memory::Memory;
use super::pinned::Pinned;
use super::staging::Staging;
use crate::device::gate::spin_until;
use crate::ptx::{Kernel, Params, Target};
use crate::status::{Error, Result};
use cudarc::driver::sys::{CUdeviceptr, CUstream};
use once_cell::sync::OnceCell;
use parking_lot::Mutex;
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};
use std::time::{Duration, Instant};

/// CU_STREAM_NON_BLOCKING: never waits for the default stream.
pub(super) const NON_BLOCKING: u32 = 1;
/// How many requests can be in flight on a stream: so many verdicts are kept apart.
pub(crate) const IN_FLIGHT: u32 = 1024;
/// Bytes from the start of the host's page to the verdicts: the timeline has a cache line of its own.
const VERDICTS: usize = 128;
/// Scratch memory that a stream keeps for its next request.
const KEPT: usize = 256 << 20;

/// Bits of a request's epoch in `Stream::marks`.
pub(crate) const EPOCH_BITS: u32 = 20;

/// Work of one GPU in order.
pub struct Stream {
    gpu: Arc<Gpu>,
    stream: CUstream,
    /// Its priority, if it was made here; the caller's have none.
    pub(super) owned: Option<usize>,
    /// The timeline's word, then the verdicts.
    page: Pinned,
    /// How many zeroings of memory it is behind.
    behind: AtomicU64,
    /// The request whose work is being queued.
    number: AtomicU32,
    checkpoints: AtomicU32,
    /// How often in a row the driver refused to say how its work goes.
    doubts: AtomicU32,
    scratch: Mutex<Scratch>,
    staging: Staging,
    haste: Haste,
    /// cuBLASLt, if it is there, once it was asked for.
    blas: OnceCell<Option<Arc<Blas>>>,
    /// Those beside it, once they were asked for.
    pub(super) sides: OnceCell<Sides>,
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
    marks: Marks,
}

/// Memory whose numbers outlive a request: each request's are larger than all before.
#[derive(Default)]
struct Marks {
    at: CUdeviceptr,
    size: usize,
    epoch: u64,
}

impl Stream {
    /// A stream of its own.
    pub fn new(gpu: Arc<Gpu>) -> Result<Arc<Self>> {
        Self::with_priority(gpu, 0)
    }

    /// A stream of its own, of this priority: 0 the lowest; higher than the device knows is its highest.
    pub fn with_priority(gpu: Arc<Gpu>, priority: usize) -> Result<Arc<Self>> {
        let mut stream = null_mut();
        // SAFETY: a pointer to a local; the context is current.
        gpu.with(|driver| unsafe { driver.stream_create(&mut stream, NON_BLOCKING, -(priority as i32)) })?;
        let made = Self::of(gpu.clone(), stream, Some(priority));
        let made = made.inspect_err(|_| {
            // SAFETY: created above, and nothing uses it.
            let _ = gpu.with(|driver| unsafe { driver.stream_destroy(stream) });
        });
        made.map(Arc::new)
    }

    /// A stream of the caller's, which outlives this.
    ///
    /// # Safety
    ///
    /// `stream` is a stream of this GPU's primary context and stays one.
    pub unsafe fn import(gpu: Arc<Gpu>, stream: CUstream) -> Result<Arc<Self>> {
        Self::of(gpu, stream, None).map(Arc::new)
    }

    fn of(gpu: Arc<Gpu>, stream: CUstream, owned: Option<usize>) -> Result<Self> {
        let page = Pinned::new(gpu.clone(), VERDICTS + IN_FLIGHT as usize * 4)?;
        let (number, checkpoints, doubts, behind) = Default::default();
        let (scratch, staging, haste, blas, sides) = Default::default();
        Ok(Self {
            gpu,
            stream,
            owned,
            page,
            behind,
            number,
            checkpoints,
            doubts,
            scratch,
            staging,
            haste,
            blas,
            sides,
        })
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
        self.gpu.kernels().get(self, key, write)
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
        self.touch()?;
        // SAFETY: this function's contract.
        self.gpu.with(|driver| unsafe { driver.copy_to_device(to, from, bytes, self.stream) })
    }

    /// Copies device bytes to the host.
    ///
    /// # Safety
    ///
    /// As for [`write`](Self::write), the other way round.
    pub unsafe fn read(&self, to: *mut c_void, from: CUdeviceptr, bytes: usize) -> Result<()> {
        self.touch()?;
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

    /// As [`mark`](Self::mark); where the driver refuses, waits for the stream instead, and where it refuses that too, the
    /// device is lost: what was launched is told in any case.
    pub fn mark_or_wait(&self, number: u32) {
        if self.mark(number).is_ok() {
            return;
        }
        match self.synchronize() {
            Ok(()) => self.page.word(0).store(number, Release),
            Err(error) => self.gpu.lose(error),
        }
    }

    /// Whether it is a stream of the caller's whose work becomes a graph now instead of being done.
    pub fn is_captured(&self) -> bool {
        // SAFETY: a stream that lives.
        let asked = || self.gpu.ask(|driver| Ok(unsafe { driver.is_capturing(self.stream) }));
        self.owned.is_none() && asked().unwrap_or(false)
    }

    /// Asks the driver whether the stream's work goes on: an error of that work is noticed so.
    pub fn probe(&self) {
        // CUDA_ERROR_NOT_READY, and those that tell of a capture.
        let no_fault = |native| native == 600 || (900..=911).contains(&native);
        // SAFETY: a stream that lives.
        match self.gpu.with(|driver| unsafe { driver.stream_query(self.stream) }) {
            Err(error) if !no_fault(error.native) => self.doubt(error),
            _ => self.doubts.store(0, Relaxed),
        }
    }

    /// The driver did not answer what it was asked about the stream: the device is lost if that stays so.
    fn doubt(&self, error: Error) {
        const MOST: u32 = 4;
        if self.doubts.fetch_add(1, Relaxed) >= MOST {
            self.gpu.lose(error);
        }
    }

    /// A number to wait for with [`await_checkpoint`](Self::await_checkpoint): reached when what was queued so far is done.
    pub fn checkpoint(&self) -> Result<u32> {
        let (number, at) = (self.checkpoints.fetch_add(1, Relaxed).wrapping_add(1), self.page.device() + 64);
        // SAFETY: a word of pinned memory that lives as long as the stream.
        let put = self.gpu.with(|driver| unsafe { driver.stream_write32(self.stream, at, number, 0) });
        if put.is_err() {
            // What was queued may be under way all the same: whoever uses its memory next must not be too early.
            self.synchronize().inspect_err(|error| self.gpu.lose(error.clone()))?;
            self.page.word(64).store(number, Release);
        }
        Ok(number)
    }

    /// Waits until the stream has reached a checkpoint.
    pub fn await_checkpoint(&self, number: u32) -> Result<()> {
        let (word, start) = (self.page.word(64), Instant::now());
        let reached = || word.load(Acquire).wrapping_sub(number).cast_signed() >= 0;
        let mut asked = start;
        while !spin_until(Duration::from_micros(50), reached) {
            std::thread::sleep((start.elapsed() / 64).min(Duration::from_micros(250)));
            if asked.elapsed() > Duration::from_millis(5) {
                self.probe();
                asked = Instant::now();
            }
            if let Some(error) = self.gpu.lost() {
                return Err(error.clone());
            }
        }
        Ok(())
    }

    /// Whether it is behind so many zeroings.
    pub(super) fn has_seen(&self, zeroings: u64) -> bool {
        self.behind.load(Relaxed) >= zeroings
    }

    /// It is behind so many zeroings.
    pub(super) fn sees(&self, zeroings: u64) {
        self.behind.store(zeroings, Relaxed);
    }

    /// How long whoever launches may take.
    pub(super) fn haste(&self) -> &Haste {
        &self.haste
    }

    /// cuBLASLt, where it was asked for and is there.
    pub(super) fn blas(&self) -> &OnceCell<Option<Arc<Blas>>> {
        &self.blas
    }

    /// The host's memory that requests of this stream pass through.
    pub fn staging(&self) -> &Staging {
        &self.staging
    }

    /// Request `number` is done with the host's memory that it passed through.
    pub fn give_staging(&self, number: u32) {
        self.staging.give(number);
    }

    /// The request whose work is being queued.
    pub fn current(&self) -> u32 {
        self.number.load(Relaxed)
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

    /// Memory that outlives this request, for `count` numbers of 64 bits at least: its address, how many there are, and this
    /// request's epoch: every earlier one that left its own in the top bits of a number had a smaller one. Epoch 0 means that
    /// the numbers hold anything: they are to be made 0, which `marks_are_zero` is to be told.
    pub fn marks(&self, count: usize) -> Result<(CUdeviceptr, usize, u64)> {
        let mut scratch = self.scratch.lock();
        let bytes = count.saturating_mul(8).max(1 << 16);
        if scratch.marks.size < bytes {
            self.take_time()?;
            scratch.outgrown.try_reserve(1).map_err(|_| Error::out_of_memory(8))?;
            let size = bytes.checked_next_power_of_two().unwrap_or(bytes);
            let before =
                std::mem::replace(&mut scratch.marks, Marks { at: self.take(size)?, size, epoch: 0 });
            if before.size > 0 {
                scratch.outgrown.push(before.at);
            }
        }
        let marks = &mut scratch.marks;
        if marks.epoch > 0 {
            marks.epoch = (marks.epoch + 1) % (1 << EPOCH_BITS);
        }
        Ok((marks.at, marks.size / 8, marks.epoch))
    }

    /// Work is queued that makes all of `marks` 0. The request's epoch.
    pub fn marks_are_zero(&self) -> u64 {
        let mut scratch = self.scratch.lock();
        scratch.marks.epoch = 1;
        scratch.marks.epoch
    }

    /// A larger block. The one before goes back when the next request begins: this one may still queue work that uses it.
    fn grow(&self, scratch: &mut Scratch, bytes: usize) -> Result<()> {
        self.take_time()?;
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
        let marks = (scratch.marks.size > 0).then_some(scratch.marks.at);
        let blocks: Vec<CUdeviceptr> = scratch.outgrown.drain(..).chain(last).chain(marks).collect();
        // An error has nobody left to hear it.
        let _ = blocks.into_iter().try_for_each(|at| self.give(at));
        if self.owned.is_some() {
            // SAFETY: created in `new`; the driver lets its pending work end first.
            let _ = self.gpu.with(|driver| unsafe { driver.stream_destroy(self.stream) });
        }
    }
}
