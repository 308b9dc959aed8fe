/* What the log and the trace make of a whole process. telemetry MODE does the same work in each mode and ends it in another
 * way: release (in order), exit (nothing is released), abort. flood [N]: N empty requests at once. Prints "NAME HANDLE STATUS"
 * for each request that it waited for. Exit 3: a wrong result. */
#include "weft.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static weft_context context;
static weft_queue first, second;
static weft_request all[64];
static int count;

static void want(int holds, const char *what) {
    if (!holds) {
        fprintf(stdout, "wrong: %s: %s\n", what, weft_last_error());
        exit(3);
    }
}

static weft_request *next(void) { return &all[count++]; }

static weft_tensor tensor(weft_buffer buffer, uint32_t dtype, int64_t rows, int64_t columns) {
    weft_tensor made;
    memset(&made, 0, sizeof made);
    made.buffer = buffer, made.dtype = dtype;
    made.rank = 2, made.dims[0] = rows, made.dims[1] = columns;
    return made;
}

static void tell(const char *name, weft_request request) {
    printf("%s 0x%llx %s\n", name, (unsigned long long)request, weft_status_name(weft_request_poll(request)));
}

static void work(void) {
    static float host[64 * 64];
    weft_buffer a, b;
    weft_submit after;
    weft_matmul_desc matmul;
    weft_rows_desc rows;
    want(weft_buffer_create(context, sizeof host, NULL, &a) == WEFT_OK, "buffer");
    want(weft_buffer_create(context, 1 << 26, NULL, &b) == WEFT_OK, "buffer");
    weft_request *write = next(), *fill = next(), *product = next(), *gather = next(), *barrier = next(), *late = next();
    weft_request *read = next(), *overdue = next();
    want(weft_write(first, a, 0, host, sizeof host, NULL, write) == WEFT_OK, "write");
    want(weft_fill(first, b, 0, 1 << 26, 0x7fffffff, 4, NULL, fill) == WEFT_OK, "fill");
    memset(&matmul, 0, sizeof matmul);
    matmul.struct_size = sizeof matmul;
    matmul.a = matmul.b = tensor(a, WEFT_F32, 32, 32);
    matmul.d = tensor(a, WEFT_F32, 32, 32), matmul.d.offset = 4096;
    want(weft_matmul(first, &matmul, NULL, product) == WEFT_OK, "matmul");
    /* Indices that are far out of range. */
    memset(&rows, 0, sizeof rows);
    rows.struct_size = sizeof rows;
    rows.table = tensor(a, WEFT_F32, 4, 4), rows.indices = tensor(b, WEFT_I32, 1, 2), rows.indices.rank = 1;
    rows.indices.dims[0] = 2;
    rows.rows = tensor(a, WEFT_F32, 2, 4), rows.rows.offset = 8192;
    want(weft_gather_rows(first, &rows, NULL, gather) == WEFT_OK, "gather");
    memset(&after, 0, sizeof after);
    after.struct_size = sizeof after, after.after = gather, after.after_count = 1;
    want(weft_barrier(second, &after, barrier) == WEFT_OK, "barrier");
    want(weft_barrier(second, NULL, late) == WEFT_OK, "late");
    want(weft_request_cancel(*late) == WEFT_OK, "cancel");
    memset(&after, 0, sizeof after);
    after.struct_size = sizeof after, after.deadline_ns = 1;
    want(weft_barrier(second, &after, overdue) == WEFT_OK, "overdue");
    want(weft_read(first, a, 0, host, sizeof host, NULL, read) == WEFT_OK, "read");
    for (int i = 0; i < count; i++)
        weft_request_wait(&all[i], 1, WEFT_WAIT_ALL, WEFT_FOREVER, NULL);
    tell("write", *write), tell("fill", *fill), tell("matmul", *product), tell("gather_rows", *gather);
    tell("barrier", *barrier), tell("barrier", *late), tell("read", *read);
    tell("overdue", *overdue);
    weft_buffer_release(a), weft_buffer_release(b);
}

static void flood(int requests) {
    weft_submit options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options, options.timeout_ns = WEFT_FOREVER;
    for (int i = 0; i < requests; i++)
        want(weft_barrier(first, &options, NULL) == WEFT_OK, "barrier");
    want(weft_queue_drain(first, WEFT_FOREVER) == WEFT_OK, "drain");
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "release";
    want(weft_context_create("cpu", NULL, &context) == WEFT_OK, "context");
    want(weft_queue_create(context, NULL, &first) == WEFT_OK, "queue");
    want(weft_queue_create(context, NULL, &second) == WEFT_OK, "queue");
    printf("first 0x%llx x\nsecond 0x%llx x\n", (unsigned long long)first, (unsigned long long)second);
    if (strcmp(mode, "flood") == 0)
        flood(argc > 2 ? atoi(argv[2]) : 1000);
    else
        work();
    fflush(stdout);
    if (strcmp(mode, "abort") == 0)
        abort();
    if (strcmp(mode, "exit") == 0)
        return 0;
    for (int i = 0; i < count; i++)
        weft_request_release(all[i]);
    weft_queue_release(first), weft_queue_release(second), weft_context_release(context);
    return 0;
}
