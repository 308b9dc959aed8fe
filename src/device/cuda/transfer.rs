//! Copies between the caller's memory and the device: straight where the caller's memory is pinned, else through staging
//! memory.

use super::staging::{BLOCK, BLOCKS, SMALL};
use super::stream::Stream;
use crate::device::Cpu;
use crate::status::Result;
use cudarc::driver::sys::CUdeviceptr;
use once_cell::sync::Lazy;
use std::ffi::c_void;

/// CU_POINTER_ATTRIBUTE_MEMORY_TYPE and its CU_MEMORYTYPE_HOST.
const MEMORY_TYPE: i32 = 2;
const HOST: u32 = 1;
/// Bytes that the host copies in about the time of a launch.
const BRIEF: usize = 16 << 10;
/// Threads that fill or empty a block together: a few saturate the bus.
const THREADS: usize = 8;
/// Bytes a thread copies in one go, and rough nanoseconds a KiB.
const TILE: usize = 256 << 10;
const NS_A_KIB: usize = 100;

/// The host's cores, which copy between the caller's memory and staging memory.
static HOST_CPU: Lazy<Cpu> = Lazy::new(|| Cpu::new(crate::device::cpu::physical_cores().min(THREADS)));

/// Host memory to read a download's bytes from, once the device is past it.
#[derive(Clone, Copy)]
pub struct Staged(pub *const u8);

// SAFETY: an address in staging memory, which lives as long as the stream.
unsafe impl Send for Staged {}
// SAFETY: as above.
unsafe impl Sync for Staged {}

impl Stream {
    /// Queues a copy of `bytes` host bytes to the device.
    ///
    /// # Safety
    ///
    /// `from` is valid for reads on the host, and `to` for writes on the device, until the request is done.
    pub unsafe fn upload(&self, to: CUdeviceptr, from: *const u8, bytes: usize) -> Result<()> {
        self.check_brief(bytes)?;
        if bytes <= SMALL
            && let Some(place) = self.staging().take(self.gpu(), self.current(), bytes)?
        {
            // SAFETY: `bytes` bytes of each; the ring is nobody else's; the copy reads it before the request is done.
            unsafe {
                std::ptr::copy_nonoverlapping(from, place, bytes);
                return self.write(to, place.cast(), bytes);
            }
        }
        // SAFETY: this function's contract.
        unsafe {
            if self.is_pinned(from, bytes) {
                return self.write(to, from.cast(), bytes);
            }
            self.upload_in_blocks(to, from, bytes)
        }
    }

    /// # Safety
    ///
    /// As for [`upload`](Self::upload).
    unsafe fn upload_in_blocks(&self, to: CUdeviceptr, from: *const u8, bytes: usize) -> Result<()> {
        let (blocks, mut busy) = (self.staging().blocks(self.gpu())?, self.staging().busy());
        for (index, start) in (0..bytes).step_by(BLOCK).enumerate() {
            let (block, size) = (index % BLOCKS, BLOCK.min(bytes - start));
            self.await_checkpoint(busy[block])?;
            let place = blocks.ptr().wrapping_add(block * BLOCK);
            // SAFETY: `start + size <= bytes`; the block is free: the stream is past what last used it.
            unsafe {
                copy(from.wrapping_add(start), place, size);
                self.write(to + start as u64, place.cast(), size)?;
            }
            busy[block] = self.checkpoint()?;
        }
        Ok(())
    }

    /// Queues a copy of `bytes` device bytes to the host. Where they are to be fetched from when the request is done, unless
    /// they come to `to` by themselves.
    ///
    /// # Safety
    ///
    /// `to` is valid for writes on the host, and `from` for reads on the device, until the request is done.
    pub unsafe fn download(&self, to: *mut u8, from: CUdeviceptr, bytes: usize) -> Result<Option<Staged>> {
        self.check_brief(bytes)?;
        if bytes <= SMALL
            && let Some(place) = self.staging().take(self.gpu(), self.current(), bytes)?
        {
            // SAFETY: `bytes` bytes of the ring, which is nobody else's until the request is done.
            unsafe { self.read(place.cast(), from, bytes)? };
            return Ok(Some(Staged(place)));
        }
        // SAFETY: this function's contract.
        unsafe {
            if self.is_pinned(to, bytes) {
                self.read(to.cast(), from, bytes)?;
            } else {
                self.download_in_blocks(to, from, bytes)?;
            }
        }
        Ok(None)
    }

