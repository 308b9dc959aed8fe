//! include/weft.h is what C gets: it is the generated one, compiles everywhere and lays structs out as Rust does; the
//! shared library exports its functions and nothing else. include/weft_api.json says the same as data.

#[path = "support/programs.rs"]
mod programs;

use programs::{run, succeeded};
use serde_json::Value;
use std::collections::BTreeSet;
use std::ffi::CStr;
use std::fmt::Write;
use std::mem::offset_of;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};
use weft::api::library::weft_status_name;
use weft::api::{
    buffer::*, context::*, port::*, program::*, queue::*, request::*, submit::*, telemetry::*, vendor::*,
};
use weft::layout::weft_tensor;
use weft::ops::softmax::weft_softmax_desc;
use weft::ops::{
    attention::*, blas::*, cast::*, elementwise::*, launch::*, matmul::*, norm::*, rank::*, reduce::*,
    rope::*, rows::*,
};
use weft::queue::weft_completion;

const GENERATED: &str = include_str!(concat!(env!("OUT_DIR"), "/weft.h"));
const DESCRIPTION: &str = include_str!(concat!(env!("OUT_DIR"), "/weft_api.json"));
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/include");

#[test]
fn the_header_and_its_description_are_the_generated_ones() {
    for (name, generated) in [("weft.h", GENERATED), ("weft_api.json", DESCRIPTION)] {
        let file = Path::new(FOLDER).join(name);
        if env::var_os("WEFT_BLESS").is_some() {
            fs::write(&file, generated).unwrap();
        }
        let same = fs::read_to_string(file).is_ok_and(|text| text == generated);
        assert!(
            same,
            "include/{name} is not what build.rs generates; refresh: WEFT_BLESS=1 cargo test --release --test header"
        );
    }
}

/// The names of the header's functions.
fn functions() -> BTreeSet<&'static str> {
    let (_, functions) = GENERATED.split_once("extern \"C\" {").unwrap();
    functions.split("*/").skip(1).filter_map(name).collect()
}

fn name(declaration: &str) -> Option<&str> {
    declaration.split_once('(')?.0.rsplit([' ', '*', '\n']).next()
}

fn description() -> Value {
    serde_json::from_str(DESCRIPTION).unwrap()
}

/// The objects of one list of the description.
fn rows<'a>(description: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    description[list].as_array().unwrap().iter()
}

/// (name, value) of every #define that has a value.
fn defines() -> Vec<(&'static str, &'static str)> {
    GENERATED.lines().filter_map(|line| line.strip_prefix("#define ")?.split_once(' ')).collect()
}

/// Every WEFT_ word of a text.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| word.starts_with("WEFT_"))
}

#[test]
fn every_constant_that_a_comment_names_exists() {
    // The guard, and the text for a number that is no status.
    let others = ["WEFT_H", "WEFT_STATUS_UNKNOWN"];
    let defined: BTreeSet<_> = defines().iter().map(|row| row.0).chain(others).collect();
    // "One of the WEFT_OP constants" names a family.
    let family =
        |word: &str| defined.iter().any(|name| name.strip_prefix(word).is_some_and(|s| s.starts_with('_')));
    for word in names(GENERATED) {
        assert!(defined.contains(word) || family(word), "{word} is named but not defined");
    }
}

#[test]
fn constants_and_types_carry_the_prefix() {
    for (name, _) in defines() {
        assert!(name.starts_with("WEFT_"), "{name} leaked into the header");
    }
    let typedefs = GENERATED.lines().filter_map(|line| line.strip_prefix("typedef "));
    for words in typedefs {
        assert!(
            words.split([' ', '*']).any(|word| word.trim_start_matches('(').starts_with("weft_")),
            "typedef {words}: a name without weft_"
        );
    }
}

#[test]
fn every_status_has_its_name() {
    let statuses = ["WEFT_OK", "WEFT_NOT_READY", "WEFT_TIMEOUT", "WEFT_WOULD_BLOCK", "WEFT_INTERRUPTED"];
    let is_status = |name: &str| statuses.contains(&name) || name.starts_with("WEFT_ERROR_");
    let rows: Vec<_> = defines().into_iter().filter(|row| is_status(row.0)).collect();
    assert!(rows.len() >= 20);
    for (name, value) in rows {
        let code = value.trim_matches(['(', ')']).parse().unwrap();
        // SAFETY: never null, zero-terminated, a constant.
        let told = unsafe { CStr::from_ptr(weft_status_name(code)) }.to_str().unwrap();
        assert_eq!(told, name, "weft_status_name({code})");
    }
}

