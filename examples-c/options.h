/* The command line of generate. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct options {
    const char *model;         /* NULL: the bundled one */
    const char *prompt;        /* this or prompt_tokens is given */
    const char *prompt_tokens; /* numbers, separated by spaces or commas */
    const char *device;
    int64_t count, threads, top_k;
    uint64_t seed;
    double temperature;
    bool show_tokens, echo;
};

/* Reads the arguments; ends the program on --help and on mistakes. */
struct options options_read(int count, char **arguments);

#endif
