/* Weft: asynchronous compute behind a C ABI. Generated from the Rust sources by cbindgen: do not edit.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Objects are named by 64-bit handles; 0 is no object. Calls return a weft_status: 0 is success, negative codes are
 * errors, and weft_last_error() has the sentence. Every operation is queued and returns at once; its completion is
 * learnt through the weft_request that it hands out. Structs begin with struct_size = sizeof(the struct); zero in any
 * other field means its default. Every function may be called from any thread.
 */


#ifndef WEFT_H
#define WEFT_H

#include <stddef.h>
#include <stdint.h>

/* Time-outs are in nanoseconds from now; this one never ends. */
#define WEFT_FOREVER UINT64_MAX


/**
 * The buffer can be used.
 */
#define WEFT_BUFFER_READY 1

/**
 * The buffer's device was lost: requests that name it fail.
 */
#define WEFT_BUFFER_LOST 2

/**
 * Version of the C ABI that this header describes: major in the upper 16 bits, minor in the lower.
 */
#define WEFT_ABI_VERSION 65536

/**
 * weft_port_desc: a thread of the library's dispatches the port.
 */
#define WEFT_PORT_THREAD 1

/**
 * Neither high nor low.
 */
#define WEFT_PRIORITY_NORMAL 0

/**
 * Goes first.
 */
#define WEFT_PRIORITY_HIGH 1

/**
 * Goes last.
 */
#define WEFT_PRIORITY_LOW 2

/**
 * weft_request_wait: until all are complete.
 */
#define WEFT_WAIT_ALL 0

/**
 * weft_request_wait: until at least one is complete.
 */
#define WEFT_WAIT_ANY 1

/**
 * weft_write copies the host's bytes during the call, so that they need not stay valid until completion.
 */
#define WEFT_SUBMIT_COPY_HOST 1

/**
 * How many buckets a histogram of weft_stats_info has.
 */
#define WEFT_STATS_BUCKETS 64

/**
 * What kind of device it is, as C sees it: the host's cores.
 */
#define WEFT_DEVICE_CPU 1

/**
 * What kind of device it is, as C sees it: an NVIDIA GPU.
 */
#define WEFT_DEVICE_CUDA 2

/**
 * IEEE 754 binary32.
 */
#define WEFT_F32 1

/**
 * IEEE 754 binary64.
 */
#define WEFT_F64 2

/**
 * IEEE 754 binary16.
 */
#define WEFT_F16 3

/**
 * bfloat16: the upper half of a binary32.
 */
#define WEFT_BF16 4

/**
 * 8-bit float, 4 exponent and 3 mantissa bits, no infinities (OCP FP8 E4M3, "e4m3fn").
 */
#define WEFT_F8_E4M3 5

/**
 * 8-bit float, 5 exponent and 2 mantissa bits (OCP FP8 E5M2).
 */
#define WEFT_F8_E5M2 6

/**
 * Signed 8-bit integer.
 */
#define WEFT_I8 7

/**
 * Signed 16-bit integer.
 */
#define WEFT_I16 8

/**
 * Signed 32-bit integer.
 */
#define WEFT_I32 9

/**
 * Signed 64-bit integer.
 */
#define WEFT_I64 10

/**
 * Unsigned 8-bit integer.
 */
#define WEFT_U8 11

/**
 * Unsigned 16-bit integer.
 */
#define WEFT_U16 12

/**
 * Unsigned 32-bit integer.
 */
#define WEFT_U32 13

/**
 * Unsigned 64-bit integer.
 */
#define WEFT_U64 14

/**
 * One byte, 0 false, anything else true.
 */
#define WEFT_BOOL 15

/**
 * Complex number of two binary32, real part first.
 */
#define WEFT_C32 16

/**
 * Complex number of two binary64, real part first.
 */
#define WEFT_C64 17

/**
 * Blocks of 32 elements in 34 bytes, as GGUF's Q8_0: a WEFT_F16 scale, then signed bytes that it multiplies. This and the
 * block types that follow are for the weights of weft_matmul alone; see weft_tensor.
 */
#define WEFT_Q8_0 18

/**
 * Blocks of 32 elements in 18 bytes, as GGUF's Q4_0: a WEFT_F16 scale d, then 16 bytes whose low halves q are the first 16
 * elements, d (q - 8), and whose high halves are the others.
 */
#define WEFT_Q4_0 19

/**
 * Blocks of 32 elements in 20 bytes, as GGUF's Q4_1: a WEFT_F16 scale d and offset m, then as WEFT_Q4_0, but d q + m.
 */
#define WEFT_Q4_1 20

/**
 * Blocks of 256 elements in 144 bytes, as GGUF's Q4_K: 8 times 32 elements of 4 bits, with scales and offsets of 6 bits.
 */
#define WEFT_Q4_K 21

/**
 * Blocks of 256 elements in 210 bytes, as GGUF's Q6_K: 16 times 16 elements of 6 bits, with scales of 8 bits.
 */
#define WEFT_Q6_K 22

/**
 * The most dimensions that a tensor can have.
 */
#define WEFT_MAX_RANK 8

/**
 * weft_write.
 */
#define WEFT_OP_WRITE 1

/**
 * weft_read.
 */
#define WEFT_OP_READ 2

/**
 * weft_copy.
 */
#define WEFT_OP_COPY 3

/**
 * weft_fill.
 */
#define WEFT_OP_FILL 4

/**
 * weft_barrier.
 */
#define WEFT_OP_BARRIER 5

/**
 * weft_matmul.
 */
#define WEFT_OP_MATMUL 6

/**
 * weft_attention.
 */
#define WEFT_OP_ATTENTION 7

/**
 * weft_rms_norm.
 */
#define WEFT_OP_RMS_NORM 8

/**
 * weft_layer_norm.
 */
#define WEFT_OP_LAYER_NORM 9

/**
 * weft_rope.
 */
#define WEFT_OP_ROPE 10

/**
 * weft_elementwise.
 */
#define WEFT_OP_ELEMENTWISE 11

/**
 * weft_softmax.
 */
#define WEFT_OP_SOFTMAX 12

/**
 * weft_gather_rows.
 */
#define WEFT_OP_GATHER_ROWS 13

/**
 * weft_scatter_rows.
 */
#define WEFT_OP_SCATTER_ROWS 14

/**
 * weft_top_k.
 */
#define WEFT_OP_TOP_K 15

/**
 * weft_arg_reduce.
 */
#define WEFT_OP_ARG_REDUCE 16

/**
 * weft_reduce.
 */
#define WEFT_OP_REDUCE 17

/**
 * weft_cast.
 */
#define WEFT_OP_CAST 18

/**
 * weft_launch.
 */
#define WEFT_OP_LAUNCH 19

/**
 * weft_axpy.
 */
#define WEFT_OP_AXPY 20

/**
 * weft_scal.
 */
#define WEFT_OP_SCAL 21

/**
 * weft_swap.
 */
#define WEFT_OP_SWAP 22

/**
 * weft_rot.
 */
#define WEFT_OP_ROT 23

/**
 * weft_dot.
 */
#define WEFT_OP_DOT 24

/**
 * weft_nrm2.
 */
#define WEFT_OP_NRM2 25

/**
 * weft_asum.
 */
#define WEFT_OP_ASUM 26

/**
 * weft_iamax.
 */
#define WEFT_OP_IAMAX 27

/**
 * weft_gemv.
 */
#define WEFT_OP_GEMV 28

/**
 * weft_ger.
 */
#define WEFT_OP_GER 29

/**
 * weft_syrk.
 */
#define WEFT_OP_SYRK 30

/**
 * weft_trsm.
 */
#define WEFT_OP_TRSM 31

/**
 * Query i sees key j where j <= i + (Skv - Sq): the masks' lower right corners meet. Sq and Skv are those of each batch
 * entry (its lengths, where they are given).
 */
#define WEFT_ATTENTION_CAUSAL 1

/**
 * Align upper left corners instead: query i stands at position i, not at i + (Skv - Sq). Matters to the causal mask, the
 * windows and ALiBi.
 */
#define WEFT_ATTENTION_TOP_LEFT 2

/**
 * Use window_left: query at position p sees no key before p - window_left.
 */
#define WEFT_ATTENTION_WINDOW_LEFT 4

/**
 * Use window_right: query at position p sees no key after p + window_right.
 */
#define WEFT_ATTENTION_WINDOW_RIGHT 8

/**
 * Complex operands: gemv and trsm take conj(A), ger y^H, dot conj(x), syrk A A^H (HERK). Nothing to real operands.
 */
#define WEFT_BLAS_CONJUGATE 1

/**
 * syrk and trsm: the triangle on and above the diagonal (else that on and below it).
 */
#define WEFT_BLAS_UPPER 2

/**
 * trsm: X A = alpha B (else A X = alpha B).
 */
#define WEFT_BLAS_RIGHT 4

/**
 * trsm: the diagonal is taken as ones and not read.
 */
#define WEFT_BLAS_UNIT 8

/**
 * A number beyond the range of y's float dtype, infinity too, becomes its largest finite value in place of infinity or
 * NaN. NaN stays NaN. Without this flag WEFT_F8_E4M3, which has no infinities, gets NaN, the other floats infinity.
 */
#define WEFT_CAST_SATURATE 1

/**
 * alpha and beta are taken as they stand, so that 0 means 0 and not the function's default.
 */
#define WEFT_EW_PARAMETERS 1

/**
 * a + b; integers wrap.
 */
#define WEFT_EW_ADD 1

/**
 * a - b; integers wrap.
 */
#define WEFT_EW_SUB 2

/**
 * a b; integers wrap.
 */
#define WEFT_EW_MUL 3

/**
 * a / b; integers truncate, by zero gives 0.
 */
#define WEFT_EW_DIV 4

/**
 * The larger of a and b; NaN if either is.
 */
#define WEFT_EW_MAX 5

/**
 * The smaller of a and b; NaN if either is.
 */
#define WEFT_EW_MIN 6

/**
 * a to the power of b, as C's pow.
 */
#define WEFT_EW_POW 7

/**
 * The remainder of a / b with the sign of a, as C's fmod; an integer by zero gives 0.
 */
#define WEFT_EW_MOD 8

/**
 * a where a >= 0, else a b.
 */
#define WEFT_EW_PRELU 9

/**
 * a == b; y is WEFT_BOOL.
 */
#define WEFT_EW_EQUAL 10

/**
 * a < b; y is WEFT_BOOL.
 */
#define WEFT_EW_LESS 11

/**
 * a > b; y is WEFT_BOOL.
 */
#define WEFT_EW_GREATER 12

/**
 * a <= b; y is WEFT_BOOL.
 */
#define WEFT_EW_LESS_EQUAL 13

/**
 * a >= b; y is WEFT_BOOL.
 */
#define WEFT_EW_GREATER_EQUAL 14

/**
 * Both of two WEFT_BOOL.
 */
#define WEFT_EW_AND 15

/**
 * Either of two WEFT_BOOL.
 */
#define WEFT_EW_OR 16

/**
 * One of two WEFT_BOOL alone.
 */
#define WEFT_EW_XOR 17

/**
 * silu(a) b.
 */
#define WEFT_EW_SWIGLU 18

/**
 * gelu(a) b, with erf.
 */
#define WEFT_EW_GEGLU 19

/**
 * gelu_tanh(a) b.
 */
#define WEFT_EW_GEGLU_TANH 20

/**
 * relu(a) b.
 */
#define WEFT_EW_REGLU 21

/**
 * b where a, a WEFT_BOOL, else c; any dtype.
 */
#define WEFT_EW_SELECT 22

/**
 * a b + c, rounded once for floats and wrapped for integers.
 */
#define WEFT_EW_FMA 23

/**
 * min(max(a, b), c): c where b > c. NaN if any is.
 */
#define WEFT_EW_CLIP 24

/**
 * -a; integers wrap.
 */
#define WEFT_EW_NEG 25

/**
 * The magnitude of a; integers wrap.
 */
#define WEFT_EW_ABS 26

/**
 * Square root.
 */
#define WEFT_EW_SQRT 27

/**
 * 1 / sqrt(a).
 */
#define WEFT_EW_RSQRT 28

/**
 * 1 / a.
 */
#define WEFT_EW_RECIPROCAL 29

/**
 * a a; integers wrap.
 */
#define WEFT_EW_SQUARE 30

/**
 * e^a.
 */
#define WEFT_EW_EXP 31

/**
 * Natural logarithm.
 */
#define WEFT_EW_LOG 32

/**
 * Sine.
 */
#define WEFT_EW_SIN 33

/**
 * Cosine.
 */
#define WEFT_EW_COS 34

/**
 * Tangent.
 */
#define WEFT_EW_TAN 35

/**
 * Arc sine.
 */
#define WEFT_EW_ASIN 36

/**
 * Arc cosine.
 */
#define WEFT_EW_ACOS 37

/**
 * Arc tangent.
 */
#define WEFT_EW_ATAN 38

/**
 * Hyperbolic sine.
 */
#define WEFT_EW_SINH 39

/**
 * Hyperbolic cosine.
 */
#define WEFT_EW_COSH 40

/**
 * Hyperbolic tangent.
 */
#define WEFT_EW_TANH 41

/**
 * Inverse hyperbolic sine.
 */
#define WEFT_EW_ASINH 42

/**
 * Inverse hyperbolic cosine.
 */
#define WEFT_EW_ACOSH 43

/**
 * Inverse hyperbolic tangent.
 */
#define WEFT_EW_ATANH 44

/**
 * The error function.
 */
#define WEFT_EW_ERF 45

/**
 * 1 / (1 + e^-a).
 */
#define WEFT_EW_SIGMOID 46

/**
 * max(a, 0); NaN for NaN.
 */
#define WEFT_EW_RELU 47

/**
 * a/2 (1 + erf(a / sqrt 2)).
 */
#define WEFT_EW_GELU 48

/**
 * a/2 (1 + tanh(sqrt(2/pi) (a + 0.044715 a^3))).
 */
#define WEFT_EW_GELU_TANH 49

/**
 * a sigmoid(alpha a): swish; alpha is 1 by default.
 */
#define WEFT_EW_SILU 50

/**
 * log(1 + e^a).
 */
#define WEFT_EW_SOFTPLUS 51

/**
 * a / (1 + |a|).
 */
#define WEFT_EW_SOFTSIGN 52

/**
 * a tanh(softplus(a)).
 */
#define WEFT_EW_MISH 53

/**
 * a where a >= 0, else alpha (e^a - 1); alpha is 1 by default.
 */
#define WEFT_EW_ELU 54

/**
 * beta a where a >= 0, else beta alpha (e^a - 1); alpha is 1.67326324..., beta 1.05070098... by default.
 */
#define WEFT_EW_SELU 55

/**
 * a where a >= 0, else alpha (e^(a / alpha) - 1); alpha is 1 by default.
 */
#define WEFT_EW_CELU 56

/**
 * a where a >= 0, else alpha a; alpha is 0.01 by default.
 */
#define WEFT_EW_LEAKY_RELU 57

/**
 * min(max(alpha a + beta, 0), 1); alpha is 0.2, beta 0.5 by default.
 */
#define WEFT_EW_HARD_SIGMOID 58

/**
 * a min(max(a / 6 + 1/2, 0), 1).
 */
#define WEFT_EW_HARD_SWISH 59

/**
 * a where a > alpha, else 0 (NaN for NaN); alpha is 1 by default.
 */
#define WEFT_EW_THRESHOLDED_RELU 60

/**
 * a + beta where a < -alpha, a - beta where a > alpha, else 0 (NaN for NaN); alpha is 0.5, beta 0 by
 * default.
 */
#define WEFT_EW_SHRINK 61

/**
 * Rounded down.
 */
#define WEFT_EW_FLOOR 62

/**
 * Rounded up.
 */
#define WEFT_EW_CEIL 63

/**
 * Rounded to the nearest, halves to even.
 */
#define WEFT_EW_ROUND 64

/**
 * -1, 0 or 1; NaN for NaN.
 */
#define WEFT_EW_SIGN 65

/**
 * Not a WEFT_BOOL.
 */
#define WEFT_EW_NOT 66

/**
 * Whether a is NaN; y is WEFT_BOOL.
 */
#define WEFT_EW_IS_NAN 67

/**
 * Whether a is an infinity; y is WEFT_BOOL.
 */
#define WEFT_EW_IS_INF 68

/**
 * A number of 32 bits without sign, from weft_argument.integer.
 */
#define WEFT_ARGUMENT_U32 1

/**
 * A number of 32 bits with sign, from weft_argument.integer: -1 is UINT64_MAX there.
 */
#define WEFT_ARGUMENT_I32 2

/**
 * A number of 64 bits without sign, from weft_argument.integer.
 */
#define WEFT_ARGUMENT_U64 3

