/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the teacher is asked about beside each event, and instead of it.
 */
#include "stages/settings_check_priv.h"

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

void
check_budget(struct check *c)
{
    check_recombine(c);
}
