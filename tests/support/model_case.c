/* SPDX-License-Identifier: Apache-2.0 */
/* Batches, specifications and tensors for the tests of the model engine. */
#include "tests/support/model_case.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *
room(size_t n, size_t bytes)
{
    void *p = calloc(n + 1, bytes);

    if (p == NULL)
        abort();
    return p;
}

static uint64_t
next_random(uint64_t *state)
{
    uint64_t v = (*state += 0x9E3779B97F4A7C15U);

    v = (v ^ (v >> 30)) * 0xBF58476D1CE4E5B9U;
    v = (v ^ (v >> 27)) * 0x94D049BB133111EBU;
    return v ^ (v >> 31);
}

float
case_random(uint64_t *state)
{
    return (float)((double)(next_random(state) >> 40) * 0x1p-23 - 1.0);
}

struct optimizer
case_optimizer(enum optimizer_kind kind, float rate)
{
    return (struct optimizer){
        .kind = kind,
        .schedule = {.kind = SCHEDULE_CONSTANT, .rate = rate},
        .epsilon = 1e-8F,
        .beta1 = 0.9F,
        .beta2 = 0.999F,
    };
}

struct objective
case_objective(float hard, float soft)
{
    return (struct objective){
        .hard_weight = hard,
        .soft_weight = soft,
        .distill = DISTILL_CROSS_ENTROPY,
        .temperature = 1.0F,
        .label_scale = 1.0F,
        .gradient_scale = 1.0F,
    };
}

static void
column_make(struct column *c, const struct model_feature *f, size_t row_max)
{
    c->kind = f->kind;
    c->width = f->kind == FEATURE_VECTOR ? f->width : 1;
    c->ids_max = f->kind == FEATURE_BAG ? f->ids_max : 1;
    c->ids = room(row_max * c->ids_max, sizeof(*c->ids));
    c->offsets = room(row_max + 1, sizeof(*c->offsets));
    c->values = room(row_max * c->width, sizeof(*c->values));
    c->present = room(row_max, 1);
    memset(c->present, 1, row_max);
}

static void
outcome_make(struct outcome_column *o, const struct model_task *t,
             size_t row_max)
{
    o->kind = t->kind;
    o->width = t->kind == TASK_CLASS ? t->classes : 1;
    o->outcome = room(row_max, sizeof(*o->outcome));
    o->has_outcome = room(row_max, 1);
    o->teacher = room(row_max * o->width, sizeof(*o->teacher));
    o->has_teacher = room(row_max, 1);
}

struct model_spec
case_small_spec(enum optimizer_kind tables)
{
    static const struct model_feature user = {
        .name = "user",
        .kind = FEATURE_CATEGORICAL,
        .width = 3,
        .rows_max = 9,
        .admit_after = 1,
    };
    static const struct model_task click = {
        .name = "click", .kind = TASK_BINARY, .classes = 1};

    return (struct model_spec){
        .features = &user,
        .feature_count = 1,
        .tasks = &click,
        .task_count = 1,
        .hidden = {4},
        .hidden_count = 1,
        .activation = ACTIVATION_TANH,
        .embedding_deviation = 0.5F,
        .seed = 3,
        .batch_max = 64,
        .threads = 1,
        .dense = case_optimizer(OPTIMIZER_SGD, 0.0F),
        .tables = case_optimizer(tables, 0.1F),
    };
}

struct columns *
case_columns(const struct model_spec *spec, size_t row_max)
{
    struct columns *c = room(1, sizeof(*c));

    c->row_max = row_max;
    c->feature_count = spec->feature_count;
    c->features = room(spec->feature_count, sizeof(*c->features));
    for (size_t i = 0; i < spec->feature_count; i++)
        column_make(&c->features[spec->features[i].column], &spec->features[i],
                    row_max);
    c->task_count = spec->task_count;
    c->tasks = room(spec->task_count, sizeof(*c->tasks));
    for (size_t i = 0; i < spec->task_count; i++)
        outcome_make(&c->tasks[spec->tasks[i].column], &spec->tasks[i],
                     row_max);
    c->weight = room(row_max, sizeof(*c->weight));
    c->sample_rate = room(row_max, sizeof(*c->sample_rate));
    c->ask_weight = room(row_max, sizeof(*c->ask_weight));
    c->time_ms = room(row_max, sizeof(*c->time_ms));
    for (size_t r = 0; r < row_max; r++) {
        c->weight[r] = 1.0F;
        c->sample_rate[r] = 1.0F;
        c->ask_weight[r] = 1.0F;
    }
    return c;
}

void
case_columns_free(struct columns **self)
{
    struct columns *c = *self;

    *self = NULL;
    for (size_t i = 0; i < c->feature_count; i++) {
        free(c->features[i].ids);
        free(c->features[i].offsets);
        free(c->features[i].values);
        free(c->features[i].present);
    }
    for (size_t i = 0; i < c->task_count; i++) {
        free(c->tasks[i].outcome);
        free(c->tasks[i].has_outcome);
        free(c->tasks[i].teacher);
        free(c->tasks[i].has_teacher);
    }
    free(c->features);
    free(c->tasks);
    free(c->weight);
    free(c->sample_rate);
    free(c->ask_weight);
    free(c->time_ms);
    free(c);
}

