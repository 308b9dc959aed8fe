/* Weft for C++17 and newer: owners for the handles of weft.h, exceptions for its statuses, std::future and (C++20)
 * co_await for its completions. Header-only; a program links libweft as in C.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 *
 *   weft::context context;                              // "auto"
 *   weft::queue queue(context);
 *   weft::buffer x(context, 1024);
 *   weft::request done = queue.fill(x, 0, 1024, 0u);    // returns at once
 *   done.wait();                                        // throws weft::error if it failed
 *
 * Owners release what they own when they go; work in flight keeps what it needs and completes all the same. They can be
 * moved, not copied, and are as thread-safe as the C functions: any number of threads may use one, but not while another
 * moves or destroys it. Callbacks that throw: the exception is kept and comes out of port::dispatch or future::get. */
#ifndef WEFT_HPP
#define WEFT_HPP

#include "weft.h"

#include <chrono>
#include <cstring>
#include <exception>
#include <functional>
#include <future>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#if defined(__cpp_impl_coroutine) && __cplusplus >= 202002L
#include <coroutine>
#define WEFT_HAS_COROUTINES 1
#endif

namespace weft {

/* A status below zero, with the sentence that explains it. */
class error : public std::runtime_error {
public:
    explicit error(weft_status status) : error(status, weft_last_error()) {}
    error(weft_status status, const std::string &sentence)
        : std::runtime_error(std::string(weft_status_name(status)) + ": " + sentence), status_(status) {}
    weft_status status() const noexcept { return status_; }

private:
    weft_status status_;
};

/* Throws for errors; hands through what is no failure (WEFT_TIMEOUT, WEFT_WOULD_BLOCK, ...). */
inline weft_status check(weft_status status) {
    if (status < 0)
        throw error(status);
    return status;
}

/* A struct with struct_size set and everything else zero. */
template <class T> T make() {
    T value;
    std::memset(&value, 0, sizeof value);
    value.struct_size = sizeof value;
    return value;
}

using nanoseconds = std::chrono::nanoseconds;
constexpr nanoseconds forever = nanoseconds::max();

inline uint64_t count(nanoseconds time) {
    return time == forever ? WEFT_FOREVER : time.count() < 0 ? 0 : static_cast<uint64_t>(time.count());
}

namespace detail {

/* As in the standard library, a signal handler that runs meanwhile does not end a wait: it goes on for what is left. */
template <class Wait> weft_status patiently(nanoseconds timeout, Wait wait) {
    const auto start = std::chrono::steady_clock::now();
    nanoseconds left = timeout;
    for (;;) {
        const weft_status status = check(wait(count(left)));
        if (status != WEFT_INTERRUPTED)
            return status;
        const nanoseconds gone = std::chrono::steady_clock::now() - start;
        if (timeout != forever)
            left = gone < timeout ? timeout - gone : nanoseconds(0);
    }
}

template <weft_status (*Release)(uint64_t)> class owner {
public:
    owner() noexcept = default;
    explicit owner(uint64_t handle) noexcept : handle_(handle) {}
    owner(owner &&other) noexcept : handle_(std::exchange(other.handle_, 0)) {}
    owner &operator=(owner &&other) noexcept {
        if (this != &other) {
            reset();
            handle_ = std::exchange(other.handle_, 0);
        }
        return *this;
    }
    owner(const owner &) = delete;
    owner &operator=(const owner &) = delete;
    ~owner() { reset(); }

    uint64_t get() const noexcept { return handle_; }
    explicit operator bool() const noexcept { return handle_ != 0; }
    /* Gives the handle away. */
    uint64_t release() noexcept { return std::exchange(handle_, 0); }
    void reset() noexcept {
        if (handle_ != 0)
            Release(std::exchange(handle_, 0));
    }

private:
    uint64_t handle_ = 0;
};

} // namespace detail

/* A device in use. */
class context : public detail::owner<weft_context_release> {
public:
    using owner::owner;
    explicit context(const char *device = "auto", uint32_t threads = 0) {
        auto options = make<weft_context_desc>();
        options.threads = threads;
        weft_context handle = 0;
        check(weft_context_create(device, &options, &handle));
        static_cast<owner &>(*this) = owner(handle);
    }
    weft_context_info info() const {
        auto info = make<weft_context_info>();
        check(weft_context_info_get(get(), &info));
        return info;
    }
};

/* Memory of a device, all zero at first. */
class buffer : public detail::owner<weft_buffer_release> {
public:
    using owner::owner;
    buffer() noexcept = default;
    buffer(const context &on, uint64_t size) {
        weft_buffer handle = 0;
        check(weft_buffer_create(on.get(), size, nullptr, &handle));
        static_cast<owner &>(*this) = owner(handle);
    }
    uint64_t size() const {
        auto info = make<weft_buffer_info>();
        check(weft_buffer_info_get(get(), &info));
        return info.size;
    }
    /* A view: packed row-major unless strides (in elements) are given; offset in bytes. */
    weft_tensor tensor(uint32_t dtype, std::initializer_list<int64_t> dims, std::initializer_list<int64_t> strides = {},
                       uint64_t offset = 0) const {
        if (dims.size() > WEFT_MAX_RANK || (strides.size() != 0 && strides.size() != dims.size()))
            throw std::invalid_argument("weft::buffer::tensor: at most 8 dims, and a stride for each or none");
        weft_tensor view;
        std::memset(&view, 0, sizeof view);
        view.buffer = get(), view.offset = offset, view.dtype = dtype, view.rank = static_cast<uint32_t>(dims.size());
        std::copy(dims.begin(), dims.end(), view.dims);
        std::copy(strides.begin(), strides.end(), view.strides);
        return view;
    }
};

/* Accepted work. */
class request : public detail::owner<weft_request_release> {
public:
    using owner::owner;
    request() noexcept = default;

