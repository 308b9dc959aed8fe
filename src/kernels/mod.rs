//! Mathematics that two or more families use. Nothing here knows an operation.

pub mod convert;
pub mod math;
pub mod moves;
pub mod narrow;
pub mod reader;
mod versions;
pub mod walk;
