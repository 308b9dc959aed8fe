/* Processes that end under load without releasing anything, in every way that there is: none hangs, none crashes, each
 * has its exit code. exits COUNT runs itself so often; exits -WAY is one such process. */
#include "load.h"
#include <errno.h>
#include <sys/wait.h>

enum { CODE = 42 };
static weft_port port;

static void submit_with(weft_complete_fn callback) {
    DESC(weft_submit, options);
    WANT(weft_port_create(context, NULL, &port) == WEFT_OK);
    options.port = port, options.callback = callback;
    while (weft_barrier(queues[0], &options, NULL) != WEFT_OK) sched_yield();
}

static void exits(uint64_t user, const weft_completion *completion) {
    (void)user, (void)completion;
    exit(CODE);
}

static void *later(void *leave) {
    usleep(300);
    ((void (*)(int))leave)(CODE);
    return NULL;
}

static void by_another_thread(void (*leave)(int)) {
    pthread_t thread;
    WANT(pthread_create(&thread, NULL, later, (void *)leave) == 0);
}

static void way_return(void) {}
static void way_exit(void) { exit(CODE); }
static void way__exit(void) { _exit(CODE); }
static void way_quick_exit(void) { quick_exit(CODE); }
static void way_callback(void) {
    submit_with(exits);
    for (;;) weft_port_dispatch(port, 0, NULL);
}
static void way_other_while_waiting(void) {
    weft_request request = 0;
    by_another_thread(exit);
    for (;;)
        if (multiply(0, &request) == WEFT_OK) weft_request_wait(&request, 1, WEFT_WAIT_ALL, WEFT_FOREVER, NULL);
}
static void way_other_while_port_waits(void) {
    weft_completion record;
    uint32_t count;
    WANT(weft_port_create(context, NULL, &port) == WEFT_OK);
    by_another_thread(exit);
    weft_port_wait(port, &record, 1, WEFT_FOREVER, &count);
}
static void way_other_while_draining(void) {
    by_another_thread(quick_exit);
    for (;;) weft_queue_drain(queues[1], WEFT_FOREVER);
}
static void way_main_ends_first(void) {
    by_another_thread(exit);
    pthread_exit(NULL);
}
/* The library works until the last handler has run. */
static void at_exit(void) {
    goes_on();
    pumping = 0;
    release_load();
    WANT(weft_shutdown(WEFT_FOREVER) == WEFT_OK);
}
static void way_handler_uses(void) {
    pumping = 0; /* the handler releases what the others would use */
    for (int i = 0; i < PUMPS; i++) pthread_join(pumps[i], NULL);
    atexit(at_exit);
    exit(CODE);
}
static void way_deadlines(void) {
    DESC(weft_submit, options);
    options.deadline_ns = 200000;
    for (int i = 0; i < 50; i++) accepted(weft_barrier(queues[i % QUEUES], &options, NULL));
    exit(CODE);
}
static void way_releasing(void) {
    weft_queue more;
    weft_buffer memory;
    for (int i = 0; i < 8; i++) {
        WANT(weft_queue_create(context, NULL, &more) == WEFT_OK);
        WANT(weft_buffer_create(context, BYTES, NULL, &memory) == WEFT_OK);
        accepted(weft_fill(more, memory, 0, BYTES, 1, 1, NULL, NULL));
        WANT(weft_queue_release(more) == WEFT_OK && weft_buffer_release(memory) == WEFT_OK);
    }
    exit(CODE);
}

static void (*const WAYS[])(void) = {
    way_return, way_exit, way__exit, way_quick_exit, way_callback, way_other_while_waiting, way_other_while_port_waits,
    way_other_while_draining, way_main_ends_first, way_handler_uses, way_deadlines, way_releasing,
};
enum { COUNT = sizeof WAYS / sizeof *WAYS };

static int one(int way) {
    alarm(20); /* a hang becomes a death by signal */
    begin_pumps();
    usleep(way * 37 % 5 * 200);
    WAYS[way]();
    return CODE;
}

static void run(char *program, int way) {
    char word[16];
    int status = 0;
    pid_t child = fork();
    WANT(child >= 0);
    if (child == 0) {
        snprintf(word, sizeof word, "-%d", way);
        execl(program, program, word, (char *)NULL);
        _exit(127);
    }
    while (waitpid(child, &status, 0) < 0) WANT(errno == EINTR);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != CODE)
        fprintf(stderr, "exit %d ended with status %#x\n", way, (unsigned)status), _exit(1);
}

int main(int argc, char **argv) {
    long count = argument(argc, argv, 1, 1000);
    if (argc > 1 && argv[1][0] == '-') return one((int)-count % COUNT);
    for (int i = 0; i < count; i++) run(argv[0], i % COUNT);
    printf("%ld process exits under load in %d ways, 0 failures\n", count, (int)COUNT);
    return 0;
}