/**
 * A number of 64 bits with sign, from weft_argument.integer: -1 is UINT64_MAX there.
 */
#define WEFT_ARGUMENT_I64 4

/**
 * A float, from weft_argument.real, rounded.
 */
#define WEFT_ARGUMENT_F32 5

/**
 * A double, from weft_argument.real.
 */
#define WEFT_ARGUMENT_F64 6

/**
 * The device's address of byte weft_argument.offset of weft_argument.buffer.
 */
#define WEFT_ARGUMENT_BUFFER 7

/**
 * The first weft_argument.size of weft_argument.bytes: a struct, or a number of another width.
 */
#define WEFT_ARGUMENT_BYTES 8

/**
 * The weft_argument.size bytes at the host's address weft_argument.integer, read during the call: a parameter of any size.
 */
#define WEFT_ARGUMENT_HOST 9

/**
 * The most bytes that an argument of WEFT_ARGUMENT_BYTES has.
 */
#define WEFT_MAX_ARGUMENT_BYTES 128

/**
 * No epilogue.
 */
#define WEFT_EPILOGUE_NONE 0

/**
 * max(x, 0); NaN for NaN.
 */
#define WEFT_EPILOGUE_RELU 1

/**
 * x/2 (1 + erf(x / sqrt 2)).
 */
#define WEFT_EPILOGUE_GELU 2

/**
 * x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).
 */
#define WEFT_EPILOGUE_GELU_TANH 3

/**
 * x / (1 + exp(-x)).
 */
#define WEFT_EPILOGUE_SILU 4

/**
 * max(x, 0); aux, WEFT_U8 [..., M, ceil(N/8)], is written: bit j%8 of byte j/8 of a row is 1 where x > 0, else 0,
 * and so are the bits past N. It is cuBLASLt's mask, whose leading dimension is 8 times aux's stride from row to row.
 */
#define WEFT_EPILOGUE_RELU_AUX 5

/**
 * As WEFT_EPILOGUE_GELU; aux [..., M, N] is written: x.
 */
#define WEFT_EPILOGUE_GELU_AUX 6

/**
 * As WEFT_EPILOGUE_GELU_TANH; aux [..., M, N] is written: x.
 */
#define WEFT_EPILOGUE_GELU_TANH_AUX 7

/**
 * The gradient of relu: x where aux, a mask as WEFT_EPILOGUE_RELU_AUX writes it, has a 1, else 0.
 */
#define WEFT_EPILOGUE_DRELU 8

/**
 * The gradient of gelu: x gelu'(aux), where aux [..., M, N] is what WEFT_EPILOGUE_GELU_AUX wrote.
 */
#define WEFT_EPILOGUE_DGELU 9

/**
 * As WEFT_EPILOGUE_DGELU, of WEFT_EPILOGUE_GELU_TANH_AUX.
 */
#define WEFT_EPILOGUE_DGELU_TANH 10

/**
 * In `weft_matmul_desc.flags`: take alpha as it stands also when it is 0 (else 0 means 1).
 */
#define WEFT_MATMUL_ALPHA 1

/**
 * In `weft_matmul_desc.flags`: on a GPU, f32 factors may be rounded to TF32, which keeps 10 bits after the point, for
 * speed: each is off by up to 2^-11 of itself. No effect on other types and on the CPU.
 */
#define WEFT_MATMUL_ALLOW_TF32 2

/**
 * In `weft_matmul_desc.flags`: A is conjugated. No effect on real types.
 */
#define WEFT_MATMUL_CONJUGATE_A 4

/**
 * In `weft_matmul_desc.flags`: B is conjugated. No effect on real types.
 */
#define WEFT_MATMUL_CONJUGATE_B 8

/**
 * In `weft_matmul_desc.flags`: bias_grad is the sum of A over k, [M].
 */
#define WEFT_MATMUL_BIAS_GRAD_A 16

/**
 * In `weft_matmul_desc.flags`: bias_grad is the sum of B over k, [N].
 */
#define WEFT_MATMUL_BIAS_GRAD_B 32

/**
 * In `weft_matmul_desc.flags`: the first request of its kind tries several algorithms, measures them and keeps the fastest
 * for those that follow. No effect on the CPU.
 */
#define WEFT_MATMUL_AUTOTUNE 64

/**
 * In `weft_matmul_desc.flags`: sums of 8-bit floats may keep fewer bits than f32 has, as a GPU's units add them fastest.
 */
#define WEFT_MATMUL_FAST_ACCUMULATION 128

/**
 * In `weft_matmul_desc.compute`: f32 for halves, 8-bit floats and f32 (and each part of c32); f64 for f64 and c64; i32
 * for i8.
 */
#define WEFT_COMPUTE_DEFAULT 0

/**
 * In `weft_matmul_desc.compute`: products and sums in f32. Factors of 8, 16 and 32 bits, c32.
 */
#define WEFT_COMPUTE_F32 1

/**
 * In `weft_matmul_desc.compute`: f32 factors may be rounded to TF32, sums are f32. f32 and c32.
 */
#define WEFT_COMPUTE_TF32 2

/**
 * In `weft_matmul_desc.compute`: f32 factors may be rounded to bfloat16, sums are f32. f32 and c32.
 */
#define WEFT_COMPUTE_BF16 3

/**
 * In `weft_matmul_desc.compute`: sums may be f16. f16 factors.
 */
#define WEFT_COMPUTE_F16 4

/**
 * In `weft_matmul_desc.compute`: products and sums in f64. f64, c64.
 */
#define WEFT_COMPUTE_F64 5

/**
 * In `weft_matmul_desc.compute`: products and sums in i32. i8 factors.
 */
#define WEFT_COMPUTE_I32 6

/**
 * In `weft_matmul_desc.compute`: where b is of a block type, a may be rounded to signed bytes with one scale for each 32
 * elements of a row, each then off by up to 1/254 of the largest of its 32; or the elements of both factors to bfloat16, each
 * off by up to 2^-9 of itself. Sums are exact, or f32.
 */
#define WEFT_COMPUTE_I8 7

/**
 * The weight is stored as its difference from 1.
 */
#define WEFT_NORM_WEIGHT_PLUS_ONE 1

/**
 * The smallest in place of the largest.
 */
#define WEFT_RANK_SMALLEST 1

/**
 * Among equal elements take the last in place of the first (weft_arg_reduce alone).
 */
#define WEFT_RANK_LAST 2

/**
 * Sum; 0 over no elements.
 */
#define WEFT_REDUCE_SUM 0

/**
 * Mean; NaN over no elements.
 */
#define WEFT_REDUCE_MEAN 1

/**
 * Largest; -inf (the smallest integer) over no elements. NaN if any element is.
 */
#define WEFT_REDUCE_MAX 2

/**
 * Smallest; +inf (the largest integer) over no elements. NaN if any element is.
 */
#define WEFT_REDUCE_MIN 3

/**
 * Product; 1 over no elements.
 */
#define WEFT_REDUCE_PROD 4

/**
 * Sum of magnitudes.
 */
#define WEFT_REDUCE_L1 5

/**
 * Square root of the sum of squares.
 */
#define WEFT_REDUCE_L2 6

/**
 * Sum of squares.
 */
#define WEFT_REDUCE_SUM_SQUARE 7

/**
 * Logarithm of the sum.
 */
#define WEFT_REDUCE_LOG_SUM 8

/**
 * Logarithm of the sum of exp, without overflow.
 */
#define WEFT_REDUCE_LOG_SUM_EXP 9

/**
 * Pairs are elements i and i + rotary_dim / 2 (GPT-NeoX); else 2i and 2i + 1 (GPT-J, "interleaved").
 */
#define WEFT_ROPE_HALF_SPLIT 1

/**
 * Turn backwards: undoes the rotation.
 */
#define WEFT_ROPE_INVERSE 2

/**
 * A negative index counts from the end of the table: -N to -1 stand for 0 to N - 1.
 */
#define WEFT_ROWS_FROM_END 1

/**
 * A negative index skips its row: gather leaves the result's row as it is, scatter writes nothing. Not together with
 * WEFT_ROWS_FROM_END.
 */
#define WEFT_ROWS_SKIP_NEGATIVE 2

/**
 * Scatter adds to the row instead of replacing it; rows named twice are added in the order of the indices. Floats of 16
 * bits or more, added in f32 (f64 in f64) and rounded each time, and integers, which wrap.
 */
#define WEFT_ROWS_ADD 4

/**
 * The logarithm of the softmax.
 */
#define WEFT_SOFTMAX_LOG 1

/**
 * Something failed for good: a device was lost, a defect of the library was stopped.
 */
#define WEFT_LOG_ERROR 1

/**
 * A request or a call failed, memory ran out, a queue is stuck.
 */
#define WEFT_LOG_WARN 2

/**
 * What happens seldom: contexts and queues come and go, requests are cancelled.
 */
#define WEFT_LOG_INFO 3

/**
 * What happens often: the way in which each operation runs, refusals by full queues.
 */
#define WEFT_LOG_DEBUG 4

/**
 * What a call returns and what a request ends with: 0 OK, above 0 an outcome that is no failure, below 0 an error.
 */
typedef int32_t weft_status;

/**
 * Handle of a context: one device in use.
 */
typedef uint64_t weft_context;

/**
 * Options of `weft_buffer_create`.
 */
typedef struct weft_buffer_desc {
  /**
   * sizeof(weft_buffer_desc).
   */
  uint32_t struct_size;
  /**
   * 0.
   */
  uint32_t flags;
  /**
   * Memory that exists already, to be used as it is instead of new memory: the device's address of its first byte (a
   * CUdeviceptr on a CUDA device, a host pointer on the CPU), a multiple of 64. It must stay valid until the buffer is
   * released and the last request that names it is complete; it is never freed here. 0 for new memory.
   */
  uint64_t address;
} weft_buffer_desc;

/**
 * Handle of a buffer: memory of a context's device.
 */
typedef uint64_t weft_buffer;

/**
 * What `weft_buffer_info_get` tells.
 */
typedef struct weft_buffer_info {
  /**
   * sizeof(weft_buffer_info), set by the caller.
   */
  uint32_t struct_size;
  /**
   * WEFT_BUFFER_READY or WEFT_BUFFER_LOST.
   */
  uint32_t state;
  /**
   * Bytes.
   */
  uint64_t size;
  /**
   * 1 when created; raised when the context's device is lost.
   */
  uint32_t generation;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * The device's address of the first byte: a CUdeviceptr on a CUDA device, a host pointer on the CPU. Its use by others
   * is ordered with requests by waiting for them alone.
   */
  uint64_t address;
} weft_buffer_info;

/**
 * What `weft_device_info_get` tells of a device.
 */
typedef struct weft_device_info {
  /**
   * sizeof(weft_device_info), set by the caller.
   */
  uint32_t struct_size;
  /**
   * WEFT_DEVICE_CPU or WEFT_DEVICE_CUDA.
   */
  uint32_t kind;
  /**
   * The name to give to weft_context_create, zero-terminated.
   */
  char name[32];
  /**
   * What it is, for people, zero-terminated UTF-8.
   */
  char description[128];
  /**
   * Bytes of memory in all.
   */
  uint64_t memory;
  /**
   * Cores (CPU) or multiprocessors (GPU).
   */
  uint32_t units;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * GPU: its compute capability, the number before the point; 0 for the CPU.
   */
  uint32_t compute_major;
  /**
   * GPU: the number behind the point.
   */
  uint32_t compute_minor;
  /**
   * GPU: the CUDA version of its driver, 1000 times the major plus 10 times the minor; 0 for the CPU.
   */
  uint32_t cuda_version;
  /**
   * 0.
   */
  uint32_t reserved1;
} weft_device_info;

/**
 * Options of `weft_context_create`.
 */
typedef struct weft_context_desc {
  /**
   * sizeof(weft_context_desc).
   */
  uint32_t struct_size;
  /**
   * Threads that a kernel of the CPU device may use, 256 at most; 0 means one for each physical core.
   */
  uint32_t threads;
} weft_context_desc;

/**
 * What `weft_context_info_get` tells.
 */
typedef struct weft_context_info {
  /**
   * sizeof(weft_context_info), set by the caller.
   */
  uint32_t struct_size;
  /**
   * WEFT_DEVICE_CPU or WEFT_DEVICE_CUDA.
   */
  uint32_t kind;
  /**
   * Threads that a kernel of the CPU device may use.
   */
  uint32_t threads;
  /**
   * WEFT_OK, or WEFT_ERROR_DEVICE_LOST once the device is lost.
   */
  weft_status state;
  /**
   * Bytes in buffers that are not freed yet.
   */
  uint64_t buffer_bytes;
} weft_context_info;

/**
 * Handle of a queue: an ordered stream of requests to a context's device.
 */
typedef uint64_t weft_queue;

/**
 * A view of a buffer: element type, dimensions and strides. Frozen: its fields never change.
 *
 * All bits zero means "no tensor" where an operand is optional.
 */
typedef struct weft_tensor {
  /**
   * Handle of the buffer that holds the elements.
   */
  uint64_t buffer;
  /**
   * Where element (0, 0, ..., 0) is, in bytes from the buffer's start; a multiple of the element's size (of 2 for
   * WEFT_Q8_0 ... WEFT_Q6_K).
   */
  uint64_t offset;
  /**
   * Element type, one of WEFT_F32 ... WEFT_C64, or of the block types WEFT_Q8_0 ... WEFT_Q6_K where an operation says so.
   * Those lie in blocks along one axis, which has stride 1 and a whole number of blocks; every other stride is a multiple
   * of the block's elements, and the tensor takes elements / elements a block * bytes a block.
   */
  uint32_t dtype;
  /**
   * How many of dims are in use: 0 (a single element) to 8.
   */
  uint32_t rank;
  /**
   * Elements along each axis, outermost first; 0 makes an empty tensor.
   */
  int64_t dims[8];
  /**
   * Elements (not bytes) from one index to the next along each axis; may be negative, and 0 repeats an
   * element. All zero means packed row-major.
   */
  int64_t strides[8];
} weft_tensor;

/**
 * What `weft_axpy` computes: y = alpha x + y.
 *
 * f32, f64, c32, c64. Axes in front of the last are batch axes; strides of either sign are BLAS's increments. alpha 0 leaves
 * y as it is, and x unread. Each element is within 2 u (|alpha x| + |y|) of the value (complex: 4 u), u half an ulp of the
 * parts' dtype, to which alpha is rounded first. A product of complex numbers is four products and two sums: an infinite
 * part may make the other one NaN.
 */
typedef struct weft_axpy_desc {
  /**
   * sizeof(weft_axpy_desc).
   */
  uint32_t struct_size;
  /**
   * 0.
   */
  uint32_t flags;
  /**
   * As it stands: 0 is 0.
   */
  double alpha;
  /**
   * Imaginary part of alpha: 0 for real dtypes.
   */
  double alpha_imag;
  /**
   * [..., N]; batch axes broadcastable to y's.
   */
  struct weft_tensor x;
  /**
   * [..., N]: read and written. Does not overlap x, but may be exactly x.
   */
  struct weft_tensor y;
} weft_axpy_desc;

/**
 * Handle of a request: work that a queue accepted.
 */
typedef uint64_t weft_request;

/**
 * Handle of a port: where completions collect.
 */
typedef uint64_t weft_port;

/**
 * A completion: what became of a request. Frozen: 64 bytes, whose fields never change.
 */
typedef struct weft_completion {
  /**
   * The caller's own number, from weft_submit.
   */
  uint64_t user_data;
  /**
   * The request's handle; 0 if none was asked for.
   */
  uint64_t request;
  /**
   * WEFT_OK, or why it failed.
   */
  weft_status status;
  /**
   * Which operation, a WEFT_OP constant.
   */
  uint32_t op;
  /**
   * 0.
   */
  uint32_t flags;
  /**
   * 0.
   */
  uint32_t reserved0;
  /**
   * Nanoseconds that the device spent on it.
   */
  uint64_t device_ns;
  /**
   * 0.
   */
  uint64_t result;
  /**
   * 0.
   */
  uint64_t reserved1[2];
} weft_completion;

/**
 * A function of the caller's, to be called with its own number and the record of a completion. It must not throw.
 */
typedef void (*weft_complete_fn)(uint64_t user, const struct weft_completion *completion);

/**
 * A function of the caller's, to be called once with its own number when the library is done with what it was given
 * for. It must not throw.
 */
typedef void (*weft_finalize_fn)(uint64_t user_data);

/**
 * Options of a submission; NULL means all defaults.
 */
