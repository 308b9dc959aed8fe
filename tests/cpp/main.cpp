/* Uses every class and function of weft.hpp, one part after the other; prints a line for each. */
#include "expect.hpp"

int main() {
    struct part {
        const char *name;
        void (*run)();
    };
    const part parts[] = {{"owners", owners},       {"tensors", tensors}, {"operations", operations},
                          {"callbacks", callbacks}, {"futures", futures}, {"coroutines", coroutines},
                          {"looking", looking}};
    for (const part &one : parts) {
        one.run();
        std::printf("%s\n", one.name);
    }
    weft::context context;
    const weft::queue queue(context);
    EXPECT(weft::shutdown(std::chrono::seconds(60)));
    EXPECT(weft::try_shutdown(std::chrono::seconds(60)) == WEFT_OK);
    EXPECT(thrown([&] { queue.barrier(); }) == WEFT_ERROR_SHUT_DOWN);
}
