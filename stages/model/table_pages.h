/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_TABLE_PAGES_H
#define MODEL_TABLE_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * An array of equal items that grows in blocks of about 2 MiB and never moves
 * an item. The directory of blocks is reserved for item_max at the start (the
 * system hands out its pages as they are first used), so no growth copies
 * anything.
 */

/*
 * Huge pages make random access to a large table cheaper (at 10^8 rows most of
 * it is otherwise address translation), but the system clears 2 MiB at once
 * when it gives one: 0.2 ms, and several on a virtual machine whose host finds
 * the memory only then.
 */
enum table_page {
    TABLE_PAGE_SMALL,
    TABLE_PAGE_HUGE, /* asked for in blocks that can fill 2 MiB */
};

struct table_pages {
    unsigned char **blocks;
    size_t item_bytes;
    enum table_page page;
    unsigned shift; /* items a block, as a power of two */
    uint64_t item_max;
    uint64_t bytes; /* of all blocks and the directory */
};

/*
 * table_pages_init prepares for item_max items of item_bytes (a multiple of
 * 4, not 0). False: no memory, and nothing to release. Allocates: the
 * directory.
 */
bool table_pages_init(struct table_pages *p, size_t item_bytes,
                      uint64_t item_max, enum table_page page);

/* table_pages_fini frees every block; a zeroed struct is fine. */
void table_pages_fini(struct table_pages *p);

/*
 * table_pages_reserve makes sure that item i has memory; its first content is
 * undefined. False: no memory, nothing changed. Allocates: at most a block.
 */
bool table_pages_reserve(struct table_pages *p, uint64_t i);

/* table_pages_at lends item i, which must have been reserved. */
static inline void *
table_pages_at(const struct table_pages *p, uint64_t i)
{
    uint64_t inside = i & ((UINT64_C(1) << p->shift) - 1);

    return p->blocks[i >> p->shift] + inside * p->item_bytes;
}

#endif
