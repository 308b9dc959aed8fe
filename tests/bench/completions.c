/* What a completion costs on a CUDA device, beside the driver's own floor in the same process: an empty stream and a word
 * in mapped memory that the stream writes and the host spins on. Rounds of both alternate. Then the bus: writes and reads
 * from pageable and pinned memory beside memcpy and the driver's own copies.
 * Build: cc -O2 tests/bench/completions.c -Iinclude -Ltarget/release -lweft -ldl -lpthread; run with LD_LIBRARY_PATH=target/release. */
#define _GNU_SOURCE
#include "bench.h"
#include <dlfcn.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

typedef void *P;
typedef unsigned long long D;
#define DRIVER(name, ...) static int (*name)(__VA_ARGS__);
DRIVER(cuInit, unsigned)
DRIVER(cuDevicePrimaryCtxRetain, P *, int)
DRIVER(cuCtxPushCurrent_v2, P)
DRIVER(cuStreamCreate, P *, unsigned)
DRIVER(cuStreamSynchronize, P)
DRIVER(cuStreamWriteValue32_v2, P, D, unsigned, unsigned)
DRIVER(cuMemHostAlloc, P *, size_t, unsigned)
DRIVER(cuMemAlloc_v2, D *, size_t)
DRIVER(cuMemcpyHtoDAsync_v2, D, const void *, size_t, P)
DRIVER(cuMemcpyDtoHAsync_v2, void *, D, size_t, P)
DRIVER(cuModuleLoadData, P *, const char *)
DRIVER(cuModuleGetFunction, P *, P, const char *)
DRIVER(cuLaunchKernel, P, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, P, P *, P *)

/* Ends when the GPU's clock, in nanoseconds, is a second on. */
static const char *spinning =
    ".version 7.0\n.target sm_80\n.address_size 64\n.visible .entry spin() {\n.reg .b64 %d<3>; .reg .pred %p;\n"
    "mov.u64 %d0, %globaltimer; add.u64 %d1, %d0, 1000000000;\n"
    "again: mov.u64 %d2, %globaltimer; setp.lt.u64 %p, %d2, %d1; @%p bra again; ret; }\n";
static const char *empty = ".version 7.0\n.target sm_80\n.address_size 64\n.visible .entry empty() { ret; }\n";
static P stream, function;
static volatile unsigned *word;
static unsigned next;
static weft_context context;
static weft_queue queue;

static void raw(int code) {
    if (code) fprintf(stderr, "the driver answers %d\n", code), exit(1);
}

static void open_driver(void) {
    P library = dlopen("libcuda.so.1", RTLD_NOW);
    if (!library) fprintf(stderr, "no driver: %s\n", dlerror()), exit(1);
#define FIND(name) *(P *)&name = dlsym(library, #name)
    FIND(cuInit); FIND(cuDevicePrimaryCtxRetain); FIND(cuCtxPushCurrent_v2); FIND(cuStreamCreate); FIND(cuStreamSynchronize);
    FIND(cuStreamWriteValue32_v2); FIND(cuMemHostAlloc); FIND(cuMemAlloc_v2); FIND(cuMemcpyHtoDAsync_v2); FIND(cuMemcpyDtoHAsync_v2);
    FIND(cuModuleLoadData); FIND(cuModuleGetFunction); FIND(cuLaunchKernel);
    P shared, page, module;
    raw(cuInit(0));
    raw(cuDevicePrimaryCtxRetain(&shared, 0));
    raw(cuCtxPushCurrent_v2(shared));
    raw(cuStreamCreate(&stream, 1));
    raw(cuMemHostAlloc(&page, 4096, 3));
    memset(page, 0, 4096);
    word = page;
    raw(cuModuleLoadData(&module, empty));
    raw(cuModuleGetFunction(&function, module, "empty"));
}

static void mark(void) { raw(cuStreamWriteValue32_v2(stream, (D)(uintptr_t)word, ++next, 0)); }
static void await(void) { while (*word != next) {} }
static void launch(void) { raw(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, stream, NULL, NULL)); }

static void floor_mark(void) { mark(); await(); }
static void floor_launch(void) { launch(); mark(); await(); }
static void floor_synchronize(void) { launch(); raw(cuStreamSynchronize(stream)); }

