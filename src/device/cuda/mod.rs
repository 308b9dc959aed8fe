//! The CUDA device: NVIDIA GPUs through a driver that is opened at run time.

mod cache;
mod driver;
pub mod entry;
mod gpu;
mod kernel;
mod library;
mod link;
mod memory;
mod module;
pub mod store;
mod stream;

pub use driver::{Driver, driver};
pub use gpu::{Description, Gpu, count, describe};
pub use kernel::{Key, Loaded};
pub use memory::{Memory, Pinned};
pub use module::{Function, Limits, Module, Shape};
pub use stream::Stream;

use crate::status::Result;
use std::sync::Arc;

/// A vendor library's name, and its path and version, or why it is not used.
pub type Found = (&'static str, std::result::Result<(String, String), String>);

/// What became of each vendor library. Opens those that nothing has asked for yet.
pub fn libraries() -> Vec<Found> {
    let version = |cuda: i32| format!("{}.{}", cuda / 1000, cuda % 1000 / 10);
    let driver = driver().map(|driver| (driver.path.clone(), version(driver.cuda)));
    vec![("libcuda", driver.map_err(|error| error.message))]
}

/// A GPU as one context sees it.
pub struct Cuda {
    gpu: Arc<Gpu>,
    /// In whose order memory is taken and given back.
    store: Arc<Stream>,
}

impl Cuda {
    /// GPU `ordinal`.
    pub fn open(ordinal: u32) -> Result<Self> {
        let gpu = Gpu::open(ordinal)?;
        let store = Stream::new(gpu.clone())?;
        Ok(Self { gpu, store })
    }

    /// The GPU.
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// `bytes` zeroed bytes.
    pub fn allocate(&self, bytes: usize) -> Result<Memory> {
        let memory = Memory::new(self.store.clone(), bytes)?;
        // SAFETY: memory of so many bytes, and a stream that lives.
        self.gpu.with(|driver| unsafe { driver.fill(memory.at(), 0, bytes, self.store.raw()) })?;
        self.store.synchronize()?;
        Ok(memory)
    }
}
