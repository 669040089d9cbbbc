/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks of memory for tables, and arrays made of them.
 */
#include "stages/model/table.h"
#include "stages/model/table_pages.h"

#include "tests/support/check.h"
#include "tests/support/table_case.h"

#include <pthread.h>
#include <stdlib.h>

enum { BLOCKS = 20, ROUNDS = 5, THREADS = 3 };

static void
test_pages_find_every_item_whatever_its_size(void)
{
    static const size_t sizes[] = {4,   12,   16,    64,     136,
                                   340, 4096, 16384, 786420, 1048576};
    enum { ITEMS = 50000, BIG_ITEMS = 50 };

    for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
        uint32_t count = sizes[k] > 400 ? BIG_ITEMS : ITEMS;
        struct table_pages p;
        uint32_t wrong = 0;

        CHECK(table_pages_init(&p, sizes[k], UINT32_C(1) << 20));
        for (uint32_t i = 0; i < count; i++) {
            CHECK(table_pages_reserve(&p, i));
            *(uint32_t *)table_pages_at(&p, i) = i;
        }
        for (uint32_t i = 0; i < count; i++) {
            const unsigned char *at = table_pages_at(&p, i);
            uint64_t block = i / p.block_items;

            wrong += at != p.blocks[block] + i % p.block_items * sizes[k] ||
                     *(const uint32_t *)(const void *)at != i;
        }
        CHECK_INT(wrong, 0);
        CHECK(table_pages_bytes(&p) >= count * sizes[k]);
        table_pages_fini(&p);
    }
}

/* The multiplication that stands for a division, at its ends. */
static void
test_pages_divide_exactly_up_to_the_last_item(void)
{
    static const size_t sizes[] = {4, 8, 12, 64, 136, 340, 1044};

    for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
        struct table_pages p;
        uint64_t last;
        uint64_t wrong = 0;

        CHECK(table_pages_init(&p, sizes[k], UINT64_C(1) << 32));
        last = p.item_max / p.block_items * p.block_items;
        for (uint64_t i = last - 4 * p.block_items; i <= last;
             i += p.block_items) {
            wrong +=
                ((i - 1) >> 1) * p.magic >> p.shift != (i - 1) / p.block_items;
            wrong += (i >> 1) * p.magic >> p.shift != i / p.block_items;
        }
        CHECK_INT(wrong, 0);
        table_pages_fini(&p);
    }
}

/* Writes to every page of a block and reads it back. */
static void *
use_blocks(void *arg)
{
    unsigned char *blocks[BLOCKS];
    size_t *wrong = arg;

    table_blocks_enter();
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < BLOCKS; i++) {
            blocks[i] = i % 8 == 0 ? table_blocks_cold() : table_blocks_take();
            if (blocks[i] == NULL)
                abort();
            for (size_t at = 0; at < TABLE_BLOCK_BYTES; at += 65536)
                blocks[i][at] = (unsigned char)(i + round);
        }
        for (size_t i = 0; i < BLOCKS; i++) {
            for (size_t at = 0; at < TABLE_BLOCK_BYTES; at += 65536)
                *wrong += blocks[i][at] != (unsigned char)(i + round);
        }
        table_blocks_give(blocks, BLOCKS);
    }
    table_blocks_leave();
    return NULL;
}

static void
test_blocks_belong_to_one_taker_at_a_time(void)
{
    pthread_t threads[THREADS];
    size_t wrong[THREADS] = {0};

    for (size_t i = 0; i < THREADS; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, use_blocks, &wrong[i]), 0);
    for (size_t i = 0; i < THREADS; i++) {
        CHECK_INT(pthread_join(threads[i], NULL), 0);
        CHECK_INT(wrong[i], 0);
    }
}

static void
test_small_table_of_large_capacity_holds_little(void)
{
    struct table_spec spec = {.name = "genre",
                              .width = 17,
                              .state_width = 17,
                              .rows_max = 10000000,
                              .admit_after = 1,
                              .embedding_width = 16,
                              .deviation = 0.01f,
                              .seed = 1};
    struct table *t = NULL;
    struct error err;
    struct table_counters counters;
    uint64_t ids[26];
    uint32_t rows[26];

    CHECK_INT(table_new(&t, &spec, &err), STATUS_OK);
    for (size_t i = 0; i < 26; i++)
        ids[i] = i + 1;
    table_case_see(t, ids, 26, 1, rows);
    table_count(t, &counters);
    CHECK(counters.bytes > 26 * 34 * sizeof(float));
    CHECK(counters.bytes < 100000);
    table_free(&t);
}

int
main(void)
{
    RUN(test_pages_find_every_item_whatever_its_size);
    RUN(test_pages_divide_exactly_up_to_the_last_item);
    RUN(test_blocks_belong_to_one_taker_at_a_time);
    RUN(test_small_table_of_large_capacity_holds_little);
    return check_report();
}
