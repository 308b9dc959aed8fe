/* A kernel of your own: y = a x + y from PTX text, which the GPU's driver compiles. What nvcc -ptx, Triton or any other
 * compiler writes works the same. PTX is trusted like the rest of your program. */
#include <stdio.h>
#include <stdlib.h>
#include <weft.h>

static const char SAXPY[] =
    ".version 7.0\n"
    ".target sm_80\n"
    ".address_size 64\n"
    ".visible .entry saxpy(.param .u64 x, .param .u64 y, .param .f32 a, .param .u32 n) {\n"
    "  .reg .pred %p; .reg .f32 %f<4>; .reg .b32 %r<5>; .reg .b64 %d<5>;\n"
    "  ld.param.u64 %d0, [x]; ld.param.u64 %d1, [y]; ld.param.f32 %f0, [a]; ld.param.u32 %r0, [n];\n"
    "  mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ntid.x; mov.u32 %r3, %tid.x;\n"
    "  mad.lo.u32 %r4, %r1, %r2, %r3;              // i = block * threads + thread\n"
    "  setp.ge.u32 %p, %r4, %r0; @%p ret;\n"
    "  cvta.to.global.u64 %d0, %d0; cvta.to.global.u64 %d1, %d1;\n"
    "  mul.wide.u32 %d2, %r4, 4; add.u64 %d3, %d0, %d2; add.u64 %d4, %d1, %d2;\n"
    "  ld.global.f32 %f1, [%d3]; ld.global.f32 %f2, [%d4];\n"
    "  fma.rn.f32 %f3, %f0, %f1, %f2; st.global.f32 [%d4], %f3; ret;\n"
    "}\n";

static void check(weft_status status) {
    if (status == WEFT_OK) return;
    fprintf(stderr, "%s: %s\n", weft_status_name(status), weft_last_error());
    exit(1);
}

int main(void) {
    enum { N = 1000, BYTES = N * sizeof(float) };
    static float x[N], y[N];
    weft_context context;
    weft_queue queue;
    weft_buffer buffer; /* x, then y */
    weft_program program;
    weft_kernel saxpy;
    if (weft_context_create("cuda:0", NULL, &context) == WEFT_ERROR_UNAVAILABLE) {
        printf("no GPU to run a kernel on: %s\n", weft_last_error());
        return 0;
    }
    check(weft_queue_create(context, NULL, &queue));
    check(weft_buffer_create(context, 2 * BYTES, NULL, &buffer));

    static char log[4096]; /* what the compiler says against it */
    weft_program_desc text = {.struct_size = sizeof text, .ptx = SAXPY, .log = log, .log_capacity = sizeof log};
    weft_status compiled = weft_program_create(context, &text, &program);
    if (compiled != WEFT_OK) fprintf(stderr, "%s\n", log);
    check(compiled);
    check(weft_kernel_get(program, "saxpy", &saxpy));

    for (int i = 0; i < N; i++) x[i] = (float)i, y[i] = 1;
    check(weft_write(queue, buffer, 0, x, BYTES, NULL, NULL));
    check(weft_write(queue, buffer, BYTES, y, BYTES, NULL, NULL));
    const weft_argument arguments[] = {
        {.kind = WEFT_ARGUMENT_BUFFER, .buffer = buffer},
        {.kind = WEFT_ARGUMENT_BUFFER, .buffer = buffer, .offset = BYTES},
        {.kind = WEFT_ARGUMENT_F32, .real = 2},
        {.kind = WEFT_ARGUMENT_U32, .integer = N},
    };
    weft_launch_desc launch = {.struct_size = sizeof launch, .kernel = saxpy, .grid = {(N + 255) / 256}, .block = {256}};
    launch.arguments = arguments, launch.argument_count = 4;
    check(weft_launch(queue, &launch, NULL, NULL));
    check(weft_read(queue, buffer, BYTES, y, BYTES, NULL, NULL));
    check(weft_queue_drain(queue, WEFT_FOREVER));

    int wrong = 0;
    for (int i = 0; i < N; i++) wrong += y[i] != 2 * x[i] + 1;
    printf("y[%d] = %g, %d of %d numbers are wrong\n", N - 1, y[N - 1], wrong, N);
    check(weft_kernel_release(saxpy));
    check(weft_program_release(program));
    check(weft_buffer_release(buffer));
    check(weft_queue_release(queue));
    check(weft_context_release(context));
    return wrong != 0;
}
