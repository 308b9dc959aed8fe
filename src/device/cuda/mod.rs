//! CUDA, as far as it can be told without it: why a CUDA device cannot be had here.

use crate::status::{Error, WEFT_ERROR_UNAVAILABLE};

/// The answer to a request for `cuda:index`.
pub fn unavailable(index: u32) -> Error {
    let driver = std::path::Path::new("/proc/driver/nvidia/version").exists();
    let found =
        if driver { "an NVIDIA driver is loaded" } else { "no NVIDIA driver is loaded on this machine" };
    let message = format!(
        "device \"cuda:{index}\" is unavailable: this version of weft runs on the CPU device alone ({found}); \
         open \"cpu\" or \"auto\" instead"
    );
    Error::new(WEFT_ERROR_UNAVAILABLE, message)
}
