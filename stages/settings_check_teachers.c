/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the settings of several teachers must hold together.
 */
#include "stages/event/label.h"
#include "stages/settings_check_priv.h"

#include "daemon/base/macros.h"

#include <assert.h>
#include <string.h>

static const char *
key_of(struct check *c, const struct teacher_settings *t, const char *setting)
{
    return check_key(c, "teachers", t->name, setting);
}

static const struct teacher_settings *
find_teacher(const struct settings *s, const char *name)
{
    for (size_t i = 0; i < s->teachers_count; i++) {
        if (strcmp(s->teachers[i].name, name) == 0)
            return &s->teachers[i];
    }
    return NULL;
}

static bool
is_fallback(const struct settings *s, const struct teacher_settings *t)
{
    for (size_t i = 0; i < s->teachers_count; i++) {
        if (s->teachers[i].on_failure == ON_FAILURE_FALLBACK &&
            strcmp(s->teachers[i].fallback, t->name) == 0)
            return true;
    }
    return false;
}

/* ---- one of them ---- */

static void
check_kind(struct check *c, const struct teacher_settings *t)
{
    size_t fields = 0;

    if (t->kind == TEACHER_KIND_NONE)
        check_complain(c, key_of(c, t, "kind"),
                       "is none, expected a teacher that answers");
    if (t->kind == TEACHER_KIND_CHECKPOINT && *t->path == '\0')
        check_complain(c, key_of(c, t, "path"),
                       "is missing, expected the checkpoint to ask");
    for (size_t i = 0; i < c->s->teachers_count; i++)
        fields += c->s->teachers[i].kind == TEACHER_KIND_FIELD;
    if (t->kind == TEACHER_KIND_FIELD && fields > 1)
        check_complain(c, key_of(c, t, "kind"),
                       "is field like another's, expected it once: an event "
                       "has one teacher's answer");
}

static void
check_fallback(struct check *c, const struct teacher_settings *t)
{
    const struct teacher_settings *other = find_teacher(c->s, t->fallback);

    if (t->on_failure != ON_FAILURE_FALLBACK) {
        if (*t->fallback != '\0')
            check_complain(c, key_of(c, t, "fallback"),
                           "has no effect, expected on_failure: fallback "
                           "with it");
        return;
    }
    if (*t->fallback == '\0')
        check_complain(c, key_of(c, t, "fallback"),
                       "is missing, expected the name of another teacher");
    else if (other == NULL || other == t)
        check_complain(c, key_of(c, t, "fallback"),
                       "'%s' is no other teacher, expected the name of one",
                       t->fallback);
    else if (other->on_failure == ON_FAILURE_FALLBACK)
        check_complain(c, key_of(c, t, "fallback"),
                       "'%s' falls back on a teacher itself, expected one "
                       "that does not",
                       t->fallback);
}

/* ---- mean ---- */

static void
check_weights(struct check *c, const struct teacher_settings *t)
{
    if (t->weights.count > 0 && t->weights.count != c->s->task_count)
        check_complain(c, key_of(c, t, "weights"),
                       "%zu numbers for %zu tasks, expected one each",
                       t->weights.count, c->s->task_count);
    if (t->weights.count > 0 && check_is_given(c, key_of(c, t, "weight")))
        check_complain(c, key_of(c, t, "weight"),
                       "stands beside weights, expected one of them");
}

static bool
has_weight(const struct teacher_settings *t, size_t task)
{
    return t->weights.count > task ? t->weights.items[task] > 0 : t->weight > 0;
}

static void
check_mean(struct check *c)
{
    const struct settings *s = c->s;
    size_t members = 0;
    size_t bytes = 0;

    for (size_t i = 0; i < s->teachers_count; i++) {
        check_weights(c, &s->teachers[i]);
        members += !is_fallback(s, &s->teachers[i]);
        bytes += strlen(s->teachers[i].name) + 1;
    }
    if (members < 2)
        check_complain(c, "teacher.combine",
                       "is mean, but all teachers save %zu are there to fall "
                       "back on, expected two at least",
                       members);
    if (bytes > LABEL_TEACHER_MAX + 1)
        check_complain(c, "teachers",
                       "have names of %zu bytes, expected %d at most together, "
                       "as labels name all that answered",
                       bytes - s->teachers_count,
                       LABEL_TEACHER_MAX + 1 - (int)s->teachers_count);
    for (size_t task = 0; task < s->task_count; task++) {
        bool has_any = false;

        for (size_t i = 0; i < s->teachers_count; i++)
            has_any = has_any || (!is_fallback(s, &s->teachers[i]) &&
                                  has_weight(&s->teachers[i], task));
        if (!has_any)
            check_complain(c, "teachers",
                           "all weigh 0 for task %s, expected one above 0",
                           s->tasks[task].name);
    }
}

/* ---- gate ---- */

