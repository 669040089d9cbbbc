/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where partitions begin. A group's commits say, in their metadata, how many
 * partitions the topic had when the group began, and which topic it was: so
 * partitions that were added later are told from those of the beginning, and a
 * topic that was made anew from the one before.
 */
#include "stages/consume/source_kafka_priv.h"
#include "stages/event/label.h"
#include "stages/settings.h"

#include "daemon/base/logging.h"
#include "daemon/base/object.h"
#include "daemon/io/kafka_tail.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS      5000
#define PARTITIONS      "partitions="
#define TOPIC_ID        " topic="
#define LABEL_BYTES_MAX ((size_t)32 << 20)

enum status
source_is_another(const char *topic, struct error *err)
{
    return error_set(err, STATUS_BADDATA,
                     "topic %s was made anew: it is not the one that was read "
                     "before. run --accept-reset begins with the new one; "
                     "raise labels.generation as well, or its events are taken "
                     "for those of the old one",
                     topic);
}

/* ---- the calls thread ---- */

/* What the metadata of the group's commits tell. */
struct group_memory {
    bool has_commits;
    size_t first_count; /* partitions at the beginning; 0: not known */
    bool is_another;    /* the commits are of another topic */
};

static void
remember(struct group_memory *m, const struct kafka_committed *c,
         const char *topic_id)
{
    const char *partitions = strstr(c->metadata, PARTITIONS);
    const char *id = strstr(c->metadata, TOPIC_ID);

    if (c->offset == KAFKA_OFFSET_NONE)
        return;
    m->has_commits = true;
    if (partitions != NULL)
        m->first_count = strtoul(partitions + sizeof(PARTITIONS) - 1, NULL, 10);
    if (id != NULL && topic_id[0] != '\0' && id[sizeof(TOPIC_ID) - 1] != '\0' &&
        strcmp(id + sizeof(TOPIC_ID) - 1, topic_id) != 0)
        m->is_another = true;
}

/* Looks at the last label of a partition. */
static enum status
check_label(struct source *s, struct kafka_tail *tail, size_t partition,
            struct bytes *last, struct error *err)
{
    char topic[LABEL_TOPIC_MAX + 1];
    int32_t source;
    int64_t offset;
    uint32_t generation;
    int64_t first = 0;
    int64_t end = 0;
    enum status st =
        kafka_tail_read(tail, (int32_t)partition, TIMEOUT_MS, last, err);

    if (st != STATUS_OK || last->used == 0 ||
        record_source(last->data, last->used, topic, &source, &offset,
                      &generation, err) != STATUS_OK ||
        strcmp(topic, s->topic) != 0 || source != (int32_t)partition)
        return st; /* no label of ours tells anything */
    st = kafka_consumer_range(s->consumer, (int32_t)partition, TIMEOUT_MS,
                              &first, &end, err);
    if (st == STATUS_OK && offset >= end)
        st = source_is_another(s->topic, err);
    return st;
}

/* A group without commits may be new, or its topic was made anew, which takes
 * the commits along: then there are labels of offsets that it does not have. */
static enum status
check_labels(struct source *s, struct error *err)
{
    const struct source_question *q = &s->question;
    struct kafka_tail *tail = NULL;
    struct bytes last;
    enum status st;

    bytes_init(&last, LABEL_BYTES_MAX);
    st = kafka_tail_open(&tail, topics_consumer_properties(s->pipeline->topics),
                         s->pipeline->settings->labels_topic, err);
    for (size_t i = 0; i < q->part_count && st == STATUS_OK; i++) {
        if (q->is_asked[i])
            st = check_label(s, tail, i, &last, err);
    }
    kafka_tail_close(&tail);
    bytes_fini(&last);
    return st;
}

static enum status
ask_group(struct source *s, struct group_memory *m, struct error *err)
{
    const struct source_question *q = &s->question;
    size_t count = (size_t)q->topic.partition_count;
    enum status st;

    *m = (struct group_memory){0};
    if (!s->has_group)
        return STATUS_OK;
    st = kafka_consumer_committed(s->consumer, count, TIMEOUT_MS, s->committed,
                                  err);
    for (size_t i = 0; i < count && st == STATUS_OK; i++)
        remember(m, &s->committed[i], q->topic.id);
    if (st == STATUS_OK && !m->has_commits && !s->pipeline->accepts_reset)
        st = check_labels(s, err);
    if (st != STATUS_OK || !m->is_another)
        return st;
    if (!s->pipeline->accepts_reset)
        return source_is_another(s->topic, err);
    log_warn("position_reset", "topic=%s text=\"it was made anew\"", s->topic);
    for (size_t i = 0; i < count; i++)
        s->committed[i].offset = KAFKA_OFFSET_NONE;
    m->has_commits = true; /* all of it counts as added later */
    m->first_count = 0;
    return STATUS_OK;
}

