/* The wrapper without exceptions: every failure is a status or a result. Built with -fno-exceptions. */
#include "expect.hpp"

static_assert(WEFT_HAS_EXCEPTIONS == 0, "this program is built with -fno-exceptions");

int main() {
    auto missing = weft::context::try_create("abacus");
    EXPECT(!missing && missing.status() == WEFT_ERROR_INVALID_ARGUMENT && std::strstr(missing.sentence(), "abacus"));

    auto context = weft::context::try_create();
    EXPECT(context);
    auto queue = weft::queue::try_create(*context);
    auto port = weft::port::try_create(*context);
    auto buffer = weft::buffer::try_create(*context, 16);
    EXPECT(queue && port && buffer && buffer->try_info()->size == 16);

    float values[4] = {};
    EXPECT(queue->try_fill(*buffer, 0, 16, 1.5f) && !queue->try_fill(*buffer, 0, 17, 1.5f));
    const weft_tensor x = buffer->tensor<float>({4});
    auto done = queue->try_elementwise(weft::desc::elementwise(WEFT_EW_ADD, x, x, x));
    EXPECT(done && done->try_wait() == WEFT_OK && done->try_completion());
    int called = 0;
    auto then = port->then([&](const weft_submit *how) { return queue->try_read(*buffer, 0, values, sizeof values, how); },
                           [&](const weft_completion &record) { called += record.status == WEFT_OK ? 1 : 100; });
    EXPECT(then && queue->try_drain() == WEFT_OK && port->try_dispatch() == WEFT_OK && called == 1);
    EXPECT(values[0] == 3 && values[3] == 3);
    std::puts("ok");
}
