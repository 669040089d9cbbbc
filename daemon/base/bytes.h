/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include "daemon/base/error.h"

#include <stddef.h>

/*
 * A growing run of bytes with a maximum it is born with.
 *
 *   data [ used ............ | room ........ ] capacity <= max
 *
 * Emptied and filled again it keeps its memory, so that a hot path stops
 * allocating once it has seen its largest use. Thread: one at a time.
 */
struct bytes {
    char *data;
    size_t used;
    size_t capacity;
    size_t max;
};

/* bytes_init makes it empty, with no memory yet. */
void bytes_init(struct bytes *b, size_t max);

/* bytes_fini frees the memory; the struct may be initialized again. */
void bytes_fini(struct bytes *b);

/* bytes_reserve makes room for n more bytes. TOOBIG beyond max, NOMEM. */
must_check enum status bytes_reserve(struct bytes *b, size_t n,
                                     struct error *err);

/* bytes_append copies n bytes to the end. TOOBIG beyond max, NOMEM. */
must_check enum status bytes_append(struct bytes *b, const void *data, size_t n,
                                    struct error *err);

/* bytes_clear empties it and keeps the memory. */
void bytes_clear(struct bytes *b);

#endif
