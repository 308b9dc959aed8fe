//! Kernels: PTX that the driver compiles, and its functions.

use super::gpu::Gpu;
use super::store::{Key, Store};
use super::stream::Stream;
use super::{cache, link};
use crate::status::{Error, Result, WEFT_ERROR_INVALID_ARGUMENT};
use crate::{fail, tell};
use cudarc::driver::sys::{CUfunction, CUmodule};
use std::ffi::{CStr, CString, c_void};
use std::ptr::null_mut;
use std::sync::Arc;
use std::time::Instant;

/// CU_JIT_INFO_LOG_BUFFER and its size, CU_JIT_ERROR_LOG_BUFFER and its size.
const ERROR_LOG: i32 = 5;
const ERROR_LOG_SIZE: i32 = 6;
const LOG: usize = 8192;
/// The most bytes of a log that are asked for.
const LONGEST_LOG: usize = 1 << 20;
/// The driver's codes that speak of the text: no image, none for this GPU, bad PTX, too new PTX, bad source, a symbol that
/// is not there.
const OF_THE_TEXT: [i64; 6] = [200, 209, 218, 222, 300, 302];
/// CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK and _SHARED_SIZE_BYTES, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN.
const MAX_THREADS: i32 = 0;
const OWN_SHARED: i32 = 1;
/// CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET and _REQUIRED_CLUSTER_WIDTH, which _HEIGHT and _DEPTH follow.
const CLUSTER_MUST_BE_SET: i32 = 10;
const CLUSTER_WIDTH: i32 = 11;
const DEVICE_SHARED: i32 = 97;
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
        Self::compile_telling(gpu, ptx, &mut vec![0; LOG])
    }

    /// As [`compile`](Self::compile), or from the cache of what was compiled before; `name` is for the log.
    pub fn kept(gpu: Arc<Gpu>, name: &str, ptx: &str) -> Result<Arc<Self>> {
        let (start, device) = (Instant::now(), gpu.ordinal());
        let store = cache::store().filter(|_| !moves_registers(ptx));
        let store = store.map(|store| (store, cache::key(&gpu, ptx)));
        if let Some(module) = store.as_ref().and_then(|(store, key)| Self::find(&gpu, store, key)) {
            tell!(
                WEFT_LOG_DEBUG,
                "kernel {name:?} taken from the cache for \"cuda:{device}\" in {:.1?}",
                start.elapsed()
            );
            return Ok(module);
        }
        let made = store.and_then(|(store, key)| Self::make(&gpu, store, &key, ptx));
        let kept = if made.is_some() { "kept in the cache" } else { "not kept" };
        let module = made.map_or_else(|| Self::compile(gpu, ptx), Ok)?;
        tell!(
            WEFT_LOG_INFO,
            "kernel {name:?} compiled for \"cuda:{device}\" in {:.1?}, {kept}",
            start.elapsed()
        );
        Ok(module)
    }

    /// What the cache has; an entry that the driver refuses is removed.
    fn find(gpu: &Arc<Gpu>, store: &Store, key: &Key) -> Option<Arc<Self>> {
        let module = Self::of_cubin(gpu, &store.get(key)?);
        if let Err(error) = &module {
            tell!(WEFT_LOG_DEBUG, "an entry of the cache is of no use: {error}");
            store.remove(key);
        }
        module.ok()
    }

    /// Compiles for the cache. Whatever goes wrong: the text can still be compiled without.
    fn make(gpu: &Arc<Gpu>, store: &Store, key: &Key, ptx: &str) -> Option<Arc<Self>> {
        let cubin = CString::new(ptx).ok().map(|text| link::cubin(gpu, &text))?;
        let made = cubin.and_then(|cubin| Ok((Self::of_cubin(gpu, &cubin)?, cubin)));
        let (module, cubin) = made.inspect_err(|error| tell!(WEFT_LOG_DEBUG, "not linked: {error}")).ok()?;
        if let Err(error) = store.put(key, &cubin) {
            tell!(WEFT_LOG_DEBUG, "a compiled kernel is not kept: {error}");
        }
        Some(module)
    }

    /// Loads a whole cubin. A refusal does not count as the device's failure.
    fn of_cubin(gpu: &Arc<Gpu>, cubin: &[u8]) -> Result<Arc<Self>> {
        let mut module = null_mut();
        gpu.with(|driver| {
            // SAFETY: a cubin as the driver's linker made it, whole: the store has checked its digest; no options.
            Ok(unsafe { driver.module_load(&mut module, cubin.as_ptr().cast(), 0, null_mut(), null_mut()) })
        })??;
        Ok(Arc::new(Self { gpu: gpu.clone(), module }))
    }

    /// As [`compile`](Self::compile); the compiler's log goes to `log`, zero-terminated and cut.
    pub fn compile_telling(gpu: Arc<Gpu>, ptx: &str, log: &mut Vec<u8>) -> Result<Arc<Self>> {
        let Ok(text) = CString::new(ptx) else {
            fail!(WEFT_ERROR_INVALID_ARGUMENT, "the PTX holds a zero byte")
        };
        let room = log.capacity().clamp(LOG, LONGEST_LOG);
        log.try_reserve_exact(room - log.len().min(room)).map_err(|_| Error::out_of_memory(room))?;
        log.clear();
        log.resize(room, 0);
        // SAFETY: PTX that ends in a zero byte.
        match unsafe { Self::load(&gpu, text.as_ptr().cast(), log) } {
            Ok(module) => Ok(Arc::new(Self { gpu, module })),
            Err(error) => Err(explain(error, log)),
        }
    }

    /// Loads an image; what the compiler has to say against it goes to `log`.
    ///
    /// # Safety
    ///
    /// `image` is PTX that ends in a zero byte, or a whole cubin.
    unsafe fn load(gpu: &Gpu, image: *const c_void, log: &mut [u8]) -> Result<CUmodule> {
        let mut keys = [ERROR_LOG, ERROR_LOG_SIZE];
        // One byte less, so that the log ends in a zero whatever is written.
        let mut values = [log.as_mut_ptr().cast::<c_void>(), log.len().saturating_sub(1) as *mut c_void];
        let (count, mut module) = (keys.len() as u32, null_mut());
        gpu.with(|driver| {
            // SAFETY: an image by the contract; two options, whose values are a buffer and its size, as cuda.h asks.
            unsafe { driver.module_load(&mut module, image, count, keys.as_mut_ptr(), values.as_mut_ptr()) }
        })?;
        Ok(module)
    }

    /// A function of the module.
    pub fn function(self: &Arc<Self>, name: &CStr) -> Result<Function> {
        let mut function = null_mut();
        self.gpu.with(|driver| {
            // SAFETY: a module that lives, a C string, a pointer to a local.
            unsafe { driver.module_function(&mut function, self.module, name.as_ptr()) }
        })?;
        Ok(Function { module: self.clone(), function })
    }
}

