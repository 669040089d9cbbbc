/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faded sums, and one rule.
 */
#include "stages/model/contest.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define FADE 0.99992109 /* a row: 0.98 in 256 rows */
/* Standard errors that a lead must have. */
#define LEAD_OVER_SAFE 2.0
#define LEAD_MIN       1.0
#define LOSS_MAX       1e6

static size_t
pair(size_t i, size_t j)
{
    return i >= j ? i * (i + 1) / 2 + j : j * (j + 1) / 2 + i;
}

void
contest_init(struct contest *c, size_t count)
{
    assert(count > 0 && count <= CONTEST_MODELS_MAX);
    memset(c, 0, sizeof(*c));
    c->count = count;
}

void
contest_add(struct contest *c, const double *losses, double weight)
{
    c->weight = c->weight * FADE + weight;
    c->weight_2 = c->weight_2 * FADE * FADE + weight * weight;
    for (size_t i = 0; i < c->count; i++) {
        double a = losses[i] <= LOSS_MAX ? losses[i] : LOSS_MAX;

        c->losses[i] = c->losses[i] * FADE + weight * a;
        for (size_t j = 0; j <= i; j++) {
            double b = losses[j] <= LOSS_MAX ? losses[j] : LOSS_MAX;
            double *at = &c->products[pair(i, j)];

            *at = *at * FADE + weight * a * b;
        }
    }
}

double
contest_loss(const struct contest *c, size_t model)
{
    assert(model < c->count);
    return c->weight > 0.0 ? c->losses[model] / c->weight : (double)NAN;
}

double
contest_lead(const struct contest *c, size_t model, size_t other)
{
    double mean;
    double square;
    double error;

    assert(model < c->count && other < c->count);
    if (!(c->weight > 0.0))
        return 0.0;
    mean = (c->losses[other] - c->losses[model]) / c->weight;
    square =
        (c->products[pair(model, model)] + c->products[pair(other, other)] -
         2.0 * c->products[pair(model, other)]) /
        c->weight;
    error = sqrt(fmax(square - mean * mean, 0.0) * c->weight_2) / c->weight;
    return error > 0.0 ? mean / error : 0.0;
}

bool
contest_decide(struct contest *c)
{
    size_t before = c->in_force;
    size_t best = before;
    double wanted = before == 0 ? LEAD_OVER_SAFE : LEAD_MIN;

    for (size_t i = 0; i < c->count; i++) {
        if (c->losses[i] < c->losses[best])
            best = i;
    }
    if (best == 0 || contest_lead(c, best, before) >= wanted)
        c->in_force = best;
    else if (c->losses[0] < c->losses[before])
        c->in_force = 0;
    c->switches += c->in_force != before;
    return c->in_force != before;
}
