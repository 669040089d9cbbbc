/* SPDX-License-Identifier: Apache-2.0 */
/* Building, measuring and freeing a model. */
#include "stages/model/model.h"

#include "stages/model/activation.h"
#include "stages/model/calibrate.h"
#include "stages/model/gemm.h"
#include "stages/model/model_priv.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)
#define DAY_MS    86400000

/* ---- The specification's own copy ---- */

static enum status
copy_spec(struct model *m, const struct model_spec *spec, struct error *err)
{
    size_t features = spec->feature_count;
    size_t tasks = spec->task_count;

    m->spec = *spec;
    m->task_count = tasks;
    m->features = calloc(features, sizeof(*m->features));
    m->task_specs = calloc(tasks, sizeof(*m->task_specs));
    m->names = calloc(features + tasks, sizeof(*m->names));
    m->lookups = calloc(features, sizeof(*m->lookups));
    m->fm_offsets = calloc(features, sizeof(*m->fm_offsets));
    m->numerics = calloc(features, sizeof(*m->numerics));
    m->tasks = calloc(tasks, sizeof(*m->tasks));
    m->plans = calloc(tasks, sizeof(*m->plans));
    if (m->features == NULL || m->task_specs == NULL || m->names == NULL ||
        m->lookups == NULL || m->fm_offsets == NULL || m->numerics == NULL ||
        m->tasks == NULL || m->plans == NULL)
        return error_set(err, STATUS_NOMEM, "model: specification");
    for (size_t i = 0; i < features; i++) {
        m->features[i] = spec->features[i];
        memcpy(m->names[i], spec->features[i].name,
               strlen(spec->features[i].name));
        m->features[i].name = m->names[i];
        if (m->features[i].kind == FEATURE_NUMBER)
            m->features[i].width = 1;
        if (m->features[i].kind != FEATURE_BAG)
            m->features[i].ids_max = 1;
    }
    for (size_t i = 0; i < tasks; i++) {
        m->task_specs[i] = spec->tasks[i];
        memcpy(m->names[features + i], spec->tasks[i].name,
               strlen(spec->tasks[i].name));
        m->task_specs[i].name = m->names[features + i];
    }
    m->spec.features = m->features;
    m->spec.tasks = m->task_specs;
    return STATUS_OK;
}

/* ---- Where everything lies ---- */

static void
lay_out_tasks(struct model *m)
{
    for (size_t i = 0; i < m->task_count; i++) {
        struct task *t = &m->tasks[i];

        t->task = &m->task_specs[i];
        t->width = t->task->kind == TASK_CLASS ? t->task->classes : 1;
        t->at = m->L;
        m->L += t->width;
    }
    for (size_t i = 0; i < m->task_count; i++) {
        struct task *t = &m->tasks[i];

        t->auxiliary = NONE;
        if (!t->task->auxiliary)
            continue;
        t->auxiliary = m->L + m->A;
        m->A += t->width;
    }
}

static void
lay_out_inputs(struct model *m)
{
    for (size_t i = 0; i < m->spec.feature_count; i++) {
        const struct model_feature *f = &m->features[i];
        struct lookup *l = &m->lookups[m->lookup_count];

        if (f->kind != FEATURE_CATEGORICAL && f->kind != FEATURE_BAG) {
            m->numerics[m->numeric_count++].feature = f;
            continue;
        }
        l->kind = f->kind;
        l->column = f->column;
        l->ids_max = f->ids_max;
        l->width = f->width;
        l->linear = m->spec.has_linear ? m->L : 0;
        l->offset = m->N;
        m->fm_offsets[m->lookup_count++] = m->N;
        m->N += f->width;
        if (m->spec.has_fm)
            m->D = f->width;
    }
    for (size_t i = 0; i < m->numeric_count; i++) {
        m->numerics[i].offset = m->N;
        m->numerics[i].indicator = NONE;
        m->N += m->numerics[i].feature->width;
    }
    for (size_t i = 0; i < m->numeric_count; i++) {
        if (m->numerics[i].feature->has_indicator)
            m->numerics[i].indicator = m->N++;
    }
    m->G = m->N;
    for (size_t i = 0; i < m->lookup_count; i++) {
        m->lookups[i].linear_offset = m->G;
        m->G += m->lookups[i].linear;
    }
    m->H = m->N;
    if (m->spec.hidden_count > 0)
        m->H = m->spec.hidden[m->spec.hidden_count - 1];
    m->U = m->H + m->D;
}

