/* Weft for C++17 and newer: owners for the handles of weft.h, exceptions or results for its statuses, callbacks that may
 * throw, std::future and (C++20) co_await for its completions. Header-only; a program links libweft as in C.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 *
 *   weft::context context;                                         // "auto"
 *   weft::queue queue(context);
 *   weft::buffer x(context, 1024);
 *   weft::request done = queue.fill(x, 0, 1024, 0u);               // returns at once
 *   done.wait();                                                   // throws weft::error if it failed
 *
 *   weft::port port(context);
 *   auto fill = [&](const weft_submit *how) { return queue.fill(x, 0, 1024, 0u, how); };
 *   port.then(fill, [](const weft_completion &record) { ... });    // called by port.dispatch()
 *   std::future<weft_completion> later = port.future(fill);        // port.get(later), or get() while others dispatch
 *   weft_completion record = co_await port.async(fill);            // C++20
 *
 * Every function comes twice: `f` throws weft::error, `try_f` throws nothing and returns a weft_status or a
 * weft::result. Without exceptions (-fno-exceptions) the header compiles too; there a failure in `f` ends the program by
 * std::abort, so use `try_f`.
 *
 * Owners release what they own when they go; work in flight keeps what it needs and completes all the same. They can be
 * moved, not copied. Any number of threads may use one, but not while another moves, resets or destroys it. */
#ifndef WEFT_HPP
#define WEFT_HPP

#include "weft.h"

#include <algorithm>
#include <chrono>
#include <complex>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <future>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#if defined(__cpp_exceptions)
#define WEFT_HAS_EXCEPTIONS 1
#else
#define WEFT_HAS_EXCEPTIONS 0
#endif

#if defined(__cpp_impl_coroutine) && __cplusplus >= 202002L
#include <coroutine>
#define WEFT_HAS_COROUTINES 1
#else
#define WEFT_HAS_COROUTINES 0
#endif

