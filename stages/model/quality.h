/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_QUALITY_H
#define MODEL_QUALITY_H

#include "daemon/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Progressive quality of binary predictions (and losses of the other kinds):
 * log-loss, AUC, normalized entropy, calibration. Bounded memory: AUC comes
 * from two histograms over the predicted probability's logit (QUALITY_BINS
 * bins over [-16, 16], ties count half; the error is below 1e-4 and tested).
 * A gauge is plain data: it can be added, subtracted bin-wise, written to and
 * read from bytes, so that a checkpoint carries it exactly.
 */

#define QUALITY_BINS      4096
#define QUALITY_LOGIT_MAX 16 /* bins span -16..16; the ends take the rest */

struct quality {
    double weight;     /* sum of row weights */
    double outcome;    /* sum of weight * y */
    double prediction; /* sum of weight * p */
    double loss;       /* sum of weight * log-loss (or squared error) */
    uint64_t rows;
    double positive[QUALITY_BINS]; /* weight of rows with y = 1, by bin */
    double negative[QUALITY_BINS];
};

void quality_reset(struct quality *q);

/* quality_add counts one binary prediction. logit finite or not: NaN counts
 * as logit 0 with its honest loss, infinities are cut to +-88. */
void quality_add(struct quality *q, float logit, float outcome, float weight);

/* Means over what was added; NAN where there is nothing to say (no row; for
 * AUC and normalized entropy also when only one class came). */
double quality_log_loss(const struct quality *q);
double quality_auc(const struct quality *q);
double quality_normalized_entropy(const struct quality *q);
double quality_calibration(const struct quality *q); /* mean p / mean y */

/* One group of rows with like predictions. */
struct reliability {
    double weight;
    double predicted; /* mean prediction, to half a bin (0.001) */
    double observed;  /* share of positive outcomes */
};

/*
 * quality_reliability groups what was added by its predictions into at most
 * count groups of about equal weight, lowest first, and returns how many; 0
 * when nothing was added. out (count) written.
 */
size_t quality_reliability(const struct quality *q, struct reliability *out,
                           size_t count);

/* ---- The parts, for gauges of another shape ---- */

/* What one row adds to a gauge. */
struct quality_row {
    double outcome;
    double probability;
    double loss; /* log-loss */
    size_t bin;  /* of QUALITY_BINS */
};

/* quality_look measures one binary prediction, the logit cleaned as above. */
struct quality_row quality_look(float logit, float outcome);

/* quality_add_row counts a row that was looked at, perhaps in several
 * gauges. */
void quality_add_row(struct quality *q, const struct quality_row *row,
                     double weight);

/* quality_bins_auc is the AUC of two histograms (bin_count each); NAN when
 * one of them is empty. */
double quality_bins_auc(const double *positive, const double *negative,
                        size_t bin_count);

#endif