typedef struct weft_submit {
  /**
   * sizeof(weft_submit).
   */
  uint32_t struct_size;
  /**
   * WEFT_SUBMIT_COPY_HOST or 0.
   */
  uint32_t flags;
  /**
   * The caller's own number, handed back in weft_completion.
   */
  uint64_t user_data;
  /**
   * How long to wait for room when the queue or the port is full; 0 answers WEFT_WOULD_BLOCK at once, and so does every
   * submission inside a callback or a finalizer. A signal handler that runs meanwhile ends the wait with
   * WEFT_INTERRUPTED, and nothing was accepted.
   */
  uint64_t timeout_ns;
  /**
   * Requests of any queue that must be complete before this one begins; if one fails, so does this one. NULL with 0.
   */
  const weft_request *after;
  /**
   * How many requests after names.
   */
  uint32_t after_count;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * The port that takes the completion; 0 for none. As long as its completions, pending or not taken yet, are as many
   * as its capacity it is full.
   */
  weft_port port;
  /**
   * Called with user_data and the record, by weft_port_dispatch or by the port's own thread, which may be before the
   * submission returns, but not before it has written the request's handle to *out. Needs a port, and a port
   * with WEFT_PORT_THREAD needs it. NULL for none.
   */
  weft_complete_fn callback;
  /**
   * Nanoseconds from now after which the request ends with WEFT_ERROR_DEADLINE_EXCEEDED; 0 for never.
   */
  uint64_t deadline_ns;
  /**
   * Called with user_data exactly once if the request is accepted, never if it is refused: after its callback returned
   * and on the same thread; or, on a thread of the library's, when no callback will ever be called: there is no port and
   * the request is complete, its record was taken by weft_port_poll or weft_port_wait, or the port was released. In any
   * case the device is done with the request, and so with the host's memory that it names: when a deadline passed while
   * it ran, a thread of the library's calls the finalizer later. Never inside a submission, a cancel or a release. It
   * must be brief, for all others wait for it, and may call what a callback may. NULL for none.
   */
  weft_finalize_fn finalizer;
} weft_submit;

/**
 * What `weft_scal` computes: x = alpha x.
 *
 * f32, f64, c32, c64, any shape. alpha 0 is multiplied with as every other: infinities and NaN become NaN. Each element is
 * within u (complex: 3 u) of its magnitude, u half an ulp of the parts' dtype, to which alpha is rounded first.
 */
typedef struct weft_scal_desc {
  /**
   * sizeof(weft_scal_desc).
   */
  uint32_t struct_size;
  /**
   * 0.
   */
  uint32_t flags;
  /**
   * As it stands: 0 is 0.
   */
  double alpha;
  /**
   * Imaginary part of alpha: 0 for real dtypes.
   */
  double alpha_imag;
  /**
   * [..., N]: read and written.
   */
  struct weft_tensor x;
} weft_scal_desc;

/**
 * What `weft_swap` does: x and y change places.
 *
 * f32, f64, c32, c64; bits are moved as they are.
 */
typedef struct weft_swap_desc {
  /**
   * sizeof(weft_swap_desc).
   */
  uint32_t struct_size;
  /**
   * 0.
   */
  uint32_t flags;
  /**
   * [..., N]: read and written.
   */
  struct weft_tensor x;
  /**
   * As x: read and written. Does not overlap x.
   */
  struct weft_tensor y;
} weft_swap_desc;

/**
 * What `weft_rot` computes: x = c x + s y, y = c y - conj(s) x, both of the x and y before.
 *
 * f32, f64, c32, c64; c is real, s may be complex where x is. Each element is within 3 u (|c x| + |s y|) (complex: 5 u) of
 * the value, u half an ulp of the parts' dtype, to which c and s are rounded first.
 */
typedef struct weft_rot_desc {
  /**
   * sizeof(weft_rot_desc).
   */
  uint32_t struct_size;
  /**
   * 0.
   */
  uint32_t flags;
  /**
   * The cosine, as it stands: 0 is 0.
   */
  double c;
  /**
   * The sine, as it stands.
   */
  double s;
  /**
   * Its imaginary part: 0 for real dtypes.
   */
  double s_imag;
  /**
   * [..., N]: read and written.
   */
  struct weft_tensor x;
  /**
   * As x: read and written. Does not overlap x.
   */
  struct weft_tensor y;
} weft_rot_desc;

/**
 * What `weft_dot` computes: result = sum of x y, or of conj(x) y.
 *
 * f32, f64, c32, c64. Products are summed in f64, so that those of f32 are exact, and rounded to the dtype once: with T the
 * sum of |x| |y|, the result is within 2 n 2^-53 T before that (complex: 4 n 2^-53 T), by the bound of any order of summation
 * (N. J. Higham, "Accuracy and Stability of Numerical Algorithms", section 3.1); the result is 0 where N is 0. The order is
 * fixed by shape, strides and alignment: the result is the same each time, and for any number of threads.
 */
typedef struct weft_dot_desc {
  /**
   * sizeof(weft_dot_desc).
   */
  uint32_t struct_size;
  /**
   * WEFT_BLAS_CONJUGATE or 0.
   */
  uint32_t flags;
  /**
   * [..., N]; batch axes broadcastable to result's dims.
   */
  struct weft_tensor x;
  /**
   * [..., N]; batch axes broadcastable to result's dims. May be x.
   */
  struct weft_tensor y;
  /**
   * The batch axes: one element a pair of vectors, of their dtype. Does not overlap x or y.
   */
  struct weft_tensor result;
} weft_dot_desc;

/**
 * What `weft_nrm2`, `weft_asum` and `weft_iamax` compute of each vector.
 *
 * f32, f64, c32, c64.
 *
 * nrm2: the root of the sum of |x|^2, without overflow or underflow on the way. Squares of f32 are summed in f64, where they are
 * exact; those of f64 in three sums, of which two are scaled, after J. L. Blue (1978) and E. Anderson, "Algorithm 978: Safe
 * Scaling in the Level 1 BLAS" (2017). Off by at most (n + 4) 2^-53 of itself before it is rounded to the dtype. NaN if any
 * part is; else infinite if any part is; 0 of no elements.
 *
 * asum: the sum of |re| + |im|, in f64. Off by at most 2 n 2^-53 of itself before it is rounded; 0 of no elements.
 *
 * iamax: the first element whose |re| + |im|, rounded to the dtype, is the largest, counted from 0 (BLAS counts from 1); -1 of
 * no elements. As in BLAS, a NaN is no larger than anything, and where the first element is one, the answer is 0.
 *
 * The order of summation is fixed by shape, strides and alignment: results are the same each time, and for any number of
 * threads.
 */
typedef struct weft_vector_desc {
  /**
   * sizeof(weft_vector_desc).
   */
  uint32_t struct_size;
  /**
   * 0.
   */
  uint32_t flags;
  /**
   * [..., N]; batch axes broadcastable to result's dims.
   */
  struct weft_tensor x;
  /**
   * The batch axes: one element a vector. nrm2 and asum: f32 for f32 and c32, f64 for f64 and c64. iamax: i64 or i32.
   * Does not overlap x.
   */
  struct weft_tensor result;
} weft_vector_desc;

/**
 * What `weft_gemv` computes: y = alpha A x + beta y, or with conj(A).
 *
 * f32, f64, c32, c64. The transpose is A with its last two strides (and dims) exchanged; the Hermitian transpose that and
 * WEFT_BLAS_CONJUGATE. alpha 0 and N = 0 leave A and x unread: y = beta y. beta 0 leaves y unread, whatever lies there. Sums
 * are in the parts' dtype: with u half an ulp of it, an element is within (N + 4) u (|alpha| |A| |x| + |beta y|) of the value
 * (complex: twice that), by the bound of any order of summation (Higham, "Accuracy and Stability of Numerical Algorithms",
 * section 3.1). The order is fixed by shape, strides and alignment: results are the same each time, and for any number of threads.
 */
typedef struct weft_gemv_desc {
  /**
   * sizeof(weft_gemv_desc).
   */
  uint32_t struct_size;
  /**
   * WEFT_BLAS_CONJUGATE or 0.
   */
  uint32_t flags;
  /**
   * As it stands: 0 is 0.
   */
  double alpha;
  /**
   * Imaginary part of alpha: 0 for real dtypes.
   */
  double alpha_imag;
  /**
   * As it stands.
   */
  double beta;
  /**
   * Imaginary part of beta: 0 for real dtypes.
   */
  double beta_imag;
  /**
   * [..., M, N]; batch axes broadcastable to y's.
   */
  struct weft_tensor a;
  /**
   * [..., N]; batch axes broadcastable to y's.
   */
  struct weft_tensor x;
  /**
   * [..., M]: written, and read unless beta is 0. Does not overlap A or x.
   */
  struct weft_tensor y;
} weft_gemv_desc;

/**
 * What `weft_ger` computes: A = A + alpha x y^T, or with y^H.
 *
 * f32, f64, c32, c64. alpha 0 leaves A as it is, and x and y unread; zeros in x and y are multiplied with as every other number.
 * With u half an ulp of the parts' dtype, each element is within 3 u (|A| + |alpha| |x| |y|) of the value (complex: 8 u).
 */
typedef struct weft_ger_desc {
  /**
   * sizeof(weft_ger_desc).
   */
  uint32_t struct_size;
  /**
   * WEFT_BLAS_CONJUGATE or 0.
   */
  uint32_t flags;
  /**
   * As it stands: 0 is 0.
   */
  double alpha;
  /**
   * Imaginary part of alpha: 0 for real dtypes.
   */
  double alpha_imag;
  /**
   * [..., M]; batch axes broadcastable to A's.
   */
  struct weft_tensor x;
  /**
   * [..., N]; batch axes broadcastable to A's. May be x.
   */
  struct weft_tensor y;
  /**
   * [..., M, N]: read and written. Does not overlap x or y.
   */
  struct weft_tensor a;
} weft_ger_desc;

/**
 * What `weft_syrk` computes: C = alpha A A^T + beta C, or with A^H (HERK), in one triangle of C: the other one is neither
 * read nor written.
 *
 * f32, f64, c32, c64. A^T A is A with its last two strides (and dims) exchanged (and, with WEFT_BLAS_CONJUGATE, the other
 * triangle of the result's conjugate). With WEFT_BLAS_CONJUGATE and complex elements alpha and beta are real, the imaginary
 * parts of C's diagonal are taken as 0, and written as 0. alpha 0 and K = 0 leave A unread; beta 0 leaves C unread. With u
 * half an ulp of the parts' dtype, an element is within (K + 4) u (|alpha| |A| |A|^T + |beta C|) of the value (complex: twice
 * that). Results are the same each time, and for any number of threads.
 */
typedef struct weft_syrk_desc {
  /**
   * sizeof(weft_syrk_desc).
   */
  uint32_t struct_size;
  /**
   * WEFT_BLAS_UPPER | WEFT_BLAS_CONJUGATE.
   */
  uint32_t flags;
  /**
   * As it stands: 0 is 0.
   */
  double alpha;
  /**
   * Imaginary part of alpha: 0 for real dtypes and with WEFT_BLAS_CONJUGATE.
   */
  double alpha_imag;
  /**
   * As it stands.
   */
  double beta;
  /**
   * Imaginary part of beta: 0 for real dtypes and with WEFT_BLAS_CONJUGATE.
   */
  double beta_imag;
  /**
   * [..., N, K]; batch axes broadcastable to C's.
   */
  struct weft_tensor a;
  /**
   * [..., N, N]: a triangle is written, and read unless beta is 0. Does not overlap A.
   */
  struct weft_tensor c;
} weft_syrk_desc;

/**
 * What `weft_trsm` solves: A X = alpha B, or X A = alpha B with WEFT_BLAS_RIGHT, A triangular. X takes B's place.
 *
 * f32, f64, c32, c64. The transpose of A is A with its last two strides exchanged, and the other triangle; the Hermitian
 * transpose that and WEFT_BLAS_CONJUGATE. Only the triangle of A is read, without its diagonal with WEFT_BLAS_UNIT. alpha 0 sets B to
 * 0, with A and B unread. Whether A is singular is not looked at: X then holds infinities and NaN.
 *
 * Solved by substitution, in blocks: backward stable, row by row. With u half an ulp of the parts' dtype, what A X is off from
 * alpha B is at most (N + 4) u (|A| |X| + |alpha B|) (complex: four times that), N the order of A (Higham, "Accuracy and
 * Stability of Numerical Algorithms", section 8.1). Results are the same each time, and for any number of threads.
 */
typedef struct weft_trsm_desc {
  /**
   * sizeof(weft_trsm_desc).
   */
  uint32_t struct_size;
  /**
   * WEFT_BLAS_UPPER | WEFT_BLAS_RIGHT | WEFT_BLAS_UNIT | WEFT_BLAS_CONJUGATE.
   */
  uint32_t flags;
  /**
   * As it stands: 0 is 0.
   */
  double alpha;
  /**
   * Imaginary part of alpha: 0 for real dtypes.
   */
  double alpha_imag;
  /**
   * [..., N, N]; batch axes broadcastable to B's.
   */
  struct weft_tensor a;
  /**
   * [..., N, R], or [..., R, N] with WEFT_BLAS_RIGHT: read and written. Does not overlap A.
   */
  struct weft_tensor b;
} weft_trsm_desc;

/**
 * What `weft_matmul` computes: D = d_scale act(alpha scaled(A) scaled(B) + beta C + bias).
 *
 * Element types of a x b -> d:
 * WEFT_F32 x WEFT_F32, WEFT_F16 or WEFT_BF16 -> WEFT_F32; WEFT_F64 x WEFT_F64 -> WEFT_F64;
 * WEFT_F16 x WEFT_F16 -> WEFT_F16 or WEFT_F32; WEFT_BF16 x WEFT_BF16 -> WEFT_BF16 or WEFT_F32;
 * WEFT_F8_E4M3 or _E5M2 x the same or the other -> WEFT_F8_E4M3, WEFT_F8_E5M2, WEFT_BF16, WEFT_F16 or WEFT_F32;
 * WEFT_I8 x WEFT_I8 -> WEFT_I32, or, with scales or without, WEFT_F32, WEFT_F16 or WEFT_BF16;
 * WEFT_C32 x WEFT_C32 -> WEFT_C32; WEFT_C64 x WEFT_C64 -> WEFT_C64;
 * WEFT_F32, WEFT_F16 or WEFT_BF16 x a block type, WEFT_Q8_0 to WEFT_Q6_K -> a's dtype or WEFT_F32: weights that stay as they
 * lie in a GGUF file, [N, K] in memory with blocks along K, so that b's strides are [1, K]. Their elements are taken exactly as
 * the format defines them, infinite and NaN scales included.
 * c is of d's dtype (WEFT_BF16 or WEFT_F16 where that is an 8-bit float); bias and bias_grad of the same or WEFT_F32
 * (where d is WEFT_F64, WEFT_I32 or complex: of d's alone).
 *
 * Accuracy: with u = 2^-24 (f64: 2^-53) the value before the epilogue is off by at most
 * (K + 4) u (|alpha| |A| |B| + |beta C| + |bias|) (complex: twice that; each granularity of scales: 2 u more), the
 * epilogue by a few u of its argument besides, and the result is rounded to d's dtype once. An 8-bit float takes the largest
 * finite number where the value lies beyond it. Sums are ordered alike for any number of threads. Where the machine multiplies
 * bfloat16 in hardware, subnormal inputs and products count as 0. A GPU's units for 8-bit floats add up with fewer bits: on those
 * devices the value may be off by 2^-10 |alpha| |A| |B| besides; and cuBLASLt may round A B to a d of 16 bits once more before
 * it adds c or the bias. WEFT_I32 is exact modulo 2^32. NaN and infinities go where these formulas, in IEEE 754, take them: the
 * gelus and silu of -infinity are NaN.
 *
 * alpha 0 (with its flag) and K = 0 leave A and B unread: D = act(beta C + bias). beta 0 leaves C unread, whatever lies there.
 *
 * What is written (d, aux but where it is read, bias_grad, amax) overlaps nothing else, by whichever buffers it is named; c
 * alone may be exactly d.
 *
 * The sixteen epilogues of cuBLASLt: DEFAULT is WEFT_EPILOGUE_NONE, RELU, GELU (cuBLASLt's is WEFT_EPILOGUE_GELU_TANH),
 * RELU_AUX, GELU_AUX, DRELU and DGELU those of these names; the five with BIAS the same with a bias; DRELU_BGRAD and
 * DGELU_BGRAD the same with bias_grad; BGRADA and BGRADB WEFT_MATMUL_BIAS_GRAD_A and _BIAS_GRAD_B with bias_grad.
 */
