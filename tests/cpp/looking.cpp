/* Statistics, the debug report and the log through the wrapper. */
#include "expect.hpp"

#include <atomic>

void looking() {
    weft::context context;
    weft::queue queue(context);
    queue.barrier().wait();
    EXPECT(weft::stats(context).submitted == 1 && weft::try_stats(context)->completed_ok == 1);
    EXPECT(weft::abi_version() == WEFT_ABI_VERSION && weft::version()[0] != 0);
    EXPECT(weft::stats().submitted >= 1 && weft::try_stats()->contexts >= 1);
    EXPECT(weft::debug_report(context).find("queue") != std::string::npos && !weft::debug_report().empty());
    weft::context gone;
    const weft_context stale = gone.get();
    gone.reset();
    const weft::context released(stale);
    EXPECT(thrown([&] { weft::stats(released); }) == WEFT_ERROR_STALE_HANDLE);
    EXPECT(thrown([&] { weft::debug_report(released); }) == WEFT_ERROR_STALE_HANDLE);

    std::atomic<int> said{0};
    {
        const weft::log log(WEFT_LOG_DEBUG, [&](uint32_t level, const char *text) {
            EXPECT(level >= WEFT_LOG_ERROR && level <= WEFT_LOG_DEBUG && *text);
            // Nothing is done in the hook, and what it throws ends there.
            EXPECT(!weft::try_stats());
            said++;
            throw 1;
        });
        EXPECT(thrown([] { weft::queue().barrier(); }) < 0 && said > 0);
        EXPECT(thrown([] { const weft::log loud(99, [](uint32_t, const char *) {}); }) == WEFT_ERROR_INVALID_ARGUMENT);
    }
    const int before = said;
    EXPECT(thrown([] { weft::queue().barrier(); }) < 0 && said == before);
}