    /// # Safety
    ///
    /// As for [`download`](Self::download).
    unsafe fn download_in_blocks(&self, to: *mut u8, from: CUdeviceptr, bytes: usize) -> Result<()> {
        let (blocks, mut busy) = (self.staging().blocks(self.gpu())?, self.staging().busy());
        let place = |index: usize| blocks.ptr().wrapping_add(index % BLOCKS * BLOCK);
        let fetch = |index: usize, busy: &[u32; BLOCKS]| {
            let start = index * BLOCK;
            self.await_checkpoint(busy[index % BLOCKS])?;
            // SAFETY: the device is past writing the block, which holds the bytes from `start` on.
            unsafe { copy(place(index), to.wrapping_add(start), BLOCK.min(bytes - start)) };
            Ok(())
        };
        let count = bytes.div_ceil(BLOCK);
        for index in 0..count {
            if index >= BLOCKS {
                fetch(index - BLOCKS, &busy)?;
            }
            let start = index * BLOCK;
            self.await_checkpoint(busy[index % BLOCKS])?;
            // SAFETY: `start` is below `bytes`; the block is free.
            unsafe {
                self.read(place(index).cast(), from + start as u64, BLOCK.min(bytes - start))?;
            }
            busy[index % BLOCKS] = self.checkpoint()?;
        }
        (count.saturating_sub(BLOCKS)..count).try_for_each(|index| fetch(index, &busy))
    }

    /// Takes time for copies that take the host some, or memory that is not there yet.
    fn check_brief(&self, bytes: usize) -> Result<()> {
        if bytes <= BRIEF && self.staging().is_ready() { Ok(()) } else { self.take_time() }
    }

    /// Whether the device reaches these bytes of the host by itself.
    fn is_pinned(&self, at: *const u8, bytes: usize) -> bool {
        let pinned = |at: *const u8| {
            let mut kind = 0u32;
            // SAFETY: the attribute is a u32; the address is only looked up.
            let asked = self.gpu().ask(|driver| unsafe {
                driver.pointer_attribute((&raw mut kind).cast::<c_void>(), MEMORY_TYPE, at as u64)
            });
            asked.is_ok() && kind == HOST
        };
        bytes > 0 && pinned(at) && pinned(at.wrapping_add(bytes - 1))
    }

    /// Queues a copy on the device.
    ///
    /// # Safety
    ///
    /// Both are valid for `bytes` bytes until the request is done.
    pub unsafe fn copy(&self, to: CUdeviceptr, from: CUdeviceptr, bytes: usize) -> Result<()> {
        self.touch()?;
        // SAFETY: this function's contract.
        self.gpu().with(|driver| unsafe { driver.copy(to, from, bytes, self.raw()) })
    }

    /// Queues filling `bytes` bytes with the first `period` (1, 2 or 4) of `pattern`; both the address and the count are
    /// multiples of that.
    ///
    /// # Safety
    ///
    /// `at` is valid for `bytes` bytes until the request is done.
    pub unsafe fn fill(&self, at: CUdeviceptr, bytes: usize, pattern: u32, period: usize) -> Result<()> {
        let (count, raw) = (bytes / period, self.raw());
        self.touch()?;
        // SAFETY: this function's contract.
        self.gpu().with(|driver| unsafe {
            match period {
                1 => driver.fill(at, pattern as u8, count, raw),
                2 => driver.fill16(at, pattern as u16, count, raw),
                _ => driver.fill32(at, pattern, count, raw),
            }
        })
    }
}

/// Copies on the host, by several threads where that is worth it.
///
/// # Safety
///
/// `bytes` bytes of each, apart.
unsafe fn copy(from: *const u8, to: *mut u8, bytes: usize) {
    /// An address that threads may share.
    #[derive(Clone, Copy)]
    struct At(usize);
    let (from, to) = (At(from as usize), At(to as usize));
    let cost = (bytes >> 10) * NS_A_KIB;
    HOST_CPU.parallel(bytes.div_ceil(TILE), cost as u64, |tile| {
        let start = tile * TILE;
        // SAFETY: tiles are apart and inside; this function's contract.
        unsafe {
            let (from, to) = ((from.0 + start) as *const u8, (to.0 + start) as *mut u8);
            std::ptr::copy_nonoverlapping(from, to, TILE.min(bytes - start));
        }
    });
}