/// libweft.so as cargo built it with this test.
fn library() -> PathBuf {
    let library = env::current_exe().unwrap().with_file_name("libweft.so");
    assert!(library.exists(), "{} is missing; cargo builds it with this test", library.display());
    library
}

/// An empty folder of this name, with a link to the library by its soname.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("header").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    for link in ["libweft.so", "libweft.so.1"] {
        std::os::unix::fs::symlink(library(), folder.join(link)).unwrap();
    }
    folder
}

/// Runs a program there; `None` if it is not installed.
fn run_in(folder: &Path, program: &str, arguments: &[&str]) -> Option<Output> {
    run(Command::new(program).args(arguments).current_dir(folder).env("LD_LIBRARY_PATH", folder))
}

/// Compiles the sources as one program against the library and runs it: what it printed.
fn build_and_run(compiler: &str, standard: &str, sources: &[(&str, &str)]) -> Option<String> {
    let what = format!("{compiler} {standard}");
    let folder = folder(&what.replace(' ', "-"));
    sources.iter().for_each(|(name, text)| fs::write(folder.join(name), text).unwrap());
    fs::write(folder.join("weft.h"), GENERATED).unwrap();
    let mut arguments = vec![standard, "-Wall", "-Wextra", "-pedantic", "-Werror", "-I.", "-o", "program"];
    arguments.extend(sources.iter().map(|source| source.0));
    arguments.extend(["-L.", "-lweft"]);
    succeeded(&what, &run_in(&folder, compiler, &arguments)?);
    Some(succeeded(&what, &run_in(&folder, "./program", &[])?))
}

const MAIN: &str = r#"
#include <weft.h>
#include <weft.h>
int fits(void);
int main(void) { return fits() && weft_abi_check(WEFT_ABI_VERSION) == WEFT_OK ? 0 : 1; }
"#;
const OTHER: &str = r#"
#include <weft.h>
int fits(void);
int fits(void) { return weft_abi_version() == WEFT_ABI_VERSION; }
"#;

#[test]
fn c_compilers_take_the_header() {
    for compiler in ["gcc", "clang"] {
        for standard in ["-std=c99", "-std=c11", "-std=c17", "-std=c2x"] {
            build_and_run(compiler, standard, &[("main.c", MAIN), ("other.c", OTHER)]);
        }
    }
}

#[test]
fn cpp_compilers_take_the_header() {
    for compiler in ["g++", "clang++"] {
        for standard in ["-std=c++11", "-std=c++14", "-std=c++17", "-std=c++20", "-std=c++2b"] {
            build_and_run(compiler, standard, &[("main.cpp", MAIN), ("other.cpp", OTHER)]);
        }
    }
}

/// (struct, its fields) as the header has them.
fn structs() -> Vec<(&'static str, Vec<&'static str>)> {
    let bodies = GENERATED.split("typedef struct ").skip(1);
    bodies.map(|text| text.split_once(" {").unwrap()).map(|(name, body)| (name, fields(body))).collect()
}

fn fields(body: &str) -> Vec<&str> {
    let (body, _) = body.split_once("\n}").unwrap();
    let declarations =
        body.lines().map(str::trim).filter(|line| line.ends_with(';') && !line.starts_with('*'));
    declarations.map(field).collect()
}

/// The name that `uint32_t units;` or `char name[32];` declares.
fn field(declaration: &str) -> &str {
    let declarator = declaration.rsplit([' ', '*']).next().unwrap();
    declarator.split(['[', ';']).next().unwrap()
}

/// A C program that prints "struct size" and "struct.field offset", a line each.
fn layout_program() -> String {
    let mut text = String::from("#include <stdio.h>\n#include <weft.h>\nint main(void) {\n");
    for (name, fields) in structs() {
        writeln!(text, "printf(\"{name} %u\\n\", (unsigned)sizeof({name}));").unwrap();
        for field in fields {
            writeln!(text, "printf(\"{name}.{field} %u\\n\", (unsigned)offsetof({name}, {field}));").unwrap();
        }
    }
    text + "return 0;\n}\n"
}

/// The same lines from the description.
fn described_layouts() -> BTreeSet<String> {
    let description = description();
    let mut lines = BTreeSet::new();
    for row in rows(&description, "types").filter(|row| row["kind"] == "struct") {
        let name = row["name"].as_str().unwrap();
        lines.insert(format!("{name} {}", row["size"]));
        let fields = row["fields"].as_array().unwrap().iter();
        lines.extend(
            fields.map(|field| format!("{name}.{} {}", field["name"].as_str().unwrap(), field["offset"])),
        );
    }
    lines
}

