/* weft_matmul beside cuBLASLt itself in one process, on the same memory: the best of the eight algorithms that its heuristics
 * name, each timed first; Weft has its own timed too (WEFT_MATMUL_AUTOTUNE). Turns of both alternate; N(0,1) inputs. Then what a small product costs: issued, and waited for.
 * Build: cc -O2 tests/bench/cublaslt.c -Iinclude -Ltarget/release -lweft -ldl -lm; run with LD_LIBRARY_PATH=target/release. */
#define _GNU_SOURCE
#include "bench.h"
#include <dlfcn.h>
#include <math.h>
#include <string.h>

typedef void *P;
typedef struct { uint64_t algorithm[8]; size_t workspace; int state; float waves; int reserved[4]; } Heuristic;
#define ENTRY(name, ...) static int (*name)(__VA_ARGS__);
ENTRY(cuInit, unsigned)
ENTRY(cuDevicePrimaryCtxRetain, P *, int)
ENTRY(cuCtxPushCurrent_v2, P)
ENTRY(cuStreamCreate, P *, unsigned)
ENTRY(cuStreamSynchronize, P)
ENTRY(cuMemAlloc_v2, uint64_t *, size_t)
ENTRY(cublasLtCreate, P *)
ENTRY(cublasLtMatmulDescCreate, P *, int, int)
ENTRY(cublasLtMatmulDescSetAttribute, P, int, const void *, size_t)
ENTRY(cublasLtMatrixLayoutCreate, P *, int, uint64_t, uint64_t, int64_t)
ENTRY(cublasLtMatmulPreferenceCreate, P *)
ENTRY(cublasLtMatmulPreferenceSetAttribute, P, int, const void *, size_t)
ENTRY(cublasLtMatmulAlgoGetHeuristic, P, P, P, P, P, P, P, int, Heuristic *, int *)
ENTRY(cublasLtMatmul, P, P, const void *, uint64_t, P, uint64_t, P, const void *, uint64_t, P, uint64_t, P, const void *, uint64_t, size_t, P)

enum { ALGORITHMS = 8, TURNS = 9, TRANSPOSE_A = 3, MAX_WORKSPACE = 1, COMPUTE_F32 = 68, COMPUTE_TF32 = 77, COMPUTE_F64 = 70 };
static const size_t WORKSPACE = 32 << 20;
static P stream, handle;
static uint64_t workspace;
static weft_context context;
static weft_queue queue;

static void raw(int code, const char *what) {
    if (code) fprintf(stderr, "%s answers %d\n", what, code), exit(1);
}
#define RAW(call) raw(call, #call)

static void open_libraries(void) {
    static const char *const names[] = {"libcublasLt.so.13", "libcublasLt.so.12", "/usr/local/cuda/lib64/libcublasLt.so.13", "/usr/local/cuda/lib64/libcublasLt.so"};
    P driver = dlopen("libcuda.so.1", RTLD_NOW), lt = NULL, shared;
    for (int i = 0; i < 4 && !lt; i++) lt = dlopen(names[i], RTLD_NOW);
    if (!driver || !lt) fprintf(stderr, "no driver or no cuBLASLt: %s\n", dlerror()), exit(1);
#define FIND(library, name) *(P *)&name = dlsym(library, #name); if (!name) fprintf(stderr, "no " #name "\n"), exit(1)
    FIND(driver, cuInit); FIND(driver, cuDevicePrimaryCtxRetain); FIND(driver, cuCtxPushCurrent_v2); FIND(driver, cuStreamCreate);
    FIND(driver, cuStreamSynchronize); FIND(driver, cuMemAlloc_v2);
    FIND(lt, cublasLtCreate); FIND(lt, cublasLtMatmulDescCreate); FIND(lt, cublasLtMatmulDescSetAttribute);
    FIND(lt, cublasLtMatrixLayoutCreate); FIND(lt, cublasLtMatmulPreferenceCreate); FIND(lt, cublasLtMatmulPreferenceSetAttribute);
    FIND(lt, cublasLtMatmulAlgoGetHeuristic); FIND(lt, cublasLtMatmul);
    RAW(cuInit(0));
    RAW(cuDevicePrimaryCtxRetain(&shared, 0));
    RAW(cuCtxPushCurrent_v2(shared));
    RAW(cuStreamCreate(&stream, 1));
    RAW(cuMemAlloc_v2(&workspace, WORKSPACE));
    RAW(cublasLtCreate(&handle));
}

typedef struct { const char *name; uint32_t dtype; int code, compute, scale; size_t size; } Type;
static const Type types[] = {
    {"bf16", WEFT_BF16, 14, COMPUTE_F32, 0, 2}, {"f16", WEFT_F16, 2, COMPUTE_F32, 0, 2}, {"f32", WEFT_F32, 0, COMPUTE_F32, 0, 4},
    {"tf32", WEFT_F32, 0, COMPUTE_TF32, 0, 4}, {"f64", WEFT_F64, 1, COMPUTE_F64, 1, 8},
};
typedef struct { const Type *type; int64_t m, k, n; int turned; } Case; /* turned: B is [n, k] in memory */

