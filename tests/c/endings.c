/* Threads of the host that use the library and end: each has its own last error, and none leaves anything behind, nor
 * does one that calls the library while it is ending. endings COUNT */
#include "load.h"
#include <malloc.h>

enum { SPEAKERS = 200 };
static pthread_barrier_t all_spoke;

/* Its own mistake, still there after all others made theirs. */
static void *speak(void *number) {
    char own[32];
    uint64_t handle = 0x2000000000000001ull + ((uint64_t)(uintptr_t)number << 28);
    WANT(weft_last_error()[0] == 0);
    WANT(weft_buffer_release(handle) == WEFT_ERROR_STALE_HANDLE);
    pthread_barrier_wait(&all_spoke);
    snprintf(own, sizeof own, "%#llx", (unsigned long long)handle);
    WANT(strstr(weft_last_error(), own));
    WANT(weft_buffer_release(0) == WEFT_OK && strstr(weft_last_error(), own)); /* success leaves it alone */
    return NULL;
}

static void own_errors(void) {
    pthread_t threads[SPEAKERS];
    pthread_barrier_init(&all_spoke, NULL, SPEAKERS);
    for (uintptr_t i = 0; i < SPEAKERS; i++) WANT(pthread_create(&threads[i], NULL, speak, (void *)(i + 1)) == 0);
    for (int i = 0; i < SPEAKERS; i++) pthread_join(threads[i], NULL);
}

static pthread_key_t key;

static void use(void) {
    weft_buffer own = 0;
    weft_request request = 0;
    WANT(weft_buffer_release(1) < 0);
    WANT(weft_buffer_create(context, 100, NULL, &own) == WEFT_OK);
    WANT(weft_fill(queues[0], own, 0, 100, 1, 1, NULL, &request) == WEFT_OK);
    WANT(weft_request_wait(&request, 1, WEFT_WAIT_ALL, WEFT_FOREVER, NULL) == WEFT_OK);
    WANT(weft_request_release(request) == WEFT_OK && weft_buffer_release(own) == WEFT_OK);
}

/* Runs while the thread ends, after its thread-local objects were destroyed. */
static void use_at_the_end(void *none) {
    (void)none;
    use();
}

static void *use_and_end(void *none) {
    (void)none;
    use();
    pthread_exit(NULL);
}

static void *end_using(void *none) {
    (void)none;
    WANT(pthread_setspecific(key, &key) == 0);
    return NULL;
}

static void round_of(int count, void *(*life)(void *)) {
    enum { AT_ONCE = 4 };
    pthread_t threads[AT_ONCE];
    for (int i = 0; i < count; i++) {
        if (i >= AT_ONCE) pthread_join(threads[i % AT_ONCE], NULL);
        WANT(pthread_create(&threads[i % AT_ONCE], NULL, life, NULL) == 0);
    }
    for (int i = 0; i < AT_ONCE; i++) pthread_join(threads[i], NULL);
    WANT(weft_queue_drain(queues[0], WEFT_FOREVER) == WEFT_OK);
}

int main(int argc, char **argv) {
    int count = (int)argument(argc, argv, 1, 2000);
    own_errors();
    begin_load();
    pthread_key_create(&key, use_at_the_end);
    round_of(count, end_using);
    round_of(count, use_and_end);
    size_t held = mallinfo2().uordblks;
    int threads = entries("/proc/self/task"), fds = entries("/proc/self/fd");
    round_of(count, use_and_end);
    size_t now = mallinfo2().uordblks;
    WANT(settled("/proc/self/task", threads) <= threads && entries("/proc/self/fd") <= fds);
    WANT(now <= held + 2048);
    release_load();
    WANT(weft_shutdown(WEFT_FOREVER) == WEFT_OK);
    printf("%d threads with errors of their own; %d used it and ended: %ld bytes more after the last %d\n",
           (int)SPEAKERS, 3 * count, (long)now - (long)held, count);
    return 0;
}
