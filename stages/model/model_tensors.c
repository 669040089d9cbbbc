/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tensor list: every tensor of a model beside its tables, once. Offsets,
 * names, initial values, the order in files, snapshot and restore come from
 * it, so nothing can fall out of step.
 *
 *   cross/<l>/weight (N, N)  cross/<l>/bias (N)
 *   mlp/<l>/weight (O, I)    mlp/<l>/bias (O)
 *   head/<task>/weight (K, U), head/<task>/auxiliary/weight (K, U); biases (K)
 *   adapter/<task>/0/weight (H, I), adapter/<task>/1/weight (K, H); biases
 *   linear/<feature>/weight (L, width, one more for an indicator)
 *   <feature>/mean, variance (width), count (1) of standardized features
 *   calibration/<task> (scale, shift), and /derivatives (3) of it
 *   <tensor>/adagrad or <tensor>/adam_m, adam_v (optimizer state)
 *   model/counters (steps, examples, updates, event clock in ms)
 */
#include "stages/model/calibrate.h"
#include "stages/model/initial.h"
#include "stages/model/model_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNED_FLOATS 16

static struct entry *
add_entry(struct model *m, enum tensor_type type, size_t rank, size_t rows,
          size_t columns)
{
    struct entry *e;

    assert(m->entry_count < m->entry_max);
    e = &m->entries[m->entry_count++];
    e->tensor.type = type;
    e->tensor.rank = rank;
    e->tensor.shape[0] = rank == 2 ? rows : columns;
    e->tensor.shape[1] = rank == 2 ? columns : 0;
    e->ones_from = NONE;
    return e;
}

static size_t
add_learned(struct model *m, size_t rank, size_t rows, size_t columns)
{
    struct entry *e = add_entry(m, TENSOR_F32, rank, rows, columns);

    e->is_learned = true;
    e->offset = m->float_count;
    m->float_count += rows * columns;
    return e->offset;
}

/* Layers begin on a cache line; the stacked heads follow each other. */
static void
align_next(struct model *m)
{
    m->float_count =
        (m->float_count + ALIGNED_FLOATS - 1) / ALIGNED_FLOATS * ALIGNED_FLOATS;
}

static struct entry *
last_entry(struct model *m)
{
    return &m->entries[m->entry_count - 1];
}

print_like(2, 3) static void name_last(struct model *m, const char *format, ...)
{
    struct tensor *t = &last_entry(m)->tensor;
    va_list args;

    va_start(args, format);
    (void)vsnprintf(t->name, sizeof(t->name), format, args);
    va_end(args);
}

static void
list_layer(struct model *m, struct dense_layer *l, const char *kind, size_t i)
{
    align_next(m);
    l->weight = add_learned(m, 2, l->rows, l->columns);
    last_entry(m)->bound = 1.0 / sqrt((double)l->columns);
    name_last(m, "%s/%zu/weight", kind, i);
    align_next(m);
    l->bias = add_learned(m, 1, 1, l->rows);
    name_last(m, "%s/%zu/bias", kind, i);
}

static void
list_layers(struct model *m)
{
    size_t inputs = m->N;

    for (size_t i = 0; i < m->spec.cross_layers; i++) {
        m->cross[i].rows = m->N;
        m->cross[i].columns = m->N;
        list_layer(m, &m->cross[i], "cross", i);
    }
    for (size_t i = 0; i < m->spec.hidden_count; i++) {
        m->mlp[i].rows = m->spec.hidden[i];
        m->mlp[i].columns = inputs;
        list_layer(m, &m->mlp[i], "mlp", i);
        inputs = m->spec.hidden[i];
    }
}

/* One block of head weights or biases: the serving ones, then the auxiliary
 * ones, so that one product serves all. */