/* An offset that the log does not have is not passed in silence. */
static enum status
leave_log(struct source *s, size_t partition, int64_t first, int64_t end,
          struct error *err)
{
    struct source_answer *a = &s->answers[partition];
    bool was_overtaken = a->offset < first;

    if (!s->pipeline->accepts_reset)
        return error_set(
            err, STATUS_BADDATA,
            "topic %s partition %zu: offset %" PRId64 " is not in the log, "
            "which has %" PRId64 " to %" PRId64 ": %s. run --accept-reset goes "
            "on at its beginning",
            s->topic, partition, a->offset, first, end,
            was_overtaken ? "retention took records before they were read"
                          : "the topic was made anew or cut");
    a->lost = was_overtaken ? first - a->offset : 0;
    log_warn("position_reset",
             "topic=%s partition=%zu from=%" PRId64 " to=%" PRId64
             " lost=%" PRId64,
             s->topic, partition, a->offset, first, a->lost);
    a->offset = first;
    a->is_committed = false;
    return STATUS_OK;
}

/*
 * What a group has committed has labels, by the same transactions. The state of
 * a teacher that learns is never ahead of them: it goes on at wanted, and what
 * comes again has its label already.
 */
static enum status
answer_by_hand(struct source *s, size_t partition, struct error *err)
{
    struct source_answer *a = &s->answers[partition];
    int64_t committed = s->committed[partition].offset;
    const struct settings *settings = s->pipeline->settings;

    a->labeled = committed == KAFKA_OFFSET_NONE ? 0 : committed;
    if (a->offset <= a->labeled)
        return STATUS_OK;
    return error_set(
        err, STATUS_BADDATA,
        "topic %s partition %zu: the teacher's checkpoint in %s has learned up "
        "to offset %" PRId64 ", but group %s has committed %" PRId64
        ": its offsets were reset. Restore them, or begin anew with another "
        "teacher.checkpoint.path, events.group and labels.generation",
        s->topic, partition, settings->teacher_checkpoint_path, a->offset,
        settings->events_group, a->labeled);
}

static enum status
answer_partition(struct source *s, const struct group_memory *m,
                 size_t partition, struct error *err)
{
    struct source_answer *a = &s->answers[partition];
    bool is_added = m->has_commits && partition >= m->first_count;
    bool is_latest = s->has_group && !is_added &&
                     s->pipeline->settings->events_start == LOG_START_LATEST;
    int64_t first = 0;
    int64_t end = 0;
    enum status st = kafka_consumer_range(s->consumer, (int32_t)partition,
                                          TIMEOUT_MS, &first, &end, err);

    if (st != STATUS_OK)
        return st;
    *a = (struct source_answer){.offset = s->question.wanted[partition]};
    if (s->has_group && s->is_by_hand)
        st = answer_by_hand(s, partition, err);
    if (st != STATUS_OK)
        return st;
    if (a->offset == KAFKA_OFFSET_NONE && s->has_group && !s->is_by_hand) {
        a->offset = s->committed[partition].offset;
        a->is_committed = a->offset != KAFKA_OFFSET_NONE;
    }
    if (a->offset == KAFKA_OFFSET_NONE)
        a->offset = is_latest && a->labeled == 0 ? end : first;
    if (a->offset < first || a->offset > end)
        st = leave_log(s, partition, first, end, err);
    return st;
}

void
source_answer_question(void *ctx)
{
    struct source *s = ctx;
    const struct source_question *q = &s->question;
    struct group_memory memory;
    enum status st = ask_group(s, &memory, &s->answer_error);

    s->first_count = memory.first_count > 0 ? memory.first_count
                                            : (size_t)q->topic.partition_count;
    for (size_t i = 0; i < q->part_count && st == STATUS_OK; i++) {
        if (q->is_asked[i])
            st = answer_partition(s, &memory, i, &s->answer_error);
    }
    s->answer_status = st;
}

