/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of the stages, and how they are opened, stopped and linked.
 */
#include "stages/pipeline.h"

#include "stages/annotate/annotate.h"
#include "stages/consume/consume.h"
#include "stages/emit/emit.h"
#include "stages/publish/publish.h"
#include "stages/topics.h"
#include "stages/train/train.h"

#include "daemon/base/logging.h"
#include "daemon/io/calls.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#define ROLE_STAGES 3

static const struct stage_ops *const roles[][ROLE_STAGES] = {
    [ROLE_ANNOTATE] =
        {
            &consume_stage,  /* records of the events log -> events   */
            &annotate_stage, /* events + teacher          -> labeled */
            &emit_stage,     /* labeled                  -> labels log */
        },
    [ROLE_TRAIN] =
        {
            &consume_stage, /* records of the labels log -> examples   */
            &train_stage,   /* examples                  -> checkpoint */
            &publish_stage, /* checkpoint                -> registries */
        },
};

/* A half-written or wrongly wired stage fails at the first start. */
static void
check_role(const struct stage_ops *const *ops)
{
    for (size_t i = 0; i < ROLE_STAGES; i++) {
        bool is_first = i == 0;
        bool is_last = i == ROLE_STAGES - 1;

        assert(ops[i]->open != NULL && ops[i]->stop != NULL);
        assert(ops[i]->free != NULL && ops[i]->name != NULL);
        assert(is_first == (ops[i]->takes == PARCEL_NONE));
        assert(is_first || ops[i]->offer != NULL);
        assert(is_last == (ops[i]->gives == PARCEL_NONE));
        assert(is_last || ops[i]->resume != NULL);
        assert(is_first || ops[i]->takes == ops[i - 1]->gives);
    }
}

/* What a role needs that has a log in Kafka. */
static enum status
open_topics(struct pipeline *p, struct error *err)
{
    enum status st = STATUS_OK;

    if (topics_are_needed(p->settings, p->role))
        st = calls_new(&p->calls, p->loop, err);
    if (st == STATUS_OK && p->calls != NULL)
        st = topics_new(&p->topics, p, err);
    return st;
}

enum status
pipeline_open(struct pipeline *p, struct error *err)
{
    const struct stage_ops *const *ops = roles[p->role];
    enum status st;

    check_role(ops);
    error_clear(&p->error);
    role_stats_init(&p->stats);
    p->stage_count = ROLE_STAGES;
    st = open_topics(p, err);
    if (st != STATUS_OK) {
        pipeline_free(p);
        return st;
    }
    for (size_t i = ROLE_STAGES; i-- > 0;) {
        st = ops[i]->open(&p->stages[i], p, err);
        if (st != STATUS_OK) {
            p->is_interrupted = true; /* what is open has seen no end */
            pipeline_free(p);
            return st;
        }
        p->stages[i]->ops = ops[i];
        p->stages[i]->pipeline = p;
        p->stages[i]->is_stopped = false;
    }
    for (size_t i = 0; i < ROLE_STAGES; i++) {
        p->stages[i]->previous = i > 0 ? p->stages[i - 1] : NULL;
        p->stages[i]->next = i + 1 < ROLE_STAGES ? p->stages[i + 1] : NULL;
    }
    return STATUS_OK;
}

void
pipeline_start(struct pipeline *p)
{
    for (size_t i = p->stage_count; i-- > 0;) {
        if (p->stages[i]->ops->start != NULL)
            p->stages[i]->ops->start(p->stages[i]);
    }
}

void
pipeline_wake(struct pipeline *p)
{
    if (p->stage_count > 0 && !p->stages[0]->is_stopped)
        p->stages[0]->ops->resume(p->stages[0]);
}

void
pipeline_fence(struct pipeline *p)
{
    struct stage *sink = p->stages[p->stage_count - 1];

    sink->ops->fence(sink);
}

bool
pipeline_learns_by_hand(const struct pipeline *p)
{
    return p->role == ROLE_ANNOTATE && p->settings->teacher_learn &&
           p->settings->events_log == LOG_KIND_KAFKA;
}

