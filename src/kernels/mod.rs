//! Mathematics that two or more families use. Nothing here knows an operation.

pub mod angle;
pub mod block;
pub mod math;
mod versions;
pub mod walk;
pub mod widen;
