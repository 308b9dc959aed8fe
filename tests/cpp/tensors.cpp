/* Tensors: dtypes of C++ types, strides, permutations and slices, checked by what the library reads through them. */
#include "expect.hpp"

#include <numeric>

namespace {

static_assert(weft::dtype_of<float>() == WEFT_F32 && weft::dtype_of<double>() == WEFT_F64);
static_assert(weft::dtype_of<bool>() == WEFT_BOOL && weft::dtype_of<signed char>() == WEFT_I8);
static_assert(weft::dtype_of<int16_t>() == WEFT_I16 && weft::dtype_of<int32_t>() == WEFT_I32);
static_assert(weft::dtype_of<int64_t>() == WEFT_I64 && weft::dtype_of<uint8_t>() == WEFT_U8);
static_assert(weft::dtype_of<uint16_t>() == WEFT_U16 && weft::dtype_of<uint32_t>() == WEFT_U32);
static_assert(weft::dtype_of<uint64_t>() == WEFT_U64 && weft::dtype_of<std::complex<float>>() == WEFT_C32);
static_assert(weft::dtype_of<std::complex<double>>() == WEFT_C64);
static_assert(weft::element_size(WEFT_F32) == 4 && weft::element_size(WEFT_F64) == 8 && weft::element_size(WEFT_F16) == 2);
static_assert(weft::element_size(WEFT_BF16) == 2 && weft::element_size(WEFT_F8_E4M3) == 1 && weft::element_size(WEFT_F8_E5M2) == 1);
static_assert(weft::element_size(WEFT_I8) == 1 && weft::element_size(WEFT_I16) == 2 && weft::element_size(WEFT_I32) == 4);
static_assert(weft::element_size(WEFT_I64) == 8 && weft::element_size(WEFT_U8) == 1 && weft::element_size(WEFT_U16) == 2);
static_assert(weft::element_size(WEFT_U32) == 4 && weft::element_size(WEFT_U64) == 8 && weft::element_size(WEFT_BOOL) == 1);
static_assert(weft::element_size(WEFT_C32) == 8 && weft::element_size(WEFT_C64) == 16);
static_assert(weft::element_size(0) == 0 && weft::element_size(18) == 0);

/* What a view shows, packed. */
std::vector<int> seen(const weft::context &context, const weft::queue &queue, const weft_tensor &view, std::size_t count) {
    weft::buffer packed(context, count * sizeof(int));
    weft_tensor y = view;
    y.buffer = packed.get(), y.offset = 0;
    std::fill(std::begin(y.strides), std::end(y.strides), 0);
    std::vector<int> values(count);
    queue.cast(weft::desc::cast(view, y));
    queue.read(packed, values).wait();
    return values;
}

} // namespace

void tensors() {
    weft::context context;
    weft::queue queue(context);
    std::vector<int> numbers(24);
    std::iota(numbers.begin(), numbers.end(), 0);
    weft::buffer buffer(context, 24 * sizeof(int));
    queue.write(buffer, numbers).wait();

    const weft_tensor cube = buffer.tensor<int>({2, 3, 4});
    EXPECT(cube.rank == 3 && cube.dtype == WEFT_I32 && cube.strides[0] == 0 && weft::strided(cube).strides[0] == 12);
    EXPECT(weft::strided(weft::strided(cube)).strides[1] == 4);
    EXPECT(seen(context, queue, cube, 24) == numbers);
    const std::vector<int> turned = seen(context, queue, weft::permuted(cube, {2, 0, 1}), 24);
    EXPECT(turned[0] == 0 && turned[1] == 4 && turned[3] == 12 && turned[6] == 1 && turned[23] == 23);
    const weft_tensor part = weft::sliced(weft::sliced(cube, 1, 1, 3), 2, 3, 4);
    EXPECT((seen(context, queue, part, 4) == std::vector<int>{7, 11, 19, 23}));
    EXPECT((seen(context, queue, buffer.tensor(WEFT_I32, {2, 2}, {-1, 4}, 4), 4) == std::vector<int>{1, 5, 0, 4}));

    const auto refused = [&](auto run) { return thrown(run) == WEFT_ERROR_INVALID_ARGUMENT; };
    EXPECT(refused([&] { buffer.tensor<int>({1, 1, 1, 1, 1, 1, 1, 1, 1}); }));
    EXPECT(refused([&] { buffer.tensor<int>({2, 3}, {1}); }));
    EXPECT(refused([&] { weft::permuted(cube, {0, 1}); }) && refused([&] { weft::permuted(cube, {0, 1, 1}); }));
    EXPECT(refused([&] { weft::permuted(cube, {}); }) && refused([&] { weft::permuted(cube, {0, 1, 3}); }));
    EXPECT(refused([&] { weft::sliced(cube, 3, 0, 1); }) && refused([&] { weft::sliced(cube, 0, -1, 1); }));
    EXPECT(refused([&] { weft::sliced(cube, 0, 1, 0); }) && refused([&] { weft::sliced(cube, 0, 0, 3); }));
    weft_tensor wild = cube;
    wild.rank = 9;
    EXPECT(refused([&] { weft::strided(wild); }));
    EXPECT(weft::permuted(buffer.tensor<int>({}), {}).rank == 0);
}
