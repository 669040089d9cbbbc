/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lays all arrays of a batch out in one block: once to count, once to set the
 * pointers, by the same function, so that the two cannot disagree.
 */
#include "stages/event/batch_columns.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 64

struct layout {
    unsigned char *block; /* NULL while counting */
    size_t used;
    bool is_too_large;
};

/* Takes count * bytes off the block; NULL while counting. */
static void *
take(struct layout *l, size_t count, size_t bytes)
{
    size_t size;
    void *piece = l->block != NULL ? l->block + l->used : NULL;

    if (__builtin_mul_overflow(count, bytes, &size) ||
        __builtin_add_overflow(size, ALIGNMENT - 1, &size) ||
        __builtin_add_overflow(l->used, size / ALIGNMENT * ALIGNMENT, &l->used))
        l->is_too_large = true;
    return piece;
}

static size_t
ids_max(const struct event_feature *f)
{
    return f->ids_max > 0 ? f->ids_max : EVENT_IDS_MAX;
}

static void
lay_feature(struct layout *l, const struct event_feature *f, size_t row_max,
            struct column *c)
{
    *c =
        (struct column){.kind = event_column_kind(f), .width = 1, .ids_max = 1};
    switch (c->kind) {
    case FEATURE_CATEGORICAL:
        c->ids = take(l, row_max, sizeof(*c->ids));
        break;
    case FEATURE_BAG:
        c->ids_max = ids_max(f);
        if (c->ids_max > UINT32_MAX / row_max) {
            l->is_too_large = true;
            break;
        }
        c->ids = take(l, row_max * c->ids_max, sizeof(*c->ids));
        c->offsets = take(l, row_max + 1, sizeof(*c->offsets));
        break;
    case FEATURE_VECTOR:
        c->width = f->width;
        c->values = take(l, row_max, f->width * sizeof(*c->values));
        c->present = take(l, row_max, sizeof(*c->present));
        break;
    case FEATURE_NUMBER:
        c->values = take(l, row_max, sizeof(*c->values));
        c->present = take(l, row_max, sizeof(*c->present));
        break;
    }
}

static void
lay_task(struct layout *l, const struct event_task *t, size_t row_max,
         struct outcome_column *c)
{
    *c =
        (struct outcome_column){.kind = t->kind, .width = event_logit_width(t)};
    c->outcome = take(l, row_max, sizeof(*c->outcome));
    c->has_outcome = take(l, row_max, sizeof(*c->has_outcome));
    c->teacher = take(l, row_max, c->width * sizeof(*c->teacher));
    c->has_teacher = take(l, row_max, sizeof(*c->has_teacher));
}

/* While counting, the columns are the caller's own and get no pointers. */
static void
lay_all(struct layout *l, const struct event_spec *spec, size_t row_max,
        struct columns *counted)
{
    struct columns *c = take(l, 1, sizeof(*c));
    struct column feature;
    struct outcome_column task;

    if (c == NULL)
        c = counted;
    *c = (struct columns){.row_max = row_max,
                          .feature_count = spec->feature_count,
                          .task_count = spec->task_count};
    c->features = take(l, spec->feature_count, sizeof(*c->features));
    c->tasks = take(l, spec->task_count, sizeof(*c->tasks));
    for (size_t i = 0; i < spec->feature_count; i++)
        lay_feature(l, &spec->features[i], row_max,
                    c->features != NULL ? &c->features[i] : &feature);
    for (size_t i = 0; i < spec->task_count; i++)
        lay_task(l, &spec->tasks[i], row_max,
                 c->tasks != NULL ? &c->tasks[i] : &task);
    c->weight = take(l, row_max, sizeof(*c->weight));
    c->sample_rate = take(l, row_max, sizeof(*c->sample_rate));
    c->ask_weight = take(l, row_max, sizeof(*c->ask_weight));
    c->time_ms = take(l, row_max, sizeof(*c->time_ms));
    c->teacher_id = take(l, row_max, sizeof(*c->teacher_id));
}

enum status
columns_new(struct columns **out, const struct event_spec *spec, size_t row_max,
            struct error *err)
{
    struct layout counting = {.block = NULL};
    struct layout final = {.block = NULL};
    struct columns counted;
    void *block = NULL;

    assert(out != NULL && spec != NULL && row_max > 0 && err != NULL);
    *out = NULL;
    lay_all(&counting, spec, row_max, &counted);
    if (counting.is_too_large)
        return error_set(err, STATUS_CONFIG,
                         "a batch of %zu rows is too large: lower the batch "
                         "size, ids_max or the width of vectors",
                         row_max);
    if (posix_memalign(&block, ALIGNMENT, counting.used) != 0)
        return error_set(err, STATUS_NOMEM,
                         "no memory for a batch of %zu rows, %zu bytes",
                         row_max, counting.used);
    memset(block, 0, counting.used);
    final.block = block;
    lay_all(&final, spec, row_max, &counted);
    assert(final.used == counting.used);
    *out = block;
    return STATUS_OK;
}

void
columns_free(struct columns **self)
{
    assert(self != NULL);
    free(*self);
    *self = NULL;
}

void
columns_clear(struct columns *c)
{
    assert(c != NULL);
    c->row_count = 0; /* offsets[0] of every bag is 0 from the beginning */
    c->imagined_count = 0;
}
