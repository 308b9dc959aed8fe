/* What belongs to the host stays as it is: directory, locale, environment, floating-point mode, umask, limits, affinity,
 * name, output. And the other way round: the host's floating-point mode changes no result and stops no thread.
 * Prints a checksum of results; untouched odd computes them under a strange mode. */
#include "host.h"
#include <fenv.h>
#include <locale.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#ifdef __SSE2__
#include <xmmintrin.h>
#define CONTROL() (_mm_getcsr() & 0xffc0u) /* the mode without the flags that computing raises */
static void odd_control(void) { _mm_setcsr(_mm_getcsr() | 0x8040u); } /* denormals are zero */
#else
#define CONTROL() 0u
static void odd_control(void) {}
#endif

extern char **environ;

struct state {
    char directory[4096], locale[256], name[32];
    unsigned long environment;
    unsigned control;
    int rounding, exceptions;
    mode_t umask;
    struct rlimit files, stack;
    cpu_set_t affinity;
    long written;
};

static unsigned long checksum(unsigned long sum, const void *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) sum = (sum ^ ((const unsigned char *)bytes)[i]) * 0x100000001b3ul;
    return sum;
}

static struct state look(void) {
    struct state now;
    struct stat out, err;
    memset(&now, 0, sizeof now);
    WANT(getcwd(now.directory, sizeof now.directory));
    snprintf(now.locale, sizeof now.locale, "%s", setlocale(LC_ALL, NULL));
    prctl(PR_GET_NAME, now.name);
    for (char **at = environ; *at; at++) now.environment = checksum(now.environment, *at, strlen(*at) + 1);
    now.control = CONTROL(), now.rounding = fegetround(), now.exceptions = fegetexcept();
    umask(now.umask = umask(0));
    getrlimit(RLIMIT_NOFILE, &now.files), getrlimit(RLIMIT_STACK, &now.stack);
    sched_getaffinity(0, sizeof now.affinity, &now.affinity);
    fflush(NULL);
    WANT(fstat(1, &out) == 0 && fstat(2, &err) == 0);
    now.written = S_ISREG(out.st_mode) * out.st_size + S_ISREG(err.st_mode) * err.st_size;
    return now;
}

enum { ROWS = 128, WIDTH = 256 };
static weft_context context;
static float values[ROWS * WIDTH], results[ROWS * WIDTH];
static weft_queue queue;
static weft_buffer x, y;

/* Ordinary numbers, halves that round, subnormals. */
static void invent(void) {
    unsigned state = 1;
    for (int i = 0; i < ROWS * WIDTH; i++) {
        state = state * 1664525u + 1013904223u;
        values[i] = (float)(int)(state >> 8) / 9999991.0f - 0.7f;
        if (i % 5 == 0) values[i] *= 1e-39f;
    }
}

static weft_tensor matrix(weft_buffer of, int64_t rows, int64_t columns) {
    return (weft_tensor){.buffer = of, .dtype = WEFT_F32, .rank = 2, .dims = {rows, columns}};
}

static unsigned long fetch(unsigned long sum, weft_status submitted) {
    weft_request request = 0;
    WANT(submitted == WEFT_OK);
    WANT(weft_read(queue, y, 0, results, sizeof results, NULL, &request) == WEFT_OK);
    WANT(weft_request_wait(&request, 1, WEFT_WAIT_ALL, WEFT_FOREVER, NULL) == WEFT_OK);
    WANT(weft_request_release(request) == WEFT_OK);
    return checksum(sum, results, sizeof results);
}