typedef struct weft_matmul_desc {
  /**
   * sizeof(weft_matmul_desc).
   */
  uint32_t struct_size;
  /**
   * WEFT_MATMUL_ALPHA ... WEFT_MATMUL_FAST_ACCUMULATION, any of them, or 0.
   */
  uint32_t flags;
  /**
   * [..., M, K]; a transpose is a matter of strides.
   */
  struct weft_tensor a;
  /**
   * [..., K, N].
   */
  struct weft_tensor b;
  /**
   * [..., M, N] or broadcastable to it; optional, and read only when beta is not 0. May be exactly d.
   */
  struct weft_tensor c;
  /**
   * [..., M, N], the result. The batch axes of a, b and c broadcast to those of d.
   */
  struct weft_tensor d;
  /**
   * Broadcastable to d ([N] adds to every row, [M, 1] to every column); optional, and not with WEFT_EPILOGUE_DRELU, _DGELU
   * and _DGELU_TANH.
   */
  struct weft_tensor bias;
  /**
   * Scales A B; 0 (alpha_imag too) means 1 unless WEFT_MATMUL_ALPHA is set. Finite, and rounded to f32 unless d is WEFT_F64 or
   * WEFT_C64: what has no finite f32 is refused. A whole number of 32 bits where d is WEFT_I32.
   */
  double alpha;
  /**
   * Scales C; 0 (beta_imag too) ignores C. As alpha: finite, rounded to f32, whole where d is WEFT_I32.
   */
  double beta;
  /**
   * WEFT_EPILOGUE_NONE ... _DGELU_TANH: applied last. Complex d: WEFT_EPILOGUE_NONE; WEFT_I32: that or _RELU.
   */
  uint32_t epilogue;
  /**
   * WEFT_COMPUTE_DEFAULT ... WEFT_COMPUTE_I8: how exact is good enough. A device may always compute more exactly.
   */
  uint32_t compute;
  /**
   * What A is multiplied by, WEFT_F32; optional, for factors of 8-bit floats, and of WEFT_I8 where d is a float. Its dims
   * tell how fine: one element, of any rank: all of A; [..., M, 1]: each row; [..., M, ceil(K/128)]: 1 x 128 blocks;
   * [..., ceil(M/128), ceil(K/128)]: 128 x 128 blocks. Batch axes broadcast to those of d ([..., 1, 1]: one a matrix).
   */
  struct weft_tensor a_scale;
  /**
   * What B is multiplied by, as a_scale: one element; [..., 1, N]: each column; [..., ceil(K/128), N]: 128 x 1 blocks;
   * [..., ceil(K/128), ceil(N/128)]: 128 x 128 blocks.
   */
  struct weft_tensor b_scale;
  /**
   * What is multiplied by before the value is rounded to an 8-bit float, WEFT_F32, one element; optional, for d of those
   * types alone.
   */
  struct weft_tensor d_scale;
  /**
   * What WEFT_EPILOGUE_RELU_AUX, _GELU_AUX and _GELU_TANH_AUX write besides, and what _DRELU, _DGELU and _DGELU_TANH read.
   * Of WEFT_U8 where it is a mask, else of c's dtype.
   */
  struct weft_tensor aux;
  /**
   * Imaginary part of alpha; 0 but for complex types.
   */
  double alpha_imag;
  /**
   * Imaginary part of beta; 0 but for complex types.
   */
  double beta_imag;
  /**
   * A gradient of a bias, written; optional. With WEFT_EPILOGUE_DRELU, _DGELU or _DGELU_TANH: [N], the sum of all rows of
   * D before they are rounded and scaled; with WEFT_MATMUL_BIAS_GRAD_A: [M], the sum of A over k; with
   * WEFT_MATMUL_BIAS_GRAD_B: [N], that of B. With d's batch axes in front each matrix has its own, without them
   * those of all matrices are added up. Real factors of 16 bits or more; with the epilogues 8-bit floats too.
   */
  struct weft_tensor bias_grad;
  /**
   * The largest |value| behind the epilogue, before d_scale and rounding, written; WEFT_F32, one element; NaN if some value
   * is, 0 where d is empty. Optional, for floats of at most 32 bits.
   */
  struct weft_tensor amax;
  /**
   * Bytes of scratch memory that the request may take at the most on the device; 0 for the library's choice. The CPU counts
   * what all threads share.
   */
  uint64_t workspace;
} weft_matmul_desc;

/**
 * What `weft_attention` computes, for each batch entry b, head h and query i over the keys j that it sees: logit_j =
 * softcap(scale q . k_j) + bias_j - slope |p - j|; lse = ln(sum of exp(logit_j), and of exp(sink logit) if there is one); o
 * = sum of exp(logit_j - lse) v_j.
 *
 * q, k, v and o have one type: f32, f16 or bf16. Query head h uses key and value head h / (Hq / Hkv). The position of
 * query i is p = i + (keys in use - queries in use) of its batch entry, or i with WEFT_ATTENTION_TOP_LEFT.
 *
 * Hidden keys and values are never looked at: NaN or infinity there, in unused rows of a page or past the lengths changes
 * nothing. NaN in a visible key, or in a visible value whose weight is above 0, reaches exactly the rows that see it. A
 * bias of -infinity hides its key, as false in a WEFT_BOOL one does. A row that sees no key is o = 0, lse = -infinity (with
 * sink_logits: lse = the sink's logit); a query past q_lengths, or in no sequence, is o = 0, lse = -infinity always.
 *
 * Lengths, starts and pages are read when the request runs. A value out of range completes the request with
 * WEFT_ERROR_OUT_OF_RANGE before anything is written; of block_table only entries of pages that some query sees are read.
 *
 * Error of o, with u = 2^-24, D the head dimension, N the keys seen, L the largest sum of |scale q_d k_d|, |bias|
 * and |slope (p - j)| of a visible key, and V = max |v| / (1 - dropout): at most 2 V ((2 D + 16) u L + (N + 32) u) in f32
 * and f16, plus rounding to o's type; in bf16 weights may also be rounded to bf16 (2^-8 V more), and numbers below 2^-126
 * may count as 0. That of lse is at most (2 D + 16) u L + (N + 32) u + u |lse|. Results do not depend on the number of
 * threads.
 */
typedef struct weft_attention_desc {
  /**
   * sizeof(weft_attention_desc).
   */
  uint32_t struct_size;
  /**
   * WEFT_ATTENTION bits.
   */
  uint32_t flags;
  /**
   * [B, Hq, Sq, D]; packed (q_starts given): [1, Hq, total queries, D].
   */
  struct weft_tensor q;
  /**
   * [B, Hkv, Skv, D], Hkv divides Hq; packed: [1, Hkv, total keys, D]; paged: [pages, Hkv, page size, D].
   */
  struct weft_tensor k;
  /**
   * As k, with head dimension Dv in place of D.
   */
  struct weft_tensor v;
  /**
   * As q, with Dv in place of D: the result. Rows that see no key are 0.
   */
  struct weft_tensor o;
  /**
   * f32 [B, Hq, Sq] (packed: [1, Hq, total queries]): log of each row's sum of exp; -inf where no key is seen. Optional output.
   */
  struct weft_tensor lse;
  /**
   * f32, f16 or bf16: added to the scaled scores; or WEFT_BOOL: true where attention is allowed. Broadcastable to
   * [B, Hq, Sq, Skv], indexed within a sequence; where q (keys) are packed or paged, its axis of queries (keys) may have any
   * size that covers every sequence, which is checked when the request runs. Optional.
   */
  struct weft_tensor bias;
  /**
   * f32 [Hq] or [B, Hq]: ALiBi; adds -slope |p - j| for a query at position p and key j. Optional.
   */
  struct weft_tensor alibi_slopes;
  /**
   * f32 [Hq]: a logit per head that takes part in the softmax's sum and has no value. Optional.
   */
  struct weft_tensor sink_logits;
  /**
   * i32 [B]: queries in use of each batch entry, from its first; 0 to Sq (packed: to the sequence's rows). Optional.
   */
  struct weft_tensor q_lengths;
  /**
   * i32 [B]: keys in use of each batch entry, from its first; 0 to Skv (packed: to the sequence's rows; paged: to what
   * the row of block_table holds). Needed with block_table, else optional.
   */
  struct weft_tensor kv_lengths;
  /**
   * i32 [B + 1] (cu_seqlens): sequence b of a packed q is rows q_starts[b] to q_starts[b + 1]. Optional.
   */
  struct weft_tensor q_starts;
  /**
   * i32 [B + 1] (cu_seqlens): the same for packed k and v; not with block_table. Optional.
   */
  struct weft_tensor kv_starts;
  /**
   * i32 [B, most pages a sequence]: page table; key j of sequence b is row j % page size of page [b, j / page size]. Optional.
   */
  struct weft_tensor block_table;
  /**
   * Scales Q K^T; 0 means 1 / sqrt(D).
   */
  double scale;
  /**
   * c: scores become c tanh(score / c) before bias and mask; 0 means none.
   */
  double softcap;
  /**
   * Keys to the left, with WEFT_ATTENTION_WINDOW_LEFT; at least 0.
   */
  int64_t window_left;
  /**
   * Keys to the right, with WEFT_ATTENTION_WINDOW_RIGHT; at least 0.
   */
  int64_t window_right;
  /**
   * The first keys of each sequence that a left window never hides (attention sinks kept as tokens); 0 means none.
   */
  int64_t sink_tokens;
  /**
   * Probability with which a weight is dropped, at least 0 and below 1; kept ones are divided by 1 - dropout. lse is that
   * of no dropout. 0 means none. The weight of query i and key j (counted within their sequence) of batch entry b and head
   * h is kept when w / 2^32 >= dropout, w being word j mod 4 of Philox4x32-10 with the counter words (j / 4, i, b Hq + h,
   * offset mod 2^32) and the key words (seed mod 2^32, seed / 2^32 xor offset / 2^32).
   */
  double dropout;
  /**
   * Seed of the dropout's Philox4x32-10 stream.
   */
  uint64_t seed;
  /**
   * Offset of the stream: give each call its own.
   */
  uint64_t offset;
} weft_attention_desc;

/**
 * What `weft_rms_norm` and `weft_layer_norm` compute.
 *
 * x is f32, f64, f16 or bf16; f64 is computed in f64, the others in f32, with sums in f64. With a residual, what is
 * normalised is x + residual rounded to x's dtype, which is also what `sum` gets. The variance is the biased one,
 * from centred elements. With e half an ulp of f32 (f64), y is within
 * 8 e ((|x| + |mean|) rstd |weight| + |bias|) of the value, then rounded to its dtype; rstd within 8 e, relative, as long
 * as the elements are not all the same to within their rounding. (For f64 add the rounding of a plain sum.)
 */
typedef struct weft_norm_desc {
  /**
   * sizeof(weft_norm_desc).
   */
  uint32_t struct_size;
  /**
   * WEFT_NORM_WEIGHT_PLUS_ONE or 0.
   */
  uint32_t flags;
  /**
   * What is normalised, any shape.
   */
  struct weft_tensor x;
  /**
   * As x: added to x first. Optional.
   */
  struct weft_tensor residual;
  /**
   * Broadcastable to the normalised axes; x's dtype or f32. Optional.
   */
  struct weft_tensor weight;
  /**
   * Broadcastable to the normalised axes; x's dtype or f32. Optional.
   */
  struct weft_tensor bias;
  /**
   * As x: the result. May be exactly x or residual.
   */
  struct weft_tensor y;
  /**
   * As x: x + residual, rounded to its dtype. May be exactly x or residual. Needs residual. Optional output.
   */
  struct weft_tensor sum;
  /**
   * f32 (or f64 where x is), x's dims with the normalised axes 1 or left out: the mean (layer_norm alone). Optional output.
   */
  struct weft_tensor mean;
  /**
   * As mean: 1 / sqrt(variance or mean square + epsilon). Optional output.
   */
  struct weft_tensor rstd;
  /**
   * How many trailing axes are normalised together; 0 means 1.
   */
  uint32_t axes;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * Added to the variance (mean square); 0 means 1e-5.
   */
  double epsilon;
} weft_norm_desc;

/**
 * What `weft_rope` computes: for pair i at position p, angle = p * frequency_scale * base^(-2i / rotary_dim) / factors[i].
 *
 * x is f32, f64, f16 or bf16; f64 is turned in f64, the others in f32. Angles are computed and reduced in f64 whatever x is,
 * so that rows far into a sequence are turned as exactly as the first: within 2e-7 attention_factor (|a| + |b|) of the
 * value for a pair (a, b) (4e-16 and the rounding of the angle for f64), then rounded to y's dtype. With cos and sin,
 * base, frequency_scale, factors and position_start stay 0. With positions, a position outside the rows of cos ends
 * the request with WEFT_ERROR_OUT_OF_RANGE before anything is written.
 */
typedef struct weft_rope_desc {
  /**
   * sizeof(weft_rope_desc).
   */
  uint32_t struct_size;
  /**
   * WEFT_ROPE bits.
   */
  uint32_t flags;
  /**
   * [B, H, S, D].
   */
  struct weft_tensor x;
  /**
   * As x: the result. May be exactly x.
   */
  struct weft_tensor y;
  /**
   * i32 or i64, broadcastable to [B, S]: the position of each row; optional: position_start + s without it.
   */
  struct weft_tensor positions;
  /**
   * [P, rotary_dim / 2] with positions, broadcastable to [B, S, rotary_dim / 2] without: cosines to use in place of
   * computed ones, of x's dtype or f32. Optional.
   */
  struct weft_tensor cos;
  /**
   * As cos: sines.
   */
  struct weft_tensor sin;
  /**
   * f32 [rotary_dim / 2]: divides each pair's frequency (Llama 3, LongRoPE). Optional.
   */
  struct weft_tensor factors;
  /**
   * The base; 0 means 10000.
   */
  double base;
  /**
   * Scales all positions (linear scaling by 1 / context factor); 0 means 1.
   */
  double frequency_scale;
  /**
   * Scales cosines and sines (YaRN's attention factor); 0 means 1.
   */
  double attention_factor;
  /**
   * Position of the first row when positions is absent.
   */
  int64_t position_start;
  /**
   * How many leading elements of a row are turned, even; the others are copied. 0 means D.
   */
  int64_t rotary_dim;
} weft_rope_desc;

/**
 * What `weft_elementwise` computes: y = f(a, b, c), each operand broadcast to y.
 *
 * All operands have y's dtype, but that conditions (results of comparisons and tests, and SELECT's a) are WEFT_BOOL.
 * Functions take f32, f64, f16 and bf16; those whose text speaks of integers, MAX, MIN, CLIP, RELU, SIGN and the
 * comparisons take all integer dtypes too (NEG the signed ones), EQUAL also WEFT_BOOL, and SELECT any dtype.
 *
 * f16 and bf16 are computed in f32 and rounded once. Functions of f32 are within 5e-7 of the value, relative (from
 * 1.5e-6 to 2e-5 in the left tail of GELU, GELU_TANH and their gated units, where that factor is below 1e-4; sines and cosines
 * within 1e-7, absolute; what is below 2^-126, or needs an exponential that is, may be 0 or off by 2^-126);
 * SIGMOID, SILU, GELU, GELU_TANH and the gated units of f16 and bf16 within 5e-6 before they are rounded (1e-5 below 1e-30);
 * sums, products, quotients, square roots and roundings are exact to half an ulp, and f64 is as good as the C library's.
 */
typedef struct weft_elementwise_desc {
  /**
   * sizeof(weft_elementwise_desc).
   */
  uint32_t struct_size;
  /**
   * WEFT_EW_PARAMETERS or 0.
   */
  uint32_t flags;
  /**
   * Which function: one of the WEFT_EW constants.
   */
  uint32_t function;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * First operand; broadcastable to y.
   */
  struct weft_tensor a;
  /**
   * Second operand, of functions that take two or three.
   */
  struct weft_tensor b;
  /**
   * Third operand, of functions that take three.
   */
  struct weft_tensor c;
  /**
   * The result. May be exactly a, b or c.
   */
  struct weft_tensor y;
  /**
   * First parameter of functions that take one; 0 means the function's default.
   */
  double alpha;
  /**
   * Second parameter of functions that take two; 0 means the function's default.
   */
  double beta;
} weft_elementwise_desc;

/**
 * What `weft_softmax` computes: y = exp(scale x - max) / sum along an axis.
 *
 * x is f32, f64, f16 or bf16; f64 is computed in f64, the others in f32. With e half an ulp of that type, y is within
 * e (10 + 3 (|scale x| + |max|)) of the value, relative, and the logarithm within e (10 + 3 (|scale x| + |max| + |y|)),
 * absolute; then rounded to y's dtype. NaN or +inf make their whole row NaN, and so may
 * a scale that takes an element beyond the type's range.
 */
typedef struct weft_softmax_desc {
  /**
   * sizeof(weft_softmax_desc).
   */
  uint32_t struct_size;
  /**
   * WEFT_SOFTMAX_LOG or 0.
   */
  uint32_t flags;
  /**
   * Any shape.
   */
  struct weft_tensor x;
  /**
   * As x: the result. May be exactly x. A row of -inf alone gives NaN, as IEEE 754 has it.
   */
  struct weft_tensor y;
  /**
   * The axis; negative counts from the last.
   */
  int32_t axis;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * Scales x first; 0 means 1.
   */
  double scale;
} weft_softmax_desc;

