/* The job itself: what each request computes, what a completion means, and what the results should be. */
#include "job.h"

#include <stdio.h>
#include <stdlib.h>

enum { PRODUCTS = 1000, MISTAKE = PRODUCTS, REQUESTS, ROOM = 64, MOST = 19 * 19, SLOT = 1024 };

static void check(weft_status status) {
    if (status >= 0) return;
    fprintf(stderr, "%s: %s\n", weft_status_name(status), weft_last_error());
    exit(1);
}

/* Product i is [rows, inner] x [inner, columns]. Elements are small whole numbers, so that results are exact. */
static int64_t rows(uint32_t i) { return 1 + i % 17; }
static int64_t columns(uint32_t i) { return 1 + i % 13; }
static int64_t inner(uint32_t i) { return 1 + i % 19; }
static float a_at(int64_t j) { return (float)(j % 7 - 3); }
static float b_at(int64_t j) { return (float)(j % 5 - 2); }

static weft_tensor matrix(weft_buffer buffer, uint32_t dtype, int64_t height, int64_t width) {
    return (weft_tensor){.buffer = buffer, .dtype = dtype, .rank = 2, .dims = {height, width}};
}

static weft_status product(const job *job, uint32_t i, const weft_submit *options) {
    weft_matmul_desc desc = {.struct_size = sizeof desc};
    desc.a = matrix(job->a, WEFT_F32, rows(i), inner(i));
    desc.b = matrix(job->b, WEFT_F32, inner(i), columns(i));
    desc.d = matrix(job->d, WEFT_F32, rows(i), columns(i));
    desc.d.offset = (uint64_t)i * SLOT;
    /* No handle is wanted: the completion says it all. */
    return weft_matmul(job->queue, &desc, options, NULL);
}

/* Asks for row 99 of a table of one row. The index lies in a buffer, so that only the running request can know. */
static weft_status mistake(const job *job, const weft_submit *options) {
    weft_rows_desc desc = {.struct_size = sizeof desc};
    weft_request request;
    desc.table = desc.rows = matrix(job->a, WEFT_F32, 1, 1);
    desc.rows.buffer = job->b;
    desc.indices = (weft_tensor){.buffer = job->index, .dtype = WEFT_I32, .rank = 1, .dims = {1}};
    /* With a handle: it comes back in the completion, for weft_request_error. */
    return weft_gather_rows(job->queue, &desc, options, &request);
}

/* Submits until all is submitted, or the port has no room for one more completion. */
static void submit(job *job) {
    for (; job->submitted < REQUESTS; job->submitted++) {
        weft_submit options = {.struct_size = sizeof options, .user_data = job->submitted, .port = job->port};
        weft_status status = job->submitted == MISTAKE ? mistake(job, &options) : product(job, job->submitted, &options);
        check(status);
        if (status == WEFT_WOULD_BLOCK) return;
    }
}

static weft_buffer upload(const job *job, float (*at)(int64_t)) {
    float values[MOST];
    weft_buffer buffer;
    for (int64_t j = 0; j < MOST; j++) values[j] = at(j);
    weft_submit options = {.struct_size = sizeof options, .flags = WEFT_SUBMIT_COPY_HOST};
    check(weft_buffer_create(job->context, sizeof values, NULL, &buffer));
    check(weft_write(job->queue, buffer, 0, values, sizeof values, &options, NULL));
    return buffer;
}

void job_begin(job *job) {
    weft_port_desc room = {.struct_size = sizeof room, .capacity = ROOM};
    *job = (struct job){0};
    check(weft_context_create("auto", NULL, &job->context));
    check(weft_queue_create(job->context, NULL, &job->queue));
    check(weft_port_create(job->context, &room, &job->port));
    job->a = upload(job, a_at);
    job->b = upload(job, b_at);
    check(weft_buffer_create(job->context, PRODUCTS * SLOT, NULL, &job->d));
    check(weft_buffer_create(job->context, 4, NULL, &job->index));
    check(weft_fill(job->queue, job->index, 0, 4, 99, 4, NULL, NULL));
    submit(job);
}

int job_fd(const job *job) {
    int64_t fd;
    check(weft_port_event_handle(job->port, &fd));
    return (int)fd;
}

static void complete(job *job, const weft_completion *record) {
    char sentence[1024] = "";
    job->completed++;
    if (record->status == WEFT_OK) return;
    check(weft_request_error(record->request, sentence, sizeof sentence, NULL));
    check(weft_request_release(record->request));
    printf("%s: %s\n", weft_status_name(record->status), sentence);
    job->mistakes += record->user_data == MISTAKE && record->status == WEFT_ERROR_OUT_OF_RANGE;
}

bool job_step(job *job) {
    weft_completion records[ROOM];
    uint32_t count;
    check(weft_port_poll(job->port, records, ROOM, &count));
    for (uint32_t i = 0; i < count; i++) complete(job, &records[i]);
    job->batches += count > 0;
    submit(job);
    return job->completed == REQUESTS;
}

static bool right(const float *d, uint32_t i) {
    for (int64_t row = 0; row < rows(i); row++)
        for (int64_t column = 0; column < columns(i); column++) {
            float sum = 0;
            for (int64_t k = 0; k < inner(i); k++) sum += a_at(row * inner(i) + k) * b_at(k * columns(i) + column);
            if (d[row * columns(i) + column] != sum) return false;
        }
    return true;
}

int job_end(job *job, const char *loop) {
    static float results[PRODUCTS * SLOT / sizeof(float)];
    uint32_t good = 0;
    weft_status status;
    check(weft_read(job->queue, job->d, 0, results, sizeof results, NULL, NULL));
    /* A signal handler that runs meanwhile ends the wait. */
    do check(status = weft_queue_drain(job->queue, WEFT_FOREVER));
    while (status == WEFT_INTERRUPTED);
    for (uint32_t i = 0; i < PRODUCTS; i++) good += right(results + i * SLOT / sizeof(float), i);
    printf("%s: %u of %d products right, %u mistake answered, in %u batches\n", loop, good, PRODUCTS, job->mistakes,
           job->batches);
    weft_buffer buffers[] = {job->a, job->b, job->d, job->index};
    for (int i = 0; i < 4; i++) check(weft_buffer_release(buffers[i]));
    check(weft_port_release(job->port));
    check(weft_queue_release(job->queue));
    check(weft_context_release(job->context));
    return good == PRODUCTS && job->mistakes == 1 ? 0 : 1;
}
