/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches wait in a ring, oldest first, while the teachers answer in any order:
 *
 *   [ heard, no room behind | under way | heard | under way ... ]
 *     handed on from the left
 */
#include "stages/annotate/annotate.h"

#include "stages/annotate/panel.h"
#include "stages/annotate/recombine.h"
#include "stages/annotate/sample.h"
#include "stages/settings.h"
#include "stages/shape.h"

#include "daemon/base/object.h"

#include <stdlib.h>

#define ANNOTATE_MAGIC 0x414e4e4fu

/* A batch between the stage before and the one behind. */
struct turn {
    struct annotate *annotate;
    struct batch *batch;
    struct hearing hearing;
    bool is_heard;
};

struct annotate {
    struct stage stage;
    unsigned magic;
    struct panel *panel;
    struct sampler *sampler;       /* NULL: all events are asked about */
    struct recombiner *recombiner; /* NULL: no event is imagined */
    struct turn *turns;            /* a ring of (slots) */
    size_t slots;
    size_t head;
    size_t count;
    bool is_pushing;
    bool must_push;
    bool is_stopping;
    bool has_panel_stopped;
    bool has_failed; /* no answer is handed on any more */
};

static const struct teacher_ops *const kinds[] = {
    [TEACHER_KIND_CHECKPOINT] = &teacher_checkpoint,
    [TEACHER_KIND_FIELD] = &teacher_field,
    [TEACHER_KIND_HTTP] = &teacher_http,
    [TEACHER_KIND_NONE] = &teacher_none,
};

/* Behind a failure nothing is handed on: the labels would have a gap. */
static void
fail(struct annotate *a, const struct error *err)
{
    if (a->has_failed)
        return;
    a->has_failed = true;
    atomic_store(&a->stage.pipeline->writes_failed, true);
    stage_failed(&a->stage, err);
}

/* Takes the oldest batch out when it was heard; NULL: it has to wait. */
static struct batch *
take_heard(struct annotate *a)
{
    struct turn *t = &a->turns[a->head];
    struct batch *b = t->batch;

    if (a->count == 0 || !t->is_heard)
        return NULL;
    t->batch = NULL;
    a->head = (a->head + 1) % a->slots;
    a->count--;
    return b;
}

static void
put_back(struct annotate *a, struct batch *b)
{
    a->head = (a->head + a->slots - 1) % a->slots;
    a->count++;
    a->turns[a->head].batch = b;
}

/* Hands on what was heard, oldest first. True: something was. */
static bool
push_heard(struct annotate *a)
{
    bool has_moved = false;
    struct batch *b;

    while ((b = take_heard(a)) != NULL) {
        void *parcel = b;

        if (a->has_failed) {
            batch_release(&b);
        } else if (stage_push(&a->stage, &parcel) != STATUS_OK) {
            put_back(a, b);
            break;
        }
        has_moved = true;
    }
    return has_moved;
}

/* A push may bring more room, and so another batch and its answer, from inside
 * the call. */
static void
go_on(struct annotate *a)
{
    a->must_push = true;
    if (a->is_pushing)
        return;
    a->is_pushing = true;
    while (a->must_push) {
        a->must_push = false;
        if (push_heard(a) && !a->is_stopping)
            stage_has_room(&a->stage);
    }
    a->is_pushing = false;
    if (a->has_panel_stopped && a->count == 0 && !a->stage.is_stopped)
        stage_stopped(&a->stage);
}

static void
on_heard(void *ctx, struct hearing *h)
{
    struct annotate *a = ctx;
    struct turn *t =
        (struct turn *)((char *)h - offsetof(struct turn, hearing));
    struct role_stats *stats = &a->stage.pipeline->stats;
    bool is_over = t->batch->epoch != a->stage.pipeline->epoch;

    t->is_heard = true;
    if (t->batch->columns->row_count > 0)
        histogram_add(h->error.status == STATUS_OK ? &stats->work
                                                   : &stats->work_failed,
                      (double)t->batch->work_ns / 1e9);
    if (h->error.status != STATUS_OK && !is_over)
        fail(a, &h->error);
    go_on(a);
}

static void
on_panel_stopped(void *ctx, const struct error *err)
{
    struct annotate *a = ctx;

    a->has_panel_stopped = true;
    if (err->status != STATUS_OK)
        stage_failed(&a->stage, err);
    go_on(a);
}

/* Asks about a batch, of which it is known by now which events to. */
static void
hear(struct annotate *a, struct turn *t)
{
    struct error err;

    if (a->recombiner != NULL &&
        recombine(a->recombiner, t->batch, &err) != STATUS_OK)
        fail(a, &err);
    panel_hear(a->panel, &t->hearing, t->batch);
}

static void
on_chosen(void *ctx, struct batch *b)
{
    struct annotate *a = ctx;

    for (size_t i = 0; i < a->count; i++) {
        struct turn *t = &a->turns[(a->head + i) % a->slots];

        if (t->batch == b) {
            hear(a, t);
            return;
        }
    }
    assert(false);
}