namespace weft {

/* ---- Statuses: exceptions and results ---- */

/* A status that says that something was not done, with the sentence that explains it. */
class error : public std::runtime_error {
public:
    error(weft_status status, const std::string &sentence)
        : std::runtime_error(std::string(weft_status_name(status)) + ": " + sentence), status_(status) {}
    weft_status status() const noexcept { return status_; }

private:
    weft_status status_;
};

namespace detail {

/* What explains a status that this thread's last call returned. */
inline const char *sentence_of(weft_status status) noexcept {
    if (status == WEFT_WOULD_BLOCK)
        return "the queue or the port is full; give a time to wait for room, or take completions";
    if (status == WEFT_INTERRUPTED)
        return "a signal handler ran while the call waited for room; nothing was accepted";
    return status < 0 ? weft_last_error() : "";
}

[[noreturn]] inline void raise(weft_status status, const char *sentence) {
#if WEFT_HAS_EXCEPTIONS
    throw error(status, sentence);
#else
    (void)status, (void)sentence;
    std::abort();
#endif
}

} // namespace detail

/* Throws for errors; hands through what is no failure (WEFT_TIMEOUT, WEFT_NOT_READY, ...). */
inline weft_status check(weft_status status) {
    if (status < 0)
        detail::raise(status, detail::sentence_of(status));
    return status;
}

/* Why there is no value. Made on the thread of the call that failed, before its next one. */
class failure {
public:
    explicit failure(weft_status status) noexcept : failure(status, detail::sentence_of(status)) {}
    failure(weft_status status, const char *sentence) noexcept : status_(status) {
        const std::size_t size = std::strlen(sentence) + 1;
        text_.reset(new (std::nothrow) char[size]);
        if (text_)
            std::memcpy(text_.get(), sentence, size);
    }
    weft_status status() const noexcept { return status_; }
    /* Empty where there was no memory to keep it. */
    const char *sentence() const noexcept { return text_ ? text_.get() : ""; }

private:
    weft_status status_;
    std::unique_ptr<char[]> text_;
};

/* A value, or why there is none: what `try_` functions return. */
template <class T> class [[nodiscard]] result {
public:
    result(T value) noexcept : value_(std::move(value)), why_(WEFT_OK, "") {}
    result(failure why) noexcept : why_(std::move(why)) {}

    explicit operator bool() const noexcept { return value_.has_value(); }
    bool has_value() const noexcept { return value_.has_value(); }
    weft_status status() const noexcept { return why_.status(); }
    const char *sentence() const noexcept { return why_.sentence(); }
    /* Throws weft::error if there is none. */
    T &value() & { return expect(), *value_; }
    const T &value() const & { return expect(), *value_; }
    T &&value() && { return expect(), std::move(*value_); }
    /* As std::optional: there must be one. */
    T &operator*() noexcept { return *value_; }
    const T &operator*() const noexcept { return *value_; }
    T *operator->() noexcept { return &*value_; }
    const T *operator->() const noexcept { return &*value_; }

private:
    void expect() const {
        if (!value_)
            detail::raise(status(), sentence());
    }
    std::optional<T> value_;
    failure why_;
};

/* A C struct with struct_size set and everything else zero. */
template <class T> T make() noexcept {
    T value{};
    value.struct_size = static_cast<uint32_t>(sizeof value);
    return value;
}

using nanoseconds = std::chrono::nanoseconds;
constexpr nanoseconds forever = nanoseconds::max();

/* ---- Owners ---- */

namespace detail {

inline uint64_t ns(nanoseconds time) noexcept {
    return time == forever ? WEFT_FOREVER : time.count() < 0 ? 0 : static_cast<uint64_t>(time.count());
}

/* As in the standard library, a signal handler that runs meanwhile does not end a wait: it goes on for what is left. */
template <class Wait> weft_status patiently(nanoseconds timeout, Wait wait) {
    const auto start = std::chrono::steady_clock::now();
    nanoseconds left = timeout;
    for (;;) {
        const weft_status status = check(wait(left));
        if (status != WEFT_INTERRUPTED)
            return status;
        if (timeout != forever)
            left = std::max(nanoseconds::zero(), timeout - nanoseconds(std::chrono::steady_clock::now() - start));
    }
}

/* The request of an attempt to submit, which is made again when a signal handler ended its wait for room. */
template <class Attempt> auto submitted(Attempt attempt) {
    auto answer = attempt();
    while (answer.status() == WEFT_INTERRUPTED)
        answer = attempt();
    return std::move(answer).value();
}

/* Calls create(&handle) and makes an owner of what it gives. */
template <class Owner, class Create> result<Owner> created(Create create) {
    uint64_t handle = 0;
    const weft_status status = create(&handle);
    if (status != WEFT_OK)
        return failure(status);
    return Owner(handle);
}

/* Calls get(&info). */
template <class Info, class Get> result<Info> told(Get get) noexcept {
    auto info = make<Info>();
    const weft_status status = get(&info);
    if (status != WEFT_OK)
        return failure(status);
    return info;
}

template <weft_status (*Release)(uint64_t)> class owner {
public:
    owner() noexcept = default;
    /* Takes over a handle of the C interface. */
    explicit owner(uint64_t handle) noexcept : handle_(handle) {}
    owner(owner &&other) noexcept : handle_(other.release()) {}
    owner &operator=(owner &&other) noexcept {
        if (this != &other)
            reset(other.release());
        return *this;
    }
    owner(const owner &) = delete;
    owner &operator=(const owner &) = delete;
    ~owner() { reset(); }

    uint64_t get() const noexcept { return handle_; }
    explicit operator bool() const noexcept { return handle_ != 0; }
    /* Gives the handle away, to be released by the caller. */
    uint64_t release() noexcept { return std::exchange(handle_, 0); }
    void reset(uint64_t handle = 0) noexcept {
        const uint64_t old = std::exchange(handle_, handle);
        if (old != 0)
            (void)Release(old);
    }

private:
    uint64_t handle_ = 0;
};

} // namespace detail

/* A device in use. */
class context : public detail::owner<weft_context_release> {
public:
    using owner::owner;
    explicit context(const char *device = "auto", uint32_t threads = 0)
        : context(try_create(device, threads).value().release()) {}
    static result<context> try_create(const char *device = "auto", uint32_t threads = 0) noexcept {
        if (const weft_status status = weft_abi_check(WEFT_ABI_VERSION); status != WEFT_OK)
            return failure(status);
        auto options = make<weft_context_desc>();
        options.threads = threads;
        return detail::created<context>([&](uint64_t *out) { return weft_context_create(device, &options, out); });
    }
    weft_context_info info() const { return try_info().value(); }
    result<weft_context_info> try_info() const noexcept {
        return detail::told<weft_context_info>([&](weft_context_info *out) { return weft_context_info_get(get(), out); });
    }
};

/* The library's version, such as "1.0.0", and that of the ABI that it has. */
inline const char *version() noexcept { return weft_version(); }
inline uint32_t abi_version() noexcept { return weft_abi_version(); }

/* What devices this machine has. */
inline std::vector<weft_device_info> devices() {
    uint32_t count = 0;
    check(weft_device_count(&count));
    std::vector<weft_device_info> all(count, make<weft_device_info>());
    for (uint32_t i = 0; i < count; i++)
        check(weft_device_info_get(i, &all[i]));
    return all;
}

/* The vendor libraries that Weft knows: where they are, or why they are not used. */
inline std::vector<weft_library_info> libraries() {
    uint32_t count = 0;
    check(weft_library_count(&count));
    std::vector<weft_library_info> all(count, make<weft_library_info>());
    for (uint32_t i = 0; i < count; i++)
        check(weft_library_info_get(i, &all[i]));
    return all;
}

/* Accepts no more work from here on, and waits for all that was. False: the time ran out first. */
inline weft_status try_shutdown(nanoseconds timeout = forever) noexcept { return weft_shutdown(detail::ns(timeout)); }
inline bool shutdown(nanoseconds timeout = forever) { return detail::patiently(timeout, try_shutdown) == WEFT_OK; }

/* ---- Looking inside ---- */

/* What a context's queues did, and what lives. */
inline result<weft_stats_info> try_stats(const context &of) noexcept {
    return detail::told<weft_stats_info>([&](weft_stats_info *out) { return weft_stats(of.get(), out); });
}
inline weft_stats_info stats(const context &of) { return try_stats(of).value(); }
/* The same of the whole process. */
inline result<weft_stats_info> try_stats() noexcept { return try_stats(context(weft_context{0})); }
inline weft_stats_info stats() { return try_stats().value(); }

/* Every live handle of a context, what each queue runs, and which request waits for which: text for people. */
inline std::string debug_report(const context &of) {
    std::string text;
    for (std::size_t needed = 1; needed > text.size();) {
        text.resize(needed + needed / 8);
        check(weft_debug_report(of.get(), text.data(), text.size(), &needed));
    }
    text.resize(std::strlen(text.c_str()));
    return text;
}
/* The same of the whole process. */
inline std::string debug_report() { return debug_report(context(weft_context{0})); }

/* While it lives, sentences of the library's log up to `level` (WEFT_LOG_ERROR to WEFT_LOG_DEBUG) go to
 * function(level, text), on any thread and on several at once: keep it short. What it throws is dropped. The process has
 * one: a newer one takes the place of an older one, and ends it. */
class log {
public:
    template <class Function> log(uint32_t level, Function function) {
        auto kept = std::make_unique<sink<Function>>(std::move(function));
        const auto user = static_cast<uint64_t>(reinterpret_cast<uintptr_t>(static_cast<sink_base *>(kept.get())));
        check(weft_log_hook(call, user, level));
        function_ = std::move(kept);
    }
    log(const log &) = delete;
    log &operator=(const log &) = delete;
    ~log() { (void)weft_log_hook(nullptr, 0, 0); }

private:
    struct sink_base {
        sink_base() = default;
        sink_base(const sink_base &) = delete;
        sink_base &operator=(const sink_base &) = delete;
        virtual ~sink_base() = default;
        virtual void take(uint32_t level, const char *text) = 0;
    };
    template <class Function> struct sink final : sink_base {
        explicit sink(Function given) : function(std::move(given)) {}
        void take(uint32_t level, const char *text) override { function(level, text); }
        Function function;
    };
    static void call(uint64_t user, uint32_t level, const char *text) noexcept {
        auto *one = reinterpret_cast<sink_base *>(static_cast<uintptr_t>(user));
#if WEFT_HAS_EXCEPTIONS
        try {
            one->take(level, text);
        } catch (...) {
        }
#else
        one->take(level, text);
#endif
    }
    std::unique_ptr<sink_base> function_;
};

/* ---- Tensors ---- */

/* The dtype of a C++ type: dtype_of<float>() is WEFT_F32. */
template <class T> constexpr uint32_t dtype_of() noexcept {
    static_assert(std::is_arithmetic_v<T> || std::is_same_v<T, std::complex<float>> || std::is_same_v<T, std::complex<double>>,
                  "no Weft dtype is like this type");
    static_assert(!std::is_same_v<T, long double>, "no Weft dtype is like long double");
    if constexpr (std::is_same_v<T, float>) return WEFT_F32;
    else if constexpr (std::is_same_v<T, double>) return WEFT_F64;
    else if constexpr (std::is_same_v<T, bool>) return WEFT_BOOL;
    else if constexpr (std::is_same_v<T, std::complex<float>>) return WEFT_C32;
    else if constexpr (std::is_same_v<T, std::complex<double>>) return WEFT_C64;
    else {
        constexpr uint32_t base = std::is_signed_v<T> ? WEFT_I8 : WEFT_U8;
        return base + (sizeof(T) == 1 ? 0 : sizeof(T) == 2 ? 1 : sizeof(T) == 4 ? 2 : 3);
    }
}

/* Bytes of an element; 0 for a number that is no dtype. */
constexpr uint32_t element_size(uint32_t dtype) noexcept {
    constexpr uint32_t sizes[] = {0, 4, 8, 2, 2, 1, 1, 1, 2, 4, 8, 1, 2, 4, 8, 1, 8, 16};
    return dtype < sizeof sizes / sizeof *sizes ? sizes[dtype] : 0;
}

/* The same view with its strides written out (all zero means packed). */
inline weft_tensor strided(weft_tensor view) {
    if (view.rank > WEFT_MAX_RANK)
        detail::raise(WEFT_ERROR_INVALID_ARGUMENT, "weft::strided: the tensor's rank is above 8");
    const auto zero = [](int64_t stride) { return stride == 0; };
    if (!std::all_of(view.strides, view.strides + view.rank, zero))
        return view;
    uint64_t step = 1;
    for (uint32_t axis = view.rank; axis-- > 0; step *= static_cast<uint64_t>(std::max<int64_t>(view.dims[axis], 1)))
        view.strides[axis] = static_cast<int64_t>(step);
    return view;
}

/* Axis i of the result is axis order[i] of `view`: permuted(m, {1, 0}) is a transpose. */
inline weft_tensor permuted(const weft_tensor &view, std::initializer_list<uint32_t> order) {
    const weft_tensor from = strided(view);
    weft_tensor to = from;
    bool seen[WEFT_MAX_RANK] = {};
    uint32_t i = 0;
    for (const uint32_t axis : order) {
        if (order.size() != from.rank || axis >= from.rank || std::exchange(seen[axis], true))
            detail::raise(WEFT_ERROR_INVALID_ARGUMENT, "weft::permuted: the order must name each axis once");
        to.dims[i] = from.dims[axis], to.strides[i] = from.strides[axis], i++;
    }
    if (i != from.rank)
        detail::raise(WEFT_ERROR_INVALID_ARGUMENT, "weft::permuted: the order must name each axis once");
    return to;
}

/* Indices from `begin` to before `end` along an axis. */
inline weft_tensor sliced(const weft_tensor &view, uint32_t axis, int64_t begin, int64_t end) {
    weft_tensor part = strided(view);
    if (axis >= part.rank || begin < 0 || end < begin || end > part.dims[axis])
        detail::raise(WEFT_ERROR_INVALID_ARGUMENT, "weft::sliced: expected an axis and 0 <= begin <= end <= its length");
    part.offset += static_cast<uint64_t>(begin) * static_cast<uint64_t>(part.strides[axis]) * element_size(part.dtype);
    part.dims[axis] = end - begin;
    return part;
}

/* Memory of a device, all zero at first. */
class buffer : public detail::owner<weft_buffer_release> {
public:
    using owner::owner;
    buffer() noexcept = default;
    buffer(const context &on, uint64_t size) : buffer(try_create(on, size).value().release()) {}
    static result<buffer> try_create(const context &on, uint64_t size) noexcept {
        return detail::created<buffer>([&](uint64_t *out) { return weft_buffer_create(on.get(), size, nullptr, out); });
    }
    weft_buffer_info info() const { return try_info().value(); }
    result<weft_buffer_info> try_info() const noexcept {
        return detail::told<weft_buffer_info>([&](weft_buffer_info *out) { return weft_buffer_info_get(get(), out); });
    }
    uint64_t size() const { return info().size; }

