/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Activations. A row at a time, so that the loops over a row vectorise and the
 * bias stays in registers or the first cache. A value that is not a number
 * stays one (relu is "below 0 becomes 0", not "above 0 stays"), because the
 * trainer's guard must see it.
 */
#include "stages/model/activation.h"

#include <math.h>

#define LEAK 0.01F

static void
add_bias(float *restrict y, const float *restrict bias, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += bias[i];
}

static void
relu(float *restrict y, const float *restrict bias, size_t n, float leak)
{
    for (size_t i = 0; i < n; i++) {
        float v = y[i] + bias[i];

        y[i] = v < 0.0F ? leak * v : v;
    }
}

static float
sigmoid(float v)
{
    float e = expf(-fabsf(v));

    return v >= 0.0F ? 1.0F / (1.0F + e) : e / (1.0F + e);
}

static float
normal_below(float v)
{
    return 0.5F * erfcf(-v * 0.70710678F);
}

static void
softmax(float *y, size_t n)
{
    float top = y[0];
    float total = 0.0F;

    for (size_t i = 1; i < n; i++)
        top = y[i] > top ? y[i] : top;
    for (size_t i = 0; i < n; i++) {
        y[i] = expf(y[i] - top);
        total += y[i];
    }
    for (size_t i = 0; i < n; i++)
        y[i] /= total;
}

bool
activation_needs_sum(enum activation kind)
{
    return kind == ACTIVATION_GELU || kind == ACTIVATION_SILU;
}

static void
forward_row(enum activation kind, float *restrict y, float *restrict sum,
            size_t n)
{
    switch (kind) {
    case ACTIVATION_TANH:
        for (size_t i = 0; i < n; i++)
            y[i] = tanhf(y[i]);
        break;
    case ACTIVATION_SIGMOID:
        for (size_t i = 0; i < n; i++)
            y[i] = sigmoid(y[i]);
        break;
    case ACTIVATION_GELU:
        for (size_t i = 0; i < n; i++) {
            sum[i] = y[i];
            y[i] *= normal_below(y[i]);
        }
        break;
    case ACTIVATION_SILU:
        for (size_t i = 0; i < n; i++) {
            sum[i] = y[i];
            y[i] *= sigmoid(y[i]);
        }
        break;
    case ACTIVATION_SOFTMAX:
        softmax(y, n);
        break;
    case ACTIVATION_RELU:
    case ACTIVATION_LEAKY_RELU:
    case ACTIVATION_IDENTITY:
        break;
    }
}

void
activation_forward(enum activation kind, struct matrix y, struct matrix sum,
                   const float *bias)
{
    float leak = kind == ACTIVATION_LEAKY_RELU ? LEAK : 0.0F;
    bool is_relu = kind == ACTIVATION_RELU || kind == ACTIVATION_LEAKY_RELU;

    assert(!activation_needs_sum(kind) || sum.rows >= y.rows);
    for (size_t r = 0; r < y.rows; r++) {
        float *row = matrix_row(y, r);

        if (is_relu) {
            relu(row, bias, y.columns, leak);
            continue;
        }
        add_bias(row, bias, y.columns);
        forward_row(kind, row,
                    activation_needs_sum(kind) ? matrix_row(sum, r) : NULL,
                    y.columns);
    }
}

static void
relu_back(float *restrict dy, const float *restrict y, float *restrict dbias,
          size_t n, float leak)
{
    for (size_t i = 0; i < n; i++) {
        float d = y[i] > 0.0F ? dy[i] : leak * dy[i];

        dy[i] = d;
        dbias[i] += d;
    }
}

static void
softmax_back(float *restrict dy, const float *restrict y, size_t n)
{
    float dot = 0.0F;

    for (size_t i = 0; i < n; i++)
        dot += dy[i] * y[i];
    for (size_t i = 0; i < n; i++)
        dy[i] = y[i] * (dy[i] - dot);
}

/* The derivative of GELU: Phi(v) + v phi(v). */
static float
gelu_slope(float v)
{
    return normal_below(v) + v * 0.39894228F * expf(-0.5F * v * v);
}

static float
silu_slope(float v)
{
    float s = sigmoid(v);

    return s + v * s * (1.0F - s);
}

static void
backward_row(enum activation kind, float *restrict dy, const float *restrict y,
             const float *restrict sum, size_t n)
{
    switch (kind) {
    case ACTIVATION_TANH:
        for (size_t i = 0; i < n; i++)
            dy[i] *= 1.0F - y[i] * y[i];
        break;
    case ACTIVATION_SIGMOID:
        for (size_t i = 0; i < n; i++)
            dy[i] *= y[i] * (1.0F - y[i]);
        break;
    case ACTIVATION_GELU:
        for (size_t i = 0; i < n; i++)
            dy[i] *= gelu_slope(sum[i]);
        break;
    case ACTIVATION_SILU:
        for (size_t i = 0; i < n; i++)
            dy[i] *= silu_slope(sum[i]);
        break;
    case ACTIVATION_SOFTMAX:
        softmax_back(dy, y, n);
        break;
    case ACTIVATION_RELU:
    case ACTIVATION_LEAKY_RELU:
    case ACTIVATION_IDENTITY:
        break;
    }
}

void
activation_backward(enum activation kind, struct matrix dy, struct matrix y,
                    struct matrix sum, float *dbias)
{
    float leak = kind == ACTIVATION_LEAKY_RELU ? LEAK : 0.0F;
    bool is_relu = kind == ACTIVATION_RELU || kind == ACTIVATION_LEAKY_RELU;

    assert(dy.rows == y.rows && dy.columns == y.columns);
    for (size_t r = 0; r < dy.rows; r++) {
        float *row = matrix_row(dy, r);

        if (is_relu) {
            relu_back(row, matrix_row(y, r), dbias, dy.columns, leak);
            continue;
        }
        backward_row(kind, row, matrix_row(y, r),
                     activation_needs_sum(kind) ? matrix_row(sum, r) : NULL,
                     dy.columns);
        add_bias(dbias, row, dy.columns);
    }
}
