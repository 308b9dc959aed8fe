/* The job of the C++ examples: 1,000 small matrix products, and one mistake. */
#ifndef JOB_HPP
#define JOB_HPP

#include <weft.hpp>

#include <cstdio>
#include <string>
#include <vector>

constexpr uint32_t products = 1000;

/* Product i is [rows, inner] x [inner, columns]. Elements are small whole numbers, so that results are exact. */
struct job {
    static int64_t rows(uint32_t i) { return 1 + i % 17; }
    static int64_t columns(uint32_t i) { return 1 + i % 13; }
    static int64_t inner(uint32_t i) { return 1 + i % 19; }
    static constexpr uint32_t most = 19 * 19, slot = 1024;

    job()
        : queue(context), port(context, 64), a(context, most * 4), b(context, most * 4), d(context, products * slot),
          index(context, 4) {
        for (uint32_t j = 0; j < most; j++) {
            a_values.push_back(static_cast<float>(j % 7) - 3);
            b_values.push_back(static_cast<float>(j % 5) - 2);
        }
        queue.write(a, a_values);
        queue.write(b, b_values);
        queue.fill(index, 0, 4, 99);
    }
    weft_matmul_desc product(uint32_t i) const {
        return weft::desc::matmul(a.tensor<float>({rows(i), inner(i)}), b.tensor<float>({inner(i), columns(i)}),
                                  d.tensor<float>({rows(i), columns(i)}, {}, i * uint64_t{slot}));
    }
    /* Row 99 of a table of one row. The index lies in a buffer, so that only the running request can know. */
    weft_rows_desc mistake() const {
        return weft::desc::rows(a.tensor<float>({1, 1}), index.tensor<int32_t>({1}), b.tensor<float>({1, 1}));
    }
    /* Compares the results with a plain computation, and prints a line: the exit code. */
    int end(const char *loop, const std::string &said) const {
        std::vector<float> results(products * slot / 4);
        uint32_t good = 0;
        queue.read(d, results).wait();
        for (uint32_t i = 0; i < products; i++)
            good += right(&results[i * (slot / 4)], i) ? 1 : 0;
        const bool as_expected = said.find("WEFT_ERROR_OUT_OF_RANGE: ") == 0 && said.find("99") != std::string::npos;
        std::printf("%s\n%s: %u of %u products right, %d mistake answered\n", said.c_str(), loop, good, products, as_expected);
        return good == products && as_expected ? 0 : 1;
    }

    /* Opened first, released last; the other way round would be fine, too. */
    weft::context context;
    weft::queue queue;
    weft::port port;
    weft::buffer a, b, d, index;
    std::vector<float> a_values, b_values;

private:
    bool right(const float *found, uint32_t i) const {
        for (int64_t row = 0; row < rows(i); row++)
            for (int64_t column = 0; column < columns(i); column++) {
                float sum = 0;
                for (int64_t k = 0; k < inner(i); k++)
                    sum += a_values.data()[row * inner(i) + k] * b_values.data()[k * columns(i) + column];
                if (found[row * columns(i) + column] != sum)
                    return false;
            }
        return true;
    }
};

#endif
