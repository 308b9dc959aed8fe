/* The llama transformer as Weft requests: nothing here waits for the device. */
#ifndef MODEL_H
#define MODEL_H

#include "weights.h"

#include <weft.h>

/* A candidate for the next token. */
struct candidates {
    int64_t count;
    float *logits; /* largest first; count of them, then as many tokens */
    int32_t *tokens;
};

struct model {
    struct shape shape;
    struct weights weights;
    weft_context context;
    weft_queue queue;
    int64_t chunk;    /* tokens that one pass takes at the most */
    int64_t capacity; /* tokens that the caches hold */
    int64_t length;   /* tokens that they hold now */
    weft_buffer *caches; /* a layer each: f32 [capacity, 2, kv heads, head_dim], keys then values */
    /* What flows through a pass, a row for each token. */
    weft_buffer tokens, embedded, stream, normed, qkv, attended, added, gate_up, ffn, logits, ranked;
};

/* Loads the weights and makes room for `capacity` tokens. */
struct model model_open(struct gguf *file, weft_context context, weft_queue queue, int64_t capacity);
void model_close(struct model *model);

/* Queues the passes for `count` tokens; the logits of the last become the ones to pick from. `tokens` must stay as they
 * are until a later request has completed. */
void model_feed(struct model *model, const int32_t *tokens, int64_t count);

/* The same for one token: the one that model_pick_best found, which never leaves the device. */
void model_feed_best(struct model *model);

/* Queues the search for the likeliest token, which goes to *token before *done completes. */
void model_pick_best(struct model *model, int32_t *token, weft_request *done);

/* Queues the search for the candidates->count likeliest tokens. */
void model_pick_top(struct model *model, struct candidates *candidates, weft_request *done);

#endif
