//! Mathematics that two or more families use. Nothing here knows an operation.

pub mod math;
mod versions;
pub mod walk;
