//! What the kernels of several families need on a GPU: arrays of any dtype, elements as bits, strided operands
//! walked together, loops that lanes share, sums over a block.

mod array;
mod block;
pub mod math;
mod philox;
mod piece;
mod rows;
mod raw;
mod lanes;
pub mod math;
mod space;
mod turns;

pub use array::{Array, Float, to_odd};
pub use block::fold_block;
pub use philox::philox4x32;
pub use piece::{Chunk, Real, packed, piece_len};
pub use rows::{Place, Plan, Rows, Team, Way, row_words};
pub use raw::{Raw, elements, load_words, store_words};
pub use lanes::{Lane, load_words, store_words};
pub use space::Space;
pub use turns::turns;
