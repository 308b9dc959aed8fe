/* Scenarios for out-of-memory tests: each does what a program does, takes any error in stride, and releases everything.
 * oom N runs scenario N; oom alone prints how many there are. Exit 0: it ended in order. 3: a wrong result. */
#include "host.h"

#pragma weak oom_report
void oom_report(void);

static weft_context context;
static weft_queue queue;
static float host[4096];

static void want(int holds) {
    if (!holds)
        exit(3);
}

static weft_buffer buffer(size_t size) {
    weft_buffer made = 0;
    weft_buffer_create(context, size, NULL, &made);
    return made;
}

static weft_tensor tensor(weft_buffer of, uint32_t dtype, int rank, const int64_t *dims) {
    weft_tensor made;
    memset(&made, 0, sizeof made);
    made.buffer = of, made.dtype = dtype, made.rank = (uint32_t)rank;
    memcpy(made.dims, dims, (size_t)rank * sizeof *dims);
    return made;
}
#define DIMS(...) (int)(sizeof((int64_t[]){__VA_ARGS__}) / 8), (int64_t[]){__VA_ARGS__}

/* Waits if it was accepted; whatever came out, the record can be asked for. */
static weft_status finish(weft_status status, weft_request request) {
    weft_completion record;
    char text[64];
    if (status != WEFT_OK)
        return status;
    /* A wait may itself lack memory; the completion comes all the same. */
    while (weft_request_poll(request) == WEFT_NOT_READY)
        weft_request_wait(&request, 1, WEFT_WAIT_ALL, 1000000, NULL);
    status = weft_request_poll(request);
    want(weft_request_completion(request, &record) == WEFT_OK && record.status == status);
    want(weft_request_error(request, text, sizeof text, NULL) == WEFT_OK);
    want((status == WEFT_OK) == (text[0] == 0));
    want(weft_request_release(request) == WEFT_OK);
    return status;
}

static void transfers(size_t bytes, uint32_t flags) {
    weft_buffer a = buffer(bytes), b = buffer(bytes);
    char *data = malloc(bytes), *back = malloc(bytes);
    weft_request request = 0;
    DESC(weft_submit, options);
    options.flags = flags;
    memset(data, 7, bytes);
    weft_status first = weft_write(queue, a, 0, data, bytes, &options, &request);
    first = finish(first, request);
    weft_status second = weft_copy(queue, a, 0, b, 0, bytes, NULL, &request);
    second = finish(second, request);
    weft_status third = weft_read(queue, b, 0, back, bytes, NULL, &request);
    third = finish(third, request);
    if (!first && !second && !third)
        want(memcmp(data, back, bytes) == 0);
    weft_buffer_release(a), weft_buffer_release(b);
    free(data), free(back);
}

static void small_transfers(void) { transfers(64, 0); }
static void copied_transfers(void) { transfers(5000, WEFT_SUBMIT_COPY_HOST); }
static void large_transfers(void) { transfers(4 << 20, 0); }

static void fill(void) {
    weft_status status;
    weft_buffer a = buffer(4096);
    weft_request request = 0;
    status = weft_fill(queue, a, 0, 4096, 1, 1, NULL, &request);
    finish(status, request);
    weft_buffer_release(a);
}

static void many_buffers(void) {
    weft_buffer all[300];
    for (int i = 0; i < 300; i++)
        all[i] = buffer(16);
    for (int i = 299; i >= 0; i--)
        weft_buffer_release(all[i]);
}

static void huge_buffer(void) { want(buffer((size_t)1 << 60) == 0); }

static void many_requests(void) {
    weft_request all[200] = {0};
    for (int i = 0; i < 200; i++)
        if (weft_barrier(queue, NULL, &all[i]) != WEFT_OK)
            all[i] = 0;
    weft_queue_drain(queue, WEFT_FOREVER);
    for (int i = 0; i < 200; i++)
        weft_request_release(all[i]);
}

static void no_handles(void) {
    for (int i = 0; i < 100; i++)
        weft_barrier(queue, NULL, NULL);
    weft_queue_drain(queue, WEFT_FOREVER);
}

static void many_queues(void) {
    weft_queue all[12] = {0};
    for (int i = 0; i < 12; i++)
        weft_queue_create(context, NULL, &all[i]);
    for (int i = 0; i < 12; i++)
        if (all[i])
            weft_barrier(all[i], NULL, NULL);
    for (int i = 0; i < 12; i++)
        weft_queue_release(all[i]);
}