    /* A view: packed row-major unless strides (in elements) are given; offset in bytes. */
    weft_tensor tensor(uint32_t dtype, std::initializer_list<int64_t> dims, std::initializer_list<int64_t> strides = {},
                       uint64_t offset = 0) const {
        if (dims.size() > WEFT_MAX_RANK || (strides.size() != 0 && strides.size() != dims.size()))
            detail::raise(WEFT_ERROR_INVALID_ARGUMENT,
                          "weft::buffer::tensor: expected at most 8 dims, and a stride for each or none");
        weft_tensor view{};
        view.buffer = get(), view.offset = offset, view.dtype = dtype, view.rank = static_cast<uint32_t>(dims.size());
        std::copy(dims.begin(), dims.end(), view.dims);
        std::copy(strides.begin(), strides.end(), view.strides);
        return view;
    }
    template <class T>
    weft_tensor tensor(std::initializer_list<int64_t> dims, std::initializer_list<int64_t> strides = {},
                       uint64_t offset = 0) const {
        return tensor(dtype_of<T>(), dims, strides, offset);
    }
};

/* ---- Kernels of your own ---- */

/* A function of a program. */
class kernel : public detail::owner<weft_kernel_release> {
public:
    using owner::owner;
    kernel() noexcept = default;
};

/* PTX text, compiled. It is trusted like the program's own code. */
class program : public detail::owner<weft_program_release> {
public:
    using owner::owner;
    program() noexcept = default;
    /* Throws with the compiler's log in the sentence if it does not compile. */
    program(const context &on, const std::string &ptx) : program(try_create(on, ptx).value().release()) {}
    static result<program> try_create(const context &on, const std::string &ptx, std::string *log = nullptr) noexcept {
        auto options = make<weft_program_desc>();
        options.ptx = ptx.c_str();
        if (log)
            options.log = log->data(), options.log_capacity = log->size();
        return detail::created<program>([&](uint64_t *out) { return weft_program_create(on.get(), &options, out); });
    }
    /* The kernel of this name. */
    class kernel kernel(const char *name) const { return try_kernel(name).value(); }
    result<class kernel> try_kernel(const char *name) const noexcept {
        return detail::created<class kernel>([&](uint64_t *out) { return weft_kernel_get(get(), name, out); });
    }
};

/* An argument of a launch: a number of 4 or 8 bytes, an address in a buffer, or any plain value of at most 128 bytes. */
template <class T> weft_argument argument(T value) noexcept {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= WEFT_MAX_ARGUMENT_BYTES,
                  "an argument is a plain value of at most 128 bytes");
    weft_argument one{};
    one.kind = WEFT_ARGUMENT_BYTES, one.size = sizeof(T);
    std::memcpy(one.bytes, &value, sizeof(T));
    return one;
}
inline weft_argument argument(const buffer &of, uint64_t offset = 0) noexcept {
    weft_argument one{};
    one.kind = WEFT_ARGUMENT_BUFFER, one.buffer = of.get(), one.offset = offset;
    return one;
}

/* Blocks, or threads of a block, along each axis. */
struct extent {
    uint32_t x, y = 1, z = 1;
};

