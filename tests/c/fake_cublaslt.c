/* A stand-in for libcublasLt, for what the library makes of one that is old or lacks functions. It multiplies nothing. */
#include <stddef.h>

#ifndef VERSION
#define VERSION 120000
#endif

size_t cublasLtGetVersion(void) { return VERSION; }

const char *cublasLtGetStatusName(int status) { return status == 1 ? "CUBLAS_STATUS_NOT_INITIALIZED" : "UNKNOWN"; }

#define REFUSES(name) \
    int name(void) { return 1; }

REFUSES(cublasLtCreate)
REFUSES(cublasLtMatmulDescCreate)
REFUSES(cublasLtMatmulDescDestroy)
REFUSES(cublasLtMatmulDescSetAttribute)
REFUSES(cublasLtMatrixLayoutCreate)
REFUSES(cublasLtMatrixLayoutDestroy)
REFUSES(cublasLtMatrixLayoutSetAttribute)
REFUSES(cublasLtMatmulPreferenceCreate)
REFUSES(cublasLtMatmulPreferenceDestroy)
REFUSES(cublasLtMatmulPreferenceSetAttribute)
REFUSES(cublasLtMatmulAlgoGetHeuristic)
#ifndef WITHOUT_MATMUL
REFUSES(cublasLtMatmul)
#endif
