/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Partitions are given and taken by the group's protocol. Taken away, they are
 * given up when everything that was handed on of them is safe and committed;
 * lost, at once, and nothing is committed.
 */
#include "stages/consume/source_kafka_priv.h"

#include "daemon/base/crash.h"
#include "daemon/base/logging.h"
#include "daemon/base/object.h"

#include <assert.h>
#include <string.h>

#define DRAIN_TICKS 10u /* longest wait before partitions are given up */

/* ---- offsets ---- */

size_t
source_list_read(const struct source *s, struct kafka_offset *out)
{
    size_t count = 0;

    for (size_t i = 0; i < s->part_count; i++) {
        if (s->parts[i].is_read)
            out[count++] = (struct kafka_offset){(int32_t)i, s->parts[i].next};
    }
    return count;
}

void
source_seek(struct source *s)
{
    struct error err;
    size_t count = source_list_read(s, s->offsets);

    s->has_record = false;
    source_expect(s, kafka_consumer_seek(s->consumer, s->offsets, count, &err),
                  &err);
}

static void
forget_parts(struct source *s)
{
    memset(s->parts, 0, sizeof(s->parts));
    s->part_count = 0;
    s->has_record = false;
}

void
source_begin_epoch(struct source *s)
{
    s->pipeline->epoch++;
    s->has_record = false;
    consume_drop(s->consume);
    for (size_t i = 0; i < s->part_count; i++)
        s->parts[i].next = s->parts[i].settled;
}

/* ---- committing ---- */

/* Lists what is settled and not committed, and notes it as committed. */
static size_t
list_uncommitted(struct source *s, struct kafka_offset *out)
{
    size_t count = 0;

    if (!s->has_group || s->commits_elsewhere)
        return 0;
    for (size_t i = 0; i < s->part_count; i++) {
        struct source_part *p = &s->parts[i];

        if (!p->is_read || p->settled == p->committed)
            continue;
        out[count++] = (struct kafka_offset){(int32_t)i, p->settled};
        p->committed = p->settled;
    }
    return count;
}

void
source_commit(struct source *s)
{
    struct error err;
    size_t count = list_uncommitted(s, s->offsets);

    if (count == 0)
        return;
    crash_point("source_before_commit");
    if (kafka_consumer_commit(s->consumer, s->offsets, count, s->metadata,
                              &err) != STATUS_OK)
        log_warn("commit_failed", "text=\"%s\"", err.text);
    crash_point("source_after_commit");
}

void
source_last_commit(void *ctx)
{
    struct source *s = ctx;

    s->last_status = STATUS_OK;
    if (s->last_count > 0)
        s->last_status = kafka_consumer_commit_now(
            s->consumer, s->last, s->last_count, s->metadata, &s->last_error);
    if (s->last_is_leaving)
        kafka_consumer_free(&s->consumer);
}

void
source_begin_last_commit(struct source *s)
{
    s->last_count = list_uncommitted(s, s->last);
    s->last_is_leaving = s->state == SOURCE_LEAVING;
    if (s->last_is_leaving) {
        kafka_consumer_mute(s->consumer);
        s->pipeline->member = NULL;
    }
    calls_begin(s->pipeline->calls, &s->last_commit);
}

/* ---- taking away ---- */

bool
source_is_drained(struct source *s)
{
    if (!consume_is_empty(s->consume))
        consume_cut(s->consume);
    if (!consume_is_empty(s->consume))
        return false;
    consume_drop(s->consume);
    return batch_pool_under_way(s->pipeline->pool) == 0;
}

/* Gives back what is taken away. */
static void
unassign_taken(struct source *s)
{
    struct error err;
    bool has_more = false;
    bool has_unread = false;

    source_expect(
        s, kafka_consumer_unassign(s->consumer, s->taken, s->taken_count, &err),
        &err);
    for (size_t i = 0; i < s->taken_count; i++)
        s->parts[s->taken[i].partition] = (struct source_part){0};
    for (size_t i = 0; i < s->part_count; i++) {
        has_more = has_more || s->parts[i].is_assigned;
        has_unread =
            has_unread || (s->parts[i].is_assigned && !s->parts[i].is_read);
    }
    if (!has_more)
        forget_parts(s);
    source_enter(s, has_more ? SOURCE_READING : SOURCE_JOINING);
    if (has_unread)
        source_resolve(s);
}

void
source_last_commit_done(void *ctx)
{
    struct source *s = ctx;

    if (s->last_status != STATUS_OK)
        log_warn("commit_failed", "text=\"%s\"", s->last_error.text);
    if (s->state == SOURCE_LEAVING && !s->last_is_leaving) {
        source_go_on_leaving(s); /* a stop came while it was draining */
    } else if (s->state == SOURCE_LEAVING) {
        source_enter(s, SOURCE_STOPPED);
        consume_source_stopped(s->consume);
    } else {
        assert(s->state == SOURCE_DRAINING);
        unassign_taken(s);
        pipeline_wake(s->pipeline);
    }
}

void
source_go_on_draining(struct source *s)
{
    if (s->last_commit.is_under_way)
        return;
    if (!source_is_drained(s)) {
        if (s->drain_ticks < DRAIN_TICKS)
            return;
        log_warn("partitions_given_up",
                 "batches=%zu text=\"they were asked back, and what is under "
                 "way did not end; another member will do it again\"",
                 batch_pool_under_way(s->pipeline->pool));
        source_begin_epoch(s);
    }
    source_begin_last_commit(s);
}

void
source_on_revoked(struct source *s)
{
    const struct kafka_event *e = &s->event;

    s->taken_count = 0;
    for (size_t i = 0; i < e->offset_count; i++) {
        if (e->offsets[i].partition < KAFKA_PARTITIONS_MAX)
            s->taken[s->taken_count++] = e->offsets[i];
    }
    s->revoked += e->offset_count;
    log_info("partitions_revoked", "topic=%s count=%zu", s->topic,
             s->taken_count);
    s->resolve_is_stale = s->resolve.is_under_way;
    s->drain_ticks = 0;
    source_enter(s, SOURCE_DRAINING);
    source_go_on_draining(s);
}

void
source_on_lost(struct source *s)
{
    const struct kafka_event *e = &s->event;
    struct error err;

    s->given_up += e->offset_count;
    log_warn("partitions_lost",
             "topic=%s count=%zu text=\"this member was away too long; what "
             "was under way is another's to do\"",
             s->topic, e->offset_count);
    source_begin_epoch(s);
    s->resolve_is_stale = s->resolve.is_under_way;
    source_expect(
        s,
        kafka_consumer_unassign(s->consumer, e->offsets, e->offset_count, &err),
        &err);
    forget_parts(s);
    if (s->state != SOURCE_JOINING)
        source_enter(s, SOURCE_JOINING);
}

/* ---- giving ---- */

void
source_on_assigned(struct source *s)
{
    const struct kafka_event *e = &s->event;

    s->assigned += e->offset_count;
    for (size_t i = 0; i < e->offset_count; i++) {
        size_t partition = (size_t)e->offsets[i].partition;

        if (partition >= KAFKA_PARTITIONS_MAX)
            continue;
        s->parts[partition] = (struct source_part){.is_assigned = true,
                                                   .wanted = KAFKA_OFFSET_NONE};
        if (s->part_count <= partition)
            s->part_count = partition + 1;
    }
    log_info("partitions_assigned", "topic=%s count=%zu", s->topic,
             e->offset_count);
    source_resolve(s);
}