/* Descriptors from the tensors that an operation cannot do without; set what else you need in the struct that comes. */
namespace desc {
using tensor = const weft_tensor &;
inline weft_matmul_desc matmul(tensor a, tensor b, tensor d) noexcept {
    auto desc = make<weft_matmul_desc>();
    desc.a = a, desc.b = b, desc.d = d;
    return desc;
}
inline weft_attention_desc attention(tensor q, tensor k, tensor v, tensor o) noexcept {
    auto desc = make<weft_attention_desc>();
    desc.q = q, desc.k = k, desc.v = v, desc.o = o;
    return desc;
}
/* For rms_norm and layer_norm. */
inline weft_norm_desc norm(tensor x, tensor weight, tensor y) noexcept {
    auto desc = make<weft_norm_desc>();
    desc.x = x, desc.weight = weight, desc.y = y;
    return desc;
}
inline weft_rope_desc rope(tensor x, tensor y, int64_t position_start = 0) noexcept {
    auto desc = make<weft_rope_desc>();
    desc.x = x, desc.y = y, desc.position_start = position_start;
    return desc;
}
inline weft_elementwise_desc elementwise(uint32_t function, tensor y, tensor a, tensor b = {}, tensor c = {}) noexcept {
    auto desc = make<weft_elementwise_desc>();
    desc.function = function, desc.y = y, desc.a = a, desc.b = b, desc.c = c;
    return desc;
}
inline weft_softmax_desc softmax(tensor x, tensor y, int32_t axis = -1) noexcept {
    auto desc = make<weft_softmax_desc>();
    desc.x = x, desc.y = y, desc.axis = axis;
    return desc;
}
/* For gather_rows and scatter_rows. */
inline weft_rows_desc rows(tensor table, tensor indices, tensor rows) noexcept {
    auto desc = make<weft_rows_desc>();
    desc.table = table, desc.indices = indices, desc.rows = rows;
    return desc;
}
/* For top_k and arg_reduce. */
inline weft_rank_desc rank(tensor x, tensor values, tensor indices, int32_t axis = -1) noexcept {
    auto desc = make<weft_rank_desc>();
    desc.x = x, desc.values = values, desc.indices = indices, desc.axis = axis;
    return desc;
}
/* Bit i of `axes` reduces axis i; 0 reduces all. */
inline weft_reduce_desc reduce(uint32_t function, tensor x, tensor y, uint32_t axes = 0) noexcept {
    auto desc = make<weft_reduce_desc>();
    desc.function = function, desc.x = x, desc.y = y, desc.axes = axes;
    return desc;
}
inline weft_cast_desc cast(tensor x, tensor y) noexcept {
    auto desc = make<weft_cast_desc>();
    desc.x = x, desc.y = y;
    return desc;
}
/* Factors are real here; set alpha_imag and its like in the struct. */
inline weft_axpy_desc axpy(double alpha, tensor x, tensor y) noexcept {
    auto desc = make<weft_axpy_desc>();
    desc.alpha = alpha, desc.x = x, desc.y = y;
    return desc;
}
inline weft_scal_desc scal(double alpha, tensor x) noexcept {
    auto desc = make<weft_scal_desc>();
    desc.alpha = alpha, desc.x = x;
    return desc;
}
inline weft_swap_desc swap(tensor x, tensor y) noexcept {
    auto desc = make<weft_swap_desc>();
    desc.x = x, desc.y = y;
    return desc;
}
inline weft_rot_desc rot(double c, double s, tensor x, tensor y) noexcept {
    auto desc = make<weft_rot_desc>();
    desc.c = c, desc.s = s, desc.x = x, desc.y = y;
    return desc;
}
inline weft_dot_desc dot(tensor x, tensor y, tensor result, uint32_t flags = 0) noexcept {
    auto desc = make<weft_dot_desc>();
    desc.x = x, desc.y = y, desc.result = result, desc.flags = flags;
    return desc;
}
/* Of nrm2, asum and iamax. */
inline weft_vector_desc vector(tensor x, tensor result) noexcept {
    auto desc = make<weft_vector_desc>();
    desc.x = x, desc.result = result;
    return desc;
}
inline weft_gemv_desc gemv(double alpha, tensor a, tensor x, double beta, tensor y, uint32_t flags = 0) noexcept {
    auto desc = make<weft_gemv_desc>();
    desc.alpha = alpha, desc.a = a, desc.x = x, desc.beta = beta, desc.y = y, desc.flags = flags;
    return desc;
}
inline weft_ger_desc ger(double alpha, tensor x, tensor y, tensor a, uint32_t flags = 0) noexcept {
    auto desc = make<weft_ger_desc>();
    desc.alpha = alpha, desc.x = x, desc.y = y, desc.a = a, desc.flags = flags;
    return desc;
}
inline weft_syrk_desc syrk(double alpha, tensor a, double beta, tensor c, uint32_t flags = 0) noexcept {
    auto desc = make<weft_syrk_desc>();
    desc.alpha = alpha, desc.a = a, desc.beta = beta, desc.c = c, desc.flags = flags;
    return desc;
}
inline weft_trsm_desc trsm(double alpha, tensor a, tensor b, uint32_t flags = 0) noexcept {
    auto desc = make<weft_trsm_desc>();
    desc.alpha = alpha, desc.a = a, desc.b = b, desc.flags = flags;
    return desc;
}
/* A launch of a kernel: desc::launch(kernel, {blocks}, {256}, arguments), where the arguments, an array or a vector of
 * weft_argument, live until they are submitted. */
template <class Arguments>
weft_launch_desc launch(const kernel &of, extent grid, extent block, const Arguments &arguments, uint32_t shared = 0) {
    auto desc = make<weft_launch_desc>();
    desc.kernel = of.get(), desc.shared = shared;
    desc.grid[0] = grid.x, desc.grid[1] = grid.y, desc.grid[2] = grid.z;
    desc.block[0] = block.x, desc.block[1] = block.y, desc.block[2] = block.z;
    desc.arguments = std::data(arguments), desc.argument_count = static_cast<uint32_t>(std::size(arguments));
    return desc;
}
} // namespace desc

/* ---- Requests ---- */

/* Accepted work. */
class request : public detail::owner<weft_request_release> {
public:
    using owner::owner;
    request() noexcept = default;

