/* What this machine has: the devices that weft_context_create takes, the best first, and the libraries that drive GPUs, or
 * why they are not used. Works without a GPU and without a driver, too. */
#include <stdio.h>
#include <stdlib.h>
#include <weft.h>

static void check(weft_status status) {
    if (status == WEFT_OK) return;
    fprintf(stderr, "%s: %s\n", weft_status_name(status), weft_last_error());
    exit(1);
}

static void print_device(uint32_t index) {
    weft_device_info info = {.struct_size = sizeof info};
    check(weft_device_info_get(index, &info));
    const int gpu = info.kind == WEFT_DEVICE_CUDA;
    printf("%s: %s\n", info.name, info.description);
    printf("    %.1f GiB of memory, %u %s\n", (double)info.memory / (1 << 30), info.units, gpu ? "multiprocessors" : "cores");
    if (!gpu) return;
    printf("    compute capability %u.%u, ", info.compute_major, info.compute_minor);
    printf("a driver of CUDA %u.%u\n", info.cuda_version / 1000, info.cuda_version % 1000 / 10);
}

static void print_library(uint32_t index) {
    weft_library_info info = {.struct_size = sizeof info};
    check(weft_library_info_get(index, &info));
    if (info.status == WEFT_OK)
        printf("%s %s: %s\n", info.name, info.version, info.path);
    else
        printf("%s is not used: %s\n", info.name, info.reason);
}

int main(void) {
    uint32_t devices, libraries;
    check(weft_device_count(&devices));
    for (uint32_t i = 0; i < devices; i++) print_device(i);
    check(weft_library_count(&libraries));
    for (uint32_t i = 0; i < libraries; i++) print_library(i);
    return 0;
}