/* ---- Memory ---- */

static float *
carve_floats(struct carver *c, size_t n)
{
    return carve(c, n, sizeof(float));
}

static struct matrix
carve_matrix(struct carver *c, size_t rows, size_t columns)
{
    return matrix_view(carve_floats(c, rows * columns), rows, columns);
}

static struct matrix
trunk_part(struct matrix trunk, size_t columns)
{
    trunk.columns = columns;
    return trunk;
}

static size_t
widest_row(const struct model *m)
{
    size_t widest = 0;

    for (size_t i = 0; i < m->lookup_count; i++) {
        size_t width = m->lookups[i].width + m->lookups[i].linear;

        widest = width > widest ? width : widest;
    }
    return widest;
}

/* The chunk's matrices; the last producer writes into the trunk. */
static void
carve_worker(const struct model *m, struct worker *w, struct carver *c)
{
    size_t C = m->chunk_rows;
    size_t crosses = m->spec.cross_layers;
    size_t layers = m->spec.hidden_count;
    bool needs_sum = activation_needs_sum(m->spec.activation);

    w->gradient = carve_floats(c, m->float_count);
    w->trunk = carve_matrix(c, C, m->U);
    w->dtrunk = carve_matrix(c, C, m->U);
    for (size_t i = 0; i <= crosses; i++) {
        if (i == crosses && layers == 0)
            w->x[i] = trunk_part(w->trunk, m->N);
        else if (i > 0)
            w->x[i] = carve_matrix(c, C, m->N);
    }
    for (size_t i = 0; i < crosses; i++)
        w->p[i] = carve_matrix(c, C, m->N);
    for (size_t i = 0; i < layers; i++) {
        size_t width = m->spec.hidden[i];
        bool is_last = i + 1 == layers;

        w->hidden[i] =
            is_last ? trunk_part(w->trunk, width) : carve_matrix(c, C, width);
        if (!is_last)
            w->dhidden[i] = carve_matrix(c, C, width);
        if (needs_sum)
            w->sum[i] = carve_matrix(c, C, width);
    }
    if (m->D > 0)
        w->fm_sum = carve_matrix(c, C, m->D);
    if (crosses > 0) {
        w->dx0 = carve_matrix(c, C, m->N);
        w->dp = carve_matrix(c, C, m->N);
    }
    w->taught = carve_floats(c, 2 * m->L);
    w->adapted = carve_floats(c, m->L);
    w->dadapted = carve_floats(c, m->L);
    w->adapter = carve_floats(c, MODEL_ADAPTER_MAX);
}

static enum status
new_workers(struct model *m, struct error *err)
{
    m->chunk_rows =
        m->spec.batch_max < CHUNK_ROWS ? m->spec.batch_max : CHUNK_ROWS;
    m->workers = calloc(m->spec.threads, sizeof(*m->workers));
    if (m->workers == NULL)
        return error_set(err, STATUS_NOMEM, "model: workers");
    for (size_t i = 0; i < m->spec.threads; i++) {
        struct worker *w = &m->workers[i];

        w->losses = calloc(m->task_count, sizeof(*w->losses));
        if (w->losses == NULL)
            return error_set(err, STATUS_NOMEM, "model: losses");
    }
    return helpers_new(&m->helpers, m->spec.threads, err);
}

