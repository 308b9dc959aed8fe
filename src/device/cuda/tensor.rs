//! Tensors as the tensor memory accelerator sees them: what `cuTensorMapEncodeTiled` is told.

use crate::dtype::Dtype;

/// A tensor of 16-bit or 8-bit floats, innermost dimension first, and the tile that is copied at once, whose rows of 128 bytes are
/// scattered in shared memory so that eight of them below each other lie in different banks.
#[derive(Clone, Copy, Debug)]
pub struct Tensor {
    /// Of its elements.
    pub dtype: Dtype,
    /// Its first element, aligned to 16 bytes.
    pub at: u64,
    /// Elements.
    pub dims: [u64; 3],
    /// From one row, and from one matrix, to the next: bytes, multiples of 16 below 2^40.
    pub strides: [u64; 2],
    /// Of a tile; a row is 128 bytes.
    pub cut: [u32; 3],
}

/// As the driver writes it.
#[repr(align(64))]
pub(super) struct Map(pub(super) [u8; 128]);

impl Tensor {
    /// CU_TENSOR_MAP_INTERLEAVE_NONE, which is also no special value outside, CU_TENSOR_MAP_SWIZZLE_128B,
    /// CU_TENSOR_MAP_L2_PROMOTION_L2_256B.
    pub(super) const MODES: [i32; 3] = [0, 3, 3];

    /// A CU_TENSOR_MAP_DATA_TYPE number.
    pub(super) fn kind(&self) -> i32 {
        match self.dtype {
            Dtype::F16 => 6,
            Dtype::Bf16 => 9,
            _ => 0, // bytes
        }
    }
}
