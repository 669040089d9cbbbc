/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_CARVER_H
#define MODEL_CARVER_H

#include <stddef.h>

/*
 * Cuts many arrays from one block of memory, in two rounds of the same calls:
 * the first, without a block, counts what they take. Each begins on a cache
 * line of its own. Thread: one. Allocates: nothing.
 */

#define CARVER_LINE ((size_t)64)

struct carver {
    unsigned char *block; /* NULL: only counts */
    size_t used;          /* bytes */
};

/* carve cuts an array of count items; NULL while it only counts. */
static inline void *
carve(struct carver *c, size_t count, size_t item_bytes)
{
    void *piece = c->block == NULL ? NULL : c->block + c->used;
    size_t bytes = count * item_bytes;

    c->used += (bytes + CARVER_LINE - 1) / CARVER_LINE * CARVER_LINE;
    return piece;
}

#endif
