/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_CURVE_PRIV_H
#define MODEL_CURVE_PRIV_H

#include "stages/model/curve.h"

/*
 * What curve.c counts and curve_bytes.c writes and reads.
 */

#define CURVE_MAGIC 0x43757276u
#define SLICE_BINS  1024 /* coarser than a gauge: there are many slices */

_Static_assert(QUALITY_BINS % SLICE_BINS == 0, "bins of a slice are whole");

/* A tenth of a trailing window. Members as in struct quality. */
struct curve_slice {
    double weight;
    double outcome;
    double loss;
    double positive[SLICE_BINS];
    double negative[SLICE_BINS];
};

/*
 * One model on one task. A task that is not binary uses the sums of `all` for
 * its own: outcome counts the right answers (class) or the outcomes.
 */
struct curve_cell {
    struct quality all;
    double distance; /* sum of weight * distance to the teacher */
    struct curve_slice slices[CURVE_SLICES];
};

struct curve_series {
    struct curve_cell cells[CURVE_MODELS];
    struct curve_mark marks[CURVE_MARKS];
    struct curve_point points[CURVE_POINTS_MAX];
};

struct curve {
    unsigned magic;
    struct curve_spec spec;
    uint64_t examples;
    uint64_t judged;
    uint64_t spacing;      /* examples between points now */
    uint64_t slice_filled; /* examples in the newest slice */
    size_t slice_now;
    size_t point_count;
    struct curve_series *series; /* (task_count) */
};

/* curve_spec_check says whether a spec makes sense. */
bool curve_spec_check(const struct curve_spec *spec);

#endif