    /* Until it is complete; throws if it failed. False: the time ran out first. */
    bool wait(nanoseconds timeout = forever) const {
        weft_request handle = get();
        return detail::patiently(timeout, [&](uint64_t time) {
            return weft_request_wait(&handle, 1, WEFT_WAIT_ALL, time, nullptr);
        }) != WEFT_TIMEOUT;
    }
    /* Whether it is complete; throws if it failed. */
    bool ready() const { return check(weft_request_poll(get())) != WEFT_NOT_READY; }
    /* WEFT_NOT_READY, WEFT_OK or why it failed; never throws. */
    weft_status poll() const noexcept { return weft_request_poll(get()); }
    /* WEFT_OK, WEFT_TOO_LATE or WEFT_NOT_FOUND. */
    weft_status cancel() const { return check(weft_request_cancel(get())); }
    weft_completion completion() const {
        weft_completion record;
        std::memset(&record, 0, sizeof record);
        check(weft_request_completion(get(), &record));
        return record;
    }
    /* The sentence of a failure; empty otherwise. */
    std::string sentence() const {
        size_t needed = 0;
        check(weft_request_error(get(), nullptr, 0, &needed));
        std::string text(needed, '\0');
        check(weft_request_error(get(), &text[0], text.size(), nullptr));
        text.resize(std::strlen(text.c_str()));
        return text;
    }
};

/* Where completions collect; dispatch runs what was given to submit_options::then or to a future. */
class port : public detail::owner<weft_port_release> {
public:
    using owner::owner;
    port() noexcept = default;
    explicit port(const context &on, uint32_t capacity = 0) {
        auto options = make<weft_port_desc>();
        options.capacity = capacity;
        weft_port handle = 0;
        check(weft_port_create(on.get(), &options, &handle));
        static_cast<owner &>(*this) = owner(handle);
    }
    /* An eventfd, readable while completions wait. */
    int event_handle() const {
        int64_t fd = -1;
        check(weft_port_event_handle(get(), &fd));
        return static_cast<int>(fd);
    }
    void wake() const { check(weft_port_wake(get())); }
    void arm() const { check(weft_port_arm(get())); }
    std::vector<weft_completion> poll(uint32_t most = 64) const {
        std::vector<weft_completion> records(most);
        uint32_t taken = 0;
        check(weft_port_poll(get(), records.data(), most, &taken));
        records.resize(taken);
        return records;
    }
    std::vector<weft_completion> wait(nanoseconds timeout = forever, uint32_t most = 64) const {
        std::vector<weft_completion> records(most);
        uint32_t taken = 0;
        detail::patiently(timeout, [&](uint64_t time) {
            return weft_port_wait(get(), records.data(), most, time, &taken);
        });
        records.resize(taken);
        return records;
    }
    /* Runs the callbacks of completions that wait; the first exception that one threw comes out at the end. */
    uint32_t dispatch(uint32_t most = 0) const {
        std::exception_ptr before = std::exchange(thrown(), nullptr);
        uint32_t taken = 0;
        check(weft_port_dispatch(get(), most, &taken));
        if (std::exception_ptr caught = std::exchange(thrown(), before))
            std::rethrow_exception(caught);
        return taken;
    }

