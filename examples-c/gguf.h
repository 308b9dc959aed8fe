/* Reads GGUF model files, versions 2 and 3: metadata (key = value) and tensors, both left where they lie in the
 * mapped file. Every byte is checked before it is used: a bad file is a sentence and exit code 2. */
#ifndef GGUF_H
#define GGUF_H

#include "text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Types of metadata values. */
enum {
    GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL,
    GGUF_STRING, GGUF_ARRAY, GGUF_U64, GGUF_I64, GGUF_F64
};

/* Element types of tensors, those that this reader knows. */
enum {
    GGUF_TENSOR_F32 = 0, GGUF_TENSOR_F16 = 1, GGUF_TENSOR_Q4_0 = 2, GGUF_TENSOR_Q4_1 = 3, GGUF_TENSOR_Q8_0 = 8,
    GGUF_TENSOR_Q4_K = 12, GGUF_TENSOR_Q6_K = 14, GGUF_TENSOR_BF16 = 30
};

struct gguf_value {
    struct text key;
    uint32_t type;
    uint32_t item;     /* arrays: the type of the items */
    uint64_t count;    /* arrays: how many; else 1 */
    const uint8_t *at; /* the (first) value's bytes */
};

struct gguf_tensor {
    struct text name;
    uint32_t type;
    uint64_t cols; /* the packed axis, which GGUF names first */
    uint64_t rows; /* all other axes together */
    const uint8_t *at;
    uint64_t size;
    bool used; /* set by gguf_take */
};

struct gguf {
    const char *path;
    const uint8_t *data;
    size_t size;
    uint32_t version;
    struct gguf_value *values;
    uint64_t value_count;
    struct gguf_tensor *tensors;
    uint64_t tensor_count;
};

void gguf_open(struct gguf *file, const char *path);
void gguf_close(struct gguf *file);

/* A value, or NULL. */
const struct gguf_value *gguf_find(const struct gguf *file, const char *key);
/* A whole number of 0 to 2^31 - 1; `missing` if it is not there, unless that is negative: then it is required. */
int64_t gguf_integer(const struct gguf *file, const char *key, int64_t missing);
/* A finite number; `missing` if it is not there. */
double gguf_number(const struct gguf *file, const char *key, double missing);
bool gguf_flag(const struct gguf *file, const char *key, bool missing);
/* A string; `missing` if it is not there. */
struct text gguf_text(const struct gguf *file, const char *key, const char *missing);
/* The next item of an array of strings; `*at` begins as value->at. */
struct text gguf_next_text(const uint8_t **at);

/* Whether there is a tensor of this name. */
bool gguf_has(const struct gguf *file, const char *name);
/* The tensor of this name, which must be there and be rows x cols; marks it as used. */
struct gguf_tensor *gguf_take(struct gguf *file, const char *name, int64_t rows, int64_t cols);

#endif
