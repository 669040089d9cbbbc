/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ids: one hash over name, separator and value. Both lie side by side in one
 * small buffer, which for such short input beats copying a hash state.
 */
#include "stages/event/feature_id.h"

#include "daemon/base/hash.h"

#include <assert.h>
#include <string.h>

#define NAME_END 0x1F

void
feature_hasher_init(struct feature_hasher *h, const char *name)
{
    size_t len = strlen(name);

    assert(h != NULL && len <= EVENT_NAME_MAX);
    memcpy(h->text, name, len);
    h->text[len] = NAME_END;
    h->prefix_bytes = len + 1;
}

uint64_t
feature_hasher_id(struct feature_hasher *h, const void *value, size_t len)
{
    uint64_t id;

    assert(len <= FEATURE_ID_BYTES_MAX && (value != NULL || len == 0));
    if (len > 0)
        memcpy(h->text + h->prefix_bytes, value, len);
    id = hash64(h->text, h->prefix_bytes + len) & FEATURE_ID_MASK;
    return id != ID_MISSING ? id : 1;
}

uint64_t
feature_id(const char *name, const void *value, size_t len)
{
    struct feature_hasher h;

    feature_hasher_init(&h, name);
    return feature_hasher_id(&h, value, len);
}
