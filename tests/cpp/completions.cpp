/* Ports: records by poll and wait, functions by dispatch. What they throw comes out of dispatch, they may wait, and what
 * they hold is destroyed whatever becomes of the port. */
#include "expect.hpp"

#include <atomic>
#include <chrono>
#include <poll.h>
#include <string>
#include <thread>

namespace {

using namespace std::chrono_literals;
using record = const weft_completion &;

bool readable(int fd) {
    pollfd one = {fd, POLLIN, 0};
    return ::poll(&one, 1, 0) == 1;
}

void records(const weft::context &context, const weft::queue &queue) {
    weft::port port(context, 4), empty;
    EXPECT(port && !empty && thrown([&] { empty.arm(); }) == WEFT_ERROR_INVALID_ARGUMENT);
    EXPECT(thrown([&] { weft::port huge(context, UINT32_MAX); }) == WEFT_ERROR_INVALID_ARGUMENT);
    const int fd = port.event_handle();
    EXPECT(fd >= 0 && !readable(fd) && port.try_event_handle().value() == fd && !empty.try_event_handle());
    for (uint64_t i = 0; i < 4; i++)
        queue.barrier(weft::options().to(port).user_data(i));
    EXPECT(queue.try_barrier(weft::options().to(port)).status() == WEFT_WOULD_BLOCK && queue.drain());
    EXPECT(readable(fd) && port.poll(1).at(0).user_data == 0 && port.wait(1min, 1).at(0).user_data == 1);
    EXPECT(readable(fd) && port.poll().size() == 2 && !readable(fd) && port.poll().empty() && port.wait(1ms).empty());
    weft_completion one;
    uint32_t count = 7;
    EXPECT(port.try_poll(&one, 1, count) == WEFT_OK && count == 0);
    EXPECT(port.try_wait(&one, 1, 0ns, count) == WEFT_TIMEOUT && count == 0);
    port.wake();
    EXPECT(readable(fd));
    queue.barrier(weft::options().to(port)).wait();
    port.arm();
    EXPECT(port.dispatch() == 1 && port.dispatch() == 0);
    weft::port moved(std::move(port));
    port = std::move(moved);
    EXPECT(!moved && port.event_handle() == fd);
    EXPECT(thrown([&] { empty.then([&](auto how) { return queue.barrier(how); }, [](record) {}); }) == WEFT_ERROR_INVALID_ARGUMENT);
}

void calls(const weft::context &context, const weft::queue &queue) {
    weft::port port(context);
    const auto barrier = [&](const weft_submit *how) { return queue.barrier(how); };
    std::string order;
    const auto own = std::make_unique<int>(5);
    weft::request first = port.then(barrier, [&, mine = std::make_unique<int>(5)](record done) {
        EXPECT(done.status == WEFT_OK && done.user_data == 11 && *mine == *own);
        // Waiting, submitting and dispatching are allowed here.
        EXPECT(queue.barrier().wait() && port.try_dispatch() == WEFT_OK);
        order += 'a';
    }, weft::options().user_data(11));
    auto second = port.then([&](auto how) { return queue.try_barrier(how); }, [&](record) { order += 'b'; });
    EXPECT(second && queue.drain() && order.empty() && port.dispatch(1) == 1);
    EXPECT(order == "ba" && port.dispatch() == 0);
    bool done = false;
    auto with = weft::make<weft_submit>();
    with.finalizer = [](uint64_t) {};
    EXPECT(thrown([&] { port.then(barrier, [](record) {}, &with); }) == WEFT_ERROR_INVALID_ARGUMENT);
    first = port.then(barrier, [&](record) { done = true; });
    port.run([&] { return done; });
    EXPECT(first.ready());
}

void exceptions(const weft::context &context, const weft::queue &queue) {
    weft::port port(context);
    const auto barrier = [&](const weft_submit *how) { return queue.barrier(how); };
    int ran = 0;
    for (int i = 0; i < 3; i++)
        port.then(barrier, [&ran, i](record) {
            ran++;
            if (i > 0)
                throw std::string(1, static_cast<char>('0' + i));
        });
    EXPECT(queue.drain());
    std::string caught;
    try {
        port.dispatch();
    } catch (const std::string &text) {
        caught = text;
    }
    EXPECT(caught == "1" && ran == 3);
    port.rethrow();
    port.then(barrier, [](record) { throw 7; });
    EXPECT(queue.drain());
    uint32_t count = 0;
    EXPECT(port.try_dispatch(0, &count) == WEFT_OK && count == 1);
    int number = 0;
    try {
        port.rethrow();
    } catch (int thrown) {
        number = thrown;
    }
    EXPECT(number == 7 && port.dispatch() == 0);
}

/* Functions die once: after their call, with a refused submission, or with the port. */
void ends(const weft::context &context, const weft::queue &queue) {
    const auto life = std::make_shared<int>(0);
    const auto holding = [life](record) { ++*life; };
    const auto barrier = [&](const weft_submit *how) { return queue.barrier(how); };
    {
        weft::port port(context, 2);
        port.then(barrier, holding);
        EXPECT(queue.drain() && port.dispatch() == 1 && *life == 1 && life.use_count() == 2);
        port.then(barrier, holding);
        port.then(barrier, holding);
        EXPECT(thrown([&] { port.then(barrier, holding); }) == WEFT_WOULD_BLOCK);
        EXPECT(!port.then([&](auto how) { return queue.try_barrier(how); }, holding));
        EXPECT(life.use_count() == 4);
        EXPECT(thrown([&] { port.then([&](auto how) { return weft::queue().barrier(how); }, holding); }) < 0);
        weft::port other = std::move(port);
        EXPECT(life.use_count() == 4);
        // One that takes the port along, in the middle of its dispatch.
        EXPECT(queue.drain());
        weft::port *whole = &other;
        weft::port third(context);
        third.then(barrier, [&](record) { whole->reset(), third.reset(); });
        EXPECT(queue.drain() && third.dispatch() == 1 && !other && !third);
    }
    EXPECT(*life == 1 && life.use_count() == 2);
    {
        // A port that goes while work is in flight.
        weft::buffer big(context, 1 << 26);
        weft::request busy = queue.fill(big, 0, 1 << 26, '\1');
        weft::port port(context);
        port.then(barrier, holding);
        port = weft::port(context);
        EXPECT(life.use_count() == 2 && queue.drain() && port.dispatch() == 0);
    }
    {
        // Given away: who dispatches by hand runs what waits, at once, with exceptions caught.
        weft::port port(context);
        port.then(barrier, holding);
        port.then(barrier, [](record) { throw 1; });
        weft_port raw = port.release();
        EXPECT(queue.drain() && !port && weft_port_dispatch(raw, 0, nullptr) == WEFT_OK);
        EXPECT(*life == 2 && life.use_count() == 2 && weft_port_release(raw) == WEFT_OK);
    }
}

/* One thread dispatches what another submits. */
void threads(const weft::context &context, const weft::queue &queue) {
    constexpr int count = 5000;
    weft::port port(context, 64);
    int ran = 0;
    std::thread loop([&] { port.run([&] { return ran == count; }); });
    for (int i = 0; i < count;)
        i += port.then([&](auto how) { return queue.try_barrier(how); }, [&ran](record) { ran++; }) ? 1 : (std::this_thread::yield(), 0);
    loop.join();
    EXPECT(ran == count);
}

/* A port's own thread calls; what throws is kept, what was accepted is called though the port goes. */
void own_thread(const weft::context &context, const weft::queue &queue) {
    const auto barrier = [&](const weft_submit *how) { return queue.barrier(how); };
    std::promise<std::thread::id> thread;
    const auto life = std::make_shared<int>(0);
    std::future<void> destroyed;
    {
        weft::port port(context, 0, WEFT_PORT_THREAD);
        EXPECT(thrown([&] { port.poll(); }) == WEFT_ERROR_INVALID_ARGUMENT && thrown([&] { port.dispatch(); }) < 0);
        port.then(barrier, [](record) { throw 5; });
        port.then(barrier, [&](record) {
            EXPECT(queue.try_drain() == WEFT_ERROR_IN_CALLBACK);
            thread.set_value(std::this_thread::get_id());
        });
        EXPECT(thread.get_future().get() != std::this_thread::get_id());
        int number = 0;
        try {
            port.rethrow();
        } catch (int thrown) {
            number = thrown;
        }
        EXPECT(number == 5);
        // Nobody dispatches, and the future comes.
        EXPECT(port.future(barrier).get().status == WEFT_OK);
        const auto farewell = std::make_shared<std::promise<void>>();
        destroyed = farewell->get_future();
        weft::port moved = std::move(port);
        for (int i = 0; i < 100; i++)
            moved.then(barrier, [life, farewell](record) { ++*life == 100 ? farewell->set_value() : void(); });
    }
    destroyed.get();
    EXPECT(*life == 100);
}

} // namespace

