//! What few multiplications ask for: scales, aux, gradients of a bias, the largest magnitude. How kernels take it, and the
//! kernels that come before and after the product.

mod after;
mod arguments;
mod extras;
mod gradient;
mod slope;
mod sums;

pub use after::{Largest, Spot, Values};
pub use arguments::{FullArgs, FullVals};
pub use extras::{Extras, Share, pack};
pub use sums::run as finish;

use crate::dtype::Dtype;
use crate::ptx::{Target, Text};
use crate::status::Result;

/// Of every kernel here, as text, what differs most.
pub fn texts(target: Target) -> Vec<Result<Text>> {
    use Dtype::{F32, F64, I32};
    let sums = [(F32, false), (F64, false), (I32, false), (I32, true)]
        .map(|(sum, whole)| sums::write(target, sum, whole).map(Text::from));
    let gradients = [(F32, true), (Dtype::Bf16, false), (F64, true), (F64, false)]
        .map(|(dtype, along)| gradient::write(target, dtype, along).map(Text::from));
    sums.into_iter().chain(gradients).collect()
}