    /* Until it is complete; throws if it failed. False: it is still pending, the time ran out first. */
    bool wait(nanoseconds timeout = forever) const {
        return detail::patiently(timeout, [this](nanoseconds time) { return try_wait(time); }) == WEFT_OK;
    }
    weft_status try_wait(nanoseconds timeout = forever) const noexcept {
        const weft_request handle = get();
        return weft_request_wait(&handle, 1, WEFT_WAIT_ALL, detail::ns(timeout), nullptr);
    }
    /* Whether it is complete; throws if it failed. */
    bool ready() const { return check(poll()) == WEFT_OK; }
    /* WEFT_NOT_READY, WEFT_OK or why it failed; never throws. */
    weft_status poll() const noexcept { return weft_request_poll(get()); }
    /* WEFT_OK, WEFT_TOO_LATE or WEFT_NOT_FOUND. */
    weft_status cancel() const { return check(try_cancel()); }
    weft_status try_cancel() const noexcept { return weft_request_cancel(get()); }
    /* The record; throws WEFT_NOT_READY while there is none. */
    weft_completion completion() const { return try_completion().value(); }
    result<weft_completion> try_completion() const noexcept {
        weft_completion record{};
        const weft_status status = weft_request_completion(get(), &record);
        if (status == WEFT_NOT_READY)
            return failure(status, "the request is still pending");
        if (status != WEFT_OK)
            return failure(status);
        return record;
    }
    /* Why it failed, in numbers, with the root cause of a chain of failures; throws WEFT_NOT_READY while it is pending. */
    weft_error_info error_info() const { return try_error_info().value(); }
    result<weft_error_info> try_error_info() const noexcept {
        auto info = make<weft_error_info>();
        const weft_status status = weft_request_error_info_get(get(), &info);
        if (status == WEFT_NOT_READY)
            return failure(status, "the request is still pending");
        if (status != WEFT_OK)
            return failure(status);
        return info;
    }
    /* The sentence of a failure; empty otherwise. */
    std::string sentence() const {
        std::size_t needed = 0;
        check(weft_request_error(get(), nullptr, 0, &needed));
        std::string text(needed, '\0');
        check(weft_request_error(get(), text.data(), text.size(), nullptr));
        text.resize(std::strlen(text.c_str()));
        return text;
    }
};

namespace detail {
template <class Requests> std::vector<weft_request> handles(const Requests &requests) {
    std::vector<weft_request> all;
    for (const auto &one : requests)
        all.push_back(one.get());
    return all;
}
inline weft_status wait_for(const std::vector<weft_request> &all, uint32_t mode, nanoseconds timeout, uint32_t *index) noexcept {
    return weft_request_wait(all.data(), static_cast<uint32_t>(all.size()), mode, ns(timeout), index);
}
} // namespace detail

/* Waits for all requests of a container. Throws if one failed; false: the time ran out first. */
template <class Requests> bool wait_all(const Requests &requests, nanoseconds timeout = forever) {
    const std::vector<weft_request> all = detail::handles(requests);
    const auto wait = [&](nanoseconds time) { return detail::wait_for(all, WEFT_WAIT_ALL, time, nullptr); };
    return detail::patiently(timeout, wait) == WEFT_OK;
}
/* Waits for any request of a container: its place, or nothing when the time ran out. Throws if one that is complete
 * failed; `failed`, unless null, becomes its place. */
template <class Requests>
std::optional<uint32_t> wait_any(const Requests &requests, nanoseconds timeout = forever, uint32_t *failed = nullptr) {
    const std::vector<weft_request> all = detail::handles(requests);
    uint32_t index = 0;
    const auto wait = [&](nanoseconds time) {
        const weft_status status = detail::wait_for(all, WEFT_WAIT_ANY, time, &index);
        if (status < 0 && failed)
            *failed = index;
        return status;
    };
    if (detail::patiently(timeout, wait) != WEFT_OK || all.empty())
        return std::nullopt;
    return index;
}

/* ---- Completions: ports, callbacks ---- */

namespace detail {

class pending;

/* A function that a completion calls once. Owned by the record that is still to come; `pending` knows it until then. */
class closure {
public:
    closure() = default;
    closure(const closure &) = delete;
    closure &operator=(const closure &) = delete;
    virtual ~closure() = default;
    virtual void run(const weft_completion &record) = 0;

    std::shared_ptr<pending> home;
    closure *before = nullptr, *after = nullptr;
    uint64_t user_data = 0;
    weft_completion record{};
};

template <class Function> class function_closure final : public closure {
public:
    explicit function_closure(Function function) : function_(std::move(function)) {}
    void run(const weft_completion &completion) override { function_(completion); }

private:
    Function function_;
};

/* The closures of a port whose records are still to come, and what one threw. */
class pending {
public:
    pending() = default;
    pending(const pending &) = delete;
    pending &operator=(const pending &) = delete;
    void add(closure &one) {
        const std::lock_guard<std::mutex> lock(mutex_);
        one.before = nullptr, one.after = first_;
        if (first_)
            first_->before = &one;
        first_ = &one;
    }
    void remove(closure &one) {
        const std::lock_guard<std::mutex> lock(mutex_);
        unlink(one);
    }
    /* Their records will not come: the port is gone. What they own may come back here when it goes. */
    void drop() {
        while (closure *one = pop())
            delete one;
    }
    void keep(std::exception_ptr thrown) {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (!thrown_)
            thrown_ = std::move(thrown);
    }
    std::exception_ptr take() {
        const std::lock_guard<std::mutex> lock(mutex_);
        return std::exchange(thrown_, nullptr);
    }

private:
    closure *pop() {
        const std::lock_guard<std::mutex> lock(mutex_);
        closure *one = first_;
        if (one)
            unlink(*one);
        return one;
    }
    void unlink(closure &one) {
        (one.before ? one.before->after : first_) = one.after;
        if (one.after)
            one.after->before = one.before;
        one.before = one.after = nullptr;
    }
    std::mutex mutex_;
    closure *first_ = nullptr;
    std::exception_ptr thrown_;
};

/* Runs a closure whose record came; what it throws is kept for port::rethrow. */
inline void finish(closure *raw) noexcept {
    const std::unique_ptr<closure> one(raw);
    const std::shared_ptr<pending> home = one->home;
#if WEFT_HAS_EXCEPTIONS
    try {
        one->run(one->record);
    } catch (...) {
        home->keep(std::current_exception());
    }
#else
    one->run(one->record);
#endif
}

/* The closures that a dispatch on this thread took, oldest first. They run when weft_port_dispatch has returned: then they
 * may wait and dispatch, and an exception has no C frames above it. */
class batch {
public:
    batch() noexcept : outer_(std::exchange(current(), this)) {}
    batch(const batch &) = delete;
    batch &operator=(const batch &) = delete;
    ~batch() { close(); }
    static batch *&current() noexcept {
        static thread_local batch *innermost = nullptr;
        return innermost;
    }
    void push(closure *one) noexcept {
        one->after = nullptr;
        (last_ ? last_->after : first_) = one;
        last_ = one;
    }
    void close() noexcept {
        if (open_)
            current() = outer_;
        open_ = false;
    }
    void run() noexcept {
        close();
        while (closure *one = first_) {
            first_ = one->after;
            finish(one);
        }
    }

private:
    batch *outer_;
    closure *first_ = nullptr, *last_ = nullptr;
    bool open_ = true;
};

/* What weft_submit.callback points to. Outside of port::dispatch (another language dispatches the port) it runs at once. */
inline void completed(uint64_t user, const weft_completion *record) noexcept {
    auto *one = reinterpret_cast<closure *>(static_cast<uintptr_t>(user));
    one->home->remove(*one);
    one->record = *record;
    one->record.user_data = one->user_data;
    if (batch *taking = batch::current())
        taking->push(one);
    else
        finish(one);
}

/* The sentence of a record's failure. */
inline std::string why(const weft_completion &record) {
    char text[1024] = "";
    (void)weft_request_error(record.request, text, sizeof text, nullptr);
    return text;
}

} // namespace detail

