/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of distilld's settings, made from settings.def, and what it is
 * asked for.
 */
#include "stages/settings.h"

#include "stages/settings_check.h"

#include "daemon/base/object.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SETTINGS_MAGIC 0x5e77d157u

/* ---- Words, in the order of their enums ---- */

static const char *const words_role[] = {
    [ROLE_ANNOTATE] = "annotate", [ROLE_TRAIN] = "train", NULL};
static const char *const words_log_kind[] = {
    [LOG_KIND_FILE] = "file", [LOG_KIND_KAFKA] = "kafka", NULL};
static const char *const words_log_start[] = {
    [LOG_START_EARLIEST] = "earliest", [LOG_START_LATEST] = "latest", NULL};
static const char *const words_event_format[] = {
    [EVENT_FORMAT_JSON] = "json",
    [EVENT_FORMAT_CLOUDEVENTS] = "cloudevents",
    [EVENT_FORMAT_CONFLUENT] = "confluent",
    NULL};
static const char *const words_determinism[] = {[DETERMINISM_AUTO] = "auto",
                                                [DETERMINISM_ON] = "on",
                                                [DETERMINISM_OFF] = "off",
                                                NULL};
static const char *const words_time_unit[] = {
    [TIME_AUTO] = "auto",       [TIME_SECONDS] = "s",
    [TIME_MILLISECONDS] = "ms", [TIME_MICROSECONDS] = "us",
    [TIME_NANOSECONDS] = "ns",  NULL};
static const char *const words_feature_kind[] = {[FEATURE_CATEGORICAL] =
                                                     "categorical",
                                                 [FEATURE_BAG] = "bag",
                                                 [FEATURE_NUMBER] = "number",
                                                 [FEATURE_VECTOR] = "vector",
                                                 NULL};
static const char *const words_seen_by[] = {[SEEN_BY_BOTH] = "both",
                                            [SEEN_BY_TEACHER] = "teacher",
                                            [SEEN_BY_STUDENT] = "student",
                                            NULL};
static const char *const words_sample_by[] = {[SAMPLE_BY_NONE] = "none",
                                              [SAMPLE_BY_RATE] = "rate",
                                              [SAMPLE_BY_SEGMENT] = "segment",
                                              [SAMPLE_BY_NOVELTY] = "novelty",
                                              [SAMPLE_BY_UNCERTAINTY] =
                                                  "uncertainty",
                                              NULL};
static const char *const words_event_side[] = {[EVENT_SIDE_NONE] = "none",
                                               [EVENT_SIDE_USER] = "user",
                                               [EVENT_SIDE_ITEM] = "item",
                                               NULL};
static const char *const words_transform[] = {
    [TRANSFORM_LOG] = "log",
    [TRANSFORM_STANDARDIZE] = "standardize",
    [TRANSFORM_BUCKETIZE] = "bucketize",
    NULL};
static const char *const words_task_kind[] = {[TASK_BINARY] = "binary",
                                              [TASK_CLASS] = "class",
                                              [TASK_REGRESSION] = "regression",
                                              NULL};
static const char *const words_teacher_kind[] = {[TEACHER_KIND_NONE] = "none",
                                                 [TEACHER_KIND_CHECKPOINT] =
                                                     "checkpoint",
                                                 [TEACHER_KIND_FIELD] = "field",
                                                 [TEACHER_KIND_HTTP] = "http",
                                                 NULL};
static const char *const words_teacher_protocol[] = {
    [PROTOCOL_AUTO] = "auto",
    [PROTOCOL_OIP] = "oip",
    [PROTOCOL_OIP_BINARY] = "oip_binary",
    [PROTOCOL_TFSERVING_ROW] = "tfserving_row",
    [PROTOCOL_TFSERVING_COLUMN] = "tfserving_column",
    NULL};
static const char *const words_teacher_output[] = {
    [TEACHER_LOGIT] = "logit", [TEACHER_PROBABILITY] = "probability", NULL};
static const char *const words_on_failure[] = {
    [ON_FAILURE_WAIT] = "wait",
    [ON_FAILURE_EMIT_UNLABELLED] = "emit_unlabelled",
    [ON_FAILURE_FALLBACK] = "fallback",
    NULL};