static void second_context(void) {
    weft_context other = 0;
    weft_queue its = 0;
    if (weft_context_create("cpu", NULL, &other) == WEFT_OK && weft_queue_create(other, NULL, &its) == WEFT_OK)
        weft_queue_drain(its, WEFT_FOREVER);
    weft_queue_release(its);
    weft_context_release(other);
}

static void errors(void) {
    weft_request request = 0;
    weft_context none = 0;
    want(weft_buffer_release(12345) < 0 && weft_last_error()[0]);
    want(weft_write(queue, 0, 0, host, 4, NULL, &request) < 0);
    want(weft_context_create("cuda:0", NULL, &none) < 0);
    want(weft_context_create("nothing", NULL, &none) < 0);
}

static void failing_request(void) {
    weft_buffer table = buffer(64), index = buffer(8), rows = buffer(64);
    weft_request request = 0;
    DESC(weft_rows_desc, desc);
    desc.table = tensor(table, WEFT_F32, 2, (int64_t[]){4, 4});
    desc.indices = tensor(index, WEFT_I32, 1, (int64_t[]){1});
    desc.rows = tensor(rows, WEFT_F32, 2, (int64_t[]){1, 4});
    weft_status status = weft_fill(queue, index, 0, 8, 99, 4, NULL, &request);
    finish(status, request);
    status = weft_gather_rows(queue, &desc, NULL, &request);
    want(finish(status, request) <= 0);
    weft_buffer_release(table), weft_buffer_release(index), weft_buffer_release(rows);
}

static void waits(void) {
    weft_request two[2] = {0};
    uint32_t index = 0;
    if (weft_barrier(queue, NULL, &two[0]) == WEFT_OK && weft_barrier(queue, NULL, &two[1]) == WEFT_OK) {
        weft_request_wait(two, 2, WEFT_WAIT_ANY, WEFT_FOREVER, &index);
        weft_request_wait(two, 2, WEFT_WAIT_ALL, WEFT_FOREVER, &index);
    }
    weft_queue_drain(queue, WEFT_FOREVER);
    weft_request_release(two[0]), weft_request_release(two[1]);
}

static void release_in_flight(void) {
    weft_buffer a = buffer(1 << 20);
    weft_fill(queue, a, 0, 1 << 20, 1, 1, NULL, NULL);
    weft_buffer_release(a);
    weft_queue_drain(queue, WEFT_FOREVER);
}

static void called(uint64_t user, const weft_completion *completion) {
    (void)user;
    want(completion->status <= 0);
}

static void port_with(weft_complete_fn callback) {
    weft_port port = 0;
    weft_completion records[32];
    uint32_t count = 0, taken = 0, accepted = 0;
    int64_t fd;
    if (weft_port_create(context, NULL, &port) == WEFT_OK) {
        weft_port_event_handle(port, &fd);
        DESC(weft_submit, options);
        options.port = port, options.callback = callback;
        for (int i = 0; i < 20; i++)
            accepted += weft_barrier(queue, &options, NULL) == WEFT_OK;
        weft_queue_drain(queue, WEFT_FOREVER);
        if (callback)
            want(weft_port_dispatch(port, 0, &taken) == WEFT_OK);
        else
            while (weft_port_poll(port, records, 32, &count) == WEFT_OK && count > 0)
                taken += count;
        want(taken == accepted); /* no completion is ever lost */
    }
    weft_port_release(port);
}
static void port(void) { port_with(NULL); }
static void callbacks(void) { port_with(called); }

static atomic_uint finals;
static void finalized(uint64_t user) {
    (void)user;
    finals++;
}

/* What is refused for want of memory is never finalized; what is accepted always. */
static void finalizers(void) {
    unsigned expected = 0;
    weft_port of_thread = 0;
    DESC(weft_port_desc, how);
    DESC(weft_submit, options);
    how.flags = WEFT_PORT_THREAD, how.finalizer = options.finalizer = finalized;
    if (weft_port_create(context, &how, &of_thread) == WEFT_OK) {
        options.port = of_thread, options.callback = called;
        for (int i = 0; i < 10; i++)
            expected += weft_barrier(queue, &options, NULL) == WEFT_OK;
        want(weft_port_release(of_thread) == WEFT_OK);
        expected++;
    }
    options.port = 0, options.callback = NULL;
    for (int i = 0; i < 10; i++)
        expected += weft_barrier(queue, &options, NULL) == WEFT_OK;
    for (int i = 0; finals != expected && i < 10000; i++)
        usleep(1000);
    want(finals == expected);
}

