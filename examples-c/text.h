/* Texts that know their size, and a table from texts to numbers. */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that lie elsewhere, not zero-terminated. */
struct text {
    const char *at;
    size_t size;
};

bool text_is(struct text text, const char *expected);

/* For printf's "%.*s": at most 80 bytes. */
#define SHOWN(text) (int)((text).size < 80 ? (text).size : 80), (text).at

/* Texts to numbers; open addressing. */
struct table {
    struct text *keys;
    int32_t *numbers;
    size_t slots; /* a power of two, at least twice what is put in */
};

struct table table_for(size_t count);
/* Keeps the first number of a text that comes twice. */
void table_put(struct table *table, struct text key, int32_t number);
/* -1 if it is not there. */
int32_t table_get(const struct table *table, struct text key);
void table_free(struct table *table);

#endif
