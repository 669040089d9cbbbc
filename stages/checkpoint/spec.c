/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Model specifications to JSON, their shape digest, their differences.
 */
#include "stages/checkpoint/spec.h"

#include "stages/checkpoint/spec_words.h"

#include "daemon/base/json_writer.h"
#include "daemon/base/object.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const spec_feature_kinds[] = {
    [FEATURE_CATEGORICAL] = "categorical",
    [FEATURE_BAG] = "bag",
    [FEATURE_NUMBER] = "number",
    [FEATURE_VECTOR] = "vector",
    NULL,
};

const char *const spec_task_kinds[] = {
    [TASK_BINARY] = "binary",
    [TASK_CLASS] = "class",
    [TASK_REGRESSION] = "regression",
    NULL,
};

const char *const spec_activations[] = {
    [ACTIVATION_RELU] = "relu",
    [ACTIVATION_TANH] = "tanh",
    [ACTIVATION_SIGMOID] = "sigmoid",
    [ACTIVATION_GELU] = "gelu",
    [ACTIVATION_SILU] = "silu",
    [ACTIVATION_LEAKY_RELU] = "leaky_relu",
    [ACTIVATION_SOFTMAX] = "softmax",
    [ACTIVATION_IDENTITY] = "identity",
    NULL,
};

const char *const spec_optimizers[] = {
    [OPTIMIZER_SGD] = "sgd",
    [OPTIMIZER_ADAGRAD] = "adagrad",
    [OPTIMIZER_ROWWISE_ADAGRAD] = "rowwise_adagrad",
    [OPTIMIZER_ADAM] = "adam",
    NULL,
};

const char *const spec_schedules[] = {
    [SCHEDULE_CONSTANT] = "constant",
    [SCHEDULE_LINEAR] = "linear",
    [SCHEDULE_COSINE] = "cosine",
    [SCHEDULE_INVERSE_SQRT] = "inverse_sqrt",
    NULL,
};

/* ---- Writing ---- */

static void
put_word(struct json_writer *w, const char *key, const char *value)
{
    json_put_key(w, key);
    json_put_string(w, value);
}

/* Counts of 64 bits go as strings: a JSON number holds only 53. */
static void
put_wide(struct json_writer *w, const char *key, uint64_t value)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%" PRIu64, value);
    put_word(w, key, text);
}

static void
put_count(struct json_writer *w, const char *key, size_t value)
{
    json_put_key(w, key);
    json_put_uint(w, value);
}

static void
put_float(struct json_writer *w, const char *key, float value)
{
    json_put_key(w, key);
    json_put_float(w, value);
}

static void
put_flag(struct json_writer *w, const char *key, bool value)
{
    json_put_key(w, key);
    json_put_bool(w, value);
}

static void
put_optimizer(struct json_writer *w, const char *key, const struct optimizer *o)
{
    const struct schedule *s = &o->schedule;

    json_put_key(w, key);
    json_open_object(w);
    put_word(w, "kind", spec_optimizers[o->kind]);
    put_float(w, "epsilon", o->epsilon);
    put_float(w, "beta1", o->beta1);
    put_float(w, "beta2", o->beta2);
    put_float(w, "accumulator_initial", o->accumulator_initial);
    put_float(w, "l2", o->l2);
    put_float(w, "clip_norm", o->clip_norm);
    put_word(w, "schedule", spec_schedules[s->kind]);
    put_float(w, "rate", s->rate);
    put_float(w, "rate_final", s->rate_final);
    put_wide(w, "warmup_examples", s->warmup_examples);
    put_wide(w, "decay_examples", s->decay_examples);
    json_close_object(w);
}

/* What of a feature decides the parameters, then the rest of it. */
static void
put_feature_shape(struct json_writer *w, const struct model_feature *f)
{
    put_word(w, "name", f->name);
    put_word(w, "kind", spec_feature_kinds[f->kind]);
    put_count(w, "width", f->kind == FEATURE_NUMBER ? 1 : f->width);
    put_flag(w, "standardize", f->standardize);
    put_flag(w, "has_indicator", f->has_indicator);
}