static void wait_lists(void) {
    weft_request first = 0, second = 0;
    weft_queue other = 0;
    DESC(weft_submit, options);
    weft_status status = weft_queue_create(context, NULL, &other);
    if (status == WEFT_OK && (status = weft_barrier(queue, NULL, &first)) == WEFT_OK) {
        options.after = &first, options.after_count = 1;
        status = weft_barrier(other, &options, &second);
    finish(status, second);
    }
    finish(first ? WEFT_OK : WEFT_TIMEOUT, first); /* releases first */
    weft_queue_release(other);
}

static void cancels(void) {
    weft_request request = 0;
    weft_status status = weft_barrier(queue, NULL, &request);
    if (status == WEFT_OK)
        want(weft_request_cancel(request) >= 0);
    finish(status, request);
}

static void deadlines(void) {
    weft_status status;
    weft_request request = 0;
    DESC(weft_submit, options);
    options.deadline_ns = 1000;
    status = weft_barrier(queue, &options, &request);
    finish(status, request);
}

static void info(void) {
    DESC(weft_context_info, of_context);
    DESC(weft_queue_info, of_queue);
    static weft_device_info of_device;
    uint32_t count;
    of_device.struct_size = sizeof of_device;
    want(weft_context_info_get(context, &of_context) == WEFT_OK && weft_queue_info_get(queue, &of_queue) == WEFT_OK);
    want(weft_device_count(&count) == WEFT_OK);
    weft_device_info_get(0, &of_device);
}

/* Operations: three buffers of 4096 floats, views into them. */
static weft_buffer x, y, z;
static weft_request request;
static void operands(void) { x = buffer(sizeof host), y = buffer(sizeof host), z = buffer(sizeof host), request = 0; }
static void done(weft_status status) {
    finish(status, request);
    weft_buffer_release(x), weft_buffer_release(y), weft_buffer_release(z);
}

static void matmul_of(uint32_t dtype, int64_t m, int64_t k, int64_t n) {
    operands();
    DESC(weft_matmul_desc, desc);
    desc.a = tensor(x, dtype, DIMS(m, k)), desc.b = tensor(y, dtype, DIMS(k, n)), desc.d = tensor(z, dtype, DIMS(m, n));
    done(weft_matmul(queue, &desc, NULL, &request));
}
static void matmul_f32(void) { matmul_of(WEFT_F32, 33, 17, 29); }
static void matmul_f64(void) { matmul_of(WEFT_F64, 9, 17, 13); }
static void matmul_bf16(void) { matmul_of(WEFT_BF16, 33, 64, 29); }
static void matmul_f16(void) { matmul_of(WEFT_F16, 64, 64, 64); }
static void matvec(void) { matmul_of(WEFT_F32, 1, 64, 64); }

static void attention_of(uint32_t dtype, int64_t queries, uint32_t flags) {
    operands();
    DESC(weft_attention_desc, desc);
    desc.flags = flags;
    desc.q = tensor(x, dtype, DIMS(1, 2, queries, 16)), desc.o = tensor(z, dtype, DIMS(1, 2, queries, 16));
    desc.k = desc.v = tensor(y, dtype, DIMS(1, 1, 40, 16));
    done(weft_attention(queue, &desc, NULL, &request));
}
static void attention(void) { attention_of(WEFT_F32, 40, WEFT_ATTENTION_CAUSAL); }
static void attention_bf16(void) { attention_of(WEFT_BF16, 40, 0); }
static void attention_decode(void) { attention_of(WEFT_F32, 1, 0); }

static void norm(void) {
    operands();
    DESC(weft_norm_desc, desc);
    desc.x = tensor(x, WEFT_F32, DIMS(8, 64)), desc.y = tensor(z, WEFT_F32, DIMS(8, 64));
    done(weft_rms_norm(queue, &desc, NULL, &request));
}

static void layer(void) {
    operands();
    DESC(weft_norm_desc, desc);
    desc.x = tensor(x, WEFT_BF16, DIMS(8, 64)), desc.y = tensor(z, WEFT_BF16, DIMS(8, 64));
    desc.weight = tensor(y, WEFT_F32, DIMS(64));
    done(weft_layer_norm(queue, &desc, NULL, &request));
}

static void rope(void) {
    operands();
    DESC(weft_rope_desc, desc);
    desc.x = tensor(x, WEFT_F32, DIMS(1, 2, 8, 32)), desc.y = tensor(z, WEFT_F32, DIMS(1, 2, 8, 32));
    done(weft_rope(queue, &desc, NULL, &request));
}

