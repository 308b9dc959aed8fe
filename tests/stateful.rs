//! The state machine of the API: random sequences of calls, right and wrong, against a reference model.
//!
//! `WEFT_SEQUENCES` sets how many (100,000 if it is not set). A failing input is shrunk, and its calls and bytes printed:
//! kept as a file in tests/fuzz/seeds, it is run first from then on, here and by the fuzzer.

#[path = "stateful/mod.rs"]
mod model;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use std::cell::Cell;
use std::path::Path;
use std::time::Instant;

fn sequences() -> u32 {
    std::env::var("WEFT_SEQUENCES").map_or(100_000, |text| text.parse().expect("WEFT_SEQUENCES is a number"))
}

#[test]
fn every_answer_is_the_models() {
    let (calls, start) = (Cell::new(0), Instant::now());
    let seeds = replay_seeds();
    let config = Config {
        cases: sequences(),
        failure_persistence: None,
        max_shrink_time: 60_000,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, b"weft: thirty-two bytes of a seed");
    let mut runner = TestRunner::new_with_rng(config, rng);
    let found = runner.run(&vec(any::<u8>(), 0..160), |bytes| {
        calls.set(calls.get() + model::run(&bytes, false));
        Ok(())
    });
    if let Err(TestError::Fail(reason, bytes)) = found {
        report(&reason.to_string(), &bytes);
    }
    println!(
        "{} sequences and {seeds} kept ones, {} calls, every answer the model's ({:.1} s)",
        sequences(),
        calls.get(),
        start.elapsed().as_secs_f64()
    );
}

/// Prints the calls of a failing input, and fails.
fn report(reason: &str, bytes: &[u8]) {
    println!("the calls of the shortest input that fails:");
    let _ = std::panic::catch_unwind(|| model::run(bytes, true));
    panic!("{reason}\nbytes: {bytes:?}\nas a file: printf '{}' > tests/fuzz/seeds/NAME", escaped(bytes));
}

fn escaped(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect()
}

/// Inputs that once failed, or that reach far.
fn replay_seeds() -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds");
    let files: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.iter().for_each(|file| {
        model::run(&std::fs::read(file).unwrap(), false);
    });
    files.len()
}
