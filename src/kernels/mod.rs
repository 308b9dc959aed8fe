//! Mathematics that two or more families use. Nothing here knows an operation.

pub mod math;
pub mod philox;
mod versions;
pub mod walk;
