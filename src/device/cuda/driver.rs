//! The CUDA driver: its functions, looked up once, and its answers. Codes are kept as the numbers they are, for a driver
//! may be newer than this list.

use super::graph;
use super::leave::guard_the_end;
use super::library::Library;
use super::tensor::{Map, Tensor};
use crate::status::{
    Error, Result, WEFT_ERROR_DEVICE_LOST, WEFT_ERROR_OUT_OF_DEVICE_MEMORY, WEFT_ERROR_UNAVAILABLE,
};
use cudarc::driver::sys::{
    CUcontext, CUdeviceptr, CUevent, CUfunction, CUmemPoolProps, CUmemoryPool, CUmodule, CUstream,
};
use once_cell::sync::OnceCell;
use std::ffi::{CStr, c_char, c_void};

/// The oldest driver that has everything used here: CUDA 12.0.
const OLDEST: i32 = 12000;

macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident = $symbol:literal ($($argument:ident: $type:ty),* $(,)?);)+) => {
        /// The driver's functions.
        struct Functions {
            $($name: unsafe extern "C" fn($($type),*) -> i32,)+
        }

        impl Functions {
            fn find(library: &Library) -> std::result::Result<Self, String> {
                // SAFETY: the signatures are those of cuda.h, which the names with their version suffixes fix.
                unsafe {
                    Ok(Self {
                        $($name: library.function($symbol).ok_or_else(|| missing($symbol))?,)+
                    })
                }
            }
        }

        impl Driver {
            $(
                $(#[$doc])*
                ///
                /// # Safety
                ///
                /// As the CUDA Driver API's reference says of this function.
                #[allow(clippy::too_many_arguments)] // as many as the driver's
                pub unsafe fn $name(&self, $($argument: $type),*) -> Result<()> {
                    // SAFETY: this function's contract.
                    self.answer($symbol, unsafe { (self.functions.$name)($($argument),*) })
                }
            )+
        }
    };
}

