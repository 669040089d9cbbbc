/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_OPTIMIZER_H
#define MODEL_OPTIMIZER_H

#include "stages/model/model.h"

/*
 * How a gradient changes parameters. With g the gradient (clipped, plus
 * l2 * w), rate the schedule's, eps outside of the square root as in the
 * papers:
 *
 *   SGD              w -= rate g
 *   ADAGRAD          a += g^2;            w -= rate g / (sqrt(a) + eps)
 *   ROWWISE_ADAGRAD  a += mean(g^2);      the same, one a for the row
 *   ADAM             m, v running means;  w -= rate m' / (sqrt(v') + eps)
 *                    m' = m / (1 - beta1^t), v' = v / (1 - beta2^t)
 *
 * In tables ADAM is lazy: only rows that the batch touched change their m and
 * v, while t counts the model's updates, as in TensorFlow's LazyAdam.
 *
 * Thread: any, on disjoint parameters. Allocates: nothing.
 */

/* optimizer_state_count is the number of state floats a parameter: 0 SGD, 1
 * ADAGRAD, 2 ADAM. ROWWISE_ADAGRAD has 1 a row and counts 0 here. */
size_t optimizer_state_count(enum optimizer_kind kind);

/* optimizer_state_width is the number of state floats of a table row of
 * width parameters: 0, width, 1, 2 * width (m first). */
size_t optimizer_state_width(enum optimizer_kind kind, size_t width);

/* schedule_rate is the rate after n examples. The decay begins where the
 * warm-up ends. */
double schedule_rate(const struct schedule *s, uint64_t n);

/* What is the same for every parameter in one step. */
struct pace {
    float rate;     /* ADAM: rate / (1 - beta1^t) */
    float v_factor; /* ADAM: 1 / sqrt(1 - beta2^t) */
};

/* optimizer_pace prepares update number t (from 1) after n examples. */
struct pace optimizer_pace(const struct optimizer *o, uint64_t n, uint64_t t);

/* Parameters (n) with their state and gradient; state (n) each or NULL. */
struct update {
    float *w;
    float *first;  /* ADAGRAD: a; ADAM: m */
    float *second; /* ADAM: v */
    const float *g;
    size_t n;
};

/* optimizer_apply changes w and state by scale * g. Not ROWWISE_ADAGRAD. */
void optimizer_apply(const struct optimizer *o, const struct pace *p,
                     float scale, const struct update *u);

/* A table row to change: its parameters (width), behind them its state, and
 * its gradient (width). */
struct row_update {
    float *row;
    const float *g;
};

/* optimizer_apply_rows changes n table rows, clipping each one's gradient. */
void optimizer_apply_rows(const struct optimizer *o, const struct pace *p,
                          const struct row_update *u, size_t n, size_t width);

#endif
