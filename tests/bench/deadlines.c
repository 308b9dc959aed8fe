/* How late a deadline is seen: barriers behind work that takes longer, each with a deadline of 2 ms; the time from the
 * deadline to the return of weft_request_wait. Promised: 50 ms at p99.9.
 * Build: cc -O2 tests/bench/deadlines.c -Iinclude -Ltarget/release -lweft; run with LD_LIBRARY_PATH=target/release. */
#include "bench.h"
#include <string.h>

enum { ROUNDS = 2000, SIZE = 1 << 26 };
static const double DEADLINE = 2e6;

int main(void) {
    static double late[ROUNDS];
    weft_context context;
    weft_queue queue;
    weft_buffer buffer;
    weft_submit options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.deadline_ns = (uint64_t)DEADLINE;
    check(weft_context_create("cpu", NULL, &context));
    check(weft_queue_create(context, NULL, &queue));
    check(weft_buffer_create(context, SIZE, NULL, &buffer));
    int count = 0;
    while (count < ROUNDS) {
        weft_request request;
        check(weft_fill(queue, buffer, 0, SIZE, 0, 8, NULL, NULL));
        check(weft_fill(queue, buffer, 0, SIZE, 0, 8, NULL, NULL));
        double start = now();
        check(weft_barrier(queue, &options, &request));
        weft_status status = weft_request_wait(&request, 1, WEFT_WAIT_ALL, WEFT_FOREVER, NULL);
        double seen = now() - start - DEADLINE;
        if (status == WEFT_ERROR_DEADLINE_EXCEEDED) late[count++] = seen / 1e6;
        check(weft_request_release(request));
        weft_queue_drain(queue, WEFT_FOREVER);
    }
    qsort(late, ROUNDS, sizeof *late, by_value);
    printf("| a deadline is seen, ms late | median | p99 | p99.9 | most |\n|---|---|---|---|---|\n");
    printf("| behind longer work, %d times | %.2f | %.2f | %.2f | %.2f |\n", ROUNDS, late[ROUNDS / 2], late[ROUNDS * 99 / 100],
           late[ROUNDS * 999 / 1000], late[ROUNDS - 1]);
    weft_queue_release(queue);
    weft_context_release(context);
    return 0;
}
