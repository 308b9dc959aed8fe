//! The host survives: C programs that fork, unload, exit, take signals and end threads under load, and a panic inside the
//! library, which becomes a status in silence. Each prints its figure.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Once};
use weft::device::{Context, Cpu};
use weft::op::Op;
use weft::queue::{Queue, Request, Tag, wait};
use weft::status::*;

/// A folder of its own, with the library by its soname.
fn folder() -> &'static Path {
    static MADE: Once = Once::new();
    let folder = Path::new(concat!(env!("CARGO_TARGET_TMPDIR"), "/host"));
    MADE.call_once(|| {
        std::fs::create_dir_all(folder).unwrap();
        let library = std::env::current_exe().unwrap().with_file_name("libweft.so");
        std::fs::copy(library, folder.join("libweft.so.1")).unwrap();
    });
    folder
}

/// Compiles `tests/c/<name>.c`; `linked` with the library, or to open it by itself.
fn program(name: &str, linked: bool) -> PathBuf {
    let (folder, program) = (folder(), folder().join(name));
    let mut cc = Command::new("cc");
    cc.args(["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread", "-Iinclude", "-o"]);
    cc.arg(&program).arg(format!("tests/c/{name}.c"));
    if linked {
        cc.arg(format!("-L{}", folder.display())).arg("-l:libweft.so.1");
        cc.arg(format!("-Wl,-rpath,{}", folder.display()));
    }
    let done = cc.args(["-lm", "-ldl"]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    program
}

/// Runs a command that must end well, in time, and say nothing on stderr: what it printed, which is printed again.
#[track_caller]
fn figure(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let (text, complaint) = (String::from_utf8(stdout).unwrap(), String::from_utf8_lossy(&stderr));
    assert!(status.success() && complaint.is_empty(), "{command:?}: {status}\n{text}{complaint}");
    print!("{text}");
    text
}

/// A C program with these arguments, killed (status 124) should it hang.
fn timed(name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("timeout");
    command.arg("200").arg(program(name, name != "unload")).args(arguments);
    command
}

#[test]
fn forks_under_load_are_refused() {
    figure(&mut timed("forks", &["1000"]));
}

/// The program about forks calls every function of the header that returns a status.
#[test]
fn every_function_is_tried_in_a_forks_child() {
    let (header, program) = (include_str!("../include/weft.h"), include_str!("c/forks.c"));
    let functions =
        header.lines().filter_map(|line| line.strip_prefix("weft_status weft_")?.split('(').next());
    let functions: Vec<_> = functions.collect();
    assert!(functions.len() > 40);
    for name in functions {
        let called = program.contains(&format!("REFUSED(weft_{name}(")) || name == "matmul";
        assert!(called, "tests/c/forks.c does not call weft_{name} in the child");
    }
}

#[test]
fn dlclose_with_work_in_flight() {
    let library = folder().join("libweft.so.1");
    figure(&mut timed("unload", &["1000", library.to_str().unwrap()]));
}

#[test]
fn exits_under_load() {
    figure(&mut timed("exits", &["1000"]));
}

#[test]
fn signals_reach_host_threads_alone() {
    figure(&mut timed("signals", &["100000"]));
}

#[test]
fn threads_end_and_leave_nothing() {
    figure(&mut timed("endings", &["2000"]));
}

/// stdout and stderr are files here, so that the program can see that nothing was written.
#[test]
fn the_process_is_untouched_and_its_floating_point_mode_changes_no_result() {
    let run = |mode: &str, locale: &str| {
        let (out, err) = (folder().join(format!("out-{mode}")), folder().join(format!("err-{mode}")));
        let mut command = timed("untouched", &[mode]);
        let file = |path: &Path| std::fs::File::create(path).unwrap();
        let status = command.env("LC_ALL", locale).stdout(file(&out)).stderr(file(&err)).status().unwrap();
        let (out, err) = (std::fs::read_to_string(out).unwrap(), std::fs::read_to_string(err).unwrap());
        assert!(status.success() && err.is_empty(), "{mode}: {status}\n{err}");
        out
    };
    let (plain, odd) = (run("plain", "C"), run("odd", "C.UTF-8"));
    println!("results have checksum {} in the default mode and in a strange one {odd}", plain.trim());
    assert_eq!(plain, odd);
}

/// Work that panics, with a payload that panics once more when it is dropped.
struct Panics;

struct Payload;
impl Drop for Payload {
    fn drop(&mut self) {
        panic!("deliberate, again");
    }
}

impl Op for Panics {
    fn cpu(&self, cpu: &Cpu) -> Result<()> {
        cpu.parallel(64, 1 << 30, |tile| assert!(tile % 2 == 0, "deliberate"));
        std::panic::panic_any(Payload)
    }
}

/// Ends on the worker itself.
struct PanicsAtOnce;
impl Op for PanicsAtOnce {
    fn cpu(&self, _: &Cpu) -> Result<()> {
        std::panic::panic_any(Payload)
    }
}

const AGAIN: &str = "WEFT_TEST_PANICS";

#[test]
fn a_panic_becomes_a_status_in_silence() {
    if std::env::var_os(AGAIN).is_none() {
        let mut again = Command::new(std::env::current_exe().unwrap());
        let this = ["--exact", "a_panic_becomes_a_status_in_silence", "--nocapture"];
        let text = figure(again.args(this).env(AGAIN, "1"));
        assert!(text.contains("1 passed"));
        return;
    }
    let context = Arc::new(Context::open("cpu", 2).unwrap());
    let queue = Queue::new(context, 8, 1).unwrap();
    for i in 0..1000 {
        let op: Box<dyn Op> = if i % 2 == 0 { Box::new(Panics) } else { Box::new(PanicsAtOnce) };
        let request = Arc::new(Request::new(op, Tag::default(), Vec::new(), None));
        assert!(queue.submit(request.clone(), u64::MAX));
        assert!(wait(std::slice::from_ref(&request), false, None));
        assert_eq!(request.status(), WEFT_ERROR_INTERNAL);
    }
    println!("1000 panics inside the library, each a status, none on stderr");
}
