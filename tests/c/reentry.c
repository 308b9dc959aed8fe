/* Calls a function of weft.h where a callback or a finalizer of the caller's runs, as a program would that knows no better.
 *
 *   reentry               prints the names of the functions
 *   reentry NAME PLACE    exit 0: it worked there, or answered WEFT_ERROR_IN_CALLBACK if it could wait for itself
 *
 * PLACE: dispatch (a callback in weft_port_dispatch), thread (a callback on the port's own thread), after (a finalizer
 * behind a callback in weft_port_dispatch), finalizer (one on the library's thread). A deadlock ends by SIGALRM. */
#include "weft.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static weft_context context;
static weft_queue queue;
static weft_port port;
static weft_request request, inner;
static weft_buffer x, y, z;
static char host[16384];

#define DESC(type, name) type name; memset(&name, 0, sizeof name); name.struct_size = sizeof name
#define DIMS(...) (int)(sizeof((int64_t[]){__VA_ARGS__}) / 8), (int64_t[]){__VA_ARGS__}

static void want(int holds, const char *what) {
    if (!holds) {
        fprintf(stderr, "%s: %s\n", what, weft_last_error());
        exit(1);
    }
}

static weft_tensor tensor(weft_buffer of, uint32_t dtype, int rank, const int64_t *dims) {
    weft_tensor made;
    memset(&made, 0, sizeof made);
    made.buffer = of, made.dtype = dtype, made.rank = (uint32_t)rank;
    memcpy(made.dims, dims, (size_t)rank * sizeof *dims);
    return made;
}

/* The functions, each with arguments that are right. */
#define CALL(name) static weft_status call_##name(void)

