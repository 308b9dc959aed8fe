//! Kernels: PTX that the driver compiles, and its functions.

use super::gpu::Gpu;
use super::stream::Stream;
use crate::fail;
use crate::status::{Error, Result, WEFT_ERROR_INVALID_ARGUMENT};
use cudarc::driver::sys::{CUfunction, CUmodule};
use std::ffi::{CStr, CString, c_void};
use std::ptr::null_mut;
use std::sync::Arc;

/// CU_JIT_INFO_LOG_BUFFER and its size, CU_JIT_ERROR_LOG_BUFFER and its size.
const ERROR_LOG: i32 = 5;
const ERROR_LOG_SIZE: i32 = 6;
const LOG: usize = 8192;
/// CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES; below this many bytes it need not be set.
const MAX_DYNAMIC_SHARED: i32 = 8;
const STATIC_SHARED: u32 = 48 << 10;

/// Compiled kernels of one GPU.
pub struct Module {
    gpu: Arc<Gpu>,
    module: CUmodule,
}

// SAFETY: the driver's functions take a module from any thread.
unsafe impl Send for Module {}
// SAFETY: as above.
unsafe impl Sync for Module {}

/// How a function is launched.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Blocks.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub block: [u32; 3],
    /// Bytes of dynamic shared memory.
    pub shared: u32,
}

impl Module {
    /// Compiles PTX text. A refusal carries the compiler's log.
    pub fn compile(gpu: Arc<Gpu>, ptx: &str) -> Result<Arc<Self>> {
        let Ok(text) = CString::new(ptx) else {
            fail!(WEFT_ERROR_INVALID_ARGUMENT, "the PTX holds a zero byte")
        };
        let mut log = [0u8; LOG];
        let mut keys = [ERROR_LOG, ERROR_LOG_SIZE];
        let mut values = [log.as_mut_ptr().cast::<c_void>(), LOG as *mut c_void];
        let mut module = null_mut();
        let loaded = gpu.with(|driver| {
            // SAFETY: PTX that ends in a zero byte; two options, whose values are a buffer and its size, as cuda.h asks.
            unsafe {
                driver.module_load(
                    &mut module,
                    text.as_ptr().cast(),
                    keys.len() as u32,
                    keys.as_mut_ptr(),
                    values.as_mut_ptr(),
                )
            }
        });
        match loaded {
            Ok(()) => Ok(Arc::new(Self { gpu, module })),
            Err(error) => Err(explain(error, &log)),
        }
    }

    /// A function of the module.
    pub fn function(self: &Arc<Self>, name: &CStr) -> Result<Function> {
        let mut function = null_mut();
        // SAFETY: a module that lives, a C string, a pointer to a local.
        self.gpu
            .with(|driver| unsafe { driver.module_function(&mut function, self.module, name.as_ptr()) })?;
        Ok(Function { module: self.clone(), function })
    }
}

/// The driver's error with the compiler's own words.
fn explain(error: Error, log: &[u8]) -> Error {
    let log = CStr::from_bytes_until_nul(log).map(CStr::to_string_lossy).unwrap_or_default();
    match log.trim() {
        "" => error,
        log => Error::new(WEFT_ERROR_INVALID_ARGUMENT, format!("{}: {log}", error.message)),
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // SAFETY: loaded in `compile`; its functions hold it, so none is left.
        let _ = self.gpu.with(|driver| unsafe { driver.module_unload(self.module) });
    }
}

/// A kernel, ready to launch.
pub struct Function {
    module: Arc<Module>,
    function: CUfunction,
}

// SAFETY: the driver's functions take a function from any thread.
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Sync for Function {}

impl Function {
    /// Queues a launch. `arguments` are the addresses of the kernel's parameters, in order.
    ///
    /// # Safety
    ///
    /// The parameters are those of the kernel, by number and type, and what they point to is valid while it runs.
    pub unsafe fn launch(&self, stream: &Stream, shape: Shape, arguments: &mut [*mut c_void]) -> Result<()> {
        self.module.gpu.check_launch(shape.grid, shape.block)?;
        let ([x, y, z], [bx, by, bz]) = (shape.grid, shape.block);
        self.module.gpu.with(|driver| {
            // SAFETY: a function and a stream that live; the parameters are the caller's promise.
            unsafe {
                if shape.shared > STATIC_SHARED {
                    driver.function_set(self.function, MAX_DYNAMIC_SHARED, shape.shared as i32)?;
                }
                let parameters = arguments.as_mut_ptr();
                let raw = stream.raw();
                driver.launch(self.function, x, y, z, bx, by, bz, shape.shared, raw, parameters, null_mut())
            }
        })
    }
}
