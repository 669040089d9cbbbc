/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_CROSS_H
#define MODEL_CROSS_H

#include "stages/model/gemm.h"

/*
 * One cross layer of DCN-v2 (Wang 2021) with a full matrix:
 * y = x0 * (w x + bias) + x, the product being element by element.
 *
 * Shapes are asserted; outputs overlap no input. Thread: any. Allocates:
 * nothing.
 */

/*
 * cross_forward
 *
 * y    (B, N) written
 * p    (B, N) written with w x + bias, for the way back
 * x    (B, N) read
 * x0   (B, N) read; may be x
 * w    (N, N) read
 * bias (N)    read
 */
void cross_forward(struct matrix y, struct matrix p, struct matrix x,
                   struct matrix x0, const struct gemm_weights *w,
                   const float *bias);

/* What cross_backward needs of the way forth, and the gradients it adds to. */
struct cross_back {
    struct matrix p;       /* (B, N) read */
    struct matrix x;       /* (B, N) read */
    struct matrix x0;      /* (B, N) read */
    struct gemm_weights w; /* (N, N) read */
    struct matrix dw;      /* (N, N) accumulated */
    float *dbias;          /* (N)    accumulated */
    struct matrix dp;      /* (B, N) scratch */
};

/*
 * cross_backward
 *
 * dy  (B, N) in: gradient of y; out: gradient of x
 * dx0 (B, N) accumulated: the gradient of x0 by this layer's product alone
 */
void cross_backward(struct matrix dy, struct matrix dx0,
                    const struct cross_back *c);

#endif