CALL(weft_abi_version) { return weft_abi_version() == WEFT_ABI_VERSION ? WEFT_OK : -1; }
CALL(weft_abi_check) { return weft_abi_check(WEFT_ABI_VERSION); }
CALL(weft_version) { return weft_version()[0] ? WEFT_OK : -1; }
CALL(weft_status_name) { return strcmp(weft_status_name(WEFT_OK), "WEFT_OK"); }
CALL(weft_last_error) { return weft_last_error() ? WEFT_OK : -1; }
CALL(weft_shutdown) { return weft_shutdown(WEFT_FOREVER); }
CALL(weft_device_count) {
    uint32_t count;
    return weft_device_count(&count);
}
CALL(weft_device_info_get) {
    DESC(weft_device_info, info);
    return weft_device_info_get(0, &info);
}
CALL(weft_library_count) {
    uint32_t count;
    return weft_library_count(&count);
}
CALL(weft_library_info_get) {
    DESC(weft_library_info, info);
    return weft_library_info_get(0, &info);
}
CALL(weft_context_create) {
    weft_context made = 0;
    weft_status status = weft_context_create("cpu", NULL, &made);
    return status ? status : weft_context_release(made);
}
CALL(weft_context_info_get) {
    DESC(weft_context_info, info);
    return weft_context_info_get(context, &info);
}
CALL(weft_context_release) { return weft_context_release(context); }
CALL(weft_stats) {
    DESC(weft_stats_info, stats);
    return weft_stats(context, &stats);
}
CALL(weft_debug_report) { return weft_debug_report(0, host, sizeof host, NULL); }
static void hear(uint64_t user, uint32_t level, const char *message) { *(char *)(uintptr_t)user += message[0] && level; }
CALL(weft_log_hook) {
    static char heard;
    weft_status status = weft_log_hook(hear, (uint64_t)(uintptr_t)&heard, WEFT_LOG_WARN);
    want(weft_port_arm(0) == WEFT_ERROR_INVALID_ARGUMENT && heard == 1, "the hook hears");
    return status ? status : weft_log_hook(NULL, 0, 0);
}
CALL(weft_buffer_create) {
    weft_buffer made = 0;
    weft_status status = weft_buffer_create(context, 1 << 20, NULL, &made);
    return status ? status : weft_buffer_release(made);
}
CALL(weft_buffer_info_get) {
    DESC(weft_buffer_info, info);
    return weft_buffer_info_get(x, &info);
}
CALL(weft_buffer_release) { return weft_buffer_release(x); }
CALL(weft_queue_create) {
    weft_queue made = 0;
    weft_status status = weft_queue_create(context, NULL, &made);
    return status ? status : weft_queue_release(made);
}
CALL(weft_queue_info_get) {
    DESC(weft_queue_info, info);
    return weft_queue_info_get(queue, &info);
}
CALL(weft_queue_drain) { return weft_queue_drain(queue, WEFT_FOREVER); }
CALL(weft_queue_release) { return weft_queue_release(queue); }
CALL(weft_port_create) {
    weft_port made = 0;
    DESC(weft_port_desc, options);
    options.flags = WEFT_PORT_THREAD;
    weft_status status = weft_port_create(context, &options, &made);
    return status ? status : weft_port_release(made);
}
CALL(weft_port_poll) {
    weft_completion records[4];
    uint32_t count;
    weft_port other = 0;
    weft_status status = weft_port_create(context, NULL, &other);
    status = status ? status : weft_port_poll(other, records, 4, &count);
    return status ? status : weft_port_release(other);
}
CALL(weft_port_wait) {
    weft_completion records[4];
    uint32_t count;
    return weft_port_wait(port, records, 4, WEFT_FOREVER, &count);
}
CALL(weft_port_dispatch) { return weft_port_dispatch(port, 0, NULL); }
CALL(weft_port_event_handle) {
    int64_t fd;
    weft_port other = 0;
    weft_status status = weft_port_create(context, NULL, &other);
    status = status ? status : weft_port_event_handle(other, &fd);
    return status ? status : weft_port_release(other);
}
CALL(weft_port_arm) { return weft_port_arm(port); }
CALL(weft_port_wake) { return weft_port_wake(port); }
CALL(weft_port_release) { return weft_port_release(port); }
CALL(weft_request_wait) { return weft_request_wait(&request, 1, WEFT_WAIT_ALL, WEFT_FOREVER, NULL); }
CALL(weft_request_poll) { return weft_request_poll(request); }
CALL(weft_request_completion) {
    weft_completion record;
    return weft_request_completion(request, &record);
}
CALL(weft_request_error) { return weft_request_error(request, host, sizeof host, NULL); }
CALL(weft_request_error_info_get) {
    DESC(weft_error_info, info);
    return weft_request_error_info_get(request, &info);
}
CALL(weft_request_cancel) { return weft_request_cancel(request) == WEFT_NOT_FOUND ? WEFT_OK : -1; }
CALL(weft_request_release) { return weft_request_release(request); }
CALL(weft_write) { return weft_write(queue, x, 0, host, 64, NULL, &inner); }
CALL(weft_read) { return weft_read(queue, x, 0, host, 64, NULL, &inner); }
CALL(weft_copy) { return weft_copy(queue, x, 0, y, 0, 64, NULL, &inner); }
CALL(weft_fill) { return weft_fill(queue, x, 0, 64, 1, 1, NULL, &inner); }
CALL(weft_barrier) {
    DESC(weft_submit, options);
    options.timeout_ns = WEFT_FOREVER;
    return weft_barrier(queue, &options, &inner);
}
CALL(weft_matmul) {
    DESC(weft_matmul_desc, desc);
    desc.a = tensor(x, WEFT_F32, DIMS(8, 8)), desc.b = tensor(y, WEFT_F32, DIMS(8, 8)), desc.d = tensor(z, WEFT_F32, DIMS(8, 8));
    return weft_matmul(queue, &desc, NULL, &inner);
}
CALL(weft_matmul_grouped) {
    DESC(weft_matmul_desc, desc);
    desc.a = tensor(x, WEFT_F32, DIMS(8, 8)), desc.b = tensor(y, WEFT_F32, DIMS(8, 8)), desc.d = tensor(z, WEFT_F32, DIMS(8, 8));
    return weft_matmul_grouped(queue, &desc, 1, NULL, &inner);
}
/* A descriptor of vectors x and, if it is there, y. */
#define VECTORS(function, type, ...) \
    CALL(function) { \
        DESC(type, desc); \
        desc.x = tensor(x, WEFT_F32, DIMS(64)); \
        __VA_ARGS__; \
        return function(queue, &desc, NULL, &inner); \
    }
