/* SPDX-License-Identifier: Apache-2.0 */
/* Initial values: splitmix64 (Steele 2014), seeded by FNV-1a of the name. */
#include "stages/model/initial.h"

#include "daemon/base/hash.h"

void
initial_uniform(float *w, size_t n, double bound, uint64_t seed,
                const char *name)
{
    uint64_t state = 0xCBF29CE484222325U;

    for (const char *c = name; *c != '\0'; c++)
        state = (state ^ (unsigned char)*c) * 0x100000001B3U;
    state = hash_mix(state + hash_mix(seed));
    for (size_t i = 0; i < n; i++) {
        state += 0x9E3779B97F4A7C15U;
        w[i] = (float)((double)(hash_mix(state) >> 11) * 0x1p-52 - 1.0);
        w[i] = (float)((double)w[i] * bound);
    }
}
