//! The cache of compiled kernels on disk: PTX that the driver compiled once need not be compiled by the next process.
//!
//! In `$WEFT_CACHE_DIR`, else `$XDG_CACHE_HOME/weft`, else `$HOME/.cache/weft`; an absolute path, made private if it is not
//! there and not used if it is not private. `WEFT_CACHE=off` turns it off, and so does a program with rights that its caller
//! has not. `WEFT_CACHE_SIZE` bounds it, in bytes or with K, M or G behind the number. Whatever goes wrong is a miss.

use super::gpu::Gpu;
use super::store::{Key, Store, digest};
use crate::telemetry::environment;
use crate::tell;
use once_cell::sync::OnceCell;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Bytes that the cache has if nobody says otherwise.
const SIZE: u64 = 1 << 30;

/// The cache of this process; `None` where there is none.
pub fn store() -> Option<&'static Store> {
    static STORE: OnceCell<Option<Store>> = OnceCell::new();
    STORE.get_or_init(open).as_ref()
}

fn open() -> Option<Store> {
    let folder = folder()?;
    let store = Store::open(&folder, limit());
    match &store {
        Ok(_) => tell!(WEFT_LOG_DEBUG, "compiled kernels are kept in {folder:?}"),
        Err(error) if environment("WEFT_CACHE_DIR").is_some() => {
            tell!(WEFT_LOG_WARN, "compiled kernels are not kept: WEFT_CACHE_DIR is {folder:?}: {error}");
        }
        Err(error) => tell!(WEFT_LOG_DEBUG, "compiled kernels are not kept: {folder:?}: {error}"),
    }
    store.ok()
}

fn folder() -> Option<PathBuf> {
    match environment("WEFT_CACHE") {
        Some(value) if value == "off" => return None,
        Some(value) => {
            tell!(WEFT_LOG_WARN, "WEFT_CACHE is {value:?}; expected \"off\" or nothing: taken as nothing")
        }
        None => {}
    }
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    if let Some(chosen) = environment("WEFT_CACHE_DIR") {
        if !chosen.to_string_lossy().starts_with('/') {
            tell!(WEFT_LOG_WARN, "WEFT_CACHE_DIR is {chosen:?}; expected an absolute path: nothing is kept");
        }
        return absolute(chosen.into());
    }
    let of = |name: &str, rest: &str| absolute(PathBuf::from(environment(name)?)).map(|path| path.join(rest));
    of("XDG_CACHE_HOME", "weft").or_else(|| of("HOME", ".cache/weft"))
}

fn limit() -> u64 {
    let Some(value) = environment("WEFT_CACHE_SIZE") else { return SIZE };
    let size = value.to_str().and_then(bytes);
    if size.is_none() {
        tell!(WEFT_LOG_WARN, "WEFT_CACHE_SIZE is {value:?}; expected bytes, such as 500M: taken as 1G");
    }
    size.unwrap_or(SIZE)
}

/// The number of "123", "4K", "5M" or "6G".
fn bytes(text: &str) -> Option<u64> {
    let units = [('K', 10), ('M', 20), ('G', 30)];
    let unit = units.into_iter().find(|unit| text.ends_with(unit.0));
    let digits = text.strip_suffix(['K', 'M', 'G']).unwrap_or(text);
    digits.parse::<u64>().ok()?.checked_mul(1 << unit.map_or(0, |unit| unit.1))
}

/// The key of a text on a GPU: it holds whatever may change what the compiler makes of it.
pub fn key(gpu: &Gpu, ptx: &str) -> Key {
    let (major, minor) = gpu.description.capability;
    let numbers = [gpu.driver().cuda, major, minor].map(i32::to_le_bytes).concat();
    // No options are given to the compiler: their place is empty.
    let options = b"";
    let build = env!("CARGO_PKG_VERSION").as_bytes();
    digest(&[b"kernel", build, &numbers, driver_file(gpu).as_bytes(), options, ptx.as_bytes()])
}

/// What tells one build of the driver from another of the same CUDA version: its file's name has the version, and its size
/// and time change with it.
fn driver_file(gpu: &Gpu) -> &'static str {
    static FILE: OnceCell<String> = OnceCell::new();
    FILE.get_or_init(|| {
        let path = &gpu.driver().path;
        let whole = fs::canonicalize(path).unwrap_or_else(|_| path.into());
        let about = fs::metadata(&whole).map(|about| (about.len(), about.mtime(), about.mtime_nsec()));
        format!("{} {:?}", whole.display(), about.unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_are_numbers_with_a_unit_or_none() {
        let cases = [
            ("0", Some(0)),
            ("17", Some(17)),
            ("3K", Some(3072)),
            ("5M", Some(5 << 20)),
            ("2G", Some(2 << 30)),
        ];
        cases.iter().for_each(|(text, size)| assert_eq!(bytes(text), *size, "{text}"));
        ["", "G", "-1", "1.5G", "1T", "99999999999999999999", "18446744073709551615K"]
            .iter()
            .for_each(|text| assert_eq!(bytes(text), None, "{text}"));
    }
}