#define OTHER desc.y = tensor(y, WEFT_F32, DIMS(64))
#define RESULT(type) desc.result = tensor(z, type, DIMS(1)), desc.result.rank = 0
VECTORS(weft_axpy, weft_axpy_desc, OTHER)
VECTORS(weft_scal, weft_scal_desc, desc.alpha = 2)
VECTORS(weft_swap, weft_swap_desc, OTHER)
VECTORS(weft_rot, weft_rot_desc, OTHER)
VECTORS(weft_dot, weft_dot_desc, OTHER; RESULT(WEFT_F32))
VECTORS(weft_nrm2, weft_vector_desc, RESULT(WEFT_F32))
VECTORS(weft_asum, weft_vector_desc, RESULT(WEFT_F32))
VECTORS(weft_iamax, weft_vector_desc, RESULT(WEFT_I32))
VECTORS(weft_gemv, weft_gemv_desc, desc.a = tensor(y, WEFT_F32, DIMS(8, 64)); desc.y = tensor(z, WEFT_F32, DIMS(8)))
VECTORS(weft_ger, weft_ger_desc, desc.y = tensor(y, WEFT_F32, DIMS(8)); desc.a = tensor(z, WEFT_F32, DIMS(64, 8)))
CALL(weft_syrk) {
    DESC(weft_syrk_desc, desc);
    desc.a = tensor(x, WEFT_F32, DIMS(8, 8)), desc.c = tensor(z, WEFT_F32, DIMS(8, 8));
    return weft_syrk(queue, &desc, NULL, &inner);
}
CALL(weft_trsm) {
    DESC(weft_trsm_desc, desc);
    desc.a = tensor(x, WEFT_F32, DIMS(8, 8)), desc.b = tensor(z, WEFT_F32, DIMS(8, 8));
    return weft_trsm(queue, &desc, NULL, &inner);
}
CALL(weft_attention) {
    DESC(weft_attention_desc, desc);
    desc.q = tensor(x, WEFT_F32, DIMS(1, 2, 4, 16)), desc.o = tensor(z, WEFT_F32, DIMS(1, 2, 4, 16));
    desc.k = desc.v = tensor(y, WEFT_F32, DIMS(1, 1, 4, 16));
    return weft_attention(queue, &desc, NULL, &inner);
}
static weft_status norm(weft_status (*f)(weft_queue, const weft_norm_desc *, const weft_submit *, weft_request *)) {
    DESC(weft_norm_desc, desc);
    desc.x = tensor(x, WEFT_F32, DIMS(8, 64)), desc.y = tensor(z, WEFT_F32, DIMS(8, 64));
    return f(queue, &desc, NULL, &inner);
}
CALL(weft_rms_norm) { return norm(weft_rms_norm); }
CALL(weft_layer_norm) { return norm(weft_layer_norm); }
CALL(weft_rope) {
    DESC(weft_rope_desc, desc);
    desc.x = tensor(x, WEFT_F32, DIMS(1, 2, 8, 32)), desc.y = tensor(z, WEFT_F32, DIMS(1, 2, 8, 32));
    return weft_rope(queue, &desc, NULL, &inner);
}
CALL(weft_elementwise) {
    DESC(weft_elementwise_desc, desc);
    desc.function = WEFT_EW_ADD;
    desc.a = tensor(x, WEFT_F32, DIMS(8, 64)), desc.b = tensor(y, WEFT_F32, DIMS(64)), desc.y = tensor(z, WEFT_F32, DIMS(8, 64));
    return weft_elementwise(queue, &desc, NULL, &inner);
}
CALL(weft_softmax) {
    DESC(weft_softmax_desc, desc);
    desc.x = tensor(x, WEFT_F32, DIMS(8, 64)), desc.y = tensor(z, WEFT_F32, DIMS(8, 64));
    return weft_softmax(queue, &desc, NULL, &inner);
}
static weft_status rows(weft_status (*f)(weft_queue, const weft_rows_desc *, const weft_submit *, weft_request *)) {
    DESC(weft_rows_desc, desc);
    desc.table = tensor(x, WEFT_F32, DIMS(4, 4)), desc.indices = tensor(y, WEFT_I32, DIMS(1)), desc.rows = tensor(z, WEFT_F32, DIMS(1, 4));
    return f(queue, &desc, NULL, &inner);
}
CALL(weft_gather_rows) { return rows(weft_gather_rows); }
CALL(weft_scatter_rows) { return rows(weft_scatter_rows); }
CALL(weft_top_k) {
    DESC(weft_rank_desc, desc);
    desc.axis = -1;
    desc.x = tensor(x, WEFT_F32, DIMS(8, 64)), desc.values = tensor(z, WEFT_F32, DIMS(8, 5)), desc.indices = tensor(y, WEFT_I32, DIMS(8, 5));
    return weft_top_k(queue, &desc, NULL, &inner);
}
CALL(weft_arg_reduce) {
    DESC(weft_rank_desc, desc);
    desc.axis = -1;
    desc.x = tensor(x, WEFT_F32, DIMS(8, 64)), desc.indices = tensor(y, WEFT_I32, DIMS(8));
    return weft_arg_reduce(queue, &desc, NULL, &inner);
}
CALL(weft_reduce) {
    DESC(weft_reduce_desc, desc);
    desc.axes = 1;
    desc.x = tensor(x, WEFT_F32, DIMS(8, 64)), desc.y = tensor(z, WEFT_F32, DIMS(64));
    return weft_reduce(queue, &desc, NULL, &inner);
}
CALL(weft_cast) {
    DESC(weft_cast_desc, desc);
    desc.x = tensor(x, WEFT_F32, DIMS(8, 64)), desc.y = tensor(z, WEFT_BF16, DIMS(8, 64));
    return weft_cast(queue, &desc, NULL, &inner);
}
/* On the CPU device PTX is refused: that it is, and not WEFT_ERROR_IN_CALLBACK, is what works here. */
static weft_status refused_as(weft_status answer, weft_status expected) { return answer == expected ? WEFT_OK : answer ? answer : -1; }
CALL(weft_program_create) {
    weft_program made = 0;
    DESC(weft_program_desc, desc);
    desc.ptx = ".version 7.0\n.target sm_80\n";
    return refused_as(weft_program_create(context, &desc, &made), WEFT_ERROR_UNSUPPORTED);
}
CALL(weft_kernel_get) {
    weft_kernel made = 0;
    return refused_as(weft_kernel_get(0, "x", &made), WEFT_ERROR_INVALID_ARGUMENT);
}
CALL(weft_launch) {
    DESC(weft_launch_desc, desc);
    return refused_as(weft_launch(queue, &desc, NULL, &inner), WEFT_ERROR_UNSUPPORTED);
}
CALL(weft_kernel_release) { return weft_kernel_release(0); }
CALL(weft_program_release) { return weft_program_release(0); }

