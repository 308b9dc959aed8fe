//! Generates the C header into OUT_DIR, where a test compares it with `include/weft.h`, and sets the linker's flags
//! of the shared library: a soname, and staying mapped after dlclose (its threads may still run).

use std::env;
use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-changed=src");
    println!("cargo:rerun-if-changed=cbindgen.toml");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libweft.so.1");
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete,-z,relro,-z,now");
    }
    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets OUT_DIR")).join("weft.h");
    match cbindgen::generate(&root) {
        Ok(header) => drop(header.write_to_file(out)),
        // The compiler words a syntax error better than cbindgen does.
        Err(cbindgen::Error::ParseSyntaxError { .. }) => {}
        Err(error) => panic!("cbindgen: {error}"),
    }
}
