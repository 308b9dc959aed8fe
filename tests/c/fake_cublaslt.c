/* A stand-in for libcublasLt, for what the library makes of one that is old or lacks functions, or, with ACCEPTS, of one that
 * takes every product. It multiplies nothing; FAKE_CUBLASLT_CALLS=FILE gets as many bytes as there were calls that were to. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#ifndef VERSION
#define VERSION 120000
#endif

size_t cublasLtGetVersion(void) { return VERSION; }

const char *cublasLtGetStatusName(int status) { return status == 1 ? "CUBLAS_STATUS_NOT_INITIALIZED" : "UNKNOWN"; }

#ifdef ACCEPTS
#define ANSWER 0
int cublasLtMatmulAlgoGetHeuristic(void *handle, void *desc, void *a, void *b, void *c, void *d, void *preference, int wanted, void *results, int *found) {
    (void)handle; (void)desc; (void)a; (void)b; (void)c; (void)d; (void)preference; (void)wanted; (void)results;
    *found = 1;
    return 0;
}
int cublasLtMatmul(void) {
    FILE *file = fopen(getenv("FAKE_CUBLASLT_CALLS"), "a");
    if (!file) return 1;
    fputc('.', file);
    fclose(file);
    return 0;
}
#else
#define ANSWER 1
#endif

#define ANSWERS(name) \
    int name(void) { return ANSWER; }

ANSWERS(cublasLtCreate)
ANSWERS(cublasLtMatmulDescCreate)
ANSWERS(cublasLtMatmulDescDestroy)
ANSWERS(cublasLtMatmulDescSetAttribute)
ANSWERS(cublasLtMatrixLayoutCreate)
ANSWERS(cublasLtMatrixLayoutDestroy)
ANSWERS(cublasLtMatrixLayoutSetAttribute)
ANSWERS(cublasLtMatmulPreferenceCreate)
ANSWERS(cublasLtMatmulPreferenceDestroy)
ANSWERS(cublasLtMatmulPreferenceSetAttribute)
#ifndef ACCEPTS
ANSWERS(cublasLtMatmulAlgoGetHeuristic)
#ifndef WITHOUT_MATMUL
ANSWERS(cublasLtMatmul)
#endif
#endif
