//! Streams, and memory that is taken and given back in a stream's order.

use super::gpu::Gpu;
use crate::status::{Result, WEFT_ERROR_OUT_OF_DEVICE_MEMORY};
use cudarc::driver::sys::{CUdeviceptr, CUmemoryPool, CUstream};
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::Arc;

/// CU_STREAM_NON_BLOCKING: never waits for the default stream.
const NON_BLOCKING: u32 = 1;

/// Work of one GPU in order.
pub struct Stream {
    gpu: Arc<Gpu>,
    stream: CUstream,
}

// SAFETY: the driver's functions take a stream from any thread.
unsafe impl Send for Stream {}
// SAFETY: as above.
unsafe impl Sync for Stream {}

impl Stream {
    /// A stream of its own.
    pub fn new(gpu: Arc<Gpu>) -> Result<Arc<Self>> {
        let mut stream = null_mut();
        // SAFETY: a pointer to a local; the context is current.
        gpu.with(|driver| unsafe { driver.stream_create(&mut stream, NON_BLOCKING) })?;
        Ok(Arc::new(Self { gpu, stream }))
    }

    /// The GPU.
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// The driver's name of it.
    pub fn raw(&self) -> CUstream {
        self.stream
    }

    /// Waits until all of its work is done.
    pub fn synchronize(&self) -> Result<()> {
        // SAFETY: a stream that lives.
        self.gpu.with(|driver| unsafe { driver.stream_synchronize(self.stream) })
    }

    /// Memory for `bytes` bytes, not initialised. One more try after the pool's free memory went back to the driver.
    pub fn allocate(self: &Arc<Self>, bytes: usize) -> Result<Memory> {
        let at = self.gpu.with(|driver| {
            let mut at = 0;
            // SAFETY: a pointer to a local, a stream that lives.
            let mut take = || unsafe { driver.allocate(&mut at, bytes.max(1), self.stream) };
            match take() {
                Err(error) if error.status == WEFT_ERROR_OUT_OF_DEVICE_MEMORY => {
                    self.trim()?;
                    take()?;
                }
                other => other?,
            }
            Ok(at)
        })?;
        Ok(Memory { stream: self.clone(), at, bytes })
    }

    /// Gives what the device's pool holds free back to the driver.
    fn trim(&self) -> Result<()> {
        self.synchronize()?;
        self.gpu.with(|driver| {
            let mut pool: CUmemoryPool = null_mut();
            // SAFETY: a pointer to a local; the default pool lives as long as the device.
            unsafe {
                driver.default_pool(&mut pool, self.gpu.ordinal())?;
                driver.pool_trim(pool, 0)
            }
        })
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

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: created in `new`; the driver lets its pending work end first. An error has nobody left to hear it.
        let _ = self.gpu.with(|driver| unsafe { driver.stream_destroy(self.stream) });
    }
}

/// Device memory, given back in its stream's order.
pub struct Memory {
    stream: Arc<Stream>,
    at: CUdeviceptr,
    bytes: usize,
}

impl Memory {
    /// The device's address.
    pub fn at(&self) -> CUdeviceptr {
        self.at
    }

    /// Bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated on this stream and owned by nobody else.
        let _ = self.stream.gpu.with(|driver| unsafe { driver.free(self.at, self.stream.stream) });
    }
}
