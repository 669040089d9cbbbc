/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The teachers that compute nothing: no teacher at all, and one whose answers
 * the decoder found in the event already.
 */
#include "stages/annotate/teacher.h"
#include "stages/settings.h"

#include <stdlib.h>
#include <string.h>

struct teacher {
    const char *version;
};

static enum status
open_teacher(struct teacher **out, struct pipeline *p,
             const struct teacher_settings *s, struct error *err)
{
    struct teacher *t = calloc(1, sizeof(*t));

    (void)p;
    if (t == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a teacher");
    t->version = s->version;
    *out = t;
    return STATUS_OK;
}

static void
answer_nothing(struct teacher *t, struct ask *ask)
{
    (void)t;
    (void)ask;
}

/* A row's answers as the decoder left them; false: it has none. */
static bool
has_answer(const struct columns *c, size_t row)
{
    for (size_t i = 0; i < c->task_count; i++) {
        if (c->tasks[i].has_teacher[row])
            return true;
    }
    return false;
}

static void
answer_from_event(struct teacher *t, struct ask *ask)
{
    const struct columns *c = ask->batch->columns;
    size_t version = 0;

    if (ask_version(ask, t->version, &version, &ask->error) != STATUS_OK)
        return;
    for (size_t row = 0; row < c->row_count; row++) {
        float *logits;

        if (!ask->wanted[row] || !has_answer(c, row))
            continue;
        logits = ask_give(ask, row, version);
        for (size_t i = 0; i < c->task_count; i++) {
            const struct outcome_column *task = &c->tasks[i];

            if (task->has_teacher[row])
                memcpy(logits, task->teacher + row * task->width,
                       task->width * sizeof(float));
            logits += task->width;
        }
    }
}

static void
free_teacher(struct teacher **self)
{
    free(*self);
    *self = NULL;
}

const struct teacher_ops teacher_none = {
    .name = "none",
    .way = TEACHER_AT_ONCE,
    .open = open_teacher,
    .answer = answer_nothing,
    .free = free_teacher,
};

const struct teacher_ops teacher_field = {
    .name = "field",
    .way = TEACHER_AT_ONCE,
    .open = open_teacher,
    .answer = answer_from_event,
    .free = free_teacher,
};
