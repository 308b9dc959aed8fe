#include "sample.h"

#include "die.h"

#include <math.h>

/* SplitMix64 (Steele, Lea and Flood, 2014), as a number from 0 to 1, 1 excluded. */
static double uniform(uint64_t *state) {
    uint64_t bits = *state += 0x9e3779b97f4a7c15u;
    bits = (bits ^ bits >> 30) * 0xbf58476d1ce4e5b9u;
    bits = (bits ^ bits >> 27) * 0x94d049bb133111ebu;
    bits ^= bits >> 31;
    return (double)(bits >> 11) * 0x1p-53;
}

/* exp(logit / temperature), relative to the likeliest token's. */
static double weight(const float *logits, int64_t i, double temperature) {
    return exp(((double)logits[i] - logits[0]) / temperature);
}

int32_t sample(const float *logits, const int32_t *tokens, int64_t count, double temperature, uint64_t *state) {
    double total = 0;
    for (int64_t i = 0; i < count; i++) total += weight(logits, i, temperature);
    if (!isfinite(total)) die(FAILED, "the model's logits are not finite");
    double left = uniform(state) * total;
    for (int64_t i = 0; i + 1 < count; i++) {
        left -= weight(logits, i, temperature);
        if (left < 0) return tokens[i];
    }
    return tokens[count - 1];
}