/* Every function and what it answers inside a callback or a finalizer. */
#define WORKS(name) {#name, call_##name, WEFT_OK}
#define REFUSED(name) {#name, call_##name, WEFT_ERROR_IN_CALLBACK}
static const struct {
    const char *name;
    weft_status (*call)(void);
    weft_status answer;
} FUNCTIONS[] = {
    WORKS(weft_abi_version), WORKS(weft_abi_check), WORKS(weft_version), WORKS(weft_status_name), WORKS(weft_last_error),
    REFUSED(weft_shutdown),
    WORKS(weft_device_count), WORKS(weft_device_info_get), WORKS(weft_library_count), WORKS(weft_library_info_get),
    WORKS(weft_context_create), WORKS(weft_context_info_get), WORKS(weft_context_release),
    WORKS(weft_stats), WORKS(weft_debug_report), WORKS(weft_log_hook),
    WORKS(weft_buffer_create), WORKS(weft_buffer_info_get), WORKS(weft_buffer_release),
    WORKS(weft_queue_create), WORKS(weft_queue_info_get), REFUSED(weft_queue_drain), WORKS(weft_queue_release),
    WORKS(weft_port_create), WORKS(weft_port_poll), REFUSED(weft_port_wait), REFUSED(weft_port_dispatch),
    WORKS(weft_port_event_handle), WORKS(weft_port_arm), WORKS(weft_port_wake), WORKS(weft_port_release),
    REFUSED(weft_request_wait), WORKS(weft_request_poll), WORKS(weft_request_completion), WORKS(weft_request_error),
    WORKS(weft_request_error_info_get), WORKS(weft_request_cancel), WORKS(weft_request_release),
    WORKS(weft_write), WORKS(weft_read), WORKS(weft_copy), WORKS(weft_fill), WORKS(weft_barrier),
    WORKS(weft_matmul), WORKS(weft_attention), WORKS(weft_rms_norm), WORKS(weft_layer_norm), WORKS(weft_rope),
    WORKS(weft_elementwise), WORKS(weft_softmax), WORKS(weft_gather_rows), WORKS(weft_scatter_rows), WORKS(weft_top_k),
    WORKS(weft_arg_reduce), WORKS(weft_reduce), WORKS(weft_cast), WORKS(weft_matmul_grouped),
    WORKS(weft_axpy), WORKS(weft_scal), WORKS(weft_swap), WORKS(weft_rot), WORKS(weft_dot), WORKS(weft_nrm2), WORKS(weft_asum),
    WORKS(weft_iamax), WORKS(weft_gemv), WORKS(weft_ger), WORKS(weft_syrk), WORKS(weft_trsm),
    WORKS(weft_program_create), WORKS(weft_kernel_get), WORKS(weft_launch), WORKS(weft_kernel_release),
    WORKS(weft_program_release),
};
enum { COUNT = sizeof FUNCTIONS / sizeof *FUNCTIONS };

