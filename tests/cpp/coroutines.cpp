/* Coroutines (C++20) that await requests: they go on in dispatch, get exceptions, and may be destroyed while they wait. */
#include "expect.hpp"

#if WEFT_HAS_COROUTINES
namespace {

/* Begins at once; its owner destroys it. */
struct task {
    struct promise_type {
        task get_return_object() { return task{std::coroutine_handle<promise_type>::from_promise(*this)}; }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() { thrown = std::current_exception(); }
        std::exception_ptr thrown;
    };
    explicit task(std::coroutine_handle<promise_type> handle) : coroutine(handle) {}
    task(task &&other) noexcept : coroutine(std::exchange(other.coroutine, nullptr)) {}
    task(const task &) = delete;
    task &operator=(task &&) = delete;
    ~task() {
        if (coroutine)
            coroutine.destroy();
    }
    bool done() const { return coroutine.done(); }
    void get() const {
        if (coroutine.promise().thrown)
            std::rethrow_exception(coroutine.promise().thrown);
    }
    std::coroutine_handle<promise_type> coroutine;
};

struct world {
    weft::context context;
    weft::queue queue{context};
    weft::port port{context};
    weft::buffer x{context, 4};
    auto barrier() {
        return port.async([this](const weft_submit *how) { return queue.barrier(how); });
    }
    auto gather() {
        return port.async([this](const weft_submit *how) {
            const weft_tensor index = x.tensor<int32_t>({1}), row = x.tensor<int32_t>({1, 1});
            weft_tensor rows = row;
            weft::buffer out(context, 4);
            rows.buffer = out.get();
            return queue.gather_rows(weft::desc::rows(row, index, rows), how);
        });
    }
};

task counting(world &here, int &steps, int count) {
    for (; steps < count; steps++) {
        const weft_completion record = co_await here.barrier();
        EXPECT(record.status == WEFT_OK && record.op == WEFT_OP_BARRIER);
        // Not inside a C callback: waiting is allowed.
        EXPECT(here.queue.barrier().wait());
    }
}

task failing(world &here) {
    here.queue.fill(here.x, 0, 4, 99);
    co_await here.gather();
}

task refused(world &here) {
    co_await here.port.async([](const weft_submit *how) { return weft::queue().try_barrier(how); });
}

task holding(world &here, std::shared_ptr<int> life) {
    co_await here.barrier();
    ++*life;
}

void abandoned(world &here) {
    const auto life = std::make_shared<int>(0);
    {
        const task one = holding(here, life);
        EXPECT(life.use_count() == 2);
    }
    EXPECT(life.use_count() == 1 && here.queue.drain() && here.port.dispatch() == 1 && *life == 0);
    const task two = holding(here, life);
    here.port = weft::port(here.context);
    EXPECT(here.queue.drain() && here.port.dispatch() == 0 && !two.done() && life.use_count() == 2);
}

} // namespace

void coroutines() {
    world here;
    int steps = 0, others = 0;
    const task one = counting(here, steps, 100), two = counting(here, others, 50);
    EXPECT(steps == 0);
    here.port.run([&] { return one.done() && two.done(); });
    EXPECT(steps == 100 && others == 50);
    const task wrong = failing(here);
    here.port.run([&] { return wrong.done(); });
    EXPECT(thrown([&] { wrong.get(); }) == WEFT_ERROR_OUT_OF_RANGE);
    const task never = refused(here);
    EXPECT(never.done() && thrown([&] { never.get(); }) < 0);
    abandoned(here);
}
#else
void coroutines() {}
#endif
