/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkpoint.pause_ms DIR: a model with 1 GiB of rows goes on training while a
 * checkpoint of it is written; the longest time from the end of one step to
 * the end of the next, step included.
 */
#include "stages/checkpoint/writer.h"

#include "tests/bench/bench_model.h"

#include <stdio.h>

#define TABLE_BYTES ((uint64_t)1 << 30)

struct pause {
    struct bench_model bm;
    struct store *store;
    struct checkpoint_writer *writer;
};

static void *
open_pause(const char *name, const char *dir)
{
    struct pause *p = bench_alloc(1, sizeof(*p));
    uint64_t rows = TABLE_BYTES / (2 * BENCH_WIDTH * sizeof(float));
    struct error err;

    (void)name;
    if (dir[0] == '\0')
        bench_fail("checkpoint.pause_ms wants a directory to write to");
    bench_model_init(&p->bm, rows, BENCH_BATCH, 1, false);
    if (store_open(&p->store, dir, 1, &err) != STATUS_OK ||
        writer_new(&p->writer, p->store, &err) != STATUS_OK)
        bench_fail(err.text);
    return p;
}

static double
sample_pause(void *self)
{
    struct pause *p = self;
    struct checkpoint_model model = {.model = p->bm.model, .prefix = ""};
    struct manifest manifest = {.model = "bench"};
    struct checkpoint_content content = {
        .models = &model, .model_count = 1, .manifest = &manifest};
    struct checkpoint_result result;
    struct error err;
    double start = bench_now_us();
    double last = start;
    double longest = 0;
    enum status st;

    if (writer_begin(p->writer, &content, &err) != STATUS_OK)
        bench_fail(err.text);
    do {
        double now;

        bench_model_step(&p->bm);
        now = bench_now_us();
        if (now - last > longest)
            longest = now - last;
        last = now;
        st = STATUS_AGAIN;
        if (writer_step(p->writer, WRITER_BUDGET) != STATUS_OK)
            st = writer_poll(p->writer, &result);
    } while (st == STATUS_AGAIN);
    if (st != STATUS_OK || result.status != STATUS_OK)
        bench_fail(result.err.text);
    (void)fprintf(stderr, "checkpoint: %.2f GiB in %.2f s\n",
                  (double)result.bytes / (double)(1u << 30),
                  (bench_now_us() - start) * 1e-6);
    return longest / 1000.0;
}

const struct bench checkpoint_bench = {"checkpoint.", open_pause, sample_pause};
