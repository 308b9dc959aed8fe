/* Picks one of the likeliest tokens by chance. */
#ifndef SAMPLE_H
#define SAMPLE_H

#include <stdint.h>

/* One of `count` tokens, of probability proportional to exp(logit / temperature); logits are largest first. `*state` is
 * the random numbers': the same seed gives the same choices. */
int32_t sample(const float *logits, const int32_t *tokens, int64_t count, double temperature, uint64_t *state);

#endif
