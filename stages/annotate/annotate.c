/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches to the teacher and back. A teacher without a thread answers at once
 * on the loop; for one with a thread the order is kept by the worker's rings.
 */
#include "stages/annotate/annotate.h"

#include "stages/annotate/teacher.h"
#include "stages/settings.h"

#include "daemon/base/clock.h"
#include "daemon/base/object.h"
#include "daemon/io/worker.h"

#include <stdlib.h>
#include <string.h>

#define ANNOTATE_MAGIC 0x414e4e4fu

struct annotate {
    struct stage stage;
    unsigned magic;
    const struct teacher_ops *ops;
    struct teacher *teacher;
    struct worker *worker;   /* NULL: the teacher needs none */
    struct batch **answered; /* (slots) not taken by the next stage yet */
    size_t answered_count;
    size_t slots;
    struct error finish_error; /* the thread's, read after it stopped */
    bool is_stopping;
    bool has_worker_stopped;
    bool has_failed; /* no answer is handed on any more */
};

static const struct teacher_ops *const kinds[] = {
    [TEACHER_KIND_CHECKPOINT] = &teacher_checkpoint,
    [TEACHER_KIND_FIELD] = &teacher_field,
    [TEACHER_KIND_NONE] = &teacher_none,
};

static void
finish_when_empty(struct annotate *a)
{
    if (!a->has_worker_stopped || a->answered_count > 0 || !a->is_stopping ||
        a->stage.is_stopped)
        return;
    if (a->finish_error.status != STATUS_OK)
        stage_failed(&a->stage, &a->finish_error);
    stage_stopped(&a->stage);
}

/* Hands on what is answered, oldest first. */
static void
push_answered(struct annotate *a)
{
    bool has_room = false;

    while (a->answered_count > 0) {
        void *parcel = a->answered[0];

        /* The push may bring more room, and so come back here. */
        a->answered_count--;
        memmove(a->answered, a->answered + 1,
                a->answered_count * sizeof(a->answered[0]));
        if (stage_push(&a->stage, &parcel) != STATUS_OK) {
            memmove(a->answered + 1, a->answered,
                    a->answered_count * sizeof(a->answered[0]));
            a->answered[0] = parcel;
            a->answered_count++;
            break;
        }
        has_room = true;
    }
    if (has_room && !a->is_stopping)
        stage_has_room(&a->stage);
    finish_when_empty(a);
}

static void
take_answer(struct annotate *a, struct batch *b)
{
    struct role_stats *stats = &a->stage.pipeline->stats;

    if (b->columns->row_count > 0)
        histogram_add(b->error.status == STATUS_OK ? &stats->work
                                                   : &stats->work_failed,
                      (double)b->work_ns / 1e9);
    /* Behind a failure nothing is handed on: the labels would have a gap. */
    if (a->has_failed || b->error.status != STATUS_OK) {
        struct error err = b->error;

        batch_release(&b);
        if (!a->has_failed) {
            a->has_failed = true;
            atomic_store(&a->stage.pipeline->writes_failed, true);
            stage_failed(&a->stage, &err);
        }
        return;
    }
    assert(a->answered_count < a->slots);
    a->answered[a->answered_count++] = b;
}

/* Thread: the teacher's, where it has one. */
static void
answer_batch(struct annotate *a, struct batch *b)
{
    uint64_t started_ns = clock_now_ns();

    a->ops->answer(a->teacher, b);
    b->work_ns = clock_now_ns() - started_ns;
}

static void
on_answered(void *ctx, void *item)
{
    struct annotate *a = ctx;

    take_answer(a, item);
    push_answered(a);
}

static void
on_batch(void *ctx, void *item)
{
    struct annotate *a = ctx;

    answer_batch(a, item);
}

static bool
on_idle(void *ctx)
{
    struct annotate *a = ctx;

    return a->ops->idle != NULL && a->ops->idle(a->teacher);
}

static void
on_finish(void *ctx)
{
    struct annotate *a = ctx;

    if (a->ops->finish != NULL)
        a->ops->finish(a->teacher, &a->finish_error);
}

static void
on_worker_stopped(void *ctx)
{
    struct annotate *a = ctx;

    a->has_worker_stopped = true;
    finish_when_empty(a);
}

static enum status
offer_annotate(struct stage *s, void **parcel)
{
    struct annotate *a = (struct annotate *)s;
    struct batch *b;
    enum status st;

    OBJ_CHECK(a, ANNOTATE_MAGIC);
    if (a->answered_count == a->slots)
        return STATUS_AGAIN;
    if (a->worker != NULL) {
        st = worker_offer(a->worker, parcel);
        return st;
    }
    OBJ_TAKE(b, (struct batch **)parcel, BATCH_MAGIC);
    answer_batch(a, b);
    take_answer(a, b);
    push_answered(a);
    return STATUS_OK;
}

static void
resume_annotate(struct stage *s)
{
    struct annotate *a = (struct annotate *)s;

    OBJ_CHECK(a, ANNOTATE_MAGIC);
    push_answered(a);
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
    if (a->worker != NULL)
        worker_stop(a->worker);
    else
        a->has_worker_stopped = true;
    finish_when_empty(a);
}

static void
free_annotate(struct stage **self)
{
    struct annotate *a = (struct annotate *)*self;

    OBJ_CHECK(a, ANNOTATE_MAGIC);
    *self = NULL;
    worker_free(&a->worker);
    if (a->ops != NULL)
        a->ops->free(&a->teacher);
    for (size_t i = 0; i < a->answered_count; i++)
        batch_release(&a->answered[i]);
    free(a->answered);
    a->magic = 0;
    free(a);
}

static enum status
open_annotate(struct stage **out, struct pipeline *p, struct error *err)
{
    struct annotate *a = calloc(1, sizeof(*a));
    struct stage *s;
    enum status st;

    if (a == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a stage");
    s = &a->stage;
    a->magic = ANNOTATE_MAGIC;
    a->stage.pipeline = p;
    a->ops = kinds[p->settings->teacher_kind];
    a->slots = p->settings->pipeline_batches; /* more can never be here */
    a->answered = calloc(a->slots, sizeof(struct batch *));
    if (a->answered == NULL)
        st = error_set(err, STATUS_NOMEM, "no memory for a stage");
    else
        st = a->ops->open(&a->teacher, p, err);
    if (st == STATUS_OK && a->ops->has_thread) {
        struct worker_spec worker = {
            .name = "teacher",
            .slots = a->slots,
            .ctx = a,
            .work = on_batch,
            .done = on_answered,
            .idle = on_idle,
            .finish = on_finish,
            .stopped = on_worker_stopped,
        };

        st = worker_new(&a->worker, p->loop, &worker, err);
    }
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
    .free = free_annotate,
};