class port;

/* Options of a submission: queue.barrier(weft::options().to(port).user_data(7)). */
class options {
public:
    options() noexcept : raw_(make<weft_submit>()) {}
    options(const options &) = delete;
    options &operator=(const options &) = delete;

    /* The number that the record hands back. */
    options &user_data(uint64_t number) noexcept { return raw_.user_data = number, *this; }
    /* Where the record goes. */
    options &to(const port &where) noexcept;
    /* How long the call waits for room in a full queue. */
    options &room(nanoseconds time) noexcept { return raw_.timeout_ns = detail::ns(time), *this; }
    /* From now; the request ends with WEFT_ERROR_DEADLINE_EXCEEDED when it passes. */
    options &deadline(nanoseconds time) noexcept {
        const uint64_t after = detail::ns(time);
        return raw_.deadline_ns = after == 0 ? 1 : after, *this;
    }
    /* The request begins when these are complete, too. */
    options &after(const request &other) {
        after_.push_back(other.get());
        raw_.after = after_.data(), raw_.after_count = static_cast<uint32_t>(after_.size());
        return *this;
    }
    /* write copies the host's bytes during the call. */
    options &copy_host() noexcept { return raw_.flags |= static_cast<uint32_t>(WEFT_SUBMIT_COPY_HOST), *this; }
    operator const weft_submit *() const noexcept { return &raw_; }

private:
    weft_submit raw_;
    std::vector<weft_request> after_;
};

#if WEFT_HAS_COROUTINES
template <class Submit> class awaitable;
#endif

/* Where completions collect. Records of plain submissions are taken by poll and wait; `then`, `future` and `async` give a
 * request a function, a std::future or a coroutine to go on with, and dispatch runs those on the calling thread.
 *
 * A `submit` below is a function that takes options, submits one request with them, and returns it (or a
 * result<request>): [&](const weft_submit *how) { return queue.matmul(desc, how); }. It throws only if nothing was
 * accepted. Functions may throw, wait and dispatch; what waits when the port goes is destroyed without being called. On a
 * port's own thread (WEFT_PORT_THREAD) they may not wait, an exception stays until rethrow(), and all that was accepted is
 * called even when the port goes. */
class port {
public:
    port() noexcept = default;
    explicit port(weft_port handle) : handle_(handle) { pending_ = std::make_shared<detail::pending>(); }
    /* With WEFT_PORT_THREAD a thread of the library's calls the functions: nobody dispatches. */
    explicit port(const context &on, uint32_t capacity = 0, uint32_t flags = 0)
        : port(try_create(on, capacity, flags).value()) {}
    static result<port> try_create(const context &on, uint32_t capacity = 0, uint32_t flags = 0) {
        auto wanted = make<weft_port_desc>();
        wanted.capacity = capacity, wanted.flags = flags;
        auto made = detail::created<port>([&](uint64_t *out) { return weft_port_create(on.get(), &wanted, out); });
        if (made)
            made->threaded_ = (flags & static_cast<uint32_t>(WEFT_PORT_THREAD)) != 0;
        return made;
    }
    port(port &&) noexcept = default;
    port &operator=(port &&other) noexcept {
        if (this != &other) {
            reset();
            pending_ = std::move(other.pending_);
            handle_ = std::move(other.handle_);
            threaded_ = other.threaded_;
        }
        return *this;
    }
    ~port() { reset(); }

    weft_port get() const noexcept { return handle_.get(); }
    explicit operator bool() const noexcept { return static_cast<bool>(handle_); }
    /* Gives the handle away; who dispatches it runs the functions that wait. */
    weft_port release() noexcept {
        pending_.reset();
        return handle_.release();
    }
    void reset() noexcept {
        handle_.reset();
        /* A port's own thread still calls what was accepted, and that destroys it. */
        if (const auto waiting = std::exchange(pending_, nullptr); waiting && !threaded_)
            waiting->drop();
    }

    /* An eventfd, readable while completions wait. Do not read or close it. */
    int event_handle() const { return try_event_handle().value(); }
    result<int> try_event_handle() const noexcept {
        int64_t fd = -1;
        if (const weft_status status = weft_port_event_handle(get(), &fd); status != WEFT_OK)
            return failure(status);
        return static_cast<int>(fd);
    }
    /* For loops that are told of edges alone: makes the event handle readable anew if completions wait. */
    void arm() const { check(weft_port_arm(get())); }
    /* Ends every wait on the port. */
    void wake() const { check(weft_port_wake(get())); }

    /* The records that wait, `most` at the most. */
    std::vector<weft_completion> poll(uint32_t most = 64) const {
        std::vector<weft_completion> records(most);
        uint32_t count = 0;
        check(try_poll(records.data(), most, count));
        return records.resize(count), records;
    }
    weft_status try_poll(weft_completion *records, uint32_t capacity, uint32_t &count) const noexcept {
        return weft_port_poll(get(), records, capacity, &count);
    }
    /* As poll, but waits for the first; none when the time ran out or somebody woke the port. */
    std::vector<weft_completion> wait(nanoseconds timeout = forever, uint32_t most = 64) const {
        std::vector<weft_completion> records(most);
        uint32_t count = 0;
        detail::patiently(timeout, [&](nanoseconds time) { return try_wait(records.data(), most, time, count); });
        return records.resize(count), records;
    }
    weft_status try_wait(weft_completion *records, uint32_t capacity, nanoseconds timeout, uint32_t &count) const noexcept {
        return weft_port_wait(get(), records, capacity, detail::ns(timeout), &count);
    }

    /* Takes the completions that wait (`most`, if it is not 0) and runs what they call; how many there were. Then throws
     * the first exception that one of them threw: the others have run all the same. */
    uint32_t dispatch(uint32_t most = 0) const {
        const std::shared_ptr<detail::pending> home = pending_;
        uint32_t count = 0;
        check(try_dispatch(most, &count));
        rethrow(home.get());
        return count;
    }
    /* As dispatch, but exceptions stay until the next dispatch or rethrow. */
    weft_status try_dispatch(uint32_t most = 0, uint32_t *count = nullptr) const noexcept {
        detail::batch batch;
        const weft_status status = weft_port_dispatch(get(), most, count);
        batch.run();
        return status;
    }
    /* Throws the exception that a function threw and no dispatch has thrown yet. */
    void rethrow() const { rethrow(pending_.get()); }

