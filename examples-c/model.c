#include "model.h"

#include "die.h"

#include <stdlib.h>

/* A long prompt goes through in pieces of this many tokens, which bounds the scratch memory. */
enum { CHUNK = 512 };

/* Waits for room when the queue is full, so that even the longest prompt can be queued in one go. */
static const weft_submit PATIENT = {.struct_size = sizeof(weft_submit), .timeout_ns = WEFT_FOREVER};

/* ---- Views of buffers ---- */

/* f32 [rows, cols], a row every `pitch` elements, from element `first` on. */
static weft_tensor matrix(weft_buffer buffer, int64_t first, int64_t rows, int64_t cols, int64_t pitch) {
    return (weft_tensor){.buffer = buffer, .offset = (uint64_t)first * 4, .dtype = WEFT_F32, .rank = 2,
                         .dims = {rows, cols}, .strides = {pitch, 1}};
}

/* f32 [1, heads, rows, head_dim]: how attention and rotary embedding see rows of heads that lie side by side. */
static weft_tensor heads_of(weft_buffer buffer, int64_t first, int64_t heads, int64_t rows, int64_t dim, int64_t pitch) {
    return (weft_tensor){.buffer = buffer, .offset = (uint64_t)first * 4, .dtype = WEFT_F32, .rank = 4,
                         .dims = {1, heads, rows, dim}, .strides = {rows * pitch, dim, pitch, 1}};
}

static weft_tensor vector(const struct weight *weight) {
    return (weft_tensor){.buffer = weight->buffer, .dtype = WEFT_F32, .rank = 1, .dims = {weight->cols}};
}

static weft_tensor indices(weft_buffer buffer, int64_t count) {
    return (weft_tensor){.buffer = buffer, .dtype = WEFT_I32, .rank = 1, .dims = {count}};
}

/* ---- Requests ---- */

/* y = x W^T: the file has W as [out, in], and swapping its strides is all that a transpose takes. By weights in blocks, Weft
 * multiplies as they lie in the file, and may round x to 8 bits as well. */
static void project(struct model *model, weft_buffer x, const struct weight *weight, weft_buffer y, int64_t rows) {
    weft_matmul_desc desc = {.struct_size = sizeof desc};
    desc.a = matrix(x, 0, rows, weight->cols, weight->cols);
    int64_t first = 0;
    for (int i = 0; i < weight->count; i++) {
        const struct piece *piece = &weight->pieces[i];
        desc.b = (weft_tensor){.buffer = weight->buffer, .offset = piece->offset, .dtype = piece->dtype, .rank = 2,
                               .dims = {weight->cols, piece->rows}, .strides = {1, weight->cols}};
        desc.d = matrix(y, first, rows, piece->rows, weight->rows);
        desc.compute = piece->dtype >= WEFT_Q8_0 && piece->dtype <= WEFT_Q6_K ? WEFT_COMPUTE_I8 : WEFT_COMPUTE_DEFAULT;
        check(weft_matmul(model->queue, &desc, &PATIENT, NULL));
        first += piece->rows;
    }
}

/* Adds what the last block computed (`added`, unless it is 0) to the stream, and normalises the sum. */
static void normalise(struct model *model, const struct weight *weight, weft_buffer added, int64_t first, int64_t rows) {
    int64_t width = model->shape.width;
    weft_norm_desc desc = {.struct_size = sizeof desc, .epsilon = model->shape.epsilon, .weight = vector(weight)};
    desc.x = matrix(model->stream, first * width, rows, width, width);
    desc.y = matrix(model->normed, 0, rows, width, width);
    if (added) {
        desc.residual = matrix(added, first * width, rows, width, width);
        desc.sum = desc.x;
    }
    check(weft_rms_norm(model->queue, &desc, &PATIENT, NULL));
}

static void embed(struct model *model, int64_t rows) {
    const struct weight *table = &model->weights.embedding;
    uint32_t dtype = table->pieces[0].dtype;
    bool direct = dtype == WEFT_F32;
    weft_rows_desc desc = {.struct_size = sizeof desc, .indices = indices(model->tokens, rows)};
    desc.table = (weft_tensor){.buffer = table->buffer, .dtype = dtype, .rank = 2, .dims = {table->rows, table->cols}};
    desc.rows = matrix(direct ? model->stream : model->embedded, 0, rows, table->cols, table->cols);
    desc.rows.dtype = dtype;
    check(weft_gather_rows(model->queue, &desc, &PATIENT, NULL));
    if (direct) return;
    weft_cast_desc cast = {.struct_size = sizeof cast, .x = desc.rows};
    cast.y = matrix(model->stream, 0, rows, table->cols, table->cols);
    check(weft_cast(model->queue, &cast, &PATIENT, NULL));
}

