/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings taken apart into the specs of decoder, models and objectives.
 */
#include "stages/shape.h"

#include "stages/settings.h"

#include "daemon/base/object.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SHAPE_MAGIC 0x53484150u

struct event_shape {
    unsigned magic;
    struct event_spec spec;
    struct event_feature *features;
    struct event_task *tasks;
};

/* An unset path is NULL in a spec. */
static const char *
path_or_null(const char *path)
{
    return path[0] != '\0' ? path : NULL;
}

static void
fill_event_feature(struct event_feature *out, const struct feature_settings *f)
{
    out->name = f->name;
    out->kind = f->kind;
    out->path = f->path;
    out->width = f->width;
    out->ids_max = f->ids_max;
    out->separator = f->separator[0];
    out->side = f->side;
    out->has_log = settings_has_transform(f, TRANSFORM_LOG);
    out->has_range = f->range.count == 2;
    if (out->has_range) {
        out->range_min = f->range.items[0];
        out->range_max = f->range.items[1];
    }
    if (settings_has_transform(f, TRANSFORM_BUCKETIZE)) {
        out->boundaries = f->boundaries.items;
        out->boundary_count = f->boundaries.count;
    }
}

static void
fill_event_task(struct event_task *out, const struct settings *s,
                const struct task_settings *t)
{
    out->name = t->name;
    out->kind = t->kind;
    out->path = t->path;
    out->has_threshold = !isnan(t->threshold);
    out->threshold = out->has_threshold ? t->threshold : 0;
    out->classes = t->kind == TASK_CLASS ? t->classes : 1;
    out->class_names = t->labels.count > 0 ? t->labels.items : NULL;
    if (settings_has_teacher(s, TEACHER_KIND_FIELD))
        out->teacher_path = path_or_null(t->teacher_path);
    out->teacher_output = s->teacher_output;
}

enum status
event_shape_new(struct event_shape **out, const struct settings *s,
                struct error *err)
{
    struct event_shape *e = calloc(1, sizeof(*e));

    if (e == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for the event's shape");
    e->magic = SHAPE_MAGIC;
    e->features = calloc(s->feature_count, sizeof(*e->features));
    e->tasks = calloc(s->task_count, sizeof(*e->tasks));
    if (e->features == NULL || e->tasks == NULL) {
        event_shape_free(&e);
        return error_set(err, STATUS_NOMEM, "no memory for the event's shape");
    }
    for (size_t i = 0; i < s->feature_count; i++)
        fill_event_feature(&e->features[i], &s->features[i]);
    for (size_t i = 0; i < s->task_count; i++)
        fill_event_task(&e->tasks[i], s, &s->tasks[i]);
    e->spec = (struct event_spec){
        .features = e->features,
        .feature_count = s->feature_count,
        .tasks = e->tasks,
        .task_count = s->task_count,
        .id_path = path_or_null(s->events_id),
        .time_path = path_or_null(s->events_time),
        .weight_path = path_or_null(s->events_weight),
        .sample_rate_path = path_or_null(s->events_sample_rate),
        .time_unit = s->events_time_unit,
        .record_bytes_max = s->events_record_bytes_max,
        .ask_weight_max = s->objective_ask_weight_max,
    };
    *out = e;
    return STATUS_OK;
}

void
event_shape_free(struct event_shape **self)
{
    struct event_shape *e;

    if (*self == NULL)
        return;
    OBJ_TAKE(e, self, SHAPE_MAGIC);
    free(e->features);
    free(e->tasks);
    e->magic = 0;
    free(e);
}

const struct event_spec *
event_shape_spec(const struct event_shape *e)
{
    OBJ_CHECK(e, SHAPE_MAGIC);
    return &e->spec;
}

static bool
may_see(const struct feature_settings *f, enum model_role role)
{
    return f->seen_by == SEEN_BY_BOTH ||
           f->seen_by ==
               (role == MODEL_TEACHER ? SEEN_BY_TEACHER : SEEN_BY_STUDENT);
}

static void
fill_optimizer(struct optimizer *out, const struct optimizer_settings *o)
{
    *out = (struct optimizer){
        .kind = o->kind,
        .schedule = {.kind = o->schedule,
                     .rate = (float)o->rate,
                     .rate_final = (float)o->rate_final,
                     .warmup_examples = o->warmup,
                     .decay_examples = o->decay},
        .epsilon = (float)o->epsilon,
        .beta1 = (float)o->beta1,
        .beta2 = (float)o->beta2,
        .accumulator_initial = (float)o->accumulator_initial,
        .l2 = (float)o->l2,
        .clip_norm = (float)o->clip_norm,
    };
}

static void
fill_model_feature(struct model_feature *out, const struct feature_settings *f,
                   const struct model_settings *m, size_t column)
{
    bool is_bucketized = settings_has_transform(f, TRANSFORM_BUCKETIZE);

    *out = (struct model_feature){
        .name = f->name,
        .kind = is_bucketized ? FEATURE_CATEGORICAL : f->kind,
        .column = column,
        .rows_max = f->rows_max > 0 ? f->rows_max : m->rows_max,
        .admit_after = (uint32_t)f->admit_after,
        .expire_after_s = (uint32_t)(f->expire_after / 1000),
        .standardize = settings_has_transform(f, TRANSFORM_STANDARDIZE),
        .has_indicator =
            f->missing_indicator &&
            (f->kind == FEATURE_NUMBER || f->kind == FEATURE_VECTOR) &&
            !is_bucketized,
        .ids_max = f->kind == FEATURE_BAG ? f->ids_max : 1,
    };
    if (out->kind == FEATURE_VECTOR)
        out->width = f->width;
    else if (out->kind == FEATURE_NUMBER)
        out->width = 1;
    else
        out->width =
            f->embedding_width > 0 ? f->embedding_width : m->embedding_width;
}

enum status
model_shape_new(struct spec_owned *out, const struct settings *s,
                enum model_role role, size_t batch_max, size_t threads,
                struct error *err)
{
    const struct model_settings *m =
        role == MODEL_TEACHER ? &s->teacher_model : &s->student;
    struct model_spec *spec = &out->spec;