/* A thread that spins on a word of its own and tells an event's descriptor: nothing but what the system itself needs. */
static volatile unsigned *seen;
static volatile int over;
static int event, event_epoll;

static void *watch(void *unused) {
    for (unsigned last = 0; !over;)
        if (*seen != last) last = *seen, raw(eventfd_write(event, 1));
    return unused;
}

static void floor_epoll(void) {
    struct epoll_event ready;
    eventfd_t count;
    launch();
    raw(cuStreamWriteValue32_v2(stream, (D)(uintptr_t)seen, ++next, 0));
    raw(epoll_wait(event_epoll, &ready, 1, -1) != 1);
    raw(eventfd_read(event, &count));
}

static void begin_watch(pthread_t *thread) {
    struct epoll_event in = {.events = EPOLLIN};
    seen = word + 64;
    event = eventfd(0, EFD_CLOEXEC), event_epoll = epoll_create1(EPOLL_CLOEXEC);
    raw(epoll_ctl(event_epoll, EPOLL_CTL_ADD, event, &in));
    raw(pthread_create(thread, NULL, watch, NULL));
}

static void by_wait(void) {
    weft_request request;
    check(weft_barrier(queue, NULL, &request));
    check(weft_request_wait(&request, 1, WEFT_WAIT_ALL, WEFT_FOREVER, NULL));
    check(weft_request_release(request));
}

static void by_poll(void) {
    weft_request request;
    check(weft_barrier(queue, NULL, &request));
    while (weft_request_poll(request) == WEFT_NOT_READY) {}
    check(weft_request_release(request));
}

static weft_kernel kernel, spin;

static weft_launch_desc empty_launch(void) {
    return (weft_launch_desc){.struct_size = sizeof(weft_launch_desc), .kernel = kernel, .grid = {1}, .block = {1}};
}

static void by_launch(void) {
    weft_request request;
    weft_launch_desc desc = empty_launch();
    check(weft_launch(queue, &desc, NULL, &request));
    check(weft_request_wait(&request, 1, WEFT_WAIT_ALL, WEFT_FOREVER, NULL));
    check(weft_request_release(request));
}

static weft_port port, threaded;
static int epoll;
static volatile int called;

static void callback(uint64_t user, const weft_completion *completion) { called = 1; (void)user; (void)completion; }

static void by_callback(void) {
    weft_submit options = {.struct_size = sizeof options, .port = threaded, .callback = callback};
    called = 0;
    check(weft_barrier(queue, &options, NULL));
    while (!called) {}
}

static void take(void) {
    weft_completion record;
    uint32_t count = 0;
    struct epoll_event event;
    for (;;) {
        epoll_wait(epoll, &event, 1, -1);
        check(weft_port_poll(port, &record, 1, &count));
        if (count) return;
    }
}

static void by_epoll(void) {
    weft_submit options = {.struct_size = sizeof options, .port = port};
    check(weft_barrier(queue, &options, NULL));
    take();
}

static void by_launch_epoll(void) {
    weft_submit options = {.struct_size = sizeof options, .port = port};
    weft_launch_desc desc = empty_launch();
    check(weft_launch(queue, &desc, &options, NULL));
    take();
}

/* When a contender was done that has to tidy up after; 0 for those that have not. */
static double done_at;

static void floor_issue(void) { launch(); mark(); done_at = now(); await(); }

static void by_issue(void) {
    weft_request request;
    weft_launch_desc desc = empty_launch();
    check(weft_launch(queue, &desc, NULL, &request));
    done_at = now();
    check(weft_request_wait(&request, 1, WEFT_WAIT_ALL, WEFT_FOREVER, NULL));
    check(weft_request_release(request));
}

enum { ROUNDS = 5000, CONTENDERS = 12 };
static const struct { const char *name; void (*run)(void); } contenders[CONTENDERS] = {
    {"floor: stream write, host spins", floor_mark}, {"floor: empty launch + stream write, host spins", floor_launch},
    {"floor: empty launch + cuStreamSynchronize", floor_synchronize},
    {"floor: empty launch + stream write, a thread spins, eventfd + epoll", floor_epoll}, {"weft: weft_request_wait", by_wait},
    {"weft: weft_request_poll", by_poll}, {"weft: port + epoll", by_epoll}, {"weft: callback on the port's thread", by_callback},
    {"weft: empty launch, weft_request_wait", by_launch}, {"weft: empty launch, port + epoll", by_launch_epoll},
    {"floor: empty launch + stream write, issued", floor_issue}, {"weft: empty launch, weft_launch returns", by_issue},
};

