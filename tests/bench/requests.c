/* The cost of an empty request: submit to completion seen on an idle queue (a spinning waiter, and weft_request_wait),
 * and the submitter's own cost a request when many are in flight, with and without a handle.
 * Build: cc -O2 tests/bench/requests.c -Iinclude -Ltarget/release -lweft; run with LD_LIBRARY_PATH=target/release. */
#include "bench.h"

static void report(const char *what, double *ns, int count) {
    qsort(ns, count, sizeof *ns, by_value);
    printf("| %s | %.0f | %.0f | %.0f |\n", what, ns[count / 2], ns[count * 9 / 10], ns[count * 99 / 100]);
}

enum { ROUNDS = 20000, BATCH = 1000, BATCHES = 200 };

static void idle(weft_queue queue, int spin, const char *what) {
    static double ns[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        weft_request request;
        double start = now();
        check(weft_barrier(queue, NULL, &request));
        if (spin) {
            while (weft_request_poll(request) == WEFT_NOT_READY) {}
        } else {
            check(weft_request_wait(&request, 1, WEFT_WAIT_ALL, WEFT_FOREVER, NULL));
        }
        ns[i] = now() - start;
        check(weft_request_release(request));
    }
    report(what, ns, ROUNDS);
}

static void submits(weft_queue queue, int handles, const char *what) {
    static double ns[BATCHES];
    static weft_request requests[BATCH];
    for (int round = 0; round < BATCHES; round++) {
        double start = now();
        for (int i = 0; i < BATCH; i++)
            check(weft_barrier(queue, NULL, handles ? &requests[i] : NULL));
        ns[round] = (now() - start) / BATCH;
        check(weft_queue_drain(queue, WEFT_FOREVER));
        for (int i = 0; handles && i < BATCH; i++)
            check(weft_request_release(requests[i]));
    }
    report(what, ns, BATCHES);
}

int main(void) {
    weft_context context;
    weft_queue queue;
    check(weft_context_create("cpu", NULL, &context));
    check(weft_queue_create(context, NULL, &queue));
    printf("| empty request, ns | median | p90 | p99 |\n|---|---|---|---|\n");
    idle(queue, 1, "submit to completion, spinning on weft_request_poll");
    idle(queue, 0, "submit to completion, weft_request_wait");
    submits(queue, 0, "submit alone, pipelined, no handle");
    submits(queue, 1, "submit alone, pipelined, with handle");
    check(weft_queue_release(queue));
    check(weft_context_release(context));
    return 0;
}
