#include "weights.h"

#include "die.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Hyperparameters ---- */

/* A required size, at least 1 and at most `most`. */
static int64_t size_of(const struct gguf *file, const char *key, int64_t missing, int64_t most) {
    int64_t size = gguf_integer(file, key, missing);
    if (size < 1 || size > most)
        die(MISUSED, "%s: metadata %s is %" PRId64 "; expected 1 to %" PRId64, file->path, key, size, most);
    return size;
}

static double positive(const struct gguf *file, const char *key, double missing) {
    double number = gguf_number(file, key, missing);
    if (!(number > 0)) die(MISUSED, "%s: metadata %s is %g; expected more than 0", file->path, key, number);
    return number;
}

/* What a position is multiplied with: linear scaling stretches a model to longer texts. */
static double rope_scale(const struct gguf *file) {
    struct text kind = gguf_text(file, "llama.rope.scaling.type", "none");
    if (text_is(kind, "none")) return 1;
    if (text_is(kind, "linear")) return 1 / positive(file, "llama.rope.scaling.factor", 1);
    die(MISUSED, "%s: rope scaling \"%.*s\" is not supported; expected none or linear", file->path, SHOWN(kind));
}

static void refuse_other_kinds(const struct gguf *file) {
    struct text kind = gguf_text(file, "general.architecture", "");
    if (!text_is(kind, "llama"))
        die(MISUSED, "%s: the architecture is \"%.*s\"; this program runs \"llama\"", file->path, SHOWN(kind));
    if (gguf_integer(file, "llama.expert_count", 0) > 0)
        die(MISUSED, "%s: the model is a mixture of experts, which this program does not run", file->path);
}

static int64_t vocab_size(const struct gguf *file) {
    for (uint64_t i = 0; i < file->tensor_count; i++)
        if (text_is(file->tensors[i].name, "token_embd.weight") && file->tensors[i].rows <= INT32_MAX)
            return (int64_t)file->tensors[i].rows;
    die(MISUSED, "%s: tensor token_embd.weight is missing", file->path);
}

struct shape shape_read(struct gguf *file) {
    refuse_other_kinds(file);
    struct shape shape = {.vocab = vocab_size(file), .rope_scale = rope_scale(file)};
    const int64_t most = 1 << 20;
    shape.layers = size_of(file, "llama.block_count", -1, 4096);
    shape.width = size_of(file, "llama.embedding_length", -1, most);
    shape.ffn = size_of(file, "llama.feed_forward_length", -1, most);
    shape.context = size_of(file, "llama.context_length", -1, INT32_MAX);
    shape.heads = size_of(file, "llama.attention.head_count", -1, most);
    shape.kv_heads = size_of(file, "llama.attention.head_count_kv", shape.heads, shape.heads);
    shape.head_dim = size_of(file, "llama.attention.key_length", shape.width / shape.heads, most);
    shape.rotary = size_of(file, "llama.rope.dimension_count", shape.head_dim, shape.head_dim);
    shape.epsilon = positive(file, "llama.attention.layer_norm_rms_epsilon", 1e-5);
    shape.rope_base = positive(file, "llama.rope.freq_base", 10000);
    if (gguf_integer(file, "llama.attention.value_length", shape.head_dim) != shape.head_dim)
        die(MISUSED, "%s: keys and values differ in length, which this program does not run", file->path);
    if (shape.heads % shape.kv_heads != 0)
        die(MISUSED, "%s: metadata llama.attention.head_count is %" PRId64 "; expected a multiple of head_count_kv, %" PRId64,
            file->path, shape.heads, shape.kv_heads);
    if (shape.rotary % 2 != 0)
        die(MISUSED, "%s: metadata llama.rope.dimension_count is %" PRId64 "; expected an even number", file->path,
            shape.rotary);
    return shape;
}

/* ---- Uploading ---- */

/* Where weights are being put. */
struct loader {
    struct gguf *file;
    weft_context context;
    weft_queue queue;
};

/* A part of a weight: a tensor of the file and how many rows it must have. */
struct part {
    char name[64];
    int64_t rows;
};

static struct part part(const char *format, int64_t layer, int64_t rows) {
    struct part part = {.rows = rows};
    snprintf(part.name, sizeof part.name, format, (int)layer);
    return part;
}

