//! One GPU: what it is, its shared context, and the guard that makes it current.

use super::driver::{Driver, driver};
use crate::ensure;
use crate::status::{Error, Result, WEFT_ERROR_UNAVAILABLE};
use cudarc::driver::sys::CUcontext;
use std::ffi::{CStr, c_char};
use std::ptr::null_mut;

/// The least compute capability: 8.0, whose mma.sync, cp.async and bf16 the kernels take for granted.
const LEAST: (i32, i32) = (8, 0);

/// What a GPU is.
#[derive(Clone, Debug)]
pub struct Description {
    /// As NVIDIA names it.
    pub name: String,
    /// Bytes of memory.
    pub memory: u64,
    /// Streaming multiprocessors.
    pub multiprocessors: u32,
    /// Compute capability: major, minor.
    pub capability: (i32, i32),
}

/// A GPU in use. Holds the device's primary context, which it shares with all of the process's users of CUDA.
pub struct Gpu {
    driver: &'static Driver,
    device: i32,
    context: CUcontext,
    /// What it is.
    pub description: Description,
}

// SAFETY: a context may be current on any thread, several at once; the driver's functions may be called from all.
unsafe impl Send for Gpu {}
// SAFETY: as above.
unsafe impl Sync for Gpu {}

/// How many GPUs the driver knows; 0 where there is no driver.
pub fn count() -> u32 {
    let mut count = 0;
    // SAFETY: a pointer to a local.
    let asked = driver().and_then(|driver| unsafe { driver.device_count(&mut count) });
    if asked.is_ok() { count.max(0).cast_unsigned() } else { 0 }
}

/// What GPU `ordinal` is.
pub fn describe(ordinal: u32) -> Result<Description> {
    let driver = driver()?;
    let device = find(driver, ordinal)?;
    let (mut name, mut memory) = ([0 as c_char; 256], 0);
    // SAFETY: pointers to locals of these lengths; the driver ends the name with a zero byte, as the array does anyway.
    let name = unsafe {
        driver.device_name(name.as_mut_ptr(), name.len() as i32 - 1, device)?;
        driver.device_memory(&mut memory, device)?;
        CStr::from_ptr(name.as_ptr()).to_string_lossy().into_owned()
    };
    let attribute = |number| attribute(driver, device, number);
    Ok(Description {
        name,
        memory: memory as u64,
        multiprocessors: attribute(16)?.max(0).cast_unsigned(),
        capability: (attribute(75)?, attribute(76)?),
    })
}

fn find(driver: &Driver, ordinal: u32) -> Result<i32> {
    let count = count();
    if ordinal >= count {
        let message =
            format!("device \"cuda:{ordinal}\" is not there: the CUDA driver knows {count} devices");
        return Err(Error::new(WEFT_ERROR_UNAVAILABLE, message));
    }
    let mut device = 0;
    // SAFETY: a pointer to a local.
    unsafe { driver.device(&mut device, ordinal as i32)? };
    Ok(device)
}

fn attribute(driver: &Driver, device: i32, number: i32) -> Result<i32> {
    let mut value = 0;
    // SAFETY: a pointer to a local.
    unsafe { driver.device_attribute(&mut value, number, device)? };
    Ok(value)
}

impl Gpu {
    /// Opens GPU `ordinal`.
    pub fn open(ordinal: u32) -> Result<Self> {
        let driver = driver()?;
        let description = describe(ordinal)?;
        if description.capability < LEAST {
            let ((major, minor), name) = (description.capability, &description.name);
            let message = format!(
                "device \"cuda:{ordinal}\" ({name}) has compute capability {major}.{minor}; expected 8.0 or higher"
            );
            return Err(Error::new(WEFT_ERROR_UNAVAILABLE, message));
        }
        let (device, mut context) = (find(driver, ordinal)?, null_mut());
        // SAFETY: a device of the driver's, a pointer to a local; released in drop.
        unsafe { driver.primary_retain(&mut context, device)? };
        Ok(Self { driver, device, context, description })
    }

    /// The driver.
    pub fn driver(&self) -> &'static Driver {
        self.driver
    }

    /// The device of the driver's.
    pub fn ordinal(&self) -> i32 {
        self.device
    }

    /// Runs `body` with this GPU's context current, and brings the caller's back whatever happens.
    pub fn with<R>(&self, body: impl FnOnce(&'static Driver) -> Result<R>) -> Result<R> {
        struct Pop(&'static Driver);
        impl Drop for Pop {
            fn drop(&mut self) {
                let mut context = null_mut();
                // SAFETY: a pointer to a local. What was pushed below is popped here.
                let _ = unsafe { self.0.context_pop(&mut context) };
            }
        }
        // SAFETY: the context lives as long as `self`.
        unsafe { self.driver.context_push(self.context)? };
        let _pop = Pop(self.driver);
        body(self.driver)
    }

    /// An error unless a launch of this shape is within what every CUDA device takes.
    pub fn check_launch(&self, grid: [u32; 3], block: [u32; 3]) -> Result<()> {
        let threads = block.iter().map(|&side| u64::from(side)).product::<u64>();
        ensure!((1..=1024).contains(&threads), "block is {block:?}; expected 1 to 1024 threads");
        let fits = grid[0] >= 1
            && grid[0] < 1 << 31
            && (1..65536).contains(&grid[1])
            && (1..65536).contains(&grid[2]);
        ensure!(fits, "grid is {grid:?}; expected 1 to 2147483647 by 1 to 65535 by 1 to 65535 blocks");
        Ok(())
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        // SAFETY: retained in `open`, and not used any more.
        let _ = unsafe { self.driver.primary_release(self.device) };
    }
}
