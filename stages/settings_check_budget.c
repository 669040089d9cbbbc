/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the teacher is asked about beside each event, and instead of it.
 */
#include "stages/settings_check_priv.h"

#include <stdlib.h>
#include <string.h>

static void
check_recombine(struct check *c)
{
    static const char *const names[] = {
        [EVENT_SIDE_USER] = "user", [EVENT_SIDE_ITEM] = "item"};
    const struct settings *s = c->s;
    size_t counts[EVENT_SIDES] = {0};

    if (s->teacher_recombine == 0)
        return;
    if (settings_has_role(s, ROLE_ANNOTATE) &&
        (s->teacher.kind == TEACHER_KIND_NONE ||
         s->teacher.kind == TEACHER_KIND_FIELD))
        check_complain(c, "teacher.recombine",
                       "needs a teacher that can be asked, expected another "
                       "teacher.kind than none and field");
    for (size_t i = 0; i < s->feature_count; i++)
        counts[s->features[i].side]++;
    for (int side = EVENT_SIDE_USER; side < EVENT_SIDES; side++) {
        if (counts[side] == 0 && settings_has_role(s, ROLE_ANNOTATE))
            check_complain(c, "teacher.recombine",
                           "no feature is of side %s, expected one with "
                           "side: %s",
                           names[side], names[side]);
    }
}

/* The rates of values: what sample.c reads with strtod. */
static void
check_rates(struct check *c)
{
    const struct setting_properties *rates = &c->s->teacher_sample_rates;

    for (size_t i = 0; i < rates->count; i++) {
        const struct setting_property *p = &rates->items[i];
        char *end = NULL;
        double rate = strtod(p->value, &end);

        if (end == p->value || *end != '\0' || !(rate >= 1e-6 && rate <= 1.0))
            check_complain(c, "teacher.sample.rates",
                           "%s: is %s, expected a rate from 1e-06 to 1",
                           p->name, p->value);
    }
}

static bool
has_ids(const struct feature_settings *f)
{
    return f->kind == FEATURE_CATEGORICAL || f->kind == FEATURE_BAG ||
           settings_has_transform(f, TRANSFORM_BUCKETIZE);
}

static const struct feature_settings *
find_feature(const struct settings *s, const char *name)
{
    for (size_t i = 0; i < s->feature_count; i++) {
        if (strcmp(s->features[i].name, name) == 0)
            return &s->features[i];
    }
    return NULL;
}

static void
check_ids(struct check *c)
{
    const struct setting_strings *ids = &c->s->teacher_sample_ids;

    for (size_t i = 0; i < ids->count; i++) {
        const struct feature_settings *f = find_feature(c->s, ids->items[i]);

        if (f == NULL || !has_ids(f))
            check_complain(c, "teacher.sample.ids",
                           "%s is no feature with ids, expected categorical "
                           "and bag features",
                           ids->items[i]);
    }
}

static void
check_sample(struct check *c)
{
    const struct settings *s = c->s;
    enum sample_by by = s->teacher_sample_by;
    const struct feature_settings *f =
        find_feature(s, s->teacher_sample_feature);

    check_rates(c);
    check_ids(c);
    if (by == SAMPLE_BY_NONE || !settings_has_role(s, ROLE_ANNOTATE))
        return;
    if (s->teacher.kind == TEACHER_KIND_NONE)
        check_complain(c, "teacher.sample.by",
                       "has no effect, expected a teacher.kind");
    if (by == SAMPLE_BY_SEGMENT &&
        (f == NULL || f->kind != FEATURE_CATEGORICAL))
        check_complain(c, "teacher.sample.feature",
                       "is no categorical feature, expected the name of one");
    if (by == SAMPLE_BY_SEGMENT && s->teacher_sample_rates.count == 0)
        check_complain(c, "teacher.sample.rates",
                       "is missing, expected rates of the feature's values");
    if (by == SAMPLE_BY_UNCERTAINTY && *s->teacher_sample_student == '\0')
        check_complain(c, "teacher.sample.student",
                       "is missing, expected where the student is");
    if ((by == SAMPLE_BY_NOVELTY || by == SAMPLE_BY_UNCERTAINTY) &&
        s->teacher_sample_rate_high < s->teacher_sample_rate)
        check_complain(c, "teacher.sample.rate_high",
                       "is below teacher.sample.rate, expected at least that");
    if (s->teacher_sample_per_second > 0 && s->events_log == LOG_KIND_FILE)
        check_complain(c, "teacher.sample.per_second",
                       "a replay of a file log could not repeat it, expected "
                       "it only where events.log is kafka");
}

void
check_budget(struct check *c)
{
    check_recombine(c);
    check_sample(c);
}
