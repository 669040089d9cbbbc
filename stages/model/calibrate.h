/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_CALIBRATE_H
#define MODEL_CALIBRATE_H

#include "stages/model/columns.h"

/*
 * Calibration of a task's answers: what is served is z' = scale * z + shift,
 * so that a model which listened to a teacher is right on average all the
 * same. Both follow the outcomes alone, by Newton's method on sums that fade,
 * half as fast as those of a contest, and change nothing that it learns. Of a
 * class task the scale alone counts: a shift of all classes is none.
 *
 * Thread: any. Allocates: nothing.
 */

#define CALIBRATE_WIDTH 2 /* scale, shift */
#define CALIBRATE_STATE 3 /* faded second derivatives: of both, mixed */

/* calibrate_init makes an answer its own calibration. */
void calibrate_init(double *calibration, double *state);

/* calibrate_answer changes the logits z (K) of one row. */
void calibrate_answer(const double *calibration, float *z, size_t K);

/* What is learned from: raw logits of B rows, those of one row side by side,
 * stride apart from those of the next; outcomes, weights and rates of the
 * rows. */
struct calibrate_rows {
    const struct outcome_column *outcomes;
    const float *logits;
    size_t stride;
    const float *weight;
    const float *sample_rate;
    size_t count;
};

/* calibrate_learn takes one step. Rows without an outcome do not count. */
void calibrate_learn(double *calibration, double *state,
                     const struct calibrate_rows *rows);

#endif
