/* How the program ends when it cannot go on: one sentence on stderr and an exit code. */
#ifndef DIE_H
#define DIE_H

#include <stddef.h>
#include <weft.h>

/* Exit codes: something failed while running; an argument or a file is bad. */
enum { FAILED = 1, MISUSED = 2 };

/* Prints "generate: " and the sentence on one line, then exits. */
_Noreturn void die(int code, const char *format, ...);

/* Dies with the library's sentence if a call failed. */
void check(weft_status status);

/* Zeroed memory for `count` items; dies without memory. */
void *reserve(size_t count, size_t size);

#endif
