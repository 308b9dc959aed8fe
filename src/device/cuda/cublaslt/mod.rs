//! cuBLASLt, the vendor's matrix products: its functions, looked up once in the first library that has them all and is new
//! enough, and its answers. Codes are kept as the numbers they are.

mod blas;
mod codes;
mod plan;
mod product;
mod replay;

pub use blas::{Blas, Found, blas};
pub use product::{Addresses, Aux, Compute, Epilogue, Factors, Matrix, Product, Row, Scaling};

use super::driver::driver;
use super::leave::{enter_opening, guarded};
use super::library::Library;
use crate::status::{
    Error, Result, WEFT_ERROR_INTERNAL, WEFT_ERROR_OUT_OF_DEVICE_MEMORY, WEFT_ERROR_UNAVAILABLE,
    WEFT_ERROR_UNSUPPORTED,
};
use once_cell::sync::OnceCell;
use std::ffi::{CStr, c_char, c_void};

/// The oldest library that has what is used here: 12.0.
const OLDEST: usize = 12_00_00;

/// A handle, a description, a layout or a preference: all opaque.
type Opaque = *mut c_void;

/// `cublasLtMatmulAlgo_t`.
type Algorithm = [u64; 8];

/// `cublasLtMatmulHeuristicResult_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Heuristic {
    algorithm: Algorithm,
    workspace: usize,
    state: i32,
    waves: f32,
    reserved: [i32; 4],
}

macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident = $symbol:literal ($($argument:ident: $type:ty),* $(,)?);)+) => {
        struct Functions {
            $($name: unsafe extern "C" fn($($type),*) -> i32,)+
            version: unsafe extern "C" fn() -> usize,
        }

        impl Functions {
            fn find(library: &Library) -> std::result::Result<Self, String> {
                let missing = |symbol: &CStr| format!("it has no {}", symbol.to_string_lossy());
                // SAFETY: the signatures are those of cublasLt.h.
                unsafe {
                    Ok(Self {
                        $($name: library.function($symbol).ok_or_else(|| missing($symbol))?,)+
                        version: library
                            .function(c"cublasLtGetVersion")
                            .ok_or_else(|| missing(c"cublasLtGetVersion"))?,
                    })
                }
            }
        }

        impl Lt {
            $(
                $(#[$doc])*
                ///
                /// # Safety
                ///
                /// As cuBLASLt's reference says of this function.
                #[allow(clippy::too_many_arguments)] // as many as the library's
                unsafe fn $name(&self, $($argument: $type),*) -> Result<()> {
                    // SAFETY: this function's contract.
                    self.answer($symbol, unsafe { (self.functions.$name)($($argument),*) })
                }
            )+
        }
    };
}

functions! {
    /// A handle for the current context.
    create = c"cublasLtCreate"(handle: *mut Opaque);
    /// A description of a product.
    desc_create = c"cublasLtMatmulDescCreate"(desc: *mut Opaque, compute: i32, scale: i32);
    /// Ends it.
    desc_destroy = c"cublasLtMatmulDescDestroy"(desc: Opaque);
    /// Sets one of its attributes.
    desc_set = c"cublasLtMatmulDescSetAttribute"(desc: Opaque, attribute: i32, value: *const c_void, bytes: usize);
    /// The layout of a matrix.
    layout_create = c"cublasLtMatrixLayoutCreate"(layout: *mut Opaque, dtype: i32, rows: u64, cols: u64, ld: i64);
    /// Ends it.
    layout_destroy = c"cublasLtMatrixLayoutDestroy"(layout: Opaque);
    /// Sets one of its attributes.
    layout_set = c"cublasLtMatrixLayoutSetAttribute"(layout: Opaque, attribute: i32, value: *const c_void, bytes: usize);
    /// What the heuristics may choose.
    preference_create = c"cublasLtMatmulPreferenceCreate"(preference: *mut Opaque);
    /// Ends it.
    preference_destroy = c"cublasLtMatmulPreferenceDestroy"(preference: Opaque);
    /// Sets one of its attributes.
    preference_set = c"cublasLtMatmulPreferenceSetAttribute"(
        preference: Opaque, attribute: i32, value: *const c_void, bytes: usize);
    /// The best algorithms for a product, best first.
    heuristic = c"cublasLtMatmulAlgoGetHeuristic"(
        handle: Opaque, desc: Opaque, a: Opaque, b: Opaque, c: Opaque, d: Opaque, preference: Opaque, wanted: i32,
        results: *mut Heuristic, found: *mut i32);
    /// Queues a product.
    matmul = c"cublasLtMatmul"(
        handle: Opaque, desc: Opaque, alpha: *const c_void, a: u64, a_layout: Opaque, b: u64, b_layout: Opaque,
        beta: *const c_void, c: u64, c_layout: Opaque, d: u64, d_layout: Opaque, algorithm: *const Algorithm,
        workspace: u64, workspace_bytes: usize, stream: *mut c_void);
}

