/* SPDX-License-Identifier: Apache-2.0 */
/* The student adapter, row by row: it has few rows and fewer units. */
#include "stages/model/adapter.h"

#include <assert.h>
#include <math.h>

void
adapter_forward(const struct adapter *a, float *restrict z_a,
                float *restrict hidden, const float *restrict x)
{
    assert(a->K > 0 && a->I >= a->K && a->H > 0);
    for (size_t j = 0; j < a->H; j++) {
        float sum = a->b0[j];

        for (size_t i = 0; i < a->I; i++)
            sum += a->w0[j * a->I + i] * x[i];
        hidden[j] = tanhf(sum);
    }
    for (size_t k = 0; k < a->K; k++) {
        float sum = a->b1[k];

        for (size_t j = 0; j < a->H; j++)
            sum += a->w1[k * a->H + j] * hidden[j];
        z_a[k] = x[a->I - a->K + k] + sum;
    }
}

void
adapter_backward(const struct adapter *d, const struct adapter *a,
                 const float *restrict dz_a, const float *restrict hidden,
                 const float *restrict x)
{
    assert(d->I == a->I && d->K == a->K && d->H == a->H);
    for (size_t k = 0; k < a->K; k++) {
        d->b1[k] += dz_a[k];
        for (size_t j = 0; j < a->H; j++)
            d->w1[k * a->H + j] += dz_a[k] * hidden[j];
    }
    for (size_t j = 0; j < a->H; j++) {
        float dh = 0.0F;

        for (size_t k = 0; k < a->K; k++)
            dh += dz_a[k] * a->w1[k * a->H + j];
        dh *= 1.0F - hidden[j] * hidden[j];
        d->b0[j] += dh;
        for (size_t i = 0; i < a->I; i++)
            d->w0[j * a->I + i] += dh * x[i];
    }
}