static void
put_features(struct json_writer *w, const struct model_spec *spec)
{
    json_put_key(w, "features");
    json_open_array(w);
    for (size_t i = 0; i < spec->feature_count; i++) {
        const struct model_feature *f = &spec->features[i];

        json_open_object(w);
        put_feature_shape(w, f);
        put_count(w, "column", f->column);
        put_count(w, "ids_max", f->ids_max);
        put_wide(w, "rows_max", f->rows_max);
        put_count(w, "admit_after", f->admit_after);
        put_count(w, "expire_after_s", f->expire_after_s);
        json_close_object(w);
    }
    json_close_array(w);
}

static void
put_task_shape(struct json_writer *w, const struct model_task *t)
{
    put_word(w, "name", t->name);
    put_word(w, "kind", spec_task_kinds[t->kind]);
    put_count(w, "classes", t->classes);
    put_flag(w, "auxiliary", t->auxiliary);
    if (t->adapter == 0)
        return;
    put_count(w, "adapter", t->adapter);
    put_flag(w, "adapter_sees_student", t->adapter_sees_student);
}

static void
put_tasks(struct json_writer *w, const struct model_spec *spec)
{
    json_put_key(w, "tasks");
    json_open_array(w);
    for (size_t i = 0; i < spec->task_count; i++) {
        json_open_object(w);
        put_task_shape(w, &spec->tasks[i]);
        put_count(w, "column", spec->tasks[i].column);
        json_close_object(w);
    }
    json_close_array(w);
}

static void
put_layers(struct json_writer *w, const struct model_spec *spec)
{
    put_flag(w, "linear", spec->has_linear);
    put_flag(w, "fm", spec->has_fm);
    put_count(w, "cross_layers", spec->cross_layers);
    json_put_key(w, "hidden");
    json_open_array(w);
    for (size_t i = 0; i < spec->hidden_count; i++)
        json_put_uint(w, spec->hidden[i]);
    json_close_array(w);
    put_word(w, "activation", spec_activations[spec->activation]);
    if (spec->is_calibrated) /* not there before there was any */
        put_flag(w, "calibrated", true);
}

static void
put_spec(struct json_writer *w, const struct model_spec *spec)
{
    json_open_object(w);
    put_features(w, spec);
    put_tasks(w, spec);
    put_layers(w, spec);
    put_float(w, "embedding_deviation", spec->embedding_deviation);
    put_wide(w, "seed", spec->seed);
    put_count(w, "batch_max", spec->batch_max);
    put_optimizer(w, "dense", &spec->dense);
    put_optimizer(w, "tables", &spec->tables);
    json_close_object(w);
}

/* Only what spec_shape_digest promises, in the same order always. */
static void
put_shape(struct json_writer *w, const struct model_spec *spec)
{
    json_open_array(w);
    for (size_t i = 0; i < spec->feature_count; i++) {
        json_open_object(w);
        put_feature_shape(w, &spec->features[i]);
        json_close_object(w);
    }
    for (size_t i = 0; i < spec->task_count; i++) {
        json_open_object(w);
        put_task_shape(w, &spec->tasks[i]);
        json_close_object(w);
    }
    json_open_object(w);
    put_layers(w, spec);
    json_close_object(w);
    json_close_array(w);
}