functions! {
    /// Starts the driver.
    init = c"cuInit"(flags: u32);
    /// The CUDA version of the driver.
    version = c"cuDriverGetVersion"(version: *mut i32);
    /// How many devices there are.
    device_count = c"cuDeviceGetCount"(count: *mut i32);
    /// The device of a number.
    device = c"cuDeviceGet"(device: *mut i32, ordinal: i32);
    /// A device's name.
    device_name = c"cuDeviceGetName"(name: *mut c_char, length: i32, device: i32);
    /// A device's memory.
    device_memory = c"cuDeviceTotalMem_v2"(bytes: *mut usize, device: i32);
    /// One number about a device.
    device_attribute = c"cuDeviceGetAttribute"(value: *mut i32, attribute: i32, device: i32);
    /// The context that a device shares with the process's other users of it.
    primary_retain = c"cuDevicePrimaryCtxRetain"(context: *mut CUcontext, device: i32);
    /// Makes a context this thread's current one.
    context_push = c"cuCtxPushCurrent_v2"(context: CUcontext);
    /// Brings the one before back.
    context_pop = c"cuCtxPopCurrent_v2"(context: *mut CUcontext);
    /// A new stream.
    stream_create = c"cuStreamCreateWithPriority"(stream: *mut CUstream, flags: u32, priority: i32);
    /// Ends a stream.
    stream_destroy = c"cuStreamDestroy_v2"(stream: CUstream);
    /// Waits for a stream.
    stream_synchronize = c"cuStreamSynchronize"(stream: CUstream);
    /// Whether a stream's work is done.
    stream_query = c"cuStreamQuery"(stream: CUstream);
    /// Makes a stream wait for an event.
    stream_wait = c"cuStreamWaitEvent"(stream: CUstream, event: CUevent, flags: u32);
    /// A new event.
    event_create = c"cuEventCreate"(event: *mut CUevent, flags: u32);
    /// Ends an event.
    event_destroy = c"cuEventDestroy_v2"(event: CUevent);
    /// Puts an event behind a stream's work.
    event_record = c"cuEventRecord"(event: CUevent, stream: CUstream);
    /// Milliseconds between two events that are over.
    event_elapsed = c"cuEventElapsedTime"(milliseconds: *mut f32, start: CUevent, end: CUevent);
    /// One thing about an address.
    pointer_attribute = c"cuPointerGetAttribute"(value: *mut c_void, attribute: i32, at: CUdeviceptr);
    /// Writes a number to memory when a stream gets there.
    stream_write32 = c"cuStreamWriteValue32_v2"(stream: CUstream, at: CUdeviceptr, value: u32, flags: u32);
    /// A new pool of memory.
    pool_create = c"cuMemPoolCreate"(pool: *mut CUmemoryPool, properties: *const CUmemPoolProps);
    /// Ends a pool.
    pool_destroy = c"cuMemPoolDestroy"(pool: CUmemoryPool);
    /// Sets an attribute of a pool.
    pool_set = c"cuMemPoolSetAttribute"(pool: CUmemoryPool, attribute: u32, value: *mut c_void);
    /// Gives a pool's free memory back.
    pool_trim = c"cuMemPoolTrimTo"(pool: CUmemoryPool, keep: usize);
    /// Memory from a pool, in a stream's order.
    allocate = c"cuMemAllocFromPoolAsync"(at: *mut CUdeviceptr, bytes: usize, pool: CUmemoryPool, stream: CUstream);
    /// Gives it back, in a stream's order.
    free = c"cuMemFreeAsync"(at: CUdeviceptr, stream: CUstream);
    /// Pins memory of the host, and lets the device reach it.
    host_register = c"cuMemHostRegister_v2"(at: *mut c_void, bytes: usize, flags: u32);
    /// Ends that.
    host_unregister = c"cuMemHostUnregister"(at: *mut c_void);
    /// The device's address of such memory.
    host_address = c"cuMemHostGetDevicePointer_v2"(device: *mut CUdeviceptr, host: *mut c_void, flags: u32);
    /// Copies to the device.
    copy_to_device = c"cuMemcpyHtoDAsync_v2"(to: CUdeviceptr, from: *const c_void, bytes: usize, stream: CUstream);
    /// Copies to the host.
    copy_to_host = c"cuMemcpyDtoHAsync_v2"(to: *mut c_void, from: CUdeviceptr, bytes: usize, stream: CUstream);
    /// Copies on the device.
    copy = c"cuMemcpyDtoDAsync_v2"(to: CUdeviceptr, from: CUdeviceptr, bytes: usize, stream: CUstream);
    /// Fills with bytes.
    fill = c"cuMemsetD8Async"(at: CUdeviceptr, value: u8, count: usize, stream: CUstream);
    /// Fills with pairs of bytes.
    fill16 = c"cuMemsetD16Async"(at: CUdeviceptr, value: u16, count: usize, stream: CUstream);
    /// Fills with fours of bytes.
    fill32 = c"cuMemsetD32Async"(at: CUdeviceptr, value: u32, count: usize, stream: CUstream);
    /// Compiles and loads PTX, or loads a cubin.
    module_load = c"cuModuleLoadDataEx"(
        module: *mut CUmodule, image: *const c_void, options: u32, keys: *mut i32, values: *mut *mut c_void);
    /// A linker of the driver's.
    link_create = c"cuLinkCreate_v2"(
        options: u32, keys: *mut i32, values: *mut *mut c_void, state: *mut *mut c_void);
    /// Compiles PTX, or takes a cubin, into it.
    link_add = c"cuLinkAddData_v2"(
        state: *mut c_void, kind: i32, data: *mut c_void, size: usize, name: *const c_char, options: u32,
        keys: *mut i32, values: *mut *mut c_void);
    /// Its cubin, which lives as long as it.
    link_complete = c"cuLinkComplete"(state: *mut c_void, image: *mut *mut c_void, size: *mut usize);
    /// Ends it.
    link_destroy = c"cuLinkDestroy"(state: *mut c_void);
    /// Unloads a module.
    module_unload = c"cuModuleUnload"(module: CUmodule);
    /// A module's function.
    module_function = c"cuModuleGetFunction"(function: *mut CUfunction, module: CUmodule, name: *const c_char);
    /// One number about a function.
    function_attribute = c"cuFuncGetAttribute"(value: *mut i32, attribute: i32, function: CUfunction);
    /// Sets an attribute of a function.
    function_set = c"cuFuncSetAttribute"(function: CUfunction, attribute: i32, value: i32);
    /// Launches a function.
    launch = c"cuLaunchKernel"(
        function: CUfunction, grid_x: u32, grid_y: u32, grid_z: u32, block_x: u32, block_y: u32, block_z: u32,
        shared: u32, stream: CUstream, parameters: *mut *mut c_void, extra: *mut *mut c_void);
}

/// cuFuncGetParamInfo.
type ParameterInfo = unsafe extern "C" fn(CUfunction, usize, *mut usize, *mut usize) -> i32;

