/* GGUF's block types: which of them Weft multiplies by as they are, and what their blocks decode to. */
#ifndef BLOCKS_H
#define BLOCKS_H

#include <stdint.h>

/* Elements of one of the file's types lie in blocks of `items` in `bytes`; 1 where there are no blocks. */
struct block_type {
    uint32_t type;  /* GGUF's number */
    uint32_t dtype; /* Weft's */
    uint32_t items, bytes;
    const char *name;
};

/* The type with GGUF's number `type`, or NULL if this program does not read it. */
const struct block_type *block_type_of(uint32_t type);
/* The type whose dtype this is; NULL for others. */
const struct block_type *block_type_of_dtype(uint32_t dtype);

/* Decodes `count` elements, whole blocks, of a type that has any. */
void blocks_decode(const struct block_type *type, const uint8_t *from, uint64_t count, float *to);

#endif
