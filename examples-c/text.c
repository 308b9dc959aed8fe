#include "text.h"

#include "die.h"

#include <stdlib.h>
#include <string.h>

bool text_is(struct text text, const char *expected) {
    return text.size == strlen(expected) && memcmp(text.at, expected, text.size) == 0;
}

/* FNV-1a. */
static size_t hash(struct text text) {
    uint64_t state = 0xcbf29ce484222325u;
    for (size_t i = 0; i < text.size; i++) state = (state ^ (unsigned char)text.at[i]) * 0x100000001b3u;
    return (size_t)(state ^ state >> 32);
}

struct table table_for(size_t count) {
    struct table table = {.slots = 16};
    while (table.slots < 2 * count) table.slots *= 2;
    table.keys = reserve(table.slots, sizeof *table.keys);
    table.numbers = reserve(table.slots, sizeof *table.numbers);
    return table;
}

/* The slot that holds `key`, or the empty one where it belongs. */
static size_t slot_of(const struct table *table, struct text key) {
    size_t slot = hash(key) & (table->slots - 1);
    for (;; slot = (slot + 1) & (table->slots - 1)) {
        struct text there = table->keys[slot];
        if (!there.at || (there.size == key.size && memcmp(there.at, key.at, key.size) == 0)) return slot;
    }
}

void table_put(struct table *table, struct text key, int32_t number) {
    size_t slot = slot_of(table, key);
    if (table->keys[slot].at) return;
    table->keys[slot] = key;
    table->numbers[slot] = number;
}

int32_t table_get(const struct table *table, struct text key) {
    size_t slot = slot_of(table, key);
    return table->keys[slot].at ? table->numbers[slot] : -1;
}

void table_free(struct table *table) {
    free(table->keys);
    free(table->numbers);
}
