/* SPDX-License-Identifier: Apache-2.0 */
/* The bi-interaction of a factorization machine, linear in its fields. */
#include "stages/model/fm.h"

#include <string.h>

static void
add_field(float *restrict sum, float *restrict squares,
          const float *restrict field, size_t D)
{
    for (size_t i = 0; i < D; i++) {
        sum[i] += field[i];
        squares[i] += field[i] * field[i];
    }
}

void
fm_forward(struct matrix y, struct matrix sum, struct matrix x,
           const size_t *offsets, size_t F)
{
    size_t D = y.columns;

    assert(sum.columns == D && sum.rows == y.rows && x.rows == y.rows);
    for (size_t r = 0; r < y.rows; r++) {
        float *restrict s = matrix_row(sum, r);
        float *restrict q = matrix_row(y, r);

        memset(s, 0, D * sizeof(*s));
        memset(q, 0, D * sizeof(*q));
        for (size_t f = 0; f < F; f++)
            add_field(s, q, matrix_row(x, r) + offsets[f], D);
        for (size_t i = 0; i < D; i++)
            q[i] = 0.5F * (s[i] * s[i] - q[i]);
    }
}

static void
field_back(float *restrict dx, const float *restrict dy,
           const float *restrict sum, const float *restrict field, size_t D)
{
    for (size_t i = 0; i < D; i++)
        dx[i] += (sum[i] - field[i]) * dy[i];
}

void
fm_backward(struct matrix dx, struct matrix dy, struct matrix sum,
            struct matrix x, const size_t *offsets, size_t F)
{
    assert(dx.rows == dy.rows && x.rows == dy.rows && sum.rows == dy.rows);
    for (size_t r = 0; r < dy.rows; r++) {
        for (size_t f = 0; f < F; f++)
            field_back(matrix_row(dx, r) + offsets[f], matrix_row(dy, r),
                       matrix_row(sum, r), matrix_row(x, r) + offsets[f],
                       dy.columns);
    }
}
