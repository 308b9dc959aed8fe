//! The examples of event loops and other languages run, each by the command that its head names, and do their job: 1,000
//! products right, one mistake answered. One that lacks its tool says so and is skipped.

use std::process::{Command, Output};
use std::sync::Once;

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn make(arguments: &[&str]) -> Output {
    Command::new("make").args(["-s", "-C", "examples-c"]).args(arguments).output().expect("make runs")
}

/// Builds the library and all that is in C and C++, once a test program.
fn build() {
    static BUILD: Once = Once::new();
    BUILD.call_once(|| {
        let output = make(&[concat!("CARGO=", env!("CARGO"))]);
        assert!(output.status.success(), "{}", text(&output));
    });
}

/// Whether the machine has what `command` needs; says so if it has not.
fn has(what: &str, command: &str) -> bool {
    let found = Command::new("sh").args(["-c", command]).current_dir("examples-c").output().unwrap();
    if !found.status.success() {
        eprintln!("skipped: this machine has no {what} ({command}: {})", text(&found).trim());
    }
    found.status.success()
}

/// What `make run-<name>` prints. The library is there: several may run side by side without asking cargo.
#[track_caller]
fn run(name: &str, arguments: &[&str]) -> String {
    build();
    let output = make(&[&[&format!("run-{name}"), "CARGO=true"], arguments].concat());
    assert!(output.status.success(), "{name}: {}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// The two lines that every loop ends with.
#[track_caller]
fn does_its_job(name: &str, called: &str) {
    let text = run(name, &[]);
    let lines: Vec<&str> = text.lines().rev().take(2).collect();
    let summary = format!("{called}: 1000 of 1000 products right, 1 mistake answered");
    assert!(lines.len() == 2 && lines[0].starts_with(&summary), "{text}");
    assert!(lines[1].starts_with("WEFT_ERROR_OUT_OF_RANGE: gather_rows: indices[0] is 99;"), "{text}");
}

#[test]
fn epoll() {
    does_its_job("epoll", "epoll");
}

#[test]
fn libuv() {
    if has("libuv", "echo '#include <uv.h>' | cc -E - >/dev/null") {
        does_its_job("libuv", "libuv");
    }
}

#[test]
fn cpp_futures_and_coroutines() {
    if has("C++ compiler", "c++ --version") {
        does_its_job("futures", "futures");
        does_its_job("coroutines", "coroutines");
    }
}

#[test]
fn python() {
    does_its_job("python", "asyncio");
    let text = run("python", &["ARGS=--bench"]);
    assert!(text.contains("completions a second taken in batches"), "{text}");
}

#[test]
fn node() {
    if has("Node.js", "node --version && npm --version") && has("koffi", "make -s build/node/installed") {
        does_its_job("node", "node");
    }
}

#[test]
fn go() {
    if has("Go", "go version") {
        does_its_job("go", "go");
    }
}

#[test]
fn zig() {
    if has("Zig 0.15", "(../.venv/bin/python -m ziglang version || zig version) | grep '^0.15'") {
        does_its_job("zig", "zig");
    }
}
