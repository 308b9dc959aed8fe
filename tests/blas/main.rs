//! BLAS levels 1 and 2, rank-k updates and triangular systems against plain loops in f64, within the stated bounds: every
//! function, dtype and flag, batches, strides of either sign; what BLAS says of NaN, zeros and ties.

mod array;
mod bad;
mod complex;
mod matrices;
#[path = "../support/mod.rs"]
mod support;
mod systems;
mod threads;
mod vectors;

use weft::dtype::Dtype::{self, *};

const DTYPES: [Dtype; 4] = [F32, F64, C32, C64];

/// A descriptor with its size set.
macro_rules! desc {
    ($name:ident { $($field:ident: $value:expr),* $(,)? }) => {{
        let mut desc = $name { struct_size: size_of::<$name>() as u32, ..Default::default() };
        $(desc.$field = $value;)*
        desc
    }};
}
pub(crate) use desc;
