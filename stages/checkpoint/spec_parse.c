/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading model specifications. A struct reader carries the first complaint,
 * so that reading goes straight on and is looked at once per object.
 */
#include "stages/checkpoint/spec.h"
#include "stages/checkpoint/spec_words.h"

#include "daemon/base/json.h"
#include "daemon/base/object.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX  8
#define WIDTH_MAX  65536
#define BATCH_MAX  ((uint64_t)1 << 24)
#define COLUMN_MAX 65536

struct reader {
    const char *name; /* of the whole, for messages */
    enum status st;
    struct error *err;
};

static void
complain(struct reader *r, const char *key, const char *expected)
{
    if (r->st == STATUS_OK)
        r->st =
            error_set(r->err, STATUS_BADDATA, "%s: model_spec: %s: expected %s",
                      r->name, key, expected);
}

static uint64_t
get_count(struct reader *r, const struct cJSON *o, const char *key,
          uint64_t max)
{
    int64_t value = 0;

    if (!json_integer(json_member(o, key), &value) || value < 0 ||
        (uint64_t)value > max) {
        complain(r, key, "a whole number within its bounds");
        return 0;
    }
    return (uint64_t)value;
}

static uint64_t
get_wide(struct reader *r, const struct cJSON *o, const char *key)
{
    const char *text = json_string(json_member(o, key));
    char *end = NULL;
    uint64_t value;

    errno = 0;
    if (text == NULL || text[0] < '0' || text[0] > '9') {
        complain(r, key, "a whole number as a string");
        return 0;
    }
    value = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0')
        complain(r, key, "a whole number as a string");
    return value;
}

static float
get_float(struct reader *r, const struct cJSON *o, const char *key)
{
    double value = 0;

    if (!json_number(json_member(o, key), &value) || !isfinite((float)value)) {
        complain(r, key, "a number");
        return 0;
    }
    return (float)value;
}

static bool
get_flag(struct reader *r, const struct cJSON *o, const char *key)
{
    bool value = false;

    if (!json_boolean(json_member(o, key), &value))
        complain(r, key, "true or false");
    return value;
}

/* The place of a word in its list, which is the enum's value. */
static int
get_word(struct reader *r, const struct cJSON *o, const char *key,
         const char *const *words)
{
    int place = 0;

    if (!json_word(json_member(o, key), words, &place))
        complain(r, key, "one of the known words");
    return place;
}

/* Copies a name to *at, which moves on behind it. */
static const char *
get_name(struct reader *r, const struct cJSON *o, char **at)
{
    const char *text = json_string(json_member(o, "name"));
    char *name = *at;
    size_t len = text != NULL ? strlen(text) : 0;

    if (len == 0 || len >= MODEL_NAME_MAX) {
        complain(r, "name", "a name of 1 to 63 bytes");
        len = 0;
    }
    if (len > 0)
        memcpy(name, text, len);
    name[len] = '\0';
    *at += len + 1;
    return name;
}

static void
get_optimizer(struct reader *r, const struct cJSON *root, const char *key,
              struct optimizer *out)
{
    const struct cJSON *o = json_member(root, key);
    struct schedule *s = &out->schedule;

    out->kind = (enum optimizer_kind)get_word(r, o, "kind", spec_optimizers);
    out->epsilon = get_float(r, o, "epsilon");
    out->beta1 = get_float(r, o, "beta1");
    out->beta2 = get_float(r, o, "beta2");
    out->accumulator_initial = get_float(r, o, "accumulator_initial");
    out->l2 = get_float(r, o, "l2");
    out->clip_norm = get_float(r, o, "clip_norm");
    s->kind = (enum schedule_kind)get_word(r, o, "schedule", spec_schedules);
    s->rate = get_float(r, o, "rate");
    s->rate_final = get_float(r, o, "rate_final");
    s->warmup_examples = get_wide(r, o, "warmup_examples");
    s->decay_examples = get_wide(r, o, "decay_examples");
}

static void
get_feature(struct reader *r, const struct cJSON *o, struct model_feature *f,
            char **names)
{
    f->name = get_name(r, o, names);
    f->kind = (enum feature_kind)get_word(r, o, "kind", spec_feature_kinds);
    f->width = (size_t)get_count(r, o, "width", WIDTH_MAX);
    f->standardize = get_flag(r, o, "standardize");
    f->has_indicator = get_flag(r, o, "has_indicator");
    f->column = (size_t)get_count(r, o, "column", COLUMN_MAX);
    f->ids_max = (size_t)get_count(r, o, "ids_max", UINT32_MAX);
    f->rows_max = get_wide(r, o, "rows_max");
    f->admit_after = (uint32_t)get_count(r, o, "admit_after", UINT32_MAX);
    f->expire_after_s = (uint32_t)get_count(r, o, "expire_after_s", UINT32_MAX);
}