static void
carve_model(struct model *m, struct carver *c)
{
    size_t states = optimizer_state_count(m->spec.dense.kind);
    size_t B = m->spec.batch_max;

    m->parameters = carve_floats(c, m->float_count);
    if (states > 0)
        m->first = carve_floats(c, m->float_count);
    if (states > 1)
        m->second = carve_floats(c, m->float_count);
    m->packed = carve_floats(c, pass_pack(m));
    m->inputs = carve_floats(c, B * m->G);
    if (m->D > 0 || m->spec.cross_layers > 0)
        m->inputs_gradient = carve_floats(c, B * m->N);
    m->logits = carve_floats(c, B * (m->L + m->A));
    m->logits_gradient = carve_floats(c, B * (m->L + m->A));
    for (size_t i = 0; i < m->spec.threads; i++)
        carve_worker(m, &m->workers[i], c);
    for (size_t i = 0; i < m->lookup_count; i++)
        lookup_carve(&m->lookups[i], B, c);
}

/* Zeroed memory for all that a step computes with, on huge pages where that
 * leaves the tables' rows a good part of the processor's list of pages. */
static enum status
new_block(struct model *m, struct error *err)
{
    struct carver c = {NULL, 0};
    size_t unit;

    carve_model(m, &c);
    unit = c.used < HUGE_PAGE / 4 ? CARVER_LINE : HUGE_PAGE;
    c.used = (c.used + unit - 1) / unit * unit;
    m->block = calloc(1, c.used + unit);
    if (m->block == NULL)
        return error_set(err, STATUS_NOMEM, "model: %zu bytes", c.used);
    c.block = m->block + (-(uintptr_t)m->block & (unit - 1));
    if (unit == HUGE_PAGE)
        (void)madvise(c.block, c.used, MADV_HUGEPAGE); /* or it is slower */
    c.used = 0;
    carve_model(m, &c);
    return STATUS_OK;
}

static enum status
new_blocks(struct model *m, struct error *err)
{
    size_t B = m->spec.batch_max;
    size_t stats = 0;

    for (size_t i = 0; i < m->numeric_count; i++)
        stats += 2 * m->numerics[i].feature->width + 1;
    if (m->spec.is_calibrated)
        stats += m->task_count * (CALIBRATE_WIDTH + CALIBRATE_STATE);
    m->stats = calloc(stats + 1, sizeof(*m->stats));
    m->scales = calloc(stats + 1, sizeof(*m->scales));
    m->times = calloc(B, sizeof(*m->times));
    if (m->stats == NULL || m->scales == NULL || m->times == NULL)
        return error_set(err, STATUS_NOMEM, "model: a batch of %zu", B);
    return new_block(m, err);
}

/* Room for a snapshot's copies and its list. */
static enum status
new_snapshot(struct model *m, struct error *err)
{
    assert(m->entry_count > 0);
    for (size_t i = 0; i < m->entry_count; i++)
        m->kept_bytes += (size_t)tensor_bytes(&m->entries[i].tensor);
    m->kept = malloc(m->kept_bytes);
    m->listed = calloc(m->entry_count + m->lookup_count * TABLE_TENSORS,
                       sizeof(*m->listed));
    m->listed_from = calloc(m->lookup_count + 1, sizeof(*m->listed_from));
    if (m->kept == NULL || m->listed == NULL || m->listed_from == NULL)
        return error_set(err, STATUS_NOMEM, "model: room for snapshots");
    return STATUS_OK;
}

static enum status
new_tables(struct model *m, struct error *err)
{
    size_t at = 0;

    for (size_t i = 0; i < m->spec.feature_count; i++) {
        const struct model_feature *f = &m->features[i];
        const struct optimizer *o = &m->spec.tables;
        struct lookup *l = &m->lookups[at];
        bool is_adagrad = o->kind == OPTIMIZER_ADAGRAD ||
                          o->kind == OPTIMIZER_ROWWISE_ADAGRAD;
        struct table_spec spec = {
            .name = f->name,
            .width = l->width + l->linear,
            .state_width = optimizer_state_width(o->kind, l->width + l->linear),
            .rows_max = f->rows_max,
            .admit_after = f->admit_after,
            .expire_after_s = f->expire_after_s,
            .embedding_width = l->width,
            .deviation = m->spec.embedding_deviation,
            .state_initial = is_adagrad ? o->accumulator_initial : 0.0F,
            .seed = m->spec.seed,
        };
        enum status st;

        if (f->kind != FEATURE_CATEGORICAL && f->kind != FEATURE_BAG)
            continue;
        st = table_new(&l->table, &spec, err);
        if (st != STATUS_OK)
            return st;
        lookup_take_unknown(l);
        at++;
    }
    return STATUS_OK;
}

