/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What settings must hold together.
 */
#include "stages/settings_check.h"

#include "stages/event/label.h"
#include "stages/settings_check_priv.h"

#include "daemon/base/json_path.h"
#include "daemon/io/address.h"
#include "daemon/io/log_file.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

const char *
check_key(struct check *c, const char *section, const char *name,
          const char *setting)
{
    (void)snprintf(c->key, sizeof(c->key), "%s%s%s.%s", section,
                   *name == '\0' ? "" : ".", name, setting);
    return c->key;
}

bool
check_is_doubtful(const struct check *c, const char *key)
{
    size_t n = strcspn(key, ".");

    if (key[n] == '.' &&
        (strncmp(key, "features.", 9) == 0 || strncmp(key, "tasks.", 6) == 0 ||
         strncmp(key, "teachers.", 9) == 0))
        n += 1 + strcspn(key + n + 1, ".");
    for (size_t i = 0; i < c->first; i++) {
        const char *text = c->problems->items[i].text;

        if (strncmp(text, key, n) == 0 && (text[n] == '.' || text[n] == ':'))
            return true;
    }
    return false;
}

void
check_complain(struct check *c, const char *key, const char *format, ...)
{
    char text[ERROR_TEXT_MAX];
    va_list args;

    if (check_is_doubtful(c, key))
        return;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    settings_file_complain(c->s->file, c->problems, key, "%s", text);
}

bool
check_is_given(const struct check *c, const char *key)
{
    return settings_file_has(c->s->file, key);
}

/* A place in an event; what the decoder would refuse is said here. */
static void
check_json_path(struct check *c, const char *key, const char *text)
{
    struct json_path path;
    struct error err;

    if (*text != '\0' && json_path_parse(&path, text, &err) != STATUS_OK)
        check_complain(c, key, "%s", err.text);
}

/* ---- Features ---- */

/* A setting that only other kinds of feature have. */
static void
check_idle(struct check *c, const struct feature_settings *f,
           const char *setting, bool is_used, const char *users)
{
    const char *key = check_key(c, "features", f->name, setting);

    if (!is_used && check_is_given(c, key))
        check_complain(c, key, "has no effect here, expected it only for %s",
                       users);
}

static void
check_numbers(struct check *c, const struct feature_settings *f)
{
    bool has_buckets = settings_has_transform(f, TRANSFORM_BUCKETIZE);

    if (has_buckets && f->kind != FEATURE_NUMBER)
        check_complain(
            c, check_key(c, "features", f->name, "transform"),
            "bucketize of a vector, expected it for kind number only");
    if (has_buckets && settings_has_transform(f, TRANSFORM_STANDARDIZE))
        check_complain(c, check_key(c, "features", f->name, "transform"),
                       "standardize and bucketize, expected one of them");
    if (settings_has_transform(f, TRANSFORM_LOG) &&
        f->transform.items[0] != TRANSFORM_LOG)
        check_complain(c, check_key(c, "features", f->name, "transform"),
                       "log is not the first, expected it before the others");
    if (has_buckets && f->boundaries.count == 0)
        check_complain(
            c, check_key(c, "features", f->name, "boundaries"),
            "is missing, expected the boundaries for bucketize, such as "
            "[1, 10, 100]");
    if (!has_buckets && f->boundaries.count > 0)
        check_complain(
            c, check_key(c, "features", f->name, "boundaries"),
            "has no effect, expected transform: [bucketize] with it");
    for (size_t i = 1; i < f->boundaries.count; i++) {
        if (f->boundaries.items[i] > f->boundaries.items[i - 1])
            continue;
        check_complain(c, check_key(c, "features", f->name, "boundaries"),
                       "%g after %g, expected ascending numbers",
                       f->boundaries.items[i], f->boundaries.items[i - 1]);
        break;
    }
    if (f->range.count == 1 ||
        (f->range.count == 2 && !(f->range.items[0] < f->range.items[1])))
        check_complain(c, check_key(c, "features", f->name, "range"),
                       "is no range, expected [lowest, highest]");
}