static void
on_sampler_stopped(void *ctx)
{
    struct annotate *a = ctx;

    panel_stop(a->panel);
}

static enum status
offer_annotate(struct stage *s, void **parcel)
{
    struct annotate *a = (struct annotate *)s;
    struct turn *t;

    OBJ_CHECK(a, ANNOTATE_MAGIC);
    if (a->count == a->slots)
        return STATUS_AGAIN;
    t = &a->turns[(a->head + a->count) % a->slots];
    OBJ_TAKE(t->batch, (struct batch **)parcel, BATCH_MAGIC);
    t->is_heard = false;
    a->count++;
    if (a->sampler != NULL)
        sampler_take(a->sampler, t->batch);
    else
        hear(a, t);
    return STATUS_OK;
}

static void
resume_annotate(struct stage *s)
{
    struct annotate *a = (struct annotate *)s;

    OBJ_CHECK(a, ANNOTATE_MAGIC);
    go_on(a);
    if (!a->is_stopping)
        stage_has_room(s);
}

static void
stop_annotate(struct stage *s)
{
    struct annotate *a = (struct annotate *)s;

    OBJ_CHECK(a, ANNOTATE_MAGIC);
    if (a->is_stopping)
        return;
    a->is_stopping = true;
    if (a->sampler != NULL)
        sampler_stop(a->sampler);
    else
        panel_stop(a->panel);
}

static void
report_annotate(const struct stage *s, struct role_report *r)
{
    const struct annotate *a = (const struct annotate *)s;

    OBJ_CHECK(a, ANNOTATE_MAGIC);
    panel_report(a->panel, r);
}

static void
refresh_annotate(struct stage *s)
{
    struct annotate *a = (struct annotate *)s;

    OBJ_CHECK(a, ANNOTATE_MAGIC);
    panel_refresh(a->panel);
}

static void
free_annotate(struct stage **self)
{
    struct annotate *a = (struct annotate *)*self;

    OBJ_CHECK(a, ANNOTATE_MAGIC);
    *self = NULL;
    for (size_t i = 0; a->turns != NULL && i < a->slots; i++) {
        batch_release(&a->turns[i].batch);
        panel_hearing_fini(a->panel, &a->turns[i].hearing);
    }
    panel_free(&a->panel);
    sampler_free(&a->sampler);
    recombiner_free(&a->recombiner);
    free(a->turns);
    a->magic = 0;
    free(a);
}

static enum status
open_annotate(struct stage **out, struct pipeline *p, struct error *err)
{
    struct annotate *a = calloc(1, sizeof(*a));
    struct panel_spec panel = {
        .hearings_max = p->settings->pipeline_batches,
        .kinds = p->teacher_kinds != NULL ? p->teacher_kinds : kinds,
        .on_heard = on_heard,
        .on_stopped = on_panel_stopped,
        .ctx = a,
    };
    struct sampler_spec sampler = {
        .on_chosen = on_chosen,
        .on_stopped = on_sampler_stopped,
        .ctx = a,
    };
    struct stage *s;
    enum status st = STATUS_OK;

    if (a == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a stage");
    s = &a->stage;
    a->magic = ANNOTATE_MAGIC;
    a->stage.pipeline = p;
    a->slots = p->settings->pipeline_batches; /* more can never be here */
    a->turns = calloc(a->slots, sizeof(a->turns[0]));
    if (a->turns == NULL)
        st = error_set(err, STATUS_NOMEM, "no memory for a stage");
    if (st == STATUS_OK && p->settings->teacher_recombine > 0)
        st = recombiner_new(&a->recombiner, event_shape_spec(p->events),
                            p->settings->teacher_batch,
                            p->settings->teacher_recombine,
                            p->settings->teacher_seed, err);
    if (st == STATUS_OK)
        st = panel_open(&a->panel, p, &panel, err);
    if (st == STATUS_OK && p->settings->teacher_sample_by != SAMPLE_BY_NONE)
        st = sampler_open(&a->sampler, p, &sampler, err);
    for (size_t i = 0; i < a->slots && st == STATUS_OK; i++)
        st = panel_hearing_init(a->panel, &a->turns[i].hearing,
                                settings_teacher_rows(p->settings), err);
    if (st != STATUS_OK) {
        free_annotate(&s);
        return st;
    }
    *out = s;
    return STATUS_OK;
}

const struct stage_ops annotate_stage = {
    .name = "annotate",
    .takes = PARCEL_BATCH,
    .gives = PARCEL_BATCH,
    .open = open_annotate,
    .offer = offer_annotate,
    .resume = resume_annotate,
    .stop = stop_annotate,
    .report = report_annotate,
    .refresh = refresh_annotate,
    .free = free_annotate,
};