static int chosen = -1;
static weft_status answered;
static atomic_int calls, finals;

static void try_it(void) {
    want(request != 0, "the submission has written its handle before anything can be called");
    answered = FUNCTIONS[chosen].call();
    if (answered == WEFT_ERROR_IN_CALLBACK)
        want(strstr(weft_last_error(), FUNCTIONS[chosen].name) != NULL, "the sentence names the function");
}
static void plain_callback(uint64_t user, const weft_completion *record) {
    want(user == 7 && record->status == WEFT_OK, "the record");
    calls++;
}
static void trying_callback(uint64_t user, const weft_completion *record) {
    want(request == record->request, "the handle");
    try_it();
    plain_callback(user, record);
}
static void plain_finalizer(uint64_t user) {
    want(user == 7, "the finalizer's number");
    finals++;
}
static void trying_finalizer(uint64_t user) {
    try_it();
    plain_finalizer(user);
}

static void set_up(uint32_t port_flags) {
    DESC(weft_context_desc, options);
    options.threads = 1;
    want(!weft_context_create("cpu", &options, &context) && !weft_queue_create(context, NULL, &queue), "set up");
    weft_buffer *buffers[] = {&x, &y, &z};
    for (int i = 0; i < 3; i++)
        want(!weft_buffer_create(context, sizeof host, NULL, buffers[i]), "buffers");
    DESC(weft_port_desc, how);
    how.flags = port_flags;
    want(!weft_port_create(context, &how, &port), "port");
}

int main(int argc, char **argv) {
    if (argc < 3) {
        for (int i = 0; i < COUNT; i++)
            puts(FUNCTIONS[i].name);
        return 0;
    }
    alarm(60);
    for (int i = 0; i < COUNT; i++)
        if (!strcmp(argv[1], FUNCTIONS[i].name))
            chosen = i;
    want(chosen >= 0, "no such function");
    const int thread = !strcmp(argv[2], "thread"), dispatch = !strcmp(argv[2], "dispatch");
    const int after = !strcmp(argv[2], "after"), finalizer = !strcmp(argv[2], "finalizer");
    want(thread + dispatch + after + finalizer == 1, "no such place");
    set_up(thread ? WEFT_PORT_THREAD : 0);
    DESC(weft_submit, options);
    options.user_data = 7;
    options.port = finalizer ? 0 : port;
    options.callback = finalizer ? NULL : thread || dispatch ? trying_callback : plain_callback;
    options.finalizer = after || finalizer ? trying_finalizer : plain_finalizer;
    want(!weft_barrier(queue, &options, &request), "submit");
    weft_queue_drain(queue, WEFT_FOREVER); /* the callback may have released it */
    if (dispatch || after)
        want(!weft_port_dispatch(port, 0, NULL), "dispatch");
    while (!finals)
        usleep(100);
    want(answered == FUNCTIONS[chosen].answer, weft_status_name(answered));
    want(calls == !finalizer, "exactly one callback");
    if (inner)
        want(!weft_request_wait(&inner, 1, WEFT_WAIT_ALL, WEFT_FOREVER, NULL), "what was submitted inside");
    weft_port_release(port), weft_queue_release(queue), weft_context_release(context);
    want(!weft_shutdown(WEFT_FOREVER), "shutdown");
    want(finals == 1, "exactly one finalizer");
    return 0;
}
