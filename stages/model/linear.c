/* SPDX-License-Identifier: Apache-2.0 */
/* The dense layer without its bias: three matrix products. */
#include "stages/model/linear.h"

#include "stages/model/gemm.h"

void
linear_forward(struct matrix y, struct matrix x, struct matrix w)
{
    gemm_nt(y, x, w, 0.0F);
}

void
linear_backward(struct matrix dx, struct matrix dw, struct matrix dy,
                struct matrix x, struct matrix w)
{
    gemm_tn(dw, dy, x, 1.0F);
    if (dx.data != NULL)
        gemm_nn(dx, dy, w, 0.0F);
}