/* The event clock moves an eighth of the shortest expiry a batch at most. */
static int64_t
clock_step_ms(const struct model *m)
{
    int64_t step = (int64_t)30 * DAY_MS;

    for (size_t i = 0; i < m->spec.feature_count; i++) {
        int64_t after = (int64_t)m->features[i].expire_after_s * 1000 / 8;

        if (after > 0 && after < step)
            step = after;
    }
    return step;
}

enum status
model_new(struct model **out, const struct model_spec *spec, struct error *err)
{
    struct model *m;
    enum status st;

    *out = NULL;
    st = spec_check(spec, err);
    if (st == STATUS_OK)
        st = gemm_start(err);
    if (st != STATUS_OK)
        return st;
    m = calloc(1, sizeof(*m));
    if (m == NULL)
        return error_set(err, STATUS_NOMEM, "model");
    m->magic = MODEL_MAGIC;
    st = copy_spec(m, spec, err);
    if (st != STATUS_OK)
        goto out;
    lay_out_tasks(m);
    lay_out_inputs(m);
    m->clock_step_ms = clock_step_ms(m);
    st = tensors_list(m, err);
    if (st == STATUS_OK)
        st = new_workers(m, err);
    if (st == STATUS_OK)
        st = new_blocks(m, err);
    if (st == STATUS_OK)
        st = new_tables(m, err);
    if (st == STATUS_OK)
        st = new_snapshot(m, err);
    if (st != STATUS_OK)
        goto out;
    tensors_attach(m);
    *out = m;
    m = NULL;

out:
    model_free(&m);
    return st;
}

void
model_free(struct model **self)
{
    struct model *m;

    if (*self == NULL)
        return;
    OBJ_TAKE(m, self, MODEL_MAGIC);
    helpers_free(&m->helpers);
    for (size_t i = 0; m->workers != NULL && i < m->spec.threads; i++)
        free(m->workers[i].losses);
    for (size_t i = 0; m->lookups != NULL && i < m->lookup_count; i++)
        table_free(&m->lookups[i].table);
    free(m->workers);
    free(m->listed_from);
    free(m->listed);
    free(m->kept);
    free(m->block);
    free(m->times);
    free(m->scales);
    free(m->stats);
    free(m->entries);
    free(m->plans);
    free(m->tasks);
    free(m->numerics);
    free(m->fm_offsets);
    free(m->lookups);
    free(m->names);
    free(m->task_specs);
    free(m->features);
    m->magic = 0;
    free(m);
}

size_t
model_logit_count(const struct model *m)
{
    OBJ_CHECK(m, MODEL_MAGIC);
    return m->L;
}

void
model_measure(const struct model *m, struct model_size *out)
{
    OBJ_CHECK(m, MODEL_MAGIC);
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < m->entry_count; i++) {
        const struct entry *e = &m->entries[i];

        if (e->is_learned)
            out->dense_parameters += tensor_bytes(&e->tensor) / sizeof(float);
    }
    out->parameters = out->dense_parameters;
    for (size_t i = 0; i < m->lookup_count; i++) {
        const struct lookup *l = &m->lookups[i];
        uint64_t rows = table_rows(l->table);

        out->rows += rows;
        out->parameters += rows * (l->width + l->linear);
    }
    out->row_width = widest_row(m);
    out->bytes = out->parameters * sizeof(float);
}

size_t
model_table_count(const struct model *m)
{
    OBJ_CHECK(m, MODEL_MAGIC);
    return m->lookup_count;
}

void
model_table_counters(const struct model *m, size_t i,
                     struct table_counters *out)
{
    OBJ_CHECK(m, MODEL_MAGIC);
    assert(i < m->lookup_count);
    table_count(m->lookups[i].table, out);
}

void
model_table_ids(const struct model *m, size_t i, model_id_fn fn, void *ctx)
{
    OBJ_CHECK(m, MODEL_MAGIC);
    assert(i < m->lookup_count);
    table_ids(m->lookups[i].table, fn, ctx);
}
