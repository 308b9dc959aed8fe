/* Work for programs to be under: three queues that threads of the host keep busy. */
#include "host.h"

/* For each of three queues a matrix of its own (what two queues write at once is unspecified), and threads that submit as fast as the queues take it. */
enum { SIDE = 96, QUEUES = 3, BYTES = 2 << 20 };
static weft_context context;
static weft_queue queues[QUEUES];
static weft_buffer buffers[QUEUES];
static atomic_int pumping;

/* A GPU is lost to threads that go on while the process ends, and its driver with it. */
static void accepted(weft_status status) {
    WANT(status == WEFT_OK || status == WEFT_WOULD_BLOCK || status == WEFT_ERROR_DEVICE_LOST);
}

UNUSED static weft_status fill(int queue, uint64_t size, weft_request *out) {
    return weft_fill(queues[queue], buffers[queue], 0, size, 1, 1, NULL, out);
}

static weft_status multiply(int queue, weft_request *out) {
    DESC(weft_matmul_desc, desc);
    desc.a = (weft_tensor){.buffer = buffers[queue], .dtype = WEFT_F32, .rank = 2, .dims = {SIDE, SIDE}};
    desc.b = desc.d = desc.a;
    desc.d.offset = BYTES / 2;
    return weft_matmul(queues[queue], &desc, NULL, out);
}

static void *pump(void *none) {
    (void)none;
    for (int i = 0; pumping; i++) {
        accepted(fill(i % QUEUES, i % 256 ? 4096 : BYTES, NULL));
        accepted(multiply((i + 1) % QUEUES, NULL));
        accepted(weft_barrier(queues[(i + 2) % QUEUES], NULL, NULL));
        if (i % 16 == 0) usleep(500);
    }
    return NULL;
}

static void begin_load(void) {
    DESC(weft_context_desc, options);
    DESC(weft_queue_desc, short_one); /* full soon, so that waiting for its end takes not long */
    options.threads = 2, short_one.depth = 16;
    const char *device = getenv("WEFT_TEST_DEVICE");
    WANT(weft_context_create(device ? device : "cpu", &options, &context) == WEFT_OK);
    for (int i = 0; i < QUEUES; i++) {
        WANT(weft_queue_create(context, &short_one, &queues[i]) == WEFT_OK);
        WANT(weft_buffer_create(context, BYTES, NULL, &buffers[i]) == WEFT_OK);
    }
    pumping = 1;
}

/* Several threads that submit until the process ends or `end_load`. */
enum { PUMPS = 2 };
static pthread_t pumps[PUMPS];

UNUSED static void begin_pumps(void) {
    begin_load();
    for (int i = 0; i < PUMPS; i++) WANT(pthread_create(&pumps[i], NULL, pump, NULL) == 0);
}

UNUSED static void release_load(void) {
    for (int i = 0; i < QUEUES; i++)
        WANT(weft_queue_release(queues[i]) == WEFT_OK && weft_buffer_release(buffers[i]) == WEFT_OK);
    WANT(weft_context_release(context) == WEFT_OK);
}

UNUSED static void end_pumps(void) {
    pumping = 0;
    for (int i = 0; i < PUMPS; i++) pthread_join(pumps[i], NULL);
    release_load();
    weft_status status;
    do status = weft_shutdown(WEFT_FOREVER);
    while (status == WEFT_INTERRUPTED);
    WANT(status == WEFT_OK);
}

/* One request to its end: the library works in this process. */
UNUSED static void goes_on(void) {
    weft_request request = 0;
    weft_status status;
    while ((status = fill(0, 4096, &request)) == WEFT_WOULD_BLOCK) sched_yield();
    WANT(status == WEFT_OK);
    do status = weft_request_wait(&request, 1, WEFT_WAIT_ALL, WEFT_FOREVER, NULL);
    while (status == WEFT_INTERRUPTED);
    WANT(status == WEFT_OK);
    WANT(weft_request_release(request) == WEFT_OK);
}