/// The same lines from Rust, for structs and fields written out.
macro_rules! layouts {
    ($($name:ident { $($field:ident)* })*) => {
        BTreeSet::from([$(
            format!("{} {}", stringify!($name), size_of::<$name>()),
            $(format!("{}.{} {}", stringify!($name), stringify!($field), offset_of!($name, $field)),)*
        )*])
    };
}

#[test]
fn structs_lie_in_c_as_in_rust() {
    let rust = layouts! {
        weft_buffer_desc { struct_size flags address }
        weft_buffer_info { struct_size state size generation reserved address }
        weft_device_info {
            struct_size kind name description memory units reserved compute_major compute_minor cuda_version reserved1
        }
        weft_library_info { struct_size status name version path reason }
        weft_context_desc { struct_size threads }
        weft_context_info { struct_size kind threads state buffer_bytes }
        weft_queue_desc { struct_size flags depth priority stream }
        weft_queue_info { struct_size depth submitted completed }
        weft_submit {
            struct_size flags user_data timeout_ns after after_count reserved port callback deadline_ns
            finalizer
        }
        weft_port_desc { struct_size capacity flags reserved user_data finalizer }
        weft_error_info {
            struct_size status native_code op root_op root_request root_status reserved
        }
        weft_stats_info {
            struct_size contexts submitted refused in_flight completed_ok completed_failed completed_cancelled
            completed_deadline completed_dependency completed_lost bytes_written bytes_read bytes_copied bytes_filled
            buffers buffer_bytes buffer_bytes_peak queues ports requests pool_threads pool_looking pool_working pool_jobs
            pool_jobs_posted reserve_blocks queue_wait_ns run_time_ns queue_wait run_time
        }
        weft_completion { user_data request status op flags reserved0 device_ns result reserved1 }
        weft_tensor { buffer offset dtype rank dims strides }
        weft_matmul_desc {
            struct_size flags a b c d bias alpha beta epilogue compute a_scale b_scale d_scale aux alpha_imag
            beta_imag bias_grad amax workspace
        }
        weft_attention_desc {
            struct_size flags q k v o lse bias alibi_slopes sink_logits q_lengths kv_lengths q_starts kv_starts
            block_table scale softcap window_left window_right sink_tokens dropout seed offset
        }
        weft_norm_desc { struct_size flags x residual weight bias y sum mean rstd axes reserved epsilon }
        weft_rope_desc {
            struct_size flags x y positions cos sin factors base frequency_scale attention_factor position_start
            rotary_dim
        }
        weft_elementwise_desc { struct_size flags function reserved a b c y alpha beta }
        weft_softmax_desc { struct_size flags x y axis reserved scale }
        weft_rows_desc { struct_size flags table indices rows }
        weft_rank_desc { struct_size flags x values indices axis k }
        weft_reduce_desc { struct_size flags function axes x y }
        weft_cast_desc { struct_size flags x y }
        weft_axpy_desc { struct_size flags alpha alpha_imag x y }
        weft_scal_desc { struct_size flags alpha alpha_imag x }
        weft_swap_desc { struct_size flags x y }
        weft_rot_desc { struct_size flags c s s_imag x y }
        weft_dot_desc { struct_size flags x y result }
        weft_vector_desc { struct_size flags x result }
        weft_gemv_desc { struct_size flags alpha alpha_imag beta beta_imag a x y }
        weft_ger_desc { struct_size flags alpha alpha_imag x y a }
        weft_syrk_desc { struct_size flags alpha alpha_imag beta beta_imag a c }
        weft_trsm_desc { struct_size flags alpha alpha_imag a b }
        weft_program_desc { struct_size flags ptx size log log_capacity }
        weft_argument { kind size integer real buffer offset bytes }
        weft_launch_desc { struct_size flags kernel grid block shared argument_count arguments }
    };
    let described = described_layouts();
    let apart: Vec<_> = described.symmetric_difference(&rust).collect();
    assert!(apart.is_empty(), "in weft_api.json or in this test's list, but not in both: {apart:#?}");
    let program = layout_program();
    for compiler in ["gcc", "clang"] {
        let Some(printed) = build_and_run(compiler, "-std=c11", &[("layout.c", &program)]) else { continue };
        let c: BTreeSet<String> = printed.lines().map(str::to_owned).collect();
        let apart: Vec<_> = c.symmetric_difference(&rust).collect();
        assert!(apart.is_empty(), "{compiler}: in C or in this test's list, but not in both: {apart:#?}");
    }
}

