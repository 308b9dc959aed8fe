//! The descriptor of weft_matmul, and its numbers.

use crate::layout::weft_tensor;

/// No epilogue.
pub const WEFT_EPILOGUE_NONE: u32 = 0;
/// max(x, 0); NaN for NaN.
pub const WEFT_EPILOGUE_RELU: u32 = 1;
/// x/2 (1 + erf(x / sqrt 2)).
pub const WEFT_EPILOGUE_GELU: u32 = 2;
/// x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).
pub const WEFT_EPILOGUE_GELU_TANH: u32 = 3;
/// x / (1 + exp(-x)).
pub const WEFT_EPILOGUE_SILU: u32 = 4;
/// max(x, 0); aux, WEFT_U8 [..., M, ceil(N/8)], is written: bit j%8 of byte j/8 of a row is 1 where x > 0, else 0,
/// and so are the bits past N. It is cuBLASLt's mask, whose leading dimension is 8 times aux's stride from row to row.
pub const WEFT_EPILOGUE_RELU_AUX: u32 = 5;
/// As WEFT_EPILOGUE_GELU; aux [..., M, N] is written: x.
pub const WEFT_EPILOGUE_GELU_AUX: u32 = 6;
/// As WEFT_EPILOGUE_GELU_TANH; aux [..., M, N] is written: x.
pub const WEFT_EPILOGUE_GELU_TANH_AUX: u32 = 7;
/// The gradient of relu: x where aux, a mask as WEFT_EPILOGUE_RELU_AUX writes it, has a 1, else 0.
pub const WEFT_EPILOGUE_DRELU: u32 = 8;
/// The gradient of gelu: x gelu'(aux), where aux [..., M, N] is what WEFT_EPILOGUE_GELU_AUX wrote.
pub const WEFT_EPILOGUE_DGELU: u32 = 9;
/// As WEFT_EPILOGUE_DGELU, of WEFT_EPILOGUE_GELU_TANH_AUX.
pub const WEFT_EPILOGUE_DGELU_TANH: u32 = 10;

/// In `weft_matmul_desc.flags`: take alpha as it stands also when it is 0 (else 0 means 1).
pub const WEFT_MATMUL_ALPHA: u32 = 1;
/// In `weft_matmul_desc.flags`: on a GPU, f32 factors may be rounded to TF32, which keeps 10 bits after the point, for
/// speed: each is off by up to 2^-11 of itself. No effect on other types and on the CPU.
pub const WEFT_MATMUL_ALLOW_TF32: u32 = 2;
/// In `weft_matmul_desc.flags`: A is conjugated. No effect on real types.
pub const WEFT_MATMUL_CONJUGATE_A: u32 = 4;
/// In `weft_matmul_desc.flags`: B is conjugated. No effect on real types.
pub const WEFT_MATMUL_CONJUGATE_B: u32 = 8;
/// In `weft_matmul_desc.flags`: bias_grad is the sum of A over k, [M].
pub const WEFT_MATMUL_BIAS_GRAD_A: u32 = 16;
/// In `weft_matmul_desc.flags`: bias_grad is the sum of B over k, [N].
pub const WEFT_MATMUL_BIAS_GRAD_B: u32 = 32;
/// In `weft_matmul_desc.flags`: the first request of its kind tries several algorithms, measures them and keeps the fastest
/// for those that follow. No effect on the CPU.
pub const WEFT_MATMUL_AUTOTUNE: u32 = 64;
/// In `weft_matmul_desc.flags`: sums of 8-bit floats may keep fewer bits than f32 has, as a GPU's units add them fastest.
pub const WEFT_MATMUL_FAST_ACCUMULATION: u32 = 128;

