/* What the benchmarks in C share: a clock, an order, and an end at the first refusal. */
#ifndef BENCH_H
#define BENCH_H
#include "weft.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Nanoseconds of a clock that only goes forward. */
static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

/* For qsort over doubles. */
static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void check(weft_status status) {
    if (status != WEFT_OK) {
        fprintf(stderr, "%s: %s\n", weft_status_name(status), weft_last_error());
        exit(1);
    }
}
#endif
