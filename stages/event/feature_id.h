/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EVENT_FEATURE_ID_H
#define EVENT_FEATURE_ID_H

#include "stages/event/spec.h"

#include <stddef.h>
#include <stdint.h>

/*
 * From a categorical value to its id. The rule is part of what we publish:
 *
 *   id = xxh64(name, 0x1F, value; seed 0) & (2^53 - 1), and 1 in place of 0
 *
 * name and value are UTF-8 bytes, as they come, without normalization. A value
 * that is no string is hashed as its canonical text (value_text in scan.h):
 * integers as decimal digits, so that 7 and "7" are one id, booleans as "true"
 * and "false". Fractions are no ids. Bucket k of a number is the value "k".
 */

/* The longest value, in bytes. */
#define FEATURE_ID_BYTES_MAX 256

#define FEATURE_ID_MASK ((UINT64_C(1) << 53) - 1)

/*
 * feature_id gives the id of a value of len <= FEATURE_ID_BYTES_MAX bytes, the
 * name at most EVENT_NAME_MAX. Thread: any. Allocates: nothing.
 */
uint64_t feature_id(const char *name, const void *value, size_t len);

/* A feature's name, ready for many values. */
struct feature_hasher {
    size_t prefix_bytes;
    size_t joint_at;      /* whole words of 8 bytes in prefix */
    unsigned joint_shift; /* bits of the bytes behind them, */
    uint64_t joint;       /* and these bytes */
    unsigned char prefix[EVENT_NAME_MAX + 1]; /* the name and 0x1F */
};

/* feature_hasher_init copies the name. */
void feature_hasher_init(struct feature_hasher *h, const char *name);

/* feature_hasher_id is feature_id for this name. Thread: any. Allocates and
 * copies nothing. */
uint64_t feature_hasher_id(const struct feature_hasher *h, const void *value,
                           size_t len);

#endif
