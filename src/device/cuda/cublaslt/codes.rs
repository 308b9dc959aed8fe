//! The numbers of cublasLt.h and library_types.h.

use super::product::Compute;
use crate::dtype::Dtype;

/// CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE: parts of a sum are added up before they are rounded to the result's type.
pub(crate) const SUMS_IN_COMPUTE_TYPE: u32 = 2;

/// CUBLASLT_MATMUL_DESC_ ...
pub mod desc {
    pub(crate) const TRANSPOSE_A: i32 = 3;
    pub(crate) const TRANSPOSE_B: i32 = 4;
    pub(crate) const EPILOGUE: i32 = 7;
    pub(crate) const BIAS_POINTER: i32 = 8;
    pub(crate) const BIAS_BATCH: i32 = 10;
    pub(crate) const AUX_POINTER: i32 = 11;
    pub(crate) const AUX_LEADING: i32 = 12;
    pub(crate) const AUX_BATCH: i32 = 13;
    pub(crate) const A_SCALE_POINTER: i32 = 17;
    pub(crate) const B_SCALE_POINTER: i32 = 18;
    pub(crate) const D_SCALE_POINTER: i32 = 20;
    pub(crate) const AMAX_POINTER: i32 = 21;
    pub(crate) const AUX_TYPE: i32 = 22;
    pub(crate) const FAST: i32 = 25;
    pub(crate) const BIAS_TYPE: i32 = 26;
    pub(crate) const A_SCALE_MODE: i32 = 31;
    pub(crate) const B_SCALE_MODE: i32 = 32;
}

/// CUBLASLT_MATRIX_LAYOUT_ ...
pub mod layout {
    pub(crate) const BATCH_COUNT: i32 = 5;
    pub(crate) const BATCH_OFFSET: i32 = 6;
}

/// CUBLASLT_MATMUL_PREF_ ...
pub mod preference {
    pub(crate) const WORKSPACE: i32 = 1;
    pub(crate) const REDUCTION: i32 = 3;
    pub(crate) const ALIGNMENT_A: i32 = 5;
}

/// What the library calls a dtype, cudaDataType.
pub fn dtype(dtype: Dtype) -> i32 {
    match dtype {
        Dtype::F64 => 1,
        Dtype::F16 => 2,
        Dtype::I8 => 3,
        Dtype::C32 => 4,
        Dtype::C64 => 5,
        Dtype::I32 => 10,
        Dtype::Bf16 => 14,
        Dtype::F8E4m3 => 28,
        Dtype::F8E5m2 => 29,
        _ => 0,
    }
}

/// What the library computes in, cublasComputeType_t.
pub fn compute(compute: Compute) -> i32 {
    match compute {
        Compute::F32 => 68,
        Compute::F64 => 70,
        Compute::I32 => 72,
        Compute::F16 => 74,
        Compute::Bf16 => 75,
        Compute::Tf32 => 77,
    }
}
