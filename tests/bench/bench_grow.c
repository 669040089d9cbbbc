/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grow.pause_ms: tables grow from nothing to 1.25 million rows each; the
 * longest that a batch of new ids took, all of them new in all tables. How
 * many batches took long is printed beside it.
 */
#include "stages/model/table.h"

#include "tests/bench/bench.h"

#include <stdio.h>

enum {
    TABLES = 8,
    WIDTH = 16,
    IDS = 1024, /* a batch, in each table */
    BATCHES = 1221,
};

struct grow {
    struct table *tables[TABLES];
    struct table_probe probes[IDS];
    uint64_t ids[IDS];
};

static void *
open_grow(const char *name, const char *file)
{
    (void)name;
    (void)file;
    return bench_alloc(1, sizeof(struct grow));
}

static void
see_batch(struct grow *g, uint64_t first)
{
    for (uint64_t i = 0; i < IDS; i++)
        g->ids[i] = first + i;
    for (size_t t = 0; t < TABLES; t++) {
        table_ask(g->tables[t], g->ids, IDS, g->probes);
        table_aim(g->tables[t], g->probes, IDS, true);
        table_see(g->tables[t], g->probes, IDS, 1700000000, NULL);
    }
}

static double
sample_grow(void *self)
{
    struct grow *g = self;
    struct table_spec spec = {
        .name = "t",
        .width = WIDTH,
        .embedding_width = WIDTH,
        .state_width = WIDTH,
        .rows_max = (uint64_t)IDS * BATCHES,
        .admit_after = 1,
        .deviation = 0.01f,
    };
    double longest = 0;
    size_t long_count = 0;
    double start = bench_now_us();
    struct error err;

    for (size_t t = 0; t < TABLES; t++)
        if (table_new(&g->tables[t], &spec, &err) != STATUS_OK)
            bench_fail(err.text);
    for (uint64_t b = 0; b < BATCHES; b++) {
        double began = bench_now_us();
        double took;

        see_batch(g, b * IDS + 1);
        took = bench_now_us() - began;
        long_count += took > 10000.0;
        longest = took > longest ? took : longest;
    }
    (void)fprintf(stderr, "grow: %d batches, %.2f ms each, %zu over 10 ms\n",
                  BATCHES, (bench_now_us() - start) / BATCHES / 1000.0,
                  long_count);
    for (size_t t = 0; t < TABLES; t++)
        table_free(&g->tables[t]);
    return longest / 1000.0;
}

const struct bench grow_bench = {"grow.", open_grow, sample_grow};
