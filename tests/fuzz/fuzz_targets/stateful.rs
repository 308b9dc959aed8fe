//! The interpreter of tests/stateful.rs, led by coverage.

#![no_main]

#[path = "../../stateful/mod.rs"]
mod model;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    model::run(input, std::env::var_os("WEFT_LOG").is_some());
});