/* ---- the loop ---- */

/* Partitions that the labels topic lacks are not read until it has them. */
static bool
is_surplus(const struct source *s, size_t partition)
{
    return s->pipeline->role == ROLE_ANNOTATE &&
           (int32_t)partition >=
               topics_labels(s->pipeline->topics)->partition_count;
}

void
source_resolve(struct source *s)
{
    struct source_question *q = &s->question;

    source_enter(s, SOURCE_RESOLVING);
    s->must_resolve = false;
    if (s->resolve.is_under_way) {
        s->resolve_is_stale = true; /* begun again when it ends */
        return;
    }
    q->part_count = s->part_count;
    q->topic = s->known;
    for (size_t i = 0; i < s->part_count; i++) {
        const struct source_part *p = &s->parts[i];

        q->is_asked[i] = p->is_assigned && !p->is_read && !is_surplus(s, i);
        q->wanted[i] = p->wanted;
    }
    calls_begin(s->pipeline->calls, &s->resolve);
}

/* What the client has already cannot be added to it. */
static void
unfetch_asked(struct source *s)
{
    struct error err;
    size_t count = 0;

    for (size_t i = 0; i < s->part_count; i++) {
        if (s->question.is_asked[i] && s->parts[i].is_fetched)
            s->offsets[count++] =
                (struct kafka_offset){(int32_t)i, KAFKA_OFFSET_NONE};
    }
    if (count > 0)
        source_expect(
            s, kafka_consumer_unassign(s->consumer, s->offsets, count, &err),
            &err);
}

/* Begins to read the partitions that were asked about. */
static void
take_answers(struct source *s)
{
    bool is_cooperative = kafka_consumer_is_cooperative(s->consumer);
    struct error err;
    size_t count = 0;

    if (is_cooperative)
        unfetch_asked(s);
    for (size_t i = 0; i < s->part_count; i++) {
        struct source_part *p = &s->parts[i];
        const struct source_answer *a = &s->answers[i];

        if (p->is_assigned && !p->is_read && s->question.is_asked[i]) {
            p->is_read = true;
            p->is_fetched = true;
            p->wanted = KAFKA_OFFSET_NONE;
            p->next = a->offset;
            p->settled = a->offset;
            p->committed = a->is_committed ? a->offset : KAFKA_OFFSET_NONE;
            s->lost += (uint64_t)a->lost;
            if (s->is_by_hand)
                s->pipeline->labeled[i] = a->labeled;
        } else if (is_cooperative || !p->is_read) {
            continue;
        }
        s->offsets[count++] = (struct kafka_offset){(int32_t)i, p->next};
    }
    if (!is_cooperative)
        s->has_record = false; /* everything is fetched anew */
    source_expect(
        s, kafka_consumer_assign(s->consumer, s->offsets, count, &err), &err);
    if (s->is_paused)
        source_expect(
            s, kafka_consumer_pause(s->consumer, s->offsets, count, true, &err),
            &err);
}

void
source_on_resolved(void *ctx)
{
    struct source *s = ctx;

    if (s->state == SOURCE_LEAVING) {
        source_go_on_leaving(s);
        return;
    }
    if (s->resolve_is_stale) {
        s->resolve_is_stale = false;
        if (s->state == SOURCE_RESOLVING)
            source_resolve(s);
        return;
    }
    if (s->answer_status != STATUS_OK) {
        if (status_class(s->answer_status) != CLASS_RETRY)
            source_fail(s, &s->answer_error);
        s->must_resolve = true; /* at the next tick */
        return;
    }
    (void)snprintf(s->metadata, sizeof(s->metadata),
                   PARTITIONS "%zu" TOPIC_ID "%s", s->first_count, s->known.id);
    take_answers(s);
    source_enter(s, SOURCE_READING);
    source_commit(s); /* where a group begins is committed at once */
    pipeline_wake(s->pipeline);
}

void
source_lose_position(struct source *s, int32_t partition)
{
    struct source_part *p;

    if ((size_t)partition >= s->part_count)
        return;
    p = &s->parts[partition];
    if (!p->is_read)
        return;
    p->is_read = false;
    p->wanted = p->next;
    if (s->state == SOURCE_READING || s->state == SOURCE_RESOLVING)
        source_resolve(s);
}
