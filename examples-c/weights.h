/* A llama model's hyperparameters and its weights in Weft buffers. */
#ifndef WEIGHTS_H
#define WEIGHTS_H

#include "gguf.h"

#include <weft.h>

/* The model's shape, from the file's metadata. */
struct shape {
    int64_t layers, width, heads, kv_heads, head_dim, ffn, rotary, vocab, context;
    double epsilon, rope_base, rope_scale;
};

/* Rows of one element type. */
struct piece {
    uint64_t offset; /* bytes into the buffer */
    uint32_t dtype;  /* block types as in the file */
    int64_t rows;
};

/* A matrix [rows, cols], row-major; rows of several tensors of the file may lie in one, below each other, and stay of the
 * types that they have there. */
struct weight {
    weft_buffer buffer;
    struct piece pieces[3];
    int count;
    int64_t rows, cols;
};

struct layer_weights {
    struct weight attention_norm;
    struct weight qkv; /* query, key and value projections */
    struct weight output;
    struct weight ffn_norm;
    struct weight gate_up; /* both inputs of SwiGLU */
    struct weight down;
};

struct weights {
    struct weight embedding;
    struct layer_weights *layers;
    struct weight final_norm;
    struct weight head;         /* the embedding itself when the file has no output.weight */
    struct weight rope_factors; /* buffer 0 when the file has none */
};

/* Reads and checks the hyperparameters. */
struct shape shape_read(struct gguf *file);

/* Uploads every tensor of the file and waits until they are there. */
struct weights weights_load(struct gguf *file, const struct shape *shape, weft_context context, weft_queue queue);

void weights_release(struct weights *weights, const struct shape *shape);

#endif