    /* Waits and dispatches on this thread until `done()`. */
    template <class Done> void run(Done done) const {
        while (!done()) {
            uint32_t none = 0;
            check(try_wait(nullptr, 0, forever, none));
            dispatch();
        }
    }
    /* Dispatches until the future is there, and gets it. */
    template <class T> T get(std::future<T> &result) const {
        run([&] { return result.wait_for(nanoseconds::zero()) == std::future_status::ready; });
        return result.get();
    }

    /* The completion calls `function(record)` in dispatch. Returns what submit did. `how` has more options. */
    template <class Submit, class Function>
    auto then(Submit submit, Function function, const weft_submit *how = nullptr) const -> decltype(submit(how)) {
        if (!pending_ || (how && (how->callback || how->finalizer)))
            detail::raise(WEFT_ERROR_INVALID_ARGUMENT,
                          "weft::port: what calls a function needs a port, and options without a callback or finalizer");
        auto *raw = new detail::function_closure<Function>(std::move(function));
        raw->home = pending_;
        pending_->add(*raw);
        weft_submit with = how ? *how : make<weft_submit>();
        raw->user_data = with.user_data;
        with.port = get(), with.callback = detail::completed;
        with.user_data = static_cast<uint64_t>(reinterpret_cast<uintptr_t>(static_cast<detail::closure *>(raw)));
        refusal guard{raw};
        auto accepted = submit(static_cast<const weft_submit *>(&with));
        /* From here on another thread may have run it already. */
        if (accepted)
            guard.one = nullptr;
        return accepted;
    }
#if WEFT_HAS_EXCEPTIONS
    /* Its value is the record; weft::error if the request failed, std::future_error if the port went first. */
    template <class Submit> std::future<weft_completion> future(Submit submit, const weft_submit *how = nullptr) const;
#endif
#if WEFT_HAS_COROUTINES
    /* co_await port.async(submit): the coroutine goes on in dispatch, with the record; a request that failed throws
     * weft::error there (without exceptions: the record says so). */
    template <class Submit> awaitable<Submit> async(Submit submit) const;
#endif

private:
    /* Takes a closure back whose submission was refused. */
    struct refusal {
        detail::closure *one;
        ~refusal() {
            if (!one)
                return;
            one->home->remove(*one);
            delete one;
        }
    };
    static void rethrow(detail::pending *home) {
#if WEFT_HAS_EXCEPTIONS
        if (std::exception_ptr thrown = home ? home->take() : nullptr)
            std::rethrow_exception(thrown);
#else
        (void)home;
#endif
    }
    std::shared_ptr<detail::pending> pending_;
    detail::owner<weft_port_release> handle_;
    bool threaded_ = false;
};

inline options &options::to(const port &where) noexcept { return raw_.port = where.get(), *this; }

/* ---- Queues: every operation ---- */

/* An ordered stream of requests. Operations take the C descriptor (struct_size is set for you; namespace desc makes them)
 * and options. What is full throws weft::error with WEFT_WOULD_BLOCK. */
class queue : public detail::owner<weft_queue_release> {
    using how_t = const weft_submit *;

public:
    using owner::owner;
    queue() noexcept = default;
    explicit queue(const context &on, uint32_t depth = 0, uint32_t priority = WEFT_PRIORITY_NORMAL)
        : queue(try_create(on, depth, priority).value().release()) {}
    static result<queue> try_create(const context &on, uint32_t depth = 0, uint32_t priority = WEFT_PRIORITY_NORMAL) noexcept {
        auto wanted = make<weft_queue_desc>();
        wanted.depth = depth, wanted.priority = priority;
        return detail::created<queue>([&](uint64_t *out) { return weft_queue_create(on.get(), &wanted, out); });
    }
    weft_queue_info info() const { return try_info().value(); }
    result<weft_queue_info> try_info() const noexcept {
        return detail::told<weft_queue_info>([&](weft_queue_info *out) { return weft_queue_info_get(get(), out); });
    }
    /* Until all that was accepted is complete; throws the first failure of a request without a handle. False: the time ran
     * out first. */
    bool drain(nanoseconds timeout = forever) const {
        return detail::patiently(timeout, [this](nanoseconds time) { return try_drain(time); }) == WEFT_OK;
    }
    weft_status try_drain(nanoseconds timeout = forever) const noexcept { return weft_queue_drain(get(), detail::ns(timeout)); }

    /* `from` must stay as it is until the request completes, unless options say copy_host. */
    request write(const buffer &to, uint64_t offset, const void *from, uint64_t size, how_t how = nullptr) const {
        return detail::submitted([&] { return try_write(to, offset, from, size, how); });
    }
    result<request> try_write(const buffer &to, uint64_t offset, const void *from, uint64_t size,
                              how_t how = nullptr) const noexcept {
        return detail::created<request>(
            [&](uint64_t *out) { return weft_write(get(), to.get(), offset, from, size, how, out); });
    }
    template <class T> request write(const buffer &to, const std::vector<T> &from, how_t how = nullptr) const {
        static_assert(std::is_trivially_copyable_v<T>, "only plain elements can be copied to a device");
        return write(to, 0, from.data(), from.size() * sizeof(T), how);
    }
    /* A temporary would be gone before it is read. */
    template <class T> request write(const buffer &to, const std::vector<T> &&from, how_t how = nullptr) const = delete;

    /* `to` must stay where it is until the request completes. */
    request read(const buffer &from, uint64_t offset, void *to, uint64_t size, how_t how = nullptr) const {
        return detail::submitted([&] { return try_read(from, offset, to, size, how); });
    }
    result<request> try_read(const buffer &from, uint64_t offset, void *to, uint64_t size,
                             how_t how = nullptr) const noexcept {
        return detail::created<request>(
            [&](uint64_t *out) { return weft_read(get(), from.get(), offset, to, size, how, out); });
    }
    template <class T> request read(const buffer &from, std::vector<T> &to, how_t how = nullptr) const {
        static_assert(std::is_trivially_copyable_v<T>, "only plain elements can be copied from a device");
        return read(from, 0, to.data(), to.size() * sizeof(T), how);
    }

    request copy(const buffer &from, uint64_t at, const buffer &to, uint64_t offset, uint64_t size, how_t how = nullptr) const {
        return detail::submitted([&] { return try_copy(from, at, to, offset, size, how); });
    }
    result<request> try_copy(const buffer &from, uint64_t at, const buffer &to, uint64_t offset, uint64_t size,
                             how_t how = nullptr) const noexcept {
        return detail::created<request>(
            [&](uint64_t *out) { return weft_copy(get(), from.get(), at, to.get(), offset, size, how, out); });
    }

