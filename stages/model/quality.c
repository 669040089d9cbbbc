/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sums and two histograms from which every measure of binary predictions
 * follows.
 */
#include "stages/model/quality.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define LOGIT_CUT 88.0f

static float
clean_logit(float logit)
{
    if (isnan(logit))
        return 0.0f;
    return fminf(fmaxf(logit, -LOGIT_CUT), LOGIT_CUT);
}

struct quality_row
quality_look(float logit, float outcome)
{
    double z = (double)clean_logit(logit);
    double e = exp(-fabs(z));
    double at = (z / QUALITY_LOGIT_MAX + 1.0) * 0.5; /* 0..1 over the bins */
    struct quality_row row;

    row.outcome = (double)outcome;
    row.probability = z >= 0.0 ? 1.0 / (1.0 + e) : e / (1.0 + e);
    row.loss = fmax(z, 0.0) - z * (double)outcome + log1p(e);
    at = fmin(fmax(at * QUALITY_BINS, 0.0), QUALITY_BINS - 1.0);
    row.bin = (size_t)at;
    return row;
}

double
quality_bins_auc(const double *positive, const double *negative,
                 size_t bin_count)
{
    double above = 0.0; /* weight of pairs that are ordered rightly */
    double below = 0.0; /* negatives in lower bins */
    double total = 0.0; /* positives */

    for (size_t i = 0; i < bin_count; i++) {
        above += positive[i] * (below + 0.5 * negative[i]);
        below += negative[i];
        total += positive[i];
    }
    if (!(total > 0.0) || !(below > 0.0))
        return nan("");
    return above / (total * below);
}

void
quality_reset(struct quality *q)
{
    assert(q != NULL);
    memset(q, 0, sizeof(*q));
}

void
quality_add_row(struct quality *q, const struct quality_row *row, double weight)
{
    assert(q != NULL && row->bin < QUALITY_BINS);
    q->weight += weight;
    q->outcome += weight * row->outcome;
    q->prediction += weight * row->probability;
    q->loss += weight * row->loss;
    q->rows++;
    q->positive[row->bin] += weight * row->outcome;
    q->negative[row->bin] += weight * (1.0 - row->outcome);
}

void
quality_add(struct quality *q, float logit, float outcome, float weight)
{
    struct quality_row row = quality_look(logit, outcome);

    quality_add_row(q, &row, (double)weight);
}

double
quality_log_loss(const struct quality *q)
{
    assert(q != NULL);
    return q->weight > 0.0 ? q->loss / q->weight : nan("");
}

double
quality_auc(const struct quality *q)
{
    assert(q != NULL);
    return quality_bins_auc(q->positive, q->negative, QUALITY_BINS);
}

double
quality_normalized_entropy(const struct quality *q)
{
    double p;
    double entropy;

    assert(q != NULL);
    if (!(q->weight > 0.0))
        return nan("");
    p = q->outcome / q->weight;
    if (!(p > 0.0) || !(p < 1.0))
        return nan("");
    entropy = -p * log(p) - (1.0 - p) * log1p(-p);
    return quality_log_loss(q) / entropy;
}

double
quality_calibration(const struct quality *q)
{
    assert(q != NULL);
    return q->outcome > 0.0 ? q->prediction / q->outcome : nan("");
}

size_t
quality_reliability(const struct quality *q, struct reliability *out,
                    size_t count)
{
    double total = 0.0;
    double passed = 0.0; /* weight in the bins so far */
    size_t used = 0;
    struct reliability now = {0};

    assert(q != NULL && out != NULL && count > 0);
    for (size_t i = 0; i < QUALITY_BINS; i++)
        total += q->positive[i] + q->negative[i];
    for (size_t i = 0; i < QUALITY_BINS && total > 0.0; i++) {
        double w = q->positive[i] + q->negative[i];
        double z = ((double)i + 0.5) * 2.0 * QUALITY_LOGIT_MAX / QUALITY_BINS -
                   QUALITY_LOGIT_MAX;

        now.weight += w;
        now.predicted += w / (1.0 + exp(-z));
        now.observed += q->positive[i];
        passed += w;
        if (now.weight > 0.0 && used < count &&
            (passed >= total * (double)(used + 1) / (double)count ||
             i + 1 == QUALITY_BINS)) {
            now.predicted /= now.weight;
            now.observed /= now.weight;
            out[used++] = now;
            now = (struct reliability){0};
        }
    }
    return used;
}
