/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of a topic, one after the other, and what else its consumer tells.
 */
#include "stages/consume/source_kafka_priv.h"
#include "stages/event/headers.h"
#include "stages/settings.h"

#include "daemon/base/clock.h"
#include "daemon/base/logging.h"
#include "daemon/base/object.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PULL_MAX     512u  /* records in a row; then the loop turns once */
#define TICK_MS      1000u /* membership, commits, stalls */
#define TROUBLE_SECS 10

static const char *const state_names[] = {
#define STATE(name) #name,
    SOURCE_STATES(STATE)
#undef STATE
};

#define BIT(state) (1u << (state))

/* From each state, where to. */
static const unsigned allowed[] = {
    [SOURCE_CONNECTING] =
        BIT(SOURCE_JOINING) | BIT(SOURCE_RESOLVING) | BIT(SOURCE_LEAVING),
    [SOURCE_JOINING] =
        BIT(SOURCE_RESOLVING) | BIT(SOURCE_DRAINING) | BIT(SOURCE_LEAVING),
    [SOURCE_RESOLVING] = BIT(SOURCE_RESOLVING) | BIT(SOURCE_READING) |
                         BIT(SOURCE_DRAINING) | BIT(SOURCE_JOINING) |
                         BIT(SOURCE_LEAVING),
    [SOURCE_READING] = BIT(SOURCE_RESOLVING) | BIT(SOURCE_RETURNING) |
                       BIT(SOURCE_DRAINING) | BIT(SOURCE_JOINING) |
                       BIT(SOURCE_LEAVING),
    [SOURCE_RETURNING] =
        BIT(SOURCE_RESOLVING) | BIT(SOURCE_READING) | BIT(SOURCE_LEAVING),
    [SOURCE_DRAINING] =
        BIT(SOURCE_JOINING) | BIT(SOURCE_READING) | BIT(SOURCE_LEAVING),
    [SOURCE_LEAVING] = BIT(SOURCE_STOPPED),
    [SOURCE_STOPPED] = 0,
};

/* The only place that writes s->state. */
void
source_enter(struct source *s, enum source_state next)
{
    assert((allowed[s->state] & BIT(next)) != 0);
    log_debug("source_state", "from=%s to=%s", state_names[s->state],
              state_names[next]);
    s->state = next;
}

void
source_fail(struct source *s, const struct error *err)
{
    if (s->has_failed)
        return;
    s->has_failed = true;
    consume_fail(s->consume, err);
}

void
source_expect(struct source *s, enum status st, const struct error *err)
{
    if (st != STATUS_OK)
        source_fail(s, err);
}

/* ---- records ---- */

/* Finds the event in the record; what has none becomes a dead letter. */
static void
open_record(struct source *s, struct incoming *in, struct error *reason)
{
    struct record *r = &s->event.record;
    struct envelope *e = &s->envelope;
    enum status st = STATUS_OK;

    /* A label's headers are for others, but for the time of a CloudEvent. */
    if (s->reads_events || s->format == EVENT_FORMAT_CLOUDEVENTS)
        st = kafka_consumer_headers(s->consumer, s->headers, &r->header_count,
                                    reason);
    r->headers = s->headers;
    *in = (struct incoming){
        .record = *r, .event = r->value, .event_bytes = r->value_bytes};
    if (st == STATUS_OK && !s->reads_events &&
        s->format == EVENT_FORMAT_CLOUDEVENTS) {
        e->id[0] = '\0';
        e->time_ms = headers_event_time(r->headers, r->header_count);
        in->envelope = e;
    } else if (st == STATUS_OK && s->reads_events &&
               s->format != EVENT_FORMAT_JSON) {
        st = envelope_open(s->format, r->value, r->value_bytes, r->headers,
                           r->header_count, e, reason);
        in->event = e->event;
        in->event_bytes = e->event_bytes;
        in->envelope = s->format == EVENT_FORMAT_CLOUDEVENTS ? e : NULL;
    } else if (st == STATUS_OK && r->value == NULL) {
        st = error_set(reason, STATUS_MALFORMED,
                       "no value, expected a JSON object");
    }
    if (st == STATUS_OK)
        return;
    in->event = NULL;
    in->reason = reason;
}

