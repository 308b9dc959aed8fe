//! One GPU: what it is, its shared context, and the guard that makes it current. A GPU that was opened stays so for the life
//! of the process, with its kernels: a fault would end it for the whole process, too.

use super::driver::{Driver, driver, hidden};
use super::kernel::Kernels;
use super::leave;
use super::memory::new_pool;
use crate::status::{Error, Result, WEFT_ERROR_DEVICE_LOST, WEFT_ERROR_UNAVAILABLE};
use crate::{ensure, tell};
use cudarc::driver::sys::{CUcontext, CUmemoryPool};
use once_cell::sync::OnceCell;
use parking_lot::Mutex;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char};
use std::ptr::null_mut;
use std::sync::Arc;

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

/// The GPUs that were opened, by number.
static OPEN: Mutex<BTreeMap<u32, Arc<Gpu>>> = Mutex::new(BTreeMap::new());

/// A GPU in use. Holds the device's primary context, which it shares with all of the process's users of CUDA.
pub struct Gpu {
    driver: &'static Driver,
    device: i32,
    context: CUcontext,
    pool: CUmemoryPool,
    kernels: Kernels,
    /// The first error that ended the device for this process.
    lost: OnceCell<Error>,
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
        let message = format!(
            "device \"cuda:{ordinal}\" is not there: the CUDA driver knows {count} devices{}",
            hidden()
        );
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

thread_local! {
    /// The context that is always current on this thread, 0 on the caller's threads.
    static HOME: Cell<usize> = const { Cell::new(0) };
}

fn at_home(context: CUcontext) -> bool {
    HOME.get() == context as usize
}

impl Gpu {
    /// GPU `ordinal`, opened if it is not.
    pub fn open(ordinal: u32) -> Result<Arc<Self>> {
        let mut open = OPEN.lock();
        if let Some(gpu) = open.get(&ordinal) {
            return Ok(gpu.clone());
        }
        let gpu = Arc::new(Self::start(ordinal)?);
        open.insert(ordinal, gpu.clone());
        Ok(gpu)
    }

    fn start(ordinal: u32) -> Result<Self> {
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
        let pool = new_pool(driver, device)?;
        // SAFETY: a device of the driver's, a pointer to a local. Kept for good, as is the pool from there on.
        unsafe {
            let retained = driver.primary_retain(&mut context, device);
            retained.inspect_err(|_| drop(driver.pool_destroy(pool)))?;
        }
        Ok(Self {
            driver,
            device,
            context,
            pool,
            kernels: Kernels::default(),
            lost: OnceCell::new(),
            description,
        })
    }

    /// The driver.
    pub fn driver(&self) -> &'static Driver {
        self.driver
    }

    /// Its memory.
    pub(super) fn pool(&self) -> CUmemoryPool {
        self.pool
    }

    /// Its compiled kernels.
    pub fn kernels(&self) -> &Kernels {
        &self.kernels
    }

    /// The device of the driver's.
    pub fn ordinal(&self) -> i32 {
        self.device
    }

    /// Runs `body` with this GPU's context current, and brings the caller's back whatever happens. Once the device is lost
    /// the driver is not asked any more: the first error is the answer to everything.
    pub fn with<R>(&self, body: impl FnOnce(&'static Driver) -> Result<R>) -> Result<R> {
        if let Some(error) = self.lost.get() {
            return Err(error.clone());
        }
        self.ask(body).inspect_err(|error| self.note(error))
    }

    /// As [`with`](Self::with), for questions: an error is an answer and nothing more.
    pub fn ask<R>(&self, body: impl FnOnce(&'static Driver) -> Result<R>) -> Result<R> {
        let _inside = leave::enter()?;
        if at_home(self.context) { body(self.driver) } else { self.visit(body) }
    }

    /// Runs `body`, which asks the driver several times, with this GPU's context current all the while.
    pub fn stay<R>(&self, body: impl FnOnce() -> R) -> Result<R> {
        struct Back(usize);
        impl Drop for Back {
            fn drop(&mut self) {
                HOME.set(self.0);
            }
        }
        self.with(|_| {
            let _back = Back(HOME.replace(self.context as usize));
            Ok(body())
        })
    }

    fn visit<R>(&self, body: impl FnOnce(&'static Driver) -> Result<R>) -> Result<R> {
        struct Pop<'a>(&'a Gpu);
        impl Drop for Pop<'_> {
            fn drop(&mut self) {
                let mut context = null_mut();
                // SAFETY: a pointer to a local. What was pushed below is popped here.
                let popped = unsafe { self.0.driver.context_pop(&mut context) };
                let _ = popped.inspect_err(|error| self.0.note(error)); // nobody else hears of it
            }
        }
        // SAFETY: the context lives as long as `self`.
        unsafe { self.driver.context_push(self.context)? };
        let _pop = Pop(self);
        body(self.driver)
    }

    /// Makes the GPU's context the current one of this thread, a thread of the library's, for good.
    pub fn settle(&self) -> Result<()> {
        // SAFETY: the context lives as long as the process.
        unsafe { self.driver.context_push(self.context) }.inspect_err(|error| self.note(error))?;
        HOME.set(self.context as usize);
        Ok(())
    }

    /// Remembers the first error that ended the device.
    fn note(&self, error: &Error) {
        if error.status == WEFT_ERROR_DEVICE_LOST {
            self.lose(error.clone());
        }
    }

    /// The device cannot be used any more, for this reason.
    pub fn lose(&self, error: Error) {
        let first = self.lost.try_insert(Error { status: WEFT_ERROR_DEVICE_LOST, ..error });
        if let (Ok(error), false) = (first, leave::ending()) {
            tell!(WEFT_LOG_ERROR, "device \"cuda:{}\" is lost: {}", self.device, error.message);
        }
    }

    /// Why the device is lost, if it is.
    pub fn lost(&self) -> Option<&Error> {
        self.lost.get()
    }

    /// The first byte and the size of the allocation that `at` lies in, as far as the driver knows it.
    pub fn range_of(&self, at: u64) -> Option<(u64, u64)> {
        /// CU_POINTER_ATTRIBUTE_RANGE_START_ADDR and CU_POINTER_ATTRIBUTE_RANGE_SIZE.
        const START: i32 = 11;
        const SIZE: i32 = 12;
        let (mut start, mut size) = (0u64, 0u64);
        // SAFETY: both attributes are 64 bits; the address is only looked up.
        let asked = self.ask(|driver| unsafe {
            driver.pointer_attribute((&raw mut start).cast(), START, at)?;
            driver.pointer_attribute((&raw mut size).cast(), SIZE, at)
        });
        asked.ok().map(|()| (start, size))
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
