/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_STANDARDISE_H
#define MODEL_STANDARDISE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Online standardisation of numbers: by the mean and deviation of all values
 * of the batches before, so that a value is never judged by itself. Until two
 * values were seen every number is 0; later results are cut to
 * +-STANDARDISE_MAX, so that an early, too small deviation does no harm.
 */

#define STANDARDISE_MAX 10.0F

struct standardise {
    size_t width;     /* W */
    double *mean;     /* (W) */
    double *variance; /* (W) of the values, not of a sample */
    double *count;    /* (1) rows that had a value */
    float *shift;     /* (W) as standardise_prepare left them */
    float *scale;     /* (W) */
};

/* standardise_prepare makes shift and scale from what was learned so far.
 * Thread: the owner. Allocates: nothing. */
void standardise_prepare(struct standardise *s);

/* standardise_row writes one row (W) of standardised values. in is no part of
 * out. Thread: any after standardise_prepare. Allocates: nothing. */
void standardise_row(const struct standardise *s, float *restrict out,
                     const float *restrict in);

/*
 * standardise_learn adds a batch's values to mean, variance and count.
 *
 * values  (B, W) read
 * present (B)    0: the row has no value
 *
 * Thread: the owner. Allocates: nothing.
 */
void standardise_learn(struct standardise *s, const float *values,
                       const uint8_t *present, size_t B);

#endif