/* Hands the held record on. False: there is no room. */
static bool
hand_on(struct source *s)
{
    const struct record *r = &s->event.record;
    struct source_part *p = &s->parts[r->partition];
    struct incoming in;
    struct error reason;

    if (!p->is_read || r->offset < p->next) {
        s->has_record = false; /* fetched for an earlier assignment */
        return true;
    }
    if (!consume_has_room(s->consume))
        return false;
    open_record(s, &in, &reason);
    s->has_record = false;
    p->next = r->offset + 1;
    s->pipeline->counts.bytes_read += r->value_bytes;
    if (consume_take(s->consume, &in))
        consume_cut(s->consume);
    return true;
}

/* The log has no record between next and here: control records, or what
 * compaction removed. */
static void
on_end(struct source *s)
{
    struct source_part *p;

    if ((size_t)s->event.partition >= s->part_count)
        return;
    p = &s->parts[s->event.partition];
    if (!p->is_read || s->event.offset <= p->next)
        return;
    p->next = s->event.offset;
    if (!consume_is_empty(s->consume))
        return;
    consume_drop(s->consume);
    if (batch_pool_under_way(s->pipeline->pool) == 0)
        p->settled = p->next; /* nothing before it is under way */
}

static void
on_trouble(struct source *s)
{
    if (s->is_connected)
        s->away_ns = clock_now_ns();
    s->is_connected = false;
    if (s->trouble_ns != 0 && clock_seconds_since(s->trouble_ns) < TROUBLE_SECS)
        return;
    s->trouble_ns = clock_now_ns();
    log_warn("kafka_trouble", "topic=%s text=\"%s\"", s->topic,
             s->event.error.text);
}

static void
on_event(struct source *s)
{
    struct kafka_event *e = &s->event;

    if (e->kind != KAFKA_EVENT_TROUBLE && e->kind != KAFKA_EVENT_COMMITTED)
        s->is_connected = true;
    switch (e->kind) {
    case KAFKA_EVENT_RECORD:
        s->has_record = true;
        break;
    case KAFKA_EVENT_END:
        on_end(s);
        break;
    case KAFKA_EVENT_ASSIGNED:
        source_on_assigned(s);
        break;
    case KAFKA_EVENT_REVOKED:
        source_on_revoked(s);
        break;
    case KAFKA_EVENT_LOST:
        source_on_lost(s);
        break;
    case KAFKA_EVENT_COMMITTED:
        if (e->error.status != STATUS_OK)
            log_warn("commit_failed", "text=\"%s\"", e->error.text);
        break;
    case KAFKA_EVENT_OUTSIDE:
        source_lose_position(s, e->partition);
        break;
    case KAFKA_EVENT_TROUBLE:
        on_trouble(s);
        break;
    case KAFKA_EVENT_FATAL:
        source_fail(s, &e->error);
        break;
    }
}

/* Nothing more has come: what is open goes on its way, unless the next stages
 * are busy anyway, or training wants whole batches. */
static void
on_drained(struct source *s)
{
    size_t under_way = batch_pool_under_way(s->pipeline->pool);

    if (consume_is_empty(s->consume))
        return;
    if (s->pipeline->role == ROLE_ANNOTATE) {
        if (under_way <= s->pipeline->settings->pipeline_batches / 2)
            consume_cut(s->consume);
    } else if (s->flush_ms > 0 && !s->is_flush_set) {
        s->is_flush_set = true;
        timer_start(s->flush, s->flush_ms, 0);
    }
}

