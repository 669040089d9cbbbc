/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks of items that never move.
 */
#include "stages/model/table_pages.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>

#define HUGE_BYTES  ((size_t)2 << 20)
#define CACHE_BYTES ((size_t)64)

static uint64_t
count_blocks(const struct table_pages *p)
{
    return ((p->item_max - 1) >> p->shift) + 1;
}

/* A table that stays below one block gets a block of its own size. */
static size_t
measure_block(const struct table_pages *p)
{
    uint64_t items = UINT64_C(1) << p->shift;
    size_t bytes;

    if (items > p->item_max)
        items = p->item_max;
    bytes = (size_t)items * p->item_bytes;
    return (bytes + CACHE_BYTES - 1) / CACHE_BYTES * CACHE_BYTES;
}

static void *
allocate_block(size_t bytes, enum table_page page)
{
    void *block = NULL;

    if (bytes < HUGE_BYTES || page == TABLE_PAGE_SMALL)
        return aligned_alloc(CACHE_BYTES, bytes);
    if (posix_memalign(&block, HUGE_BYTES, bytes) != 0)
        return NULL;
    /* Advice only: without huge pages the table is slower, not wrong. The
     * first touch fetches the page now instead of with the first row. */
    (void)madvise(block, bytes, MADV_HUGEPAGE);
    *(unsigned char *)block = 0;
    return block;
}

bool
table_pages_init(struct table_pages *p, size_t item_bytes, uint64_t item_max,
                 enum table_page page)
{
    uint64_t blocks;

    assert(item_bytes > 0 && item_max > 0);
    p->item_bytes = item_bytes;
    p->item_max = item_max;
    p->page = page;
    p->shift = 0;
    while (item_bytes << p->shift < HUGE_BYTES)
        p->shift++;
    blocks = count_blocks(p);
    p->blocks = calloc(blocks, sizeof(*p->blocks));
    p->bytes = 0;
    return p->blocks != NULL;
}

void
table_pages_fini(struct table_pages *p)
{
    if (p->blocks == NULL)
        return;
    /* Items are reserved in order, so the first gap is the end. */
    for (uint64_t i = 0; i < count_blocks(p) && p->blocks[i] != NULL; i++)
        free(p->blocks[i]);
    free(p->blocks);
    p->blocks = NULL;
}

bool
table_pages_reserve(struct table_pages *p, uint64_t i)
{
    unsigned char **block;

    assert(i < p->item_max);
    block = &p->blocks[i >> p->shift];
    if (*block != NULL)
        return true;
    assert(i >> p->shift == 0 || block[-1] != NULL);
    *block = allocate_block(measure_block(p), p->page);
    if (*block == NULL)
        return false;
    p->bytes += measure_block(p) + sizeof(*block);
    return true;
}
