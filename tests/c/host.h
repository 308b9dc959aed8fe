/* What the programs about the host process share: a way to fail, and looks at the process itself. */
#define _GNU_SOURCE
#include "weft.h"
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WANT(holds) ((holds) ? (void)0 : lacking(#holds, __FILE__, __LINE__))
#define DESC(type, name) type name; memset(&name, 0, sizeof name); name.struct_size = sizeof name
#define UNUSED __attribute__((unused))

#pragma weak weft_last_error /* one program links no library */

static void lacking(const char *what, const char *file, int line) {
    fprintf(stderr, "%s:%d: %s does not hold; the last error: %s\n", file, line, what,
            weft_last_error ? weft_last_error() : "");
    _exit(1);
}

/* Entries of /proc/self/task or /proc/self/fd: how many threads there are, or open descriptors and one to look. */
UNUSED static int entries(const char *path) {
    int count = -2; /* . and .. */
    DIR *dir = opendir(path);
    WANT(dir);
    while (readdir(dir)) count++;
    closedir(dir);
    return count;
}

/* Waits until there are at most `most` of them: a thread that ended leaves the list a little later. */
UNUSED static int settled(const char *path, int most) {
    int now = entries(path);
    for (int i = 0; i < 5000 && now > most; i++) usleep(1000), now = entries(path);
    return now;
}

UNUSED static long argument(int argc, char **argv, int at, long otherwise) {
    return argc > at ? atol(argv[at]) : otherwise;
}