static bool
may_read(const struct source *s)
{
    return s->state != SOURCE_DRAINING && s->state != SOURCE_RETURNING &&
           s->state != SOURCE_LEAVING && s->state != SOURCE_STOPPED &&
           !s->has_failed;
}

/* Thread: calls. */
static void
nudge(void *ctx)
{
    struct source *s = ctx;

    kafka_consumer_nudge(s->consumer, s->nudged, s->nudged_count);
}

static void
on_nudged(void *ctx)
{
    source_go_on_leaving(ctx);
}

static void
nudge_if_needed(struct source *s)
{
    if (s->nudge.is_under_way || !kafka_consumer_must_nudge(s->consumer))
        return;
    s->nudged_count = source_list_read(s, s->nudged);
    calls_begin(s->pipeline->calls, &s->nudge);
}

/* Takes events until there are none, or no room, or it is the loop's turn. */
static void
pull(struct source *s)
{
    for (unsigned i = 0; may_read(s); i++) {
        if (s->has_record && !hand_on(s)) {
            if (s->stalled_ns == 0)
                s->stalled_ns = clock_now_ns();
            return;
        }
        s->stalled_ns = 0;
        if (i == PULL_MAX) {
            kafka_consumer_wake(s->consumer);
            return;
        }
        if (!may_read(s))
            return;
        nudge_if_needed(s);
        if (kafka_consumer_next(s->consumer, &s->event) != STATUS_OK) {
            on_drained(s);
            return;
        }
        on_event(s);
    }
}

/* ---- stalls ---- */

/* Nothing could be handed on for long: the client fetches no more, and is
 * polled, so that the group keeps this member. */
static void
pause_fetching(struct source *s)
{
    struct error err;
    size_t count = source_list_read(s, s->offsets);

    log_warn("fetching_paused",
             "topic=%s partitions=%zu text=\"nothing could "
             "be handed on for %" PRIu64 " ms\"",
             s->topic, count, s->pipeline->settings->pause_after);
    s->is_paused = true;
    s->has_record = false; /* read again */
    s->stalled_ns = 0;
    source_expect(
        s, kafka_consumer_pause(s->consumer, s->offsets, count, true, &err),
        &err);
}

static void
resume_fetching(struct source *s)
{
    struct error err;
    size_t count = source_list_read(s, s->offsets);

    log_info("fetching_resumed", "topic=%s partitions=%zu", s->topic, count);
    s->is_paused = false;
    source_expect(
        s, kafka_consumer_pause(s->consumer, s->offsets, count, false, &err),
        &err);
    source_seek(s);
}

static void
watch_stall(struct source *s)
{
    if (s->state != SOURCE_READING)
        return;
    if (!s->is_paused && s->stalled_ns != 0 &&
        clock_seconds_since(s->stalled_ns) * 1000.0 >=
            (double)s->pipeline->settings->pause_after)
        pause_fetching(s);
}

/* ---- going on ---- */

static void begin_behind_fence(struct source *s);

static void
go_on_returning(struct source *s)
{
    consume_drop(s->consume);
    if (batch_pool_under_way(s->pipeline->pool) > 0)
        return;
    log_info("epoch_begun", "epoch=%u", s->pipeline->epoch);
    if (s->commits_elsewhere) {
        for (size_t i = 0; i < s->part_count; i++)
            s->parts[i].is_read = false;
        source_resolve(s);
        return;
    }
    source_enter(s, SOURCE_READING);
    source_seek(s);
}

void
source_go_on_leaving(struct source *s)
{
    if (s->resolve.is_under_way || s->last_commit.is_under_way ||
        s->nudge.is_under_way || !s->is_topics_idle ||
        s->state != SOURCE_LEAVING)
        return;
    if (s->pipeline->role == ROLE_TRAIN)
        consume_drop(s->consume); /* read again by the next start */
    else if (!source_is_drained(s))
        return;
    source_begin_last_commit(s);
}