static const char *const words_teacher_combine[] = {
    [TEACHER_COMBINE_FIRST] = "first",
    [TEACHER_COMBINE_MEAN] = "mean",
    [TEACHER_COMBINE_GATE] = "gate",
    NULL};
static const char *const words_activation[] = {
    [ACTIVATION_RELU] = "relu",
    [ACTIVATION_TANH] = "tanh",
    [ACTIVATION_SIGMOID] = "sigmoid",
    [ACTIVATION_GELU] = "gelu",
    [ACTIVATION_SILU] = "silu",
    [ACTIVATION_LEAKY_RELU] = "leaky_relu",
    [ACTIVATION_SOFTMAX] = "softmax",
    [ACTIVATION_IDENTITY] = "identity",
    NULL};
static const char *const words_optimizer_kind[] = {
    [OPTIMIZER_SGD] = "sgd",
    [OPTIMIZER_ADAGRAD] = "adagrad",
    [OPTIMIZER_ROWWISE_ADAGRAD] = "rowwise_adagrad",
    [OPTIMIZER_ADAM] = "adam",
    NULL};
static const char *const words_schedule_kind[] = {
    [SCHEDULE_CONSTANT] = "constant",
    [SCHEDULE_LINEAR] = "linear",
    [SCHEDULE_COSINE] = "cosine",
    [SCHEDULE_INVERSE_SQRT] = "inverse_sqrt",
    NULL};
static const char *const words_distill_kind[] = {
    [DISTILL_CROSS_ENTROPY] = "cross_entropy",
    [DISTILL_KL] = "kl",
    [DISTILL_LOGIT_MSE] = "logit_mse",
    [DISTILL_PROBABILITY_MSE] = "probability_mse",
    NULL};
static const char *const words_head[] = {
    [HEAD_SHARED] = "shared", [HEAD_AUXILIARY] = "auxiliary", NULL};
static const char *const words_old_labels[] = {
    [OLD_LABELS_REFUSE] = "refuse", [OLD_LABELS_FADE] = "fade", NULL};
static const char *const words_train_input[] = {
    [TRAIN_INPUT_LABELS] = "labels", [TRAIN_INPUT_EVENTS] = "events", NULL};
static const char *const words_log_level[] = {[LOG_LEVEL_ERROR] = "error",
                                              [LOG_LEVEL_WARN] = "warn",
                                              [LOG_LEVEL_INFO] = "info",
                                              [LOG_LEVEL_DEBUG] = "debug",
                                              NULL};
static const char *const words_log_format[] = {
    [LOG_FORMAT_LOGFMT] = "logfmt", [LOG_FORMAT_JSON] = "json", NULL};
static const char *const words_auto[] = {"auto", NULL};
static const char *const words_time[] = {"earliest", NULL};

/* ---- Rows ---- */

#define RESTART  SETTING_RESTART
#define RELOAD   SETTING_RELOAD
#define REQUIRED SETTING_REQUIRED
#define EXAMPLE  SETTING_EXAMPLE
#define LINEAGE  SETTING_LINEAGE
#define SECRET   SETTING_SECRET

/* What a row says of its kind. */
#define KIND_BOOL          .kind = SETTING_BOOL
#define KIND_COUNT         .kind = SETTING_COUNT
#define KIND_BYTES         .kind = SETTING_BYTES
#define KIND_DURATION      .kind = SETTING_DURATION
#define KIND_NUMBER        .kind = SETTING_NUMBER
#define KIND_NUMBER_OR(w)  .kind = SETTING_NUMBER, .words = words_##w
#define KIND_STRING        .kind = SETTING_STRING
#define KIND_NAME          .kind = SETTING_NAME
#define KIND_PATH          .kind = SETTING_PATH
#define KIND_TIME          .kind = SETTING_TIME, .words = words_time
#define KIND_ENUM(tag)     .kind = SETTING_ENUM, .words = words_##tag
#define KIND_ENUMS(tag, n) .kind = SETTING_ENUMS, .words = words_##tag, ITEMS(n)
#define KIND_COUNTS(n)     .kind = SETTING_COUNTS, ITEMS(n)
#define KIND_NUMBERS(n)    .kind = SETTING_NUMBERS, ITEMS(n)
#define KIND_STRINGS(n)    .kind = SETTING_STRINGS, ITEMS(n)
#define KIND_PROPERTIES(n) .kind = SETTING_PROPERTIES, ITEMS(n)
#define ITEMS(n)           .items_max = (n)

