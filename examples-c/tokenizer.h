/* Texts to tokens and back, as the model's file has it: plain bytes, "llama" (SentencePiece) or "gpt2" (byte pairs). */
#ifndef TOKENIZER_H
#define TOKENIZER_H

#include "gguf.h"

#include <stdio.h>

enum tokenizer_kind {
    TOKENIZER_NONE,  /* the file has none that this program knows */
    TOKENIZER_BYTES, /* no vocabulary, 256 tokens: each is a byte */
    TOKENIZER_SPM,   /* pieces with scores; U+2581 stands for a space */
    TOKENIZER_BPE    /* pieces with an ordered list of merges; every byte has a printable stand-in */
};

struct tokenizer {
    enum tokenizer_kind kind;
    int32_t count;
    struct text *pieces;
    const uint8_t *scores; /* SPM: f32 of each piece, unaligned */
    struct table ids;      /* piece to token */
    struct table merges;   /* BPE: "left right" to rank */
    int32_t begin, end;    /* tokens that begin and end a text; -1 for none */
    bool adds_begin, adds_space;
};

struct tokens {
    int32_t *at;
    int64_t count, room;
};

struct tokenizer tokenizer_open(const struct gguf *file, int64_t vocab);
void tokenizer_close(struct tokenizer *tokenizer);

void tokens_push(struct tokens *tokens, int32_t token);

/* The tokens of a text. */
struct tokens tokenizer_encode(const struct tokenizer *tokenizer, const char *text);

/* Writes a token's text to `out`, whether or not it is whole UTF-8. */
void tokenizer_print(const struct tokenizer *tokenizer, int32_t token, FILE *out);

#endif
