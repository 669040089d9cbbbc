/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a specification makes sense, before anything is built of it. */
#include "stages/model/model_priv.h"

#include <math.h>
#include <string.h>

#define WIDTH_MAX   65536
#define BATCH_MAX   (1U << 20)
#define THREADS_MAX 64
#define IDS_MAX     (1 << 24)

static enum status
check_name(const char *what, const char *name, struct error *err)
{
    if (name == NULL || name[0] == '\0' || strlen(name) >= MODEL_NAME_MAX ||
        strchr(name, '/') != NULL)
        return error_set(err, STATUS_CONFIG,
                         "model: the %s name \"%s\" has to be 1 to %d bytes "
                         "without \"/\"",
                         what, name == NULL ? "" : name, MODEL_NAME_MAX - 1);
    return STATUS_OK;
}

static bool
is_table(const struct model_feature *f)
{
    return f->kind == FEATURE_CATEGORICAL || f->kind == FEATURE_BAG;
}

static enum status
check_feature(const struct model_spec *spec, size_t i, struct error *err)
{
    const struct model_feature *f = &spec->features[i];
    enum status st = check_name("feature", f->name, err);

    if (st != STATUS_OK)
        return st;
    for (size_t j = 0; j < i; j++) {
        if (strcmp(f->name, spec->features[j].name) == 0)
            return error_set(err, STATUS_CONFIG,
                             "model: two features are named \"%s\"", f->name);
    }
    if (f->kind != FEATURE_NUMBER && (f->width < 1 || f->width > WIDTH_MAX))
        return error_set(err, STATUS_CONFIG,
                         "model: feature %s is %zu wide, expected 1 to %d",
                         f->name, f->width, WIDTH_MAX);
    if (f->kind == FEATURE_BAG && (f->ids_max < 1 || f->ids_max > WIDTH_MAX))
        return error_set(err, STATUS_CONFIG,
                         "model: bag %s holds up to %zu ids, expected 1 to %d",
                         f->name, f->ids_max, WIDTH_MAX);
    if (f->kind == FEATURE_BAG && f->ids_max * spec->batch_max > IDS_MAX)
        return error_set(err, STATUS_CONFIG,
                         "model: bag %s with %zu ids in each of %zu rows, "
                         "expected at most %d ids a batch",
                         f->name, f->ids_max, spec->batch_max, IDS_MAX);
    if (is_table(f) && (f->rows_max < 1 || f->rows_max >= UINT32_MAX))
        return error_set(err, STATUS_CONFIG,
                         "model: feature %s has %llu rows at most, expected "
                         "1 to 2^32 - 2",
                         f->name, (unsigned long long)f->rows_max);
    return STATUS_OK;
}

static enum status
check_features(const struct model_spec *spec, struct error *err)
{
    size_t tables = 0;
    size_t width = 0;

    if (spec->feature_count == 0)
        return error_set(err, STATUS_CONFIG, "model: no feature");
    for (size_t i = 0; i < spec->feature_count; i++) {
        const struct model_feature *f = &spec->features[i];
        enum status st = check_feature(spec, i, err);

        if (st != STATUS_OK)
            return st;
        if (!is_table(f))
            continue;
        if (spec->has_fm && tables > 0 && f->width != width)
            return error_set(err, STATUS_CONFIG,
                             "model: FM needs one embedding width, but "
                             "feature %s is %zu wide and one before it %zu",
                             f->name, f->width, width);
        width = f->width;
        tables++;
    }
    if (spec->has_fm && tables == 0)
        return error_set(err, STATUS_CONFIG,
                         "model: FM needs a categorical or bag feature");
    return STATUS_OK;
}

static enum status
check_tasks(const struct model_spec *spec, struct error *err)
{
    if (spec->task_count == 0)
        return error_set(err, STATUS_CONFIG, "model: no task");
    for (size_t i = 0; i < spec->task_count; i++) {
        const struct model_task *t = &spec->tasks[i];
        enum status st = check_name("task", t->name, err);

        if (st != STATUS_OK)
            return st;
        for (size_t j = 0; j < i; j++) {
            if (strcmp(t->name, spec->tasks[j].name) == 0)
                return error_set(err, STATUS_CONFIG,
                                 "model: two tasks are named \"%s\"", t->name);
        }
        if (t->kind == TASK_CLASS ? (t->classes < 2 || t->classes > WIDTH_MAX)
                                  : t->classes > 1)
            return error_set(err, STATUS_CONFIG,
                             "model: task %s has %zu classes, expected %s",
                             t->name, t->classes,
                             t->kind == TASK_CLASS ? "2 to 65536" : "1");
        if (t->adapter > MODEL_ADAPTER_MAX)
            return error_set(err, STATUS_CONFIG,
                             "model: the adapter of task %s has %zu units, "
                             "expected at most %d",
                             t->name, t->adapter, MODEL_ADAPTER_MAX);
    }
    return STATUS_OK;
}

