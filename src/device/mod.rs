//! Devices and what belongs to them: contexts, memory, threads. A closed set: an enum, matched where a request runs.

pub mod ahead;
mod buffer;
pub mod cpu;
pub mod cuda;
mod futex;
pub mod gate;
pub mod lanes;
pub mod thread;

pub use buffer::Buffer;
pub use cpu::Cpu;
pub use cuda::Cuda;

use crate::status::{Error, Result, WEFT_ERROR_DEVICE_LOST};
use crate::sync::Line;
use crate::telemetry::{Account, Memory};
use crate::{ensure, fail};

/// What kind of device it is, as C sees it: the host's cores.
pub const WEFT_DEVICE_CPU: u32 = 1;
/// What kind of device it is, as C sees it: an NVIDIA GPU.
pub const WEFT_DEVICE_CUDA: u32 = 2;

/// The most threads that a context can ask for.
const MAX_THREADS: u32 = 256;

/// A device of this process.
pub enum Device {
    /// The host's cores.
    Cpu(Cpu),
    /// An NVIDIA GPU.
    Cuda(Cuda),
}

/// One device in use: what `weft_context` names.
pub struct Context {
    device: Device,
    /// Its live buffers.
    pub memory: Memory,
    /// What its queues count.
    pub account: Account,
    /// Who runs, by priority: workers write it while submitters read the rest.
    pub lanes: Line<lanes::Lanes>,
}

impl Context {
    /// Opens the device of this name: "auto", "cpu" or "cuda:N".
    pub fn open(name: &str, threads: u32) -> Result<Self> {
        ensure!(
            threads <= MAX_THREADS,
            "threads is {threads}; expected 0 (one a physical core) to {MAX_THREADS}"
        );
        thread::mark_forks()?;
        let cpu = || Device::Cpu(Cpu::new(threads as usize));
        let device = match name {
            "cpu" => cpu(),
            "auto" => Cuda::open(0).map_or_else(|_| cpu(), Device::Cuda),
            _ => Device::Cuda(open_cuda(name)?),
        };
        Ok(Self { device, memory: Memory::default(), account: Account::default(), lanes: Line::default() })
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The generation that its buffers have now; 1 until the device is lost, 2 from then on.
    pub fn generation(&self) -> u32 {
        1 + u32::from(self.lost().is_some())
    }

    /// An error once the device is lost.
    pub fn check(&self) -> Result<()> {
        self.lost().map_or(Ok(()), |reason| Err(lost(reason)))
    }

    /// Why the device is lost, if it is.
    fn lost(&self) -> Option<&Error> {
        match &self.device {
            Device::Cpu(_) => None,
            Device::Cuda(cuda) => cuda.gpu().lost(),
        }
    }
}

/// What every request of a device that was lost for `reason` ends with, and every call that needs the device.
pub fn lost(reason: &Error) -> Error {
    let message = format!(
        "the context's device was lost ({}); release the context and restart the process",
        reason.message
    );
    Error { native: reason.native, ..Error::new(WEFT_ERROR_DEVICE_LOST, message) }
}

/// The GPU of a name like "cuda:0".
fn open_cuda(name: &str) -> Result<Cuda> {
    let digits = name.strip_prefix("cuda:").filter(|index| index.bytes().all(|byte| byte.is_ascii_digit()));
    let Some(index) = digits.and_then(|index| index.parse().ok()) else {
        fail!(
            WEFT_ERROR_INVALID_ARGUMENT,
            "device is {name:?}; expected \"auto\", \"cpu\" or \"cuda:N\" with N from 0"
        );
    };
    let explain = |error: Error| Error { message: format!("device {name:?}: {}", error.message), ..error };
    Cuda::open(index).map_err(explain)
}