static void
list_head(struct model *m, const struct task *t, bool is_auxiliary,
          bool is_weight)
{
    if (is_weight) {
        (void)add_learned(m, 2, t->width, m->U);
        last_entry(m)->bound = 1.0 / sqrt((double)m->H);
        last_entry(m)->ones_from = m->H;
    } else {
        (void)add_learned(m, 1, 1, t->width);
    }
    name_last(m, "head/%s/%s%s", t->task->name,
              is_auxiliary ? "auxiliary/" : "", is_weight ? "weight" : "bias");
}

static void
list_heads(struct model *m)
{
    m->heads.rows = m->L + m->A;
    m->heads.columns = m->U;
    for (int is_weight = 1; is_weight >= 0; is_weight--) {
        align_next(m);
        if (is_weight)
            m->heads.weight = m->float_count;
        else
            m->heads.bias = m->float_count;
        for (size_t i = 0; i < m->task_count; i++)
            list_head(m, &m->tasks[i], false, is_weight);
        for (size_t i = 0; i < m->task_count; i++) {
            if (m->tasks[i].auxiliary != NONE)
                list_head(m, &m->tasks[i], true, is_weight);
        }
    }
}

size_t
adapter_inputs(const struct task *t)
{
    return t->task->adapter_sees_student ? 2 * t->width : t->width;
}

/* The last layer begins at 0: an adapter begins as one of its inputs. */
static void
list_adapters(struct model *m)
{
    for (size_t i = 0; i < m->task_count; i++) {
        struct task *t = &m->tasks[i];
        char kind[MODEL_NAME_MAX + 16];

        if (t->task->adapter == 0)
            continue;
        (void)snprintf(kind, sizeof(kind), "adapter/%s", t->task->name);
        t->adapter[0].rows = t->task->adapter;
        t->adapter[0].columns = adapter_inputs(t);
        list_layer(m, &t->adapter[0], kind, 0);
        t->adapter[1].rows = t->width;
        t->adapter[1].columns = t->task->adapter;
        list_layer(m, &t->adapter[1], kind, 1);
        m->entries[m->entry_count - 2].bound = 0.0;
    }
}

static void
list_linear(struct model *m)
{
    for (size_t i = 0; i < m->numeric_count; i++) {
        struct numeric *n = &m->numerics[i];
        size_t width = n->feature->width + (n->indicator != NONE);

        n->linear = NONE;
        if (!m->spec.has_linear)
            continue;
        align_next(m);
        n->linear = add_learned(m, 2, m->L, width);
        name_last(m, "linear/%s/weight", n->feature->name);
    }
    align_next(m);
}

static void
list_stats(struct model *m)
{
    static const char *const parts[] = {"mean", "variance", "count"};

    for (size_t i = 0; i < m->numeric_count; i++) {
        const struct model_feature *f = m->numerics[i].feature;

        for (size_t k = 0; f->standardize && k < COUNT(parts); k++) {
            (void)add_entry(m, TENSOR_F64, 1, 1, k == 2 ? 1 : f->width);
            name_last(m, "%s/%s", f->name, parts[k]);
        }
    }
}

static void
list_calibrations(struct model *m)
{
    for (size_t i = 0; m->spec.is_calibrated && i < m->task_count; i++) {
        const char *name = m->tasks[i].task->name;

        (void)add_entry(m, TENSOR_F64, 1, 1, CALIBRATE_WIDTH);
        name_last(m, "calibration/%s", name);
        add_entry(m, TENSOR_F64, 1, 1, CALIBRATE_STATE)->tensor.is_state = true;
        name_last(m, "calibration/%s/derivatives", name);
    }
}

