#include "die.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

_Noreturn void die(int code, const char *format, ...) {
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    /* Names out of a file may hold anything; keep it one line that does not steer the terminal. */
    for (char *at = line; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 127) *at = '?';
    fflush(stdout);
    fprintf(stderr, "generate: %s\n", line);
    exit(code);
}

void check(weft_status status) {
    if (status != WEFT_OK) die(FAILED, "%s: %s", weft_status_name(status), weft_last_error());
}

void *reserve(size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size);
    if (!memory) die(FAILED, "no memory for %zu items of %zu bytes", count, size);
    return memory;
}