typedef struct { weft_buffer buffer; uint64_t at; } Memory;

static uint64_t state = 88172645463325252u;
static double uniform(void) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return ((state >> 11) + 0.5) / 9007199254740992.0;
}

static void put(const Type *type, char *at, double value) {
    float single = (float)value;
    uint32_t bits;
    memcpy(&bits, &single, 4);
    if (type->size == 8) memcpy(at, &value, 8);
    else if (type->size == 4) memcpy(at, &single, 4);
    else if (type->dtype == WEFT_BF16) { uint16_t half = (uint16_t)((bits + 0x8000) >> 16); memcpy(at, &half, 2); }
    else {
        uint32_t size = bits & 0x7fffffff;
        uint16_t half = size < 0x38800000 ? 0 : (uint16_t)((size - 0x38000000 + 0x1000) >> 13);
        half |= (uint16_t)(bits >> 16 & 0x8000);
        memcpy(at, &half, 2);
    }
}

/* Normal numbers, as many as a period that no tile divides, over and over. */
static Memory memory(const Type *type, size_t count, int random) {
    enum { PERIOD = 1000003 };
    Memory made;
    weft_buffer_info info = {.struct_size = sizeof info};
    size_t bytes = count * type->size;
    check(weft_buffer_create(context, bytes, NULL, &made.buffer));
    check(weft_buffer_info_get(made.buffer, &info));
    made.at = info.address;
    if (!random) return made;
    char *host = malloc(bytes);
    for (size_t i = 0; i < count && i < PERIOD; i++)
        put(type, host + i * type->size, sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform()));
    for (size_t done = PERIOD * type->size; done < bytes; done *= 2)
        memcpy(host + done, host, done < bytes - done ? done : bytes - done);
    weft_request request;
    check(weft_write(queue, made.buffer, 0, host, bytes, NULL, &request));
    check(weft_request_wait(&request, 1, WEFT_WAIT_ALL, WEFT_FOREVER, NULL));
    check(weft_request_release(request));
    free(host);
    return made;
}

static Memory a, b, d;
static P desc, layouts[3];
static Heuristic found[ALGORITHMS];
static int best;
static double one = 1, zero = 0;
static float one32 = 1, zero32 = 0;
static int wide;
static weft_matmul_desc ours;

static int run_raw(int algorithm) {
    const void *alpha = wide ? (const void *)&one : &one32, *beta = wide ? (const void *)&zero : &zero32;
    return cublasLtMatmul(handle, desc, alpha, b.at, layouts[1], a.at, layouts[0], beta, d.at, layouts[2], d.at, layouts[2],
                          found[algorithm].algorithm, workspace, WORKSPACE, stream);
}

static double time_raw(int count) {
    RAW(cuStreamSynchronize(stream));
    double start = now();
    for (int i = 0; i < count; i++) RAW(run_raw(best));
    RAW(cuStreamSynchronize(stream));
    return (now() - start) / count;
}

static double time_ours(int count) {
    weft_submit options = {.struct_size = sizeof options, .timeout_ns = WEFT_FOREVER};
    check(weft_queue_drain(queue, WEFT_FOREVER));
    double start = now();
    for (int i = 0; i < count; i++) check(weft_matmul(queue, &ours, &options, NULL));
    check(weft_queue_drain(queue, WEFT_FOREVER));
    return (now() - start) / count;
}

/* Row-major D = A B is column-major D' = B' A'. */
static int prepare(const Case *c) {
    const Type *type = c->type;
    int transposed = 1, returned = 0;
    P preference;
    wide = type->scale == 1;
    a = memory(type, (size_t)(c->m * c->k), 1), b = memory(type, (size_t)(c->k * c->n), 1), d = memory(type, (size_t)(c->m * c->n), 0);
    RAW(cublasLtMatmulDescCreate(&desc, type->compute, type->scale));
    if (c->turned) RAW(cublasLtMatmulDescSetAttribute(desc, TRANSPOSE_A, &transposed, sizeof transposed));
    RAW(cublasLtMatrixLayoutCreate(&layouts[0], type->code, (uint64_t)c->k, (uint64_t)c->m, c->k));
    RAW(cublasLtMatrixLayoutCreate(&layouts[1], type->code, (uint64_t)(c->turned ? c->k : c->n), (uint64_t)(c->turned ? c->n : c->k), c->turned ? c->k : c->n));
    RAW(cublasLtMatrixLayoutCreate(&layouts[2], type->code, (uint64_t)c->n, (uint64_t)c->m, c->n));
    RAW(cublasLtMatmulPreferenceCreate(&preference));
    RAW(cublasLtMatmulPreferenceSetAttribute(preference, MAX_WORKSPACE, &WORKSPACE, sizeof WORKSPACE));
    RAW(cublasLtMatmulAlgoGetHeuristic(handle, desc, layouts[1], layouts[0], layouts[2], layouts[2], preference, ALGORITHMS, found, &returned));
    ours = (weft_matmul_desc){.struct_size = sizeof ours};
    ours.a = (weft_tensor){.buffer = a.buffer, .dtype = type->dtype, .rank = 2, .dims = {c->m, c->k}};
    ours.b = (weft_tensor){.buffer = b.buffer, .dtype = type->dtype, .rank = 2, .dims = {c->k, c->n}};
    if (c->turned) ours.b.strides[0] = 1, ours.b.strides[1] = c->k;
    ours.d = (weft_tensor){.buffer = d.buffer, .dtype = type->dtype, .rank = 2, .dims = {c->m, c->n}};
    ours.flags = WEFT_MATMUL_AUTOTUNE | (type->compute == COMPUTE_TF32 ? WEFT_MATMUL_ALLOW_TF32 : 0);
    return returned;
}

