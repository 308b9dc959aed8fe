//! Vendor libraries: where they are found, and what is said of absent, old, broken and incomplete ones (stand-ins, each in
//! a process of its own).

use std::path::{Path, PathBuf};
use std::process::Command;
use weft::device::cuda::libraries;

/// An empty folder of this name.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("libraries-{name}"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The stand-in, compiled with `options`, in `folder`.
fn fake(folder: &Path, options: &[&str]) {
    std::fs::create_dir_all(folder).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/fake_cublaslt.c");
    let mut gcc = Command::new("gcc");
    gcc.args(["-O1", "-fPIC", "-shared", "-o"]).arg(folder.join("libcublasLt.so.12")).arg(source);
    assert!(gcc.args(options).status().expect("gcc").success());
}

/// What a process with these variables, and no other that says where libraries are, finds of cuBLASLt.
fn found(variables: &[(&str, &Path)]) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "probe", "--nocapture"]).env("WEFT_PROBE", "1");
    for name in ["WEFT_LIBRARY_PATH", "CUDA_HOME", "VIRTUAL_ENV", "CONDA_PREFIX", "LD_LIBRARY_PATH"] {
        child.env_remove(name);
    }
    let output = child.envs(variables.iter().copied()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().find(|line| line.contains("libcublasLt: ")).expect("a line for the library").to_owned()
}

/// Runs in a process of its own.
#[test]
fn probe() {
    if std::env::var_os("WEFT_PROBE").is_none() {
        return println!("skipped: part of other tests, which run it with folders of their own");
    }
    for (name, answer) in libraries() {
        println!("\n{name}: {answer:?}");
    }
}

/// Whether this machine has the library where the loader or CUDA puts it: then it is found after what is broken.
fn is_installed() -> bool {
    found(&[]).contains("Ok(")
}

fn says(text: &str, words: &[&str]) {
    words.iter().for_each(|word| assert!(text.contains(word), "{word:?} is not in {text}"));
}

#[test]
fn what_is_not_usable_is_named_with_its_path_and_a_remedy() {
    if is_installed() {
        return println!("skipped: this machine has a cuBLASLt of its own");
    }
    let remedy = ["Err(", "WEFT_LIBRARY_PATH", "pip install", "version 12.0 or newer"];
    says(&found(&[]), &remedy);
    let text = folder("text");
    std::fs::write(text.join("libcublasLt.so.12"), "not a library").unwrap();
    let answer = found(&[("WEFT_LIBRARY_PATH", &text)]);
    says(&answer, &remedy);
    says(&answer, &["libraries-text/libcublasLt.so.12"]);
    let old = folder("old");
    fake(&old, &["-DVERSION=110900"]);
    let answer = found(&[("WEFT_LIBRARY_PATH", &old)]);
    says(&answer, &remedy);
    says(&answer, &["libraries-old/libcublasLt.so.12: it is of version 11.9.0"]);
    let partial = folder("partial");
    fake(&partial, &["-DWITHOUT_MATMUL"]);
    let answer = found(&[("WEFT_LIBRARY_PATH", &partial)]);
    says(&answer, &remedy);
    says(&answer, &["libraries-partial/libcublasLt.so.12: it has no cublasLtMatmul"]);
    says(&found(&[("WEFT_LIBRARY_PATH", Path::new("relative/folder"))]), &remedy);
}

#[test]
fn folders_of_toolkits_and_wheels_are_looked_into() {
    if is_installed() {
        return println!("skipped: this machine has a cuBLASLt of its own");
    }
    let places = [
        ("WEFT_LIBRARY_PATH", ""),
        ("CUDA_HOME", "lib64"),
        ("VIRTUAL_ENV", "lib/python3.11/site-packages/nvidia/cublas/lib"),
        ("VIRTUAL_ENV", "lib/python3.13/site-packages/nvidia/cu13/lib"),
        ("CONDA_PREFIX", "lib"),
        ("CONDA_PREFIX", "lib/python3.12/site-packages/nvidia/cublas/lib"),
    ];
    for (variable, place) in places {
        let home = folder(&format!("home-{variable}"));
        fake(&home.join(place), &["-DVERSION=120805"]);
        let answer = found(&[(variable, &home)]);
        says(&answer, &["Ok(", "12.8.5", home.join(place).join("libcublasLt.so.12").to_str().unwrap()]);
    }
}

#[test]
fn a_broken_library_does_not_hide_a_whole_one() {
    let (broken, home) = (folder("broken"), folder("whole"));
    std::fs::write(broken.join("libcublasLt.so.12"), "not a library").unwrap();
    fake(&home.join("lib64"), &[]);
    says(&found(&[("WEFT_LIBRARY_PATH", &broken), ("CUDA_HOME", &home)]), &["Ok("]);
    let both = folder("both");
    fake(&both, &["-DVERSION=120001"]);
    let answer = found(&[("WEFT_LIBRARY_PATH", &both), ("CUDA_HOME", &home)]);
    says(&answer, &["libraries-both", "12.0.1"]);
}
