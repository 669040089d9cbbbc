/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EVENT_KEY_H
#define EVENT_KEY_H

#include "daemon/base/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * Keys of objects in a form that is cheap to compare: up to 15 bytes are the
 * two words themselves, filled up with zeros (no key contains NUL, so the
 * length is in them); longer ones are a hash and a mark in the last byte.
 */

#define KEY_SHORT_MAX 15
#define KEY_LONG_MARK (UINT64_C(0xFF) << 56)

struct key {
    uint64_t low;
    uint64_t high;
    uint64_t hash;
    const char *text; /* its characters; borrowed */
    size_t len;
    const char *raw; /* as it stands in the record, where it stands there */
    size_t raw_bytes;
};

/* key_mix sets the hash of low and high. */
static inline void
key_mix(struct key *key)
{
    uint64_t h = (key->low ^ (key->high << 29 | key->high >> 35)) *
                 UINT64_C(0x9E3779B97F4A7C15);

    key->hash = (h ^ h >> 32) * UINT64_C(0xC2B2AE3D27D4EB4F);
}

/* key_set makes the key of some text, which it borrows. Thread: any. */
static inline void
key_set(struct key *key, const char *text, size_t len)
{
    key->text = text;
    key->len = len;
    key->raw = text;
    key->raw_bytes = len;
    if (len <= KEY_SHORT_MAX) {
        uint64_t words[2] = {0, 0};

        memcpy(words, text, len);
        key->low = words[0];
        key->high = words[1];
    } else {
        key->low = hash64(text, len);
        key->high = KEY_LONG_MARK | len;
    }
    key_mix(key);
}

/* key_is says whether a key is this short word. */
static inline bool
key_is(const struct key *key, const char *word)
{
    size_t len = strlen(word);

    return key->len == len && memcmp(key->text, word, len) == 0;
}

#endif