static void release(void) {
    check(weft_buffer_release(a.buffer)), check(weft_buffer_release(b.buffer)), check(weft_buffer_release(d.buffer));
}

/* How often, for a turn of about so many nanoseconds. */
static int times(double turn) {
    double ns = time_raw(3);
    return ns > turn / 2 ? 2 : (int)(turn / ns);
}

static double least(double *ns) {
    qsort(ns, TURNS, sizeof(double), by_value);
    return ns[0];
}

static void compare(const Case *c) {
    int returned = prepare(c);
    double fastest = 1e18, theirs[TURNS], mine[TURNS], ratios[TURNS];
    for (int i = 0; i < returned; i++) {
        best = i;
        if (found[i].state || run_raw(i)) continue;
        double ns = time_raw(3);
        for (int j = 0, count = times(1e7); j < 3; j++) { double turn = time_raw(count); ns = j && ns < turn ? ns : turn; }
        if (ns < fastest) fastest = ns, *found = found[i];
    }
    best = 0;
    time_ours(3);
    /* Long turns: that the last product is done is told up to a 64th of the time later, while raw calls spin. */
    for (int i = 0, count = times(4e7); i < TURNS; i++) mine[i] = time_ours(count), theirs[i] = time_raw(count), ratios[i] = theirs[i] / mine[i];
    qsort(ratios, TURNS, sizeof(double), by_value);
    double own = least(mine), flops = 2.0 * (double)c->m * (double)c->k * (double)c->n;
    printf("| %lldx%lldx%lld %s%s | %.2f | %.2f | %.1f | %.3f |\n", (long long)c->m, (long long)c->k, (long long)c->n, c->type->name,
           c->turned ? " B^T" : "", own / 1e3, least(theirs) / 1e3, flops / own / 1e3, ratios[TURNS / 2]);
    fflush(stdout);
    release();
}

/* A small product: the call alone, and until it is known to be done. */
static void small(void) {
    enum { ROUNDS = 3000 };
    static double ns[4][ROUNDS];
    prepare(&(Case){types, 64, 64, 64, 0});
    best = 0;
    for (int i = -100; i < ROUNDS; i++) {
        weft_request request;
        double start = now();
        RAW(run_raw(0));
        double issued = now();
        RAW(cuStreamSynchronize(stream));
        double done = now();
        check(weft_matmul(queue, &ours, NULL, &request));
        double submitted = now();
        check(weft_request_wait(&request, 1, WEFT_WAIT_ALL, WEFT_FOREVER, NULL));
        double known = now();
        check(weft_request_release(request));
        if (i >= 0) ns[0][i] = issued - start, ns[1][i] = done - start, ns[2][i] = submitted - done, ns[3][i] = known - done;
    }
    static const char *const names[] = {"cublasLtMatmul returns", "and is synchronized with", "weft_matmul returns", "and is waited for"};
    printf("\n| 64x64x64 bf16, us | p50 | p90 |\n|---|---|---|\n");
    for (int i = 0; i < 4; i++) {
        qsort(ns[i], ROUNDS, sizeof(double), by_value);
        printf("| %s | %.2f | %.2f |\n", names[i], ns[i][ROUNDS / 2] / 1e3, ns[i][ROUNDS * 9 / 10] / 1e3);
    }
    double theirs = time_raw(20000), mine = time_ours(20000);
    printf("| cublasLtMatmul, pipelined | %.2f | |\n| weft_matmul, pipelined | %.2f | |\n", theirs / 1e3, mine / 1e3);
    release();
}

int main(void) {
    static const int64_t square[] = {1024, 1536, 2048, 4096, 8192};
    open_libraries();
    check(weft_context_create("cuda:0", NULL, &context));
    check(weft_queue_create(context, NULL, &queue));
    printf("| product | weft us | cuBLASLt us (best of 8) | weft TFLOP/s | ratio |\n|---|---|---|---|---|\n");
    for (int type = 0; type < 5; type++)
        for (int i = 0; i < (type > 1 ? 4 : 5); i++) compare(&(Case){types + type, square[i], square[i], square[i], type < 2});
    compare(&(Case){types, 4096, 4096, 4096, 0});
    compare(&(Case){types, 16384, 8192, 16384, 1});
    compare(&(Case){types, 16, 4096, 4096, 1});
    compare(&(Case){types, 64, 8192, 8192, 1});
    small();
    check(weft_queue_release(queue));
    return weft_context_release(context);
}
