//! Programs of other tools, run where they are installed.

use std::io::ErrorKind;
use std::process::{Command, Output};

/// Runs a program; `None`, said on stderr, if it is not installed.
pub fn run(command: &mut Command) -> Option<Output> {
    match command.output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("skipped: {} is not installed", command.get_program().display());
            None
        }
        output => Some(output.unwrap_or_else(|error| panic!("{command:?}: {error}"))),
    }
}

/// What a program printed that ended well.
#[track_caller]
pub fn succeeded(what: &str, output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{what}: {}\n{}{}",
        output.status,
        text(&output.stderr),
        text(&output.stdout)
    );
    text(&output.stdout)
}