static void
get_task(struct reader *r, const struct cJSON *o, struct model_task *t,
         char **names)
{
    t->name = get_name(r, o, names);
    t->kind = (enum task_kind)get_word(r, o, "kind", spec_task_kinds);
    t->classes = (size_t)get_count(r, o, "classes", WIDTH_MAX);
    t->auxiliary = get_flag(r, o, "auxiliary");
    if (json_member(o, "adapter") != NULL) {
        t->adapter = (size_t)get_count(r, o, "adapter", MODEL_ADAPTER_MAX);
        t->adapter_sees_student = get_flag(r, o, "adapter_sees_student");
    }
    t->column = (size_t)get_count(r, o, "column", COLUMN_MAX);
}

/* A list of at most max members; NULL with a complaint when it is none. */
static const struct cJSON *
get_list(struct reader *r, const struct cJSON *root, const char *key,
         size_t max)
{
    const struct cJSON *list = json_member(root, key);

    if (!json_is_array(list) || json_count(list) > max) {
        complain(r, key, "a list within its bounds");
        return NULL;
    }
    return list;
}

static void
get_hidden(struct reader *r, const struct cJSON *root, struct model_spec *spec)
{
    const struct cJSON *list = get_list(r, root, "hidden", MODEL_LAYERS_MAX);

    for (const struct cJSON *c = json_first(list); c != NULL;
         c = json_next(c)) {
        int64_t width = 0;

        if (!json_integer(c, &width) || width < 1 || width > WIDTH_MAX) {
            complain(r, "hidden", "widths from 1 to 65536");
            return;
        }
        spec->hidden[spec->hidden_count++] = (size_t)width;
    }
}

static void
get_spec(struct reader *r, const struct cJSON *root, struct spec_owned *s)
{
    struct model_spec *spec = &s->spec;
    char *names = s->names;

    for (const struct cJSON *c = json_first(json_member(root, "features"));
         c != NULL; c = json_next(c))
        get_feature(r, c, &s->features[spec->feature_count++], &names);
    for (const struct cJSON *c = json_first(json_member(root, "tasks"));
         c != NULL; c = json_next(c))
        get_task(r, c, &s->tasks[spec->task_count++], &names);
    spec->features = s->features;
    spec->tasks = s->tasks;
    spec->has_linear = get_flag(r, root, "linear");
    spec->has_fm = get_flag(r, root, "fm");
    if (json_member(root, "calibrated") != NULL)
        spec->is_calibrated = get_flag(r, root, "calibrated");
    spec->cross_layers =
        (size_t)get_count(r, root, "cross_layers", MODEL_LAYERS_MAX);
    get_hidden(r, root, spec);
    spec->activation =
        (enum activation)get_word(r, root, "activation", spec_activations);
    spec->embedding_deviation = get_float(r, root, "embedding_deviation");
    spec->seed = get_wide(r, root, "seed");
    spec->batch_max = (size_t)get_count(r, root, "batch_max", BATCH_MAX);
    spec->threads = 1;
    get_optimizer(r, root, "dense", &spec->dense);
    get_optimizer(r, root, "tables", &spec->tables);
}

enum status
spec_parse(struct spec_owned *out, const char *text, size_t len,
           const char *name, struct error *err)
{
    static const struct json_limits limits = {.bytes_max = SPEC_BYTES_MAX,
                                              .depth_max = DEPTH_MAX};
    struct reader r = {.name = name, .st = STATUS_OK, .err = err};
    struct spec_owned s = {0};
    struct cJSON *root = NULL;
    struct error why;
    size_t features;
    size_t tasks;

    *out = s;
    if (json_parse(&root, text, len, &limits, NULL, &why) != STATUS_OK) {
        r.st = error_set(err, STATUS_BADDATA, "%s: model_spec: %.800s", name,
                         why.text);
        goto out;
    }
    features = json_count(get_list(&r, root, "features", SPEC_FEATURES_MAX));
    tasks = json_count(get_list(&r, root, "tasks", SPEC_TASKS_MAX));
    if (r.st != STATUS_OK)
        goto out;
    s.features = calloc(features + 1, sizeof(*s.features));
    s.tasks = calloc(tasks + 1, sizeof(*s.tasks));
    s.names = calloc(features + tasks + 1, MODEL_NAME_MAX);
    if (s.features == NULL || s.tasks == NULL || s.names == NULL) {
        r.st = error_set(err, STATUS_NOMEM, "%s: no memory to read it", name);
        goto out;
    }
    get_spec(&r, root, &s);
    if (r.st == STATUS_OK) {
        *out = s;
        s = (struct spec_owned){0};
    }
out:
    spec_fini(&s);
    json_free(&root);
    return r.st;
}

void
spec_fini(struct spec_owned *s)
{
    free(s->features);
    free(s->tasks);
    free(s->names);
    *s = (struct spec_owned){0};
}
