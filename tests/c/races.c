/* Eight threads share contexts, queues, ports, buffers and requests, and submit, cancel, wait, take, release and create
 * at random: each call answers with one of the statuses that it may, nothing hangs, and in the end nothing is left.
 * races COUNT: so many rounds a thread. */
#include "load.h"

enum { THREADS = 8, SHARED = 8, REQUESTS = 64 };
static _Atomic uint64_t ports[SHARED], targets[SHARED], others[SHARED], requests[REQUESTS];
static atomic_long accepted_count, called;

static uint32_t random_of(uint64_t *state, uint32_t below) {
    *state = *state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(*state >> 33) % below;
}

/* Any other thread may have released what a handle named. */
static int fine(weft_status status) {
    WANT(status >= 0 || status == WEFT_ERROR_STALE_HANDLE || status == WEFT_ERROR_CANCELLED ||
         status == WEFT_ERROR_DEADLINE_EXCEEDED || status == WEFT_ERROR_DEPENDENCY_FAILED);
    return status == WEFT_OK;
}

static void count_call(uint64_t user, const weft_completion *completion) {
    WANT(user == completion->user_data);
    fine(completion->status);
    called++;
}

static void submit(uint64_t *state) {
    DESC(weft_submit, options);
    uint64_t first = requests[random_of(state, REQUESTS)], request = 0, source[4] = {1, 2, 3, 4};
    weft_queue queue = others[random_of(state, SHARED)];
    weft_buffer target = targets[random_of(state, SHARED)];
    int own = (int)random_of(state, QUEUES); /* only these queues write, each to bytes of its own */
    options.user_data = *state;
    if (random_of(state, 2)) options.port = ports[random_of(state, SHARED)];
    if (options.port && random_of(state, 2)) options.callback = count_call;
    if (random_of(state, 8) == 0) options.deadline_ns = 1 + random_of(state, 100000);
    if (random_of(state, 8) == 0 && first) options.after = &first, options.after_count = 1;
    if (random_of(state, 16) == 0) options.timeout_ns = random_of(state, 50000);
    weft_status status = WEFT_OK;
    switch (random_of(state, 4)) {
    case 0: options.flags = WEFT_SUBMIT_COPY_HOST, status = weft_write(queues[own], target, (uint64_t)own * 256, source, sizeof source, &options, &request); break;
    case 1: status = weft_fill(queues[own], target, (uint64_t)own * 256, 128, 3, 4, &options, &request); break;
    case 2: status = multiply(own, &request); break;
    default: status = weft_barrier(queue, &options, &request);
    }
    if (!fine(status)) return;
    accepted_count++;
    uint64_t before = atomic_exchange(&requests[random_of(state, REQUESTS)], request);
    if (before) fine(weft_request_release(before));
}

static void learn(uint64_t *state) {
    uint64_t some[3] = {requests[random_of(state, REQUESTS)], requests[random_of(state, REQUESTS)],
                        requests[random_of(state, REQUESTS)]};
    weft_completion records[16];
    uint32_t count = 0;
    char text[128];
    int64_t fd;
    if (!some[0] || !some[1] || !some[2]) return;
    switch (random_of(state, 7)) {
    case 0: fine(weft_request_wait(some, 3, random_of(state, 2), random_of(state, 200000), &count)); break;
    case 1: fine(weft_request_cancel(some[0])), fine(weft_request_poll(some[1])); break;
    case 2: fine(weft_request_completion(some[0], records)), fine(weft_request_error(some[1], text, 128, NULL)); break;
    case 3: fine(weft_port_wait(ports[random_of(state, SHARED)], records, 16, 20000, &count)); break;
    case 4: fine(weft_port_dispatch(ports[random_of(state, SHARED)], 0, &count)); break;
    case 5: fine(weft_port_event_handle(ports[random_of(state, SHARED)], &fd)); break;
    default: fine(weft_port_wake(ports[random_of(state, SHARED)])), fine(weft_port_arm(ports[0]));
    }
}

/* Puts a new object where another was, and releases that. */
static void renew(uint64_t *state) {
    DESC(weft_queue_desc, of_queue);
    DESC(weft_port_desc, of_port);
    DESC(weft_queue_info, info);
    uint64_t made = 0;
    int at = (int)random_of(state, SHARED);
    of_queue.depth = 1 + random_of(state, 64), of_queue.priority = random_of(state, 3);
    of_port.capacity = 1 + random_of(state, 64);
    switch (random_of(state, 4)) {
    case 0:
        if (fine(weft_queue_create(context, &of_queue, &made))) made = atomic_exchange(&others[at], made);
        if (made) fine(weft_queue_release(made));
        break;
    case 1:
        if (fine(weft_port_create(context, &of_port, &made))) made = atomic_exchange(&ports[at], made);
        if (made) fine(weft_port_release(made));
        break;
    case 2:
        if (fine(weft_buffer_create(context, 1024, NULL, &made))) made = atomic_exchange(&targets[at], made);
        if (made) fine(weft_buffer_release(made));
        break;
    default: fine(weft_queue_info_get(others[at], &info)), fine(weft_queue_drain(others[at], 20000));
    }
}

static long rounds;
static void *race(void *seed) {
    uint64_t state = (uint64_t)(uintptr_t)seed;
    for (long i = 0; i < rounds; i++) {
        submit(&state), learn(&state);
        if (i % 8 == 0) renew(&state);
    }
    return NULL;
}

static void end_all(void) {
    for (int i = 0; i < REQUESTS; i++) WANT(weft_request_release(requests[i]) == WEFT_OK);
    for (int i = 0; i < SHARED; i++) {
        WANT(weft_port_release(ports[i]) == WEFT_OK && weft_buffer_release(targets[i]) == WEFT_OK);
        WANT(weft_queue_release(others[i]) == WEFT_OK);
    }
    DESC(weft_context_info, info);
    weft_context last = context;
    for (int i = 0; i < QUEUES; i++)
        WANT(weft_queue_release(queues[i]) == WEFT_OK && weft_buffer_release(buffers[i]) == WEFT_OK);
    WANT(weft_shutdown(WEFT_FOREVER) == WEFT_OK);
    WANT(weft_context_info_get(last, &info) == WEFT_OK && info.buffer_bytes == 0);
    WANT(weft_context_release(last) == WEFT_OK);
}

int main(int argc, char **argv) {
    pthread_t threads[THREADS];
    rounds = argument(argc, argv, 1, 20000);
    begin_load();
    for (int i = 0; i < SHARED; i++) {
        uint64_t port = 0, memory = 0, queue = 0;
        WANT(weft_port_create(context, NULL, &port) == WEFT_OK);
        WANT(weft_buffer_create(context, 1024, NULL, &memory) == WEFT_OK);
        WANT(weft_queue_create(context, NULL, &queue) == WEFT_OK);
        atomic_store(&ports[i], port), atomic_store(&targets[i], memory), atomic_store(&others[i], queue);
    }
    for (uintptr_t i = 0; i < THREADS; i++) WANT(pthread_create(&threads[i], NULL, race, (void *)(i + 1)) == 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    end_all();
    printf("%d threads, %ld rounds each, %ld requests accepted, %ld callbacks, 0 failures\n", (int)THREADS, rounds,
           (long)accepted_count, (long)called);
    return 0;
}
