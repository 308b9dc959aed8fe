/* Mistakes, made on purpose. A call that fails changes nothing, returns a status, and leaves a sentence; the next call
 * works as if it had not happened. */
#include <stdio.h>
#include <stdlib.h>
#include <weft.h>

static int surprises;

static void check(weft_status status) {
    if (status == WEFT_OK) return;
    fprintf(stderr, "%s: %s\n", weft_status_name(status), weft_last_error());
    exit(1);
}

/* Prints what a mistake was answered with, and counts answers other than `expected`. */
static void show(const char *mistake, weft_status status, weft_status expected) {
    printf("%s\n    %s", mistake, weft_status_name(status));
    /* Statuses above 0 are outcomes, not errors: they have no sentence. */
    if (status < 0) printf(": %s", weft_last_error());
    printf("\n");
    if (status == expected) return;
    surprises++;
    printf("    (expected %s)\n", weft_status_name(expected));
}

static weft_tensor floats(weft_buffer buffer, int64_t count) {
    return (weft_tensor){.buffer = buffer, .dtype = WEFT_F32, .rank = 1, .dims = {count}};
}

static weft_elementwise_desc double_of(weft_buffer buffer, int64_t count) {
    weft_elementwise_desc desc = {.struct_size = sizeof desc, .function = WEFT_EW_ADD};
    desc.a = desc.b = desc.y = floats(buffer, count);
    return desc;
}

/* Handles: each knows what it names, and a released one stays dead even when its place is used again. */
static void wrong_handles(weft_context context, weft_queue queue) {
    char byte = 0;
    weft_buffer buffer;
    check(weft_buffer_create(context, 64, NULL, &buffer));
    show("a buffer where a queue is expected", weft_write(buffer, buffer, 0, &byte, 1, NULL, NULL),
         WEFT_ERROR_WRONG_KIND);
    check(weft_buffer_release(buffer));
    show("a buffer after its release", weft_write(queue, buffer, 0, &byte, 1, NULL, NULL), WEFT_ERROR_STALE_HANDLE);
}

/* Tensors and structs: everything is checked before the call returns, so a bad request never runs. */
static void wrong_arguments(weft_queue queue, weft_buffer buffer) {
    weft_elementwise_desc desc = double_of(buffer, 17); /* it holds 16 */
    show("a tensor longer than its buffer", weft_elementwise(queue, &desc, NULL, NULL), WEFT_ERROR_INVALID_ARGUMENT);
    desc = double_of(buffer, 16);
    desc.b = floats(buffer, 5);
    show("shapes that do not fit each other", weft_elementwise(queue, &desc, NULL, NULL), WEFT_ERROR_INVALID_ARGUMENT);
    desc = double_of(buffer, 16);
    desc.struct_size = 0; /* forgotten */
    show("a struct without its size", weft_elementwise(queue, &desc, NULL, NULL), WEFT_ERROR_INVALID_ARGUMENT);
}

/* A queue holds as many requests as it was created for. One that is full says so, and accepts again later. */
static void full_queue(weft_context context, weft_buffer big, uint64_t size) {
    weft_queue_desc desc = {.struct_size = sizeof desc, .depth = 2};
    weft_submit patient = {.struct_size = sizeof patient, .timeout_ns = WEFT_FOREVER};
    weft_queue queue;
    weft_status status = WEFT_OK;
    check(weft_queue_create(context, &desc, &queue));
    /* Fills of this size take longer than it takes to ask for them, so that the third or a later one finds no room. */
    for (int i = 0; i < 1000 && status == WEFT_OK; i++) status = weft_fill(queue, big, 0, size, 0, 1, NULL, NULL);
    show("one request too many for a queue of depth 2", status, WEFT_WOULD_BLOCK);
    /* Who can wait for room says how long. */
    check(weft_fill(queue, big, 0, size, 0, 1, &patient, NULL));
    check(weft_queue_drain(queue, WEFT_FOREVER));
    check(weft_queue_release(queue));
}

/* A device that is not there: the sentence says what to do. */
static void missing_device(void) {
    uint32_t count, cuda = 0;
    weft_device_info info = {.struct_size = sizeof info};
    check(weft_device_count(&count));
    for (uint32_t i = 0; i < count; i++) {
        check(weft_device_info_get(i, &info));
        cuda += info.kind == WEFT_DEVICE_CUDA;
    }
    weft_context context = 0;
    weft_status status = weft_context_create("cuda:0", NULL, &context);
    show("the first GPU", status, cuda ? WEFT_OK : WEFT_ERROR_UNAVAILABLE);
    show("a device of no such name", weft_context_create("abacus", NULL, &context), WEFT_ERROR_INVALID_ARGUMENT);
    check(weft_context_release(context)); /* releasing 0 is allowed */
}

int main(void) {
    enum { BIG = 16 << 20 };
    weft_context context;
    weft_queue queue;
    weft_buffer buffer, big;
    check(weft_context_create("auto", NULL, &context));
    check(weft_queue_create(context, NULL, &queue));
    check(weft_buffer_create(context, 64, NULL, &buffer));
    check(weft_buffer_create(context, BIG, NULL, &big));

    wrong_handles(context, queue);
    wrong_arguments(queue, buffer);
    full_queue(context, big, BIG);
    missing_device();

    /* After all this the queue works as ever. */
    float one = 1, two = 0;
    weft_elementwise_desc desc = double_of(buffer, 1);
    check(weft_write(queue, buffer, 0, &one, sizeof one, NULL, NULL));
    check(weft_elementwise(queue, &desc, NULL, NULL));
    check(weft_read(queue, buffer, 0, &two, sizeof two, NULL, NULL));
    check(weft_queue_drain(queue, WEFT_FOREVER));
    printf("and 1 + 1 is still %g\n", two);
    check(weft_buffer_release(buffer));
    check(weft_buffer_release(big));
    check(weft_queue_release(queue));
    check(weft_context_release(context));
    return surprises == 0 && two == 2 ? 0 : 1;
}