static void latencies(void) {
    static double ns[CONTENDERS][ROUNDS];
    pthread_t watcher;
    begin_watch(&watcher);
    for (int round = -200; round < ROUNDS; round++)
        for (int i = 0; i < CONTENDERS; i++) {
            double start = now();
            done_at = 0;
            contenders[i].run();
            if (round >= 0) ns[i][round] = (done_at ? done_at : now()) - start;
        }
    over = 1, pthread_join(watcher, NULL);
    printf("| empty request on an idle queue, us | p50 | p90 | p99 |\n|---|---|---|---|\n");
    for (int i = 0; i < CONTENDERS; i++) {
        qsort(ns[i], ROUNDS, sizeof(double), by_value);
        printf("| %s | %.2f | %.2f | %.2f |\n", contenders[i].name, ns[i][ROUNDS / 2] / 1e3, ns[i][ROUNDS * 9 / 10] / 1e3, ns[i][ROUNDS * 99 / 100] / 1e3);
    }
}

static void pipelined(void) {
    enum { COUNT = 1000, TIMES = 50 };
    double best[4] = {1e18, 1e18, 1e18, 1e18};
    weft_launch_desc desc = empty_launch();
    for (int round = 0; round < TIMES; round++) {
        double start = now();
        for (int i = 0; i < COUNT; i++) mark();
        await();
        double middle = now();
        for (int i = 0; i < COUNT; i++) check(weft_barrier(queue, NULL, NULL));
        check(weft_queue_drain(queue, WEFT_FOREVER));
        double end = now();
        for (int i = 0; i < COUNT; i++) launch(), mark();
        await();
        double last = now();
        for (int i = 0; i < COUNT; i++) check(weft_launch(queue, &desc, NULL, NULL));
        check(weft_queue_drain(queue, WEFT_FOREVER));
        double ns[4] = {middle - start, end - middle, last - end, now() - last};
        for (int i = 0; i < 4; i++) best[i] = ns[i] / COUNT < best[i] ? ns[i] / COUNT : best[i];
    }
    printf("\n| pipelined, us a request | least |\n|---|---|\n| floor: stream write each | %.2f |\n| floor: launch + stream write each | %.2f |\n| weft_barrier, drained | %.2f |\n| weft_launch, drained | %.2f |\n",
           best[0] / 1e3, best[2] / 1e3, best[1] / 1e3, best[3] / 1e3);
}

static void write_out(const char *what, double bytes, double ns, double peer) {
    printf("| %s | %.1f | %.2f |\n", what, bytes / ns, peer ? peer / ns : 1.0);
}

static double best_of(int times, void (*run)(void)) {
    double best = 1e18;
    for (int i = 0; i < times; i++) {
        double start = now();
        run();
        double ns = now() - start;
        best = ns < best ? ns : best;
    }
    return best;
}

static size_t bytes;
static char *host, *other;
static P pinned;
static D device;
static weft_buffer buffer;

static void finish(weft_request request) {
    check(weft_request_wait(&request, 1, WEFT_WAIT_ALL, WEFT_FOREVER, NULL));
    check(weft_request_release(request));
}
static void copy_host(void) { memcpy(other, host, bytes); }
static void raw_write(void) { raw(cuMemcpyHtoDAsync_v2(device, pinned, bytes, stream)); raw(cuStreamSynchronize(stream)); }
static void raw_read(void) { raw(cuMemcpyDtoHAsync_v2(pinned, device, bytes, stream)); raw(cuStreamSynchronize(stream)); }
static void raw_write_pageable(void) { raw(cuMemcpyHtoDAsync_v2(device, host, bytes, stream)); raw(cuStreamSynchronize(stream)); }
static void raw_read_pageable(void) { raw(cuMemcpyDtoHAsync_v2(host, device, bytes, stream)); raw(cuStreamSynchronize(stream)); }
static void write_pinned(void) { weft_request r; check(weft_write(queue, buffer, 0, pinned, bytes, NULL, &r)); finish(r); }
static void read_pinned(void) { weft_request r; check(weft_read(queue, buffer, 0, pinned, bytes, NULL, &r)); finish(r); }
static void write_pageable(void) { weft_request r; check(weft_write(queue, buffer, 0, host, bytes, NULL, &r)); finish(r); }
static void read_pageable(void) { weft_request r; check(weft_read(queue, buffer, 0, host, bytes, NULL, &r)); finish(r); }

