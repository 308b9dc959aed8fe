//! Kernels of the PTX writer on a GPU: compiled by the driver for what it reads and the GPU has, launched with arguments of
//! their own type and no other.

use super::gpu::Gpu;
use super::module::{Function, Module, Shape};
use super::stream::Stream;
use crate::ptx::{Kernel, Params, Target};
use crate::status::{Error, Result, WEFT_ERROR_INTERNAL};
use parking_lot::RwLock;
use std::any::Any;
use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::marker::PhantomData;
use std::sync::Arc;

/// What tells kernels apart: the family's name for it, and all that it was specialised on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(pub &'static str, pub [u32; 8]);

/// The kernels of one GPU that were asked for so far.
#[derive(Default)]
pub struct Kernels {
    loaded: RwLock<HashMap<Key, Arc<dyn Any + Send + Sync>>>,
}

impl Kernels {
    /// The kernel of `key`, written and compiled when it is first asked for.
    pub fn get<P: Params + 'static>(
        &self,
        stream: &Stream,
        key: Key,
        write: impl FnOnce(Target) -> Result<Kernel<P>>,
    ) -> Result<Arc<Loaded<P>>> {
        let known = self.loaded.read().get(&key).cloned();
        let loaded = match known {
            Some(loaded) => loaded,
            None => {
                stream.take_time()?;
                let gpu = stream.gpu();
                self.add(key, Arc::new(Loaded::new(gpu.clone(), &write(gpu.target()?)?)?))
            }
        };
        let other = |_| Error::new(WEFT_ERROR_INTERNAL, format!("two kernels share the key {key:?}"));
        loaded.downcast().map_err(other)
    }

    fn add(&self, key: Key, loaded: Arc<dyn Any + Send + Sync>) -> Arc<dyn Any + Send + Sync> {
        self.loaded.write().entry(key).or_insert(loaded).clone()
    }
}

/// A compiled kernel, launched with arguments of type `P`.
pub struct Loaded<P> {
    function: Function,
    block: [u32; 3],
    shared: u32,
    params: PhantomData<fn(P)>,
}

impl Gpu {
    /// What kernels are to be written for.
    pub fn target(&self) -> Result<Target> {
        let (major, minor) = self.description.capability;
        let target = Target::of_device(major.cast_unsigned(), minor.cast_unsigned())?;
        let (isa_major, isa_minor) = newest_ptx(self.driver().cuda);
        Ok(target.reading(isa_major, isa_minor))
    }
}

/// The newest version of PTX that a driver of this CUDA version reads (PTX ISA, section Release Notes).
fn newest_ptx(cuda: i32) -> (u16, u16) {
    match (cuda / 1000, cuda % 1000 / 10) {
        (12, minor @ 0..=5) => (8, minor as u16),
        (12, 6..=7) => (8, 5 + (cuda % 1000 / 10 - 6) as u16),
        (12, 8) => (8, 7),
        (12, _) => (8, 8),
        _ => (9, 0),
    }
}

impl<P: Params> Loaded<P> {
    /// Compiles `kernel` for `gpu`.
    pub fn new(gpu: Arc<Gpu>, kernel: &Kernel<P>) -> Result<Self> {
        let name = CString::new(kernel.name.as_str());
        let name = name.map_err(|_| Error::new(WEFT_ERROR_INTERNAL, "a kernel's name holds a zero byte"))?;
        let function = Module::kept(gpu, &kernel.name, &kernel.text)?.function(&name)?;
        Ok(Self { function, block: kernel.block, shared: kernel.dynamic_shared, params: PhantomData })
    }

    /// Queues a launch of `grid` blocks.
    ///
    /// # Safety
    ///
    /// What the arguments point to is valid while the kernel runs, as far as it reaches.
    pub unsafe fn launch(&self, stream: &Stream, grid: [u32; 3], arguments: &P) -> Result<()> {
        let arguments = arguments.arguments();
        let fields = arguments.fields().map(|field| field.as_ptr().cast::<c_void>().cast_mut());
        let mut pointers: Vec<*mut c_void> = fields.collect();
        let shape = Shape { grid, block: self.block, shared: self.shared };
        // SAFETY: the arguments are of the type that the kernel declares, and the driver copies them before it returns; what
        // they point to is the caller's promise.
        unsafe { self.function.launch(stream, shape, &mut pointers) }
    }
}