static void
resume_source(struct source *s)
{
    OBJ_CHECK(s, SOURCE_KAFKA_MAGIC);
    if (s->state == SOURCE_CONNECTING && s->is_topic_known)
        begin_behind_fence(s);
    else if (s->state == SOURCE_RETURNING)
        go_on_returning(s);
    else if (s->state == SOURCE_DRAINING)
        source_go_on_draining(s);
    else if (s->state == SOURCE_LEAVING)
        source_go_on_leaving(s);
    if (s->is_paused && s->state == SOURCE_READING &&
        consume_has_room(s->consume))
        resume_fetching(s);
    pull(s);
}

static void
on_wake(void *ctx)
{
    struct source *s = ctx;

    pipeline_wake(s->pipeline);
}

static void
on_flush(void *ctx)
{
    struct source *s = ctx;

    s->is_flush_set = false;
    if (s->state == SOURCE_READING && !consume_is_empty(s->consume))
        consume_cut(s->consume);
}

static void
on_tick(void *ctx)
{
    struct source *s = ctx;

    if (s->state == SOURCE_DRAINING)
        s->drain_ticks++;
    if (s->must_resolve && s->state == SOURCE_RESOLVING) {
        s->must_resolve = false;
        source_resolve(s);
    }
    watch_stall(s);
    if (s->state == SOURCE_READING)
        source_commit(s);
    pipeline_wake(s->pipeline);
}

/* ---- topics ---- */

/* By hand every partition of the topic is ours. */
static void
add_parts(struct source *s, size_t count)
{
    for (; s->part_count < count; s->part_count++)
        s->parts[s->part_count] = (struct source_part){
            .is_assigned = true, .wanted = KAFKA_OFFSET_NONE};
}

/* All partitions, from where the checkpoint says. */
static void
begin_by_hand(struct source *s)
{
    struct pipeline *p = s->pipeline;
    struct error err;

    add_parts(s, (size_t)topics_input(p->topics)->partition_count);
    if (!log_identity_differs(&p->input, &s->input)) {
        for (size_t i = 0; i < p->start.count; i++) {
            const struct log_position *at = &p->start.at[i];

            if (at->partition < s->part_count)
                s->parts[at->partition].wanted = (int64_t)at->offset;
        }
    } else if (!p->accepts_reset) {
        (void)source_is_another(s->topic, &err);
        source_fail(s, &err);
        return;
    } else {
        log_warn("position_reset", "topic=%s text=\"it was made anew\"",
                 s->topic);
    }
    source_resolve(s);
}

static void
begin_reading(struct source *s)
{
    const struct kafka_topic *topic = topics_input(s->pipeline->topics);
    struct error err;

    log_info("kafka_connected", "topic=%s partitions=%d cluster=%s id=%s",
             topic->name, topic->partition_count, topic->cluster, topic->id);
    s->known = *topic;
    s->is_connected = true;
    (void)snprintf(s->input.topic, sizeof(s->input.topic), "%s", topic->name);
    (void)snprintf(s->input.cluster, sizeof(s->input.cluster), "%s",
                   topic->cluster);
    (void)snprintf(s->input.topic_id, sizeof(s->input.topic_id), "%s",
                   topic->id);
    if (!s->is_by_hand) {
        source_enter(s, SOURCE_JOINING);
        source_expect(s, kafka_consumer_subscribe(s->consumer, &err), &err);
        return;
    }
    begin_by_hand(s);
}

/* Where all partitions are this process's by hand, no group sees to it that no
 * other one writes their labels: that is fenced off first, and only then what
 * was committed is the last word. */
static void
begin_behind_fence(struct source *s)
{
    struct pipeline *p = s->pipeline;

    if (pipeline_learns_by_hand(p) && !p->is_fenced)
        pipeline_fence(p);
    else
        begin_reading(s);
}