    *out = (struct spec_owned){0};
    out->features = calloc(s->feature_count, sizeof(*out->features));
    out->tasks = calloc(s->task_count, sizeof(*out->tasks));
    if (out->features == NULL || out->tasks == NULL) {
        spec_fini(out);
        return error_set(err, STATUS_NOMEM, "no memory for a model's shape");
    }
    for (size_t i = 0; i < s->feature_count; i++) {
        if (may_see(&s->features[i], role))
            fill_model_feature(&out->features[spec->feature_count++],
                               &s->features[i], m, i);
    }
    for (size_t i = 0; i < s->task_count; i++)
        out->tasks[i] = (struct model_task){
            .name = s->tasks[i].name,
            .kind = s->tasks[i].kind,
            .column = i,
            .classes = s->tasks[i].kind == TASK_CLASS ? s->tasks[i].classes : 1,
            .auxiliary =
                role == MODEL_STUDENT && s->objective_head == HEAD_AUXILIARY,
            .adapter = role == MODEL_STUDENT ? s->objective_adapter : 0,
            .adapter_sees_student = role == MODEL_STUDENT &&
                                    s->objective_adapter > 0 &&
                                    s->objective_adapter_sees_student,
        };
    spec->features = out->features;
    spec->tasks = out->tasks;
    spec->task_count = s->task_count;
    spec->has_linear = m->linear;
    spec->has_fm = m->fm;
    spec->cross_layers = m->cross_layers;
    spec->hidden_count = m->hidden.count;
    for (size_t i = 0; i < m->hidden.count; i++)
        spec->hidden[i] = m->hidden.items[i];
    spec->activation = m->activation;
    spec->embedding_deviation = (float)m->embedding_deviation;
    spec->seed = m->seed;
    spec->batch_max = batch_max;
    spec->threads = threads;
    fill_optimizer(&spec->dense, &m->optimizer);
    fill_optimizer(&spec->tables, &m->tables);
    return STATUS_OK;
}

static enum status
bind_feature(struct model_feature *f, const struct event_spec *events,
             const char *who, struct error *err)
{
    for (size_t i = 0; i < events->feature_count; i++) {
        const struct event_feature *e = &events->features[i];

        if (strcmp(e->name, f->name) != 0)
            continue;
        if (event_column_kind(e) != f->kind)
            return error_set(err, STATUS_CONFIG,
                             "%s: feature %s is of another kind in the "
                             "configuration",
                             who, f->name);
        if (f->kind == FEATURE_VECTOR && e->width != f->width)
            return error_set(err, STATUS_CONFIG,
                             "%s: feature %s is %zu numbers wide, %zu in the "
                             "configuration",
                             who, f->name, f->width, e->width);
        f->column = i;
        return STATUS_OK;
    }
    return error_set(err, STATUS_CONFIG,
                     "%s needs feature %s, which the configuration does not "
                     "read from the events; declare it under features",
                     who, f->name);
}

static enum status
bind_task(struct model_task *t, const struct event_spec *events,
          const char *who, struct error *err)
{
    for (size_t i = 0; i < events->task_count; i++) {
        const struct event_task *e = &events->tasks[i];

        if (strcmp(e->name, t->name) != 0)
            continue;
        if (e->kind != t->kind || event_logit_width(e) != t->classes)
            return error_set(err, STATUS_CONFIG,
                             "%s: task %s is of another kind or number of "
                             "classes in the configuration",
                             who, t->name);
        t->column = i;
        return STATUS_OK;
    }
    return error_set(err, STATUS_CONFIG,
                     "%s answers task %s, which the configuration does not "
                     "have; declare it under tasks",
                     who, t->name);
}

enum status
model_shape_bind(struct spec_owned *spec, const struct event_spec *events,
                 const char *who, struct error *err)
{
    enum status st = STATUS_OK;

    for (size_t i = 0; i < spec->spec.feature_count && st == STATUS_OK; i++)
        st = bind_feature(&spec->features[i], events, who, err);
    for (size_t i = 0; i < spec->spec.task_count && st == STATUS_OK; i++)
        st = bind_task(&spec->tasks[i], events, who, err);
    return st;
}

void
objectives_fill(struct objective *out, const struct settings *s,
                bool has_teacher)
{
    double soft_weight =
        settings_chooses_weight(s) ? 1.0 : s->objective_soft_weight;

    for (size_t i = 0; i < s->task_count; i++) {
        float weight = (float)s->tasks[i].weight;

        out[i] = (struct objective){
            .hard_weight = weight * (float)s->objective_hard_weight,
            .soft_weight = has_teacher ? weight * (float)soft_weight : 0,
            .distill = s->objective_distill,
            .temperature = (float)s->objective_temperature,
            .label_scale = (float)s->objective_label_scale,
            .gradient_scale = (float)s->objective_gradient_scale,
            .soft_warmup_examples = s->objective_soft_warmup,
            .cross_debias = s->objective_cross_debias,
            .teacher_shift = (float)log(s->objective_teacher_negative_rate),
            .imagined_weight = (float)s->objective_imagined_weight,
        };
    }
}