static void
list_state(struct model *m)
{
    enum optimizer_kind kind = m->spec.dense.kind;
    const char *const names[] = {kind == OPTIMIZER_ADAM ? "adam_m" : "adagrad",
                                 "adam_v"};
    size_t learned = m->entry_count;

    for (size_t k = 0; k < optimizer_state_count(kind); k++) {
        for (size_t i = 0; i < learned; i++) {
            const struct entry *of = &m->entries[i];
            struct entry *e;

            if (!of->is_learned)
                continue;
            e = add_entry(m, TENSOR_F32, 1, 1, 0);
            e->tensor = of->tensor;
            e->tensor.is_state = true;
            e->offset = of->offset;
            e->block = k + 1;
            e->fill = kind == OPTIMIZER_ADAGRAD
                          ? (double)m->spec.dense.accumulator_initial
                          : 0.0;
            name_last(m, "%s/%s", m->entries[i].tensor.name, names[k]);
        }
    }
    add_entry(m, TENSOR_I64, 1, 1, COUNTER_COUNT)->tensor.is_state = true;
    name_last(m, "model/counters");
}

enum status
tensors_list(struct model *m, struct error *err)
{
    size_t layers = m->spec.cross_layers + m->spec.hidden_count;

    m->entry_max = 3 * (2 * layers + 8 * m->task_count + m->numeric_count) +
                   3 * m->numeric_count + 2 * m->task_count + 1;
    m->entries = calloc(m->entry_max, sizeof(*m->entries));
    if (m->entries == NULL)
        return error_set(err, STATUS_NOMEM, "model: list of tensors");
    list_layers(m);
    list_heads(m);
    list_adapters(m);
    list_linear(m);
    list_stats(m);
    list_calibrations(m);
    list_state(m);
    return STATUS_OK;
}

static void
begin_learned(const struct model *m, const struct entry *e)
{
    float *w = e->live;
    size_t columns = e->tensor.rank == 2 ? e->tensor.shape[1] : 1;
    size_t rows = e->tensor.shape[0];

    initial_uniform(w, rows * columns, e->bound, m->spec.seed, e->tensor.name);
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = e->ones_from; c < columns; c++)
            w[r * columns + c] = 1.0F;
    }
}

/* Points mean, variance and count of each standardized feature into stats;
 * lends what lies behind them. */
static double *
attach_stats(struct model *m)
{
    double *at = m->stats;
    float *scale = m->scales;

    for (size_t i = 0; i < m->numeric_count; i++) {
        struct standardize *s = &m->numerics[i].stats;
        size_t width = m->numerics[i].feature->width;

        if (!m->numerics[i].feature->standardize)
            continue;
        s->width = width;
        s->mean = at;
        s->variance = at + width;
        s->count = at + 2 * width;
        s->shift = scale;
        s->scale = scale + width;
        at += 2 * width + 1;
        scale += 2 * width;
    }
    return at;
}

/* And each task's calibration behind them. */
static void
attach_calibrations(struct model *m, double *at)
{
    for (size_t i = 0; m->spec.is_calibrated && i < m->task_count; i++) {
        struct task *t = &m->tasks[i];

        t->calibration = at;
        t->derivatives = at + CALIBRATE_WIDTH;
        calibrate_init(t->calibration, t->derivatives);
        at += CALIBRATE_WIDTH + CALIBRATE_STATE;
    }
}

void
tensors_attach(struct model *m)
{
    float *const blocks[] = {m->parameters, m->first, m->second};
    double *stats = m->stats;

    attach_calibrations(m, attach_stats(m));
    for (size_t i = 0; i < m->entry_count; i++) {
        struct entry *e = &m->entries[i];
        size_t n = (size_t)tensor_bytes(&e->tensor);

        if (e->is_learned) {
            e->live = blocks[e->block] + e->offset;
            begin_learned(m, e);
        } else if (e->tensor.type == TENSOR_F64) {
            e->live = stats;
            stats += n / sizeof(double);
        } else if (e->tensor.type == TENSOR_I64) {
            e->live = m->counters;
        } else {
            e->live = blocks[e->block] + e->offset;
            for (size_t k = 0; k < n / sizeof(float); k++)
                ((float *)e->live)[k] = (float)e->fill;
        }
    }
}
