/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one file that knows libxxhash.
 */
#include "daemon/base/hash.h"

#include <assert.h>
#include <xxhash.h>

uint64_t
hash64(const void *bytes, size_t len)
{
    assert(bytes != NULL || len == 0);
    return XXH64(bytes, len, 0);
}

uint64_t
hash64_seeded(const void *bytes, size_t len, uint64_t seed)
{
    assert(bytes != NULL || len == 0);
    return XXH64(bytes, len, seed);
}
