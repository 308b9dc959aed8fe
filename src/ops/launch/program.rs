//! Programs: PTX of the caller's that the driver compiled for a context's GPU, and the kernels in it.

use crate::device::cuda::{Function, Gpu, Limits, Module, entry};
use crate::device::{Context, Device};
use crate::fail;
use crate::status::{Error, Result, WEFT_ERROR_INVALID_ARGUMENT};
use std::ffi::CString;
use std::sync::Arc;

/// CUDA_ERROR_NOT_FOUND.
const NOT_FOUND: i64 = 500;

/// Compiled PTX.
pub struct Program {
    context: Arc<Context>,
    module: Arc<Module>,
    text: String,
}

/// A kernel of a program, with what a launch of it needs. Keeps the program.
pub struct Kernel {
    context: Arc<Context>,
    name: String,
    function: Function,
    parameters: Vec<usize>,
    limits: Limits,
    /// The one block that it can have, where it says so.
    block: Option<[u32; 3]>,
}

fn gpu(context: &Context) -> Result<Arc<Gpu>> {
    match context.device() {
        Device::Cuda(cuda) => Ok(cuda.gpu().clone()),
        Device::Cpu(_) => fail!(
            WEFT_ERROR_UNSUPPORTED,
            "the context is of the CPU device, which does not run PTX; expected a context of \"cuda:N\""
        ),
    }
}

/// An error if each launch would have to say how many blocks a cluster has.
fn ensure_cluster(name: &str, limits: &Limits) -> Result<()> {
    if limits.cluster.is_none() {
        fail!(
            WEFT_ERROR_UNSUPPORTED,
            "kernel {name:?} leaves the size of its clusters to the launch (.explicitcluster); expected .reqnctapercluster"
        )
    }
    Ok(())
}

impl Program {
    /// Compiles `text` for the GPU of `context`; the compiler's log goes to `log`.
    pub fn new(context: Arc<Context>, text: &str, log: &mut Vec<u8>) -> Result<Self> {
        let gpu = gpu(&context)?;
        let mut kept = String::new();
        kept.try_reserve_exact(text.len()).map_err(|_| Error::out_of_memory(text.len()))?;
        kept.push_str(text);
        let module = Module::compile_telling(gpu, text, log)?;
        Ok(Self { context, module, text: kept })
    }

    /// The context.
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Bytes of its text.
    pub fn size(&self) -> usize {
        self.text.len()
    }

    /// Its kernel of this name.
    pub fn kernel(&self, name: &str) -> Result<Kernel> {
        let c_name = CString::new(name).ok().filter(|name| !name.is_empty());
        let Some(c_name) = c_name else { return Err(self.absent(name)) };
        let function = self.module.function(&c_name).map_err(|error| match error.native {
            NOT_FOUND => self.absent(name),
            _ => error,
        })?;
        let (limits, told) = (function.limits()?, function.parameters()?);
        let Some(parameters) = told.or_else(|| entry::parameters(&self.text, name)) else {
            fail!(
                WEFT_ERROR_UNSUPPORTED,
                "kernel {name:?} has parameters of a type that is not known; update NVIDIA's driver to CUDA 12.4 or newer"
            )
        };
        ensure_cluster(name, &limits)?;
        function.allow_shared(limits.shared)?;
        let (context, block) = (self.context.clone(), entry::block(&self.text, name));
        Ok(Kernel { context, name: name.to_owned(), function, parameters, limits, block })
    }

    fn absent(&self, name: &str) -> Error {
        let names = entry::names(&self.text).join(", ");
        let message =
            format!("name is {name:?}; expected a kernel (.visible .entry) of the program: {names}");
        Error { native: NOT_FOUND, ..Error::new(WEFT_ERROR_INVALID_ARGUMENT, message) }
    }
}

impl Kernel {
    /// The context of its program.
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// As its text has it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes of each of its parameters.
    pub fn parameters(&self) -> &[usize] {
        &self.parameters
    }

    /// The one block that its launches can have, where it says so.
    pub fn block(&self) -> Option<[u32; 3]> {
        self.block
    }

    /// How far its launches can go.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    pub(super) fn function(&self) -> &Function {
        &self.function
    }
}