static unsigned long compute(void) {
    unsigned long sum = 0xcbf29ce484222325ul;
    DESC(weft_matmul_desc, product);
    product.a = matrix(x, ROWS, WIDTH), product.b = matrix(x, WIDTH, ROWS), product.d = matrix(y, ROWS, ROWS);
    product.epilogue = WEFT_EPILOGUE_GELU;
    sum = fetch(sum, weft_matmul(queue, &product, NULL, NULL));
    DESC(weft_softmax_desc, soft);
    soft.axis = -1, soft.scale = 0.3f, soft.x = matrix(x, ROWS, WIDTH), soft.y = matrix(y, ROWS, WIDTH);
    sum = fetch(sum, weft_softmax(queue, &soft, NULL, NULL));
    DESC(weft_norm_desc, norm);
    norm.x = soft.x, norm.y = soft.y;
    sum = fetch(sum, weft_rms_norm(queue, &norm, NULL, NULL));
    DESC(weft_attention_desc, attention);
    attention.q = (weft_tensor){.buffer = x, .dtype = WEFT_F32, .rank = 4, .dims = {1, 4, 128, 63}};
    attention.k = attention.v = attention.o = attention.q;
    attention.o.buffer = y;
    sum = fetch(sum, weft_attention(queue, &attention, NULL, NULL));
    DESC(weft_rope_desc, rope);
    rope.x = (weft_tensor){.buffer = x, .dtype = WEFT_F32, .rank = 4, .dims = {1, 4, 128, 64}};
    rope.y = rope.x, rope.y.buffer = y;
    sum = fetch(sum, weft_rope(queue, &rope, NULL, NULL));
    DESC(weft_elementwise_desc, ratio);
    ratio.function = WEFT_EW_DIV, ratio.a = soft.x, ratio.b = matrix(x, 1, 1), ratio.y = soft.y;
    ratio.b.offset = sizeof results; /* zero: infinities */
    sum = fetch(sum, weft_elementwise(queue, &ratio, NULL, NULL));
    DESC(weft_reduce_desc, all);
    all.axes = 3, all.x = soft.x, all.y = matrix(y, 1, 1);
    return fetch(sum, weft_reduce(queue, &all, NULL, NULL));
}

/* Calls that fail, for a library that complains aloud. */
static void mistakes(void) {
    weft_request request = 0;
    DESC(weft_rows_desc, rows);
    WANT(weft_buffer_release(12345) < 0 && weft_context_create("cuda:0", NULL, &context) < 0);
    rows.table = matrix(x, 4, 4), rows.rows = matrix(y, 1, 4);
    rows.indices = (weft_tensor){.buffer = x, .offset = 4, .dtype = WEFT_I32, .rank = 1, .dims = {1}};
    WANT(weft_gather_rows(queue, &rows, NULL, &request) == WEFT_OK);
    WANT(weft_request_wait(&request, 1, WEFT_WAIT_ALL, WEFT_FOREVER, NULL) == WEFT_ERROR_OUT_OF_RANGE);
    WANT(weft_request_release(request) == WEFT_OK);
}

int main(int argc, char **argv) {
    int odd = argc > 1 && strcmp(argv[1], "odd") == 0;
    DESC(weft_context_desc, options);
    setlocale(LC_ALL, ""), umask(027), prctl(PR_SET_NAME, "the host");
    invent();
    if (odd) fesetround(FE_UPWARD), odd_control(), feenableexcept(FE_DIVBYZERO | FE_INVALID | FE_OVERFLOW);
    struct state before = look();
    options.threads = 2;
    WANT(weft_context_create("cpu", &options, &context) == WEFT_OK);
    weft_context its = context;
    WANT(weft_queue_create(its, NULL, &queue) == WEFT_OK);
    WANT(weft_buffer_create(its, 2 * sizeof values, NULL, &x) == WEFT_OK);
    WANT(weft_buffer_create(its, sizeof values, NULL, &y) == WEFT_OK);
    WANT(weft_write(queue, x, 0, values, sizeof values, NULL, NULL) == WEFT_OK);
    unsigned long sum = compute();
    mistakes();
    WANT(weft_buffer_release(x) == WEFT_OK && weft_buffer_release(y) == WEFT_OK);
    WANT(weft_queue_release(queue) == WEFT_OK && weft_context_release(its) == WEFT_OK);
    WANT(weft_shutdown(WEFT_FOREVER) == WEFT_OK);
    struct state after = look();
    WANT(memcmp(&before, &after, sizeof before) == 0);
    printf("%016lx\n", sum);
    return 0;
}
