// Four floats, filled on the device and read back, with the C++ wrapper of an installed Weft.
#include <cstdio>
#include <weft.hpp>

int main() {
    weft::context context;
    weft::queue queue(context);
    weft::buffer x(context, 4 * sizeof(float));
    float numbers[4];
    queue.fill(x, 0, sizeof numbers, 1.5f);
    queue.read(x, 0, numbers, sizeof numbers).wait();
    std::printf("%g %g %g %g\n", numbers[0], numbers[1], numbers[2], numbers[3]);
}
