//! Vendor libraries, opened at run time by exact versioned names and never closed: first in the folders of
//! `WEFT_LIBRARY_PATH`, then wherever the loader looks. What is absent is an answer with its remedy, not a failure.

use crate::telemetry::environment;
use std::ffi::{CStr, CString, c_void};
use std::mem::transmute_copy;

/// An open library. Stays open for the life of the process: its threads and tables outlast every user.
pub struct Library {
    handle: *mut c_void,
    /// Where it was found.
    pub path: String,
}

// SAFETY: the handle is the loader's own and is only handed to dlsym, which any thread may call.
unsafe impl Send for Library {}
// SAFETY: as above.
unsafe impl Sync for Library {}

impl Library {
    /// Opens the first of `names` that is there; else why none could be opened.
    pub fn open(names: &[&str]) -> Result<Self, String> {
        let mut reasons = String::new();
        for path in names.iter().flat_map(|name| places(name)) {
            match open(&path) {
                Ok(handle) => return Ok(Self { handle, path: origin(handle).unwrap_or(path) }),
                Err(reason) if reasons.is_empty() => reasons = reason,
                Err(reason) => reasons = format!("{reasons}; {reason}"),
            }
        }
        Err(reasons)
    }

    /// The function of this name.
    ///
    /// # Safety
    ///
    /// `F` is the type of a pointer to that function.
    pub unsafe fn function<F: Copy>(&self, name: &CStr) -> Option<F> {
        const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
        // SAFETY: an open library and a C string.
        let at = unsafe { libc::dlsym(self.handle, name.as_ptr()) };
        // SAFETY: not null, of the size of a pointer, and of this type by the contract.
        (!at.is_null()).then(|| unsafe { transmute_copy::<*mut c_void, F>(&at) })
    }
}

/// The paths to try for a name: a user's folders, if they are absolute and this process is not privileged, then the loader's.
fn places(name: &str) -> Vec<String> {
    let folders =
        environment("WEFT_LIBRARY_PATH").and_then(|folders| folders.into_string().ok()).unwrap_or_default();
    let absolute = folders.split(':').filter(|folder| folder.starts_with('/'));
    absolute.map(|folder| format!("{folder}/{name}")).chain([name.to_owned()]).collect()
}

fn open(path: &str) -> Result<*mut c_void, String> {
    let name = CString::new(path).map_err(|_| format!("{path:?} holds a zero byte"))?;
    // SAFETY: a C string. The library's constructors run: the user or the system's loader chose it.
    let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    if handle.is_null() { Err(reason(path)) } else { Ok(handle) }
}

/// Why the last dlopen of this thread failed.
fn reason(path: &str) -> String {
    // SAFETY: dlerror's text is this thread's until its next call, and copied here.
    let text = unsafe { libc::dlerror() };
    match text.is_null() {
        true => format!("{path} could not be opened"),
        // SAFETY: not null, so it ends in a zero byte.
        false => unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned(),
    }
}

/// The file behind an open library.
fn origin(handle: *mut c_void) -> Option<String> {
    /// The public head of the loader's `struct link_map`.
    #[repr(C)]
    struct LinkMap {
        address: usize,
        name: *const libc::c_char,
    }
    let mut map: *const LinkMap = std::ptr::null();
    // SAFETY: an open library; RTLD_DI_LINKMAP writes one pointer, whose target lives as long as the library.
    unsafe {
        let code = libc::dlinfo(handle, libc::RTLD_DI_LINKMAP, (&raw mut map).cast());
        (code == 0 && !map.is_null() && !(*map).name.is_null())
            .then(|| CStr::from_ptr((*map).name).to_string_lossy().into_owned())
    }
}
