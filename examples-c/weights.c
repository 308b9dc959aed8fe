#include "weights.h"

#include "blocks.h"
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

/* Bytes of `count` elements, whole blocks where there are any. */
static uint64_t bytes_of(uint32_t dtype, int64_t count) {
    const struct block_type *type = block_type_of_dtype(dtype);
    return (uint64_t)count / type->items * type->bytes;
}

/* The dtype in which a tensor is computed with: as in the file, where Weft multiplies by it; `plain` if it is no matrix, or
 * one whose rows are looked up. */
static uint32_t computed_dtype(const struct gguf_tensor *tensor, bool plain) {
    const struct block_type *type = block_type_of(tensor->type);
    bool stays = type->dtype == WEFT_F16 || (type->items > 1 && !plain);
    return stays ? type->dtype : WEFT_F32;
}

/* Converts on the device: puts `bytes` of `dtype` into a buffer of their own and casts them to where they belong. */
static void upload_cast(struct loader *to, const void *bytes, uint32_t dtype, const weft_tensor *place) {
    uint64_t size = bytes_of(dtype, place->dims[0]);
    weft_buffer staging;
    check(weft_buffer_create(to->context, size, NULL, &staging));
    check(weft_write(to->queue, staging, 0, bytes, size, &COPY, NULL));
    weft_cast_desc cast = {.struct_size = sizeof cast, .y = *place};
    cast.x = (weft_tensor){.buffer = staging, .dtype = dtype, .rank = 1, .dims = {place->dims[0]}};
    check(weft_cast(to->queue, &cast, &PATIENT, NULL));
    /* Legal while in flight: the memory lives until the cast has run. */
    check(weft_buffer_release(staging));
}

/* Decodes blocks here. */
static void upload_decoded(struct loader *to, const struct gguf_tensor *tensor, const weft_tensor *place) {
    uint64_t count = tensor->rows * tensor->cols;
    float *values = reserve(count, sizeof *values);
    blocks_decode(block_type_of(tensor->type), tensor->at, count, values);
    check(weft_write(to->queue, place->buffer, place->offset, values, count * sizeof *values, &COPY, NULL));
    free(values);
}

/* Copies a tensor to `offset` in the weight's buffer, as `dtype`. */
static void upload(struct loader *to, const struct gguf_tensor *tensor, const struct weight *weight, uint64_t offset,
                   uint32_t dtype) {
    const struct block_type *type = block_type_of(tensor->type);
    weft_tensor place = {.buffer = weight->buffer, .offset = offset, .dtype = dtype, .rank = 1};
    place.dims[0] = (int64_t)(tensor->rows * tensor->cols);
    /* The file stays mapped until weights_load has waited, so the bytes need no copy. */
    if (type->dtype == dtype)
        check(weft_write(to->queue, weight->buffer, offset, tensor->at, tensor->size, &PATIENT, NULL));
    else if (type->items > 1)
        upload_decoded(to, tensor, &place);
    else
        upload_cast(to, tensor->at, type->dtype, &place);
}

/* Where `rows` more rows of `dtype` go, `end` being where the weight ends so far: behind others of their type, else to a
 * piece of their own. */
static uint64_t place_rows(struct weight *weight, uint32_t dtype, int64_t rows, uint64_t *end) {
    struct piece *last = weight->count ? &weight->pieces[weight->count - 1] : NULL;
    if (!last || last->dtype != dtype) {
        *end = (*end + 255) / 256 * 256;
        last = &weight->pieces[weight->count++];
        *last = (struct piece){.offset = *end, .dtype = dtype};
    }
    uint64_t offset = *end;
    last->rows += rows;
    weight->rows += rows;
    *end += bytes_of(dtype, rows * weight->cols);
    return offset;
}

/* Loads a weight of the given parts; `as_f32` for vectors, `plain` for what is not only multiplied by. */
static struct weight load(struct loader *to, const struct part *parts, int count, int64_t cols, bool as_f32, bool plain) {
    struct gguf_tensor *tensors[3];
    uint32_t dtypes[3];
    uint64_t offsets[3], size = 0;
    struct weight weight = {.cols = cols};
    for (int i = 0; i < count; i++) {
        tensors[i] = gguf_take(to->file, parts[i].name, parts[i].rows, cols);
        dtypes[i] = as_f32 ? WEFT_F32 : computed_dtype(tensors[i], plain);
        offsets[i] = place_rows(&weight, dtypes[i], parts[i].rows, &size);
    }
    check(weft_buffer_create(to->context, size, NULL, &weight.buffer));
    for (int i = 0; i < count; i++) upload(to, tensors[i], &weight, offsets[i], dtypes[i]);
    return weight;
}

static struct weight load_matrix(struct loader *to, const char *name, int64_t layer, int64_t rows, int64_t cols) {
    struct part one = part(name, layer, rows);
    return load(to, &one, 1, cols, false, false);
}

/* Rows that are looked up by token, which needs them without blocks. */
static struct weight load_table(struct loader *to, const char *name, int64_t rows, int64_t cols) {
    struct part one = part(name, 0, rows);
    return load(to, &one, 1, cols, false, true);
}

/* Norms and other vectors are small: f32 always. */
static struct weight load_vector(struct loader *to, const char *name, int64_t layer, int64_t size) {
    struct part one = part(name, layer, 1);
    return load(to, &one, 1, size, true, true);
}

static struct layer_weights load_layer(struct loader *to, const struct shape *shape, int64_t i) {
    int64_t query = shape->heads * shape->head_dim, key = shape->kv_heads * shape->head_dim;
    struct part qkv[] = {part("blk.%d.attn_q.weight", i, query), part("blk.%d.attn_k.weight", i, key),
                         part("blk.%d.attn_v.weight", i, key)};
    struct part gate_up[] = {part("blk.%d.ffn_gate.weight", i, shape->ffn), part("blk.%d.ffn_up.weight", i, shape->ffn)};
    return (struct layer_weights){
        .attention_norm = load_vector(to, "blk.%d.attn_norm.weight", i, shape->width),
        .qkv = load(to, qkv, 3, shape->width, false, false),
        .output = load_matrix(to, "blk.%d.attn_output.weight", i, shape->width, query),
        .ffn_norm = load_vector(to, "blk.%d.ffn_norm.weight", i, shape->width),
        .gate_up = load(to, gate_up, 2, shape->width, false, false),
        .down = load_matrix(to, "blk.%d.ffn_down.weight", i, shape->width, shape->ffn),
    };
}

static bool lies_in_blocks(const struct gguf *file, const char *name) {
    for (uint64_t i = 0; i < file->tensor_count; i++)
        if (text_is(file->tensors[i].name, name)) return block_type_of(file->tensors[i].type)->items > 1;
    return false;
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
    weights.embedding = load_table(&to, "token_embd.weight", shape->vocab, shape->width);
    for (int64_t i = 0; i < shape->layers; i++) weights.layers[i] = load_layer(&to, shape, i);
    weights.final_norm = load_vector(&to, "output_norm.weight", 0, shape->width);
    /* The embedding itself when the file has no head of its own: once more if that lies in blocks here. */
    const char *head = gguf_has(file, "output.weight") ? "output.weight" : "token_embd.weight";
    bool shared = !gguf_has(file, "output.weight") && !lies_in_blocks(file, head);
    weights.head = shared ? weights.embedding : load_matrix(&to, head, 0, shape->vocab, shape->width);
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
