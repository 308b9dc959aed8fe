/* Handles have owners: creation, errors both ways, moves, release; requests are waited for, polled and cancelled. */
#include "expect.hpp"

#include <csignal>
#include <sys/time.h>
#include <type_traits>

namespace {

using namespace std::chrono_literals;

static_assert(!std::is_copy_constructible_v<weft::buffer> && !std::is_copy_assignable_v<weft::port>);
static_assert(std::is_nothrow_move_constructible_v<weft::request> && std::is_nothrow_move_assignable_v<weft::queue>);
static_assert(std::is_nothrow_move_constructible_v<weft::port> && std::is_nothrow_move_constructible_v<weft::context>);
static_assert(!std::is_convertible_v<uint64_t, weft::buffer>, "handles of C are taken over explicitly");

void contexts() {
    weft::context context("cpu", 2);
    EXPECT(context && context.info().threads == 2 && context.try_info()->kind == WEFT_DEVICE_CPU);
    EXPECT(!weft::libraries().empty() && !std::strcmp(weft::libraries()[0].name, "libcuda"));
    EXPECT(!weft::devices().empty() && weft::devices().back().kind == WEFT_DEVICE_CPU);
    EXPECT(thrown([] { weft::context none("abacus"); }) == WEFT_ERROR_INVALID_ARGUMENT);

    const auto refused = weft::context::try_create("abacus");
    EXPECT(!refused && !refused.has_value() && refused.status() == WEFT_ERROR_INVALID_ARGUMENT);
    EXPECT(std::strstr(refused.sentence(), "abacus"));
    EXPECT(thrown([&] { (void)refused.value(); }) == WEFT_ERROR_INVALID_ARGUMENT);
    auto accepted = weft::context::try_create();
    EXPECT(accepted && accepted.status() == WEFT_OK && *accepted.sentence() == 0);
    weft::context moved = std::move(accepted).value();
    EXPECT(moved.info().state == WEFT_OK && (*accepted).get() == 0);
    EXPECT(weft::check(WEFT_TIMEOUT) == WEFT_TIMEOUT);
}

void moves(const weft::context &context) {
    weft::buffer one(context, 100);
    const uint64_t handle = one.get();
    weft::buffer two = std::move(one);
    EXPECT(!one && two.get() == handle && two.size() == 100 && two.info().generation == 1);
    one = std::move(two);
    EXPECT(one.get() == handle && !two);
    weft::buffer &alias = one;
    one = std::move(alias);
    EXPECT(one.get() == handle);
    weft::buffer other(context, 7);
    one = std::move(other);
    EXPECT(one.size() == 7 && weft::buffer(one.release()).size() == 7 && !one);
    EXPECT(thrown([&] { (void)one.size(); }) == WEFT_ERROR_INVALID_ARGUMENT && !one.try_info());
    // What was moved over, and the temporary that took the released handle, gave their memory back.
    EXPECT(context.info().buffer_bytes == 0);
    EXPECT(!weft::buffer::try_create(context, UINT64_MAX));
    EXPECT(thrown([&] { weft::buffer huge(context, UINT64_MAX); }) != WEFT_OK);
    one.reset();
    EXPECT(!one);
}

void requests(const weft::context &context) {
    weft::queue queue(context, 16, WEFT_PRIORITY_HIGH), other = weft::queue::try_create(context).value();
    EXPECT(queue.info().depth == 16 && queue.try_info()->submitted == 0);
    weft::buffer big(context, 1 << 26);
    weft::request first = queue.fill(big, 0, 1 << 26, '\1');
    weft::request never = queue.fill(big, 0, 1 << 26, '\2');
    EXPECT(never.cancel() == WEFT_OK);
    EXPECT(thrown([&] { never.wait(); }) == WEFT_ERROR_CANCELLED && never.try_cancel() == WEFT_NOT_FOUND);
    EXPECT(!never.sentence().empty() && never.completion().status == WEFT_ERROR_CANCELLED);
    // The first may be complete already on a fast machine; then these say so.
    EXPECT(first.wait(0ns) == (first.poll() == WEFT_OK) || first.ready());
    EXPECT(first.try_completion() || first.try_completion().status() == WEFT_NOT_READY || first.ready());
    EXPECT(first.wait() && first.ready() && first.try_wait(-5ns) == WEFT_OK && first.sentence().empty());
    EXPECT(first.completion().op == WEFT_OP_FILL);

    weft::request late = other.barrier(weft::options().after(first).deadline(1min).room(1ms));
    std::vector<weft::request> both;
    both.push_back(std::move(first));
    both.push_back(std::move(late));
    EXPECT(weft::wait_all(both) && weft::wait_any(both).value() == 0 && queue.drain() && other.drain(1min));
    EXPECT(!weft::wait_any(std::vector<weft::request>()) && weft::wait_all(std::vector<weft::request>()));
    both.push_back(std::move(never));
    uint32_t failed = 0;
    EXPECT(thrown([&] { weft::wait_any(both, weft::forever, &failed); }) == WEFT_ERROR_CANCELLED && failed == 2);
    EXPECT(thrown([&] { weft::wait_all(both); }) == WEFT_ERROR_CANCELLED);
    weft::request dependent = other.barrier(weft::options().after(both[2]));
    EXPECT(thrown([&] { dependent.wait(); }) == WEFT_ERROR_DEPENDENCY_FAILED);
    EXPECT(dependent.error_info().root_request == both[2].get() && dependent.try_error_info()->root_status == WEFT_ERROR_CANCELLED);
    EXPECT(both[0].error_info().status == WEFT_OK && !weft::request().try_error_info());
    EXPECT(thrown([&] { weft::request().wait(); }) == WEFT_ERROR_INVALID_ARGUMENT && weft::request().poll() < 0);
}

void full_queue(const weft::context &context) {
    weft::queue queue(context, 1);
    weft::buffer big(context, 1 << 26);
    weft::request running = queue.fill(big, 0, 1 << 26, '\1');
    auto refused = queue.try_barrier();
    // One place: the barrier finds it taken unless the fill was faster than this line.
    if (running.poll() == WEFT_NOT_READY) {
        EXPECT(!refused && refused.status() == WEFT_WOULD_BLOCK && *refused.sentence());
        const weft_status again = thrown([&] { queue.barrier(); });
        EXPECT(again == WEFT_WOULD_BLOCK || running.ready());
    }
    EXPECT(queue.barrier(weft::options().room(weft::forever)).wait() && queue.try_drain() == WEFT_OK);
}

extern "C" void ignore(int) {}

/* A signal handler that runs meanwhile ends no wait that throws; `try_` tells of it. */
void interrupted(const weft::context &context) {
    struct sigaction action = {}, before = {};
    action.sa_handler = ignore;
    sigaction(SIGALRM, &action, &before);
    const itimerval often = {{0, 1000}, {0, 1000}}, never = {};
    weft::port port(context, 1);
    weft::queue queue(context);
    setitimer(ITIMER_REAL, &often, nullptr);
    weft_completion one;
    uint32_t count = 0;
    // Other threads may get the signal first, but not for ever.
    while (port.try_wait(&one, 1, weft::forever, count) != WEFT_INTERRUPTED) {
    }
    const auto start = std::chrono::steady_clock::now();
    EXPECT(port.wait(20ms).empty() && std::chrono::steady_clock::now() - start >= 20ms);
    weft::buffer big(context, 1 << 26);
    weft::request slow = queue.fill(big, 0, 1 << 26, '\1');
    EXPECT(slow.wait() && queue.drain());
    // A full port: the submission goes on waiting for room.
    queue.barrier(weft::options().to(port)).wait();
    EXPECT(queue.try_barrier(weft::options().to(port).room(1h)).status() == WEFT_INTERRUPTED);
    EXPECT(thrown([&] { queue.barrier(weft::options().to(port).room(0ns)); }) == WEFT_WOULD_BLOCK);
    setitimer(ITIMER_REAL, &never, nullptr);
    sigaction(SIGALRM, &before, nullptr);
}

} // namespace

void owners() {
    contexts();
    weft::context context;
    moves(context);
    requests(context);
    full_queue(context);
    interrupted(context);
    EXPECT(context.info().buffer_bytes == 0);
}
