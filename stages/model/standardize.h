/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_STANDARDIZE_H
#define MODEL_STANDARDIZE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Online standardization of numbers: by the mean and deviation of all values
 * of the batches before, so that a value is never judged by itself. Until two
 * values were seen every number is 0; later results are cut to
 * +-STANDARDIZE_MAX, so that an early, too small deviation does no harm.
 */

#define STANDARDIZE_MAX 10.0F

struct standardize {
    size_t width;     /* W */
    double *mean;     /* (W) */
    double *variance; /* (W) of the values, not of a sample */
    double *count;    /* (1) rows that had a value */
    float *shift;     /* (W) as standardize_prepare left them */
    float *scale;     /* (W) */
};

/* standardize_prepare makes shift and scale from what was learned so far.
 * Thread: the owner. Allocates: nothing. */
void standardize_prepare(struct standardize *s);

/* standardize_row writes one row (W) of standardized values. in is no part of
 * out. Thread: any after standardize_prepare. Allocates: nothing. */
void standardize_row(const struct standardize *s, float *restrict out,
                     const float *restrict in);

/*
 * standardize_learn adds a batch's values to mean, variance and count.
 *
 * values  (B, W) read
 * present (B)    0: the row has no value
 *
 * Thread: the owner. Allocates: nothing.
 */
void standardize_learn(struct standardize *s, const float *values,
                       const uint8_t *present, size_t B);

#endif
