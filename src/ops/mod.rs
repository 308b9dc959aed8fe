//! One folder a family, the same names in each: `mod.rs` (descriptor and every check), `cpu.rs` (choices on the CPU).
//! A family never imports another; what two need lives in `kernels`.

pub mod attention;
pub mod blas;
pub mod cast;
pub mod elementwise;
pub mod launch;
pub mod matmul;
pub mod norm;
pub mod rank;
pub mod reduce;
pub mod rope;
pub mod rows;
pub mod softmax;
pub mod transfer;
