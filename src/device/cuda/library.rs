//! Vendor libraries, opened at run time by exact versioned names and never closed: first in the folders of
//! `WEFT_LIBRARY_PATH`, then wherever the loader looks, then where toolkits put them. What is absent is an answer with its
//! remedy, not a failure.

use super::elf::{self, Flaw};
use super::folders;
use std::ffi::{CStr, CString, c_void};
use std::mem::transmute_copy;
use std::path::{Path, PathBuf};

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
    /// Opens the first of `names` that is there, where drivers are looked for; else why none could be opened.
    pub fn open(names: &[&str]) -> Result<Self, String> {
        Self::search(&folders::of_drivers(), names, Ok)
    }

    /// The first of `names` that is there, where toolkits and wheels put their libraries, and that `check` takes; else what
    /// was wrong with each.
    pub fn find<T>(names: &[&str], check: impl Fn(Self) -> Result<T, String>) -> Result<T, String> {
        Self::search(&folders::of_toolkits(), names, check)
    }

    fn search<T>(
        folders: &[Option<PathBuf>],
        names: &[&str],
        check: impl Fn(Self) -> Result<T, String>,
    ) -> Result<T, String> {
        let mut reasons: Vec<String> = Vec::new();
        for (folder, name) in folders.iter().flat_map(|folder| names.iter().map(move |name| (folder, name))) {
            let Some(path) = candidate(folder.as_deref(), name) else { continue };
            let opened = path.and_then(|path| Ok((open(&path)?, path)));
            match opened.and_then(|(handle, path)| check(Self::of(handle, path))) {
                Ok(found) => return Ok(found),
                Err(reason) => reasons.push(reason),
            }
        }
        Err(reasons.join("; "))
    }

    fn of(handle: *mut c_void, path: String) -> Self {
        Self { handle, path: origin(handle).unwrap_or(path) }
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

/// The path to try for a name, the name alone where the loader looks, or what is wrong with it; `None` where nothing is.
fn candidate(folder: Option<&Path>, name: &str) -> Option<Result<String, String>> {
    let Some(folder) = folder else { return Some(foreseen(name).map(|()| name.to_owned())) };
    let path = folder.join(name);
    path.symlink_metadata().ok()?;
    let text = path.to_str()?.to_owned();
    Some(match elf::check(&path) {
        Ok(()) => Ok(text),
        Err(Flaw::Machine) => Err(format!("{text} is for another kind of machine")),
        Err(Flaw::Deadly(why)) => Err(why),
    })
}

/// An error if the loader would open what it does not survive.
fn foreseen(name: &str) -> Result<(), String> {
    let paths = folders::of_the_loader().into_iter().map(|folder| folder.join(name));
    let first = paths.filter(|path| path.exists()).map(|path| elf::check(&path));
    match first.into_iter().find(|checked| *checked != Err(Flaw::Machine)) {
        Some(Err(Flaw::Deadly(why))) => Err(why),
        _ => Ok(()),
    }
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