bool
pipeline_is_labeled(const struct pipeline *p, int32_t partition, int64_t offset)
{
    return partition < SOURCES_MAX && offset < p->labeled[partition];
}

void
pipeline_pause(struct pipeline *p)
{
    p->is_paused = true;
}

void
pipeline_resume(struct pipeline *p)
{
    p->is_paused = false;
    if (!p->is_stopping)
        pipeline_wake(p);
}

bool
pipeline_checkpoint(struct pipeline *p)
{
    bool keeps_any = false;

    for (size_t i = 0; i < p->stage_count; i++) {
        if (p->stages[i]->ops->checkpoint == NULL)
            continue;
        keeps_any = true;
        if (!p->stages[i]->is_stopped)
            p->stages[i]->ops->checkpoint(p->stages[i]);
    }
    return keeps_any;
}

void
pipeline_refresh(struct pipeline *p)
{
    for (size_t i = 0; i < p->stage_count; i++) {
        if (p->stages[i]->ops->refresh != NULL && !p->stages[i]->is_stopped)
            p->stages[i]->ops->refresh(p->stages[i]);
    }
}

void
pipeline_report(const struct pipeline *p, struct role_report *r)
{
    struct batch_pool_report pool;

    r->partition_count = 0;
    memset((char *)r + offsetof(struct role_report, partition_count), 0,
           sizeof(*r) - offsetof(struct role_report, partition_count));
    if (p->pool != NULL) {
        batch_pool_report(p->pool, &pool);
        r->in_flight_batches = pool.batches;
        r->in_flight_records = pool.records;
        r->oldest_seconds = pool.oldest_seconds;
    }
    for (size_t i = 0; i < p->stage_count; i++) {
        if (p->stages[i]->ops->report != NULL)
            p->stages[i]->ops->report(p->stages[i], r);
    }
}

void
pipeline_settled(struct pipeline *p, const struct batch *b)
{
    if (!p->stages[0]->is_stopped)
        p->stages[0]->ops->settled(p->stages[0], b);
}

void
pipeline_restart(struct pipeline *p)
{
    if (!p->stages[0]->is_stopped)
        p->stages[0]->ops->restart(p->stages[0]);
}

void
pipeline_stop(struct pipeline *p)
{
    if (p->is_stopping)
        return;
    p->is_stopping = true;
    p->stages[0]->ops->stop(p->stages[0]);
}

void
pipeline_free(struct pipeline *p)
{
    calls_free(&p->calls); /* first: it may still have what is a stage's */
    for (size_t i = 0; i < p->stage_count; i++) {
        if (p->stages[i] != NULL)
            p->stages[i]->ops->free(&p->stages[i]);
    }
    p->stage_count = 0;
    topics_free(&p->topics);
    batch_pool_free(&p->pool);
}

enum status
stage_push(struct stage *s, void **parcel)
{
    assert(s->next != NULL && !s->next->is_stopped);
    return s->next->ops->offer(s->next, parcel);
}

void
stage_has_room(struct stage *s)
{
    if (s->previous != NULL && !s->previous->is_stopped)
        s->previous->ops->resume(s->previous);
}

void
stage_stopped(struct stage *s)
{
    assert(!s->is_stopped);
    s->is_stopped = true;
    log_debug("stage_stopped", "stage=%s", s->ops->name);
    if (s->next != NULL)
        s->next->ops->stop(s->next);
    else
        s->pipeline->on_end(s->pipeline->ctx);
}

void
stage_failed(struct stage *s, const struct error *err)
{
    struct pipeline *p = s->pipeline;

    log_error("stage_failed", "stage=%s status=%s text=\"%s\"", s->ops->name,
              status_name(err->status), err->text);
    if (p->error.status == STATUS_OK)
        p->error = *err;
    for (size_t i = 0; i < p->stage_count; i++)
        p->stats.errors[i][err->status] += p->stages[i] == s;
    p->is_interrupted = true;
    pipeline_stop(p);
}
