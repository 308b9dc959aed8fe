//! The driver's linker, used as a compiler: from PTX text to a cubin that can be kept.

use super::driver::Driver;
use super::gpu::Gpu;
use crate::status::{Error, Result};
use std::ffi::{CStr, c_void};
use std::ptr::null_mut;

/// CU_JIT_INPUT_PTX.
const PTX: i32 = 1;

/// A linker at work.
struct Linker {
    driver: &'static Driver,
    state: *mut c_void,
}

impl Drop for Linker {
    fn drop(&mut self) {
        // SAFETY: created in `cubin`, and its image was copied.
        let _ = unsafe { self.driver.link_destroy(self.state) };
    }
}

/// Compiles `text` for the GPU. A refusal has no more than a code: who wants the compiler's log loads the text itself. It
/// does not count as the device's failure either.
pub fn cubin(gpu: &Gpu, text: &CStr) -> Result<Vec<u8>> {
    gpu.with(|driver| Ok(compile(driver, text)))?
}

fn compile(driver: &'static Driver, text: &CStr) -> Result<Vec<u8>> {
    let (mut state, mut image, mut size) = (null_mut(), null_mut(), 0);
    let bytes = text.to_bytes_with_nul();
    // SAFETY: no options; pointers to locals; text that ends in a zero byte, which is counted, as the reference asks. The
    // image belongs to the linker, which lives until the bytes are copied.
    unsafe {
        driver.link_create(0, null_mut(), null_mut(), &mut state)?;
        let linker = Linker { driver, state };
        let at = bytes.as_ptr().cast_mut().cast();
        driver.link_add(linker.state, PTX, at, bytes.len(), c"weft".as_ptr(), 0, null_mut(), null_mut())?;
        driver.link_complete(linker.state, &mut image, &mut size)?;
        let mut copy = Vec::new();
        copy.try_reserve_exact(size).map_err(|_| Error::out_of_memory(size))?;
        if !image.is_null() {
            copy.extend_from_slice(std::slice::from_raw_parts(image.cast::<u8>(), size));
        }
        Ok(copy)
    }
}