/// cuTensorMapEncodeTiled.
type EncodeTiled = unsafe extern "C" fn(
    *mut c_void,
    i32,
    u32,
    *mut c_void,
    *const u64,
    *const u64,
    *const u32,
    *const u32,
    i32,
    i32,
    i32,
    i32,
) -> i32;

/// The driver of this machine.
pub struct Driver {
    functions: Functions,
    error_name: Option<unsafe extern "C" fn(i32, *mut *const c_char) -> i32>,
    /// Where a function's parameter of a number lies and how many bytes it has; a driver of CUDA 12.4 has it.
    parameter_info: Option<ParameterInfo>,
    /// Describes a tensor to the tensor memory accelerator.
    encode_tiled: Option<EncodeTiled>,
    graphs: Option<graph::Functions>,
    /// Whether a stream's work becomes a graph instead of being done.
    capturing: Option<unsafe extern "C" fn(CUstream, *mut i32) -> i32>,
    /// Where its library was found.
    pub path: String,
    /// 1000 times the major plus 10 times the minor CUDA version.
    pub cuda: i32,
}

/// The driver, started at the first call; else why there is none, which is the same for the life of the process. A driver
/// that was started does not work in a fork's child.
pub fn driver() -> Result<&'static Driver> {
    static DRIVER: OnceCell<(u32, Result<Driver>)> = OnceCell::new();
    let (process, driver) = DRIVER.get_or_init(|| (std::process::id(), start()));
    if driver.is_ok() && *process != std::process::id() {
        let message = "the CUDA driver was started before this process was forked, and works in the parent alone; open GPUs \
                       there or after exec, or open \"cpu\"";
        return Err(unavailable(message.into()));
    }
    driver.as_ref().map_err(Clone::clone)
}

fn start() -> Result<Driver> {
    let library = Library::open(&["libcuda.so.1"]).map_err(|reason| {
        unavailable(format!("there is no CUDA driver ({reason}); install NVIDIA's driver, or open \"cpu\""))
    })?;
    let functions = Functions::find(&library).map_err(|reason| {
        unavailable(format!("{} is not a usable CUDA driver: {reason}; update NVIDIA's driver", library.path))
    })?;
    // SAFETY: the signature of cuGetErrorName in cuda.h.
    let error_name = unsafe { library.function(c"cuGetErrorName") };
    // SAFETY: the signature of cuFuncGetParamInfo in cuda.h.
    let parameter_info = unsafe { library.function(c"cuFuncGetParamInfo") };
    // SAFETY: the signature of cuTensorMapEncodeTiled in cuda.h.
    let encode_tiled = unsafe { library.function(c"cuTensorMapEncodeTiled") };
    // SAFETY: the signature of cuStreamIsCapturing in cuda.h.
    let capturing = unsafe { library.function(c"cuStreamIsCapturing") };
    let graphs = graph::Functions::find(&library);
    let path = library.path;
    let mut driver =
        Driver { functions, error_name, parameter_info, encode_tiled, graphs, capturing, path, cuda: 0 };
    driver.begin().map_err(|error| {
        unavailable(format!("{}: {}{}", driver.path, error.message, remedy(error.native)))
    })?;
    Ok(driver)
}

/// What to do about a driver that answers so; one that is too old was told.
fn remedy(code: i64) -> String {
    match code {
        0 => String::new(),
        // CUDA_ERROR_NO_DEVICE.
        100 => format!("{}; see what nvidia-smi shows, or open \"cpu\"", hidden()),
        _ => "; see what nvidia-smi says, restart or update NVIDIA's driver, or open \"cpu\"".into(),
    }
}

/// The user's own word on which devices the driver shows, if there is one.
pub fn hidden() -> String {
    let shown = std::env::var_os("CUDA_VISIBLE_DEVICES");
    shown.map_or(String::new(), |shown| format!(" (CUDA_VISIBLE_DEVICES is {shown:?})"))
}

fn unavailable(message: String) -> Error {
    Error::new(WEFT_ERROR_UNAVAILABLE, message)
}

fn missing(symbol: &CStr) -> String {
    format!("it has no {}", symbol.to_string_lossy())
}

impl Driver {
    fn begin(&mut self) -> Result<()> {
        let mut version = 0;
        // SAFETY: a pointer to a local; the driver may be started more than once.
        unsafe {
            self.version(&mut version)?;
            if version < OLDEST {
                let message = format!(
                    "the CUDA driver is of version {}.{}; expected 12.0 or newer: update NVIDIA's driver",
                    version / 1000,
                    version % 1000 / 10
                );
                return Err(unavailable(message));
            }
            self.init(0)?;
        }
        guard_the_end();
        self.cuda = version;
        Ok(())
    }