static bool
is_number_in(float v, double low, double high)
{
    return isfinite(v) && (double)v >= low && (double)v <= high;
}

static enum status
check_optimizer(const char *what, const struct optimizer *o, struct error *err)
{
    const char *bad = NULL;

    if (!is_number_in(o->schedule.rate, 0.0, 1e6) ||
        !is_number_in(o->schedule.rate_final, 0.0, 1e6))
        bad = "a rate from 0 to 1e6";
    else if (!is_number_in(o->epsilon, 0.0, 1e6))
        bad = "an epsilon from 0 on";
    else if (!is_number_in(o->l2, 0.0, 1e6))
        bad = "an l2 from 0 on";
    else if (!is_number_in(o->clip_norm, 0.0, 1e30))
        bad = "a clip_norm from 0 on";
    else if (!is_number_in(o->accumulator_initial, 0.0, 1e30))
        bad = "an accumulator_initial from 0 on";
    else if (o->kind == OPTIMIZER_ADAM &&
             (!is_number_in(o->beta1, 0.0, 0.99999) ||
              !is_number_in(o->beta2, 0.0, 0.9999999)))
        bad = "beta1 and beta2 from 0 to below 1";
    if (bad != NULL)
        return error_set(err, STATUS_CONFIG,
                         "model: the optimizer of the %s needs %s", what, bad);
    return STATUS_OK;
}

static enum status
check_sizes(const struct model_spec *spec, struct error *err)
{
    if (spec->batch_max < 1 || spec->batch_max > BATCH_MAX)
        return error_set(err, STATUS_CONFIG,
                         "model: batches of %zu rows, expected 1 to %u",
                         spec->batch_max, BATCH_MAX);
    if (spec->threads < 1 || spec->threads > THREADS_MAX)
        return error_set(err, STATUS_CONFIG,
                         "model: %zu threads, expected 1 to %d", spec->threads,
                         THREADS_MAX);
    if (spec->cross_layers > CROSS_LAYERS_MAX)
        return error_set(err, STATUS_CONFIG,
                         "model: %zu cross layers, expected at most %d",
                         spec->cross_layers, CROSS_LAYERS_MAX);
    if (spec->hidden_count > MODEL_LAYERS_MAX)
        return error_set(err, STATUS_CONFIG,
                         "model: %zu hidden layers, expected at most %d",
                         spec->hidden_count, MODEL_LAYERS_MAX);
    for (size_t i = 0; i < spec->hidden_count; i++) {
        if (spec->hidden[i] < 1 || spec->hidden[i] > WIDTH_MAX)
            return error_set(err, STATUS_CONFIG,
                             "model: hidden layer %zu is %zu wide, expected 1 "
                             "to %d",
                             i, spec->hidden[i], WIDTH_MAX);
    }
    if (!is_number_in(spec->embedding_deviation, 0.0, 1e3))
        return error_set(err, STATUS_CONFIG,
                         "model: the embeddings' deviation has to be from 0 "
                         "to 1000");
    return STATUS_OK;
}

enum status
spec_check(const struct model_spec *spec, struct error *err)
{
    enum status st = check_sizes(spec, err);

    if (st == STATUS_OK)
        st = check_features(spec, err);
    if (st == STATUS_OK)
        st = check_tasks(spec, err);
    if (st == STATUS_OK)
        st = check_optimizer("tables", &spec->tables, err);
    if (st == STATUS_OK)
        st = check_optimizer("dense layers", &spec->dense, err);
    if (st == STATUS_OK && spec->dense.kind == OPTIMIZER_ROWWISE_ADAGRAD)
        st = error_set(err, STATUS_CONFIG,
                       "model: row-wise Adagrad is for tables, the dense "
                       "layers have no rows");
    return st;
}
