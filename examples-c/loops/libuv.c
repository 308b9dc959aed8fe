/* Completions in a libuv loop: uv_poll watches the port's event handle, beside a timer.
 *
 *   make -C examples-c run-libuv        (Debian: apt install libuv1-dev)
 *
 * uv_poll is level-triggered: the callback runs again as long as completions wait. */
#define _POSIX_C_SOURCE 200809L
#include "job.h"

#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

typedef struct world {
    job job;
    uv_poll_t completions;
    uv_timer_t timer;
    unsigned ticks;
} world;

static void must(int result) {
    if (result >= 0) return;
    fprintf(stderr, "libuv: %s\n", uv_strerror(result));
    exit(1);
}

static void on_completions(uv_poll_t *handle, int status, int events) {
    world *world = handle->data;
    (void)events;
    must(status);
    /* With its handles closed the loop has nothing to wait for, and uv_run returns. */
    if (job_step(&world->job)) uv_close((uv_handle_t *)handle, NULL);
}

static void on_tick(uv_timer_t *timer) {
    world *world = timer->data;
    world->ticks++;
    if (uv_is_closing((uv_handle_t *)&world->completions)) uv_close((uv_handle_t *)timer, NULL);
}

int main(void) {
    static world world;
    uv_loop_t *loop = uv_default_loop();
    job_begin(&world.job);
    must(uv_poll_init(loop, &world.completions, job_fd(&world.job)));
    must(uv_timer_init(loop, &world.timer));
    world.completions.data = world.timer.data = &world;
    must(uv_poll_start(&world.completions, UV_READABLE, on_completions));
    must(uv_timer_start(&world.timer, on_tick, 1, 1));
    must(uv_run(loop, UV_RUN_DEFAULT));
    must(uv_loop_close(loop));
    return job_end(&world.job, "libuv");
}
