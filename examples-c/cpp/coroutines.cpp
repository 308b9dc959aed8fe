/* Completions as co_await (C++20): 50 coroutines work side by side on one thread, which waits for the port's event handle.
 *
 *   make -C examples-c run-coroutines */
#include "job.hpp"

#include <coroutine>
#include <exception>
#include <poll.h>

/* A coroutine that begins at once and ends by itself; it counts itself in and out. */
struct worker {
    struct promise_type {
        worker get_return_object() { return {}; }
        std::suspend_never initial_suspend() { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() { std::terminate(); }
    };
};

/* Every 50th product: submits one, goes on when it is complete. */
static worker multiply(job &job, uint32_t first, uint32_t &completed) {
    for (uint32_t i = first; i < products; i += 50) {
        co_await job.port.async([&](const weft_submit *how) { return job.queue.matmul(job.product(i), how); });
        completed++;
    }
}

/* What fails throws where it is awaited. */
static worker err(job &job, std::string &said) {
    try {
        co_await job.port.async([&](const weft_submit *how) { return job.queue.gather_rows(job.mistake(), how); });
        said = "no error";
    } catch (const weft::error &error) {
        said = error.what();
    }
}

int main() {
    job job;
    uint32_t completed = 0;
    std::string said;
    for (uint32_t first = 0; first < 50; first++)
        multiply(job, first, completed);
    err(job, said);

    // Any event loop does as well: dispatch when the handle is readable.
    pollfd events[] = {{job.port.event_handle(), POLLIN, 0}};
    while (completed < products || said.empty()) {
        if (poll(events, 1, -1) > 0)
            job.port.dispatch();
    }
    return job.end("coroutines", said);
}