    /// Bytes of each parameter of a function; `None` where the driver is too old to tell.
    ///
    /// # Safety
    ///
    /// `function` is a function of a module that lives.
    pub unsafe fn parameters(&self, function: CUfunction) -> Option<Result<Vec<usize>>> {
        let info = self.parameter_info?;
        let mut sizes = Vec::new();
        loop {
            let (mut offset, mut size) = (0, 0);
            // SAFETY: this function's contract; pointers to locals.
            match unsafe { info(function, sizes.len(), &mut offset, &mut size) } {
                0 => sizes.push(size),
                // CUDA_ERROR_INVALID_VALUE: there is none of this number.
                1 => return Some(Ok(sizes)),
                code => return Some(Err(self.error(c"cuFuncGetParamInfo", code))),
            }
        }
    }

    /// Whether a stream is being captured, as far as the driver tells.
    ///
    /// # Safety
    ///
    /// `stream` is a stream that lives.
    pub unsafe fn is_capturing(&self, stream: CUstream) -> bool {
        let mut status = 0;
        // SAFETY: this function's contract; a pointer to a local.
        self.capturing.is_some_and(|ask| unsafe { ask(stream, &mut status) } == 0 && status != 0)
    }

    /// Describes a tensor to the tensor memory accelerator. The address is not looked at.
    pub fn encode(&self, tensor: &Tensor) -> Result<[u8; 128]> {
        let missing = || unavailable("the CUDA driver has no cuTensorMapEncodeTiled".into());
        let encode = self.encode_tiled.ok_or_else(missing)?;
        let (rank, [none, wide, ahead]) = (tensor.dims.len() as u32, Tensor::MODES);
        let (mut map, one, kind) = (Map([0; 128]), [1; 3], tensor.kind());
        let [dims, strides] = [tensor.dims.as_ptr(), tensor.strides.as_ptr()];
        let (cut, at) = (tensor.cut.as_ptr(), tensor.at as *mut c_void);
        let to = (&raw mut map).cast();
        // SAFETY: 128 bytes aligned to 64 to write to; arrays of `rank` numbers, one less of strides, to read.
        let code =
            unsafe { encode(to, kind, rank, at, dims, strides, cut, one.as_ptr(), none, wide, ahead, none) };
        self.answer(c"cuTensorMapEncodeTiled", code)?;
        Ok(map.0)
    }

    /// Its functions for graphs, if it has them.
    pub(super) fn graphs(&self) -> Option<&graph::Functions> {
        self.graphs.as_ref()
    }

    pub(super) fn answer(&self, function: &CStr, code: i32) -> Result<()> {
        if code == 0 { Ok(()) } else { Err(self.error(function, code)) }
    }

    fn error(&self, function: &CStr, code: i32) -> Error {
        let (function, name) = (function.to_string_lossy(), self.name(code));
        Error {
            native: i64::from(code),
            ..Error::new(status(code), format!("{function} answered {name} ({code})"))
        }
    }

    /// The driver's name of a code.
    fn name(&self, code: i32) -> String {
        let mut text = std::ptr::null();
        let found = self.error_name.is_some_and(|name| {
            // SAFETY: a pointer to a local, which becomes null or a static string of the driver's.
            unsafe { name(code, &mut text) == 0 && !text.is_null() }
        });
        if found {
            // SAFETY: not null, and it ends in a zero byte.
            unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
        } else {
            "an unknown code".into()
        }
    }
}

/// The status for a code of the driver's. Those that end a device for good are listed; what is unknown may be one.
fn status(code: i32) -> i32 {
    match code {
        2 => WEFT_ERROR_OUT_OF_DEVICE_MEMORY,
        // Not initialised, no device, insufficient driver, no compiler of PTX, not supported, not permitted, stubs and the like.
        // Also what is not permitted while somebody in the process captures a graph.
        3 | 34 | 46 | 100 | 101 | 221 | 223 | 801..=803 | 900..=911 => WEFT_ERROR_UNAVAILABLE,
        // Arguments, images, symbols and launches that do not fit: the device goes on.
        1
        | 98
        | 200
        | 201
        | 209
        | 218
        | 222
        | 224
        | 225
        | 300..=303
        | 400
        | 401
        | 500
        | 600
        | 701
        | 720
        | 912
        | 913 => crate::status::WEFT_ERROR_INTERNAL,
        _ => WEFT_ERROR_DEVICE_LOST,
    }
}