static void
check_feature(struct check *c, const struct feature_settings *f)
{
    bool is_bag = f->kind == FEATURE_BAG;
    bool is_numeric = f->kind == FEATURE_NUMBER || f->kind == FEATURE_VECTOR;
    bool has_ids =
        !is_numeric || settings_has_transform(f, TRANSFORM_BUCKETIZE);

    check_json_path(c, check_key(c, "features", f->name, "path"),
                    *f->path == '\0' ? f->name : f->path);
    if (f->kind == FEATURE_VECTOR && f->width == 0)
        check_complain(c, check_key(c, "features", f->name, "width"),
                       "is missing, expected how many numbers the vector has");
    if (f->width > 0)
        check_idle(c, f, "width", f->kind == FEATURE_VECTOR, "vectors");
    if (f->embedding_width > 0)
        check_idle(c, f, "embedding_width", has_ids, "ids");
    if (*f->separator != '\0')
        check_idle(c, f, "separator", is_bag, "bags");
    if (f->range.count > 0)
        check_idle(c, f, "range", is_numeric, "numbers and vectors");
    if (f->transform.count > 0)
        check_idle(c, f, "transform", is_numeric, "numbers and vectors");
    if (is_numeric)
        check_numbers(c, f);
}

static void
check_features(struct check *c)
{
    const struct settings *s = c->s;
    bool is_seen = false;

    for (size_t i = 0; i < s->feature_count; i++) {
        check_feature(c, &s->features[i]);
        is_seen = is_seen || s->features[i].seen_by != SEEN_BY_TEACHER;
    }
    if (s->feature_count == 0)
        check_complain(c, "features",
                       "is missing, expected one feature at least");
    else if (!is_seen && settings_has_role(s, ROLE_TRAIN))
        check_complain(
            c, "features",
            "none is visible to the student, expected one with seen_by: "
            "both or student");
}

static void
check_events(struct check *c)
{
    const struct settings *s = c->s;

    check_json_path(c, "events.id", s->events_id);
    check_json_path(c, "events.time", s->events_time);
    check_json_path(c, "events.weight", s->events_weight);
    check_json_path(c, "events.sample_rate", s->events_sample_rate);
}

/* ---- Tasks ---- */

static void
check_task(struct check *c, const struct task_settings *t)
{
    uint64_t classes = t->classes;
    const char *key;

    check_json_path(c, check_key(c, "tasks", t->name, "path"),
                    *t->path == '\0' ? t->name : t->path);
    check_json_path(c, check_key(c, "tasks", t->name, "teacher_path"),
                    t->teacher_path);
    key = check_key(c, "tasks", t->name, "threshold");
    if (t->kind != TASK_BINARY && !isnan(t->threshold))
        check_complain(c, key,
                       "has no effect here, expected it only for binary");
    key = check_key(c, "tasks", t->name, "classes");
    if (t->kind != TASK_CLASS && (classes > 0 || t->labels.count > 0))
        check_complain(
            c, classes > 0 ? key : check_key(c, "tasks", t->name, "labels"),
            "has no effect here, expected it only for kind class");
    if (t->kind != TASK_CLASS)
        return;
    if (classes == 0)
        classes = t->labels.count;
    if (classes < 2)
        check_complain(c, key,
                       "%s, expected how many classes there are, 2 or more",
                       classes == 0 ? "is missing" : "is too small");
    if (t->labels.count > 0 && t->labels.count != classes)
        check_complain(c, check_key(c, "tasks", t->name, "labels"),
                       "%zu names for %llu classes, expected one each",
                       t->labels.count, (unsigned long long)classes);
    for (size_t i = 0; i < t->labels.count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (strcmp(t->labels.items[i], t->labels.items[j]) != 0)
                continue;
            check_complain(c, check_key(c, "tasks", t->name, "labels"),
                           "'%.60s' comes twice, expected different names",
                           t->labels.items[i]);
            return;
        }
    }
}

static void
check_tasks(struct check *c)
{
    const struct settings *s = c->s;
    bool has_answer = false;

    for (size_t i = 0; i < s->task_count; i++) {
        check_task(c, &s->tasks[i]);
        has_answer = has_answer || *s->tasks[i].teacher_path != '\0';
    }
    if (s->task_count == 0)
        check_complain(c, "tasks", "is missing, expected one task at least");
    else if (settings_has_teacher(s, TEACHER_KIND_FIELD) && !has_answer)
        check_complain(
            c, s->teachers_count > 0 ? "teachers" : "teacher.kind",
            "is field, but no task has a teacher_path, expected it where "
            "the teacher's answer is in an event");
}

