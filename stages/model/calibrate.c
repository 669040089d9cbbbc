/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two numbers a task, by Newton's method.
 */
#include "stages/model/calibrate.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define FADE      0.99 /* of the second derivatives in FADE_ROWS rows */
#define FADE_ROWS 256.0
#define RIDGE     10.0 /* as if so much had been seen at the beginning */
#define SCALE_MIN 0.1  /* answers keep their order */
#define SCALE_MAX 100.0

/* First and second derivatives of the loss by scale and shift. */
struct derivatives {
    double by_scale;
    double by_shift;
    double second[CALIBRATE_STATE];
};

void
calibrate_init(double *calibration, double *state)
{
    calibration[0] = 1.0;
    calibration[1] = 0.0;
    state[0] = RIDGE;
    state[1] = RIDGE;
    state[2] = 0.0;
}

void
calibrate_answer(const double *calibration, float *z, size_t K)
{
    for (size_t k = 0; k < K; k++)
        z[k] = (float)(calibration[0] * (double)z[k] + calibration[1]);
}

/* The error of z' and its weight in the second derivatives, for one logit. */
static void
add_one(struct derivatives *d, double z, double error, double curvature,
        double weight)
{
    d->by_scale += weight * error * z;
    d->by_shift += weight * error;
    d->second[0] += weight * curvature * z * z;
    d->second[1] += weight * curvature;
    d->second[2] += weight * curvature * z;
}

static void
add_binary(struct derivatives *d, const double *calibration, double z,
           double outcome, double rate, double weight)
{
    double served = calibration[0] * z + calibration[1] - log(rate);
    double p = 1.0 / (1.0 + exp(-served));

    add_one(d, z, p - outcome, p * (1.0 - p), weight);
}

/* Of the classes' logits: by scale alone. */
static void
add_class(struct derivatives *d, const double *calibration, const float *z,
          size_t K, size_t outcome, double weight)
{
    double highest = (double)z[0];
    double total = 0.0;
    double mean = 0.0;
    double square = 0.0;

    for (size_t k = 1; k < K; k++)
        highest = fmax(highest, (double)z[k]);
    for (size_t k = 0; k < K; k++) {
        double e = exp(calibration[0] * ((double)z[k] - highest));

        total += e;
        mean += e * (double)z[k];
        square += e * (double)z[k] * (double)z[k];
    }
    mean /= total;
    square /= total;
    d->by_scale += weight * (mean - (double)z[outcome]);
    d->second[0] += weight * fmax(square - mean * mean, 0.0);
}

static void
add_row(struct derivatives *d, const double *calibration,
        const struct calibrate_rows *rows, size_t r)
{
    const struct outcome_column *y = rows->outcomes;
    const float *z = rows->logits + r * rows->stride;
    double weight = (double)rows->weight[r];
    double outcome = (double)y->outcome[r];

    switch (y->kind) {
    case TASK_BINARY:
        add_binary(d, calibration, (double)z[0], outcome,
                   (double)rows->sample_rate[r], weight);
        break;
    case TASK_CLASS:
        add_class(d, calibration, z, y->width, (size_t)y->outcome[r], weight);
        break;
    case TASK_REGRESSION:
        add_one(d, (double)z[0],
                2.0 *
                    (calibration[0] * (double)z[0] + calibration[1] - outcome),
                2.0, weight);
        break;
    }
}

void
calibrate_learn(double *calibration, double *state,
                const struct calibrate_rows *rows)
{
    double fade = pow(FADE, (double)rows->count / FADE_ROWS);
    struct derivatives d = {0};
    double a;
    double b;
    double c;
    double scale;
    double shift;
    double determinant;

    for (size_t r = 0; r < rows->count; r++) {
        if (rows->outcomes->has_outcome[r] != 0)
            add_row(&d, calibration, rows, r);
    }
    for (size_t i = 0; i < CALIBRATE_STATE; i++)
        d.second[i] += state[i] * fade;
    a = d.second[0] + RIDGE;
    b = d.second[1] + RIDGE;
    c = d.second[2];
    determinant = a * b - c * c;
    scale = calibration[0] - (b * d.by_scale - c * d.by_shift) / determinant;
    shift = calibration[1] - (a * d.by_shift - c * d.by_scale) / determinant;
    if (!isfinite(scale) || !isfinite(shift) || !(determinant > 0.0) ||
        !isfinite(determinant))
        return;
    memcpy(state, d.second, sizeof(d.second));
    calibration[0] = fmin(fmax(scale, SCALE_MIN), SCALE_MAX);
    calibration[1] = shift;
}