/// The library.
pub struct Lt {
    functions: Functions,
    status_name: Option<unsafe extern "C" fn(i32) -> *const c_char>,
    path: String,
    version: usize,
}

/// The library, opened at the first call; else why there is none, which is the same for the life of the process.
fn library() -> Result<&'static Lt> {
    static LIBRARY: OnceCell<Result<Lt>> = OnceCell::new();
    let _inside = enter_opening()?;
    LIBRARY.get_or_init(open).as_ref().map_err(Clone::clone)
}

/// Its path and version, or why it is not used.
pub(super) fn found() -> std::result::Result<(String, String), String> {
    library().map(|lt| (lt.path.clone(), lt.version())).map_err(|error| error.message)
}

fn open() -> Result<Lt> {
    let found = guarded(|| Library::find(names(), Lt::new));
    found.map_err(|reason| {
        let message = format!(
            "there is no cuBLASLt of version 12.0 or newer ({reason}); install it (pip install nvidia-cublas) or \
             name its folder in WEFT_LIBRARY_PATH"
        );
        Error::new(WEFT_ERROR_UNAVAILABLE, message)
    })
}

/// The names of the libraries that the driver runs: one of CUDA 12 does not run those of CUDA 13.
fn names() -> &'static [&'static str] {
    let both = &["libcublasLt.so.13", "libcublasLt.so.12"];
    if driver().is_ok_and(|driver| driver.cuda < 13000) { &both[1..] } else { both }
}

impl Lt {
    fn new(library: Library) -> std::result::Result<Self, String> {
        let refuse = |reason: String| format!("{}: {reason}", library.path);
        let functions = Functions::find(&library).map_err(refuse)?;
        // SAFETY: no arguments.
        let version = unsafe { (functions.version)() };
        // SAFETY: the signature of cublasLt.h.
        let status_name = unsafe { library.function(c"cublasLtGetStatusName") };
        let path = library.path.clone();
        let lt = Self { functions, status_name, path, version };
        match version >= OLDEST {
            true => Ok(lt),
            false => Err(refuse(format!("it is of version {}; expected 12.0 or newer", lt.version()))),
        }
    }

    fn version(&self) -> String {
        format!("{}.{}.{}", self.version / 10_000, self.version / 100 % 100, self.version % 100)
    }

    fn answer(&self, function: &CStr, code: i32) -> Result<()> {
        if code == 0 { Ok(()) } else { Err(self.error(function, code)) }
    }

    fn error(&self, function: &CStr, code: i32) -> Error {
        let status = match code {
            3 => WEFT_ERROR_OUT_OF_DEVICE_MEMORY,
            // An argument that this version does not know; the architecture lacks it; not supported.
            7 | 8 | 15 => WEFT_ERROR_UNSUPPORTED,
            _ => WEFT_ERROR_INTERNAL,
        };
        let (function, name) = (function.to_string_lossy(), self.name(code));
        let message = format!("{function} of {} answered {name} ({code})", self.path);
        Error { native: i64::from(code), ..Error::new(status, message) }
    }

    /// The library's name of a code.
    fn name(&self, code: i32) -> String {
        // SAFETY: returns null or a static string.
        let text = self.status_name.map(|name| unsafe { name(code) }).filter(|text| !text.is_null());
        // SAFETY: not null, and it ends in a zero byte.
        text.map_or("an unknown code".into(), |text| unsafe { CStr::from_ptr(text) }.to_string_lossy().into())
    }
}
