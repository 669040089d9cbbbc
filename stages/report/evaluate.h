/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REPORT_EVALUATE_H
#define REPORT_EVALUATE_H

#include "stages/model/columns.h"

#include "daemon/base/bytes.h"
#include "daemon/base/error.h"

#include <stdbool.h>
#include <stdio.h>

/*
 * Compares several models on the same rows of one task, with bootstrap
 * intervals: every replicate counts each row Poisson(1) times, for all models
 * alike, so the difference of two models is judged on pairs. Rows are taken as
 * independent; where they come in clumps (events of one user), the true
 * intervals are wider.
 */

#define EVALUATION_MODELS_MAX 16
#define EVALUATION_ROWS_MAX   100000000u
#define EVALUATION_NAME_MAX   64

struct evaluation_spec {
    char task[EVALUATION_NAME_MAX];
    enum task_kind kind;
    size_t width; /* logits a row */
    size_t model_count;
    char models[EVALUATION_MODELS_MAX][EVALUATION_NAME_MAX];
    size_t replicates; /* 1000 is usual; fewer on many rows, 100 at least */
    uint64_t seed;
};

enum evaluation_measure {
    EVALUATION_SCORE,   /* AUC (binary), accuracy (class), none (regression) */
    EVALUATION_LOSS,    /* log-loss, cross-entropy, mean squared error */
    EVALUATION_ENTROPY, /* normalized entropy (binary) */
    EVALUATION_CALIBRATION, /* (binary) */
    EVALUATION_MEASURES,
};

/* A number and its 95 % interval; NAN where there is nothing to say. */
struct estimate {
    double value;
    double low;
    double high;
};

struct evaluation_result {
    struct estimate measures[EVALUATION_MEASURES];
    /* This model minus the first one; of the first, NAN. */
    struct estimate differences[EVALUATION_MEASURES];
};

struct evaluation;

/* evaluation_new starts one. Borrows spec until return. NOMEM. */
must_check enum status evaluation_new(struct evaluation **out,
                                      const struct evaluation_spec *spec,
                                      struct error *err);

/* evaluation_free frees *self and sets it NULL; NULL is fine. */
void evaluation_free(struct evaluation **self);

/*
 * evaluation_add counts one row that has an outcome.
 *
 * logits (model_count) of pointers to (width) logits, in spec order
 *
 * NOMEM; TOOBIG beyond EVALUATION_ROWS_MAX. Allocates: now and then, some 10
 * bytes a row and model.
 */
must_check enum status evaluation_add(struct evaluation *e, float outcome,
                                      float weight, const float *const *logits,
                                      struct error *err);

/* evaluation_spec lends what it was made with, until evaluation_free. */
const struct evaluation_spec *evaluation_spec(const struct evaluation *e);

/* evaluation_rows is how many rows were added. */
uint64_t evaluation_rows(const struct evaluation *e);

/* evaluation_judge computes the results (model_count). The same rows and seed
 * give the same results. NOMEM. */
must_check enum status evaluation_judge(const struct evaluation *e,
                                        struct evaluation_result *out,
                                        struct error *err);

/* evaluation_print prints results as tables. has_color: out is a terminal. */
void evaluation_print(const struct evaluation *e,
                      const struct evaluation_result *results, FILE *out,
                      bool has_color);

/*
 * evaluation_encode_json appends {"task", "kind", "rows", "replicates",
 * "models": [{"name", "auc": {"value", "low", "high"}, ...,
 * "difference": {"auc": {...}, ...}}]}, null for what there is not. TOOBIG,
 * NOMEM.
 */
must_check enum status
evaluation_encode_json(const struct evaluation *e,
                       const struct evaluation_result *results,
                       struct bytes *out, struct error *err);

/* evaluation_replicates is how many replicates evaluation_judge makes. */
size_t evaluation_replicates(const struct evaluation *e);

#endif
