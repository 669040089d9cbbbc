/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_TABLE_PAGES_H
#define MODEL_TABLE_PAGES_H

#include "stages/model/table_blocks.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * An array of equal items that grows in blocks of 2 MiB and never moves an
 * item; one that cannot outgrow a block is as small as its items. The directory
 * of blocks is reserved for item_max at the start (the system hands out its
 * pages as they are first used), so no growth copies anything.
 */
struct table_pages {
    unsigned char **blocks;
    size_t item_bytes;
    uint64_t block_items; /* even */
    uint64_t magic;       /* i / block_items is (i / 2 * magic) >> shift */
    unsigned shift;
    uint64_t item_max;
    uint64_t room;       /* items that have memory */
    uint64_t item_count; /* items ever reserved */
    size_t block_count;
    bool is_brief; /* set after init: the blocks go back soon */
};

/*
 * table_pages_init prepares for item_max items (1 to 2^32) of item_bytes (a
 * multiple of 4, 1 MiB at most, not 0). False: no memory, and nothing to
 * release. Allocates: the directory.
 */
bool table_pages_init(struct table_pages *p, size_t item_bytes,
                      uint64_t item_max);

/* table_pages_fini frees every block; a zeroed struct is fine. */
void table_pages_fini(struct table_pages *p);

/*
 * table_pages_reserve makes sure that item i has memory; its first content is
 * undefined. Items come in order. False: no memory, nothing changed. Allocates:
 * at most a block.
 */
bool table_pages_reserve(struct table_pages *p, uint64_t i);

/* table_pages_bytes is the memory it holds; of the first block that much alone
 * that items have used. */
uint64_t table_pages_bytes(const struct table_pages *p);

/* table_pages_at lends item i, which must have been reserved. */
static inline void *
table_pages_at(const struct table_pages *p, uint64_t i)
{
    uint64_t block = (i >> 1) * p->magic >> p->shift;

    return p->blocks[block] + (i - block * p->block_items) * p->item_bytes;
}

#endif
