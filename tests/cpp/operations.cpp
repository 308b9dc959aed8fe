/* Every operation through the wrapper, throwing and not, with a result that shows that the right one ran. */
#include "expect.hpp"

#include <cmath>

namespace {

weft::context *device;
weft::queue *queue;

/* A buffer with these values, and what is in it. */
struct floats {
    explicit floats(std::vector<float> given) : values(std::move(given)), buffer(*device, values.size() * sizeof(float)) {
        queue->write(buffer, values).wait();
    }
    weft_tensor operator()(std::initializer_list<int64_t> dims) const { return buffer.tensor<float>(dims); }
    bool holds(std::initializer_list<float> expected) {
        queue->read(buffer, values).wait();
        bool same = values.size() == expected.size();
        for (std::size_t i = 0; same && i < values.size(); i++)
            same = std::fabs(values[i] - expected.begin()[i]) < 1e-5f;
        return same;
    }
    std::vector<float> values;
    weft::buffer buffer;
};

void transfers() {
    weft::buffer a(*device, 16), b(*device, 16);
    const uint32_t numbers[] = {1, 2, 3, 4};
    uint32_t back[4] = {};
    {
        uint32_t gone[] = {1, 2, 3, 4};
        queue->write(a, 0, gone, sizeof gone, weft::options().copy_host().user_data(3));
        std::memset(gone, 0, sizeof gone);
    }
    queue->copy(a, 0, b, 8, 8);
    queue->fill(b, 0, 4, uint16_t{7});
    queue->read(b, 0, back, sizeof back).wait();
    EXPECT(back[0] == 0x00070007 && back[1] == 0 && back[2] == 1 && back[3] == 2);
    EXPECT(queue->try_write(a, 0, numbers, 16) && queue->try_copy(a, 0, b, 0, 16) && queue->try_fill(b, 12, 4, 9.5f));
    EXPECT(queue->try_read(b, 0, back, 16)->wait() && back[1] == 2);
    EXPECT(queue->barrier().wait() && queue->try_barrier()->wait());

    EXPECT(queue->try_write(a, 1, numbers, 16).status() == WEFT_ERROR_INVALID_ARGUMENT);
    EXPECT(!queue->try_read(a, 17, back, 1) && !queue->try_copy(a, 0, a, 1, 2) && !queue->try_fill(a, 1, 4, 1.0f));
    EXPECT(thrown([&] { queue->write(a, 1, numbers, 16); }) == WEFT_ERROR_INVALID_ARGUMENT);
    EXPECT(thrown([&] { queue->read(weft::buffer(), 0, back, 1); }) == WEFT_ERROR_INVALID_ARGUMENT);
    std::vector<float> longer(5);
    EXPECT(thrown([&] { queue->read(a, longer); }) == WEFT_ERROR_INVALID_ARGUMENT);
}

/* Both ways: the operation runs twice over, and refuses a descriptor of nothing twice. */
#define BOTH(operation, descriptor) \
    do { \
        EXPECT(queue->operation(descriptor).wait()); \
        auto again = queue->try_##operation(descriptor); \
        EXPECT(again && again->wait()); \
        const std::remove_const_t<std::remove_reference_t<decltype(descriptor)>> nothing{}; \
        EXPECT(thrown([&] { queue->operation(nothing); }) < 0 && queue->try_##operation(nothing).status() < 0); \
    } while (0)

void algebra() {
    floats a({1, 2, 3, 4}), b({5, 6, 7, 8}), d({0, 0, 0, 0});
    auto product = weft::desc::matmul(a({2, 2}), b({2, 2}), d({2, 2}));
    BOTH(matmul, product);
    EXPECT(d.holds({19, 22, 43, 50}));
    product.a = weft::permuted(product.a, {1, 0});
    queue->matmul(product);
    EXPECT(d.holds({26, 30, 38, 44}));

    floats e({0, 0, 0, 0});
    const std::vector<weft_matmul_desc> list{product, weft::desc::matmul(a({2, 2}), b({2, 2}), e({2, 2}))};
    EXPECT(queue->matmul_grouped(list).wait() && queue->try_matmul_grouped(list)->wait());
    EXPECT(d.holds({26, 30, 38, 44}) && e.holds({19, 22, 43, 50}));
    EXPECT(queue->matmul_grouped({}).wait() && !queue->try_matmul_grouped({list[0], list[0]}));
    floats o({0, 0, 0, 0});
    const auto look = weft::desc::attention(a({1, 1, 2, 2}), a({1, 1, 2, 2}), b({1, 1, 2, 2}), o({1, 1, 2, 2}));
    auto causal = look;
    causal.flags = WEFT_ATTENTION_CAUSAL;
    BOTH(attention, causal);
    EXPECT(o.holds({5, 6, 6.9998996f, 7.9998996f}));
}

void rows_of_numbers() {
    floats x({3, 4, 0, 0}), one({1, 1, 1, 1}), y({0, 0, 0, 0});
    BOTH(rms_norm, weft::desc::norm(x({4}), one({4}), y({4})));
    EXPECT(y.holds({3 / std::sqrt(6.25f + 1e-5f), 4 / std::sqrt(6.25f + 1e-5f), 0, 0}));
    BOTH(layer_norm, weft::desc::norm(weft::sliced(x({4}), 0, 0, 2), {}, weft::sliced(y({4}), 0, 0, 2)));
    EXPECT(std::fabs(y.values[0]) > 0 && y.holds({-0.99998f, 0.99998f, 0, 0}));
    BOTH(softmax, weft::desc::softmax(one({4}), y({4})));
    EXPECT(y.holds({0.25f, 0.25f, 0.25f, 0.25f}));
    BOTH(rope, weft::desc::rope(x({1, 1, 1, 4}), y({1, 1, 1, 4}), 1));
    EXPECT(y.holds({3 * std::cos(1.0f) - 4 * std::sin(1.0f), 4 * std::cos(1.0f) + 3 * std::sin(1.0f), 0, 0}));
    BOTH(elementwise, weft::desc::elementwise(WEFT_EW_FMA, y({4}), x({4}), one({4}), one({4})));
    EXPECT(y.holds({4, 5, 1, 1}));
    BOTH(reduce, weft::desc::reduce(WEFT_REDUCE_SUM, x({2, 2}), weft::sliced(y({4}), 0, 0, 2), 2));
    EXPECT(y.holds({7, 0, 1, 1}));
    weft::buffer halves(*device, 8);
    BOTH(cast, weft::desc::cast(x({4}), halves.tensor(WEFT_F16, {4})));
    queue->cast(weft::desc::cast(halves.tensor(WEFT_F16, {4}), y({4})));
    EXPECT(y.holds({3, 4, 0, 0}));
}

void linear_algebra() {
    floats a({1, 2, 3, 4}), x({1, 1, 0, 0}), y({0, 0, 0, 0}), one({0, 0, 0, 0});
    const auto x2 = weft::sliced(x({4}), 0, 0, 2), y2 = weft::sliced(y({4}), 0, 0, 2);
    BOTH(gemv, weft::desc::gemv(2, a({2, 2}), x2, 0, y2));
    EXPECT(y.holds({6, 14, 0, 0}));
    queue->axpy(weft::desc::axpy(-4, x2, y2));
    EXPECT(y.holds({2, 10, 0, 0}));
    BOTH(swap, weft::desc::swap(x({4}), y({4})));
    queue->scal(weft::desc::scal(0.5, y({4})));
    EXPECT(y.holds({1, 5, 0, 0}));
    queue->rot(weft::desc::rot(0, 1, x({4}), y({4})));
    EXPECT(x.holds({1, 5, 0, 0}) && y.holds({-1, -1, 0, 0}));
    auto result = weft::sliced(one({4}), 0, 0, 1);
    result.rank = 0;
    BOTH(dot, weft::desc::dot(a({4}), x({4}), result));
    EXPECT(one.holds({11, 0, 0, 0}));
    BOTH(asum, weft::desc::vector(a({4}), result));
    EXPECT(one.holds({10, 0, 0, 0}));
    BOTH(nrm2, weft::desc::vector(y({4}), result));
    EXPECT(one.holds({std::sqrt(2.0f), 0, 0, 0}));
    weft::buffer where(*device, 4);
    auto index = where.tensor(WEFT_I32, {1});
    index.rank = 0;
    BOTH(iamax, weft::desc::vector(a({4}), index));
    int32_t found = -1;
    queue->read(where, 0, &found, sizeof found).wait();
    EXPECT(found == 3);
    queue->ger(weft::desc::ger(1, x2, x2, a({2, 2})));
    EXPECT(a.holds({2, 7, 8, 29}));
    queue->syrk(weft::desc::syrk(1, a({2, 2}), 0, y({2, 2})));
    EXPECT(y.holds({53, -1, 219, 905}));
    floats triangle({2, 0, 1, 4});
    queue->trsm(weft::desc::trsm(1, triangle({2, 2}), x({2, 2})));
    EXPECT(x.holds({0.5f, 2.5f, -0.125f, -0.625f}));
}

/* The CPU device runs no PTX, and says so; what goes to a kernel is made all the same. */
void kernels() {
    const std::string text = ".version 7.0\n.target sm_80\n.address_size 64\n";
    std::string log(100, '?');
    EXPECT(weft::program::try_create(*device, text, &log).status() == WEFT_ERROR_UNSUPPORTED);
    EXPECT(thrown([&] { weft::program program(*device, text); }) == WEFT_ERROR_UNSUPPORTED);
    EXPECT(thrown([&] { weft::program().kernel("x"); }) == WEFT_ERROR_INVALID_ARGUMENT);
    weft::buffer buffer(*device, 8);
    const weft_argument arguments[] = {weft::argument(buffer, 4), weft::argument(2.5f), weft::argument(uint64_t{7})};
    float real = 0;
    std::memcpy(&real, arguments[1].bytes, sizeof real);
    EXPECT(arguments[0].kind == WEFT_ARGUMENT_BUFFER && arguments[0].buffer == buffer.get() && arguments[0].offset == 4);
    EXPECT(arguments[1].kind == WEFT_ARGUMENT_BYTES && arguments[1].size == 4 && real == 2.5f && arguments[2].size == 8);
    const weft_launch_desc desc = weft::desc::launch(weft::kernel(), {3, 2}, {256}, arguments, 16);
    EXPECT(desc.grid[0] == 3 && desc.grid[1] == 2 && desc.grid[2] == 1 && desc.block[0] == 256 && desc.block[1] == 1);
    EXPECT(desc.argument_count == 3 && desc.arguments == arguments && desc.shared == 16);
    EXPECT(queue->try_launch(desc).status() == WEFT_ERROR_UNSUPPORTED);
    EXPECT(thrown([&] { queue->launch(desc); }) == WEFT_ERROR_UNSUPPORTED);
}

void places() {
    floats table({1, 2, 3, 4, 5, 6}), rows({0, 0, 0, 0}), best({0});
    const std::vector<int32_t> order{2, 0};
    weft::buffer indices(*device, 8), at(*device, 8);
    queue->write(indices, order).wait();
    BOTH(gather_rows, weft::desc::rows(table({3, 2}), indices.tensor<int32_t>({2}), rows({2, 2})));
    EXPECT(rows.holds({5, 6, 1, 2}));
    queue->fill(rows.buffer, 0, 16, 9.0f);
    BOTH(scatter_rows, weft::desc::rows(table({3, 2}), indices.tensor<int32_t>({2}), rows({2, 2})));
    EXPECT(table.holds({9, 9, 3, 4, 9, 9}));
    BOTH(top_k, weft::desc::rank(table({6}), best({1}), at.tensor<int64_t>({1})));
    EXPECT(best.holds({9}));
    std::vector<int64_t> place(1, -1);
    const auto least = [&] {
        auto desc = weft::desc::rank(table({6}), {}, at.tensor<int64_t>({1}));
        desc.flags = WEFT_RANK_SMALLEST;
        return desc;
    }();
    BOTH(arg_reduce, least);
    queue->read(at, place).wait();
    EXPECT(place[0] == 2);
    // An index out of range fails when the request runs.
    queue->fill(indices, 0, 4, 17);
    weft::request wrong = queue->gather_rows(weft::desc::rows(table({3, 2}), indices.tensor<int32_t>({2}), rows({2, 2})));
    EXPECT(thrown([&] { wrong.wait(); }) == WEFT_ERROR_OUT_OF_RANGE && wrong.sentence().find("17") != std::string::npos);
}

} // namespace

void operations() {
    weft::context context;
    weft::queue stream(context);
    device = &context, queue = &stream;
    transfers();
    algebra();
    rows_of_numbers();
    linear_algebra();
    kernels();
    places();
}
