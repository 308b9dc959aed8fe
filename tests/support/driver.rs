//! The CUDA driver under test: the stand-in, built for a process of its own, and whether there is a real one.

use std::path::{Path, PathBuf};
use std::process::Command;
use weft::device::cuda::{count, driver};

/// A folder of its own with a `libcuda.so.1`: the stand-in, compiled with `options`.
pub fn fake(name: &str, options: &[&str]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fake-{name}"));
    std::fs::create_dir_all(&folder).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/fake_cuda.c");
    let mut gcc = Command::new("gcc");
    gcc.args(["-O1", "-fPIC", "-shared", "-pthread", "-o"])
        .arg(folder.join("libcuda.so.1"))
        .arg(source)
        .args(options);
    assert!(gcc.status().expect("gcc").success());
    folder
}

/// Whether there is a GPU; says so where there is none.
pub fn no_gpu() -> bool {
    let none = count() == 0;
    if none {
        let reason = driver().map_or_else(|error| error.message, |_| "the driver knows no device".into());
        println!("skipped: no GPU: {reason}");
    }
    none
}