/* ---- Models ---- */

static void
check_optimizer(struct check *c, const char *section, const char *name,
                const struct optimizer_settings *o)
{
    if (o->rate == 0)
        check_complain(c, check_key(c, section, name, "rate"),
                       "is 0, expected a learning rate above it");
    if (o->schedule != SCHEDULE_CONSTANT && o->decay == 0)
        check_complain(c, check_key(c, section, name, "decay"),
                       "is 0, expected the length of the schedule in examples");
}

static void
check_model(struct check *c, const char *section,
            const struct model_settings *m, enum seen_by unseen)
{
    const struct settings *s = c->s;

    if (m->optimizer.kind == OPTIMIZER_ROWWISE_ADAGRAD)
        check_complain(
            c, check_key(c, section, "optimizer", "kind"),
            "is rowwise_adagrad, expected it under tables only, did you "
            "mean 'adagrad'?");
    check_optimizer(c, section, "optimizer", &m->optimizer);
    check_optimizer(c, section, "tables", &m->tables);
    for (size_t i = 0; i < s->feature_count && m->fm; i++) {
        const struct feature_settings *f = &s->features[i];

        if (f->seen_by != unseen && f->embedding_width > 0 &&
            f->embedding_width != m->embedding_width)
            check_complain(
                c, check_key(c, "features", f->name, "embedding_width"),
                "is %llu, but %s.fm needs one width for all, expected %llu "
                "or %s.fm: false",
                (unsigned long long)f->embedding_width, section,
                (unsigned long long)m->embedding_width, section);
    }
}

static void
check_teacher(struct check *c)
{
    const struct settings *s = c->s;
    bool has_model = s->teacher.kind == TEACHER_KIND_CHECKPOINT;

    check_http_teacher(c, "teacher", &s->teacher);
    if (s->teacher_learn && !has_model)
        check_complain(
            c, "teacher.learn",
            "needs a model to teach, expected teacher.kind: checkpoint");
    check_teachers(c);
    if (!has_model)
        return;
    if (s->teacher_learn || *s->teacher.path == '\0')
        check_model(c, "teacher.model", &s->teacher_model, SEEN_BY_STUDENT);
    if (!s->teacher_learn && *s->teacher.path == '\0')
        check_complain(c, "teacher.path",
                       "is missing, expected the checkpoint to ask, or "
                       "teacher.learn: true for a teacher that begins anew");
    if (s->teacher_learn && *s->teacher_checkpoint_path == '\0')
        check_complain(
            c, "teacher.checkpoint.path",
            "is missing, expected where a teacher that learns keeps its "
            "checkpoints");
}

static void
check_objective(struct check *c)
{
    const struct settings *s = c->s;

    if (s->objective_teacher_age_max > 0 && *s->events_time == '\0')
        check_complain(c, "objective.teacher_age_max",
                       "needs the time of events, expected events.time");
    if (s->objective_old_labels == OLD_LABELS_FADE &&
        s->objective_teacher_age_max == 0)
        check_complain(c, "objective.old_labels",
                       "has no effect, expected objective.teacher_age_max "
                       "with it");
    if (s->objective_adapter_sees_student && s->objective_adapter == 0)
        check_complain(c, "objective.adapter_sees_student",
                       "has no effect, expected objective.adapter with it");
    if (s->objective_cross_debias && *s->events_sample_rate == '\0')
        check_complain(c, "objective.cross_debias",
                       "needs the rate at which negatives were kept, expected "
                       "events.sample_rate");
}

/* ---- Roles and paths ---- */

static void
check_path(struct check *c, const char *key, const char *path, const char *what)
{
    if (*path == '\0')
        check_complain(c, key, "is missing, expected %s", what);
}

/* A log's file name stands in records, as it is. */
static void
check_log_name(struct check *c, const char *key, const char *path)
{
    const char *name = log_name(path);
    bool is_plain = true;

    for (const char *p = name; *p != '\0'; p++)
        is_plain = is_plain && *p != '"' && *p != '\\' && *p >= ' ';
    if (!is_plain || strlen(name) > LABEL_TOPIC_MAX)
        check_complain(
            c, key,
            "has a file name that cannot stand in records, expected at "
            "most %d bytes of ASCII without quotes and backslashes",
            LABEL_TOPIC_MAX);
}

