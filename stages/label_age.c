/* SPDX-License-Identifier: Apache-2.0 */
/* Ages of labels, by who answered. */
#include "stages/label_age.h"

#include "stages/model/event_clock.h"

#include <assert.h>
#include <string.h>

/* Finds a teacher or takes note of it. */
static struct label_age *
find_teacher(struct label_ages *a, uint64_t teacher)
{
    struct label_age *found = NULL;

    for (size_t i = 0; i < a->count; i++) {
        if (a->known[i].teacher == teacher)
            return &a->known[i];
    }
    if (a->count < LABEL_AGES_MAX) {
        found = &a->known[a->count++];
    } else {
        found = &a->known[0];
        for (size_t i = 1; i < a->count; i++) {
            if (a->known[i].seen_ms < found->seen_ms)
                found = &a->known[i];
        }
    }
    *found = (struct label_age){.teacher = teacher, .first_ms = a->clock_ms};
    return found;
}

static float
weigh(const struct label_age_rule *rule, int64_t age_ms)
{
    if (age_ms > rule->max_ms)
        return 0.0F;
    if (!rule->fades)
        return 1.0F;
    return (float)(1.0 - (double)age_ms / (double)rule->max_ms);
}

static bool
has_label(const struct columns *c, size_t r)
{
    for (size_t t = 0; t < c->task_count; t++) {
        if (c->tasks[t].has_teacher[r] != 0)
            return true;
    }
    return false;
}

void
label_ages_weigh(struct label_ages *a, const struct label_age_rule *rule,
                 const struct columns *c, int64_t *scratch, float *weights)
{
    int64_t step_ms = rule->max_ms / 8 > 0 ? rule->max_ms / 8 : 1;
    struct label_age *last = NULL;

    assert(rule->max_ms > 0);
    a->clock_ms = event_clock_advance(a->clock_ms, c->time_ms, columns_real(c),
                                      scratch, step_ms);
    for (size_t r = 0; r < c->row_count; r++) {
        weights[r] = 1.0F;
        if (a->clock_ms == 0 || c->teacher_id[r] == 0 || !has_label(c, r))
            continue;
        if (last == NULL || last->teacher != c->teacher_id[r])
            last = find_teacher(a, c->teacher_id[r]);
        last->seen_ms = a->clock_ms;
        a->last_ms = a->clock_ms - last->first_ms;
        weights[r] = weigh(rule, a->last_ms);
        a->refused += r < columns_real(c) && weights[r] == 0.0F;
    }
}

void
label_ages_rewind(struct label_ages *a)
{
    uint64_t refused = a->refused;

    memset(a, 0, sizeof(*a));
    a->refused = refused;
}