/* Queries and keys lie side by side, so that one request turns both, in place. GGUF has the rows of llama's query and
 * key weights in the order that pairs neighbouring elements, which is weft_rope's default. */
static void rotate(struct model *model, int64_t rows) {
    const struct shape *shape = &model->shape;
    int64_t pitch = (shape->heads + 2 * shape->kv_heads) * shape->head_dim;
    weft_rope_desc desc = {.struct_size = sizeof desc, .base = shape->rope_base, .rotary_dim = shape->rotary,
                           .frequency_scale = shape->rope_scale, .position_start = model->length};
    desc.x = heads_of(model->qkv, 0, shape->heads + shape->kv_heads, rows, shape->head_dim, pitch);
    desc.y = desc.x;
    if (model->weights.rope_factors.buffer) desc.factors = vector(&model->weights.rope_factors);
    check(weft_rope(model->queue, &desc, &PATIENT, NULL));
}

/* Appends the new keys and values, side by side too, to the layer's cache. */
static void remember(struct model *model, weft_buffer cache, int64_t rows) {
    const struct shape *shape = &model->shape;
    int64_t query = shape->heads * shape->head_dim, both = 2 * shape->kv_heads * shape->head_dim;
    weft_cast_desc desc = {.struct_size = sizeof desc};
    desc.x = matrix(model->qkv, query, rows, both, query + both);
    desc.y = matrix(cache, model->length * both, rows, both, both);
    check(weft_cast(model->queue, &desc, &PATIENT, NULL));
}

/* The new queries look at all keys up to their own: with fewer queries than keys, causal masks meet at the end. */
static void attend(struct model *model, weft_buffer cache, int64_t rows) {
    const struct shape *shape = &model->shape;
    int64_t dim = shape->head_dim, query = shape->heads * dim, key = shape->kv_heads * dim;
    int64_t length = model->length + rows;
    weft_attention_desc desc = {.struct_size = sizeof desc, .flags = WEFT_ATTENTION_CAUSAL};
    desc.q = heads_of(model->qkv, 0, shape->heads, rows, dim, query + 2 * key);
    desc.k = heads_of(cache, 0, shape->kv_heads, length, dim, 2 * key);
    desc.v = heads_of(cache, key, shape->kv_heads, length, dim, 2 * key);
    desc.o = heads_of(model->attended, 0, shape->heads, rows, dim, query);
    check(weft_attention(model->queue, &desc, &PATIENT, NULL));
}

/* ffn = silu(gate) * up. */
static void gate(struct model *model, int64_t rows) {
    int64_t ffn = model->shape.ffn;
    weft_elementwise_desc desc = {.struct_size = sizeof desc, .function = WEFT_EW_SWIGLU};
    desc.a = matrix(model->gate_up, 0, rows, ffn, 2 * ffn);
    desc.b = matrix(model->gate_up, ffn, rows, ffn, 2 * ffn);
    desc.y = matrix(model->ffn, 0, rows, ffn, ffn);
    check(weft_elementwise(model->queue, &desc, &PATIENT, NULL));
}

/* ---- Passes ---- */

static void run_layer(struct model *model, int64_t i, int64_t rows) {
    const struct layer_weights *layer = &model->weights.layers[i];
    normalise(model, &layer->attention_norm, i > 0 ? model->added : 0, 0, rows);
    project(model, model->normed, &layer->qkv, model->qkv, rows);
    rotate(model, rows);
    remember(model, model->caches[i], rows);
    attend(model, model->caches[i], rows);
    project(model, model->attended, &layer->output, model->added, rows);
    normalise(model, &layer->ffn_norm, model->added, 0, rows);
    project(model, model->normed, &layer->gate_up, model->gate_up, rows);
    gate(model, rows);
    project(model, model->ffn, &layer->down, model->added, rows);
}

