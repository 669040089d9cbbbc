/* SPDX-License-Identifier: Apache-2.0 */
/* Running mean and variance, merged batch by batch (Chan 1979) in double. */
#include "stages/model/standardize.h"

#include <assert.h>
#include <math.h>

#define VARIANCE_MIN 1e-12

void
standardize_prepare(struct standardize *s)
{
    for (size_t i = 0; i < s->width; i++) {
        double deviation = sqrt(fmax(s->variance[i], VARIANCE_MIN));

        s->shift[i] = (float)s->mean[i];
        s->scale[i] = *s->count < 2.0 ? 0.0F : (float)(1.0 / deviation);
    }
}

void
standardize_row(const struct standardize *s, float *restrict out,
                const float *restrict in)
{
    for (size_t i = 0; i < s->width; i++) {
        float v = (in[i] - s->shift[i]) * s->scale[i];

        v = v > STANDARDIZE_MAX ? STANDARDIZE_MAX : v;
        out[i] = v < -STANDARDIZE_MAX ? -STANDARDIZE_MAX : v;
    }
}

static void
learn_one(struct standardize *s, size_t i, const float *values,
          const uint8_t *present, size_t B)
{
    double count = 0.0;
    double sum = 0.0;
    double spread = 0.0;
    double total;
    double mean;
    double delta;

    for (size_t r = 0; r < B; r++) {
        if (present[r] != 0) {
            sum += (double)values[r * s->width + i];
            count += 1.0;
        }
    }
    mean = sum / count;
    for (size_t r = 0; r < B; r++) {
        double d = (double)values[r * s->width + i] - mean;

        spread += present[r] != 0 ? d * d : 0.0;
    }
    total = *s->count + count;
    delta = mean - s->mean[i];
    spread += s->variance[i] * *s->count;
    spread += delta * delta * *s->count * count / total;
    s->mean[i] += delta * count / total;
    s->variance[i] = spread / total;
}

void
standardize_learn(struct standardize *s, const float *values,
                  const uint8_t *present, size_t B)
{
    size_t count = 0;

    assert(s->width > 0);
    for (size_t r = 0; r < B; r++)
        count += present[r] != 0;
    if (count == 0)
        return;
    for (size_t i = 0; i < s->width; i++)
        learn_one(s, i, values, present, B);
    *s->count += (double)count;
}
