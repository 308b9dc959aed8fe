/* Two queues of one device: each runs its own requests in order, side by side with the other. The results meet after
 * waits, because a queue sees what another one wrote only then. */
#include <stdio.h>
#include <stdlib.h>
#include <weft.h>

enum { COUNT = 1 << 20, QUEUES = 2, STEPS = 10 };

static void check(weft_status status) {
    if (status == WEFT_OK) return;
    fprintf(stderr, "%s: %s\n", weft_status_name(status), weft_last_error());
    exit(1);
}

static weft_tensor floats(weft_buffer buffer) {
    return (weft_tensor){.buffer = buffer, .dtype = WEFT_F32, .rank = 1, .dims = {COUNT}};
}

/* y = a + b, without a handle: what follows in the queue waits for it anyway. */
static void add(weft_queue queue, weft_buffer a, weft_buffer b, weft_buffer y) {
    weft_elementwise_desc desc = {.struct_size = sizeof desc, .function = WEFT_EW_ADD};
    desc.a = floats(a), desc.b = floats(b), desc.y = floats(y);
    check(weft_elementwise(queue, &desc, NULL, NULL));
}

/* The four bytes of a float, as weft_fill wants them. */
static uint64_t pattern_of(float value) {
    union { float value; uint32_t bits; } both = {value};
    return both.bits;
}

/* Queues work of many steps: fills the buffer with `value` and doubles it STEPS times. The barrier's request completes
 * when all of it has. */
static weft_request start(weft_queue queue, weft_buffer buffer, float value) {
    weft_request done;
    check(weft_fill(queue, buffer, 0, COUNT * sizeof(float), pattern_of(value), sizeof(float), NULL, NULL));
    for (int i = 0; i < STEPS; i++) add(queue, buffer, buffer, buffer);
    check(weft_barrier(queue, NULL, &done));
    return done;
}

int main(void) {
    weft_context context;
    weft_queue queues[QUEUES];
    weft_buffer buffers[QUEUES];
    weft_request pending[QUEUES];
    check(weft_context_create("auto", NULL, &context));
    for (int i = 0; i < QUEUES; i++) {
        check(weft_queue_create(context, NULL, &queues[i]));
        check(weft_buffer_create(context, COUNT * sizeof(float), NULL, &buffers[i]));
    }

    /* Both are at work before anything is waited for. */
    for (int i = 0; i < QUEUES; i++) pending[i] = start(queues[i], buffers[i], (float)(i + 1));

    /* Whichever comes first; then the other. */
    uint32_t first;
    check(weft_request_wait(pending, QUEUES, WEFT_WAIT_ANY, WEFT_FOREVER, &first));
    /* Which one that is differs from run to run, so it goes to stderr. */
    fprintf(stderr, "queue %u was first\n", first);
    check(weft_request_wait(pending, QUEUES, WEFT_WAIT_ALL, WEFT_FOREVER, NULL));

    /* Now queue 0 may read what queue 1 wrote. */
    float sum;
    weft_request done;
    add(queues[0], buffers[0], buffers[1], buffers[0]);
    check(weft_read(queues[0], buffers[0], (COUNT - 1) * sizeof(float), &sum, sizeof sum, NULL, &done));
    check(weft_request_wait(&done, 1, WEFT_WAIT_ALL, WEFT_FOREVER, NULL));
    float expected = (1.0f + 2.0f) * (1 << STEPS);
    printf("1 and 2, doubled %d times and added: %g\n", STEPS, sum);

    /* Objects may be released in any order. */
    check(weft_context_release(context));
    check(weft_request_release(done));
    for (int i = 0; i < QUEUES; i++) {
        check(weft_request_release(pending[i]));
        check(weft_buffer_release(buffers[i]));
        check(weft_queue_release(queues[i]));
    }
    return sum == expected ? 0 : 1;
}
