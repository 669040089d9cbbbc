/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_LINEAR_H
#define MODEL_LINEAR_H

#include "stages/model/gemm.h"

/*
 * The dense layer y = x w^T, weights as in PyTorch's nn.Linear. The bias is
 * added with the activation, in one pass (activation.h).
 *
 * Shapes are asserted; outputs overlap no input, but dx may be x. Thread: any.
 * Allocates: nothing.
 */

/*
 * linear_forward multiplies.
 *
 * y (B, O) written
 * x (B, I) read
 * w (O, I) read
 */
void linear_forward(struct matrix y, struct matrix x,
                    const struct gemm_weights *w);

/*
 * linear_backward adds this layer's gradient to dw, then writes dx.
 *
 * dx (B, I) written; data NULL when the input needs no gradient
 * dw (O, I) accumulated: zero it once a step, not a call
 * dy (B, O) read
 * x  (B, I) read
 * w  (O, I) read
 */
void linear_backward(struct matrix dx, struct matrix dw, struct matrix dy,
                     struct matrix x, const struct gemm_weights *w);

#endif
