/* A layer of a neural network, D = gelu(A B + bias), checked against a plain loop, and how fast it was. */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <weft.h>

enum { M = 512, N = 768, K = 640, REPEATS = 20 };

static void check(weft_status status) {
    if (status == WEFT_OK) return;
    fprintf(stderr, "%s: %s\n", weft_status_name(status), weft_last_error());
    exit(1);
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Numbers from -1 to 1 that look random: a linear congruential generator is enough here. */
static float *numbers(size_t count) {
    static unsigned state = 1;
    float *values = malloc(count * sizeof *values);
    if (!values) exit(1);
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        values[i] = (float)(state >> 8) / 8388608.0f - 1.0f;
    }
    return values;
}

/* A new buffer with these values in it. The write is queued: `values` must stay as they are until it completed. */
static weft_buffer upload(weft_context context, weft_queue queue, const float *values, size_t count) {
    weft_buffer buffer;
    check(weft_buffer_create(context, count * sizeof *values, NULL, &buffer));
    check(weft_write(queue, buffer, 0, values, count * sizeof *values, NULL, NULL));
    return buffer;
}

/* A packed matrix in its own buffer. Rank, dims and dtype say all; strides are left 0, which means "no gaps". */
static weft_tensor matrix(weft_buffer buffer, int64_t rows, int64_t cols) {
    return (weft_tensor){.buffer = buffer, .dtype = WEFT_F32, .rank = 2, .dims = {rows, cols}};
}

/* The largest difference from the same computation in doubles; a few rows are enough to see. */
static double largest_error(const float *a, const float *b, const float *bias, const float *d) {
    double largest = 0;
    for (int i = 0; i < M; i += 37)
        for (int j = 0; j < N; j++) {
            double sum = bias[j];
            for (int k = 0; k < K; k++) sum += (double)a[i * K + k] * b[k * N + j];
            double gelu = sum / 2 * (1 + erf(sum / sqrt(2)));
            double error = fabs(gelu - d[i * N + j]);
            /* Written so that a NaN counts as large. */
            if (!(error <= largest)) largest = error;
        }
    return largest;
}

int main(void) {
    weft_context context;
    weft_queue queue;
    weft_request done;
    check(weft_context_create("auto", NULL, &context));
    check(weft_queue_create(context, NULL, &queue));

    float *a = numbers(M * K), *b = numbers(K * N), *bias = numbers(N), *d = numbers(M * N);
    weft_buffer a_there = upload(context, queue, a, M * K), b_there = upload(context, queue, b, K * N);
    weft_buffer bias_there = upload(context, queue, bias, N), d_there;
    check(weft_buffer_create(context, M * N * sizeof *d, NULL, &d_there));

    /* What is not set is 0, and 0 is the default of everything. */
    weft_matmul_desc layer = {.struct_size = sizeof layer, .epilogue = WEFT_EPILOGUE_GELU};
    layer.a = matrix(a_there, M, K);
    layer.b = matrix(b_there, K, N);
    layer.d = matrix(d_there, M, N);
    /* [N] broadcasts over the rows. */
    layer.bias = (weft_tensor){.buffer = bias_there, .dtype = WEFT_F32, .rank = 1, .dims = {N}};

    /* Once to check it, and to have everything warm. */
    check(weft_matmul(queue, &layer, NULL, NULL));
    check(weft_read(queue, d_there, 0, d, M * N * sizeof *d, NULL, &done));
    check(weft_request_wait(&done, 1, WEFT_WAIT_ALL, WEFT_FOREVER, NULL));
    check(weft_request_release(done));
    double error = largest_error(a, b, bias, d);

    /* All of these are queued at once; drain waits until the last has run, and reports if one failed. */
    double begin = seconds();
    for (int i = 0; i < REPEATS; i++) check(weft_matmul(queue, &layer, NULL, NULL));
    check(weft_queue_drain(queue, WEFT_FOREVER));
    double each = (seconds() - begin) / REPEATS;
    printf("[%d, %d] x [%d, %d]: %.2f ms, %.1f GFLOP/s, largest error %.1e\n", M, K, K, N, 1e3 * each,
           2e-9 * M * N * K / each, error);

    weft_buffer buffers[] = {a_there, b_there, bias_there, d_there};
    for (int i = 0; i < 4; i++) check(weft_buffer_release(buffers[i]));
    check(weft_queue_release(queue));
    check(weft_context_release(context));
    free(a), free(b), free(bias), free(d);
    /* Sums of K products below 1 in single precision: far below 1e-3. */
    return error < 1e-3 ? 0 : 1;
}
