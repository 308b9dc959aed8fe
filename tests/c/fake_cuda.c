/* A stand-in for libcuda.so.1 whose device is the host's memory, for machines without a GPU: it shows what the library
 * makes of a driver's answers, not what a GPU computes. Kernels do not run.
 *
 *   FAKE_CUDA_FAIL="cuMemAllocFromPoolAsync:3:2;cuStreamSynchronize:1:700s"   the 3rd cuMemAllocAsync answers 2; the first
 *       cuStreamSynchronize answers 700, and so does every later call (s: sticky). Other letters behind the code:
 *       a   the call answers 0, but the device fails at its work: the timelines stand still, and a few queries later the
 *           code is every call's answer
 *       w   the call answers 0, but from then on the timelines stand still and nothing tells
 *       h   from that call on, a thread of the library's own that makes it never comes back
 *   FAKE_CUDA_JITTER=MICROSECONDS                                     some calls take up to so long
 *   FAKE_CUDA_COMPILED=FILE                                           a line for each text that is compiled
 *   FAKE_CUDA_VERSION, FAKE_CUDA_DEVICES, FAKE_CUDA_CAPABILITY        13000, 1 and 90 if not set
 *   FAKE_CUDA_CALLS=FILE                                              at the process's end, a line for each function: calls
 *
 * A test asks fake_cuda_live(kind) how many streams (0), events (1), blocks of device (2) and host (3) memory, pools (4),
 * modules (5) and graphs (6) there are, and fake_cuda_fired() how often a rule of FAKE_CUDA_FAIL was followed. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STREAM, EVENT, DEVICE, HOST, POOL, MODULE, GRAPH, KINDS };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int sticky, fired, silent, broken, queries;
static struct { char name[48]; int calls; } seen[64];
static int alive[KINDS];

static int number(const char *name, int otherwise) {
    const char *text = getenv(name);
    return text ? atoi(text) : otherwise;
}

static int calls_of(const char *name) {
    for (int i = 0; i < 64; i++) {
        if (!seen[i].name[0]) snprintf(seen[i].name, sizeof seen[i].name, "%s", name);
        if (!strcmp(seen[i].name, name)) return ++seen[i].calls;
    }
    abort();
}

static int is_librarys_thread(void) {
    char name[16] = "";
    pthread_getname_np(pthread_self(), name, sizeof name);
    return !strncmp(name, "weft-", 5);
}

static void never_return(void) {
    pthread_mutex_unlock(&lock);
    for (;;) pause();
}

/* Follows a rule for this call of a function. What it answers. */
static int follow(int code, char letter) {
    fired++;
    switch (letter) {
        case 'h': never_return(); break;
        case 'a': broken = code; silent = 1; return 0;
        case 'w': silent = 1; return 0;
        case 's': sticky = code; break;
    }
    return code;
}

/* The answer that is asked for at this call of `name`, 0 for none. */
static int asked(const char *name, int call) {
    char rules[512], *rest = rules, *rule;
    snprintf(rules, sizeof rules, "%s", getenv("FAKE_CUDA_FAIL") ? getenv("FAKE_CUDA_FAIL") : "");
    while ((rule = strtok_r(rest, ";", &rest))) {
        char function[64], letter = 0;
        int at, code;
        if (sscanf(rule, "%63[^:]:%d:%d%c", function, &at, &code, &letter) < 3 || strcmp(function, name)) continue;
        if (letter == 'h' ? call >= at && is_librarys_thread() : call == at) return follow(code, letter);
    }
    return 0;
}

/* Some calls take a while, before they count, before they do what they do, or after it. */
static void dawdle(void) {
    static _Thread_local unsigned seed;
    unsigned most = (unsigned)number("FAKE_CUDA_JITTER", 0);
    if (!most) return;
    if (!seed) seed = (unsigned)getpid() * 7919u + (unsigned)(uintptr_t)&seed;
    if (rand_r(&seed) % 8 == 0) usleep((unsigned)rand_r(&seed) % most);
}

static int answer(const char *name) {
    dawdle();
    pthread_mutex_lock(&lock);
    int code = asked(name, calls_of(name));
    if (!code) code = sticky;
    pthread_mutex_unlock(&lock);
    dawdle();
    return code;
}

/* One more or one less of a kind. */
static int count(int kind, int change) {
    pthread_mutex_lock(&lock);
    int now = alive[kind] += change;
    pthread_mutex_unlock(&lock);
    return now;
}

int fake_cuda_live(int kind) { return count(kind, 0); }
int fake_cuda_fired(void) { return fired; }

/* A question about a device that failed at its work: some answers are still good, then none ever. */
static int question(void) {
    pthread_mutex_lock(&lock);
    if (broken && ++queries > 2) sticky = broken;
    int code = sticky ? sticky : silent ? 600 : 0;
    pthread_mutex_unlock(&lock);
    return code;
}

static void *made(int kind, size_t bytes) {
    count(kind, 1);
    return malloc(bytes ? bytes : 1);
}