/* Partitions were added to the topic, or to the labels topic. */
static void
extend_reading(struct source *s)
{
    const struct kafka_topic *topic = topics_input(s->pipeline->topics);

    if (s->is_by_hand)
        add_parts(s, (size_t)topic->partition_count);
    if (s->state == SOURCE_READING)
        source_resolve(s);
}

static void
on_topics(void *ctx)
{
    struct source *s = ctx;
    const struct kafka_topic *topic = topics_input(s->pipeline->topics);
    struct error err;

    if (s->state == SOURCE_CONNECTING) {
        s->is_topic_known = true;
        begin_behind_fence(s);
    } else if (strcmp(topic->id, s->known.id) != 0) {
        (void)source_is_another(s->topic, &err);
        source_fail(s, &err);
    } else {
        s->known = *topic;
        extend_reading(s);
    }
}

static void
on_topics_failed(void *ctx, const struct error *err)
{
    source_fail(ctx, err);
}

static void
on_topics_idle(void *ctx)
{
    struct source *s = ctx;

    s->is_topics_idle = true;
    source_go_on_leaving(s);
}

/* ---- the source ---- */

static void
start_source(struct source *s)
{
    const struct topics_callbacks callbacks = {on_topics, on_topics_failed, s};

    OBJ_CHECK(s, SOURCE_KAFKA_MAGIC);
    timer_start(s->tick, TICK_MS, TICK_MS);
    topics_prepare(s->pipeline->topics, kafka_consumer_client(s->consumer),
                   &callbacks);
}

static void
write_position(const struct source *s, struct positions *out,
               struct log_identity *log)
{
    OBJ_CHECK(s, SOURCE_KAFKA_MAGIC);
    *log = s->input;
    out->count = 0;
    for (size_t i = 0; i < s->part_count; i++) {
        if (s->parts[i].is_read)
            out->at[out->count++] =
                (struct log_position){(uint32_t)i, (uint64_t)s->parts[i].next};
    }
}

static void
note_settled(struct source *s, const struct batch *b)
{
    OBJ_CHECK(s, SOURCE_KAFKA_MAGIC);
    if (b->epoch != s->pipeline->epoch)
        return;
    for (size_t i = 0; i < b->after.count; i++) {
        const struct log_position *at = &b->after.at[i];

        if (s->parts[at->partition].is_read)
            s->parts[at->partition].settled = (int64_t)at->offset;
    }
}

static void
restart_source(struct source *s)
{
    OBJ_CHECK(s, SOURCE_KAFKA_MAGIC);
    if (pipeline_learns_by_hand(s->pipeline) && s->pipeline->is_fenced)
        return; /* the sink ends the role */
    source_begin_epoch(s);
    if (s->state != SOURCE_READING)
        return; /* draining, leaving: it ends with what is settled */
    source_enter(s, SOURCE_RETURNING);
    kafka_consumer_wake(s->consumer);
}

static void
stop_source(struct source *s)
{
    OBJ_CHECK(s, SOURCE_KAFKA_MAGIC);
    if (s->state == SOURCE_LEAVING || s->state == SOURCE_STOPPED)
        return;
    timer_stop(s->flush);
    s->is_topics_idle = topics_stop(s->pipeline->topics, on_topics_idle);
    source_enter(s, SOURCE_LEAVING);
    source_go_on_leaving(s);
}

/* An idle topic brings no event that tells of a broker that came back, but the
 * topics are asked for now and then. */
static bool
is_connected(const struct source *s)
{
    return s->is_connected ||
           topics_answered_ns(s->pipeline->topics) > s->away_ns;
}

