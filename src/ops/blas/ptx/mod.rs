//! The family's kernels: numbers are real or complex by what a kernel is written for, strides are bytes and wrap where they are
//! negative.

pub mod few;
pub mod fold;
pub mod gemv;
pub mod ger;
pub mod syrk;
mod tile;
pub mod trsm;
pub mod update;
mod value;

pub use tile::edge;
pub use value::lanes;
pub(super) use value::with_part;

/// Threads of every block.
pub(in crate::ops::blas) const THREADS: u32 = 256;
