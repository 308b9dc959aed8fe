//! Host out of memory: every allocation that the shipped library makes fails once, and every one from some point on,
//! in each of more than 30 scenarios. No abort, no hang, no leak: what the library holds at the end is never more than
//! without a failure.

use std::path::{Path, PathBuf};
use std::process::Command;

fn library_dir() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    program.parent().unwrap().parent().unwrap().to_path_buf()
}

fn build(dir: &Path) -> (PathBuf, PathBuf) {
    std::fs::create_dir_all(dir).unwrap();
    std::fs::copy(library_dir().join("libweft.so"), dir.join("libweft.so.1")).unwrap();
    let (shim, program) = (dir.join("oomshim.so"), dir.join("oom"));
    let cc = |args: &[&str], out: &Path| {
        let done = Command::new("cc")
            .args(["-O1", "-Wall", "-Wextra", "-Iinclude"])
            .args(args)
            .arg("-o")
            .arg(out)
            .status()
            .unwrap();
        assert!(done.success());
    };
    let (l, library) = (format!("-L{}", dir.display()), "-l:libweft.so.1");
    cc(&["-shared", "-fPIC", "tests/c/oomshim.c", "-ldl"], &shim);
    cc(&["tests/c/oom.c", &l, library, &format!("-Wl,-rpath,{}", dir.display())], &program);
    (shim, program)
}

/// Runs a scenario with the `n`-th allocation failing: how many allocations there were, and how many were left.
fn run(dir: &Path, shim: &Path, program: &Path, scenario: usize, n: i64, mode: &str) -> (i64, i64) {
    let report = dir.join(format!("report-{scenario}"));
    let _ = std::fs::remove_file(&report);
    let mut command = Command::new("timeout");
    command.arg("20").arg(program).arg(scenario.to_string()).env("LD_PRELOAD", shim);
    command
        .env("WEFT_OOM_LIB", "libweft")
        .env("WEFT_OOM_N", n.to_string())
        .env("WEFT_OOM_MODE", mode)
        .env("WEFT_OOM_REPORT", &report);
    let output = command.output().unwrap();
    let what = format!("scenario {scenario}, allocation {n}, {mode}");
    assert!(output.status.success(), "{what}: {} {}", output.status, String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{what}: printed {}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(&report).unwrap();
    let mut numbers = text.split_whitespace().map(|word| word.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

#[test]
fn no_allocation_failure_aborts_or_leaks() {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("oom");
    let (shim, program) = build(&dir);
    let count: usize =
        String::from_utf8(Command::new(&program).output().unwrap().stdout).unwrap().trim().parse().unwrap();
    assert!(count >= 30);
    let mut runs = 0;
    for scenario in 0..count {
        let (allocations, left) = run(&dir, &shim, &program, scenario, -1, "once");
        assert!(
            allocations > 5,
            "scenario {scenario} saw {allocations} allocations: the shim misses the library"
        );
        for n in 1..=allocations {
            // The same places over and over (many buffers, many requests) are sampled.
            if n > 120 && n % 23 != 0 {
                continue;
            }
            for mode in ["once", "forever"] {
                let (_, now) = run(&dir, &shim, &program, scenario, n, mode);
                assert!(
                    now <= left + 8,
                    "scenario {scenario}, allocation {n}, {mode}: {now} left, {left} without a failure"
                );
                runs += 1;
            }
        }
    }
    println!("{count} scenarios, {runs} runs, 0 aborts, 0 leaks");
}
