/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_ACTIVATION_H
#define MODEL_ACTIVATION_H

#include "stages/model/matrix.h"
#include "stages/model/model.h"

/*
 * Bias and activation in one pass over a layer's output, and back. Softmax is
 * over a row; the others are element by element. GELU is the exact one (erf),
 * LEAKY_RELU has slope 0.01 below 0, as PyTorch's defaults.
 *
 * Shapes are asserted. Thread: any. Allocates: nothing.
 */

/* activation_needs_sum says whether backward needs what the activation got,
 * besides what it gave. */
bool activation_needs_sum(enum activation kind);

/*
 * activation_forward adds the bias and applies the activation in place.
 *
 * y   (B, O) in: w x; out: f(w x + bias)
 * sum (B, O) written with w x + bias where activation_needs_sum; otherwise
 *            unused
 * bias (O)   read
 */
void activation_forward(enum activation kind, struct matrix y,
                        struct matrix sum, const float *bias);

/*
 * activation_backward turns the gradient of the output into that of the sum,
 * in place, and adds the bias's gradient.
 *
 * dy  (B, O) in: gradient of y; out: gradient of the sum
 * y   (B, O) read, as activation_forward left it
 * sum (B, O) read where activation_needs_sum
 * dbias (O)  accumulated
 */
void activation_backward(enum activation kind, struct matrix dy,
                         struct matrix y, struct matrix sum, float *dbias);

#endif
