/* A long run: threads submit to queues that come and go, learn of completions in every way, cancel, and create and
 * release whatever can be, while the main thread watches memory, descriptors, threads and handles. Fails on growth after
 * the warm-up, on a lost completion, on a status that should not be. soak [REQUESTS [KIB]]: so many, and so much growth of
 * memory allowed (1024; a sanitizer needs more). tests/soak/run builds and runs it. */
#include "../c/host.h"
#include <time.h>

enum { THREADS = 4, QUEUES = 3, BATCH = 64, ROUND = 4096 };
enum { WARM_PERCENT = 10 };

static weft_context shared;
static atomic_long submitted, cancelled, called;
static long goal;

/* The largest place in a table that a handle of each kind ever named: it grows only when handles are not given back. */
static _Atomic uint64_t highest[16];

static uint64_t note(uint64_t handle) {
    uint64_t place = handle >> 28 & 0xffffff;
    _Atomic uint64_t *most = &highest[handle >> 60];
    uint64_t seen = *most;
    while (place > seen && !atomic_compare_exchange_weak(most, &seen, place)) {}
    return handle;
}

static void called_back(uint64_t user, const weft_completion *completion) {
    (void)user;
    WANT(completion->status == WEFT_OK || completion->status == WEFT_ERROR_CANCELLED);
    called++;
}

/* What one thread works with for a round of requests. */
struct round {
    weft_context context;
    weft_queue queues[QUEUES];
    weft_buffer buffer;
    weft_port port;
    int64_t event;
};

static void begin(struct round *round, int own_context) {
    DESC(weft_context_desc, options);
    options.threads = 2;
    round->context = shared;
    if (own_context) {
        WANT(weft_context_create("cpu", &options, &round->context) == WEFT_OK);
        note(round->context);
    }
    for (int i = 0; i < QUEUES; i++) {
        DESC(weft_queue_desc, desc);
        desc.depth = 4 * BATCH, desc.priority = (uint32_t)i;
        WANT(weft_queue_create(round->context, &desc, &round->queues[i]) == WEFT_OK);
        note(round->queues[i]);
    }
    WANT(weft_buffer_create(round->context, 4096, NULL, &round->buffer) == WEFT_OK);
    WANT(weft_port_create(round->context, NULL, &round->port) == WEFT_OK);
    WANT(weft_port_event_handle(round->port, &round->event) == WEFT_OK);
    note(round->buffer), note(round->port);
}

static void end(struct round *round) {
    WANT(weft_port_release(round->port) == WEFT_OK && weft_buffer_release(round->buffer) == WEFT_OK);
    for (int i = 0; i < QUEUES; i++) WANT(weft_queue_release(round->queues[i]) == WEFT_OK);
    if (round->context != shared) WANT(weft_context_release(round->context) == WEFT_OK);
}

