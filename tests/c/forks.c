/* Forks under load: in the child every function answers WEFT_ERROR_FORKED, also after a callback that forked, and the
 * child ends as any process does; the parent goes on. forks COUNT */
#include "load.h"
#include <sys/wait.h>

static weft_port port;
static float host[16];

#define REFUSED(call) WANT((call) == WEFT_ERROR_FORKED)

/* Every function that returns a status, with arguments that would be right in the parent. */
static void all_are_refused(void) {
    static weft_device_info device = {.struct_size = sizeof device};
    DESC(weft_context_info, of_context);
    DESC(weft_buffer_info, of_buffer);
    DESC(weft_queue_info, of_queue);
    DESC(weft_stats_info, stats);
    weft_completion record;
    uint32_t count;
    uint64_t handle;
    int64_t fd;
    char text[64];
    weft_queue queue = queues[0];
    weft_buffer buffer = buffers[0];
    REFUSED(weft_abi_check(WEFT_ABI_VERSION));
    REFUSED(weft_device_count(&count));
    REFUSED(weft_device_info_get(0, &device));
    REFUSED(weft_context_create("cpu", NULL, &handle));
    REFUSED(weft_context_info_get(context, &of_context));
    REFUSED(weft_stats(context, &stats));
    REFUSED(weft_debug_report(context, text, sizeof text, NULL));
    REFUSED(weft_log_hook(NULL, 0, 0));
    REFUSED(weft_queue_create(context, NULL, &handle));
    REFUSED(weft_queue_info_get(queue, &of_queue));
    REFUSED(weft_queue_drain(queue, WEFT_FOREVER));
    REFUSED(weft_buffer_create(context, 64, NULL, &handle));
    REFUSED(weft_buffer_info_get(buffer, &of_buffer));
    REFUSED(weft_write(queue, buffer, 0, host, sizeof host, NULL, NULL));
    REFUSED(weft_read(queue, buffer, 0, host, sizeof host, NULL, NULL));
    REFUSED(weft_copy(queue, buffer, 0, buffer, 64, 64, NULL, NULL));
    REFUSED(weft_fill(queue, buffer, 0, 64, 1, 1, NULL, NULL));
    REFUSED(weft_barrier(queue, NULL, NULL));
    REFUSED(multiply(0, NULL));
    REFUSED(weft_attention(queue, NULL, NULL, NULL));
    REFUSED(weft_rms_norm(queue, NULL, NULL, NULL));
    REFUSED(weft_layer_norm(queue, NULL, NULL, NULL));
    REFUSED(weft_rope(queue, NULL, NULL, NULL));
    REFUSED(weft_elementwise(queue, NULL, NULL, NULL));
    REFUSED(weft_softmax(queue, NULL, NULL, NULL));
    REFUSED(weft_gather_rows(queue, NULL, NULL, NULL));
    REFUSED(weft_scatter_rows(queue, NULL, NULL, NULL));
    REFUSED(weft_top_k(queue, NULL, NULL, NULL));
    REFUSED(weft_arg_reduce(queue, NULL, NULL, NULL));
    REFUSED(weft_reduce(queue, NULL, NULL, NULL));
    REFUSED(weft_cast(queue, NULL, NULL, NULL));
    REFUSED(weft_matmul_grouped(queue, NULL, 0, NULL, NULL));
    REFUSED(weft_axpy(queue, NULL, NULL, NULL));
    REFUSED(weft_scal(queue, NULL, NULL, NULL));
    REFUSED(weft_swap(queue, NULL, NULL, NULL));
    REFUSED(weft_rot(queue, NULL, NULL, NULL));
    REFUSED(weft_dot(queue, NULL, NULL, NULL));
    REFUSED(weft_nrm2(queue, NULL, NULL, NULL));
    REFUSED(weft_asum(queue, NULL, NULL, NULL));
    REFUSED(weft_iamax(queue, NULL, NULL, NULL));
    REFUSED(weft_gemv(queue, NULL, NULL, NULL));
    REFUSED(weft_ger(queue, NULL, NULL, NULL));
    REFUSED(weft_syrk(queue, NULL, NULL, NULL));
    REFUSED(weft_trsm(queue, NULL, NULL, NULL));
    REFUSED(weft_library_count(&count));
    REFUSED(weft_library_info_get(0, NULL));
    REFUSED(weft_launch(queue, NULL, NULL, NULL));
    REFUSED(weft_program_create(context, NULL, &handle));
    REFUSED(weft_kernel_get(1, "x", &handle));
    REFUSED(weft_kernel_release(1));
    REFUSED(weft_program_release(1));
    REFUSED(weft_request_wait(NULL, 0, WEFT_WAIT_ALL, WEFT_FOREVER, NULL));
    REFUSED(weft_request_poll(1));
    REFUSED(weft_request_completion(1, &record));
    REFUSED(weft_request_error(1, text, sizeof text, NULL));
    REFUSED(weft_request_error_info_get(1, NULL));
    REFUSED(weft_request_cancel(1));
    REFUSED(weft_port_create(context, NULL, &handle));
    REFUSED(weft_port_poll(port, &record, 1, &count));
    REFUSED(weft_port_wait(port, &record, 1, WEFT_FOREVER, &count));
    REFUSED(weft_port_dispatch(port, 0, &count));
    REFUSED(weft_port_event_handle(port, &fd));
    REFUSED(weft_port_arm(port));
    REFUSED(weft_port_wake(port));
    REFUSED(weft_request_release(1));
    REFUSED(weft_port_release(port));
    REFUSED(weft_buffer_release(buffer));
    REFUSED(weft_queue_release(queue));
    REFUSED(weft_context_release(context));
    REFUSED(weft_shutdown(WEFT_FOREVER));
    WANT(strstr(weft_last_error(), "fork"));
    WANT(weft_abi_version() == WEFT_ABI_VERSION && weft_version()[0] && weft_status_name(0)[0]);
}

