//! Generates the C header and its description into OUT_DIR, where a test compares them with `include/`, and sets the
//! linker's flags of the shared library: a soname, and staying mapped after dlclose (its threads may still run).

#[path = "src/build/declaration.rs"]
mod declaration;
#[path = "src/build/description.rs"]
mod description;
#[path = "src/build/layout.rs"]
mod layout;

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    // The programs in src/bin are no part of the header.
    for entry in
        fs::read_dir("src").expect("src can be read").flatten().filter(|entry| entry.file_name() != "bin")
    {
        println!("cargo:rerun-if-changed={}", entry.path().display());
    }
    println!("cargo:rerun-if-changed=cbindgen.toml");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libweft.so.1");
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete,-z,relro,-z,now");
    }
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));
    match cbindgen::generate(&root) {
        Ok(bindings) => {
            let mut header = Vec::new();
            bindings.write(&mut header);
            write_out(&root, &String::from_utf8(header).expect("the header is UTF-8"));
        }
        // The compiler words a syntax error better than cbindgen does.
        Err(cbindgen::Error::ParseSyntaxError { .. }) => {}
        Err(error) => panic!("cbindgen: {error}"),
    }
}

fn write_out(root: &Path, header: &str) {
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets OUT_DIR"));
    let header = in_c_words(header);
    let mut sources = description::Sources::new();
    constants(&root.join("src"), &mut sources);
    let description = description::describe(&header, &sources);
    fs::write(out.join("weft.h"), header).expect("OUT_DIR can be written");
    fs::write(out.join("weft_api.json"), format!("{description:#}\n")).expect("OUT_DIR can be written");
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

/// Type and module of every constant below `folder`: the header has no types of constants.
fn constants(folder: &Path, found: &mut description::Sources) {
    for entry in fs::read_dir(folder).expect("src can be read") {
        let path = entry.expect("src can be read").path();
        if path.is_dir() {
            constants(&path, found);
        } else if let (Ok(text), Some(module)) = (fs::read_to_string(&path), path.file_stem()) {
            let rows = text.lines().filter_map(|line| line.strip_prefix("pub const ")?.split_once(" = "));
            let rows = rows.filter_map(|(left, _)| left.split_once(": "));
            let module = module.to_string_lossy();
            found.extend(
                rows.map(|(name, kind)| (name.to_owned(), (kind.to_owned(), module.clone().into_owned()))),
            );
        }
    }
}
