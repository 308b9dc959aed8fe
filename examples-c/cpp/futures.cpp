/* Completions as std::future (C++17): one thread submits and waits, another dispatches the port.
 *
 *   make -C examples-c run-futures */
#include "job.hpp"

#include <atomic>
#include <thread>

int main() {
    job job;
    std::atomic<bool> enough{false};
    std::thread loop([&] { job.port.run([&] { return enough.load(); }); });

    std::vector<std::future<weft_completion>> done;
    for (uint32_t i = 0; i < products; i++) {
        // The port has room for 64: the oldest is waited for before the next is submitted.
        if (i >= 64)
            done[i - 64].wait();
        done.push_back(job.port.future([&](const weft_submit *how) { return job.queue.matmul(job.product(i), how); }));
    }
    for (auto &one : done)
        one.get();

    std::string said;
    try {
        job.port.future([&](const weft_submit *how) { return job.queue.gather_rows(job.mistake(), how); }).get();
    } catch (const weft::error &error) {
        said = error.what();
    }
    enough = true;
    job.port.wake();
    loop.join();
    return job.end("futures", said);
}
