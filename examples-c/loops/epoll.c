/* Completions in an epoll loop, beside a timer: one thread, nothing blocks but epoll_wait.
 *
 *   make -C examples-c run-epoll
 *
 * The port's event handle is an eventfd. It is readable while completions wait and the library clears it when the last is
 * taken, so that level-triggered epoll needs nothing else. A loop that uses EPOLLET takes completions until there are none,
 * or calls weft_port_arm. */
#define _POSIX_C_SOURCE 200809L
#include "job.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static int must(int result, const char *what) {
    if (result >= 0) return result;
    perror(what);
    exit(1);
}

static void watch(int epoll, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data = {.fd = fd}};
    must(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
}

/* A timer that fires every millisecond: any other work of the loop. */
static int ticking(void) {
    int timer = must(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC), "timerfd_create");
    struct itimerspec often = {.it_interval = {.tv_nsec = 1000000}, .it_value = {.tv_nsec = 1000000}};
    must(timerfd_settime(timer, 0, &often, NULL), "timerfd_settime");
    return timer;
}

int main(void) {
    job job;
    struct epoll_event events[8];
    uint64_t ticks = 0, expired;
    int epoll = must(epoll_create1(EPOLL_CLOEXEC), "epoll_create1"), timer = ticking();
    job_begin(&job);
    int completions = job_fd(&job);
    watch(epoll, timer);
    watch(epoll, completions);

    for (bool done = false; !done || ticks == 0;) {
        int count = epoll_wait(epoll, events, 8, -1);
        if (count < 0 && errno != EINTR) must(count, "epoll_wait");
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == completions) done = job_step(&job);
            else if (read(timer, &expired, sizeof expired) == sizeof expired) ticks += expired;
        }
    }
    int code = job_end(&job, "epoll");
    close(timer);
    close(epoll);
    return code;
}
