/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measuring one answer of a model to one row of a task of any kind.
 */
#include "stages/model/answer.h"

#include <assert.h>
#include <float.h>
#include <math.h>

static double
clean_value(float value)
{
    if (isnan(value))
        return 0.0;
    return (double)fminf(fmaxf(value, -FLT_MAX), FLT_MAX);
}

static double
clean_logit(float logit)
{
    return fmin(fmax(clean_value(logit), -88.0), 88.0);
}

/* log(sum(exp(logits))) */
static double
log_sum(const float *logits, size_t width)
{
    double top = clean_logit(logits[0]);
    double sum = 0.0;

    assert(width > 0);
    for (size_t i = 1; i < width; i++)
        top = fmax(top, clean_logit(logits[i]));
    for (size_t i = 0; i < width; i++)
        sum += exp(clean_logit(logits[i]) - top);
    return top + log(sum);
}

static struct answer
look_at_classes(const float *logits, size_t width, float outcome,
                const float *teacher)
{
    double total = log_sum(logits, width);
    size_t truth = (size_t)outcome;
    size_t best = 0;
    struct answer a = {0};

    for (size_t i = 1; i < width; i++)
        if (clean_logit(logits[i]) > clean_logit(logits[best]))
            best = i;
    if (truth >= width)
        truth = width - 1;
    a.row.outcome = best == truth ? 1.0 : 0.0;
    a.row.loss = total - clean_logit(logits[truth]);
    if (teacher != NULL) {
        double teacher_total = log_sum(teacher, width);

        for (size_t i = 0; i < width; i++)
            a.distance +=
                0.5 * fabs(exp(clean_logit(logits[i]) - total) -
                           exp(clean_logit(teacher[i]) - teacher_total));
    }
    return a;
}

struct answer
answer_look(enum task_kind kind, size_t width, const float *logits,
            float outcome, const float *teacher)
{
    struct answer a = {0};

    assert(width > 0 && logits != NULL);
    if (kind == TASK_CLASS)
        return look_at_classes(logits, width, outcome, teacher);
    if (kind == TASK_BINARY) {
        a.row = quality_look(logits[0], outcome);
        if (teacher != NULL)
            a.distance = fabs(a.row.probability -
                              quality_look(teacher[0], outcome).probability);
        return a;
    }
    a.row.probability = clean_value(logits[0]);
    a.row.outcome = (double)outcome;
    a.row.loss = a.row.probability - a.row.outcome;
    a.row.loss *= a.row.loss;
    if (teacher != NULL)
        a.distance = fabs(a.row.probability - clean_value(teacher[0]));
    return a;
}
