/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_FM_H
#define MODEL_FM_H

#include "stages/model/matrix.h"

/*
 * The bi-interaction of a factorization machine (Rendle 2010, He 2017): all
 * pairwise products of the fields' embeddings, summed, one number a dimension:
 * ((sum_f v_f)^2 - sum_f v_f^2) / 2. The embeddings lie in x at the columns
 * offsets[0..F), D columns each, D being y's columns.
 *
 * Shapes are asserted; outputs overlap no input. Thread: any. Allocates:
 * nothing.
 */

/*
 * fm_forward
 *
 * y   (B, D) written
 * sum (B, D) written with sum_f v_f, for the way back
 * x   (B, N) read
 */
void fm_forward(struct matrix y, struct matrix sum, struct matrix x,
                const size_t *offsets, size_t F);

/*
 * fm_backward adds (sum - v_f) dy to each field's gradient.
 *
 * dx  (B, N) accumulated
 * dy  (B, D) read
 * sum (B, D) read
 * x   (B, N) read
 */
void fm_backward(struct matrix dx, struct matrix dy, struct matrix sum,
                 struct matrix x, const size_t *offsets, size_t F);

#endif
