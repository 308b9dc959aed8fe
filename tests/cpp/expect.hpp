/* What the tests of weft.hpp share: a check that names its place, and a check that something throws. */
#ifndef EXPECT_HPP
#define EXPECT_HPP

#include <weft.hpp>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#define EXPECT(condition) \
    do { \
        if (!(condition)) { \
            std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            std::exit(1); \
        } \
    } while (0)

#if WEFT_HAS_EXCEPTIONS
/* The status of the weft::error that `run` throws, whose text names the status and says more; WEFT_OK if it does not. */
template <class Run> weft_status thrown(Run run) {
    try {
        run();
    } catch (const weft::error &error) {
        const char *name = weft_status_name(error.status());
        EXPECT(std::strncmp(error.what(), name, std::strlen(name)) == 0);
        EXPECT(std::strlen(error.what()) > std::strlen(name) + 10);
        return error.status();
    }
    return WEFT_OK;
}
#endif

/* The parts of the test, each in a file of its own. */
void owners();
void tensors();
void operations();
void callbacks();
void futures();
void coroutines();
void looking();

#endif
