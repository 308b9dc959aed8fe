//! What becomes of a CUDA device that fails, at any of its driver's calls and in any way: each accepted request completes
//! once and with the truth, what is left can be released, and the rest of the process goes on. With a stand-in for the
//! driver, a process for each fault; and, where there is a GPU, with true faults.

#[path = "../support/mod.rs"]
mod support;

mod gpu;
mod job;
mod product;