static const weft_submit COPY = {.struct_size = sizeof(weft_submit), .flags = WEFT_SUBMIT_COPY_HOST, .timeout_ns = WEFT_FOREVER};
static const weft_submit PATIENT = {.struct_size = sizeof(weft_submit), .timeout_ns = WEFT_FOREVER};

static uint64_t dtype_size(uint32_t dtype) {
    return dtype == WEFT_F32 ? 4 : 2;
}

/* The dtype in which a tensor is computed with: halves stay halves, and Q8_0's 8-bit precision fits a half. */
static uint32_t computed_dtype(const struct gguf_tensor *tensor) {
    return tensor->type == GGUF_TENSOR_F16 || tensor->type == GGUF_TENSOR_Q8_0 ? WEFT_F16 : WEFT_F32;
}

static float half_to_float(const uint8_t *bytes) {
    int bits = bytes[0] | bytes[1] << 8, exponent = bits >> 10 & 31, fraction = bits & 1023;
    float sign = bits >> 15 ? -1.0f : 1.0f;
    if (exponent == 31) return sign * (fraction ? NAN : INFINITY);
    if (exponent == 0) return sign * ldexpf((float)fraction, -24);
    return sign * ldexpf((float)(1024 + fraction), exponent - 25);
}

static float *dequantised(const struct gguf_tensor *tensor) {
    float *values = reserve(tensor->rows * tensor->cols, sizeof *values), *to = values;
    for (const uint8_t *block = tensor->at; block < tensor->at + tensor->size; block += Q8_0_BYTES) {
        float scale = half_to_float(block);
        for (int i = 0; i < Q8_0_ITEMS; i++) *to++ = scale * (int8_t)block[2 + i];
    }
    return values;
}

/* Converts on the device: puts `bytes` of `dtype` into a buffer of their own and casts them to where they belong. */
static void upload_cast(struct loader *to, const void *bytes, uint32_t dtype, const weft_tensor *place) {
    uint64_t size = (uint64_t)place->dims[0] * dtype_size(dtype);
    weft_buffer staging;
    check(weft_buffer_create(to->context, size, NULL, &staging));
    check(weft_write(to->queue, staging, 0, bytes, size, &COPY, NULL));
    weft_cast_desc cast = {.struct_size = sizeof cast, .y = *place};
    cast.x = (weft_tensor){.buffer = staging, .dtype = dtype, .rank = 1, .dims = {place->dims[0]}};
    check(weft_cast(to->queue, &cast, &PATIENT, NULL));
    /* Legal while in flight: the memory lives until the cast has run. */
    check(weft_buffer_release(staging));
}

/* Copies a tensor into `weight` from element `first` on. */
static void upload(struct loader *to, const struct gguf_tensor *tensor, const struct weight *weight, int64_t first) {
    weft_tensor place = {.buffer = weight->buffer, .offset = (uint64_t)first * dtype_size(weight->dtype)};
    place.dtype = weight->dtype;
    place.rank = 1;
    place.dims[0] = (int64_t)(tensor->rows * tensor->cols);
    if (tensor->type == GGUF_TENSOR_Q8_0) {
        float *values = dequantised(tensor);
        upload_cast(to, values, WEFT_F32, &place);
        free(values);
    } else if (tensor->type == GGUF_TENSOR_BF16) {
        upload_cast(to, tensor->at, WEFT_BF16, &place);
    } else if (tensor->type == GGUF_TENSOR_F16 && weight->dtype == WEFT_F32) {
        upload_cast(to, tensor->at, WEFT_F16, &place);
    } else {
        /* The file stays mapped until weights_load has waited, so the bytes need no copy. */
        check(weft_write(to->queue, weight->buffer, place.offset, tensor->at, tensor->size, &PATIENT, NULL));
    }
}

