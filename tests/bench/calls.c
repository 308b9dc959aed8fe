/* The loops that tests/bench/matmul.py times, in C: what a binding costs is no part of a comparison of libraries. */
#include "weft.h"

/* Submits, waits and releases `count` times, `batch` requests for each wait. */
weft_status weft_calls(weft_queue queue, const weft_matmul_desc *desc, int count, int batch) {
    weft_submit patient = {.struct_size = sizeof patient, .timeout_ns = WEFT_FOREVER}; /* waits for room in the queue */
    for (int i = 0; i < count; i++) {
        weft_request last = 0;
        for (int j = 1; j <= batch; j++) {
            weft_status status = weft_matmul(queue, desc, &patient, j == batch ? &last : 0);
            if (status) return status;
        }
        weft_status status = weft_request_wait(&last, 1, WEFT_WAIT_ALL, WEFT_FOREVER, 0);
        if (status) return status;
        weft_request_release(last);
    }
    return WEFT_OK;
}

/* The arguments of a cblas_?gemm. */
typedef struct {
    int layout, ta, tb, m, n, k, lda, ldb, ldc;
    const void *a, *b;
    void *c;
} gemm_args;

typedef void (*gemm_f32)(int, int, int, int, int, int, float, const void *, int, const void *, int, float, void *, int);
typedef void (*gemm_f64)(int, int, int, int, int, int, double, const void *, int, const void *, int, double, void *, int);

void blas_calls_f32(gemm_f32 f, const gemm_args *x, int count) {
    for (int i = 0; i < count; i++)
        f(x->layout, x->ta, x->tb, x->m, x->n, x->k, 1, x->a, x->lda, x->b, x->ldb, 0, x->c, x->ldc);
}

void blas_calls_f64(gemm_f64 f, const gemm_args *x, int count) {
    for (int i = 0; i < count; i++)
        f(x->layout, x->ta, x->tb, x->m, x->n, x->k, 1, x->a, x->lda, x->b, x->ldb, 0, x->c, x->ldc);
}

typedef void (*gemm_i8)(int, int, int, int, int, int, int, float, const void *, int, signed char, const void *, int,
                        signed char, float, int *, int, const int *);

/* MKL's product of signed and unsigned bytes: CblasFixOffset, every offset 0. */
void blas_calls_i8(gemm_i8 f, const gemm_args *x, int count) {
    static const int none = 0;
    for (int i = 0; i < count; i++)
        f(x->layout, x->ta, x->tb, 173, x->m, x->n, x->k, 1, x->a, x->lda, 0, x->b, x->ldb, 0, 0, x->c, x->ldc, &none);
}
