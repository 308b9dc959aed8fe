//! The README's C program compiles as it stands there, with the flags that it names, and prints what it should; the tests
//! that it names beside its promises exist.

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

/// What stands between backquotes in a line.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

#[test]
fn every_promise_names_tests_that_exist() {
    let readme = std::fs::read_to_string("README.md").unwrap();
    let (mut files, mut functions) = (0, 0);
    for row in readme.lines().filter_map(|line| line.strip_suffix(" |")?.rsplit_once(" | ")) {
        let mut text = String::new();
        for name in quoted(row.1).filter(|_| row.1.contains("`tests/")) {
            if name.starts_with("tests/") {
                let path = std::path::Path::new(name);
                assert!(path.exists(), "README.md names {name}, which is not there");
                text = std::fs::read_to_string(path).unwrap_or_default();
                files += 1;
            } else if name.contains('_') && !name.starts_with("weft_") {
                assert!(
                    text.contains(&format!("fn {name}(")),
                    "README.md: no test {name} in the file before it"
                );
                functions += 1;
            }
        }
    }
    println!("{files} files and {functions} tests named beside promises");
    assert!(files > 30 && functions > 30);
}
