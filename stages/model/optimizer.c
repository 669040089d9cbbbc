/* SPDX-License-Identifier: Apache-2.0 */
/* SGD, Adagrad (Duchi 2011), row-wise Adagrad, Adam (Kingma 2015). */
#include "stages/model/optimizer.h"

#include <assert.h>
#include <math.h>

#define PI 3.14159265358979323846

size_t
optimizer_state_count(enum optimizer_kind kind)
{
    switch (kind) {
    case OPTIMIZER_ADAGRAD:
        return 1;
    case OPTIMIZER_ADAM:
        return 2;
    case OPTIMIZER_SGD:
    case OPTIMIZER_ROWWISE_ADAGRAD:
        break;
    }
    return 0;
}

size_t
optimizer_state_width(enum optimizer_kind kind, size_t width)
{
    if (kind == OPTIMIZER_ROWWISE_ADAGRAD)
        return 1;
    return width * optimizer_state_count(kind);
}

static double
decay(const struct schedule *s, double n)
{
    double length = (double)s->decay_examples;
    double part = length > 0.0 ? fmin(n / length, 1.0) : 1.0;
    double rate = (double)s->rate;
    double final = (double)s->rate_final;

    switch (s->kind) {
    case SCHEDULE_LINEAR:
        return rate + (final - rate) * part;
    case SCHEDULE_COSINE:
        return final + (rate - final) * 0.5 * (1.0 + cos(PI * part));
    case SCHEDULE_INVERSE_SQRT:
        return length > 0.0 ? rate / sqrt(1.0 + n / length) : rate;
    case SCHEDULE_CONSTANT:
        break;
    }
    return rate;
}

double
schedule_rate(const struct schedule *s, uint64_t n)
{
    if (n < s->warmup_examples)
        return (double)s->rate * (double)n / (double)s->warmup_examples;
    return decay(s, (double)(n - s->warmup_examples));
}

struct pace
optimizer_pace(const struct optimizer *o, uint64_t n, uint64_t t)
{
    double rate = schedule_rate(&o->schedule, n);
    struct pace p = {.rate = (float)rate, .v_factor = 1.0F};

    assert(t > 0);
    if (o->kind == OPTIMIZER_ADAM) {
        p.rate = (float)(rate / (1.0 - pow((double)o->beta1, (double)t)));
        p.v_factor =
            (float)(1.0 / sqrt(1.0 - pow((double)o->beta2, (double)t)));
    }
    return p;
}

static void
apply_sgd(const struct optimizer *o, float rate, float scale,
          const struct update *u)
{
    float *restrict w = u->w;
    const float *restrict g = u->g;
    float l2 = o->l2;

    for (size_t i = 0; i < u->n; i++)
        w[i] -= rate * (scale * g[i] + l2 * w[i]);
}

static void
apply_adagrad(const struct optimizer *o, float rate, float scale,
              const struct update *u)
{
    float *restrict w = u->w;
    float *restrict a = u->first;
    const float *restrict g = u->g;
    float l2 = o->l2;
    float epsilon = o->epsilon;

    for (size_t i = 0; i < u->n; i++) {
        float d = scale * g[i] + l2 * w[i];
        float sum = a[i] + d * d;

        a[i] = sum;
        w[i] -= rate * d / (sqrtf(sum) + epsilon);
    }
}

static void
apply_adam(const struct optimizer *o, const struct pace *p, float scale,
           const struct update *u)
{
    float *restrict w = u->w;
    float *restrict m = u->first;
    float *restrict v = u->second;
    const float *restrict g = u->g;
    float rate = p->rate;
    float v_factor = p->v_factor;
    float l2 = o->l2;
    float epsilon = o->epsilon;
    float beta1 = o->beta1;
    float beta2 = o->beta2;
    float rest1 = (float)(1.0 - (double)beta1);
    float rest2 = (float)(1.0 - (double)beta2);

    assert(m != NULL && v != NULL);
    for (size_t i = 0; i < u->n; i++) {
        float d = scale * g[i] + l2 * w[i];

        m[i] = beta1 * m[i] + rest1 * d;
        v[i] = beta2 * v[i] + rest2 * d * d;
        w[i] -= rate * m[i] / (sqrtf(v[i]) * v_factor + epsilon);
    }
}

void
optimizer_apply(const struct optimizer *o, const struct pace *p, float scale,
                const struct update *u)
{
    assert(o->kind != OPTIMIZER_ROWWISE_ADAGRAD);
    if (o->kind == OPTIMIZER_SGD)
        apply_sgd(o, p->rate, scale, u);
    else if (o->kind == OPTIMIZER_ADAGRAD)
        apply_adagrad(o, p->rate, scale, u);
    else
        apply_adam(o, p, scale, u);
}

static double
squares(const float *v, size_t n)
{
    double sum = 0.0;

    for (size_t i = 0; i < n; i++)
        sum += (double)v[i] * (double)v[i];
    return sum;
}

static void
apply_rowwise(const struct optimizer *o, float rate, float scale,
              const struct update *u)
{
    float *restrict w = u->w;
    const float *restrict g = u->g;
    float l2 = o->l2;
    double sum = 0.0;
    float step;

    for (size_t i = 0; i < u->n; i++) {
        double d = (double)(scale * g[i] + l2 * w[i]);

        sum += d * d;
    }
    *u->first += (float)(sum / (double)u->n);
    step = rate / (sqrtf(*u->first) + o->epsilon);
    for (size_t i = 0; i < u->n; i++)
        w[i] -= step * (scale * g[i] + l2 * w[i]);
}

static void
apply_row(const struct optimizer *o, const struct pace *p,
          const struct row_update *r, size_t width)
{
    bool has_second = o->kind == OPTIMIZER_ADAM;
    struct update u = {r->row, r->row + width,
                       has_second ? r->row + 2 * width : NULL, r->g, width};
    float scale = 1.0F;

    if (o->clip_norm > 0.0F) {
        double norm = sqrt(squares(r->g, width));

        if (norm > (double)o->clip_norm)
            scale = (float)((double)o->clip_norm / norm);
    }
    if (o->kind == OPTIMIZER_ROWWISE_ADAGRAD)
        apply_rowwise(o, p->rate, scale, &u);
    else
        optimizer_apply(o, p, scale, &u);
}

void
optimizer_apply_rows(const struct optimizer *o, const struct pace *p,
                     const struct row_update *u, size_t n, size_t width)
{
    if (o->kind != OPTIMIZER_ADAGRAD || o->clip_norm > 0.0F) {
        for (size_t i = 0; i < n; i++)
            apply_row(o, p, &u[i], width);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        struct update one = {u[i].row, u[i].row + width, NULL, u[i].g, width};

        apply_adagrad(o, p->rate, 1.0F, &one);
    }
}