/// In `weft_matmul_desc.compute`: f32 for halves, 8-bit floats and f32 (and each part of c32); f64 for f64 and c64; i32
/// for i8.
pub const WEFT_COMPUTE_DEFAULT: u32 = 0;
/// In `weft_matmul_desc.compute`: products and sums in f32. Factors of 8, 16 and 32 bits, c32.
pub const WEFT_COMPUTE_F32: u32 = 1;
/// In `weft_matmul_desc.compute`: f32 factors may be rounded to TF32, sums are f32. f32 and c32.
pub const WEFT_COMPUTE_TF32: u32 = 2;
/// In `weft_matmul_desc.compute`: f32 factors may be rounded to bfloat16, sums are f32. f32 and c32.
pub const WEFT_COMPUTE_BF16: u32 = 3;
/// In `weft_matmul_desc.compute`: sums may be f16. f16 factors.
pub const WEFT_COMPUTE_F16: u32 = 4;
/// In `weft_matmul_desc.compute`: products and sums in f64. f64, c64.
pub const WEFT_COMPUTE_F64: u32 = 5;
/// In `weft_matmul_desc.compute`: products and sums in i32. i8 factors.
pub const WEFT_COMPUTE_I32: u32 = 6;
/// In `weft_matmul_desc.compute`: where b is of a block type, a may be rounded to signed bytes with one scale for each 32
/// elements of a row, each then off by up to 1/254 of the largest of its 32; or the elements of both factors to bfloat16, each
/// off by up to 2^-9 of itself. Sums are exact, or f32.
pub const WEFT_COMPUTE_I8: u32 = 7;

