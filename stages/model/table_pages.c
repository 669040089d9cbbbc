/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks of items that never move.
 */
#include "stages/model/table_pages.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_BYTES ((size_t)64)
#define ITEM_MAX    (UINT64_C(1) << 32)

/* An array of one block, of the items' own size. */
static bool
is_small(const struct table_pages *p)
{
    return p->item_max * p->item_bytes < TABLE_BLOCK_BYTES;
}

/*
 * Division by a constant as one multiplication (Granlund and Montgomery 1994):
 * with h = block_items / 2, 2^k >= h and magic = ceil(2^(31 + k) / h), the
 * quotient is exact for all i / 2 < 2^31, and the product stays below 2^64.
 */
static void
set_divisor(struct table_pages *p)
{
    uint64_t half = p->block_items / 2;
    unsigned k = 0;

    while (UINT64_C(1) << k < half)
        k++;
    p->shift = 31 + k;
    p->magic = ((UINT64_C(1) << p->shift) + half - 1) / half;
}

bool
table_pages_init(struct table_pages *p, size_t item_bytes, uint64_t item_max)
{
    uint64_t blocks;

    assert(item_bytes > 0 && item_bytes <= TABLE_BLOCK_BYTES / 2);
    assert(item_max > 0 && item_max <= ITEM_MAX);
    memset(p, 0, sizeof(*p));
    p->item_bytes = item_bytes;
    p->item_max = item_max;
    p->block_items = TABLE_BLOCK_BYTES / item_bytes / 2 * 2;
    set_divisor(p);
    blocks = (item_max - 1) / p->block_items + 1;
    p->blocks = calloc(blocks, sizeof(*p->blocks));
    if (p->blocks == NULL)
        return false;
    table_blocks_enter();
    return true;
}

void
table_pages_fini(struct table_pages *p)
{
    if (p->blocks == NULL)
        return;
    if (is_small(p))
        free(p->blocks[0]);
    else
        table_blocks_give(p->blocks, p->block_count);
    table_blocks_leave();
    free(p->blocks);
    memset(p, 0, sizeof(*p));
}

static void *
add_block(const struct table_pages *p)
{
    size_t bytes = (size_t)p->item_max * p->item_bytes;

    if (is_small(p))
        return aligned_alloc(CACHE_BYTES, (bytes + CACHE_BYTES - 1) /
                                              CACHE_BYTES * CACHE_BYTES);
    /* The first block comes page by page: it may be the only one. */
    if (p->block_count == 0)
        return table_blocks_cold();
    if (p->is_brief)
        return table_blocks_borrow();
    return table_blocks_take();
}

bool
table_pages_reserve(struct table_pages *p, uint64_t i)
{
    assert(i < p->item_max);
    if (i >= p->room) {
        assert(i < p->room + p->block_items);
        p->blocks[p->block_count] = add_block(p);
        if (p->blocks[p->block_count] == NULL)
            return false;
        p->block_count++;
        p->room += p->block_items;
    }
    if (i >= p->item_count)
        p->item_count = i + 1;
    /* No longer likely to stay small. */
    if (i == p->block_items / 4 && !is_small(p) && !p->is_brief)
        table_blocks_warm(p->blocks[0]);
    return true;
}

uint64_t
table_pages_bytes(const struct table_pages *p)
{
    uint64_t bytes = p->block_count * sizeof(*p->blocks);

    if (p->block_count > 1)
        return bytes + p->block_count * TABLE_BLOCK_BYTES;
    return bytes + p->item_count * p->item_bytes;
}