static void ended(int kind, void *what) {
    count(kind, -1);
    free(what);
}

__attribute__((destructor)) static void tell_calls(void) {
    const char *path = getenv("FAKE_CUDA_CALLS");
    FILE *file = path ? fopen(path, "w") : 0;
    if (!file) return;
    for (int i = 0; i < 64 && seen[i].name[0]; i++) fprintf(file, "%s %d\n", seen[i].name, seen[i].calls);
    fclose(file);
}

#define FAKE(name, arguments, body) int name arguments { int code = answer(#name); if (code) return code; body; dawdle(); return 0; }

typedef void *P;
typedef unsigned long long D;

FAKE(cuInit, (unsigned flags), (void)flags)
FAKE(cuDriverGetVersion, (int *version), *version = number("FAKE_CUDA_VERSION", 13000))
FAKE(cuDeviceGetCount, (int *count), *count = number("FAKE_CUDA_DEVICES", 1))
FAKE(cuDeviceGet, (int *device, int ordinal), *device = ordinal)
FAKE(cuDeviceGetName, (char *name, int length, int device), snprintf(name, (size_t)length, "Fake GPU %d", device))
FAKE(cuDeviceTotalMem_v2, (size_t *bytes, int device), *bytes = 1ull << 34; (void)device)
FAKE(cuDeviceGetAttribute, (int *value, int attribute, int device),
     int capability = number("FAKE_CUDA_CAPABILITY", 90); (void)device;
     *value = attribute == 75 ? capability / 10 : attribute == 76 ? capability % 10 : attribute == 16 ? 132 : 1)
FAKE(cuDevicePrimaryCtxRetain, (P *context, int device), *context = (P)(uintptr_t)(0x1000 + device))
FAKE(cuDevicePrimaryCtxRelease_v2, (int device), (void)device)
static _Thread_local P current[16];
static _Thread_local int depth;
FAKE(cuCtxPushCurrent_v2, (P context), if (depth == 16) return 1; current[depth++] = context)
FAKE(cuCtxPopCurrent_v2, (P *context), if (!depth) return 201; *context = current[--depth])
FAKE(cuStreamCreateWithPriority, (P *stream, unsigned flags, int priority), (void)priority; if (flags != 1) return 1; *stream = made(STREAM, 1))
FAKE(cuStreamQuery, (P stream), (void)stream; return question())
FAKE(cuStreamWaitEvent, (P stream, P event, unsigned flags), (void)stream; (void)event; (void)flags)
FAKE(cuEventCreate, (P *event, unsigned flags), *event = made(EVENT, 1); (void)flags)
FAKE(cuEventDestroy_v2, (P event), ended(EVENT, event))
FAKE(cuEventRecord, (P event, P stream), (void)event; (void)stream)
FAKE(cuEventElapsedTime, (float *milliseconds, P start, P end), *milliseconds = 0.5f; (void)start; (void)end)
FAKE(cuPointerGetAttribute, (void *value, int attribute, D at), (void)value; (void)attribute; (void)at; return 1)
FAKE(cuStreamDestroy_v2, (P stream), ended(STREAM, stream))
FAKE(cuStreamSynchronize, (P stream), (void)stream; /* waits for what may never come */
     while ((code = question()) == 600) usleep(1000);
     return code)
FAKE(cuStreamWriteValue32_v2, (P stream, D at, unsigned value, unsigned flags), if (!silent) *(volatile unsigned *)(uintptr_t)at = value; (void)stream; (void)flags)
FAKE(cuMemPoolCreate, (P *pool, const void *properties), *pool = (P)0x10; count(POOL, 1); (void)properties)
FAKE(cuMemPoolDestroy, (P pool), count(POOL, -1); (void)pool)
FAKE(cuMemPoolSetAttribute, (P pool, unsigned attribute, void *value), (void)pool; (void)attribute; (void)value)
FAKE(cuMemPoolTrimTo, (P pool, size_t keep), (void)pool; (void)keep)
FAKE(cuMemAllocFromPoolAsync, (D *at, size_t bytes, P pool, P stream), if (bytes > 1ull << 34) return 2; *at = (D)(uintptr_t)made(DEVICE, bytes); (void)pool; (void)stream)
FAKE(cuMemFreeAsync, (D at, P stream), ended(DEVICE, (void *)(uintptr_t)at); (void)stream)
FAKE(cuMemHostRegister_v2, (P at, size_t bytes, unsigned flags), count(HOST, 1); (void)at; (void)bytes; (void)flags)
FAKE(cuMemHostUnregister, (P at), count(HOST, -1); (void)at)
FAKE(cuMemHostGetDevicePointer_v2, (D *device, P host, unsigned flags), *device = (D)(uintptr_t)host; (void)flags)
FAKE(cuMemcpyHtoDAsync_v2, (D to, const void *from, size_t bytes, P stream), memcpy((void *)(uintptr_t)to, from, bytes); (void)stream)
FAKE(cuMemcpyDtoHAsync_v2, (void *to, D from, size_t bytes, P stream), memcpy(to, (void *)(uintptr_t)from, bytes); (void)stream)
FAKE(cuMemcpyDtoDAsync_v2, (D to, D from, size_t bytes, P stream), memmove((void *)(uintptr_t)to, (void *)(uintptr_t)from, bytes); (void)stream)
FAKE(cuMemsetD8Async, (D at, unsigned char value, size_t count, P stream), memset((void *)(uintptr_t)at, value, count); (void)stream)
FAKE(cuMemsetD16Async, (D at, unsigned short value, size_t count, P stream), for (size_t i = 0; i < count; i++) ((unsigned short *)(uintptr_t)at)[i] = value; (void)stream)
FAKE(cuMemsetD32Async, (D at, unsigned value, size_t count, P stream), for (size_t i = 0; i < count; i++) ((unsigned *)(uintptr_t)at)[i] = value; (void)stream)
/* A "cubin" is the text behind a word, and a word at its end that shows that it is whole. */
static const char CUBIN[] = "CUBIN", END[] = "NIBUC";
static int compiles(const char *text) {
    const char *path = getenv("FAKE_CUDA_COMPILED");
    FILE *file = path ? fopen(path, "a") : 0;
    if (file) fprintf(file, "compiled\n"), fclose(file);
    return strstr(text, ".version") != 0;
}
FAKE(cuModuleLoadDataEx, (P *module, const void *image, unsigned options, int *keys, void **values),
     if (!memcmp(image, CUBIN, 5)) {
         if (!strstr(image, END)) return 200;
     } else if (!compiles(image)) {
         for (unsigned i = 0; i < options; i++) if (keys[i] == 5) strcpy(values[i], "ptxas fatal: no .version");
         return 218;
     }
     *module = made(MODULE, 1))