static void
report_source(const struct source *s, struct role_report *r)
{
    OBJ_CHECK(s, SOURCE_KAFKA_MAGIC);
    r->unit = OFFSET_RECORDS;
    r->partitions_assigned = s->assigned;
    r->partitions_revoked = s->revoked;
    r->partitions_lost = s->given_up;
    r->records_lost = s->lost;
    if (s->state == SOURCE_CONNECTING)
        role_report_add_obstacle(r, "brokers or topics are not there yet");
    else if (!is_connected(s))
        role_report_add_obstacle(r, "topic %s: brokers are away", s->topic);
    else if (s->state == SOURCE_JOINING && s->assigned == 0)
        role_report_add_obstacle(r, "topic %s: joining the group", s->topic);
    else if (s->state == SOURCE_RESOLVING && s->must_resolve)
        role_report_add_obstacle(r, "topic %s: offsets cannot be asked for",
                                 s->topic);
    for (size_t i = 0; i < s->part_count; i++) {
        const struct source_part *p = &s->parts[i];
        struct partition_report *out =
            p->is_assigned ? role_report_add_partition(r) : NULL;

        if (out == NULL)
            continue;
        out->log = s->topic;
        out->partition = (int32_t)i;
        out->is_paused = !p->is_read || s->is_paused || s->pipeline->is_paused;
        if (!p->is_read)
            continue;
        out->epoch = s->pipeline->epoch + UINT64_C(1);
        out->position = p->next;
        if (s->has_group)
            out->committed = s->commits_elsewhere ? p->settled : p->committed;
        out->end = kafka_consumer_end_offset(s->consumer, (int32_t)i);
    }
}

static void
free_source(struct source **self)
{
    struct source *s;

    if (*self == NULL)
        return;
    OBJ_TAKE(s, self, SOURCE_KAFKA_MAGIC);
    kafka_consumer_free(&s->consumer);
    timer_free(&s->tick);
    timer_free(&s->flush);
    s->magic = 0;
    free(s);
}

/* Where to read, and how: from the settings of the role. */
static void
configure(struct source *s)
{
    const struct settings *settings = s->pipeline->settings;
    bool is_train = s->pipeline->role == ROLE_TRAIN;

    s->reads_events = !is_train || settings->train_input == TRAIN_INPUT_EVENTS;
    s->topic =
        s->reads_events ? settings->events_topic : settings->labels_topic;
    s->format = settings->events_format;
    s->is_by_hand = is_train || pipeline_learns_by_hand(s->pipeline);
    s->has_group = !is_train;
    s->commits_elsewhere = settings->labels_transactional;
    if (is_train && !settings_is_deterministic(settings))
        s->flush_ms = settings->train_flush;
    s->resolve =
        (struct call){source_answer_question, source_on_resolved, s, false};
    s->nudge = (struct call){nudge, on_nudged, s, false};
    s->last_commit =
        (struct call){source_last_commit, source_last_commit_done, s, false};
}

static enum status
open_source(struct source **out, struct consume *c, struct pipeline *p,
            struct error *err)
{
    struct source *s = calloc(1, sizeof(*s));
    struct kafka_consumer_spec consumer = {.on_wake = on_wake};
    enum status st;

    if (s == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a source");
    s->magic = SOURCE_KAFKA_MAGIC;
    s->consume = c;
    s->pipeline = p;
    configure(s);
    consumer.properties = *topics_consumer_properties(p->topics);
    consumer.topic = s->topic;
    consumer.group = s->has_group ? p->settings->events_group : NULL;
    consumer.ctx = s;
    st = timer_new(&s->tick, p->loop, on_tick, s, err);
    if (st == STATUS_OK)
        st = timer_new(&s->flush, p->loop, on_flush, s, err);
    if (st == STATUS_OK)
        st = kafka_consumer_open(&s->consumer, p->loop, &consumer, err);
    if (s->has_group)
        p->member = s->consumer;
    if (st != STATUS_OK) {
        free_source(&s);
        return st;
    }
    *out = s;
    return STATUS_OK;
}

const struct source_ops source_kafka = {
    .name = "kafka",
    .open = open_source,
    .start = start_source,
    .resume = resume_source,
    .position = write_position,
    .settled = note_settled,
    .restart = restart_source,
    .stop = stop_source,
    .report = report_source,
    .free = free_source,
};