#[test]
fn the_library_exports_the_functions_of_the_header_alone() {
    let library = library();
    let Some(output) = run_in(Path::new("."), "nm", &["-D", "--defined-only", library.to_str().unwrap()])
    else {
        return;
    };
    let text = succeeded("nm", &output);
    let exported: BTreeSet<_> = text.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    let declared = functions();
    assert!(declared.iter().all(|name| name.starts_with("weft_")));
    let apart: Vec<_> = exported.symmetric_difference(&declared).collect();
    assert!(apart.is_empty(), "exported by the library or declared in the header, but not both: {apart:?}");
    // What is promised, and nothing more, until the promise is extended.
    let abi = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/abi/abi.txt")).unwrap();
    let allowed = abi.lines().filter_map(|line| line.strip_prefix("function ")?.split('(').next());
    let allowed: BTreeSet<_> = allowed.collect();
    let apart: Vec<_> = allowed.symmetric_difference(&declared).collect();
    assert!(
        apart.is_empty(),
        "in tests/abi/abi.txt or declared, but not both: {apart:?}; refresh: WEFT_BLESS=1 cargo test --release --test abi"
    );
}

#[test]
fn the_description_has_all_that_the_header_has() {
    let description = description();
    let names =
        |list: &str| rows(&description, list).map(|row| row["name"].as_str().unwrap().to_owned()).collect();
    let (told, constants): (BTreeSet<String>, BTreeSet<String>) = (names("functions"), names("constants"));
    assert_eq!(told, functions().into_iter().map(str::to_owned).collect());
    assert_eq!(constants, defines().into_iter().map(|row| row.0.to_owned()).collect());
    let types: BTreeSet<String> = names("types");
    let typedefs = GENERATED.lines().filter(|line| line.starts_with("typedef ")).count();
    assert!(typedefs > 20 && types.len() == typedefs, "{} types told of {typedefs}", types.len());
    let mut values = BTreeSet::new();
    for row in rows(&description, "constants") {
        assert!(
            values.insert((row["group"].to_string(), row["value"].to_string())),
            "{row}: not alone in its group"
        );
    }
}

#[test]
fn a_binding_made_of_the_description_alone_computes() {
    let (library, file) = (library(), Path::new(FOLDER).join("weft_api.json"));
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/binding.py");
    let arguments = [program, file.to_str().unwrap(), library.to_str().unwrap()];
    let Some(output) = run_in(Path::new(FOLDER), "python3", &arguments) else { return };
    let printed = succeeded("binding.py", &output);
    let told = format!("{} functions", functions().len());
    assert!(printed.starts_with(&told), "{printed}");
}

/// The soname is the ABI's major version, which is the crate's; their minor versions are the same too.
#[test]
fn the_versions_agree() {
    let version = weft::api::library::WEFT_ABI_VERSION;
    let (major, minor) = (env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR"));
    assert_eq!([major, minor].map(|part| part.parse::<u32>().unwrap()), [version >> 16, version & 0xffff]);
    let library = library();
    let Some(output) = run_in(Path::new("."), "readelf", &["-d", library.to_str().unwrap()]) else { return };
    let soname = format!("Library soname: [libweft.so.{major}]");
    assert!(succeeded("readelf", &output).contains(&soname), "not {soname}");
}

#[test]
fn the_library_needs_the_c_library_alone() {
    let library = library();
    let Some(output) = run_in(Path::new("."), "readelf", &["-d", library.to_str().unwrap()]) else { return };
    let text = succeeded("readelf", &output);
    let known = ["libc.so", "libm.so", "libgcc_s.so", "libpthread.so", "libdl.so", "ld-linux"];
    for line in text.lines().filter(|line| line.contains("(NEEDED)")) {
        let (_, name) = line.split_once('[').unwrap();
        assert!(known.iter().any(|prefix| name.starts_with(prefix)), "libweft.so needs {name}");
    }
}

#[test]
fn the_library_is_hardened() {
    let library = library();
    let Some(output) = run_in(Path::new("."), "readelf", &["-lWd", library.to_str().unwrap()]) else {
        return;
    };
    let text = succeeded("readelf", &output);
    let segment = |name: &str| text.lines().find(|line| line.trim_start().starts_with(name));
    let flags = |line: &str| line.split_whitespace().rev().nth(1).unwrap().to_owned();
    assert!(segment("GNU_RELRO").is_some(), "no RELRO:\n{text}");
    assert_eq!(segment("GNU_STACK").map(flags).as_deref(), Some("RW"), "the stack must not be executable");
    assert!(
        text.contains("BIND_NOW") || text.contains("Flags: NOW"),
        "symbols must be bound at load:\n{text}"
    );
    assert!(text.contains("NODELETE"), "its threads may outlive a dlclose:\n{text}");
    assert!(!text.contains("TEXTREL"), "text relocations");
    let loads = text.lines().filter(|line| line.trim_start().starts_with("LOAD"));
    assert!(!loads.clone().any(|line| line.contains("RWE")) && loads.count() > 1, "writable code:\n{text}");
}
