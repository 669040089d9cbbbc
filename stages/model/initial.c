/* SPDX-License-Identifier: Apache-2.0 */
/* Initial values: splitmix64 (Steele 2014), seeded by FNV-1a of the name. */
#include "stages/model/initial.h"

static uint64_t
mix(uint64_t v)
{
    v = (v ^ (v >> 30)) * 0xBF58476D1CE4E5B9U;
    v = (v ^ (v >> 27)) * 0x94D049BB133111EBU;
    return v ^ (v >> 31);
}

void
initial_uniform(float *w, size_t n, double bound, uint64_t seed,
                const char *name)
{
    uint64_t state = 0xCBF29CE484222325U;

    for (const char *c = name; *c != '\0'; c++)
        state = (state ^ (unsigned char)*c) * 0x100000001B3U;
    state = mix(state + mix(seed));
    for (size_t i = 0; i < n; i++) {
        state += 0x9E3779B97F4A7C15U;
        w[i] = (float)((double)(mix(state) >> 11) * 0x1p-52 - 1.0);
        w[i] = (float)((double)w[i] * bound);
    }
}
