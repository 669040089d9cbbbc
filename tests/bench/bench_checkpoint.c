/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkpoint.pause_ms DIR: a model with 1 GiB of rows goes on training while a
 * checkpoint of it is written; the longest time that training stands still,
 * from the end of one step to the beginning of the next. How long the steps
 * themselves became meanwhile is printed beside it.
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

static void
raise_to(double *longest, double took)
{
    if (took > *longest)
        *longest = took;
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
    double longest = 0;
    double longest_step = 0;
    enum status st;

    if (writer_begin(p->writer, &content, &err) != STATUS_OK)
        bench_fail(err.text);
    raise_to(&longest, bench_now_us() - start);
    do {
        double step_start = bench_now_us();
        double stopped;

        bench_model_step(&p->bm);
        stopped = bench_now_us();
        raise_to(&longest_step, stopped - step_start);
        st = STATUS_AGAIN;
        if (writer_step(p->writer, WRITER_BUDGET) != STATUS_OK)
            st = writer_poll(p->writer, &result);
        raise_to(&longest, bench_now_us() - stopped);
    } while (st == STATUS_AGAIN);
    if (st != STATUS_OK || result.status != STATUS_OK)
        bench_fail(result.err.text);
    (void)fprintf(stderr,
                  "checkpoint: %.2f GiB in %.2f s, longest step %.2f ms\n",
                  (double)result.bytes / (double)(1u << 30),
                  (bench_now_us() - start) * 1e-6, longest_step / 1000.0);
    return longest / 1000.0;
}

const struct bench checkpoint_bench = {"checkpoint.", open_pause, sample_pause};