    /* The exception of a callback on this thread, on its way around the C frames. */
    static std::exception_ptr &thrown() noexcept {
        static thread_local std::exception_ptr caught;
        return caught;
    }
};

/* An ordered stream of requests. Each operation takes the C descriptor; struct_size is set for you. */
class queue : public detail::owner<weft_queue_release> {
public:
    using owner::owner;
    queue() noexcept = default;
    explicit queue(const context &on, uint32_t depth = 0, uint32_t priority = WEFT_PRIORITY_NORMAL) {
        auto options = make<weft_queue_desc>();
        options.depth = depth, options.priority = priority;
        weft_queue handle = 0;
        check(weft_queue_create(on.get(), &options, &handle));
        static_cast<owner &>(*this) = owner(handle);
    }

    request write(const buffer &to, uint64_t offset, const void *from, uint64_t size, const weft_submit *how = nullptr) const {
        return submitted([&](weft_request *out) { return weft_write(get(), to.get(), offset, from, size, how, out); });
    }
    request read(const buffer &from, uint64_t offset, void *to, uint64_t size, const weft_submit *how = nullptr) const {
        return submitted([&](weft_request *out) { return weft_read(get(), from.get(), offset, to, size, how, out); });
    }
    request copy(const buffer &from, uint64_t at, const buffer &to, uint64_t offset, uint64_t size, const weft_submit *how = nullptr) const {
        return submitted([&](weft_request *out) { return weft_copy(get(), from.get(), at, to.get(), offset, size, how, out); });
    }
    template <class T> request fill(const buffer &to, uint64_t offset, uint64_t size, T value, const weft_submit *how = nullptr) const {
        static_assert(sizeof(T) <= 8, "a pattern has 1, 2, 4 or 8 bytes");
        uint64_t pattern = 0;
        std::memcpy(&pattern, &value, sizeof value);
        return submitted([&](weft_request *out) { return weft_fill(get(), to.get(), offset, size, pattern, sizeof(T), how, out); });
    }
    request barrier(const weft_submit *how = nullptr) const {
        return submitted([&](weft_request *out) { return weft_barrier(get(), how, out); });
    }
    request matmul(const weft_matmul_desc &desc, const weft_submit *how = nullptr) const { return operation(weft_matmul, desc, how); }
    request attention(const weft_attention_desc &desc, const weft_submit *how = nullptr) const { return operation(weft_attention, desc, how); }
    request rms_norm(const weft_norm_desc &desc, const weft_submit *how = nullptr) const { return operation(weft_rms_norm, desc, how); }
    request layer_norm(const weft_norm_desc &desc, const weft_submit *how = nullptr) const { return operation(weft_layer_norm, desc, how); }
    request rope(const weft_rope_desc &desc, const weft_submit *how = nullptr) const { return operation(weft_rope, desc, how); }
    request elementwise(const weft_elementwise_desc &desc, const weft_submit *how = nullptr) const { return operation(weft_elementwise, desc, how); }
    request softmax(const weft_softmax_desc &desc, const weft_submit *how = nullptr) const { return operation(weft_softmax, desc, how); }
    request gather_rows(const weft_rows_desc &desc, const weft_submit *how = nullptr) const { return operation(weft_gather_rows, desc, how); }
    request scatter_rows(const weft_rows_desc &desc, const weft_submit *how = nullptr) const { return operation(weft_scatter_rows, desc, how); }
    request top_k(const weft_rank_desc &desc, const weft_submit *how = nullptr) const { return operation(weft_top_k, desc, how); }
    request arg_reduce(const weft_rank_desc &desc, const weft_submit *how = nullptr) const { return operation(weft_arg_reduce, desc, how); }
    request reduce(const weft_reduce_desc &desc, const weft_submit *how = nullptr) const { return operation(weft_reduce, desc, how); }
    request cast(const weft_cast_desc &desc, const weft_submit *how = nullptr) const { return operation(weft_cast, desc, how); }

