//! What the kernels of several families need on a GPU: arrays of any dtype, elements as bits, strided operands
//! walked together, loops that lanes share, sums over a block.

mod array;
mod block;
mod lanes;
pub mod math;
mod philox;
mod piece;
mod plan;
mod raw;
mod rows;
mod small;
mod space;
mod turns;

pub use array::{Array, Float, to_odd};
pub use block::{fold_block, fold_team};
pub use lanes::Lane;
pub use philox::philox4x32;
pub use piece::{Chunk, Fill, Real, packed, piece_len, shifted};
pub use plan::{Lie, Plan, Rows, Way, row_words};
pub use raw::{Raw, elements, load_words, load_words_if, store_words, store_words_at};
pub use rows::{Extent, Place, Team};
pub use small::{narrow_small, widen_small};
pub use space::Space;
pub use turns::{turns, turns_together};
