/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Losses and their gradients. The formulas are those of Hinton 2015 (softened
 * answers with T^2, so that the gradient keeps its size when T grows), of
 * Rocket Launching (difference of logits), of ExFM (scaled labels for an
 * auxiliary head) and of Rec-Distill (logits as their student's sampling shows
 * them).
 */
#include "stages/model/loss.h"

#include <assert.h>
#include <math.h>

static double
sigmoid(double z)
{
    double e = exp(-fabs(z));

    return z >= 0.0 ? 1.0 / (1.0 + e) : e / (1.0 + e);
}

/* p log p, 0 at 0. */
static double
p_log_p(double p)
{
    return p > 0.0 ? p * log(p) : 0.0;
}

/* The cross-entropy of label q and logit z; *p becomes sigmoid(z). Where e is
 * so small that log1p(e) would tell it from log(1 + e), the loss is less than
 * 1e-15 off, and a third of the time is saved. */
static double
binary_cross_entropy(double z, double q, double *p)
{
    double e = exp(-fabs(z));

    *p = z >= 0.0 ? 1.0 / (1.0 + e) : e / (1.0 + e);
    return fmax(z, 0.0) - q * z + log(1.0 + e);
}

/* log sum exp (z / T). */
static double
log_sum_exp(const float *z, size_t K, double T)
{
    double top = (double)z[0];
    double sum = 0.0;

    assert(K > 0);
    for (size_t k = 1; k < K; k++)
        top = fmax(top, (double)z[k]);
    for (size_t k = 0; k < K; k++)
        sum += exp(((double)z[k] - top) / T);
    return top / T + log(sum);
}

static void
add(float *dz, double scale, double gradient)
{
    if (dz != NULL)
        *dz += (float)(scale * gradient);
}

static double
squared(float z, double target, double scale, float *dz)
{
    double d = (double)z - target;

    add(dz, scale, 2.0 * d);
    return d * d;
}

static double
class_hard(const float *z, size_t K, float outcome, double scale, float *dz)
{
    double total = log_sum_exp(z, K, 1.0);
    size_t y = (size_t)outcome;

    assert(y < K);
    for (size_t k = 0; dz != NULL && k < K; k++) {
        double p = exp((double)z[k] - total);

        add(dz + k, scale, k == y ? p - 1.0 : p);
    }
    return total - (double)z[y];
}

double
loss_hard(enum task_kind kind, const float *z, size_t K, float outcome,
          float rate, double scale, float *dz)
{
    double shown = (double)z[0];
    double loss;
    double p;

    if (kind == TASK_CLASS)
        return class_hard(z, K, outcome, scale, dz);
    assert(K == 1);
    if (kind == TASK_REGRESSION)
        return squared(z[0], (double)outcome, scale, dz);
    if (rate != 1.0F)
        shown -= log((double)rate);
    loss = binary_cross_entropy(shown, (double)outcome, &p);
    add(dz, scale, p - (double)outcome);
    return loss;
}

static double
soft_label(const struct soft_loss *l, double z)
{
    return fmin(l->label_scale * sigmoid(z), 1.0);
}

static double
binary_soft(const struct soft_loss *l, const float *z, const float *teacher,
            double scale, float *dz)
{
    double T = l->temperature;
    double shown = (double)z[0] + l->shift;
    double taught = (double)teacher[0] + l->shift;
    double p;
    double q;
    double loss;

    if (l->distill == DISTILL_LOGIT_MSE) /* the shift of both cancels out */
        return squared(z[0], (double)teacher[0], scale, dz);
    if (l->distill == DISTILL_PROBABILITY_MSE) {
        p = sigmoid(shown);
        q = soft_label(l, taught);
        add(dz, scale, 2.0 * (p - q) * p * (1.0 - p));
        return (p - q) * (p - q);
    }
    q = soft_label(l, taught / T);
    loss = binary_cross_entropy(shown / T, q, &p);
    if (l->distill == DISTILL_KL)
        loss += p_log_p(q) + p_log_p(1.0 - q);
    add(dz, scale, T * (p - q));
    return T * T * loss;
}

static double
class_cross_entropy(const struct soft_loss *l, const float *z,
                    const float *teacher, size_t K, double scale, float *dz)
{
    double T = l->temperature;
    double z_total = log_sum_exp(z, K, T);
    double t_total = log_sum_exp(teacher, K, T);
    double loss = 0.0;

    for (size_t k = 0; k < K; k++) {
        double log_p = (double)z[k] / T - z_total;
        double log_q = (double)teacher[k] / T - t_total;
        double q = exp(log_q);

        loss -= q * log_p;
        if (l->distill == DISTILL_KL && q > 0.0)
            loss += q * log_q;
        if (dz != NULL)
            add(dz + k, scale, T * (exp(log_p) - q));
    }
    return T * T * loss;
}

static double
class_probability(const float *z, const float *teacher, size_t K, double scale,
                  float *dz)
{
    double z_total = log_sum_exp(z, K, 1.0);
    double t_total = log_sum_exp(teacher, K, 1.0);
    double loss = 0.0;
    double dot = 0.0;

    for (size_t k = 0; k < K; k++) {
        double p = exp((double)z[k] - z_total);
        double d = p - exp((double)teacher[k] - t_total);

        loss += d * d;
        dot += 2.0 * d * p;
    }
    for (size_t k = 0; dz != NULL && k < K; k++) {
        double p = exp((double)z[k] - z_total);
        double d = p - exp((double)teacher[k] - t_total);

        add(dz + k, scale, p * (2.0 * d - dot));
    }
    return loss;
}

double
loss_soft(const struct soft_loss *l, const float *z, const float *teacher,
          size_t K, double scale, float *dz)
{
    double loss = 0.0;

    assert(l->temperature > 0.0);
    if (l->kind == TASK_REGRESSION)
        return squared(z[0], (double)teacher[0], scale, dz);
    if (l->kind == TASK_BINARY)
        return binary_soft(l, z, teacher, scale, dz);
    if (l->distill == DISTILL_PROBABILITY_MSE)
        return class_probability(z, teacher, K, scale, dz);
    if (l->distill != DISTILL_LOGIT_MSE)
        return class_cross_entropy(l, z, teacher, K, scale, dz);
    for (size_t k = 0; k < K; k++)
        loss += squared(z[k], (double)teacher[k], scale,
                        dz == NULL ? NULL : dz + k);
    return loss;
}