static enum status
write_with(void (*put)(struct json_writer *, const struct model_spec *),
           const struct model_spec *spec, char **text, struct error *err)
{
    struct json_writer w;
    size_t capacity = 4096;
    char *buf;

    *text = NULL;
    for (size_t i = 0; i < spec->feature_count; i++)
        capacity += 6 * strlen(spec->features[i].name) + 512;
    for (size_t i = 0; i < spec->task_count; i++)
        capacity += 6 * strlen(spec->tasks[i].name) + 512;
    if (capacity > SPEC_BYTES_MAX || spec->feature_count > SPEC_FEATURES_MAX ||
        spec->task_count > SPEC_TASKS_MAX)
        return error_set(err, STATUS_TOOBIG,
                         "a model of %zu features and %zu tasks; at most %d "
                         "and %d fit a manifest",
                         spec->feature_count, spec->task_count,
                         SPEC_FEATURES_MAX, SPEC_TASKS_MAX);
    buf = malloc(capacity);
    if (buf == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a specification");
    json_writer_init(&w, buf, capacity - 1, 0);
    put(&w, spec);
    assert(!w.is_full);
    buf[w.len] = '\0';
    *text = buf;
    return STATUS_OK;
}

enum status
spec_write(const struct model_spec *spec, char **text, struct error *err)
{
    assert(spec != NULL);
    return write_with(put_spec, spec, text, err);
}

enum status
spec_shape_digest(const struct model_spec *spec, char hex[DIGEST_HEX_SIZE],
                  struct error *err)
{
    char *text = NULL;
    enum status st = write_with(put_shape, spec, &text, err);

    hex[0] = '\0';
    if (st == STATUS_OK)
        digest_once(text, strlen(text), hex);
    free(text);
    return st;
}

/* ---- Comparing ---- */

struct difference {
    char *text;
    size_t used;
};

/* Adds a line; what does not fit any more is left out. */
print_like(2, 3) static void say(struct difference *d, const char *format, ...)
{
    size_t room = SPEC_DIFFERENCES - d->used;
    va_list args;
    int n;

    if (d->used > 0 && room > 1) {
        d->text[d->used++] = '\n';
        room--;
    }
    va_start(args, format);
    n = vsnprintf(d->text + d->used, room, format, args);
    va_end(args);
    if (n > 0)
        d->used += (size_t)n < room ? (size_t)n : room - 1;
}

static void
say_number(struct difference *d, const char *what, const char *name, size_t a,
           size_t b)
{
    if (a != b)
        say(d, "%s%s%s %zu in the checkpoint, %zu in the configuration", name,
            name[0] != '\0' ? " " : "", what, a, b);
}

static void
say_word(struct difference *d, const char *what, const char *name,
         const char *a, const char *b)
{
    if (strcmp(a, b) != 0)
        say(d, "%s%s%s %s in the checkpoint, %s in the configuration", name,
            name[0] != '\0' ? " " : "", what, a, b);
}

static const char *
yes_no(bool value)
{
    return value ? "on" : "off";
}

static const struct model_feature *
find_feature(const struct model_spec *spec, const char *name)
{
    for (size_t i = 0; i < spec->feature_count; i++) {
        if (strcmp(spec->features[i].name, name) == 0)
            return &spec->features[i];
    }
    return NULL;
}

static const struct model_task *
find_task(const struct model_spec *spec, const char *name)
{
    for (size_t i = 0; i < spec->task_count; i++) {
        if (strcmp(spec->tasks[i].name, name) == 0)
            return &spec->tasks[i];
    }
    return NULL;
}

static void
compare_features(struct difference *d, const struct model_spec *a,
                 const struct model_spec *b)
{
    size_t before = d->used;

    for (size_t i = 0; i < a->feature_count; i++) {
        const struct model_feature *f = &a->features[i];
        const struct model_feature *g = find_feature(b, f->name);

        if (g == NULL) {
            say(d, "feature %s is only in the checkpoint", f->name);
            continue;
        }
        say_word(d, "kind", f->name, spec_feature_kinds[f->kind],
                 spec_feature_kinds[g->kind]);
        if (f->kind != FEATURE_NUMBER)
            say_number(d,
                       f->kind == FEATURE_VECTOR ? "vector width"
                                                 : "embedding width",
                       f->name, f->width, g->width);
        say_word(d, "standardize", f->name, yes_no(f->standardize),
                 yes_no(g->standardize));
        say_word(d, "indicator of missing values", f->name,
                 yes_no(f->has_indicator), yes_no(g->has_indicator));
    }
    for (size_t i = 0; i < b->feature_count; i++) {
        if (find_feature(a, b->features[i].name) == NULL)
            say(d, "feature %s is only in the configuration",
                b->features[i].name);
    }
    for (size_t i = 0;
         d->used == before && i < a->feature_count && i < b->feature_count;
         i++) {
        if (strcmp(a->features[i].name, b->features[i].name) != 0)
            say(d,
                "feature %zu is %s in the checkpoint, %s in the "
                "configuration: the order counts",
                i + 1, a->features[i].name, b->features[i].name);
    }
}

static void
compare_tasks(struct difference *d, const struct model_spec *a,
              const struct model_spec *b)
{
    size_t before = d->used;

    for (size_t i = 0; i < a->task_count; i++) {
        const struct model_task *t = &a->tasks[i];
        const struct model_task *u = find_task(b, t->name);

        if (u == NULL) {
            say(d, "task %s is only in the checkpoint", t->name);
            continue;
        }
        say_word(d, "kind", t->name, spec_task_kinds[t->kind],
                 spec_task_kinds[u->kind]);
        say_number(d, "classes", t->name, t->classes, u->classes);
        say_word(d, "auxiliary head", t->name, yes_no(t->auxiliary),
                 yes_no(u->auxiliary));
        say_number(d, "units of the adapter", t->name, t->adapter, u->adapter);
        say_word(d, "student in the adapter's sight", t->name,
                 yes_no(t->adapter_sees_student),
                 yes_no(u->adapter_sees_student));
    }
    for (size_t i = 0; i < b->task_count; i++) {
        if (find_task(a, b->tasks[i].name) == NULL)
            say(d, "task %s is only in the configuration", b->tasks[i].name);
    }
    for (size_t i = 0;
         d->used == before && i < a->task_count && i < b->task_count; i++) {
        if (strcmp(a->tasks[i].name, b->tasks[i].name) != 0)
            say(d,
                "task %zu is %s in the checkpoint, %s in the configuration: "
                "the order counts",
                i + 1, a->tasks[i].name, b->tasks[i].name);
    }
}

static void
compare_layers(struct difference *d, const struct model_spec *a,
               const struct model_spec *b)
{
    say_word(d, "linear term", "", yes_no(a->has_linear),
             yes_no(b->has_linear));
    say_word(d, "factorization machine", "", yes_no(a->has_fm),
             yes_no(b->has_fm));
    say_word(d, "calibration", "", yes_no(a->is_calibrated),
             yes_no(b->is_calibrated));
    say_number(d, "cross layers", "", a->cross_layers, b->cross_layers);
    say_number(d, "number of hidden layers", "", a->hidden_count,
               b->hidden_count);
    for (size_t i = 0; a->hidden_count == b->hidden_count &&
                       i < a->hidden_count && i < MODEL_LAYERS_MAX;
         i++) {
        char what[48];

        (void)snprintf(what, sizeof(what), "width of hidden layer %zu", i + 1);
        say_number(d, what, "", a->hidden[i], b->hidden[i]);
    }
    say_word(d, "activation", "", spec_activations[a->activation],
             spec_activations[b->activation]);
}

enum spec_fit
spec_compare(const struct model_spec *checkpoint,
             const struct model_spec *configuration,
             char text[SPEC_DIFFERENCES])
{
    struct difference d = {.text = text};
    bool has_shape_difference;

    text[0] = '\0';
    compare_features(&d, checkpoint, configuration);
    compare_tasks(&d, checkpoint, configuration);
    compare_layers(&d, checkpoint, configuration);
    has_shape_difference = d.used > 0;
    say_word(&d, "optimizer of the dense layers", "",
             spec_optimizers[checkpoint->dense.kind],
             spec_optimizers[configuration->dense.kind]);
    say_word(&d, "optimizer of the tables", "",
             spec_optimizers[checkpoint->tables.kind],
             spec_optimizers[configuration->tables.kind]);
    if (has_shape_difference)
        return SPEC_SHAPE;
    return d.used > 0 ? SPEC_OPTIMIZER : SPEC_FITS;
}
