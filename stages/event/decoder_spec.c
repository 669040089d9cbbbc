/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which specs make sense.
 */
#include "stages/event/decoder_priv.h"

#include "daemon/base/json_path.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define CLASSES_MAX 65536

static enum status
check_name(const char *what, size_t i, const char *name, struct error *err)
{
    if (name == NULL || name[0] == '\0' || strlen(name) > EVENT_NAME_MAX)
        return error_set(err, STATUS_CONFIG,
                         "%s %zu: expected a name of 1 to %d bytes", what, i,
                         EVENT_NAME_MAX);
    for (const char *c = name; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20)
            return error_set(err, STATUS_CONFIG,
                             "%s %zu: control character in its name", what, i);
    }
    return STATUS_OK;
}

static enum status
check_boundaries(const struct event_feature *f, struct error *err)
{
    if (f->boundary_count > 0 &&
        (f->kind != FEATURE_NUMBER || f->has_log || f->boundaries == NULL))
        return error_set(err, STATUS_CONFIG,
                         "feature %s: boundaries are for numbers without a "
                         "logarithm",
                         f->name);
    for (size_t k = 0; k < f->boundary_count; k++) {
        if (!isfinite(f->boundaries[k]) ||
            (k > 0 && f->boundaries[k] <= f->boundaries[k - 1]))
            return error_set(err, STATUS_CONFIG,
                             "feature %s: boundaries must be finite and "
                             "ascend, the one at place %zu does not",
                             f->name, k + 1);
    }
    return STATUS_OK;
}

enum status
spec_check_feature(const struct event_spec *spec, size_t i, struct error *err)
{
    const struct event_feature *f = &spec->features[i];
    bool is_number = f->kind == FEATURE_NUMBER || f->kind == FEATURE_VECTOR;
    enum status st = check_name("feature", i, f->name, err);

    if (st != STATUS_OK)
        return st;
    if (f->path == NULL)
        return error_set(err, STATUS_CONFIG, "feature %s: has no path",
                         f->name);
    if (f->kind == FEATURE_VECTOR && f->width == 0)
        return error_set(err, STATUS_CONFIG,
                         "feature %s: a vector needs a width of 1 or more",
                         f->name);
    if (!is_number && (f->has_log || f->has_range))
        return error_set(err, STATUS_CONFIG,
                         "feature %s: logarithm and range are for numbers and "
                         "vectors",
                         f->name);
    if (f->has_range && !(f->range_min <= f->range_max))
        return error_set(err, STATUS_CONFIG,
                         "feature %s: range from %g to %g is empty", f->name,
                         f->range_min, f->range_max);
    if (f->separator != '\0' && f->kind != FEATURE_BAG)
        return error_set(err, STATUS_CONFIG,
                         "feature %s: only a bag has a separator", f->name);
    if ((unsigned char)f->separator >= 0x80)
        return error_set(err, STATUS_CONFIG,
                         "feature %s: its separator is not ASCII", f->name);
    return check_boundaries(f, err);
}

enum status
spec_check_task(const struct event_spec *spec, size_t i, struct error *err)
{
    const struct event_task *t = &spec->tasks[i];
    enum status st = check_name("task", i, t->name, err);

    if (st != STATUS_OK)
        return st;
    if (t->kind == TASK_CLASS && (t->classes < 2 || t->classes > CLASSES_MAX))
        return error_set(err, STATUS_CONFIG,
                         "task %s: has %zu classes, expected 2 to %d", t->name,
                         t->classes, CLASSES_MAX);
    if (t->has_threshold && (t->kind != TASK_BINARY || !isfinite(t->threshold)))
        return error_set(err, STATUS_CONFIG,
                         "task %s: only a binary task has a threshold, and it "
                         "is finite",
                         t->name);
    if (t->kind == TASK_REGRESSION && t->teacher_output == TEACHER_PROBABILITY)
        return error_set(err, STATUS_CONFIG,
                         "task %s: a regression has no probability", t->name);
    return STATUS_OK;
}

enum status
spec_check_path(const char *what, const char *name, const char *text,
                bool may_repeat, struct json_path *out, struct error *err)
{
    struct error why;

    if (json_path_parse(out, text, &why) != STATUS_OK)
        return error_set(err, STATUS_CONFIG, "%s%s%s: %s", what,
                         name[0] != '\0' ? " " : "", name, why.text);
    for (size_t i = 0; i < out->count; i++) {
        if (out->steps[i].kind == JSON_STEP_EACH && !may_repeat)
            return error_set(err, STATUS_CONFIG,
                             "%s%s%s: path \"%s\": [] is for bags only", what,
                             name[0] != '\0' ? " " : "", name, text);
    }
    return STATUS_OK;
}
