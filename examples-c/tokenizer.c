#include "tokenizer.h"

#include "die.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* U+2581, SentencePiece's space. */
static const char SPACE[] = "\xe2\x96\x81";

/* ---- Reading the vocabulary ---- */

static const struct gguf_value *array(const struct gguf *file, const char *key, uint32_t item) {
    const struct gguf_value *value = gguf_find(file, key);
    if (!value || value->type != GGUF_ARRAY || value->item != item || value->count > INT32_MAX)
        die(MISUSED, "%s: metadata %s is missing or not an array of the type that a vocabulary has", file->path, key);
    return value;
}

static void read_pieces(struct tokenizer *tokenizer, const struct gguf *file) {
    const struct gguf_value *pieces = array(file, "tokenizer.ggml.tokens", GGUF_STRING);
    const uint8_t *at = pieces->at;
    tokenizer->count = (int32_t)pieces->count;
    tokenizer->pieces = reserve(pieces->count, sizeof *tokenizer->pieces);
    tokenizer->ids = table_for(pieces->count);
    for (int32_t token = 0; token < tokenizer->count; token++) {
        tokenizer->pieces[token] = gguf_next_text(&at);
        table_put(&tokenizer->ids, tokenizer->pieces[token], token);
    }
}

static void read_scores(struct tokenizer *tokenizer, const struct gguf *file) {
    const struct gguf_value *scores = array(file, "tokenizer.ggml.scores", GGUF_F32);
    if (scores->count != (uint64_t)tokenizer->count)
        die(MISUSED, "%s: the vocabulary has %" PRId32 " pieces, but %" PRIu64 " scores", file->path, tokenizer->count,
            scores->count);
    tokenizer->scores = scores->at;
}

static void read_merges(struct tokenizer *tokenizer, const struct gguf *file) {
    const struct gguf_value *merges = array(file, "tokenizer.ggml.merges", GGUF_STRING);
    const uint8_t *at = merges->at;
    tokenizer->merges = table_for(merges->count);
    for (int32_t rank = 0; rank < (int32_t)merges->count; rank++)
        table_put(&tokenizer->merges, gguf_next_text(&at), rank);
}

/* A special token's number; -1 if the file names none, or one beyond the vocabulary (some files' way to say none). */
static int32_t special(const struct gguf *file, const char *key, int64_t vocab) {
    if (!gguf_find(file, key)) return -1;
    int64_t token = gguf_integer(file, key, 0);
    return token < vocab ? (int32_t)token : -1;
}

static enum tokenizer_kind kind_of(const struct gguf *file, int64_t vocab) {
    struct text model = gguf_text(file, "tokenizer.ggml.model", "none");
    if (text_is(model, "llama")) return TOKENIZER_SPM;
    if (text_is(model, "gpt2")) return TOKENIZER_BPE;
    bool none = text_is(model, "none") || text_is(model, "no_vocab");
    return none && vocab == 256 ? TOKENIZER_BYTES : TOKENIZER_NONE;
}

struct tokenizer tokenizer_open(const struct gguf *file, int64_t vocab) {
    struct tokenizer tokenizer = {.kind = kind_of(file, vocab)};
    bool spm = tokenizer.kind == TOKENIZER_SPM, bpe = tokenizer.kind == TOKENIZER_BPE;
    if (spm || bpe) read_pieces(&tokenizer, file);
    if (spm) read_scores(&tokenizer, file);
    if (bpe) read_merges(&tokenizer, file);
    tokenizer.begin = special(file, "tokenizer.ggml.bos_token_id", vocab);
    tokenizer.end = special(file, "tokenizer.ggml.eos_token_id", vocab);
    tokenizer.adds_begin = gguf_flag(file, "tokenizer.ggml.add_bos_token", spm) && tokenizer.begin >= 0;
    tokenizer.adds_space = gguf_flag(file, "tokenizer.ggml.add_space_prefix", spm);
    return tokenizer;
}

void tokenizer_close(struct tokenizer *tokenizer) {
    free(tokenizer->pieces);
    table_free(&tokenizer->ids);
    table_free(&tokenizer->merges);
}

void tokens_push(struct tokens *tokens, int32_t token) {
    if (tokens->count == tokens->room) {
        tokens->room = tokens->room ? 2 * tokens->room : 64;
        tokens->at = realloc(tokens->at, (size_t)tokens->room * sizeof *tokens->at);
        if (!tokens->at) die(FAILED, "no memory for %" PRId64 " tokens", tokens->room);
    }
    tokens->at[tokens->count++] = token;
}

/* ---- Stand-ins of bytes ---- */

