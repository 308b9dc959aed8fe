//! What becomes of a CUDA device that fails, at any of its driver's calls and in any way: each accepted request completes
//! once and with the truth, what is left can be released, and the rest of the process goes on. With a stand-in for the
//! driver, a process for each fault; and, where there is a GPU, with true faults.

#[path = "../support/mod.rs"]
mod support;

mod gpu;
mod job;
mod product;

/// What a test runs in a process of its own.
#[test]
fn child() {
    match std::env::var("WEFT_FAULT_JOB").as_deref() {
        Ok("fault") => product::meet_fault(),
        Ok("hang") => product::hang(),
        Ok(kind) => gpu::child(kind),
        Err(_) => println!("skipped: part of other tests, which run it with a driver of their own"),
    }
}
