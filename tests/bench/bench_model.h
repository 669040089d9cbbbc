/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_BENCH_MODEL_H
#define BENCH_BENCH_MODEL_H

#include "stages/model/model.h"

#include "tests/bench/bench.h"

#include <stdbool.h>

enum {
    BENCH_BATCH = 1024,
    BENCH_FIELDS = 8,
    BENCH_WIDTH = 16,
    BENCH_RING = 512, /* batches, walked round by the samples */
};

/*
 * The benchmarked model, 8 categorical features x 16 wide -> 128-64-1 with
 * Adagrad, every row of its tables in use, and a ring of random batches.
 */
struct bench_model {
    struct model *model;
    struct columns columns; /* whose ids point into the ring */
    uint64_t *ids;          /* (RING, FIELDS, B) */
    struct objective objective;
    size_t next; /* batch in the ring */
};

/* bench_model_init fills tables of rows_total rows in all, batches of B. */
void bench_model_init(struct bench_model *bm, uint64_t rows_total, size_t B,
                      size_t threads, bool zipf);

/* bench_model_step trains on the next batch of the ring. */
void bench_model_step(struct bench_model *bm);

/* bench_model_turn makes columns the next batch of the ring. */
void bench_model_turn(struct bench_model *bm);

#endif
