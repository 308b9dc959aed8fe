//! Memory of the device, taken and given back in a stream's order from the device's pool.

use super::driver::Driver;
use super::stream::Stream;
use crate::status::{Result, WEFT_ERROR_OUT_OF_DEVICE_MEMORY};
use cudarc::driver::sys::{
    CUdeviceptr, CUmemAllocationType, CUmemLocationType, CUmemPoolProps, CUmemoryPool,
};
use std::ptr::null_mut;
use std::sync::Arc;

/// CU_MEMPOOL_ATTR_RELEASE_THRESHOLD: bytes that a pool keeps for itself though they are free.
const RELEASE_THRESHOLD: u32 = 4;
const KEPT: u64 = 1 << 30;

/// A pool of a device's memory, apart from the one that other users of CUDA in the process share. For good.
pub(super) fn new_pool(driver: &Driver, device: i32) -> Result<CUmemoryPool> {
    // SAFETY: integers, enums and pointers, for all of which zero is a value that the driver takes.
    let mut properties: CUmemPoolProps = unsafe { std::mem::zeroed() };
    properties.allocType = CUmemAllocationType::CU_MEM_ALLOCATION_TYPE_PINNED;
    properties.location.type_ = CUmemLocationType::CU_MEM_LOCATION_TYPE_DEVICE;
    properties.location.id = device;
    let (mut pool, mut kept) = (null_mut(), KEPT);
    // SAFETY: pointers to locals; the attribute is a u64.
    unsafe {
        driver.pool_create(&mut pool, &properties)?;
        let set = driver.pool_set(pool, RELEASE_THRESHOLD, (&raw mut kept).cast());
        set.inspect_err(|_| drop(driver.pool_destroy(pool)))?;
    }
    Ok(pool)
}

impl Stream {
    /// The address of `bytes` bytes of the device, not initialised. One more try after the pool's free memory went back to
    /// the driver.
    pub(super) fn take(&self, bytes: usize) -> Result<CUdeviceptr> {
        self.gpu().with(|driver| {
            let mut at = 0;
            // SAFETY: a pointer to a local, a stream that lives.
            let mut take =
                || unsafe { driver.allocate(&mut at, bytes.max(1), self.gpu().pool(), self.raw()) };
            match take() {
                Err(error) if error.status == WEFT_ERROR_OUT_OF_DEVICE_MEMORY => {
                    self.trim()?;
                    take()?;
                }
                other => other?,
            }
            Ok(at)
        })
    }

    /// Gives back what `take` took.
    pub(super) fn give(&self, at: CUdeviceptr) -> Result<()> {
        // SAFETY: taken from the pool, and owned by nobody else.
        self.gpu().with(|driver| unsafe { driver.free(at, self.raw()) })
    }

    /// Gives what the device's pool holds free back to the driver.
    fn trim(&self) -> Result<()> {
        self.synchronize()?;
        // SAFETY: a pool that lives as long as the process.
        self.gpu().with(|driver| unsafe { driver.pool_trim(self.gpu().pool(), 0) })
    }
}

/// Device memory, given back in its stream's order.
pub struct Memory {
    stream: Arc<Stream>,
    at: CUdeviceptr,
    bytes: usize,
}

impl Memory {
    /// `bytes` bytes, not initialised.
    pub fn new(stream: Arc<Stream>, bytes: usize) -> Result<Self> {
        let at = stream.take(bytes)?;
        Ok(Self { stream, at, bytes })
    }

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
        let _ = self.stream.give(self.at);
    }
}