/// Whether warps give registers to each other. The driver's linker compiles for linking, where each warp has as many as all
/// have at first, so that large accumulators end up in memory. Such kernels are compiled alone: the driver keeps them itself.
fn moves_registers(ptx: &str) -> bool {
    ptx.contains("setmaxnreg")
}

/// The driver's error with the compiler's own words.
fn explain(error: Error, log: &[u8]) -> Error {
    let log = CStr::from_bytes_until_nul(log).map(CStr::to_string_lossy).unwrap_or_default();
    let (log, native) = (log.trim(), error.native);
    let status = if log.is_empty() && !OF_THE_TEXT.contains(&native) {
        error.status
    } else {
        WEFT_ERROR_INVALID_ARGUMENT
    };
    let message = if log.is_empty() { error.message } else { format!("{}: {log}", error.message) };
    Error { status, message, native }
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

/// What a launch of a function can have.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Threads of a block.
    pub threads: u32,
    /// Bytes of dynamic shared memory.
    pub shared: u32,
    /// Blocks of a cluster along each axis, of which a grid has a whole number; `None` where each launch would have to say.
    pub cluster: Option<[u32; 3]>,
}

impl Function {
    /// Bytes of each of its parameters; `None` where the driver is too old to tell.
    pub fn parameters(&self) -> Result<Option<Vec<usize>>> {
        // SAFETY: a function of a module that lives.
        self.module.gpu.with(|driver| unsafe { driver.parameters(self.function).transpose() })
    }

    /// How far its launches can go.
    pub fn limits(&self) -> Result<Limits> {
        let [threads, own] = [self.attribute(MAX_THREADS)?, self.attribute(OWN_SHARED)?];
        let gpu = &self.module.gpu;
        let mut device = 0;
        // SAFETY: a pointer to a local; a device of the driver's.
        gpu.with(|driver| unsafe { driver.device_attribute(&mut device, DEVICE_SHARED, gpu.ordinal()) })?;
        let shared = device.cast_unsigned().saturating_sub(own);
        let mut cluster = [0; 3];
        for (side, attribute) in cluster.iter_mut().zip(CLUSTER_WIDTH..) {
            *side = self.attribute(attribute)?;
        }
        let open = cluster[0] == 0 && self.attribute(CLUSTER_MUST_BE_SET)? != 0;
        Ok(Limits { threads, shared, cluster: (!open).then(|| cluster.map(|side| side.max(1))) })
    }

    fn attribute(&self, number: i32) -> Result<u32> {
        let mut value = 0;
        self.module.gpu.with(|driver| {
            // SAFETY: a pointer to a local; a function of a module that lives.
            unsafe { driver.function_attribute(&mut value, number, self.function) }
        })?;
        Ok(value.max(0).cast_unsigned())
    }

    /// Lets launches have so many bytes of dynamic shared memory: more than 48 KiB with the function's own is asked for.
    pub fn allow_shared(&self, bytes: u32) -> Result<()> {
        // SAFETY: a function of a module that lives.
        self.module.gpu.with(|driver| unsafe {
            driver.function_set(self.function, MAX_DYNAMIC_SHARED, bytes.cast_signed())
        })
    }

    /// Queues a launch. `arguments` are the addresses of the kernel's parameters, in order.
    ///
    /// # Safety
    ///
    /// The parameters are those of the kernel, by number and type, and what they point to is valid while it runs.
    pub unsafe fn launch(&self, stream: &Stream, shape: Shape, arguments: &mut [*mut c_void]) -> Result<()> {
        self.module.gpu.check_launch(shape.grid, shape.block)?;
        stream.touch()?;
        if shape.shared > STATIC_SHARED {
            self.allow_shared(shape.shared)?;
        }
        let ([x, y, z], [bx, by, bz]) = (shape.grid, shape.block);
        self.module.gpu.with(|driver| {
            // SAFETY: a function and a stream that live; the parameters are the caller's promise.
            unsafe {
                let parameters = arguments.as_mut_ptr();
                let raw = stream.raw();
                driver.launch(self.function, x, y, z, bx, by, bz, shape.shared, raw, parameters, null_mut())
            }
        })
    }
}
