/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Means of answers, and who made them. Those that answer together are named
 * "a+b", with the version "1+2".
 */
#include "stages/annotate/blend.h"

#include "daemon/base/text.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum status
blend_init(struct blend *v, size_t row_max, size_t task_max, size_t width,
           size_t member_max, struct error *err)
{
    assert(row_max > 0 && task_max > 0 && width > 0 && member_max > 0);
    memset(v, 0, sizeof(*v));
    v->row_max = row_max;
    v->task_max = task_max;
    v->width = width;
    v->version_max = (LABEL_VERSION_MAX + 1) / member_max - 1;
    v->logits = calloc(row_max * width, sizeof(v->logits[0]));
    v->weights = calloc(row_max * task_max, sizeof(v->weights[0]));
    v->by = calloc(row_max, 1);
    if (v->logits == NULL || v->weights == NULL || v->by == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for answers");
    return STATUS_OK;
}

void
blend_fini(struct blend *v)
{
    free(v->logits);
    free(v->weights);
    free(v->by);
    memset(v, 0, sizeof(*v));
}

void
blend_begin(struct blend *v, struct batch *b)
{
    size_t rows = b->columns->row_count;

    assert(rows <= v->row_max && b->columns->task_count == v->task_max);
    v->batch = b;
    memset(v->weights, 0, rows * v->task_max * sizeof(v->weights[0]));
    memset(v->by, ANSWERED_BY_NONE, rows);
    memset(&v->joint, 0, sizeof(v->joint));
}

/* Writes "a+b" into out (max + 1 bytes), cut there. */
static void
put_joined(char *out, size_t max, const char *a, const char *b)
{
    size_t len = strlen(a);
    size_t more = strlen(b);

    assert(len <= max);
    memcpy(out, a, len);
    if (len < max)
        out[len++] = '+';
    more = more < max - len ? more : max - len;
    memcpy(out + len, b, more);
    out[len + more] = '\0';
}

/* Who answers when `number` comes on top of `before`. */
static uint8_t
join(struct blend *v, uint8_t before, uint8_t number)
{
    struct joint *j = &v->joint;
    struct answerer both;
    const struct answerer *a;
    const struct answerer *b;

    if (before == ANSWERED_BY_NONE || number == ANSWERED_BY_NONE)
        return number;
    if (j->before == before && j->number == number)
        return j->both;
    a = &v->batch->answerers[before - 1];
    b = &v->batch->answerers[number - 1];
    put_joined(both.name, LABEL_TEACHER_MAX, a->name, b->name);
    put_joined(both.version, LABEL_VERSION_MAX, a->version, b->version);
    *j = (struct joint){before, number,
                        batch_answerer(v->batch, both.name, both.version)};
    return j->both;
}

/* Moves the running mean of a task's logits towards an answer. */
static void
add_task(float *mean, float *sum, const float *logits, size_t width,
         float weight)
{
    *sum += weight;
    for (size_t k = 0; k < width; k++) {
        if (*sum == weight)
            mean[k] = logits[k];
        else
            mean[k] += (logits[k] - mean[k]) * (weight / *sum);
    }
}

static bool
are_finite(const float *logits, size_t width)
{
    for (size_t k = 0; k < width; k++) {
        if (!isfinite(logits[k]))
            return false;
    }
    return true;
}

/* True: there was something in the answer. */
static bool
add_row(struct blend *v, size_t row, const float *logits, const double *weights)
{
    const struct columns *c = v->batch->columns;
    float *mean = v->logits + row * v->width;
    float *sums = v->weights + row * v->task_max;
    bool has_any = false;

    for (size_t i = 0; i < c->task_count; i++) {
        size_t width = c->tasks[i].width;
        float weight = weights == NULL ? 1 : (float)weights[i];

        if (weight > 0 && are_finite(logits, width)) {
            add_task(mean, &sums[i], logits, width, weight);
            has_any = true;
        }
        logits += width;
        mean += width;
    }
    return has_any;
}

/* The number of each version that answers, cut so that all have room in one
 * label. */
static void
find_numbers(struct blend *v, const struct ask *ask, const char *name,
             uint8_t numbers[ASK_VERSIONS_MAX])
{
    char version[LABEL_VERSION_MAX + 1];

    for (size_t i = 0; i < ask->version_count; i++) {
        size_t len = strlen(ask->versions[i]);

        if (len > v->version_max)
            len = text_utf8_prefix(ask->versions[i], v->version_max);
        memcpy(version, ask->versions[i], len);
        version[len] = '\0';
        numbers[i] = batch_answerer(v->batch, name, version);
    }
}

void
blend_add(struct blend *v, const struct ask *ask, const char *name,
          const double *weights, uint64_t *unplaced)
{
    uint8_t numbers[ASK_VERSIONS_MAX];

    assert(ask->batch == v->batch);
    find_numbers(v, ask, name, numbers);
    for (size_t row = 0; row < v->batch->columns->row_count; row++) {
        uint8_t by;

        if (ask->answers[row] != ANSWER_GIVEN)
            continue;
        by = join(v, v->by[row], numbers[ask->version_of[row]]);
        if (by == ANSWERED_BY_NONE)
            ++*unplaced;
        else if (add_row(v, row, ask->logits + row * v->width, weights))
            v->by[row] = by;
    }
}

void
blend_write(const struct blend *v)
{
    struct batch *b = v->batch;
    struct columns *c = b->columns;

    memcpy(b->answered_by, v->by, c->row_count);
    for (size_t row = 0; row < c->row_count; row++) {
        const float *logits = v->logits + row * v->width;

        for (size_t i = 0; i < c->task_count; i++) {
            struct outcome_column *t = &c->tasks[i];

            t->has_teacher[row] = v->weights[row * v->task_max + i] > 0;
            if (t->has_teacher[row])
                memcpy(t->teacher + row * t->width, logits,
                       t->width * sizeof(float));
            logits += t->width;
        }
    }
}