/**
 * What `weft_gather_rows` computes: rows[i..., r...] = table[indices[i...], r...]; and what `weft_scatter_rows` does:
 * table[indices[i...], r...] = rows[i..., r...].
 *
 * Rows move as bytes, whatever their dtype. Of several indices that name one row of the table, scatter without
 * WEFT_ROWS_ADD keeps the last one's row (the indices' row-major order). An index outside of the table ends the request
 * with WEFT_ERROR_OUT_OF_RANGE and a sentence that names the first such place and its value; the rows of all other
 * indices are written nonetheless, its own row is not.
 */
typedef struct weft_rows_desc {
  /**
   * sizeof(weft_rows_desc).
   */
  uint32_t struct_size;
  /**
   * WEFT_ROWS bits.
   */
  uint32_t flags;
  /**
   * [N, r...]: the input of gather, the output of scatter.
   */
  struct weft_tensor table;
  /**
   * i32 or i64, any shape i...; an index outside 0 to N - 1 ends the request with WEFT_ERROR_OUT_OF_RANGE.
   */
  struct weft_tensor indices;
  /**
   * [i..., r...], of table's dtype: the output of gather, the input of scatter. The output overlaps no input.
   */
  struct weft_tensor rows;
} weft_rows_desc;

/**
 * What `weft_top_k` and `weft_arg_reduce` compute. NaN counts as larger than every number: it comes first among the
 * largest and last among the smallest. All NaNs are equal, and so are 0 and -0.
 *
 * weft_top_k: at least one of values and indices; k at most the axis's length, 0 too. weft_arg_reduce: the one largest;
 * indices are required, values may be given; an axis without elements is an error. Outputs overlap neither x nor each
 * other.
 */
typedef struct weft_rank_desc {
  /**
   * sizeof(weft_rank_desc).
   */
  uint32_t struct_size;
  /**
   * WEFT_RANK bits.
   */
  uint32_t flags;
  /**
   * Any shape; floats, integers or bools.
   */
  struct weft_tensor x;
  /**
   * x's dims with the axis k long, x's dtype: the k largest, largest first; among equals the lower index first. Optional.
   */
  struct weft_tensor values;
  /**
   * i32 or i64, as values: where along the axis each was. weft_arg_reduce: the axis is 1 long or left out. Optional in top-k.
   */
  struct weft_tensor indices;
  /**
   * The axis; negative counts from the last.
   */
  int32_t axis;
  /**
   * How many: weft_top_k takes it from values or indices, and it must match where it is not 0.
   */
  uint32_t k;
} weft_rank_desc;

/**
 * What `weft_reduce` computes.
 *
 * Floats (f32, f64, f16, bf16) are summed and multiplied in f64 and rounded to y's dtype once. With n elements, T the
 * sum of the terms' magnitudes, and u = 2^-53, a sum (SUM, MEAN, L1, SUM_SQUARE and under the root of L2) is off by at
 * most n u T before that rounding (mostly far less; a GPU adds f16 and bf16 up to eight at a time in f32, which adds
 * 2^-22 T to SUM, MEAN and L1), a product by n u of itself where no partial product leaves the range of f64.
 * LOG_SUM_EXP is off by at most 4e-7 (f64: 1e-14 and n u; f16 and bf16 on a GPU: 2e-6) plus the rounding. Where the
 * largest is infinite or NaN, so is LOG_SUM_EXP. Of 0 and -0, MAX and MIN may give either.
 *
 * Integers: SUM, PROD, L1 and SUM_SQUARE wrap; MEAN, L2, LOG_SUM and LOG_SUM_EXP are computed in f64 from elements
 * rounded to f64, then truncated towards zero and saturated, NaN giving 0. Bools: MAX (any) and MIN (all) alone.
 *
 * The result does not depend on the number of threads: where a sum is cut depends on the shape alone.
 */
typedef struct weft_reduce_desc {
  /**
   * sizeof(weft_reduce_desc).
   */
  uint32_t struct_size;
  /**
   * 0.
   */
  uint32_t flags;
  /**
   * WEFT_REDUCE constant.
   */
  uint32_t function;
  /**
   * Bit i set: axis i of x is reduced. 0 means all axes.
   */
  uint32_t axes;
  /**
   * Any shape.
   */
  struct weft_tensor x;
  /**
   * x's dims with the reduced axes 1 or left out: the result, of x's dtype. Does not overlap x.
   */
  struct weft_tensor y;
} weft_reduce_desc;

/**
 * What `weft_cast` computes: y = x, broadcast. To a float: rounded to nearest even, once, whatever x is. Float to integer
 * truncates and saturates (NaN gives 0); integer to integer wraps; anything but 0 is true, and a bool is read as 0 or 1.
 * Equal dtypes: the bytes move as they are, WEFT_CAST_SATURATE or not. The payload of a NaN is not kept in a conversion.
 */
typedef struct weft_cast_desc {
  /**
   * sizeof(weft_cast_desc).
   */
  uint32_t struct_size;
  /**
   * WEFT_CAST_SATURATE or 0.
   */
  uint32_t flags;
  /**
   * Broadcastable to y; any dtype but the complex ones, which convert among themselves alone.
   */
  struct weft_tensor x;
  /**
   * The result; may be exactly x when the dtypes are equal.
   */
  struct weft_tensor y;
} weft_cast_desc;

/**
 * Options of `weft_port_create`.
 */
typedef struct weft_port_desc {
  /**
   * sizeof(weft_port_desc).
   */
  uint32_t struct_size;
  /**
   * How many requests may be pending or wait to be taken, 1048576 at most; 0 means 4096.
   */
  uint32_t capacity;
  /**
   * WEFT_PORT_THREAD: the port has a thread of its own, with every signal blocked, that calls the callback of each
   * completion, one after the other and as soon as it comes. Every request for such a port needs a callback, and
   * nobody else may poll, wait for or dispatch it. 0: the caller takes the completions.
   */
  uint32_t flags;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * The caller's own number, for finalizer.
   */
  uint64_t user_data;
  /**
   * Called once with user_data on a thread of the library's, when the port is released, none of its callbacks runs or
   * will ever run again, and the finalizers of its requests have been called. It must be brief. NULL for none.
   */
  weft_finalize_fn finalizer;
} weft_port_desc;

/**
 * What `weft_program_create` compiles.
 */
typedef struct weft_program_desc {
  /**
   * sizeof(weft_program_desc).
   */
  uint32_t struct_size;
  /**
   * 0.
   */
  uint32_t flags;
  /**
   * PTX text: UTF-8, read during the call. It is trusted as the program's own code is: its kernels reach what they like
   * of the device's memory.
   */
  const char *ptx;
  /**
   * Bytes of the text; 0: as far as its closing zero byte.
   */
  uint64_t size;
  /**
   * Where the compiler's whole log goes, zero-terminated and cut to log_capacity; the sentence of an error has its
   * beginning. Written by the call; empty if there is nothing to say. NULL with 0.
   */
  char *log;
  /**
   * Bytes at log; more than 1048576 are not used.
   */
  uint64_t log_capacity;
} weft_program_desc;

/**
 * Handle of a program: PTX of the caller's, compiled for a context's device.
 */
typedef uint64_t weft_program;

/**
 * Handle of a kernel: a function of a program.
 */
typedef uint64_t weft_kernel;

/**
 * One argument of a launch. Frozen: its fields never change. Those that its kind does not use are not looked at.
 */
typedef struct weft_argument {
  /**
   * What it is, one of WEFT_ARGUMENT_U32 ... WEFT_ARGUMENT_HOST.
   */
  uint32_t kind;
  /**
   * WEFT_ARGUMENT_BYTES, _HOST: how many bytes there are.
   */
  uint32_t size;
  /**
   * WEFT_ARGUMENT_U32, _I32, _U64, _I64: the number; WEFT_ARGUMENT_HOST: the address.
   */
  uint64_t integer;
  /**
   * WEFT_ARGUMENT_F32, _F64: the number.
   */
  double real;
  /**
   * WEFT_ARGUMENT_BUFFER: the buffer's handle.
   */
  uint64_t buffer;
  /**
   * WEFT_ARGUMENT_BUFFER: bytes from the buffer's start.
   */
  uint64_t offset;
  /**
   * WEFT_ARGUMENT_BYTES: the parameter's bytes.
   */
  uint8_t bytes[128];
} weft_argument;

/**
 * One launch of a kernel of weft_kernel_get.
 */
typedef struct weft_launch_desc {
  /**
   * sizeof(weft_launch_desc).
   */
  uint32_t struct_size;
  /**
   * 0.
   */
  uint32_t flags;
  /**
   * What to launch: a weft_kernel of the queue's context.
   */
  uint64_t kernel;
  /**
   * Blocks along each axis; 0 means 1, but for the first, which is required.
   */
  uint32_t grid[3];
  /**
   * Threads of a block along each axis; 0 means 1, but for the first, which is required.
   */
  uint32_t block[3];
  /**
   * Bytes of dynamic shared memory.
   */
  uint32_t shared;
  /**
   * How many arguments follow: as many as the kernel has parameters.
   */
  uint32_t argument_count;
  /**
   * The arguments, in the order of the parameters; read during the call. NULL with 0.
   */
  const struct weft_argument *arguments;
} weft_launch_desc;

/**
 * Options of `weft_queue_create`.
 */
typedef struct weft_queue_desc {
  /**
   * sizeof(weft_queue_desc).
   */
  uint32_t struct_size;
  /**
   * 0.
   */
  uint32_t flags;
  /**
   * How many requests may be pending, 1048576 at most; 0 means 4096.
   */
  uint32_t depth;
  /**
   * WEFT_PRIORITY_NORMAL (0), _HIGH or _LOW: while a queue of a higher priority has work, one of a lower priority of
   * the same context begins none. On a CUDA device that is work which waits to be launched; launched work shares the
   * device, whose streams have the same priorities.
   */
  uint32_t priority;
  /**
   * On a CUDA device, a stream of the caller's (a CUstream or cudaStream_t of the device's primary context) that takes
   * the requests' work instead of one made for the queue: behind all that was there at the submission. The submission,
   * or a thread of the library soon after, puts it there; what the caller puts there itself is certain to be behind a
   * request only once that is complete. While the stream is being captured into a graph, submissions are refused, and
   * those before must be complete when a capture begins. It must outlive the queue and its requests. 0 for a stream of
   * the queue's own.
   */
  uint64_t stream;
} weft_queue_desc;

/**
 * What `weft_queue_info_get` tells.
 */
typedef struct weft_queue_info {
  /**
   * sizeof(weft_queue_info), set by the caller.
   */
  uint32_t struct_size;
  /**
   * How many requests may be pending.
   */
  uint32_t depth;
  /**
   * Requests accepted so far.
   */
  uint64_t submitted;
  /**
   * Requests completed so far.
   */
  uint64_t completed;
} weft_queue_info;

/**
 * What `weft_request_error_info_get` tells of a request that is complete.
 */
typedef struct weft_error_info {
  /**
   * sizeof(weft_error_info), set by the caller.
   */
  uint32_t struct_size;
  /**
   * WEFT_OK, or why the request failed.
   */
  weft_status status;
  /**
   * The code of the device, driver or library behind the failure; 0 for none.
   */
  int64_t native_code;
  /**
   * Which operation the request was, a WEFT_OP constant.
   */
  uint32_t op;
  /**
   * Which operation the root cause was, a WEFT_OP constant; 0 without one.
   */
  uint32_t root_op;
  /**
   * With WEFT_ERROR_DEPENDENCY_FAILED: the handle (released or not) of the request whose own failure was the first
   * cause, however long the chain of requests between. 0 when the request failed by itself or did not fail.
   */
  weft_request root_request;
  /**
   * What the root cause ended with; WEFT_OK without one.
   */
  weft_status root_status;
  /**
   * 0.
   */
  uint32_t reserved;
} weft_error_info;

/**
 * What `weft_stats` tells. Counts go up for ever; submitted is the sum of all completed_ and in_flight.
 *
 * Histograms count nanoseconds by powers of two: entry i those from 2^i to 2^(i+1) - 1, entry 0 also 0. Both count the
 * requests whose work ran: those that are ok, failed or lost, and those whose deadline passed while they ran, once they
 * have ended.
 */
typedef struct weft_stats_info {
  /**
   * sizeof(weft_stats_info), set by the caller.
   */
  uint32_t struct_size;
  /**
   * Handles of contexts that are not released.
   */
  uint32_t contexts;
  /**
   * Requests that queues accepted.
   */
  uint64_t submitted;
  /**
   * Requests that were answered WEFT_WOULD_BLOCK.
   */
  uint64_t refused;
  /**
   * Requests accepted and not complete.
   */
  uint64_t in_flight;
  /**
   * Requests that ended with WEFT_OK.
   */
  uint64_t completed_ok;
  /**
   * With an error that is none of the following.
   */
  uint64_t completed_failed;
  /**
   * With WEFT_ERROR_CANCELLED.
   */
  uint64_t completed_cancelled;
  /**
   * With WEFT_ERROR_DEADLINE_EXCEEDED.
   */
  uint64_t completed_deadline;
  /**
   * With WEFT_ERROR_DEPENDENCY_FAILED.
   */
  uint64_t completed_dependency;
  /**
   * With WEFT_ERROR_DEVICE_LOST.
   */
  uint64_t completed_lost;
  /**
   * Bytes that weft_write moved.
   */
  uint64_t bytes_written;
  /**
   * Bytes that weft_read moved.
   */
  uint64_t bytes_read;
  /**
   * Bytes that weft_copy moved.
   */
  uint64_t bytes_copied;
  /**
   * Bytes that weft_fill wrote.
   */
  uint64_t bytes_filled;
  /**
   * Buffers whose memory is not freed: released ones that requests in flight name are among them.
   */
  uint64_t buffers;
  /**
   * Their bytes.
   */
  uint64_t buffer_bytes;
  /**
   * The most bytes that there were at one time.
   */
  uint64_t buffer_bytes_peak;
  /**
   * Handles of queues that are not released.
   */
  uint64_t queues;
  /**
   * Handles of ports that are not released.
   */
  uint64_t ports;
  /**
   * Handles of requests that are not released, complete or not.
   */
  uint64_t requests;
  /**
   * Helper threads of the CPU's pool, which all contexts share.
   */
  uint32_t pool_threads;
  /**
   * Those of them that are awake and look for work.
   */
  uint32_t pool_looking;
  /**
   * Those of them that work.
   */
  uint32_t pool_working;
  /**
   * Kernels that share their work with helpers now.
   */
  uint32_t pool_jobs;
  /**
   * Kernels that ever did.
   */
  uint64_t pool_jobs_posted;
  /**
   * Blocks in use of the reserve that serves when host memory has run out, of the process; 0 in sane times.
   */
  uint64_t reserve_blocks;
  /**
   * Nanoseconds that requests which ran had waited, from the call that submitted them on; their sum.
   */
  uint64_t queue_wait_ns;
  /**
   * Nanoseconds that requests ran; their sum.
   */
  uint64_t run_time_ns;
  /**
   * Histogram of the nanoseconds from the call that submitted a request until its work began.
   */
  uint64_t queue_wait[64];
  /**
   * Histogram of the nanoseconds from the beginning of its work to its end.
   */
  uint64_t run_time[64];
} weft_stats_info;

/**
 * A function of the caller's that takes sentences of the log: its own number, a WEFT_LOG level, and zero-terminated
 * UTF-8 that is valid during the call. It must not throw.
 */
typedef void (*weft_log_fn)(uint64_t user, uint32_t level, const char *message);

/**
 * What `weft_library_info_get` tells of a library.
 */
typedef struct weft_library_info {
  /**
   * sizeof(weft_library_info), set by the caller.
   */
  uint32_t struct_size;
  /**
   * WEFT_OK, or WEFT_ERROR_UNAVAILABLE where it is absent or of no use; then reason says why.
   */
  weft_status status;
  /**
   * Its name, such as "libcuda", zero-terminated.
   */
  char name[32];
  /**
   * Its version, such as "13.0", zero-terminated; empty where it is absent.
   */
  char version[32];
  /**
   * Where it was found, zero-terminated UTF-8, cut at 511 bytes; empty where it is absent.
   */
  char path[512];
  /**
   * Where it is absent: why, and what to do about it, zero-terminated UTF-8, cut at 1023 bytes.
   */
  char reason[1024];
} weft_library_info;

/**
 * Success.
 */
#define WEFT_OK 0

/**
 * The request has not completed yet.
 */
#define WEFT_NOT_READY 1

/**
 * The time given ran out before the condition held; nothing else changed.
 */
#define WEFT_TIMEOUT 2

/**
 * The queue or the port is full; nothing was accepted.
 */
#define WEFT_WOULD_BLOCK 3

