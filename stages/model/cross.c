/* SPDX-License-Identifier: Apache-2.0 */
/* A cross layer of DCN-v2. */
#include "stages/model/cross.h"

static void
forward_row(float *restrict y, float *restrict p, const float *restrict bias,
            const float *x, const float *x0, size_t N)
{
    for (size_t i = 0; i < N; i++) {
        float v = p[i] + bias[i];

        p[i] = v;
        y[i] = x0[i] * v + x[i];
    }
}

void
cross_forward(struct matrix y, struct matrix p, struct matrix x,
              struct matrix x0, const struct gemm_weights *w, const float *bias)
{
    assert(y.columns == x.columns && x0.columns == x.columns);
    gemm_forth(p, x, w, 0.0F);
    for (size_t r = 0; r < y.rows; r++)
        forward_row(matrix_row(y, r), matrix_row(p, r), bias, matrix_row(x, r),
                    matrix_row(x0, r), y.columns);
}

static void
backward_row(float *restrict dx0, float *restrict dp, float *restrict dbias,
             const float *restrict dy, const float *restrict p,
             const float *restrict x0, size_t N)
{
    for (size_t i = 0; i < N; i++) {
        float d = dy[i] * x0[i];

        dx0[i] += dy[i] * p[i];
        dp[i] = d;
        dbias[i] += d;
    }
}

void
cross_backward(struct matrix dy, struct matrix dx0, const struct cross_back *c)
{
    assert(dy.columns == dx0.columns && dy.rows == dx0.rows);
    for (size_t r = 0; r < dy.rows; r++)
        backward_row(matrix_row(dx0, r), matrix_row(c->dp, r), c->dbias,
                     matrix_row(dy, r), matrix_row(c->p, r),
                     matrix_row(c->x0, r), dy.columns);
    gemm_tn(c->dw, c->dp, c->x, 1.0F);
    gemm_back(dy, c->dp, &c->w, 1.0F);
}
