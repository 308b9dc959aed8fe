//! Mathematics that two or more families use. Nothing here knows an operation.

pub mod angle;
pub mod block;
pub mod convert;
pub mod gpu;
pub mod math;
pub mod moves;
pub mod narrow;
pub mod philox;
pub mod prefetch;
pub mod reader;
mod versions;
pub mod walk;
pub mod widen;
