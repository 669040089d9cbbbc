/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* hash64 is XXH64 with seed 0: fast, the same on every machine, and no
 * defense against someone who wants collisions. Thread: any. */
uint64_t hash64(const void *bytes, size_t len);

/* hash64_seeded is XXH64 with a seed of its own. Thread: any. */
uint64_t hash64_seeded(const void *bytes, size_t len, uint64_t seed);

/* hash_mix spreads 64 bits over 64: the output function of SplitMix64 (Steele,
 * Lea and Flood 2014). Thread: any. */
static inline uint64_t
hash_mix(uint64_t z)
{
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

#endif