    /* Until all that was accepted is complete; throws the first failure of a request without a handle. */
    bool drain(nanoseconds timeout = forever) const {
        return detail::patiently(timeout, [&](uint64_t time) { return weft_queue_drain(get(), time); }) != WEFT_TIMEOUT;
    }

private:
    template <class Submit> static request submitted(Submit submit) {
        weft_request handle = 0;
        if (detail::patiently(forever, [&](uint64_t) { return submit(&handle); }) == WEFT_WOULD_BLOCK)
            throw error(WEFT_WOULD_BLOCK, "the queue or the port is full; give weft_submit.timeout_ns, or take completions");
        return request(handle);
    }
    template <class Desc>
    request operation(weft_status (*f)(weft_queue, const Desc *, const weft_submit *, weft_request *), Desc desc, const weft_submit *how) const {
        desc.struct_size = sizeof desc;
        return submitted([&](weft_request *out) { return f(get(), &desc, how, out); });
    }
};

/* Waits for any of several requests: its place. Throws if one that is complete failed. */
inline uint32_t wait_any(const std::vector<weft_request> &requests, nanoseconds timeout = forever) {
    uint32_t index = 0;
    auto count32 = static_cast<uint32_t>(requests.size());
    const weft_status status = detail::patiently(timeout, [&](uint64_t time) {
        return weft_request_wait(requests.data(), count32, WEFT_WAIT_ANY, time, &index);
    });
    if (status == WEFT_TIMEOUT)
        throw error(WEFT_TIMEOUT, "no request completed in time");
    return index;
}

/* Submission options whose completion calls a C++ function in port::dispatch. One function a submission. */
class then {
public:
    then(const port &on, std::function<void(const weft_completion &)> function)
        : options_(make<weft_submit>()), function_(std::make_unique<std::function<void(const weft_completion &)>>(std::move(function))) {
        options_.port = on.get();
        options_.user_data = reinterpret_cast<uint64_t>(function_.get());
        options_.callback = call;
        options_.finalizer = destroy;
    }
    weft_submit &options() noexcept { return options_; }
    /* Submits by `submit(const weft_submit *)`; from here on the completion owns the function. */
    template <class Submit> auto submit(Submit submit) -> decltype(submit(static_cast<const weft_submit *>(nullptr))) {
        auto accepted = submit(static_cast<const weft_submit *>(&options_));
        (void)function_.release();
        return accepted;
    }

private:
    using kept = std::function<void(const weft_completion &)>;
    static void call(uint64_t user, const weft_completion *record) noexcept {
        try {
            (*reinterpret_cast<kept *>(user))(*record);
        } catch (...) {
            if (!port::thrown())
                port::thrown() = std::current_exception();
        }
    }
    /* Also when the port is released first and the function never runs: a future is told by its broken promise. */
    static void destroy(uint64_t user) noexcept { delete reinterpret_cast<kept *>(user); }
    weft_submit options_;
    std::unique_ptr<std::function<void(const weft_completion &)>> function_;
};

/* A std::future that port::dispatch fulfils: its value is the record, or weft::error if the request failed.
 *   auto done = weft::future(port, [&](const weft_submit *how) { return queue.matmul(desc, how); }); */
template <class Submit> std::future<weft_completion> future(const port &on, Submit submit) {
    auto promise = std::make_shared<std::promise<weft_completion>>();
    std::future<weft_completion> result = promise->get_future();
    then options(on, [promise](const weft_completion &record) {
        request done(record.request);
        if (record.status < 0)
            promise->set_exception(std::make_exception_ptr(error(record.status, done.sentence())));
        else
            promise->set_value(record);
    });
    /* From here on the completion, which may have been dispatched elsewhere already, owns the handle. */
    (void)options.submit(submit).release();
    return result;
}

#ifdef WEFT_HAS_COROUTINES
/* co_await weft::completion_of(port, [&](const weft_submit *how) { return queue.matmul(desc, how); }): the coroutine goes
 * on in port::dispatch, with the record; a request that failed throws weft::error there. */
template <class Submit> class awaitable {
public:
    awaitable(const port &on, Submit submit) : port_(on), submit_(std::move(submit)) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> coroutine) {
        then options(port_, [this, coroutine](const weft_completion &record) {
            record_ = record;
            request_ = request(record.request);
            coroutine.resume();
        });
        /* Another thread may go on with the coroutine, and end this object, as soon as the work is accepted. */
        Submit submit = std::move(submit_);
        (void)options.submit(submit).release();
    }
    weft_completion await_resume() const {
        if (record_.status < 0)
            throw error(record_.status, request_.sentence());
        return record_;
    }

private:
    const port &port_;
    Submit submit_;
    request request_;
    weft_completion record_{};
};

template <class Submit> awaitable<Submit> completion_of(const port &on, Submit submit) { return {on, std::move(submit)}; }
#endif

} // namespace weft

#endif