static void elementwise(void) {
    operands();
    DESC(weft_elementwise_desc, desc);
    desc.function = WEFT_EW_ADD;
    desc.a = tensor(x, WEFT_F16, DIMS(8, 64)), desc.b = tensor(y, WEFT_F16, DIMS(64)), desc.y = tensor(z, WEFT_F16, DIMS(8, 64));
    done(weft_elementwise(queue, &desc, NULL, &request));
}

static void softmax(void) {
    operands();
    DESC(weft_softmax_desc, desc);
    desc.x = tensor(x, WEFT_F32, DIMS(8, 64)), desc.y = tensor(z, WEFT_F32, DIMS(8, 64));
    done(weft_softmax(queue, &desc, NULL, &request));
}

static void top_k(void) {
    operands();
    DESC(weft_rank_desc, desc);
    desc.axis = -1;
    desc.x = tensor(x, WEFT_F32, DIMS(8, 64)), desc.values = tensor(z, WEFT_F32, DIMS(8, 5)), desc.indices = tensor(y, WEFT_I32, DIMS(8, 5));
    done(weft_top_k(queue, &desc, NULL, &request));
}

static void reduce(void) {
    operands();
    DESC(weft_reduce_desc, desc);
    desc.axes = 1;
    desc.x = tensor(x, WEFT_F32, DIMS(8, 64)), desc.y = tensor(z, WEFT_F32, DIMS(64));
    done(weft_reduce(queue, &desc, NULL, &request));
}

static void cast(void) {
    operands();
    DESC(weft_cast_desc, desc);
    desc.x = tensor(x, WEFT_F32, DIMS(8, 64)), desc.y = tensor(z, WEFT_BF16, DIMS(8, 64));
    done(weft_cast(queue, &desc, NULL, &request));
}

static void hear(uint64_t user, uint32_t level, const char *message) {
    *(uint64_t *)(uintptr_t)user += message[0] != 0 && level <= WEFT_LOG_DEBUG;
}

static void telemetry(void) {
    static char text[4096];
    uint64_t heard = 0;
    size_t needed = 0;
    weft_request request = 0;
    DESC(weft_stats_info, stats);
    want(weft_log_hook(hear, (uint64_t)(uintptr_t)&heard, WEFT_LOG_DEBUG) == WEFT_OK);
    weft_status status = weft_barrier(queue, NULL, &request);
    finish(status, request);
    weft_buffer made = buffer(100);
    want(weft_stats(context, &stats) == WEFT_OK && stats.in_flight == 0 && stats.buffers == (made != 0));
    status = weft_debug_report(0, text, sizeof text, &needed);
    want(status == WEFT_ERROR_OUT_OF_MEMORY || (status == WEFT_OK && strlen(text) > 100 && needed > 100));
    want(weft_buffer_release(queue) < 0 && heard > 0);
    want(weft_log_hook(NULL, 0, 0) == WEFT_OK);
    weft_buffer_release(made);
}

static void (*const SCENARIOS[])(void) = {
    small_transfers, copied_transfers, large_transfers, fill, many_buffers, huge_buffer, many_requests, no_handles,
    many_queues, second_context, errors, failing_request, waits, release_in_flight, port, callbacks, finalizers, wait_lists, cancels,
    deadlines, info, matmul_f32, matmul_f64, matmul_bf16, matmul_f16, matvec, attention, attention_bf16,
    attention_decode, norm, layer, rope, elementwise, softmax, top_k, reduce, cast,
    telemetry,
};
enum { COUNT = sizeof SCENARIOS / sizeof *SCENARIOS };

int main(int argc, char **argv) {
    if (argc < 2)
        return printf("%d\n", (int)COUNT), 0;
    DESC(weft_context_desc, options);
    options.threads = 2;
    weft_context_create("cpu", &options, &context);
    if (context)
        weft_queue_create(context, NULL, &queue);
    if (queue)
        SCENARIOS[atoi(argv[1]) % COUNT]();
    weft_status drained = queue ? weft_queue_drain(queue, WEFT_FOREVER) : WEFT_OK;
    (void)drained;
    weft_queue_release(queue);
    weft_context_release(context);
    weft_shutdown(1000000000);
    settled("/proc/self/task", 3); /* this thread, a helper, deadlines: workers that end still hold their last bytes */
    if (oom_report)
        oom_report();
    return 0;
}