FAKE(cuLinkCreate_v2, (unsigned options, int *keys, void **values, P *state), *state = calloc(1, sizeof(char *)); (void)options; (void)keys; (void)values)
FAKE(cuLinkAddData_v2, (P state, int kind, void *data, size_t size, const char *name, unsigned options, int *keys, void **values),
     if (kind != 1 || ((char *)data)[size - 1] || !compiles(data)) return 218;
     char **text = state; *text = malloc(size + 16); sprintf(*text, "%s%s%s", CUBIN, (char *)data, END);
     (void)name; (void)options; (void)keys; (void)values)
FAKE(cuLinkComplete, (P state, void **image, size_t *size), *image = *(char **)state; *size = strlen(*image) + 1)
FAKE(cuLinkDestroy, (P state), free(*(char **)state); free(state))
FAKE(cuModuleUnload, (P module), ended(MODULE, module))
FAKE(cuModuleGetFunction, (P *function, P module, const char *name), *function = module; if (!strcmp(name, "absent")) return 500)
#ifndef WITHOUT_PARAMETERS
FAKE(cuFuncGetParamInfo, (P function, size_t index, size_t *offset, size_t *size), /* of tests/cuda.rs's "small" */
     if (index >= 3) return 1;
     *offset = index ? 4 + 4 * index : 0; *size = index == 0 ? 8 : index == 1 ? 4 : 12; (void)function)
#endif
FAKE(cuFuncGetAttribute, (int *value, int attribute, P function), *value = attribute == 0 ? 1024 : attribute == 1 ? 16 : 0; (void)function)
FAKE(cuFuncSetAttribute, (P function, int attribute, int value), (void)function; (void)attribute; (void)value)
FAKE(cuStreamIsCapturing, (P stream, int *status), *status = number("FAKE_CUDA_CAPTURING", 0); (void)stream)
FAKE(cuStreamBeginCapture_v2, (P stream, int mode), (void)stream; if (mode != 2) return 1)
FAKE(cuStreamEndCapture, (P stream, P *graph), *graph = made(GRAPH, 1); (void)stream)
FAKE(cuGraphInstantiateWithFlags, (P *ready, P graph, unsigned long long flags), if (flags) return 1; *ready = made(GRAPH, 1); (void)graph)
FAKE(cuGraphLaunch, (P ready, P stream), (void)ready; (void)stream)
FAKE(cuGraphDestroy, (P graph), ended(GRAPH, graph))
FAKE(cuGraphExecDestroy, (P ready), ended(GRAPH, ready))
#ifndef WITHOUT_LAUNCH
FAKE(cuLaunchKernel, (P function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, P stream, void **parameters, void **extra),
     (void)function; (void)gx; (void)gy; (void)gz; (void)bx; (void)by; (void)bz; (void)shared; (void)stream; (void)parameters; (void)extra)
#endif
int cuGetErrorName(int code, const char **name) {
    *name = code == 2 ? "CUDA_ERROR_OUT_OF_MEMORY" : code == 700 ? "CUDA_ERROR_ILLEGAL_ADDRESS" : code == 218 ? "CUDA_ERROR_INVALID_PTX" : code == 999 ? "CUDA_ERROR_UNKNOWN" : 0;
    return *name ? 0 : 1;
}