/// What `weft_matmul` computes: D = d_scale act(alpha scaled(A) scaled(B) + beta C + bias).
///
/// Element types of a x b -> d:
/// WEFT_F32 x WEFT_F32, WEFT_F16 or WEFT_BF16 -> WEFT_F32; WEFT_F64 x WEFT_F64 -> WEFT_F64;
/// WEFT_F16 x WEFT_F16 -> WEFT_F16 or WEFT_F32; WEFT_BF16 x WEFT_BF16 -> WEFT_BF16 or WEFT_F32;
/// WEFT_F8_E4M3 or _E5M2 x the same or the other -> WEFT_F8_E4M3, WEFT_F8_E5M2, WEFT_BF16, WEFT_F16 or WEFT_F32;
/// WEFT_I8 x WEFT_I8 -> WEFT_I32, or, with scales or without, WEFT_F32, WEFT_F16 or WEFT_BF16;
/// WEFT_C32 x WEFT_C32 -> WEFT_C32; WEFT_C64 x WEFT_C64 -> WEFT_C64;
/// WEFT_F32, WEFT_F16 or WEFT_BF16 x a block type, WEFT_Q8_0 to WEFT_Q6_K -> a's dtype or WEFT_F32: weights that stay as they
/// lie in a GGUF file, [N, K] in memory with blocks along K, so that b's strides are [1, K]. Their elements are taken exactly as
/// the format defines them, infinite and NaN scales included.
/// c is of d's dtype (WEFT_BF16 or WEFT_F16 where that is an 8-bit float); bias and bias_grad of the same or WEFT_F32
/// (where d is WEFT_F64, WEFT_I32 or complex: of d's alone).
///
/// Accuracy: with u = 2^-24 (f64: 2^-53) the value before the epilogue is off by at most
/// (K + 4) u (|alpha| |A| |B| + |beta C| + |bias|) (complex: twice that; each granularity of scales: 2 u more), the
/// epilogue by a few u of its argument besides, and the result is rounded to d's dtype once. An 8-bit float takes the largest
/// finite number where the value lies beyond it. Sums are ordered alike for any number of threads. Where the machine multiplies
/// bfloat16 in hardware, subnormal inputs and products count as 0. A GPU's units for 8-bit floats add up with fewer bits: on those
/// devices the value may be off by 2^-10 |alpha| |A| |B| besides; and cuBLASLt may round A B to a d of 16 bits once more before
/// it adds c or the bias. WEFT_I32 is exact modulo 2^32. NaN and infinities go where these formulas, in IEEE 754, take them: the
/// gelus and silu of -infinity are NaN.
///
/// alpha 0 (with its flag) and K = 0 leave A and B unread: D = act(beta C + bias). beta 0 leaves C unread, whatever lies there.
///
/// What is written (d, aux but where it is read, bias_grad, amax) overlaps nothing else, by whichever buffers it is named; c
/// alone may be exactly d.
///
/// The sixteen epilogues of cuBLASLt: DEFAULT is WEFT_EPILOGUE_NONE, RELU, GELU (cuBLASLt's is WEFT_EPILOGUE_GELU_TANH),
/// RELU_AUX, GELU_AUX, DRELU and DGELU those of these names; the five with BIAS the same with a bias; DRELU_BGRAD and
/// DGELU_BGRAD the same with bias_grad; BGRADA and BGRADB WEFT_MATMUL_BIAS_GRAD_A and _BIAS_GRAD_B with bias_grad.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_matmul_desc {
    /// sizeof(weft_matmul_desc).
    pub struct_size: u32,
    /// WEFT_MATMUL_ALPHA ... WEFT_MATMUL_FAST_ACCUMULATION, any of them, or 0.
    pub flags: u32,
    /// [..., M, K]; a transpose is a matter of strides.
    pub a: weft_tensor,
    /// [..., K, N].
    pub b: weft_tensor,
    /// [..., M, N] or broadcastable to it; optional, and read only when beta is not 0. May be exactly d.
    pub c: weft_tensor,
    /// [..., M, N], the result. The batch axes of a, b and c broadcast to those of d.
    pub d: weft_tensor,
    /// Broadcastable to d ([N] adds to every row, [M, 1] to every column); optional, and not with WEFT_EPILOGUE_DRELU, _DGELU
    /// and _DGELU_TANH.
    pub bias: weft_tensor,
    /// Scales A B; 0 (alpha_imag too) means 1 unless WEFT_MATMUL_ALPHA is set. Finite, and rounded to f32 unless d is WEFT_F64 or
    /// WEFT_C64: what has no finite f32 is refused. A whole number of 32 bits where d is WEFT_I32.
    pub alpha: f64,
    /// Scales C; 0 (beta_imag too) ignores C. As alpha: finite, rounded to f32, whole where d is WEFT_I32.
    pub beta: f64,
    /// WEFT_EPILOGUE_NONE ... _DGELU_TANH: applied last. Complex d: WEFT_EPILOGUE_NONE; WEFT_I32: that or _RELU.
    pub epilogue: u32,
    /// WEFT_COMPUTE_DEFAULT ... WEFT_COMPUTE_I8: how exact is good enough. A device may always compute more exactly.
    pub compute: u32,
    /// What A is multiplied by, WEFT_F32; optional, for factors of 8-bit floats, and of WEFT_I8 where d is a float. Its dims
    /// tell how fine: one element, of any rank: all of A; [..., M, 1]: each row; [..., M, ceil(K/128)]: 1 x 128 blocks;
    /// [..., ceil(M/128), ceil(K/128)]: 128 x 128 blocks. Batch axes broadcast to those of d ([..., 1, 1]: one a matrix).
    pub a_scale: weft_tensor,
    /// What B is multiplied by, as a_scale: one element; [..., 1, N]: each column; [..., ceil(K/128), N]: 128 x 1 blocks;
    /// [..., ceil(K/128), ceil(N/128)]: 128 x 128 blocks.
    pub b_scale: weft_tensor,
    /// What is multiplied by before the value is rounded to an 8-bit float, WEFT_F32, one element; optional, for d of those
    /// types alone.
    pub d_scale: weft_tensor,
    /// What WEFT_EPILOGUE_RELU_AUX, _GELU_AUX and _GELU_TANH_AUX write besides, and what _DRELU, _DGELU and _DGELU_TANH read.
    /// Of WEFT_U8 where it is a mask, else of c's dtype.
    pub aux: weft_tensor,
    /// Imaginary part of alpha; 0 but for complex types.
    pub alpha_imag: f64,
    /// Imaginary part of beta; 0 but for complex types.
    pub beta_imag: f64,
    /// A gradient of a bias, written; optional. With WEFT_EPILOGUE_DRELU, _DGELU or _DGELU_TANH: [N], the sum of all rows of
    /// D before they are rounded and scaled; with WEFT_MATMUL_BIAS_GRAD_A: [M], the sum of A over k; with
    /// WEFT_MATMUL_BIAS_GRAD_B: [N], that of B. With d's batch axes in front each matrix has its own, without them
    /// those of all matrices are added up. Real factors of 16 bits or more; with the epilogues 8-bit floats too.
    pub bias_grad: weft_tensor,
    /// The largest |value| behind the epilogue, before d_scale and rounding, written; WEFT_F32, one element; NaN if some value
    /// is, 0 where d is empty. Optional, for floats of at most 32 bits.
    pub amax: weft_tensor,
    /// Bytes of scratch memory that the request may take at the most on the device; 0 for the library's choice. The CPU counts
    /// what all threads share.
    pub workspace: u64,
}
