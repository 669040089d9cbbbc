/* SPDX-License-Identifier: Apache-2.0 */
/* The dense layer without its bias: three matrix products. */
#include "stages/model/linear.h"

void
linear_forward(struct matrix y, struct matrix x, const struct gemm_weights *w)
{
    gemm_forth(y, x, w, 0.0F);
}

void
linear_backward(struct matrix dx, struct matrix dw, struct matrix dy,
                struct matrix x, const struct gemm_weights *w)
{
    gemm_tn(dw, dy, x, 1.0F);
    if (dx.data != NULL)
        gemm_back(dx, dy, w, 0.0F);
}
