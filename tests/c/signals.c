/* Signals: the library's threads take none, its waits are not disturbed by those that the host takes, and it changes no
 * handler and no mask. signals COUNT */
#include "load.h"
#include <signal.h>
#include <sys/time.h>

static _Thread_local int is_host;
static atomic_long on_host, elsewhere;

/* ThreadSanitizer hands out signals that it held back at a thread's next atomic operation. Where that is a handler's own,
 * older runtimes (LLVM 14) then leave all signals blocked in the thread: the handler counts unseen by it. */
#if defined(__has_attribute)
#if __has_attribute(disable_sanitizer_instrumentation)
__attribute__((disable_sanitizer_instrumentation))
#endif
#endif
static void handler(int signal) {
    (void)signal;
    is_host ? on_host++ : elsewhere++;
}

static struct sigaction handlers[NSIG];
static sigset_t mask;

/* Handlers and mask as they are; compared with what they were before, from the second call on. */
static void look(int first) {
    for (int i = 1; i < NSIG; i++) {
        struct sigaction now;
        memset(&now, 0, sizeof now);
        if (sigaction(i, NULL, &now) != 0) continue;
        if (first) handlers[i] = now;
        WANT(now.sa_handler == handlers[i].sa_handler && now.sa_flags == handlers[i].sa_flags);
    }
    sigset_t blocked;
    memset(&blocked, 0, sizeof blocked);
    WANT(pthread_sigmask(SIG_SETMASK, NULL, &blocked) == 0);
    if (first) mask = blocked;
    for (int i = 1; i < NSIG; i++) WANT(sigismember(&mask, i) == sigismember(&blocked, i));
}

/* Whether a thread blocks all signals, but for those that cannot be blocked (KILL, STOP and the C library's own two) and
 * those that tell it of its own faults: ILL, TRAP, BUS, FPE, SEGV. */
static int blocks_all(const char *task) {
    char path[320], line[256];
    unsigned long long blocked = 0;
    snprintf(path, sizeof path, "/proc/self/task/%s/status", task);
    FILE *file = fopen(path, "r");
    if (!file) return 1; /* it ended meanwhile */
    while (fgets(line, sizeof line, file)) sscanf(line, "SigBlk: %llx", &blocked);
    fclose(file);
    unsigned long long own = 1ull << 3 | 1ull << 4 | 1ull << 6 | 1ull << 7 | 1ull << 10;
    return (blocked | own | 1ull << 8 | 1ull << 18 | 3ull << 31) == ~0ull && !(blocked & own);
}

/* Of all threads, those of the library are known by their names. */
static int library_threads(void) {
    int count = 0;
    struct dirent *entry;
    DIR *tasks = opendir("/proc/self/task");
    WANT(tasks);
    while ((entry = readdir(tasks))) {
        char path[320], name[32] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        FILE *file = entry->d_name[0] == '.' ? NULL : fopen(path, "r");
        if (!file) continue;
        if (!fgets(name, sizeof name, file)) name[0] = 0;
        fclose(file);
        if (strncmp(name, "weft-", 5) == 0) {
            WANT(blocks_all(entry->d_name));
            count++;
        }
    }
    closedir(tasks);
    return count;
}

/* No signal comes before every thread of the host has said that it is one. */
static atomic_int storming = 1, ready;
static void be_host(void) {
    is_host = 1;
    for (ready++; ready < 3;) sched_yield();
}

static void *storm(void *count) {
    be_host();
    for (long i = 0; i < *(long *)count; i++) kill(getpid(), SIGUSR1);
    storming = 0;
    return NULL;
}

static void *nothing(void *none) { return none; }

static void *host_thread(void *none) {
    be_host();
    return pump(none);
}

/* A deadline needs the library's third kind of thread. */
static void with_deadline(void) {
    DESC(weft_submit, options);
    weft_request request = 0;
    options.deadline_ns = 1;
    while (weft_barrier(queues[0], &options, &request) != WEFT_OK) sched_yield();
    weft_status status;
    do status = weft_request_wait(&request, 1, WEFT_WAIT_ALL, WEFT_FOREVER, NULL);
    while (status == WEFT_INTERRUPTED);
    WANT(status == WEFT_OK || status == WEFT_ERROR_DEADLINE_EXCEEDED);
    WANT(weft_request_release(request) == WEFT_OK);
}

int main(int argc, char **argv) {
    long count = argument(argc, argv, 1, 100000);
    struct sigaction action = {.sa_handler = handler}; /* no SA_RESTART: calls see EINTR */
    struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    sigaction(SIGUSR1, &action, NULL), sigaction(SIGPROF, &action, NULL), sigaction(SIGALRM, &action, NULL);
    look(1);
    pthread_t none;
    WANT(pthread_create(&none, NULL, nothing, NULL) == 0 && pthread_join(none, NULL) == 0);
    int before = settled("/proc/self/task", 1); /* a sanitizer has a thread of its own once there are two */
    begin_load();
    pthread_t host, sender;
    WANT(pthread_create(&host, NULL, host_thread, NULL) == 0);
    WANT(pthread_create(&sender, NULL, storm, &count) == 0);
    be_host();
    setitimer(ITIMER_PROF, &often, NULL), setitimer(ITIMER_REAL, &often, NULL);
    enum { KINDS = QUEUES + 2 }; /* workers, a helper, deadlines */
    while (storming || library_threads() < KINDS) goes_on(), with_deadline();
    pthread_join(sender, NULL);
    int library = library_threads();
    /* Every new thread is the host's own or wears the library's name. */
    WANT(entries("/proc/self/task") == before + library + 1);
    setitimer(ITIMER_PROF, &never, NULL), setitimer(ITIMER_REAL, &never, NULL);
    pumping = 0;
    pthread_join(host, NULL);
    release_load();
    WANT(weft_shutdown(WEFT_FOREVER) == WEFT_OK);
    look(0);
    WANT(elsewhere == 0 && on_host > 0);
    printf("%ld signals taken by host threads, %ld by the library's %d\n", (long)on_host, (long)elsewhere, library);
    return 0;
}