/* GPT-2's vocabulary holds no control characters and no spaces: such bytes stand as code points from 256 on. */
static bool stands_for_itself(int byte) {
    return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

static int stand_in(int byte) {
    if (stands_for_itself(byte)) return byte;
    int code = 256;
    for (int other = 0; other < byte; other++) code += !stands_for_itself(other);
    return code;
}

/* The byte that a code point stands for; -1 if it stands for none. */
static int stood_for(int code) {
    for (int byte = 0; byte < 256; byte++)
        if (stand_in(byte) == code) return byte;
    return -1;
}

/* Writes a code point below 2048 as UTF-8; answers how many bytes. */
static size_t put_code(char *to, int code) {
    if (code < 128) return *to = (char)code, 1;
    to[0] = (char)(0xc0 | code >> 6);
    to[1] = (char)(0x80 | (code & 63));
    return 2;
}

/* ---- Encoding: a word begins as characters; the best pair of neighbours becomes one, over and over ---- */

/* A symbol of a word: `size` bytes from `at`; `cost` of joining it with the next, infinite when that is no piece. */
struct symbol {
    size_t at, size;
    double cost;
};

static size_t character_size(const char *at, size_t left) {
    unsigned char lead = (unsigned char)*at;
    size_t size = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    return size < left ? size : left;
}

static double merge_cost(const struct tokenizer *tokenizer, const char *left, size_t left_size, size_t right_size) {
    char pair[512];
    if (left_size + right_size + 1 > sizeof pair) return INFINITY;
    memcpy(pair, left, left_size);
    pair[left_size] = ' ';
    memcpy(pair + left_size + 1, left + left_size, right_size);
    int32_t rank = table_get(&tokenizer->merges, (struct text){pair, left_size + 1 + right_size});
    return rank < 0 ? INFINITY : rank;
}

static double join_cost(const struct tokenizer *tokenizer, const char *word, const struct symbol *left) {
    const struct symbol *right = left + 1;
    if (tokenizer->kind == TOKENIZER_BPE) return merge_cost(tokenizer, word + left->at, left->size, right->size);
    int32_t token = table_get(&tokenizer->ids, (struct text){word + left->at, left->size + right->size});
    float score;
    if (token < 0) return INFINITY;
    memcpy(&score, tokenizer->scores + 4 * (size_t)token, sizeof score);
    return -(double)score;
}

/* Characters of the word; answers how many. */
static size_t split(const char *word, size_t size, struct symbol *symbols) {
    size_t count = 0;
    for (size_t at = 0; at < size; at += symbols[count++].size)
        symbols[count] = (struct symbol){at, character_size(word + at, size - at), INFINITY};
    return count;
}

/* Joins the cheapest pair; false when there is none. */
static bool join_best(const struct tokenizer *tokenizer, const char *word, struct symbol *symbols, size_t *count) {
    size_t best = 0;
    for (size_t i = 1; i < *count; i++)
        if (symbols[i].cost < symbols[best].cost) best = i;
    if (!(symbols[best].cost < INFINITY)) return false;
    symbols[best].size += symbols[best + 1].size;
    --*count;
    memmove(&symbols[best + 1], &symbols[best + 2], (*count - best - 1) * sizeof *symbols);
    symbols[*count - 1].cost = INFINITY;
    if (best + 1 < *count) symbols[best].cost = join_cost(tokenizer, word, &symbols[best]);
    if (best > 0) symbols[best - 1].cost = join_cost(tokenizer, word, &symbols[best - 1]);
    return true;
}

/* A symbol that is no piece: SentencePiece vocabularies have a piece <0xNN> for each byte. */
static void push_bytes(const struct tokenizer *tokenizer, struct text symbol, struct tokens *tokens) {
    for (size_t i = 0; i < symbol.size; i++) {
        char piece[8];
        int size = snprintf(piece, sizeof piece, "<0x%02X>", (unsigned char)symbol.at[i]);
        int32_t token = table_get(&tokenizer->ids, (struct text){piece, (size_t)size});
        if (token < 0) die(MISUSED, "the model's vocabulary has no token for \"%.*s\"", SHOWN(symbol));
        tokens_push(tokens, token);
    }
}

static void encode_word(const struct tokenizer *tokenizer, const char *word, size_t size, struct tokens *tokens) {
    struct symbol *symbols = reserve(size + 1, sizeof *symbols);
    size_t count = split(word, size, symbols);
    for (size_t i = 0; i + 1 < count; i++) symbols[i].cost = join_cost(tokenizer, word, &symbols[i]);
    while (count > 1 && join_best(tokenizer, word, symbols, &count)) continue;
    for (size_t i = 0; i < count; i++) {
        struct text symbol = {word + symbols[i].at, symbols[i].size};
        int32_t token = table_get(&tokenizer->ids, symbol);
        if (token >= 0) tokens_push(tokens, token);
        else push_bytes(tokenizer, symbol, tokens);
    }
    free(symbols);
}

/* SentencePiece: spaces become U+2581; no piece goes on after a space that follows something else, so cut there. */
static void encode_spm(const struct tokenizer *tokenizer, const char *text, struct tokens *tokens) {
    char *word = reserve(strlen(text) + 2, 3);
    size_t size = 0;
    bool spaces = true;
    if (tokenizer->adds_space) memcpy(word, SPACE, 3), size = 3;
    for (; *text; text++) {
        if (*text == ' ' && !spaces) encode_word(tokenizer, word, size, tokens), size = 0;
        spaces = *text == ' ';
        if (spaces) memcpy(word + size, SPACE, 3), size += 3;
        else word[size++] = *text;
    }
    encode_word(tokenizer, word, size, tokens);
    free(word);
}

enum class { LETTER, DIGIT, BLANK, OTHER };

/* Bytes beyond ASCII count as letters: right for most of them. */
static enum class class_of(char c) {
    unsigned char byte = (unsigned char)c;
    if (byte >= 128 || isalpha(byte)) return LETTER;
    return isdigit(byte) ? DIGIT : isspace(byte) ? BLANK : OTHER;
}

static size_t run_of(const char *text) {
    size_t size = 1;
    while (text[size] && class_of(text[size]) == class_of(*text)) size++;
    return size;
}

/* The first word of a text as GPT-2 cuts it: a run of one class, with the space before it; a contraction's ending. */
static size_t first_word(const char *text) {
    static const char *const endings[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (strncmp(text, endings[i], strlen(endings[i])) == 0) return strlen(endings[i]);
    if (class_of(*text) != BLANK) return run_of(text);
    size_t blanks = run_of(text);
    if (!text[blanks]) return blanks;
    if (blanks > 1) return blanks - 1;
    return *text == ' ' ? 1 + run_of(text + 1) : 1;
}

static void encode_bpe(const struct tokenizer *tokenizer, const char *text, struct tokens *tokens) {
    char *word = reserve(strlen(text) + 1, 2);
    while (*text) {
        size_t size = 0, bytes = first_word(text);
        for (size_t i = 0; i < bytes; i++) size += put_code(word + size, stand_in((unsigned char)text[i]));
        encode_word(tokenizer, word, size, tokens);
        text += bytes;
    }
    free(word);
}

struct tokens tokenizer_encode(const struct tokenizer *tokenizer, const char *text) {
    struct tokens tokens = {0};
    if (tokenizer->adds_begin) tokens_push(&tokens, tokenizer->begin);
    switch (tokenizer->kind) {
    case TOKENIZER_BYTES:
        for (; *text; text++) tokens_push(&tokens, (unsigned char)*text);
        break;
    case TOKENIZER_SPM: encode_spm(tokenizer, text, &tokens); break;
    case TOKENIZER_BPE: encode_bpe(tokenizer, text, &tokens); break;
    case TOKENIZER_NONE: die(MISUSED, "the model's file has no tokenizer that this program knows: use --prompt-tokens");
    }
    return tokens;
}

/* ---- Decoding ---- */

/* "<0x0A>" is the byte 10. */
static bool is_byte_piece(struct text piece, int *byte) {
    char digits[3] = {0};
    if (piece.size != 6 || memcmp(piece.at, "<0x", 3) != 0 || piece.at[5] != '>') return false;
    memcpy(digits, piece.at + 3, 2);
    char *end;
    *byte = (int)strtol(digits, &end, 16);
    return *end == 0;
}

static void print_spm(struct text piece, FILE *out) {
    int byte;
    if (is_byte_piece(piece, &byte)) {
        fputc(byte, out);
        return;
    }
    for (size_t i = 0; i < piece.size;) {
        bool space = piece.size - i >= 3 && memcmp(piece.at + i, SPACE, 3) == 0;
        fputc(space ? ' ' : piece.at[i], out);
        i += space ? 3 : 1;
    }
}

static void print_bpe(struct text piece, FILE *out) {
    for (size_t i = 0; i < piece.size;) {
        unsigned char lead = (unsigned char)piece.at[i];
        bool two = lead >= 0xc0 && lead < 0xe0 && i + 1 < piece.size;
        int code = two ? (lead & 31) << 6 | (piece.at[i + 1] & 63) : lead;
        int byte = stood_for(code);
        fputc(byte >= 0 ? byte : lead, out);
        i += byte >= 0 && two ? 2 : 1;
    }
}

void tokenizer_print(const struct tokenizer *tokenizer, int32_t token, FILE *out) {
    if (tokenizer->kind == TOKENIZER_BYTES) fputc(token, out);
    if (token >= tokenizer->count || token == tokenizer->begin || token == tokenizer->end) return;
    if (tokenizer->kind == TOKENIZER_SPM) print_spm(tokenizer->pieces[token], out);
    if (tokenizer->kind == TOKENIZER_BPE) print_bpe(tokenizer->pieces[token], out);
}
