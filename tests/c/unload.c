/* dlopen, use, dlclose with work in flight, over and over: the library stays mapped, the work completes, and no cycle
 * leaves a thread or a descriptor behind. unload COUNT LIBRARY */
#include "host.h"
#include <dlfcn.h>

enum { SIZE = 1 << 16, READ = 4096, KEPT = 1024 };
static char target[KEPT][READ]; /* read into while later cycles run */

#define GET(name) __typeof__(&name) its_##name = (__typeof__(&name))dlsym(library, #name); WANT(its_##name)

static void cycle(const char *path, int number) {
    weft_context its_context = 0;
    weft_queue queue = 0;
    weft_buffer memory = 0;
    weft_port port = 0;
    int64_t fd = -1;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) fprintf(stderr, "%s\n", dlerror()), _exit(1);
    GET(weft_context_create);
    GET(weft_queue_create);
    GET(weft_buffer_create);
    GET(weft_port_create);
    GET(weft_port_event_handle);
    GET(weft_fill);
    GET(weft_read);
    GET(weft_context_release);
    GET(weft_queue_release);
    GET(weft_buffer_release);
    GET(weft_port_release);
    DESC(weft_submit, options);
    WANT(its_weft_context_create("cpu", NULL, &its_context) == WEFT_OK);
    WANT(its_weft_queue_create(its_context, NULL, &queue) == WEFT_OK);
    WANT(its_weft_port_create(its_context, NULL, &port) == WEFT_OK);
    WANT(its_weft_port_event_handle(port, &fd) == WEFT_OK && fd >= 0);
    WANT(its_weft_buffer_create(its_context, SIZE, NULL, &memory) == WEFT_OK);
    options.port = port;
    for (int i = 0; i < 20; i++) WANT(its_weft_fill(queue, memory, 0, SIZE, 7, 1, &options, NULL) == WEFT_OK);
    WANT(its_weft_read(queue, memory, 0, target[number % KEPT], READ, &options, NULL) == WEFT_OK);
    WANT(its_weft_buffer_release(memory) == WEFT_OK && its_weft_port_release(port) == WEFT_OK);
    WANT(its_weft_queue_release(queue) == WEFT_OK && its_weft_context_release(its_context) == WEFT_OK);
    WANT(dlclose(library) == 0);
    WANT(dlopen(path, RTLD_NOW | RTLD_NOLOAD)); /* still mapped */
}

int main(int argc, char **argv) {
    int count = (int)argument(argc, argv, 1, 1000);
    const char *path = argc > 2 ? argv[2] : "libweft.so.1";
    for (int i = 0; i < 3; i++) cycle(path, i); /* threads and descriptors that are made once */
    /* What is left once the queues' threads ended: this one and, on most machines, a helper. */
    int threads = settled("/proc/self/task", 2), fds = settled("/proc/self/fd", 4);
    for (int i = 0; i < count; i++) cycle(path, i + 3);
    WANT(settled("/proc/self/task", threads) <= threads);
    WANT(settled("/proc/self/fd", fds) <= fds);
    printf("%d dlopen cycles with work in flight, 0 failures\n", count);
    return 0;
}