/* One pass over `rows` tokens that lie in model->tokens. */
static void pass(struct model *model, int64_t rows, bool last) {
    embed(model, rows);
    for (int64_t i = 0; i < model->shape.layers; i++) run_layer(model, i, rows);
    model->length += rows;
    if (!last) return;
    /* Only the last token's logits are wanted. */
    normalise(model, &model->weights.final_norm, model->added, rows - 1, 1);
    project(model, model->normed, &model->weights.head, model->logits, 1);
}

void model_feed(struct model *model, const int32_t *tokens, int64_t count) {
    for (int64_t done = 0; done < count;) {
        int64_t rows = count - done < model->chunk ? count - done : model->chunk;
        check(weft_write(model->queue, model->tokens, 0, tokens + done, (uint64_t)rows * 4, &PATIENT, NULL));
        done += rows;
        pass(model, rows, done == count);
    }
}

void model_feed_best(struct model *model) {
    pass(model, 1, true);
}

/* ---- Picking ---- */

void model_pick_best(struct model *model, int32_t *token, weft_request *done) {
    weft_rank_desc desc = {.struct_size = sizeof desc, .axis = 0, .indices = indices(model->tokens, 1)};
    desc.x = (weft_tensor){.buffer = model->logits, .dtype = WEFT_F32, .rank = 1, .dims = {model->shape.vocab}};
    check(weft_arg_reduce(model->queue, &desc, &PATIENT, NULL));
    check(weft_read(model->queue, model->tokens, 0, token, sizeof *token, &PATIENT, done));
}

void model_pick_top(struct model *model, struct candidates *candidates, weft_request *done) {
    int64_t k = candidates->count;
    weft_rank_desc desc = {.struct_size = sizeof desc, .axis = 0, .k = (uint32_t)k};
    desc.x = (weft_tensor){.buffer = model->logits, .dtype = WEFT_F32, .rank = 1, .dims = {model->shape.vocab}};
    desc.values = (weft_tensor){.buffer = model->ranked, .dtype = WEFT_F32, .rank = 1, .dims = {k}};
    desc.indices = (weft_tensor){.buffer = model->ranked, .offset = (uint64_t)k * 4, .dtype = WEFT_I32, .rank = 1,
                                 .dims = {k}};
    check(weft_top_k(model->queue, &desc, &PATIENT, NULL));
    /* Values and indices lie side by side, so that one request brings both. */
    check(weft_read(model->queue, model->ranked, 0, candidates->logits, (uint64_t)k * 8, &PATIENT, done));
}

/* ---- Life ---- */

static weft_buffer room(struct model *model, int64_t rows, int64_t cols) {
    weft_buffer buffer;
    check(weft_buffer_create(model->context, (uint64_t)(rows * cols) * 4, NULL, &buffer));
    return buffer;
}

struct model model_open(struct gguf *file, weft_context context, weft_queue queue, int64_t capacity) {
    struct shape shape = shape_read(file);
    struct model model = {.shape = shape, .context = context, .queue = queue, .capacity = capacity};
    model.weights = weights_load(file, &shape, context, queue);
    model.chunk = capacity < CHUNK ? capacity : CHUNK;
    int64_t query = shape.heads * shape.head_dim, key = shape.kv_heads * shape.head_dim;
    model.caches = reserve((size_t)shape.layers, sizeof *model.caches);
    for (int64_t i = 0; i < shape.layers; i++) model.caches[i] = room(&model, capacity, 2 * key);
    model.tokens = room(&model, model.chunk, 1);
    model.embedded = room(&model, model.chunk, shape.width);
    model.stream = room(&model, model.chunk, shape.width);
    model.normed = room(&model, model.chunk, shape.width);
    model.qkv = room(&model, model.chunk, query + 2 * key);
    model.attended = room(&model, model.chunk, query);
    model.added = room(&model, model.chunk, shape.width);
    model.gate_up = room(&model, model.chunk, 2 * shape.ffn);
    model.ffn = room(&model, model.chunk, shape.ffn);
    model.logits = room(&model, 1, shape.vocab);
    model.ranked = room(&model, 2, shape.vocab);
    return model;
}

void model_close(struct model *model) {
    weft_buffer all[] = {model->tokens,   model->embedded, model->stream, model->normed, model->qkv,   model->attended,
                         model->added,    model->gate_up,  model->ffn,    model->logits, model->ranked};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) check(weft_buffer_release(all[i]));
    for (int64_t i = 0; i < model->shape.layers; i++) check(weft_buffer_release(model->caches[i]));
    weights_release(&model->weights, &model->shape);
    free(model->caches);
}