/* Two places that must differ; the second is to change. */
static void
check_apart(struct check *c, const char *a, const char *a_path, const char *b,
            const char *b_path)
{
    if (*a_path != '\0' && strcmp(a_path, b_path) == 0)
        check_complain(c, b, "is the same as %s, expected another place", a);
}

static void
check_roles(struct check *c)
{
    const struct settings *s = c->s;
    bool annotates = settings_has_role(s, ROLE_ANNOTATE);
    bool trains = settings_has_role(s, ROLE_TRAIN);
    bool reads_events = annotates || s->train_input == TRAIN_INPUT_EVENTS;
    bool has_labels =
        annotates || (trains && s->train_input == TRAIN_INPUT_LABELS);

    if (check_is_doubtful(c, "roles"))
        return;
    if (s->roles.count == 0)
        check_complain(c, "roles",
                       "is empty, expected annotate, train or both");
    if (reads_events && s->events_log == LOG_KIND_FILE)
        check_path(c, "events.path", s->events_path,
                   "the events: role annotate and train.input: events read "
                   "them");
    if (has_labels && s->labels_log == LOG_KIND_FILE)
        check_path(c, "labels.path", s->labels_path,
                   "the labels: role annotate writes and role train reads "
                   "them");
    check_log_name(c, "events.path", s->events_path);
    check_log_name(c, "labels.path", s->labels_path);
    if (!trains)
        return;
    check_path(c, "checkpoint.path", s->checkpoint_path,
               "a directory for the trainer's checkpoints");
    if (annotates && s->train_input == TRAIN_INPUT_EVENTS)
        check_complain(
            c, "train.input",
            "is events, beside role annotate, expected labels, or roles: "
            "[train]");
    if (annotates && s->train_passes > 1)
        check_complain(
            c, "train.passes",
            "more than one beside role annotate, expected 1, or roles: "
            "[train] on labels that are complete");
    if (s->objective_hard_weight == 0 && s->objective_soft_weight == 0)
        check_complain(c, "objective.soft_weight",
                       "is 0 like objective.hard_weight, expected one above 0");
    if (settings_chooses_weight(s) && s->objective_hard_weight == 0)
        check_complain(c, "objective.hard_weight",
                       "is 0, but the baseline, which soft_weight: auto has "
                       "among its students, learns from outcomes alone, "
                       "expected more");
    if (settings_chooses_weight(s) && !s->baseline)
        check_complain(c, "baseline",
                       "is false, but soft_weight: auto has it among its "
                       "students, expected true");
    check_model(c, "student", &s->student, SEEN_BY_TEACHER);
}

static void
check_paths(struct check *c)
{
    const struct settings *s = c->s;

    check_apart(c, "checkpoint.path", s->checkpoint_path, "publish.path",
                s->publish_path);
    check_apart(c, "checkpoint.path", s->checkpoint_path,
                "teacher.checkpoint.path", s->teacher_checkpoint_path);
    check_apart(c, "publish.path", s->publish_path, "teacher.checkpoint.path",
                s->teacher_checkpoint_path);
    check_apart(c, "events.path", s->events_path, "labels.path",
                s->labels_path);
    check_apart(c, "events.path", s->events_path, "dead_letters.path",
                s->dead_letters_path);
    check_apart(c, "labels.path", s->labels_path, "dead_letters.path",
                s->dead_letters_path);
}

static void
check_admin(struct check *c)
{
    struct address address;
    struct error why;

    if (*c->s->admin_listen == '\0')
        return;
    if (address_parse(&address, c->s->admin_listen, &why) != STATUS_OK)
        check_complain(c, "admin.listen", "is no %s", why.text);
    for (const char *p = c->s->admin_token; *p != '\0'; p++) {
        if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f) {
            check_complain(
                c, "admin.token",
                "has a character that cannot stand in a header, expected "
                "printable ASCII without spaces");
            break;
        }
    }
}

void
settings_check(const struct settings *s, struct settings_problems *problems)
{
    struct check c = {.s = s, .problems = problems, .first = problems->count};

    assert(s != NULL && problems != NULL);
    check_events(&c);
    check_features(&c);
    check_tasks(&c);
    check_teacher(&c);
    check_budget(&c);
    check_objective(&c);
    check_roles(&c);
    check_paths(&c);
    check_kafka(&c);
    check_admin(&c);
    settings_problems_sort(problems);
}
