/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The teachers that compute nothing: no teacher at all, and one whose answers
 * the decoder found in the event already.
 */
#include "stages/annotate/teacher.h"
#include "stages/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct teacher {
    const char *version;
};

static enum status
open_teacher(struct teacher **out, struct pipeline *p, struct error *err)
{
    struct teacher *t = calloc(1, sizeof(*t));

    if (t == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a teacher");
    t->version = p->settings->teacher_version;
    *out = t;
    return STATUS_OK;
}

static void
answer_nothing(struct teacher *t, struct batch *b)
{
    (void)t;
    for (size_t i = 0; i < b->columns->task_count; i++)
        memset(b->columns->tasks[i].has_teacher, 0, b->columns->row_count);
}

static void
answer_from_event(struct teacher *t, struct batch *b)
{
    (void)snprintf(b->teacher_version, sizeof(b->teacher_version), "%s",
                   t->version);
}

static void
free_teacher(struct teacher **self)
{
    free(*self);
    *self = NULL;
}

const struct teacher_ops teacher_none = {
    .name = "none",
    .open = open_teacher,
    .answer = answer_nothing,
    .free = free_teacher,
};

const struct teacher_ops teacher_field = {
    .name = "field",
    .open = open_teacher,
    .answer = answer_from_event,
    .free = free_teacher,
};
