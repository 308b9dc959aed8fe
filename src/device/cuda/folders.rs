//! Where vendor libraries are looked for. What the environment names counts if it is absolute and this process is not
//! privileged.

use crate::telemetry::environment;
use std::path::{Path, PathBuf};

/// The folders of `WEFT_LIBRARY_PATH`, then, as `None`, wherever the loader looks.
pub fn of_drivers() -> Vec<Option<PathBuf>> {
    let mut folders: Vec<_> = listed("WEFT_LIBRARY_PATH").into_iter().map(Some).collect();
    folders.push(None);
    folders
}

/// The same, then CUDA's own folders, then the wheels of an active Python environment.
pub fn of_toolkits() -> Vec<Option<PathBuf>> {
    let homes = listed("CUDA_HOME").into_iter().chain([PathBuf::from("/usr/local/cuda")]);
    let toolkits = homes.chain(newest_first(Path::new("/usr/local"), "cuda-"));
    let toolkits = toolkits.flat_map(|home| [home.join("lib64"), home.join(TARGET)]);
    let environments = listed("VIRTUAL_ENV").into_iter().chain(listed("CONDA_PREFIX"));
    let wheels = environments.flat_map(|prefix| of_environment(&prefix));
    of_drivers().into_iter().chain(toolkits.chain(wheels).map(Some)).collect()
}

/// The folders of the environment's in which the loader looks first.
pub fn of_the_loader() -> Vec<PathBuf> {
    listed("LD_LIBRARY_PATH")
}

/// Where a toolkit keeps the libraries of this machine's kind.
const TARGET: &str =
    if cfg!(target_arch = "aarch64") { "targets/sbsa-linux/lib" } else { "targets/x86_64-linux/lib" };

/// The absolute paths of a variable that lists some.
fn listed(variable: &str) -> Vec<PathBuf> {
    let value = environment(variable).unwrap_or_default();
    std::env::split_paths(&value).filter(|path| path.is_absolute()).collect()
}

/// `lib`, and `lib/python3.x/site-packages/nvidia/<library>/lib`.
fn of_environment(prefix: &Path) -> Vec<PathBuf> {
    let pythons = newest_first(&prefix.join("lib"), "python3");
    let vendors = pythons.into_iter().map(|python| python.join("site-packages/nvidia"));
    let wheels = vendors.flat_map(|vendor| newest_first(&vendor, "")).map(|wheel| wheel.join("lib"));
    [prefix.join("lib")].into_iter().chain(wheels).collect()
}

/// What lies in `folder` under names that begin with `prefix`, the last name first: the order never varies.
fn newest_first(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let fits = |name: &std::ffi::OsStr| name.to_str().is_some_and(|name| name.starts_with(prefix));
    let mut paths: Vec<PathBuf> =
        entries.filter(|entry| fits(&entry.file_name())).map(|entry| entry.path()).collect();
    paths.sort();
    paths.reverse();
    paths
}