/**
 * A cancel found the request already complete.
 */
#define WEFT_NOT_FOUND 4

/**
 * A cancel found the request begun: it goes on.
 */
#define WEFT_TOO_LATE 5

/**
 * A signal handler ran in the waiting thread before the condition held; nothing else changed. Wait again.
 */
#define WEFT_INTERRUPTED 6

/**
 * An argument is null, out of range, misaligned, or contradicts another.
 */
#define WEFT_ERROR_INVALID_ARGUMENT (-1)

/**
 * A handle names an object that was released.
 */
#define WEFT_ERROR_STALE_HANDLE (-2)

/**
 * A handle was never issued, or names an object of another kind.
 */
#define WEFT_ERROR_WRONG_KIND (-3)

/**
 * Objects of two contexts meet in one call.
 */
#define WEFT_ERROR_WRONG_CONTEXT (-4)

/**
 * Host memory ran out, or a fixed limit of the library was reached.
 */
#define WEFT_ERROR_OUT_OF_MEMORY (-5)

/**
 * Device memory ran out.
 */
#define WEFT_ERROR_OUT_OF_DEVICE_MEMORY (-6)

/**
 * A device, driver or library that the call needs is not on this machine.
 */
#define WEFT_ERROR_UNAVAILABLE (-7)

/**
 * The request is well formed, but this device has no way to run it.
 */
#define WEFT_ERROR_UNSUPPORTED (-8)

/**
 * The device failed for good; every request of its context ends with this.
 */
#define WEFT_ERROR_DEVICE_LOST (-9)

/**
 * An index read from a buffer at run time lies outside the tensor that it indexes.
 */
#define WEFT_ERROR_OUT_OF_RANGE (-10)

/**
 * The request was cancelled before it ran.
 */
#define WEFT_ERROR_CANCELLED (-11)

/**
 * The request's deadline passed before it completed.
 */
#define WEFT_ERROR_DEADLINE_EXCEEDED (-12)

/**
 * A request that this one waited for failed.
 */
#define WEFT_ERROR_DEPENDENCY_FAILED (-13)

/**
 * The process is a fork's child: the library works in the parent alone.
 */
#define WEFT_ERROR_FORKED (-14)

/**
 * The header that the caller was compiled with and this library do not fit.
 */
#define WEFT_ERROR_ABI_MISMATCH (-15)

/**
 * A defect of this library, stopped at its border. Please report it.
 */
#define WEFT_ERROR_INTERNAL (-16)

/**
 * The call is not allowed in a callback or a finalizer, where it could wait for itself.
 */
#define WEFT_ERROR_IN_CALLBACK (-17)

/**
 * The library was shut down: it accepts no more work.
 */
#define WEFT_ERROR_SHUT_DOWN (-18)

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Allocates `size` bytes of the context's device, all zero, aligned to 64, or wraps memory of the caller's
 * (options->address). `options` may be NULL; size may be 0.
 *
 * Thread safety: any thread.
 * Blocks: no.
 * Callable from callback: yes.
 * Ownership: release the buffer with weft_buffer_release.
 * Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT (options, buffer is NULL); WEFT_ERROR_STALE_HANDLE;
 * WEFT_ERROR_WRONG_KIND; WEFT_ERROR_OUT_OF_MEMORY; WEFT_ERROR_OUT_OF_DEVICE_MEMORY; WEFT_ERROR_UNAVAILABLE;
 * WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `options` is NULL or a struct of its struct_size, `buffer` NULL or valid for one write.
 */
weft_status weft_buffer_create(weft_context context,
                               uint64_t size,
                               const struct weft_buffer_desc *options,
                               weft_buffer *buffer);

/**
 * Tells about a buffer. The caller sets info->struct_size.
 *
 * Thread safety: any thread.
 * Blocks: briefly, until the memory is zeroed.
 * Callable from callback: yes.
 * Ownership: none.
 * Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND;
 * WEFT_ERROR_OUT_OF_DEVICE_MEMORY and WEFT_ERROR_UNAVAILABLE (the driver does not say whether the memory is zeroed);
 * WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `info` is NULL or points to a weft_buffer_info of info->struct_size bytes.
 */
weft_status weft_buffer_info_get(weft_buffer buffer, struct weft_buffer_info *info);

/**
 * Gives up a buffer. The handle dies at once, the memory when the last request that names it completes. 0 is allowed.
 *
 * Thread safety: any thread.
 * Blocks: no.
 * Callable from callback: yes.
 * Ownership: none.
 * Returns: WEFT_OK; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 */
weft_status weft_buffer_release(weft_buffer buffer);

/**
 * How many devices there are: the GPUs of the CUDA driver, then the CPU, which is always there and the last.
 *
 * Thread safety: any thread.
 * Blocks: briefly, while the first call starts the CUDA driver.
 * Callable from callback: yes.
 * Ownership: none.
 * Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT (count is NULL); WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `count` is NULL or valid for one write.
 */
weft_status weft_device_count(uint32_t *count);

/**
 * Describes device `index`, counted from 0: GPU N of the CUDA driver is device N and "cuda:N", the CPU is the last. The
 * caller sets info->struct_size.
 *
 * Thread safety: any thread.
 * Blocks: briefly, while the first call starts the CUDA driver.
 * Callable from callback: yes.
 * Ownership: none.
 * Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT (no such device, info is NULL, struct_size); WEFT_ERROR_UNAVAILABLE,
 * WEFT_ERROR_OUT_OF_DEVICE_MEMORY and WEFT_ERROR_DEVICE_LOST (the driver does not tell of a GPU); WEFT_ERROR_FORKED;
 * WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `info` is NULL or points to a weft_device_info of info->struct_size bytes.
 */
weft_status weft_device_info_get(uint32_t index, struct weft_device_info *info);

/**
 * Opens a device: "auto" (the best there is), "cpu" or "cuda:N". `options` may be NULL.
 *
 * Thread safety: any thread.
 * Blocks: briefly, while the device is opened.
 * Callable from callback: yes.
 * Ownership: release the context with weft_context_release.
 * Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT (device, options, context is NULL); WEFT_ERROR_UNAVAILABLE (the
 * sentence says why and what to do); WEFT_ERROR_OUT_OF_MEMORY (also: 256 contexts are open);
 * WEFT_ERROR_OUT_OF_DEVICE_MEMORY; WEFT_ERROR_DEVICE_LOST (by this process, for its life); WEFT_ERROR_FORKED;
 * WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `device` is NULL or a zero-terminated string, `options` NULL or a struct of its struct_size, `context` NULL or valid
 * for one write.
 */
weft_status weft_context_create(const char *device, const struct weft_context_desc *options, weft_context *context);

/**
 * Tells about a context. The caller sets info->struct_size.
 *
 * Thread safety: any thread.
 * Blocks: no.
 * Callable from callback: yes.
 * Ownership: none.
 * Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED;
 * WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `info` is NULL or points to a weft_context_info of info->struct_size bytes.
 */
weft_status weft_context_info_get(weft_context context, struct weft_context_info *info);

/**
 * Gives up a context. Its buffers, queues and requests stay valid until they are released themselves, and work in
 * flight completes; the device is closed after the last of them. 0 is allowed.
 *
 * Thread safety: any thread.
 * Blocks: no.
 * Callable from callback: yes.
 * Ownership: none.
 * Returns: WEFT_OK; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 */
weft_status weft_context_release(weft_context context);

/**
 * The version of the C ABI that the library implements: major in the upper 16 bits, minor in the lower.
 *
 * Thread safety: any thread.
 * Blocks: no.
 * Callable from callback: yes.
 * Ownership: none.
 * Returns: the version.
 * Since: 1.0.
 */
uint32_t weft_abi_version(void);

/**
 * Checks that a program compiled with this header works with the library: weft_abi_check(WEFT_ABI_VERSION).
 *
 * Thread safety: any thread.
 * Blocks: no.
 * Callable from callback: yes.
 * Ownership: none.
 * Returns: WEFT_OK; WEFT_ERROR_ABI_MISMATCH when the major versions differ or the library's minor version is the older
 * one; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 */
weft_status weft_abi_check(uint32_t header_version);

/**
 * The library's version, such as "1.0.0".
 *
 * Thread safety: any thread.
 * Blocks: no.
 * Callable from callback: yes.
 * Ownership: a constant.
 * Returns: the text, never NULL.
 * Since: 1.0.
 */
const char *weft_version(void);

/**
 * The name of a status, such as "WEFT_ERROR_STALE_HANDLE"; "WEFT_STATUS_UNKNOWN" for a number that is none.
 *
 * Thread safety: any thread.
 * Blocks: no.
 * Callable from callback: yes.
 * Ownership: a constant.
 * Returns: the text, never NULL.
 * Since: 1.0.
 */
const char *weft_status_name(weft_status status);

/**
 * The sentence that explains the calling thread's last call that returned an error: the argument, its value, what was
 * expected. Calls that succeed leave it alone. Empty before the first error.
 *
 * Thread safety: any thread; each has its own.
 * Blocks: no.
 * Callable from callback: yes.
 * Ownership: valid until the thread's next call that fails.
 * Returns: UTF-8 text of at most 1023 bytes, never NULL.
 * Since: 1.0.
 */
const char *weft_last_error(void);

/**
 * Accepts no more work from here on, and waits, `timeout_ns` at the most, until all that was accepted, by released
 * queues too, is complete, and the library's own threads have made every call of a callback and a finalizer that they
 * have to make. For the end of a program or before it unloads what its callbacks use; releases and weft_port_dispatch go
 * on working, and it may be called again.
 *
 * Thread safety: any thread.
 * Blocks: yes.
 * Callable from callback: no (WEFT_ERROR_IN_CALLBACK).
 * Ownership: none.
 * Returns: WEFT_OK; WEFT_TIMEOUT: work is still in flight; WEFT_INTERRUPTED: a signal handler ran, and work is still in
 * flight; WEFT_ERROR_IN_CALLBACK; WEFT_ERROR_OUT_OF_MEMORY; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 */
weft_status weft_shutdown(uint64_t timeout_ns);

/**
 * y = alpha x + y: see weft_axpy_desc. f32, f64, c32, c64; any strides; batch axes in front.
 *
 * Thread safety: any thread.
 * Blocks: no (up to options->timeout_ns when the queue is full).
 * Callable from callback: yes.
 * Ownership: release *out with weft_request_release; options and out may be NULL.
 * Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
 * WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
 * WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
 */
weft_status weft_axpy(weft_queue queue,
                      const struct weft_axpy_desc *desc,
                      const struct weft_submit *options,
                      weft_request *out);

/**
 * x = alpha x: see weft_scal_desc. f32, f64, c32, c64; any strides; batch axes in front.
 *
 * Thread safety: any thread.
 * Blocks: no (up to options->timeout_ns when the queue is full).
 * Callable from callback: yes.
 * Ownership: release *out with weft_request_release; options and out may be NULL.
 * Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
 * WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
 * WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
 */
weft_status weft_scal(weft_queue queue,
                      const struct weft_scal_desc *desc,
                      const struct weft_submit *options,
                      weft_request *out);

/**
 * x and y change places: see weft_swap_desc. f32, f64, c32, c64; any strides; batch axes in front.
 *
 * Thread safety: any thread.
 * Blocks: no (up to options->timeout_ns when the queue is full).
 * Callable from callback: yes.
 * Ownership: release *out with weft_request_release; options and out may be NULL.
 * Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
 * WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
 * WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
 */
weft_status weft_swap(weft_queue queue,
                      const struct weft_swap_desc *desc,
                      const struct weft_submit *options,
                      weft_request *out);

/**
 * A rotation of pairs of elements, x = c x + s y and y = c y - conj(s) x: see weft_rot_desc. f32, f64, c32, c64; any
 * strides; batch axes in front.
 *
 * Thread safety: any thread.
 * Blocks: no (up to options->timeout_ns when the queue is full).
 * Callable from callback: yes.
 * Ownership: release *out with weft_request_release; options and out may be NULL.
 * Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
 * WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
 * WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
 */
weft_status weft_rot(weft_queue queue,
                     const struct weft_rot_desc *desc,
                     const struct weft_submit *options,
                     weft_request *out);

/**
 * result = the sum of x y, or of conj(x) y: see weft_dot_desc. f32, f64, c32, c64; any strides; batch axes in front. The
 * request ends with WEFT_ERROR_OUT_OF_MEMORY (on a GPU WEFT_ERROR_OUT_OF_DEVICE_MEMORY) when there is no scratch
 * memory.
 *
 * Thread safety: any thread.
 * Blocks: no (up to options->timeout_ns when the queue is full).
 * Callable from callback: yes.
 * Ownership: release *out with weft_request_release; options and out may be NULL.
 * Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
 * WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
 * WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
 */
weft_status weft_dot(weft_queue queue,
                     const struct weft_dot_desc *desc,
                     const struct weft_submit *options,
                     weft_request *out);

/**
 * The Euclidean norm of vectors: see weft_vector_desc. f32, f64, c32, c64; any strides; batch axes in front. The request
 * ends with WEFT_ERROR_OUT_OF_MEMORY (on a GPU WEFT_ERROR_OUT_OF_DEVICE_MEMORY) when there is no scratch memory.
 *
 * Thread safety: any thread.
 * Blocks: no (up to options->timeout_ns when the queue is full).
 * Callable from callback: yes.
 * Ownership: release *out with weft_request_release; options and out may be NULL.
 * Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
 * WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
 * WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
 */
weft_status weft_nrm2(weft_queue queue,
                      const struct weft_vector_desc *desc,
                      const struct weft_submit *options,
                      weft_request *out);

/**
 * The sum of the magnitudes of vectors' parts: see weft_vector_desc. f32, f64, c32, c64; any strides; batch axes in front.
 * The request ends with WEFT_ERROR_OUT_OF_MEMORY (on a GPU WEFT_ERROR_OUT_OF_DEVICE_MEMORY) when there is no scratch
 * memory.
 *
 * Thread safety: any thread.
 * Blocks: no (up to options->timeout_ns when the queue is full).
 * Callable from callback: yes.
 * Ownership: release *out with weft_request_release; options and out may be NULL.
 * Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
 * WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
 * WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
 */
weft_status weft_asum(weft_queue queue,
                      const struct weft_vector_desc *desc,
                      const struct weft_submit *options,
                      weft_request *out);

/**
 * Where in vectors the element of the largest |re| + |im| is, from 0: see weft_vector_desc. f32, f64, c32, c64; any
 * strides; batch axes in front. The request ends with WEFT_ERROR_OUT_OF_MEMORY (on a GPU
 * WEFT_ERROR_OUT_OF_DEVICE_MEMORY) when there is no scratch memory.
 *
 * Thread safety: any thread.
 * Blocks: no (up to options->timeout_ns when the queue is full).
 * Callable from callback: yes.
 * Ownership: release *out with weft_request_release; options and out may be NULL.
 * Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
 * WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
 * WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
 */
weft_status weft_iamax(weft_queue queue,
                       const struct weft_vector_desc *desc,
                       const struct weft_submit *options,
                       weft_request *out);

/**
 * y = alpha A x + beta y: see weft_gemv_desc. f32, f64, c32, c64; any strides; batch axes in front. The request ends with
 * WEFT_ERROR_OUT_OF_MEMORY (on a GPU WEFT_ERROR_OUT_OF_DEVICE_MEMORY) when there is no scratch memory.
 *
 * Thread safety: any thread.
 * Blocks: no (up to options->timeout_ns when the queue is full).
 * Callable from callback: yes.
 * Ownership: release *out with weft_request_release; options and out may be NULL.
 * Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
 * WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
 * WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
 */
weft_status weft_gemv(weft_queue queue,
                      const struct weft_gemv_desc *desc,
                      const struct weft_submit *options,
                      weft_request *out);

/**
 * A = A + alpha x y^T, or y^H: see weft_ger_desc. f32, f64, c32, c64; any strides; batch axes in front.
 *
 * Thread safety: any thread.
 * Blocks: no (up to options->timeout_ns when the queue is full).
 * Callable from callback: yes.
 * Ownership: release *out with weft_request_release; options and out may be NULL.
 * Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
 * WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
 * WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
 */
weft_status weft_ger(weft_queue queue,
                     const struct weft_ger_desc *desc,
                     const struct weft_submit *options,
                     weft_request *out);

/**
 * C = alpha A A^T + beta C in one triangle, or A A^H (HERK): see weft_syrk_desc. f32, f64, c32, c64; any strides; batch
 * axes in front. The request ends with WEFT_ERROR_OUT_OF_MEMORY (on a GPU WEFT_ERROR_OUT_OF_DEVICE_MEMORY) when there
 * is no scratch memory.
 *
 * Thread safety: any thread.
 * Blocks: no (up to options->timeout_ns when the queue is full).
 * Callable from callback: yes.
 * Ownership: release *out with weft_request_release; options and out may be NULL.
 * Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
 * WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
 * WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
 */