    /* `value`, of 1, 2, 4 or 8 bytes, over and over. */
    template <class T> request fill(const buffer &to, uint64_t offset, uint64_t size, T value, how_t how = nullptr) const {
        return detail::submitted([&] { return try_fill(to, offset, size, value, how); });
    }
    template <class T>
    result<request> try_fill(const buffer &to, uint64_t offset, uint64_t size, T value, how_t how = nullptr) const noexcept {
        static_assert(std::is_trivially_copyable_v<T> && (sizeof(T) == 1 || sizeof(T) == 2 || sizeof(T) == 4 || sizeof(T) == 8),
                      "a pattern has 1, 2, 4 or 8 bytes");
        uint64_t pattern = 0;
        std::memcpy(&pattern, &value, sizeof value);
        return detail::created<request>(
            [&](uint64_t *out) { return weft_fill(get(), to.get(), offset, size, pattern, sizeof(T), how, out); });
    }

    /* Completes when everything before it has. */
    request barrier(how_t how = nullptr) const { return detail::submitted([&] { return try_barrier(how); }); }
    result<request> try_barrier(how_t how = nullptr) const noexcept {
        return detail::created<request>([&](uint64_t *out) { return weft_barrier(get(), how, out); });
    }

/* request name(desc, how), and result<request> try_name(desc, how). */
#define WEFT_OPERATION(name, desc_type)                                                      \
    request name(const desc_type &desc, how_t how = nullptr) const {                         \
        return detail::submitted([&] { return try_##name(desc, how); });                     \
    }                                                                                        \
    result<request> try_##name(const desc_type &desc, how_t how = nullptr) const noexcept {  \
        return operation(weft_##name, desc, how);                                            \
    }
    WEFT_OPERATION(matmul, weft_matmul_desc)
    WEFT_OPERATION(attention, weft_attention_desc)
    WEFT_OPERATION(rms_norm, weft_norm_desc)
    WEFT_OPERATION(layer_norm, weft_norm_desc)
    WEFT_OPERATION(rope, weft_rope_desc)
    WEFT_OPERATION(elementwise, weft_elementwise_desc)
    WEFT_OPERATION(softmax, weft_softmax_desc)
    WEFT_OPERATION(gather_rows, weft_rows_desc)
    WEFT_OPERATION(scatter_rows, weft_rows_desc)
    WEFT_OPERATION(top_k, weft_rank_desc)
    WEFT_OPERATION(arg_reduce, weft_rank_desc)
    WEFT_OPERATION(reduce, weft_reduce_desc)
    WEFT_OPERATION(cast, weft_cast_desc)
    WEFT_OPERATION(axpy, weft_axpy_desc)
    WEFT_OPERATION(scal, weft_scal_desc)
    WEFT_OPERATION(swap, weft_swap_desc)
    WEFT_OPERATION(rot, weft_rot_desc)
    WEFT_OPERATION(dot, weft_dot_desc)
    WEFT_OPERATION(nrm2, weft_vector_desc)
    WEFT_OPERATION(asum, weft_vector_desc)
    WEFT_OPERATION(iamax, weft_vector_desc)
    WEFT_OPERATION(gemv, weft_gemv_desc)
    WEFT_OPERATION(ger, weft_ger_desc)
    WEFT_OPERATION(syrk, weft_syrk_desc)
    WEFT_OPERATION(trsm, weft_trsm_desc)
    WEFT_OPERATION(launch, weft_launch_desc)
#undef WEFT_OPERATION

    /* Multiplications of any shapes as one request; each is what desc::matmul made, so that its struct_size is set. */
    request matmul_grouped(const std::vector<weft_matmul_desc> &descs, how_t how = nullptr) const {
        return detail::submitted([&] { return try_matmul_grouped(descs, how); });
    }
    result<request> try_matmul_grouped(const std::vector<weft_matmul_desc> &descs, how_t how = nullptr) const noexcept {
        return detail::created<request>(
            [&](uint64_t *out) { return weft_matmul_grouped(get(), descs.data(), descs.size(), how, out); });
    }

private:
    template <class Desc>
    result<request> operation(weft_status (*f)(weft_queue, const Desc *, how_t, weft_request *), Desc desc,
                              how_t how) const noexcept {
        desc.struct_size = static_cast<uint32_t>(sizeof desc);
        return detail::created<request>([&](uint64_t *out) { return f(get(), &desc, how, out); });
    }
};

/* ---- Futures and coroutines ---- */

namespace detail {

/* The request behind what a submission returned; throws if it was refused. */
inline request accepted(request one) { return one; }
inline request accepted(result<request> one) { return std::move(one).value(); }

#if WEFT_HAS_EXCEPTIONS
/* Kept by the completion and by who submits: the request's handle lives until both are done with it. */
struct promised {
    std::promise<weft_completion> promise;
    request owner;
};
#endif

} // namespace detail

#if WEFT_HAS_EXCEPTIONS
template <class Submit> std::future<weft_completion> port::future(Submit submit, const weft_submit *how) const {
    auto shared = std::make_shared<detail::promised>();
    std::future<weft_completion> result = shared->promise.get_future();
    const auto fulfil = [shared](const weft_completion &record) {
        if (record.status < 0)
            shared->promise.set_exception(std::make_exception_ptr(error(record.status, detail::why(record))));
        else
            shared->promise.set_value(record);
    };
    shared->owner = detail::accepted(then(std::move(submit), fulfil, how));
    return result;
}
#endif

#if WEFT_HAS_COROUTINES
namespace detail {
/* Kept by the completion and by the coroutine, either of which may go first. */
struct suspended {
    std::coroutine_handle<> coroutine;
    weft_completion record{};
    request owner;
};
} // namespace detail

/* What port.async gives to co_await. A coroutine that is destroyed meanwhile is not resumed. */
template <class Submit> class awaitable {
public:
    awaitable(const port &on, Submit submit)
        : port_(&on), submit_(std::move(submit)), shared_(std::make_shared<detail::suspended>()) {}
    awaitable(const awaitable &) = delete;
    awaitable &operator=(const awaitable &) = delete;
    ~awaitable() { shared_->coroutine = nullptr; }

    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> coroutine) {
        /* Another thread may go on with the coroutine, and end this object, as soon as the work is accepted. */
        const auto shared = shared_;
        Submit submit = std::move(submit_);
        shared->coroutine = coroutine;
        const auto resume = [shared](const weft_completion &record) {
            shared->record = record;
            if (shared->coroutine)
                shared->coroutine.resume();
        };
        shared->owner = detail::accepted(port_->then(std::move(submit), resume));
    }
    weft_completion await_resume() const {
#if WEFT_HAS_EXCEPTIONS
        if (shared_->record.status < 0)
            throw error(shared_->record.status, detail::why(shared_->record));
#endif
        return shared_->record;
    }

private:
    const port *port_;
    Submit submit_;
    std::shared_ptr<detail::suspended> shared_;
};

template <class Submit> awaitable<Submit> port::async(Submit submit) const { return {*this, std::move(submit)}; }
#endif

} // namespace weft

#endif
