/* The first program: two vectors go to a device, are added there, and come back. */
#include <stdio.h>
#include <stdlib.h>
#include <weft.h>

/* A call that fails returns its status and leaves a sentence that says why. */
static void check(weft_status status) {
    if (status == WEFT_OK) return;
    fprintf(stderr, "%s: %s\n", weft_status_name(status), weft_last_error());
    exit(1);
}

int main(void) {
    weft_context context; /* one device in use: the best there is */
    weft_queue queue;     /* what it is to do, in order */
    weft_buffer buffer;   /* 12 floats of its memory: a, b and the result y */
    weft_request done;    /* one piece of work, to be waited for */
    float numbers[8] = {1, 2, 3, 4, 10, 20, 30, 40}, sums[4];
    check(weft_context_create("auto", NULL, &context));
    check(weft_queue_create(context, NULL, &queue));
    check(weft_buffer_create(context, 12 * sizeof(float), NULL, &buffer));
    check(weft_write(queue, buffer, 0, numbers, sizeof numbers, NULL, NULL)); /* returns at once, as all these do */
    weft_tensor a = {.buffer = buffer, .dtype = WEFT_F32, .rank = 1, .dims = {4}}, b = a, y = a;
    b.offset = 16, y.offset = 32; /* bytes from the buffer's start */
    weft_elementwise_desc add = {.struct_size = sizeof add, .function = WEFT_EW_ADD, .a = a, .b = b, .y = y};
    check(weft_elementwise(queue, &add, NULL, NULL));
    check(weft_read(queue, buffer, y.offset, sums, sizeof sums, NULL, &done));
    check(weft_request_wait(&done, 1, WEFT_WAIT_ALL, WEFT_FOREVER, NULL));
    printf("%g %g %g %g\n", sums[0], sums[1], sums[2], sums[3]); /* what was opened goes with the process */
}