weft_status weft_syrk(weft_queue queue,
                      const struct weft_syrk_desc *desc,
                      const struct weft_submit *options,
                      weft_request *out);

/**
 * X = alpha A^-1 B or alpha B A^-1, A triangular, in B's place: see weft_trsm_desc. f32, f64, c32, c64; any strides; batch
 * axes in front. The request ends with WEFT_ERROR_OUT_OF_MEMORY (on a GPU WEFT_ERROR_OUT_OF_DEVICE_MEMORY) when there
 * is no scratch memory.
 *
 * Thread safety: any thread.
 * Blocks: no (up to options->timeout_ns when the queue is full).
 * Callable from callback: yes.
 * Ownership: release *out with weft_request_release; options and out may be NULL.
 * Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
 * WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
 * WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
 */
weft_status weft_trsm(weft_queue queue,
                      const struct weft_trsm_desc *desc,
                      const struct weft_submit *options,
                      weft_request *out);

/**
 * D = act(alpha A B + beta C + bias): see weft_matmul_desc. A [..., M, K], B [..., K, N], D [..., M, N]; any strides,
 * batch axes broadcast; floats of 64 to 8 bits, i8, complex. The request ends with WEFT_ERROR_OUT_OF_MEMORY (on a GPU
 * WEFT_ERROR_OUT_OF_DEVICE_MEMORY) when there is no scratch memory, and with WEFT_ERROR_UNSUPPORTED when it needs more
 * than desc->workspace.
 *
 * Thread safety: any thread.
 * Blocks: no (up to options->timeout_ns when the queue is full).
 * Callable from callback: yes.
 * Ownership: release *out with weft_request_release; options and out may be NULL.
 * Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
 * WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
 * WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
 */
weft_status weft_matmul(weft_queue queue,
                        const struct weft_matmul_desc *desc,
                        const struct weft_submit *options,
                        weft_request *out);

/**
 * As weft_matmul, `count` multiplications, 65536 at most, of any shapes as one request: descs is an array, all of one
 * struct_size. All are checked first, and if one is wrong nothing runs: the sentence says which. None may write what
 * another reads or writes. They run in any order, or together. weft_completion.op is WEFT_OP_MATMUL. The request ends with
 * WEFT_ERROR_OUT_OF_MEMORY and WEFT_ERROR_UNSUPPORTED as that of weft_matmul; what others of the list wrote then is
 * undefined.
 *
 * Thread safety: any thread.
 * Blocks: no (up to options->timeout_ns when the queue is full).
 * Callable from callback: yes.
 * Ownership: release *out with weft_request_release; options and out may be NULL; descs may be NULL with 0.
 * Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
 * WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
 * WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `descs` is NULL or `count` structs, one after another, of the struct_size of the first; `options` is NULL or a struct of its
 * struct_size; `out` is NULL or valid for one write.
 */
weft_status weft_matmul_grouped(weft_queue queue,
                                const struct weft_matmul_desc *descs,
                                uint64_t count,
                                const struct weft_submit *options,
                                weft_request *out);

/**
 * O = softmax(scale Q K^T + bias, masked) V: see weft_attention_desc. f32, f16, bf16; any strides; grouped heads, masks,
 * packed and paged sequences. The request ends with WEFT_ERROR_OUT_OF_RANGE when a length, start or page read from a
 * buffer is out of range, and with WEFT_ERROR_OUT_OF_MEMORY (on a GPU WEFT_ERROR_OUT_OF_DEVICE_MEMORY) when there is no
 * scratch memory.
 *
 * Thread safety: any thread.
 * Blocks: no (up to options->timeout_ns when the queue is full).
 * Callable from callback: yes.
 * Ownership: release *out with weft_request_release; options and out may be NULL.
 * Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
 * WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
 * WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
 */
weft_status weft_attention(weft_queue queue,
                           const struct weft_attention_desc *desc,
                           const struct weft_submit *options,
                           weft_request *out);

/**
 * y = x / sqrt(mean(x^2) + epsilon) * weight + bias over the trailing axes, of x + residual if there is one: see
 * weft_norm_desc. f32, f64, f16, bf16.
 *
 * Thread safety: any thread.
 * Blocks: no (up to options->timeout_ns when the queue is full).
 * Callable from callback: yes.
 * Ownership: release *out with weft_request_release; options and out may be NULL.
 * Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
 * WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
 * WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
 */
weft_status weft_rms_norm(weft_queue queue,
                          const struct weft_norm_desc *desc,
                          const struct weft_submit *options,
                          weft_request *out);

/**
 * y = (x - mean) / sqrt(variance + epsilon) * weight + bias over the trailing axes, of x + residual if there is one:
 * see weft_norm_desc. f32, f64, f16, bf16.
 *
 * Thread safety: any thread.
 * Blocks: no (up to options->timeout_ns when the queue is full).
 * Callable from callback: yes.
 * Ownership: release *out with weft_request_release; options and out may be NULL.
 * Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
 * WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
 * WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
 */
weft_status weft_layer_norm(weft_queue queue,
                            const struct weft_norm_desc *desc,
                            const struct weft_submit *options,
                            weft_request *out);

/**
 * Rotary position embedding of x [B, H, S, D]: see weft_rope_desc. f32, f64, f16, bf16.
 * The request ends with WEFT_ERROR_OUT_OF_RANGE when a position is outside given cos and sin tables.
 *
 * Thread safety: any thread.
 * Blocks: no (up to options->timeout_ns when the queue is full).
 * Callable from callback: yes.
 * Ownership: release *out with weft_request_release; options and out may be NULL.
 * Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
 * WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
 * WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
 */
weft_status weft_rope(weft_queue queue,
                      const struct weft_rope_desc *desc,
                      const struct weft_submit *options,
                      weft_request *out);

/**
 * y = f(a, b, c), each operand broadcast to y: see weft_elementwise_desc and the WEFT_EW constants.
 *
 * Thread safety: any thread.
 * Blocks: no (up to options->timeout_ns when the queue is full).
 * Callable from callback: yes.
 * Ownership: release *out with weft_request_release; options and out may be NULL.
 * Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
 * WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
 * WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
 */
weft_status weft_elementwise(weft_queue queue,
                             const struct weft_elementwise_desc *desc,
                             const struct weft_submit *options,
                             weft_request *out);

/**
 * Softmax or log-softmax along one axis: see weft_softmax_desc. f32, f64, f16, bf16.
 *
 * Thread safety: any thread.
 * Blocks: no (up to options->timeout_ns when the queue is full).
 * Callable from callback: yes.
 * Ownership: release *out with weft_request_release; options and out may be NULL.
 * Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
 * WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
 * WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
 */
weft_status weft_softmax(weft_queue queue,
                         const struct weft_softmax_desc *desc,
                         const struct weft_submit *options,
                         weft_request *out);

/**
 * rows[i..., r...] = table[indices[i...], r...] (embedding): see weft_rows_desc. Any dtype.
 * The request ends with WEFT_ERROR_OUT_OF_RANGE when an index is outside the table; the other rows are written.
 *
 * Thread safety: any thread.
 * Blocks: no (up to options->timeout_ns when the queue is full).
 * Callable from callback: yes.
 * Ownership: release *out with weft_request_release; options and out may be NULL.
 * Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
 * WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
 * WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
 */
weft_status weft_gather_rows(weft_queue queue,
                             const struct weft_rows_desc *desc,
                             const struct weft_submit *options,
                             weft_request *out);

/**
 * table[indices[i...], r...] = rows[i..., r...] (cache append): see weft_rows_desc. Any dtype; adding needs a float of
 * 16 bits or more or an integer. The request ends with WEFT_ERROR_OUT_OF_RANGE when an index is outside the table; the
 * other rows are written.
 *
 * Thread safety: any thread.
 * Blocks: no (up to options->timeout_ns when the queue is full).
 * Callable from callback: yes.
 * Ownership: release *out with weft_request_release; options and out may be NULL.
 * Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
 * WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
 * WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
 */
weft_status weft_scatter_rows(weft_queue queue,
                              const struct weft_rows_desc *desc,
                              const struct weft_submit *options,
                              weft_request *out);

/**
 * The k largest elements along an axis and where they are: see weft_rank_desc.
 *
 * Thread safety: any thread.
 * Blocks: no (up to options->timeout_ns when the queue is full).
 * Callable from callback: yes.
 * Ownership: release *out with weft_request_release; options and out may be NULL.
 * Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
 * WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
 * WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
 */
weft_status weft_top_k(weft_queue queue,
                       const struct weft_rank_desc *desc,
                       const struct weft_submit *options,
                       weft_request *out);

/**
 * Where the largest (or smallest) element along an axis is: see weft_rank_desc.
 *
 * Thread safety: any thread.
 * Blocks: no (up to options->timeout_ns when the queue is full).
 * Callable from callback: yes.
 * Ownership: release *out with weft_request_release; options and out may be NULL.
 * Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
 * WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
 * WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
 */
weft_status weft_arg_reduce(weft_queue queue,
                            const struct weft_rank_desc *desc,
                            const struct weft_submit *options,
                            weft_request *out);

/**
 * Sum, mean, max, min and others over a set of axes: see weft_reduce_desc.
 *
 * Thread safety: any thread.
 * Blocks: no (up to options->timeout_ns when the queue is full).
 * Callable from callback: yes.
 * Ownership: release *out with weft_request_release; options and out may be NULL.
 * Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
 * WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
 * WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
 */
weft_status weft_reduce(weft_queue queue,
                        const struct weft_reduce_desc *desc,
                        const struct weft_submit *options,
                        weft_request *out);

/**
 * y = x, converted to y's dtype and layout, broadcast: see weft_cast_desc.
 *
 * Thread safety: any thread.
 * Blocks: no (up to options->timeout_ns when the queue is full).
 * Callable from callback: yes.
 * Ownership: release *out with weft_request_release; options and out may be NULL.
 * Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED;
 * WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
 * WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
 */
weft_status weft_cast(weft_queue queue,
                      const struct weft_cast_desc *desc,
                      const struct weft_submit *options,
                      weft_request *out);

/**
 * Creates a port. Requests of any queue of any context whose weft_submit names it post their completions there;
 * `context` is the one that the port belongs to. `options` may be NULL.
 *
 * Thread safety: any thread.
 * Blocks: no.
 * Callable from callback: yes.
 * Ownership: release the port with weft_port_release; a call that fails does not call the finalizer.
 * Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT (options, port is NULL); WEFT_ERROR_STALE_HANDLE;
 * WEFT_ERROR_WRONG_KIND; WEFT_ERROR_OUT_OF_MEMORY (also: no more threads); WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `options` is NULL or a struct of its struct_size, `port` NULL or valid for one write.
 */
weft_status weft_port_create(weft_context context, const struct weft_port_desc *options, weft_port *port);

/**
 * Takes up to `capacity` completions that wait, oldest first, into `completions`; `*count` becomes how many. Their
 * callbacks are not called; finalizers of theirs are, by a thread of the library's, perhaps before this call returns.
 *
 * Thread safety: any thread, several at once.
 * Blocks: no.
 * Callable from callback: yes.
 * Ownership: none.
 * Returns: WEFT_OK (also when there are none); WEFT_ERROR_INVALID_ARGUMENT (also: a port with a thread);
 * WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `completions` is valid for `capacity` writes, `count` NULL or valid for one write.
 */
weft_status weft_port_poll(weft_port port, struct weft_completion *completions, uint32_t capacity, uint32_t *count);

/**
 * As weft_port_poll, but waits up to `timeout_ns` for the first completion. weft_port_wake ends the wait early.
 *
 * Thread safety: any thread, several at once.
 * Blocks: yes.
 * Callable from callback: no (WEFT_ERROR_IN_CALLBACK).
 * Ownership: none.
 * Returns: WEFT_OK (*count may be 0: after a wake or a release of the port, or when another thread took what came);
 * WEFT_TIMEOUT; WEFT_INTERRUPTED: a signal handler ran first (wait again); WEFT_ERROR_INVALID_ARGUMENT (also: a port
 * with a thread); WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_IN_CALLBACK; WEFT_ERROR_FORKED;
 * WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `completions` is valid for `capacity` writes, `count` NULL or valid for one write.
 */
weft_status weft_port_wait(weft_port port,
                           struct weft_completion *completions,
                           uint32_t capacity,
                           uint64_t timeout_ns,
                           uint32_t *count);

/**
 * Takes up to `most` completions that wait (0: all that wait now) and calls their callbacks on this thread, each
 * followed by its request's finalizer; those without a callback are only taken. `*count`, unless NULL, becomes how many
 * were taken. No lock is held: a callback may submit, poll, cancel and release, its own port too; it must not throw. What
 * could wait for it (weft_request_wait, weft_port_wait, weft_queue_drain, weft_port_dispatch, weft_shutdown) answers
 * WEFT_ERROR_IN_CALLBACK there, and a submission answers WEFT_WOULD_BLOCK at once whatever its timeout_ns.
 *
 * Thread safety: any thread, several at once.
 * Blocks: as long as the callbacks do.
 * Callable from callback: no (WEFT_ERROR_IN_CALLBACK).
 * Ownership: none.
 * Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT (also: a port with a thread); WEFT_ERROR_STALE_HANDLE;
 * WEFT_ERROR_WRONG_KIND; WEFT_ERROR_IN_CALLBACK; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `count` is NULL or valid for one write; the callbacks keep their promise.
 */
weft_status weft_port_dispatch(weft_port port,
                               uint32_t most,
                               uint32_t *count);

/**
 * Gives an eventfd that is readable while completions wait, for poll, epoll, libuv, asyncio and the like. Do not read
 * or close it: taking the last completion clears it. weft_port_release closes it. It may become readable a moment before
 * the first completion can be taken: weft_port_poll and weft_port_dispatch wait for that one, some microseconds at most.
 *
 * Thread safety: any thread.
 * Blocks: no.
 * Callable from callback: yes.
 * Ownership: none.
 * Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT (also: a port with a thread); WEFT_ERROR_STALE_HANDLE;
 * WEFT_ERROR_WRONG_KIND; WEFT_ERROR_OUT_OF_MEMORY (no more descriptors); WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `fd` is NULL or valid for one write.
 */
weft_status weft_port_event_handle(weft_port port,
                                   int64_t *fd);

/**
 * For loops that are told of edges alone (EPOLLET): makes the event handle readable anew if completions wait.
 *
 * Thread safety: any thread.
 * Blocks: no.
 * Callable from callback: yes.
 * Ownership: none.
 * Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED;
 * WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 */
weft_status weft_port_arm(weft_port port);

/**
 * Ends every weft_port_wait on this port, and makes the event handle readable once.
 *
 * Thread safety: any thread.
 * Blocks: no.
 * Callable from callback: yes.
 * Ownership: none.
 * Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED;
 * WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 */
weft_status weft_port_wake(weft_port port);

/**
 * Gives up a port. Requests in flight that name it still complete. Completions that nobody has taken are dropped with
 * it: their callbacks are never called, their finalizers are. A port with WEFT_PORT_THREAD first delivers all that it
 * accepted. Waits on it end. Allowed everywhere, in a callback of its own too. 0 is allowed.
 *
 * Thread safety: any thread.
 * Blocks: no.
 * Callable from callback: yes.
 * Ownership: none.
 * Returns: WEFT_OK; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 */
weft_status weft_port_release(weft_port port);

/**
 * Compiles PTX text for the context's GPU. PTX is trusted code: what its kernels do to the device's memory is the
 * caller's, and a fault of theirs ends the device for the process. The CPU device runs none.
 *
 * Thread safety: any thread.
 * Blocks: while the driver compiles.
 * Callable from callback: yes.
 * Ownership: release the program with weft_program_release.
 * Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT (desc, program is NULL; the text is none or does not compile: the sentence
 * and desc->log have the compiler's log); WEFT_ERROR_UNSUPPORTED (the CPU device); WEFT_ERROR_STALE_HANDLE;
 * WEFT_ERROR_WRONG_KIND; WEFT_ERROR_OUT_OF_MEMORY; WEFT_ERROR_OUT_OF_DEVICE_MEMORY; WEFT_ERROR_UNAVAILABLE;
 * WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `desc` is NULL or a struct of its struct_size, `program` NULL or valid for one write.
 */
weft_status weft_program_create(weft_context context,
                                const struct weft_program_desc *desc,
                                weft_program *program);

/**
 * The kernel of this name (a .visible .entry) of a program. It stays valid when the program is released.
 *
 * Thread safety: any thread.
 * Blocks: no.
 * Callable from callback: yes.
 * Ownership: release the kernel with weft_kernel_release.
 * Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT (name is NULL or of no kernel, kernel is NULL); WEFT_ERROR_UNSUPPORTED
 * (parameters that an old driver does not tell of, .explicitcluster); WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND;
 * WEFT_ERROR_OUT_OF_MEMORY; WEFT_ERROR_OUT_OF_DEVICE_MEMORY; WEFT_ERROR_UNAVAILABLE; WEFT_ERROR_DEVICE_LOST;
 * WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `name` is NULL or a zero-terminated string, `kernel` NULL or valid for one write.
 */