/* The child's life. Every third has a child of its own. */
static void be_a_child(int number) {
    alarm(20); /* a hang becomes a death by signal */
    all_are_refused();
    if (number % 3 == 0 && fork() == 0) all_are_refused(), _exit(0);
    number % 2 ? exit(7) : _exit(7);
}

static void expect(pid_t child, int code) {
    int status = 0;
    WANT(child > 0 && waitpid(child, &status, 0) == child);
    WANT(WIFEXITED(status) && WEXITSTATUS(status) == code);
}

static pid_t forked_in_callback;
static void forking(uint64_t user, const weft_completion *completion) {
    (void)user, (void)completion;
    forked_in_callback = fork();
}

/* The child comes back from the callback into the library, which must not touch a lock that nobody will open. */
static void fork_in_callback(int number) {
    DESC(weft_submit, options);
    uint32_t count = 0;
    options.port = port, options.callback = forking;
    forked_in_callback = -1;
    WANT(weft_barrier(queues[1], &options, NULL) >= 0);
    while (forked_in_callback < 0) {
        weft_status status = weft_port_dispatch(port, 1, &count);
        if (forked_in_callback == 0) {
            WANT(status == WEFT_ERROR_FORKED);
            be_a_child(number);
        }
        WANT(status == WEFT_OK);
        if (count == 0 && weft_barrier(queues[2], &options, NULL) < 0) _exit(1);
    }
    expect(forked_in_callback, 7);
    while (weft_queue_drain(queues[2], WEFT_FOREVER) || weft_queue_drain(queues[1], WEFT_FOREVER)) sched_yield();
    do { /* those left over */
        weft_completion record;
        WANT(weft_port_poll(port, &record, 1, &count) == WEFT_OK);
    } while (count > 0);
}

/* A process that only asked for versions and devices has nothing that a fork could break: its child may use all. */
static void fork_before_use(void) {
    uint32_t count;
    WANT(weft_abi_check(WEFT_ABI_VERSION) == WEFT_OK && weft_device_count(&count) == WEFT_OK);
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        begin_load(), goes_on(), release_load();
        exit(5);
    }
    expect(child, 5);
}

/* A context alone is enough to be refused: another thread may have been making something at the time. */
static void fork_with_a_context(void) {
    weft_context only;
    WANT(weft_context_create("cpu", NULL, &only) == WEFT_OK);
    pid_t child = fork();
    if (child == 0) _exit(weft_context_release(only) == WEFT_ERROR_FORKED ? 6 : 1);
    expect(child, 6);
    WANT(weft_context_release(only) == WEFT_OK);
}

int main(int argc, char **argv) {
    int count = (int)argument(argc, argv, 1, 1000);
    fork_before_use();
    fork_with_a_context();
    begin_pumps();
    WANT(weft_port_create(context, NULL, &port) == WEFT_OK);
    for (int i = 0; i < count; i++) {
        if (i % 10 == 9) {
            fork_in_callback(i);
        } else {
            pid_t child = fork();
            if (child == 0) be_a_child(i);
            expect(child, 7);
        }
        goes_on();
    }
    WANT(weft_port_release(port) == WEFT_OK);
    end_pumps();
    printf("%d forks under load, 0 failures\n", count);
    return 0;
}
