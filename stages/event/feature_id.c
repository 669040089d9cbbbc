/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ids: XXH64 over name, separator and value, which lie in two places. The hash
 * eats words of 8 bytes; all but one of them come from one place alone, so
 * nothing has to be copied together first. The algorithm is in the xxHash
 * specification, "XXH64 algorithm description"; the test compares every
 * length with the library.
 */
#include "stages/event/feature_id.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

#define NAME_END 0x1F
#define WORD     8
#define STRIPE   4 /* words that long input is eaten by */

#define PRIME_1 UINT64_C(0x9E3779B185EBCA87)
#define PRIME_2 UINT64_C(0xC2B2AE3D27D4EB4F)
#define PRIME_3 UINT64_C(0x165667B19E3779F9)
#define PRIME_4 UINT64_C(0x85EBCA77C2B2AE63)
#define PRIME_5 UINT64_C(0x27D4EB2F165667C5)

static uint64_t
rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static uint64_t
load_word(const unsigned char *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof(word));
    return le64toh(word);
}

static uint64_t
load_half(const unsigned char *p)
{
    uint32_t half;

    memcpy(&half, p, sizeof(half));
    return le32toh(half);
}

/* count < 8 bytes as a word, zeros above. Loads that overlap agree where they
 * do. */
static uint64_t
load_some(const unsigned char *p, size_t count)
{
    if (count >= 4)
        return load_half(p) | load_half(p + count - 4) << (8 * (count - 4));
    if (count == 0)
        return 0;
    return p[0] | (uint64_t)p[count / 2] << (8 * (count / 2)) |
           (uint64_t)p[count - 1] << (8 * (count - 1));
}

static uint64_t
mix(uint64_t lane, uint64_t word)
{
    return rotate(lane + word * PRIME_2, 31) * PRIME_1;
}

static uint64_t
merge(uint64_t h, uint64_t lane)
{
    return (h ^ mix(0, lane)) * PRIME_1 + PRIME_4;
}

static uint64_t
eat(uint64_t h, uint64_t word)
{
    return rotate(h ^ mix(0, word), 27) * PRIME_1 + PRIME_4;
}

/* What is hashed: the words of the prefix; the word with its end and the
 * value's start; the words of the value behind that. */
struct input {
    const struct feature_hasher *hasher;
    uint64_t joint;
    const unsigned char *value;
};

static uint64_t
word_at(const struct input *in, size_t i)
{
    const struct feature_hasher *h = in->hasher;

    if (i < h->joint_at)
        return load_word(h->prefix + i * WORD);
    return i == h->joint_at ? in->joint
                            : load_word(in->value + i * WORD - h->prefix_bytes);
}

/* All whole stripes of the input; *at is the first word behind them. */
static uint64_t
eat_stripes(const struct input *in, size_t words, size_t *at)
{
    uint64_t lanes[STRIPE] = {PRIME_1 + PRIME_2, PRIME_2, 0, -PRIME_1};
    uint64_t h;
    size_t i = 0;

    for (; i + STRIPE <= words; i += STRIPE) {
        for (size_t k = 0; k < STRIPE; k++)
            lanes[k] = mix(lanes[k], word_at(in, i + k));
    }
    *at = i;
    h = rotate(lanes[0], 1) + rotate(lanes[1], 7) + rotate(lanes[2], 12) +
        rotate(lanes[3], 18);
    for (size_t k = 0; k < STRIPE; k++)
        h = merge(h, lanes[k]);
    return h;
}

/* The steps for the last bytes are all computed and then taken or not: how
 * many there are changes from value to value, and no branch can be foreseen. */
static uint64_t
finish(uint64_t h, uint64_t rest, size_t count)
{
    uint64_t half = h ^ (rest & UINT32_MAX) * PRIME_1;

    half = rotate(half, 23) * PRIME_2 + PRIME_3;
    h = count >= 4 ? half : h;
    rest = count >= 4 ? rest >> 32 : rest;
    count %= 4;
    for (size_t k = 0; k < 3; k++, rest >>= 8) {
        uint64_t step = rotate(h ^ (rest & 0xFF) * PRIME_5, 11) * PRIME_1;

        h = k < count ? step : h;
    }
    h = (h ^ h >> 33) * PRIME_2;
    h = (h ^ h >> 29) * PRIME_3;
    return h ^ h >> 32;
}

void
feature_hasher_init(struct feature_hasher *h, const char *name)
{
    size_t len = strlen(name);

    assert(h != NULL && len <= EVENT_NAME_MAX);
    memcpy(h->prefix, name, len);
    h->prefix[len] = NAME_END;
    h->prefix_bytes = len + 1;
    h->joint_at = h->prefix_bytes / WORD;
    h->joint_shift = 8 * (unsigned)(h->prefix_bytes % WORD);
    h->joint =
        load_some(h->prefix + h->joint_at * WORD, h->prefix_bytes % WORD);
}

uint64_t
feature_hasher_id(const struct feature_hasher *h, const void *value, size_t len)
{
    struct input in = {.hasher = h, .value = value};
    size_t bytes = h->prefix_bytes + len;
    size_t words = bytes / WORD;
    size_t count = bytes % WORD;
    uint64_t hash = PRIME_5;
    uint64_t start;
    uint64_t rest;
    size_t at = 0;

    assert(len <= FEATURE_ID_BYTES_MAX && (value != NULL || len == 0));
    start = len >= WORD ? load_word(in.value) : load_some(in.value, len);
    in.joint = h->joint | start << h->joint_shift;
    if (words >= STRIPE)
        hash = eat_stripes(&in, words, &at);
    hash += bytes;
    for (; at < words; at++)
        hash = eat(hash, word_at(&in, at));
    if (words == h->joint_at)
        rest = in.joint;
    else if (len >= WORD)
        rest = load_word(in.value + len - WORD) >> (8 * (WORD - count) % 64);
    else
        rest = start >> (8 * (len - count));
    hash = finish(hash, rest, count) & FEATURE_ID_MASK;
    return hash != ID_MISSING ? hash : 1;
}

uint64_t
feature_id(const char *name, const void *value, size_t len)
{
    struct feature_hasher h;

    feature_hasher_init(&h, name);
    return feature_hasher_id(&h, value, len);
}
