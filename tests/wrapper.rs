//! include/weft.hpp, the C++ wrapper: `tests/cpp` uses all of it and runs with every compiler that is installed; warnings
//! are errors, memory that leaks or is used too late is found by the address sanitizer.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const WARNINGS: &[&str] = &[
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Wshadow",
    "-Wconversion",
    "-Wsign-conversion",
    "-Wold-style-cast",
    "-Wnon-virtual-dtor",
    "-Werror",
];
const SANITIZERS: &[&str] = &["-fsanitize=address", "-g1"];
const PARTS: &[&str] = &["main", "owners", "tensors", "operations", "completions", "coroutines", "looking"];

/// An empty folder of this name, with a link to the library by its soname.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wrapper").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let library = env::current_exe().unwrap().with_file_name("libweft.so");
    assert!(library.exists(), "{} is missing; cargo builds it with this test", library.display());
    std::os::unix::fs::symlink(library, folder.join("libweft.so.1")).unwrap();
    folder
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

/// Compiles parts of the test; `None`, said on stderr, if there is no such compiler.
fn compile(compiler: &str, parts: &[&str], options: &[&str]) -> Option<()> {
    let mut command = Command::new(compiler);
    command.args(WARNINGS).args(["-Iinclude", "-pthread"]);
    command.args(parts.iter().map(|part| format!("tests/cpp/{part}.cpp"))).args(options);
    match command.output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("skipped: {compiler} is not installed");
            None
        }
        output => {
            let output = output.unwrap();
            assert!(output.status.success(), "{command:?}: {}", text(&output));
            Some(())
        }
    }
}

fn run(program: &Path, leaks: bool) -> Output {
    let options = if leaks { "detect_leaks=1" } else { "detect_leaks=0" };
    Command::new(program).env("ASAN_OPTIONS", options).output().unwrap()
}

/// Compiles parts as one program and runs it: what it printed.
fn program(compiler: &str, parts: &[&str], options: &[&str]) -> Option<String> {
    let folder = folder(&format!("{compiler}{}", options.concat()));
    let (program, library) = (folder.join("program"), folder.join("libweft.so.1"));
    let link = [library.to_str().unwrap(), "-Wl,-rpath,$ORIGIN", "-o", program.to_str().unwrap()];
    compile(compiler, parts, &[options, &link].concat())?;
    let mut output = run(&program, true);
    if text(&output).contains("LeakSanitizer has encountered a fatal error") {
        eprintln!("leaks are not looked for: this system does not let a process trace another");
        output = run(&program, false);
    }
    assert!(output.status.success(), "{compiler} {options:?}: {}\n{}", output.status, text(&output));
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn every_function_is_wrapped() {
    let [c, cpp] =
        ["weft.h", "weft.hpp"].map(|name| fs::read_to_string(Path::new("include").join(name)).unwrap());
    let declared = c.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_lowercase()));
    let functions = declared.filter_map(|line| {
        let name = line.split_once('(')?.0.rsplit([' ', '*']).next()?;
        name.strip_prefix("weft_")
    });
    let wrapped = |name: &str| {
        let uses = [format!("weft_{name}("), format!("weft_{name}>"), format!("WEFT_OPERATION({name},")];
        uses.iter().any(|used| cpp.contains(used))
    };
    let missing = functions.filter(|name| !wrapped(name));
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<&str>::new());
}

const ALL: &str = "owners\ntensors\noperations\ncallbacks\nfutures\ncoroutines\nlooking\n";

#[test]
fn the_wrapper_does_what_it_says() {
    let found = program("g++", PARTS, &[&["-std=c++20"], SANITIZERS].concat());
    assert!(found.is_none_or(|text| text == ALL));
}

#[test]
fn another_compiler_and_standard() {
    assert!(program("clang++", PARTS, &["-std=c++17"]).is_none_or(|text| text == ALL));
}

#[test]
fn without_exceptions() {
    for (compiler, standard) in [("g++", "-std=c++17"), ("clang++", "-std=c++20")] {
        let found = program(compiler, &["noexcept"], &[standard, "-fno-exceptions"]);
        assert!(found.is_none_or(|text| text == "ok\n"));
    }
}

#[test]
fn every_standard_takes_the_header() {
    for (compiler, standards) in
        [("g++", ["-std=c++17", "-std=c++2b"]), ("clang++", ["-std=c++20", "-std=c++2b"])]
    {
        for standard in standards {
            compile(compiler, &["completions", "coroutines"], &[standard, "-fsyntax-only"]);
        }
    }
}
