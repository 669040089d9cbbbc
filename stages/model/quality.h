/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_QUALITY_H
#define MODEL_QUALITY_H

#include "daemon/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Progressive quality of binary predictions (and losses of the other kinds):
 * log-loss, AUC, normalised entropy, calibration. Bounded memory: AUC comes
 * from two histograms over the predicted probability's logit (QUALITY_BINS
 * bins over [-16, 16], ties count half; the error is below 1e-4 and tested).
 * A gauge is plain data: it can be added, subtracted bin-wise, written to and
 * read from bytes, so that a checkpoint carries it exactly.
 */

#define QUALITY_BINS 4096

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
 * AUC and normalised entropy also when only one class came). */
double quality_log_loss(const struct quality *q);
double quality_auc(const struct quality *q);
double quality_normalised_entropy(const struct quality *q);
double quality_calibration(const struct quality *q); /* mean p / mean y */

#endif
