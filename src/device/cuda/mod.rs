//! The CUDA device: NVIDIA GPUs through a driver that is opened at run time.

mod driver;
mod gpu;
mod kernel;
mod library;
mod module;
mod stream;

pub use driver::{Driver, driver};
pub use gpu::{Description, Gpu, count, describe};
pub use kernel::Loaded;
pub use module::{Function, Module, Shape};
pub use stream::{Memory, Stream};

use crate::status::{Error, WEFT_ERROR_UNAVAILABLE};

/// The answer to a request for `cuda:index`.
pub fn unavailable(index: u32) -> Error {
    let reason = match driver() {
        Err(error) => error.message,
        Ok(driver) => match describe(index) {
            Err(error) => error.message,
            Ok(description) => format!(
                "{} is there (driver {}, CUDA {}.{}), but this version of weft runs on the CPU device alone; open \"cpu\" or \"auto\"",
                description.name,
                driver.path,
                driver.cuda / 1000,
                driver.cuda % 1000 / 10
            ),
        },
    };
    Error::new(WEFT_ERROR_UNAVAILABLE, format!("device \"cuda:{index}\" is unavailable: {reason}"))
}
