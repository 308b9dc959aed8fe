//! The README's C program compiles as it stands there, with the flags that it names, and prints what it should.

use std::path::PathBuf;
use std::process::Command;

/// The folder with libweft.so: that of the test program's own profile.
fn library_dir() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    program.parent().unwrap().parent().unwrap().to_path_buf()
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_readme_program_runs() {
    let readme = std::fs::read_to_string("README.md").unwrap();
    let program = readme.split("```c\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let (libraries, dir) = (library_dir(), PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("readme"));
    assert!(libraries.join("libweft.so").exists(), "run `cargo build --release` first");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("program.c"), program).unwrap();
    std::fs::copy(libraries.join("libweft.so"), dir.join("libweft.so.1")).unwrap();
    let source = dir.join("program.c");
    let shared = dir.join("shared");
    run(Command::new("cc")
        .args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-Iinclude", "-o"])
        .arg(&shared)
        .arg(&source)
        .arg("-L")
        .arg(&libraries)
        .arg("-lweft"));
    assert_eq!(run(Command::new(&shared).env("LD_LIBRARY_PATH", &dir)), "1 1 1 1\n");
    let fixed = dir.join("static");
    run(Command::new("cc")
        .args(["-Iinclude", "-o"])
        .arg(&fixed)
        .arg(&source)
        .arg(libraries.join("libweft.a"))
        .args(["-lpthread", "-ldl", "-lm"]));
    assert_eq!(run(&mut Command::new(&fixed)), "1 1 1 1\n");
}