static void
check_gate_feature(struct check *c)
{
    const struct settings *s = c->s;
    const char *names = "teacher.gate";

    if (*s->teacher_gate == '\0') {
        check_complain(c, names,
                       "is missing, expected the name of a categorical "
                       "feature");
        return;
    }
    for (size_t i = 0; i < s->feature_count; i++) {
        if (strcmp(s->features[i].name, s->teacher_gate) != 0)
            continue;
        if (s->features[i].kind != FEATURE_CATEGORICAL)
            check_complain(c, names,
                           "'%s' is not categorical, expected a feature that "
                           "is",
                           s->teacher_gate);
        return;
    }
    check_complain(c, names, "'%s' is no feature, expected the name of one",
                   s->teacher_gate);
}

/* Whether a value belongs to another teacher before this one. */
static bool
is_taken(const struct settings *s, const struct teacher_settings *t,
         const char *value, size_t at)
{
    for (size_t i = 0; i < s->teachers_count; i++) {
        const struct teacher_settings *other = &s->teachers[i];
        size_t count = other == t ? at : other->when.count;

        for (size_t k = 0; k < count; k++) {
            if (strcmp(other->when.items[k], value) == 0)
                return true;
        }
        if (other == t)
            return false;
    }
    return false;
}

static void
check_gate(struct check *c)
{
    const struct settings *s = c->s;
    size_t rests = 0;

    check_gate_feature(c);
    for (size_t i = 0; i < s->teachers_count; i++) {
        const struct teacher_settings *t = &s->teachers[i];

        for (size_t k = 0; k < t->when.count; k++) {
            if (!is_taken(s, t, t->when.items[k], k))
                continue;
            check_complain(c, key_of(c, t, "when"),
                           "'%.60s' comes twice, expected each value once",
                           t->when.items[k]);
            break;
        }
        if (t->when.count > 0 || is_fallback(s, t))
            continue;
        if (++rests > 1)
            check_complain(c, key_of(c, t, "when"),
                           "is missing as for another teacher, expected one "
                           "at most that has all other events");
    }
}

/* ---- all of them ---- */

/* What only one way of working together uses. */
static void
check_idle(struct check *c, const struct teacher_settings *t)
{
    static const char *const of_mean[] = {"weight", "weights"};

    for (size_t i = 0; i < COUNT(of_mean); i++) {
        const char *key = key_of(c, t, of_mean[i]);

        if (c->s->teacher_combine != TEACHER_COMBINE_MEAN &&
            check_is_given(c, key))
            check_complain(c, key,
                           "has no effect, expected teacher.combine: mean "
                           "with it");
    }
    if (c->s->teacher_combine != TEACHER_COMBINE_GATE && t->when.count > 0)
        check_complain(c, key_of(c, t, "when"),
                       "has no effect, expected teacher.combine: gate with "
                       "it");
}

/* What belongs to one teacher where there are several. */
static void
check_single(struct check *c)
{
    static const char *const keys[] = {
#define TEACHER(field, key, kind, unit, min, max, initial, flags, help)        \
    "teacher." key,
#include "stages/settings.def"
    };

    for (size_t i = 0; i < COUNT(keys); i++) {
        if (check_is_given(c, keys[i]))
            check_complain(c, keys[i],
                           "stands beside teachers, expected it in each of "
                           "them");
    }
    if (check_is_given(c, "teacher.name"))
        check_complain(c, "teacher.name",
                       "stands beside teachers, which have names");
    if (c->s->teacher_learn)
        check_complain(c, "teacher.learn",
                       "is true beside teachers, expected it with one only");
}

void
check_teachers(struct check *c)
{
    const struct settings *s = c->s;
    char section[80];

    if (*s->teacher_gate != '\0' && s->teacher_combine != TEACHER_COMBINE_GATE)
        check_complain(c, "teacher.gate",
                       "has no effect, expected teacher.combine: gate with "
                       "it");
    if (s->teachers_count == 0) {
        if (s->teacher_combine != TEACHER_COMBINE_FIRST)
            check_complain(c, "teacher.combine",
                           "needs several, expected them under teachers");
        if (s->teacher.on_failure == ON_FAILURE_FALLBACK)
            check_complain(c, "teacher.on_failure",
                           "is fallback, expected two under teachers with it");
        return;
    }
    check_single(c);
    for (size_t i = 0; i < s->teachers_count; i++) {
        const struct teacher_settings *t = &s->teachers[i];

        check_kind(c, t);
        (void)snprintf(section, sizeof(section), "teachers.%s", t->name);
        check_http_teacher(c, section, t);
        check_fallback(c, t);
        check_idle(c, t);
        if (s->teacher_combine == TEACHER_COMBINE_FIRST && i > 0 &&
            !is_fallback(s, t))
            check_complain(c, key_of(c, t, "kind"),
                           "is never asked, expected another teacher's "
                           "fallback, or teacher.combine");
    }
    if (s->teacher_combine == TEACHER_COMBINE_MEAN)
        check_mean(c);
    if (s->teacher_combine == TEACHER_COMBINE_GATE)
        check_gate(c);
}