weft_status weft_kernel_get(weft_program program, const char *name, weft_kernel *kernel);

/**
 * Launches a kernel of the caller's: see weft_launch_desc. Number and sizes of the arguments are checked against the
 * kernel's parameters, grid, block and shared memory against what it can have; buffers live until the launch is complete.
 * What the kernel does is not checked.
 *
 * Thread safety: any thread.
 * Blocks: no (up to options->timeout_ns when the queue is full).
 * Callable from callback: yes.
 * Ownership: release *out with weft_request_release; options and out may be NULL.
 * Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_UNSUPPORTED (the CPU
 * device); WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY;
 * WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `desc` and `options` are NULL or structs of their struct_size; `out` is NULL or valid for one write.
 */
weft_status weft_launch(weft_queue queue,
                        const struct weft_launch_desc *desc,
                        const struct weft_submit *options,
                        weft_request *out);

/**
 * Gives up a program. Its kernels stay valid until they are released themselves. 0 is allowed.
 *
 * Thread safety: any thread.
 * Blocks: no.
 * Callable from callback: yes.
 * Ownership: none.
 * Returns: WEFT_OK; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 */
weft_status weft_program_release(weft_program program);

/**
 * Gives up a kernel. Launches in flight complete. 0 is allowed.
 *
 * Thread safety: any thread.
 * Blocks: no.
 * Callable from callback: yes.
 * Ownership: none.
 * Returns: WEFT_OK; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 */
weft_status weft_kernel_release(weft_kernel kernel);

/**
 * Creates a queue. Its requests run one after another in the order of submission; requests of different queues run
 * side by side, and see each other's results only after a wait. `options` may be NULL.
 *
 * Thread safety: any thread.
 * Blocks: no.
 * Callable from callback: yes.
 * Ownership: release the queue with weft_queue_release.
 * Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT (options, queue is NULL); WEFT_ERROR_STALE_HANDLE;
 * WEFT_ERROR_WRONG_KIND; WEFT_ERROR_OUT_OF_MEMORY (also: no more threads); WEFT_ERROR_OUT_OF_DEVICE_MEMORY;
 * WEFT_ERROR_UNAVAILABLE; WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `options` is NULL or a struct of its struct_size, `queue` NULL or valid for one write.
 */
weft_status weft_queue_create(weft_context context, const struct weft_queue_desc *options, weft_queue *queue);

/**
 * Tells about a queue. The caller sets info->struct_size.
 *
 * Thread safety: any thread.
 * Blocks: no.
 * Callable from callback: yes.
 * Ownership: none.
 * Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED;
 * WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `info` is NULL or points to a weft_queue_info of info->struct_size bytes.
 */
weft_status weft_queue_info_get(weft_queue queue, struct weft_queue_info *info);

/**
 * Waits until every request that the queue accepted before this call is complete, `timeout_ns` at the most.
 *
 * Thread safety: any thread.
 * Blocks: yes; with 0 it only looks.
 * Callable from callback: no (WEFT_ERROR_IN_CALLBACK).
 * Ownership: none.
 * Returns: WEFT_OK; WEFT_TIMEOUT; WEFT_INTERRUPTED: a signal handler ran first (wait again); or the status of the first
 * request that failed since the last drain and was submitted without a place for its handle (weft_last_error has its
 * sentence); WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_IN_CALLBACK;
 * WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 */
weft_status weft_queue_drain(weft_queue queue, uint64_t timeout_ns);

/**
 * Gives up a queue. What it accepted still runs and completes. 0 is allowed.
 *
 * Thread safety: any thread.
 * Blocks: no.
 * Callable from callback: yes.
 * Ownership: none.
 * Returns: WEFT_OK; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 */
weft_status weft_queue_release(weft_queue queue);

/**
 * Describes a context (0: the whole process) for people: every live handle with its essentials, what each queue runs or
 * waits for and since when, and which request waits for which. Text of many lines, whose form may change; up to 1000
 * objects of a kind get a line. Copies it to `buffer`, zero-terminated and cut to `capacity` bytes; `*needed`, unless NULL,
 * becomes the bytes that all of it takes. `buffer` may be NULL with 0.
 *
 * Thread safety: any thread, beside anything.
 * Blocks: no.
 * Callable from callback: yes.
 * Ownership: none.
 * Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT (buffer is NULL with a capacity, and context); WEFT_ERROR_STALE_HANDLE;
 * WEFT_ERROR_WRONG_KIND; WEFT_ERROR_OUT_OF_MEMORY; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `buffer` is NULL or valid for `capacity` writes, `needed` NULL or valid for one write.
 */
weft_status weft_debug_report(weft_context context,
                              char *buffer,
                              size_t capacity,
                              size_t *needed);

/**
 * Waits until all (WEFT_WAIT_ALL) or at least one (WEFT_WAIT_ANY) of `count` requests are complete, `timeout_ns` from
 * now at the most (WEFT_FOREVER never ends, 0 only looks). A request that is complete has its record at its port too. A
 * signal handler that runs in the waiting thread ends the wait, as EINTR ends a system call; one installed with
 * SA_RESTART does not end a wait without a time-out. At first the thread may work at short requests of a CPU device itself
 * instead of only looking on. `*index`, unless NULL, becomes the place in the array of the request that the status speaks
 * of: the first failed one, else (ANY) the first complete one, else 0.
 *
 * Thread safety: any thread, several at once.
 * Blocks: yes.
 * Callable from callback: no (WEFT_ERROR_IN_CALLBACK).
 * Ownership: none.
 * Returns: WEFT_OK when the condition holds and no complete request that it looked at failed (no requests: at once);
 * WEFT_TIMEOUT; WEFT_INTERRUPTED (wait again); the status of the request that failed, with its sentence in
 * weft_last_error; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_IN_CALLBACK;
 * WEFT_ERROR_OUT_OF_MEMORY; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `requests` is NULL or valid for `count` reads, `index` NULL or valid for one write.
 */
weft_status weft_request_wait(const weft_request *requests,
                              uint32_t count,
                              uint32_t mode,
                              uint64_t timeout_ns,
                              uint32_t *index);

/**
 * Asks whether a request is complete.
 *
 * Thread safety: any thread.
 * Blocks: no.
 * Callable from callback: yes.
 * Ownership: none.
 * Returns: WEFT_NOT_READY while it is pending; then WEFT_OK or the status with which it failed:
 * WEFT_ERROR_OUT_OF_RANGE, WEFT_ERROR_OUT_OF_MEMORY, WEFT_ERROR_OUT_OF_DEVICE_MEMORY, WEFT_ERROR_CANCELLED,
 * WEFT_ERROR_DEADLINE_EXCEEDED, WEFT_ERROR_DEPENDENCY_FAILED, WEFT_ERROR_UNAVAILABLE, WEFT_ERROR_DEVICE_LOST,
 * WEFT_ERROR_INTERNAL; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED.
 * Since: 1.0.
 */
weft_status weft_request_poll(weft_request request);

/**
 * Fills in the completion record of a request.
 *
 * Thread safety: any thread.
 * Blocks: no.
 * Callable from callback: yes.
 * Ownership: none.
 * Returns: WEFT_OK; WEFT_NOT_READY while it is pending (*completion is left alone); WEFT_ERROR_INVALID_ARGUMENT;
 * WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `completion` is NULL or valid for one write.
 */
weft_status weft_request_completion(weft_request request, struct weft_completion *completion);

/**
 * Copies the sentence that explains why a request failed to `buffer`, zero-terminated and cut to `capacity` bytes;
 * empty if it did not fail or is pending. `*needed`, unless NULL, becomes the bytes that all of it takes.
 *
 * Thread safety: any thread.
 * Blocks: no.
 * Callable from callback: yes.
 * Ownership: none.
 * Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED;
 * WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `buffer` is NULL or valid for `capacity` writes, `needed` NULL or valid for one write.
 */
weft_status weft_request_error(weft_request request, char *buffer, size_t capacity, size_t *needed);

/**
 * Tells why a request failed, in numbers. The caller sets info->struct_size.
 *
 * Thread safety: any thread.
 * Blocks: no.
 * Callable from callback: yes.
 * Ownership: none.
 * Returns: WEFT_OK (also when it did not fail: info->status is WEFT_OK then); WEFT_NOT_READY while it is pending (*info
 * is left alone); WEFT_ERROR_INVALID_ARGUMENT (info is NULL, struct_size); WEFT_ERROR_STALE_HANDLE;
 * WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `info` is NULL or points to a weft_error_info of info->struct_size bytes.
 */
weft_status weft_request_error_info_get(weft_request request, struct weft_error_info *info);

/**
 * Cancels a request that has not begun: it will not run and ends with WEFT_ERROR_CANCELLED. Its completion still comes,
 * once, and says what happened.
 *
 * Thread safety: any thread.
 * Blocks: no.
 * Callable from callback: yes.
 * Ownership: none.
 * Returns: WEFT_OK; WEFT_TOO_LATE: it has begun, and goes on; WEFT_NOT_FOUND: it was complete;
 * WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 */
weft_status weft_request_cancel(weft_request request);

/**
 * Gives up a request's handle. The request itself still runs and completes. 0 is allowed.
 *
 * Thread safety: any thread.
 * Blocks: no.
 * Callable from callback: yes.
 * Ownership: none.
 * Returns: WEFT_OK; WEFT_ERROR_STALE_HANDLE; WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 */
weft_status weft_request_release(weft_request request);

/**
 * Counts what a context's queues (0: those of the whole process, since it began) did, and what lives.
 * The caller sets stats->struct_size. Requests are counted before anybody learns of their completion. The numbers are
 * read one after another while others go on: they are exact when nothing is in flight.
 *
 * Thread safety: any thread.
 * Blocks: no.
 * Callable from callback: yes.
 * Ownership: none.
 * Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT (stats is NULL, struct_size, context); WEFT_ERROR_STALE_HANDLE;
 * WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `stats` is NULL or points to a weft_stats_info of stats->struct_size bytes.
 */
weft_status weft_stats(weft_context context, struct weft_stats_info *stats);

/**
 * Sends the sentences of the log up to `level` (WEFT_LOG_ERROR to WEFT_LOG_DEBUG) to `hook`, which is called with `user`,
 * the sentence's level, and the sentence. One hook for the process: another takes its place; NULL removes it (`level` is
 * then not looked at), and the environment's WEFT_LOG=error|warn|info|debug counts again, which writes to stderr.
 *
 * The hook runs on whichever thread has something to tell, a thread of the program's inside a call of weft or one of the
 * library's, on several at once; it should return soon, for requests wait for it, and it must not throw. In it every
 * function that returns a status answers WEFT_ERROR_IN_CALLBACK and does nothing. When this call returns, no thread is
 * inside the hook that was there before; what would have been told meanwhile is lost.
 *
 * Thread safety: any thread.
 * Blocks: while a thread is inside the hook before.
 * Callable from callback: yes.
 * Ownership: the hook is the caller's until another takes its place.
 * Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT (level); WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `hook` is NULL or a function that keeps the promises above until it is replaced.
 */
weft_status weft_log_hook(weft_log_fn hook,
                          uint64_t user,
                          uint32_t level);

/**
 * Copies `size` bytes from host memory at `src` into `buffer` at byte `offset`. The host memory must stay valid and
 * unchanged until the request completes, unless options->flags has WEFT_SUBMIT_COPY_HOST.
 *
 * Thread safety: any thread.
 * Blocks: no (up to options->timeout_ns when the queue is full).
 * Callable from callback: yes.
 * Ownership: release *out with weft_request_release; options and out may be NULL.
 * Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE;
 * WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY; WEFT_ERROR_DEVICE_LOST;
 * WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `src` is NULL or readable for `size` bytes until completion; `options` NULL or a struct of its struct_size; `out`
 * NULL or valid for one write.
 */
weft_status weft_write(weft_queue queue,
                       weft_buffer buffer,
                       uint64_t offset,
                       const void *src,
                       uint64_t size,
                       const struct weft_submit *options,
                       weft_request *out);

/**
 * Copies `size` bytes of `buffer` from byte `offset` to host memory at `dst`, which must stay valid until the request
 * completes and is undefined before.
 *
 * Thread safety: any thread.
 * Blocks: no (up to options->timeout_ns when the queue is full).
 * Callable from callback: yes.
 * Ownership: release *out with weft_request_release; options and out may be NULL.
 * Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE;
 * WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY; WEFT_ERROR_DEVICE_LOST;
 * WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `dst` is NULL or writable for `size` bytes until completion; `options` NULL or a struct of its struct_size; `out`
 * NULL or valid for one write.
 */
weft_status weft_read(weft_queue queue,
                      weft_buffer buffer,
                      uint64_t offset,
                      void *dst,
                      uint64_t size,
                      const struct weft_submit *options,
                      weft_request *out);

/**
 * Copies `size` bytes from `src` at byte `src_offset` to `dst` at byte `dst_offset`. The two may lie in one buffer,
 * but must not overlap.
 *
 * Thread safety: any thread.
 * Blocks: no (up to options->timeout_ns when the queue is full).
 * Callable from callback: yes.
 * Ownership: release *out with weft_request_release; options and out may be NULL.
 * Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE;
 * WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY; WEFT_ERROR_DEVICE_LOST;
 * WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `options` is NULL or a struct of its struct_size, `out` NULL or valid for one write.
 */
weft_status weft_copy(weft_queue queue,
                      weft_buffer src,
                      uint64_t src_offset,
                      weft_buffer dst,
                      uint64_t dst_offset,
                      uint64_t size,
                      const struct weft_submit *options,
                      weft_request *out);

/**
 * Fills `size` bytes of `buffer` from byte `offset` with the low `pattern_size` (1, 2, 4 or 8) bytes of `pattern`,
 * least significant first, over and over. offset and size are multiples of pattern_size.
 *
 * Thread safety: any thread.
 * Blocks: no (up to options->timeout_ns when the queue is full).
 * Callable from callback: yes.
 * Ownership: release *out with weft_request_release; options and out may be NULL.
 * Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE;
 * WEFT_ERROR_WRONG_KIND; WEFT_ERROR_WRONG_CONTEXT; WEFT_ERROR_OUT_OF_MEMORY; WEFT_ERROR_DEVICE_LOST;
 * WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `options` is NULL or a struct of its struct_size, `out` NULL or valid for one write.
 */
weft_status weft_fill(weft_queue queue,
                      weft_buffer buffer,
                      uint64_t offset,
                      uint64_t size,
                      uint64_t pattern,
                      uint32_t pattern_size,
                      const struct weft_submit *options,
                      weft_request *out);

/**
 * Submits no work: the request completes when everything before it in the queue has.
 *
 * Thread safety: any thread.
 * Blocks: no (up to options->timeout_ns when the queue is full).
 * Callable from callback: yes.
 * Ownership: release *out with weft_request_release; options and out may be NULL.
 * Returns: WEFT_OK; WEFT_WOULD_BLOCK; WEFT_INTERRUPTED; WEFT_ERROR_INVALID_ARGUMENT; WEFT_ERROR_STALE_HANDLE;
 * WEFT_ERROR_WRONG_KIND; WEFT_ERROR_OUT_OF_MEMORY; WEFT_ERROR_DEVICE_LOST; WEFT_ERROR_SHUT_DOWN; WEFT_ERROR_FORKED;
 * WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `options` is NULL or a struct of its struct_size, `out` NULL or valid for one write.
 */
weft_status weft_barrier(weft_queue queue, const struct weft_submit *options, weft_request *out);

/**
 * How many vendor libraries Weft knows, whether they are there or not.
 *
 * Thread safety: any thread.
 * Blocks: briefly, while the first call opens the libraries.
 * Callable from callback: yes.
 * Ownership: none.
 * Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT (count is NULL); WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `count` is NULL or valid for one write.
 */
weft_status weft_library_count(uint32_t *count);

/**
 * Tells of vendor library `index`, counted from 0: where it was found, or why it is not used and the remedy. A library that
 * is absent is an answer, not an error: info->status has it. The caller sets info->struct_size.
 *
 * Thread safety: any thread.
 * Blocks: briefly, while the first call opens the libraries.
 * Callable from callback: yes.
 * Ownership: none.
 * Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT (no such library, info is NULL, struct_size); WEFT_ERROR_FORKED;
 * WEFT_ERROR_INTERNAL.
 * Since: 1.0.
 *
 * Memory: `info` is NULL or points to a weft_library_info of info->struct_size bytes.
 */
weft_status weft_library_info_get(uint32_t index,
                                  struct weft_library_info *info);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* WEFT_H */