static weft_status submit(struct round *round, int i, const weft_submit *options, weft_request *out) {
    static const uint64_t source[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    weft_queue queue = round->queues[i / BATCH % QUEUES];
    switch (i % 8) {
    case 0: return weft_fill(queue, round->buffer, 0, 256, 1, 8, options, out);
    case 1: return weft_write(queue, round->buffer, 512, source, sizeof source, options, out);
    case 2: return weft_copy(queue, round->buffer, 0, round->buffer, 1024, 64, options, out);
    default: return weft_barrier(queue, options, out);
    }
}

/* A batch whose completions are waited for by their handles; some are cancelled. */
static void by_handles(struct round *round, int first) {
    weft_request requests[BATCH];
    for (int i = 0; i < BATCH; i++) {
        WANT(submit(round, first + i, NULL, &requests[i]) == WEFT_OK);
        note(requests[i]);
    }
    for (int i = 5; i < BATCH; i += 16) cancelled += weft_request_cancel(requests[i]) == WEFT_OK;
    weft_status status = weft_request_wait(requests, BATCH, WEFT_WAIT_ALL, WEFT_FOREVER, NULL);
    WANT(status == WEFT_OK || status == WEFT_ERROR_CANCELLED);
    for (int i = 0; i < BATCH; i++) WANT(weft_request_release(requests[i]) == WEFT_OK);
}

/* A batch whose records the port collects, each exactly once. */
static void by_port(struct round *round, int first, weft_complete_fn callback) {
    weft_completion records[BATCH];
    uint32_t taken = 0, count = 0;
    DESC(weft_submit, options);
    options.port = round->port, options.callback = callback;
    for (int i = 0; i < BATCH; i++) WANT(submit(round, first + i, &options, NULL) == WEFT_OK);
    for (; taken < BATCH; taken += count) {
        if (callback)
            WANT(weft_port_dispatch(round->port, 0, &count) == WEFT_OK);
        else
            WANT(weft_port_wait(round->port, records, BATCH, WEFT_FOREVER, &count) == WEFT_OK);
        if (callback && count == 0) WANT(weft_queue_drain(round->queues[first / BATCH % QUEUES], WEFT_FOREVER) == WEFT_OK);
    }
    WANT(taken == BATCH);
}

static void *work(void *number) {
    for (long turn = (long)(uintptr_t)number; submitted < goal; turn++) {
        struct round round;
        begin(&round, turn % 4 == 0);
        for (int first = 0; first < ROUND; first += BATCH) {
            switch (first / BATCH % 4) {
            case 0: by_handles(&round, first); break;
            case 1: by_port(&round, first, NULL); break;
            case 2: by_port(&round, first, called_back); break;
            default: /* nobody asks for these but the drain */
                for (int i = 0; i < BATCH; i++) WANT(submit(&round, first + i, NULL, NULL) == WEFT_OK);
                WANT(weft_queue_drain(round.queues[first / BATCH % QUEUES], WEFT_FOREVER) == WEFT_OK);
            }
            submitted += BATCH;
        }
        end(&round);
    }
    return NULL;
}

static long resident_kib(void) {
    long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    WANT(file && fscanf(file, "%ld %ld", &size, &resident) == 2);
    fclose(file);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static uint64_t places(void) {
    uint64_t sum = 0;
    for (int i = 0; i < 16; i++) sum += highest[i];
    return sum;
}

static void report(const char *what, double seconds) {
    fprintf(stderr, "%7.0f s  %-8s %11ld requests  %6ld KiB  %3d threads  %3d descriptors  %5llu places\n", seconds, what,
            (long)submitted, resident_kib(), entries("/proc/self/task"), entries("/proc/self/fd"),
            (unsigned long long)places());
}

/* Runs the threads until `until` requests were submitted; then nothing is in flight. */
static void run(const char *what, long until, double *seconds) {
    struct timespec tick = {0, 100000000};
    pthread_t threads[THREADS];
    goal = until;
    for (uintptr_t i = 0; i < THREADS; i++) WANT(pthread_create(&threads[i], NULL, work, (void *)i) == 0);
    for (int ticks = 1; submitted < until; ticks++, *seconds += 0.1) {
        nanosleep(&tick, NULL);
        if (ticks % 50 == 0) report(what, *seconds);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    settled("/proc/self/task", 1); /* the last workers end */
    report(what, *seconds);
}

int main(int argc, char **argv) {
    long requests = argument(argc, argv, 1, 100000000), most_kib = argument(argc, argv, 2, 1024);
    double seconds = 0;
    DESC(weft_context_desc, options);
    DESC(weft_context_info, info);
    options.threads = 2;
    if (requests < 1 || argc > 3) return fprintf(stderr, "soak [REQUESTS [KIB]], at least 1 request\n"), 2;
    WANT(weft_context_create("cpu", &options, &shared) == WEFT_OK);
    note(shared);
    run("warm-up", requests / 100 * WARM_PERCENT + ROUND * THREADS, &seconds);
    long kib = resident_kib();
    int threads = entries("/proc/self/task"), fds = entries("/proc/self/fd");
    uint64_t handles = places();
    run("soak", requests, &seconds);
    long grown = resident_kib() - kib;
    int more_threads = entries("/proc/self/task") - threads, more_fds = entries("/proc/self/fd") - fds;
    /* What can be live at once: a place beyond that was lost. */
    uint64_t bound = THREADS * (QUEUES + BATCH + 3) + 1;
    WANT(weft_context_info_get(shared, &info) == WEFT_OK && info.buffer_bytes == 0);
    WANT(weft_context_release(shared) == WEFT_OK && weft_shutdown(WEFT_FOREVER) == WEFT_OK);
    printf("%ld requests, %ld of them cancelled, %ld callbacks: %+ld KiB, %+d threads, %+d descriptors, %llu places "
           "for handles (%llu after the warm-up)\n",
           (long)submitted, (long)cancelled, (long)called, grown, more_threads, more_fds, (unsigned long long)places(),
           (unsigned long long)handles);
    WANT(grown <= most_kib && more_threads <= 0 && more_fds <= 0 && places() <= bound);
    return 0;
}
