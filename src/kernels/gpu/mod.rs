//! What the kernels of several families need on a GPU: arrays of any dtype, strided operands walked together, sums over
//! a block.

mod array;
mod block;
mod lanes;
pub mod math;
mod space;

pub use array::{Array, Float, to_odd};
pub use block::fold_block;
pub use lanes::{Lane, load_words, store_words};
pub use space::Space;
