/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ANNOTATE_DRAW_H
#define ANNOTATE_DRAW_H

#include "stages/batch.h"

#include "daemon/base/hash.h"

/*
 * Chance that a replay repeats: numbers that depend on a seed, on where an
 * event came from and on how often one was drawn, and on nothing else.
 */

/* draw_mix is a step of SplitMix64. */
static inline uint64_t
draw_mix(uint64_t z)
{
    return hash_mix(z + UINT64_C(0x9e3779b97f4a7c15));
}

/* draw_bits gives 64 bits for the turn-th draw of an event. */
static inline uint64_t
draw_bits(uint64_t seed, const struct row_source *source, uint64_t turn)
{
    uint64_t z = draw_mix(seed ^ turn << 32);

    z = draw_mix(z ^ (uint64_t)(uint32_t)source->partition);
    return draw_mix(z ^ (uint64_t)source->offset);
}

/* draw_unit gives a number in [0, 1). */
static inline double
draw_unit(uint64_t seed, const struct row_source *source, uint64_t turn)
{
    return (double)(draw_bits(seed, source, turn) >> 11) * 0x1p-53;
}

#endif