void callbacks() {
    weft::context context;
    weft::queue queue(context);
    records(context, queue);
    calls(context, queue);
    exceptions(context, queue);
    ends(context, queue);
    threads(context, queue);
    own_thread(context, queue);
}

void futures() {
    weft::context context;
    weft::queue queue(context);
    weft::port port(context);
    std::future<weft_completion> done = port.future([&](auto how) { return queue.barrier(how); }, weft::options().user_data(4));
    EXPECT(port.get(done).user_data == 4 && !done.valid());

    weft::buffer small(context, 4);
    const weft_tensor index = small.tensor<int32_t>({1}), row = small.tensor<int32_t>({1, 1});
    weft::buffer out(context, 4);
    queue.fill(small, 0, 4, 99);
    done = port.future([&](auto how) { return queue.gather_rows(weft::desc::rows(row, index, out.tensor<int32_t>({1, 1})), how); });
    EXPECT(thrown([&] { port.get(done); }) == WEFT_ERROR_OUT_OF_RANGE);
    // Refused submissions throw at once, as exceptions or as results.
    EXPECT(thrown([&] { (void)port.future([&](auto how) { return weft::queue().barrier(how); }); }) < 0);
    EXPECT(thrown([&] { (void)port.future([&](auto how) { return weft::queue().try_barrier(how); }); }) < 0);

    std::atomic<bool> enough{false};
    std::thread loop([&] { port.run([&] { return enough.load(); }); });
    for (uint64_t i = 0; i < 1000; i++)
        EXPECT(port.future([&](auto how) { return queue.barrier(how); }, weft::options().user_data(i)).get().user_data == i);
    enough = true;
    port.wake();
    loop.join();

    port.reset();
    port = weft::port(context);
    done = port.future([&](auto how) { return queue.barrier(how); });
    port.reset();
    bool broken = false;
    try {
        done.get();
    } catch (const std::future_error &) {
        broken = true;
    }
    EXPECT(broken);
}
