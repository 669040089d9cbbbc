/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timing predictions. Batches are views into the given columns, made before
 * the clock starts.
 */
#include "stages/report/timing.h"

#include "daemon/base/clock.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#define PASSES_MIN 5
#define PASSES_MAX 1000

/* Batches of one size, as model_predict takes them. */
struct views {
    size_t count;
    struct columns *batches; /* (count) */
    struct column *features; /* (count, feature_count) */
    uint32_t *offsets;       /* (count, feature_count, batch_rows + 1) */
    float *logits;           /* (batch_rows, logits a row) */
};

static void
free_views(struct views *v)
{
    free(v->logits);
    free(v->offsets);
    free(v->features);
    free(v->batches);
}

static struct column
view_column(const struct column *whole, size_t first, size_t rows,
            uint32_t *offsets)
{
    struct column part = *whole;

    switch (whole->kind) {
    case FEATURE_CATEGORICAL:
        part.ids = whole->ids + first;
        break;
    case FEATURE_BAG:
        part.ids = whole->ids + whole->offsets[first];
        part.offsets = offsets;
        for (size_t r = 0; r <= rows; r++)
            offsets[r] = whole->offsets[first + r] - whole->offsets[first];
        break;
    case FEATURE_NUMBER:
    case FEATURE_VECTOR:
        part.values = whole->values + first * whole->width;
        part.present = whole->present + first;
        break;
    }
    return part;
}

static enum status
make_views(struct views *v, const struct model *m, const struct columns *c,
           size_t rows, struct error *err)
{
    size_t parts = v->count * c->feature_count;

    v->batches = calloc(v->count, sizeof(*v->batches));
    v->features = calloc(parts + 1, sizeof(*v->features));
    v->offsets = calloc(parts * (rows + 1) + 1, sizeof(*v->offsets));
    v->logits = calloc(rows * model_logit_count(m), sizeof(*v->logits));
    if (v->batches == NULL || v->features == NULL || v->offsets == NULL ||
        v->logits == NULL)
        return error_set(err, STATUS_NOMEM, "no memory to time predictions");
    for (size_t i = 0; i < v->count; i++) {
        struct columns *batch = &v->batches[i];

        *batch = *c;
        batch->row_count = rows;
        batch->row_max = rows;
        batch->features = v->features + i * c->feature_count;
        batch->task_count = 0;
        batch->tasks = NULL;
        batch->weight = c->weight + i * rows;
        batch->sample_rate = c->sample_rate + i * rows;
        batch->ask_weight = c->ask_weight + i * rows;
        batch->time_ms = c->time_ms + i * rows;
        for (size_t f = 0; f < c->feature_count; f++)
            batch->features[f] = view_column(
                &c->features[f], i * rows, rows,
                v->offsets + (i * c->feature_count + f) * (rows + 1));
    }
    return STATUS_OK;
}

static double
time_pass(struct model *m, const struct views *v)
{
    uint64_t start_ns = clock_now_ns();

    for (size_t i = 0; i < v->count; i++)
        model_predict(m, &v->batches[i], v->logits);
    return clock_seconds_since(start_ns);
}

static int
by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

enum status
timing_measure(struct model *m, const struct columns *columns,
               size_t batch_rows, double budget_s, double *us,
               struct error *err)
{
    struct views v = {0};
    double passes[PASSES_MAX];
    double spent_s = 0.0;
    size_t count = 0;
    enum status st;

    assert(m != NULL && columns != NULL && us != NULL && batch_rows > 0);
    *us = nan("");
    v.count = columns->row_count / batch_rows;
    if (v.count == 0)
        return STATUS_OK;
    st = make_views(&v, m, columns, batch_rows, err);
    if (st != STATUS_OK)
        goto out;
    (void)time_pass(m, &v);
    while (count < PASSES_MIN || (spent_s < budget_s && count < PASSES_MAX)) {
        passes[count] = time_pass(m, &v);
        spent_s += passes[count++];
    }
    qsort(passes, count, sizeof(*passes), by_value);
    *us = passes[count / 2] * 1e6 / (double)(v.count * batch_rows);

out:
    free_views(&v);
    return st;
}