#define ROW(type, member, key_, kind_, unit_, min_, max_, initial_, flags_,    \
            help_)                                                             \
    {.key = (key_),                                                            \
     .offset = offsetof(type, member),                                         \
     .unit = (unit_),                                                          \
     .min = (min_),                                                            \
     .max = (max_),                                                            \
     .initial = (initial_),                                                    \
     .flags = (flags_),                                                        \
     .help = (help_),                                                          \
     KIND_##kind_},

static const struct setting_row feature_rows[] = {
#define FEATURE(field, ...) ROW(struct feature_settings, field, __VA_ARGS__)
#include "stages/settings.def"
};

static const struct setting_row task_rows[] = {
#define TASK(field, ...) ROW(struct task_settings, field, __VA_ARGS__)
#include "stages/settings.def"
};

static const struct setting_row teacher_rows[] = {
#define TEACHER(field, ...) ROW(struct teacher_settings, field, __VA_ARGS__)
#define SEAT(field, ...)    ROW(struct teacher_settings, field, __VA_ARGS__)
#include "stages/settings.def"
};

#define TOP(member, ...) ROW(struct settings, member, __VA_ARGS__)

static const struct setting_row top_rows[] = {
#define SETTING(field, ...) TOP(field, __VA_ARGS__)
#include "stages/settings.def"

#define TEACHER(field, key, ...) TOP(teacher.field, "teacher." key, __VA_ARGS__)
#include "stages/settings.def"

#define MODEL(field, key, kind, unit, min, max, teachers, students, ...)       \
    TOP(teacher_model.field, "teacher.model." key, kind, unit, min, max,       \
        teachers, __VA_ARGS__)
#include "stages/settings.def"
#define OPTIMIZER(field, key, ...)                                             \
    TOP(teacher_model.optimizer.field, "teacher.model.optimizer." key,         \
        __VA_ARGS__)
#include "stages/settings.def"
#define OPTIMIZER(field, key, kind, unit, min, max, initial, ...)              \
    TOP(teacher_model.tables.field, "teacher.model.tables." key, kind, unit,   \
        min, max, "=teacher.model.optimizer." key, __VA_ARGS__)
#include "stages/settings.def"

#define MODEL(field, key, kind, unit, min, max, teachers, students, ...)       \
    TOP(student.field, "student." key, kind, unit, min, max, students,         \
        __VA_ARGS__)
#include "stages/settings.def"
#define OPTIMIZER(field, key, ...)                                             \
    TOP(student.optimizer.field, "student.optimizer." key, __VA_ARGS__)
#include "stages/settings.def"
#define OPTIMIZER(field, key, kind, unit, min, max, initial, ...)              \
    TOP(student.tables.field, "student.tables." key, kind, unit, min, max,     \
        "=student.optimizer." key, __VA_ARGS__)
#include "stages/settings.def"
};

static const struct setting_section sections[] = {
    {.key = "features",
     .rows = feature_rows,
     .row_count = COUNT(feature_rows),
     .entry_bytes = sizeof(struct feature_settings),
     .entries_max = FEATURES_MAX,
     .entries_offset = offsetof(struct settings, features),
     .count_offset = offsetof(struct settings, feature_count),
     .example = "user",
     .help = "What the models see of an event, each under a name of yours."},
    {.key = "tasks",
     .rows = task_rows,
     .row_count = COUNT(task_rows),
     .entry_bytes = sizeof(struct task_settings),
     .entries_max = TASKS_MAX,
     .entries_offset = offsetof(struct settings, tasks),
     .count_offset = offsetof(struct settings, task_count),
     .example = "clicked",
     .help = "What the models predict, each under a name of yours. Events "
             "carry their outcomes."},
    {.key = "teachers",
     .rows = teacher_rows,
     .row_count = COUNT(teacher_rows),
     .entry_bytes = sizeof(struct teacher_settings),
     .entries_max = TEACHERS_MAX,
     .entries_offset = offsetof(struct settings, teachers),
     .count_offset = offsetof(struct settings, teachers_count),
     .is_optional = true,
     .example = "large",
     .help = "Several teachers, each under a name of yours, in place of "
             "teacher.kind and what belongs to it. How they work together, "
             "teacher.combine says."},
};

static const struct settings_table table = {
    .title = "The settings of distilld: all of them, with their defaults.",
    .rows = top_rows,
    .row_count = COUNT(top_rows),
    .sections = sections,
    .section_count = COUNT(sections),
};

/* ---- What they are asked for ---- */

bool
settings_has_role(const struct settings *s, enum role role)
{
    OBJ_CHECK(s, SETTINGS_MAGIC);
    for (size_t i = 0; i < s->roles.count; i++) {
        if (s->roles.items[i] == (unsigned)role)
            return true;
    }
    return false;
}

size_t
settings_teacher_count(const struct settings *s)
{
    OBJ_CHECK(s, SETTINGS_MAGIC);
    return s->teachers_count > 0 ? s->teachers_count : 1;
}

const struct teacher_settings *
settings_teacher(const struct settings *s, size_t i)
{
    assert(i < settings_teacher_count(s));
    return s->teachers_count > 0 ? &s->teachers[i] : &s->teacher;
}

bool
settings_has_teacher(const struct settings *s, enum teacher_kind kind)
{
    for (size_t i = 0; i < settings_teacher_count(s); i++) {
        if (settings_teacher(s, i)->kind == kind)
            return true;
    }
    return false;
}

const char *
settings_sample_way(enum sample_by by)
{
    return words_sample_by[by];
}

size_t
settings_teacher_rows(const struct settings *s)
{
    OBJ_CHECK(s, SETTINGS_MAGIC);
    return s->teacher_batch * (1 + s->teacher_recombine);
}

size_t
settings_train_rows(const struct settings *s)
{
    OBJ_CHECK(s, SETTINGS_MAGIC);
    return s->train_batch * (1 + s->teacher_recombine);
}

bool
settings_is_deterministic(const struct settings *s)
{
    enum log_kind log;

    OBJ_CHECK(s, SETTINGS_MAGIC);
    log = s->train_input == TRAIN_INPUT_EVENTS ? s->events_log : s->labels_log;
    if (s->train_deterministic == DETERMINISM_AUTO)
        return log == LOG_KIND_FILE;
    return s->train_deterministic == DETERMINISM_ON;
}

bool
settings_chooses_weight(const struct settings *s)
{
    assert(s != NULL);
    return isinf(s->objective_soft_weight);
}

bool
settings_has_transform(const struct feature_settings *f,
                       enum transform transform)
{
    assert(f != NULL);
    for (size_t i = 0; i < f->transform.count; i++) {
        if (f->transform.items[i] == (unsigned)transform)
            return true;
    }
    return false;
}

/* With file logs a run can be repeated to the byte, unless told otherwise. */
static void
fill_poll(const struct settings *s, struct teacher_settings *t,
          const char *section)
{
    char key[128];

    (void)snprintf(key, sizeof(key), "%s.poll", section);
    if (s->events_log == LOG_KIND_FILE && !settings_file_has(s->file, key))
        t->poll = 0;
}

static void
fill_teachers(struct settings *s)
{
    char section[96];

    s->teacher.name = s->teacher_name;
    fill_poll(s, &s->teacher, "teacher");
    for (size_t i = 0; i < s->teachers_count; i++) {
        (void)snprintf(section, sizeof(section), "teachers.%.63s",
                       s->teachers[i].name);
        fill_poll(s, &s->teachers[i], section);
    }
}

/* Defaults that depend on other settings. */
static void
fill_in(struct settings *s)
{
    fill_teachers(s);
    for (size_t i = 0; i < s->feature_count; i++) {
        if (*s->features[i].path == '\0')
            s->features[i].path = s->features[i].name;
    }
    for (size_t i = 0; i < s->task_count; i++) {
        struct task_settings *t = &s->tasks[i];

        if (*t->path == '\0')
            t->path = t->name;
        if (t->kind == TASK_CLASS && t->classes == 0)
            t->classes = t->labels.count;
    }
}

static enum status
new_settings(struct settings **out, struct error *err)
{
    /* Enums are stored as unsigned. */
    _Static_assert(sizeof(enum role) == sizeof(unsigned), "enums are unsigned");

    *out = calloc(1, sizeof(**out));
    if (*out == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for the settings");
    (*out)->magic = SETTINGS_MAGIC;
    return STATUS_OK;
}

/* Takes *s; gives it when there was no problem. */
static enum status
finish(struct settings **out, struct settings **s, const char *name,
       struct settings_problems *problems, struct error *err)
{
    size_t count;

    OBJ_CHECK(*s, SETTINGS_MAGIC);
    if (settings_file_is_read((*s)->file))
        settings_check(*s, problems);
    count = problems->count + problems->dropped;
    if (count > 0) {
        settings_free(s);
        return error_set(err, STATUS_CONFIG, "%.500s: %zu problem%s", name,
                         count, count == 1 ? "" : "s");
    }
    fill_in(*s);
    OBJ_TAKE(*out, s, SETTINGS_MAGIC);
    return STATUS_OK;
}

enum status
settings_load(struct settings **out, const char *path,
              struct settings_problems *problems, struct error *err)
{
    struct settings *s = NULL;
    enum status st = new_settings(&s, err);

    if (st == STATUS_OK)
        st = settings_file_read(&s->file, &table, s, path, problems, err);
    if (st == STATUS_OK)
        st = finish(out, &s, path, problems, err);
    settings_free(&s);
    return st;
}

enum status
settings_parse(struct settings **out, const char *name, const char *text,
               size_t bytes, struct settings_problems *problems,
               struct error *err)
{
    struct settings *s = NULL;
    enum status st = new_settings(&s, err);

    if (st == STATUS_OK)
        st = settings_file_parse(&s->file, &table, s, text, bytes, problems,
                                 err);
    if (st == STATUS_OK)
        st = finish(out, &s, name, problems, err);
    settings_free(&s);
    return st;
}

void
settings_free(struct settings **self)
{
    assert(self != NULL);
    if (*self == NULL)
        return;
    OBJ_CHECK(*self, SETTINGS_MAGIC);
    settings_file_free(&(*self)->file);
    (*self)->magic = 0;
    free(*self);
    *self = NULL;
}

void
settings_write_reference(FILE *f)
{
    settings_table_write_reference(&table, f);
}

void
settings_write_schema(FILE *f)
{
    settings_table_write_schema(&table, f);
}

void
settings_write_effective(const struct settings *s, FILE *f)
{
    OBJ_CHECK(s, SETTINGS_MAGIC);
    settings_table_write_values(&table, s, 0, f);
}

enum status
settings_digest(const struct settings *s, char hex[DIGEST_HEX_SIZE],
                struct error *err)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *f;

    OBJ_CHECK(s, SETTINGS_MAGIC);
    f = open_memstream(&text, &bytes);
    if (f == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a digest");
    settings_table_write_values(&table, s, SETTING_LINEAGE, f);
    if (fclose(f) != 0) {
        free(text);
        return error_set(err, STATUS_NOMEM, "no memory for a digest");
    }
    digest_once(text, bytes, hex);
    free(text);
    return STATUS_OK;
}

struct reload {
    struct settings *live;
    const struct settings *fresh;
    struct settings_changes *out;
};

static void
note_change(char keys[SETTINGS_CHANGES_MAX][128], size_t *count,
            struct settings_changes *out, const char *key)
{
    if (*count == SETTINGS_CHANGES_MAX)
        out->left_off++;
    else
        (void)snprintf(keys[(*count)++], 128, "%s", key);
}

static void
on_difference(void *ctx, const char *key, const struct setting_row *row)
{
    struct reload *r = ctx;

    if (row == NULL || (row->flags & SETTING_RELOAD) == 0) {
        note_change(r->out->waiting, &r->out->waiting_count, r->out, key);
        return;
    }
    settings_table_take(row, r->live, r->fresh);
    note_change(r->out->applied, &r->out->applied_count, r->out, key);
}

enum status
settings_reload(struct settings *live, const struct settings *fresh,
                struct settings_changes *out, struct error *err)
{
    struct reload r = {.live = live, .fresh = fresh, .out = out};

    OBJ_CHECK(live, SETTINGS_MAGIC);
    OBJ_CHECK(fresh, SETTINGS_MAGIC);
    memset(out, 0, sizeof(*out));
    return settings_table_compare(&table, live, fresh, on_difference, &r, err);
}
