/* Preloaded: makes the n-th allocation that one library asks for fail, once or from then on, and counts what the library
 * allocated and did not free. WEFT_OOM_LIB=libweft WEFT_OOM_N=7 WEFT_OOM_MODE=once|forever; the report goes to the file
 * WEFT_OOM_REPORT. An allocation is the library's when the return address lies inside it. */
#define _GNU_SOURCE
#include <errno.h>
#include <link.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

static const char *library;
static long fail_at = -1;
static int forever;
static _Atomic int ready;
static _Atomic unsigned long low, high;
static _Atomic long seen, live;

static int find(struct dl_phdr_info *info, size_t size, void *data) {
    (void)size, (void)data;
    if (!info->dlpi_name || !strstr(info->dlpi_name, library))
        return 0;
    unsigned long first = ~0ul, last = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD)
            continue;
        unsigned long start = info->dlpi_addr + segment->p_vaddr, end = start + segment->p_memsz;
        first = start < first ? start : first;
        last = end > last ? end : last;
    }
    low = first;
    high = last;
    return 1;
}

__attribute__((constructor)) static void begin(void) {
    const char *n = getenv("WEFT_OOM_N"), *mode = getenv("WEFT_OOM_MODE");
    library = getenv("WEFT_OOM_LIB");
    if (!library)
        return;
    fail_at = n ? atol(n) : -1;
    forever = mode && *mode == 'f';
    dl_iterate_phdr(find, NULL);
    ready = 1;
}

/* Called by the program when it is done; the same name is a no-op there without this preload. */
void oom_report(void) {
    const char *path = getenv("WEFT_OOM_REPORT");
    ready = 0;
    if (path) {
        FILE *file = fopen(path, "w");
        if (file) {
            fprintf(file, "%ld %ld\n", (long)seen, (long)live);
            fclose(file);
        }
    }
}

static int ours(void *from) {
    unsigned long at = (unsigned long)from;
    return ready && at >= low && at < high;
}

static int fails(void *from) {
    if (!ours(from))
        return 0;
    long count = ++seen;
    return fail_at > 0 && (forever ? count >= fail_at : count == fail_at);
}

static void *count(void *from, void *memory) {
    live += ours(from) && memory;
    return memory;
}

#define FROM __builtin_return_address(0)

void *malloc(size_t size) {
    return fails(FROM) ? (errno = ENOMEM, NULL) : count(FROM, __libc_malloc(size));
}

void *calloc(size_t items, size_t size) {
    return fails(FROM) ? (errno = ENOMEM, NULL) : count(FROM, __libc_calloc(items, size));
}

void *realloc(void *memory, size_t size) {
    if (fails(FROM))
        return errno = ENOMEM, NULL;
    void *moved = __libc_realloc(memory, size);
    live += ours(FROM) && !memory && moved;
    return moved;
}

int posix_memalign(void **out, size_t align, size_t size) {
    void *memory = fails(FROM) ? NULL : __libc_memalign(align, size);
    return memory ? (*out = count(FROM, memory), 0) : ENOMEM;
}

void *aligned_alloc(size_t align, size_t size) {
    return fails(FROM) ? (errno = ENOMEM, NULL) : count(FROM, __libc_memalign(align, size));
}

void free(void *memory) {
    live -= ours(FROM) && memory;
    __libc_free(memory);
}