static void
fill_column(struct column *c, size_t n, uint64_t ids, uint64_t *state)
{
    uint32_t at = 0;

    for (size_t r = 0; r < n; r++) {
        size_t bag = next_random(state) % (c->ids_max + 1);

        c->offsets[r] = at;
        if (c->kind == FEATURE_CATEGORICAL)
            c->ids[r] = 1 + next_random(state) % ids;
        for (size_t k = 0; c->kind == FEATURE_BAG && k < bag; k++)
            c->ids[at++] = 1 + next_random(state) % ids;
        for (size_t k = 0; k < c->width; k++)
            c->values[r * c->width + k] = case_random(state);
    }
    c->offsets[n] = at;
}

static void
fill_outcome(struct outcome_column *o, size_t n, uint64_t *state)
{
    for (size_t r = 0; r < n; r++) {
        o->has_outcome[r] = 1;
        o->has_teacher[r] = 1;
        if (o->kind == TASK_REGRESSION)
            o->outcome[r] = case_random(state);
        else if (o->kind == TASK_BINARY)
            o->outcome[r] = case_random(state) > 0.0F ? 1.0F : 0.0F;
        else
            o->outcome[r] = (float)(next_random(state) % o->width);
        for (size_t k = 0; k < o->width; k++)
            o->teacher[r * o->width + k] = 2.0F * case_random(state);
    }
}

void
case_fill(struct columns *c, size_t n, uint64_t ids, uint64_t *state)
{
    if (n > c->row_max)
        abort();
    c->row_count = n;
    for (size_t i = 0; i < c->feature_count; i++)
        fill_column(&c->features[i], n, ids, state);
    for (size_t i = 0; i < c->task_count; i++)
        fill_outcome(&c->tasks[i], n, state);
}

struct tensors
case_take(struct model *m, size_t capacity)
{
    struct tensors t = {NULL, 0};
    struct tensor_piece piece;
    struct error err = {0};
    char *buf = room(capacity, 1);
    enum status st;

    if (model_snapshot_begin(m, &err) != STATUS_OK)
        abort();
    t.count = model_snapshot_count(m);
    t.list = room(t.count, sizeof(*t.list));
    for (size_t i = 0; i < t.count; i++) {
        t.list[i] = *model_snapshot_tensor(m, i);
        t.list[i].data = room((size_t)tensor_bytes(&t.list[i]), 1);
    }
    while ((st = model_snapshot_read(m, buf, capacity, &piece)) == STATUS_OK) {
        union {
            const void *lent;
            char *own;
        } to = {t.list[piece.tensor].data};

        memcpy(to.own + piece.offset, buf, piece.bytes);
    }
    if (st != STATUS_END)
        abort();
    model_snapshot_end(m);
    free(buf);
    return t;
}

void
case_drop(struct tensors *t)
{
    for (size_t i = 0; i < t->count; i++) {
        union {
            const void *lent;
            void *own;
        } data = {t->list[i].data};

        free(data.own);
    }
    free(t->list);
    t->list = NULL;
    t->count = 0;
}

void *
case_find(const struct tensors *t, const char *name, size_t *count)
{
    for (size_t i = 0; i < t->count; i++) {
        const struct tensor *one = &t->list[i];
        union {
            const void *lent;
            void *own;
        } data = {one->data};

        if (strcmp(one->name, name) != 0)
            continue;
        if (count != NULL)
            *count =
                (size_t)(one->shape[0] * (one->rank == 2 ? one->shape[1] : 1));
        return data.own;
    }
    return NULL;
}

bool
case_is_equal(const struct tensors *a, const struct tensors *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        size_t bytes = (size_t)tensor_bytes(&a->list[i]);

        if (strcmp(a->list[i].name, b->list[i].name) != 0 ||
            bytes != tensor_bytes(&b->list[i]) ||
            memcmp(a->list[i].data, b->list[i].data, bytes) != 0) {
            (void)printf("tensor %s differs\n", a->list[i].name);
            return false;
        }
    }
    return true;
}

struct model *
case_model(const struct model_spec *spec)
{
    struct model *m = NULL;
    struct error err = {0};

    if (model_new(&m, spec, &err) != STATUS_OK) {
        (void)printf("model_new: %s\n", err.text);
        abort();
    }
    return m;
}

void
case_restore(struct model *m, const struct tensors *t, enum restore_mode mode)
{
    struct error err = {0};

    if (model_restore(m, t->list, t->count, mode, NULL, &err) != STATUS_OK) {
        (void)printf("model_restore: %s\n", err.text);
        abort();
    }
}
