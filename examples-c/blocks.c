#include "blocks.h"

#include "gguf.h"

#include <math.h>
#include <stddef.h>
#include <weft.h>

static const struct block_type TYPES[] = {
    {GGUF_TENSOR_F32, WEFT_F32, 1, 4, "F32"},        {GGUF_TENSOR_F16, WEFT_F16, 1, 2, "F16"},
    {GGUF_TENSOR_BF16, WEFT_BF16, 1, 2, "BF16"},     {GGUF_TENSOR_Q4_0, WEFT_Q4_0, 32, 18, "Q4_0"},
    {GGUF_TENSOR_Q4_1, WEFT_Q4_1, 32, 20, "Q4_1"},   {GGUF_TENSOR_Q8_0, WEFT_Q8_0, 32, 34, "Q8_0"},
    {GGUF_TENSOR_Q4_K, WEFT_Q4_K, 256, 144, "Q4_K"}, {GGUF_TENSOR_Q6_K, WEFT_Q6_K, 256, 210, "Q6_K"},
};
enum { COUNT = sizeof TYPES / sizeof *TYPES };

const struct block_type *block_type_of(uint32_t type) {
    for (int i = 0; i < COUNT; i++)
        if (TYPES[i].type == type) return &TYPES[i];
    return NULL;
}

const struct block_type *block_type_of_dtype(uint32_t dtype) {
    for (int i = 0; i < COUNT; i++)
        if (TYPES[i].dtype == dtype) return &TYPES[i];
    return NULL;
}

static float half_to_float(const uint8_t *bytes) {
    int bits = bytes[0] | bytes[1] << 8, exponent = bits >> 10 & 31, fraction = bits & 1023;
    float sign = bits >> 15 ? -1.0f : 1.0f;
    if (exponent == 31) return sign * (fraction ? NAN : INFINITY);
    if (exponent == 0) return sign * ldexpf((float)fraction, -24);
    return sign * ldexpf((float)(1024 + fraction), exponent - 25);
}

/* A scale, then signed bytes. */
static void decode_q8_0(const uint8_t *block, float *to) {
    float scale = half_to_float(block);
    for (int i = 0; i < 32; i++) to[i] = scale * (int8_t)block[2 + i];
}

/* 4 bits an element: the lower halves of `bytes` bytes first, then the upper. */
static void decode_halves(const uint8_t *from, int bytes, const float scale[2], int zero, const float offset[2], float *to) {
    for (int i = 0; i < bytes; i++) {
        to[i] = scale[0] * ((from[i] & 15) - zero) + offset[0];
        to[bytes + i] = scale[1] * ((from[i] >> 4) - zero) + offset[1];
    }
}

static void decode_q4_0(const uint8_t *block, float *to) {
    float scale = half_to_float(block);
    decode_halves(block + 2, 16, (float[]){scale, scale}, 8, (float[]){-0.0f, -0.0f}, to);
}

static void decode_q4_1(const uint8_t *block, float *to) {
    float scale = half_to_float(block), offset = half_to_float(block + 2);
    decode_halves(block + 4, 16, (float[]){scale, scale}, 0, (float[]){offset, offset}, to);
}

/* Of 8 parts, scale and offset number `i`: 6 bits each, the upper 2 of the last four beside the first four. */
static int q4_k_scale(const uint8_t *six, int i) {
    return i < 4 ? six[i] & 63 : (six[i + 4] & 15) | six[i - 4] >> 6 << 4;
}

static int q4_k_offset(const uint8_t *six, int i) {
    return i < 4 ? six[i + 4] & 63 : six[i + 4] >> 4 | six[i] >> 6 << 4;
}

static void decode_q4_k(const uint8_t *block, float *to) {
    float scale = half_to_float(block), offset = half_to_float(block + 2), scales[2], offsets[2];
    for (int pair = 0; pair < 4; pair++) {
        for (int i = 0; i < 2; i++) {
            scales[i] = scale * (float)q4_k_scale(block + 4, 2 * pair + i);
            offsets[i] = -(offset * (float)q4_k_offset(block + 4, 2 * pair + i));
        }
        decode_halves(block + 16 + 32 * pair, 32, scales, 0, offsets, to + 64 * pair);
    }
}

/* 6 bits an element, the upper 2 apart; a signed scale for each 16. */
static void decode_q6_k(const uint8_t *block, float *to) {
    float scale = half_to_float(block + 208);
    for (int i = 0; i < 256; i++) {
        int part = i / 128, in = i % 128;
        int low = block[64 * part + in % 64] >> in / 64 * 4 & 15, high = block[128 + 32 * part + in % 32] >> in / 32 * 2 & 3;
        to[i] = scale * (float)(int8_t)block[192 + i / 16] * (float)((low | high << 4) - 32);
    }
}

void blocks_decode(const struct block_type *type, const uint8_t *from, uint64_t count, float *to) {
    for (uint64_t done = 0; done < count; done += type->items, from += type->bytes) {
        switch (type->dtype) {
        case WEFT_Q8_0: decode_q8_0(from, to + done); break;
        case WEFT_Q4_0: decode_q4_0(from, to + done); break;
        case WEFT_Q4_1: decode_q4_1(from, to + done); break;
        case WEFT_Q4_K: decode_q4_k(from, to + done); break;
        default: decode_q6_k(from, to + done); break;
        }
    }
}