static void transfers(void) {
    static const size_t sizes[] = {64, 4096, 65536, 1 << 20, 16 << 20, 64 << 20, 512 << 20};
    size_t most = sizes[6];
    host = malloc(most); other = malloc(most);
    memset(host, 1, most); memset(other, 2, most);
    raw(cuMemHostAlloc(&pinned, most, 1));
    memset(pinned, 3, most);
    raw(cuMemAlloc_v2(&device, most));
    check(weft_buffer_create(context, most, NULL, &buffer));
    for (int i = 0; i < 7; i++) {
        bytes = sizes[i];
        int times = bytes < 1 << 20 ? 200 : 12;
        printf("\n| %zu bytes | GB/s | ratio to peer |\n|---|---|---|\n", bytes);
        double memory = best_of(times, copy_host), up = best_of(times, raw_write), down = best_of(times, raw_read);
        write_out("memcpy on one thread", bytes, memory, 0);
        write_out("driver, pinned to device", bytes, up, 0);
        write_out("weft_write, pinned", bytes, best_of(times, write_pinned), up);
        write_out("driver, device to pinned", bytes, down, 0);
        write_out("weft_read, pinned", bytes, best_of(times, read_pinned), down);
        write_out("driver, pageable to device", bytes, best_of(times, raw_write_pageable), memory);
        write_out("weft_write, pageable (peer: memcpy)", bytes, best_of(times, write_pageable), memory);
        write_out("driver, device to pageable", bytes, best_of(times, raw_read_pageable), memory);
        write_out("weft_read, pageable (peer: memcpy)", bytes, best_of(times, read_pageable), memory);
    }
    check(weft_buffer_release(buffer));
}

/* Processor time of the whole process so far. */
static double cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* What the process costs while it does nothing, and while one request runs for about a second. */
static void busy_second(void) {
    double before = cpu_seconds(), start = now();
    sleep(1);
    printf("\nidle: %.2f %% of a core\n", (cpu_seconds() - before) / (now() - start) * 1e11);
    weft_launch_desc desc = empty_launch();
    desc.kernel = spin;
    weft_request request;
    before = cpu_seconds(), start = now();
    check(weft_launch(queue, &desc, NULL, &request));
    finish(request);
    double seconds = (now() - start) / 1e9;
    printf("a request of %.2f s in flight: %.2f %% of a core\n", seconds, (cpu_seconds() - before) / seconds * 100);
}

int main(int argc, char **argv) {
    open_driver();
    check(weft_context_create("cuda:0", NULL, &context));
    check(weft_queue_create(context, NULL, &queue));
    weft_program_desc text = {.struct_size = sizeof text, .ptx = empty}, spins = {.struct_size = sizeof spins, .ptx = spinning};
    weft_program program, spinner;
    check(weft_program_create(context, &text, &program));
    check(weft_kernel_get(program, "empty", &kernel));
    check(weft_program_create(context, &spins, &spinner));
    check(weft_kernel_get(spinner, "spin", &spin));
    weft_port_desc desc = {.struct_size = sizeof desc, .flags = WEFT_PORT_THREAD};
    check(weft_port_create(context, NULL, &port));
    check(weft_port_create(context, &desc, &threaded));
    int64_t fd;
    check(weft_port_event_handle(port, &fd));
    epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    epoll_ctl(epoll, EPOLL_CTL_ADD, (int)fd, &event);
    latencies();
    pipelined();
    busy_second();
    transfers();
    check(weft_port_release(port));
    check(weft_port_release(threaded));
    check(weft_queue_release(queue));
    check(weft_context_release(context));
    (void)argc; (void)argv;
    return 0;
}
