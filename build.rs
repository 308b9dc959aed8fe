//! Generates the C header into OUT_DIR, where a test compares it with `include/weft.h`, and sets the linker's flags
//! of the shared library: a soname, and staying mapped after dlclose (its threads may still run).

use std::path::PathBuf;
use std::{env, fs};

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
        Ok(bindings) => {
            let mut header = Vec::new();
            bindings.write(&mut header);
            let header = String::from_utf8(header).expect("the header is UTF-8");
            fs::write(out, in_c_words(&header)).expect("OUT_DIR can be written");
        }
        // The compiler words a syntax error better than cbindgen does.
        Err(cbindgen::Error::ParseSyntaxError { .. }) => {}
        Err(error) => panic!("cbindgen: {error}"),
    }
}

/// Rust's heading for what the caller owes becomes a word of the comment, and negative constants get parentheses.
fn in_c_words(header: &str) -> String {
    let header = header.replace(" * # Safety\n *\n * ", " * Memory: ");
    header.lines().map(|line| parenthesised(line) + "\n").collect()
}

fn parenthesised(line: &str) -> String {
    match line.strip_prefix("#define ").and_then(|rest| rest.split_once(" -")) {
        Some((name, digits)) => format!("#define {name} (-{digits})"),
        None => line.to_owned(),
    }
}