/* Loads a weight of the given parts, as halves if all of them are. */
static struct weight load(struct loader *to, const struct part *parts, int count, int64_t cols, bool as_f32) {
    struct gguf_tensor *tensors[3];
    struct weight weight = {.dtype = as_f32 ? WEFT_F32 : WEFT_F16, .cols = cols};
    for (int i = 0; i < count; i++) {
        tensors[i] = gguf_take(to->file, parts[i].name, parts[i].rows, cols);
        weight.rows += parts[i].rows;
        if (computed_dtype(tensors[i]) == WEFT_F32) weight.dtype = WEFT_F32;
    }
    uint64_t size = (uint64_t)(weight.rows * cols) * dtype_size(weight.dtype);
    check(weft_buffer_create(to->context, size, NULL, &weight.buffer));
    int64_t first = 0;
    for (int i = 0; i < count; first += parts[i].rows * cols, i++) upload(to, tensors[i], &weight, first);
    return weight;
}

static struct weight load_matrix(struct loader *to, const char *name, int64_t layer, int64_t rows, int64_t cols) {
    struct part one = part(name, layer, rows);
    return load(to, &one, 1, cols, false);
}

/* Norms and other vectors are small: f32 always. */
static struct weight load_vector(struct loader *to, const char *name, int64_t layer, int64_t size) {
    struct part one = part(name, layer, 1);
    return load(to, &one, 1, size, true);
}

static struct layer_weights load_layer(struct loader *to, const struct shape *shape, int64_t i) {
    int64_t query = shape->heads * shape->head_dim, key = shape->kv_heads * shape->head_dim;
    struct part qkv[] = {part("blk.%d.attn_q.weight", i, query), part("blk.%d.attn_k.weight", i, key),
                         part("blk.%d.attn_v.weight", i, key)};
    struct part gate_up[] = {part("blk.%d.ffn_gate.weight", i, shape->ffn), part("blk.%d.ffn_up.weight", i, shape->ffn)};
    return (struct layer_weights){
        .attention_norm = load_vector(to, "blk.%d.attn_norm.weight", i, shape->width),
        .qkv = load(to, qkv, 3, shape->width, false),
        .output = load_matrix(to, "blk.%d.attn_output.weight", i, shape->width, query),
        .ffn_norm = load_vector(to, "blk.%d.ffn_norm.weight", i, shape->width),
        .gate_up = load(to, gate_up, 2, shape->width, false),
        .down = load_matrix(to, "blk.%d.ffn_down.weight", i, shape->width, shape->ffn),
    };
}

/* A tensor that was not asked for would change the result if it were: biases, adapters, experts. */
static void refuse_unused(const struct gguf *file) {
    for (uint64_t i = 0; i < file->tensor_count; i++)
        if (!file->tensors[i].used)
            die(MISUSED, "%s: tensor %.*s is not part of the plain llama architecture that this program runs", file->path,
                SHOWN(file->tensors[i].name));
}

struct weights weights_load(struct gguf *file, const struct shape *shape, weft_context context, weft_queue queue) {
    struct loader to = {file, context, queue};
    struct weights weights = {.layers = reserve((size_t)shape->layers, sizeof *weights.layers)};
    weights.embedding = load_matrix(&to, "token_embd.weight", 0, shape->vocab, shape->width);
    for (int64_t i = 0; i < shape->layers; i++) weights.layers[i] = load_layer(&to, shape, i);
    weights.final_norm = load_vector(&to, "output_norm.weight", 0, shape->width);
    weights.head = gguf_has(file, "output.weight")
                       ? load_matrix(&to, "output.weight", 0, shape->vocab, shape->width)
                       : weights.embedding;
    if (gguf_has(file, "rope_freqs.weight"))
        weights.rope_factors = load_vector(&to, "rope_freqs.weight", 0, shape->rotary / 2);
    refuse_unused(file);
    check(weft_queue_drain(queue, WEFT_FOREVER));
    return weights;
}

static void release(struct weight *weight) {
    check(weft_buffer_release(weight->buffer));
}

void weights_release(struct weights *weights, const struct shape *shape) {
    for (int64_t i = 0; i < shape->layers; i++) {
        struct layer_weights *layer = &weights->layers[i];
        struct weight *all[] = {&layer->attention_norm, &layer->qkv,     &layer->output,
                                &layer->ffn_norm,       &layer->gate_up, &layer->down};
        for (size_t k = 0; k < sizeof all / sizeof *all; k++) release(all[k]);
    }
    if (weights->head.buffer != weights->embedding.buffer) release(&weights->head);
    release(&weights->embedding);
    release(&weights->final_norm);
    release(&weights->rope_factors);
    free(weights->layers);
}
