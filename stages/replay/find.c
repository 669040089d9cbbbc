/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Before anything is sent: what the topic is, and what of the input it has.
 * Each partition is written in the order of the input without gaps, so the
 * line of its last record tells all.
 */
#include "stages/replay/replay_priv.h"
#include "stages/settings.h"

#include "daemon/base/clock.h"
#include "daemon/base/logging.h"
#include "daemon/io/log_file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS  3000
#define RETRY_MS    500
#define SAY_SECONDS 10

/* ---- the calls thread ---- */

static enum status
create_topic(struct replay *r, struct error *err)
{
    const struct settings *s = r->settings;
    struct kafka_topic_wish wish = {
        .name = s->events_topic,
        .partitions = (int32_t)s->create_topics_partitions,
        .replication_factor = (int32_t)s->create_topics_replication_factor,
    };
    enum status st;

    if (!s->create_topics_enabled)
        return error_set(err, STATUS_NOTFOUND,
                         "topic %s does not exist, and create_topics.enabled "
                         "is false",
                         wish.name);
    st = kafka_topic_create(kafka_producer_client(r->producer), &wish,
                            TIMEOUT_MS, err);
    if (st != STATUS_OK)
        return st;
    if (!r->found.has_created)
        log_info("topic_created", "topic=%s partitions=%d", wish.name,
                 wish.partitions);
    r->found.has_created = true;
    /* The brokers tell of it a moment later: the next attempt goes on. */
    return error_set(err, STATUS_REFUSED, "topic %s has only just been created",
                     wish.name);
}

/* Finds the last record of each partition. */
static enum status
find_last(struct replay *r, struct error *err)
{
    struct replay_finding *f = &r->found;
    enum status st = STATUS_OK;

    for (int32_t p = 0; p < f->topic.partition_count && st == STATUS_OK; p++) {
        int64_t first = 0;
        int64_t end = 0;

        st =
            kafka_consumer_range(r->consumer, p, TIMEOUT_MS, &first, &end, err);
        f->last[p].partition = p;
        f->last[p].offset = end > first ? end - 1 : KAFKA_OFFSET_NONE;
    }
    return st;
}

static void
on_attempt(void *ctx)
{
    struct replay *r = ctx;
    struct replay_finding *f = &r->found;
    struct error *err = &f->error;

    f->status = kafka_topic_describe(kafka_producer_client(r->producer),
                                     r->settings->events_topic, TIMEOUT_MS,
                                     &f->topic, err);
    if (f->status == STATUS_OK && f->topic.partition_count == 0)
        f->status = create_topic(r, err);
    if (f->status == STATUS_OK &&
        f->topic.partition_count > KAFKA_PARTITIONS_MAX)
        f->status = error_set(err, STATUS_TOOBIG,
                              "topic %s has %d partitions, at most %d",
                              r->settings->events_topic,
                              f->topic.partition_count, KAFKA_PARTITIONS_MAX);
    if (f->status == STATUS_OK && r->consumer != NULL)
        f->status = find_last(r, err);
}

/* ---- the loop ---- */

static void
start_sending(struct replay *r)
{
    struct error err;

    replay_enter(r, REPLAY_SENDING);
    if (send_begin(r, &err) != STATUS_OK)
        replay_fail(r, &err);
}

/* Begins to read the last record of every partition that has one. */
static void
read_last(struct replay *r)
{
    struct kafka_offset at[KAFKA_PARTITIONS_MAX];
    struct error err;
    size_t count = 0;

    for (int32_t p = 0; p < r->partition_count; p++) {
        if (r->found.last[p].offset != KAFKA_OFFSET_NONE)
            at[count++] = r->found.last[p];
    }
    r->unknown = count;
    replay_enter(r, REPLAY_RESUMING);
    if (count == 0)
        start_sending(r);
    else if (kafka_consumer_assign(r->consumer, at, count, &err) != STATUS_OK)
        replay_fail(r, &err);
}

static void
on_attempt_done(void *ctx)
{
    struct replay *r = ctx;
    const struct replay_finding *f = &r->found;
    const struct replay_options *o = r->options;

    if (r->phase != REPLAY_FINDING) {
        replay_finish(r); /* it waited for this call */
        return;
    }
    if (f->status == STATUS_REFUSED || f->status == STATUS_TIMEOUT) {
        if (clock_seconds_since(r->logged_ns) >= SAY_SECONDS) {
            r->logged_ns = clock_now_ns();
            log_info("replay_waiting", "text=\"%s\"", f->error.text);
        }
        timer_start(r->timer, RETRY_MS, 0);
        return;
    }
    if (f->status != STATUS_OK) {
        replay_fail(r, &f->error);
        return;
    }
    r->partition_count = f->topic.partition_count;
    (void)snprintf(r->mark, sizeof(r->mark), " of %.200s by %.200s in %d",
                   strcmp(o->input, "-") == 0 ? "-" : log_name(o->input),
                   o->key != NULL ? o->key : "number", r->partition_count);
    if (r->consumer != NULL)
        read_last(r);
    else
        start_sending(r);
}

static void
attempt(void *ctx)
{
    struct replay *r = ctx;

    if (r->phase == REPLAY_FINDING)
        calls_begin(r->calls, &r->call);
}

void
find_begin(struct replay *r)
{
    r->call = (struct call){on_attempt, on_attempt_done, r, false};
    r->logged_ns = clock_now_ns();
    attempt(r);
}

size_t
find_mark(const struct replay *r, uint64_t number, char *out, size_t size)
{
    return (size_t)snprintf(out, size, "%" PRIu64 "%s", number, r->mark);
}

/* Reads the line out of a record's header. */
static enum status
read_mark(struct replay *r, const struct kafka_event *event, uint64_t *number,
          struct error *err)
{
    struct record_header headers[RECORD_HEADERS_MAX];
    char text[REPLAY_MARK_SIZE + 24] = "";
    size_t count = 0;
    char *end = text;
    enum status st = kafka_consumer_headers(r->consumer, headers, &count, err);

    if (st != STATUS_OK)
        return st;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(headers[i].name, REPLAY_HEADER) == 0 &&
            headers[i].value_bytes < sizeof(text))
            memcpy(text, headers[i].value, headers[i].value_bytes);
    }
    *number = strtoull(text, &end, 10);
    if (end != text && strcmp(end, r->mark) == 0)
        return STATUS_OK;
    return error_set(err, STATUS_BADDATA,
                     "cannot resume: the last record of partition %d of topic "
                     "%s is %s%s, not line N%s; --from-line N without --resume "
                     "begins where you say",
                     event->record.partition, r->settings->events_topic,
                     *text != '\0' ? "line " : "not from a replay", text,
                     r->mark);
}

static void
on_last_record(struct replay *r, const struct kafka_event *event)
{
    uint64_t number = 0;
    struct error err;

    if (r->phase != REPLAY_RESUMING || r->has[event->record.partition] != 0)
        return;
    if (read_mark(r, event, &number, &err) != STATUS_OK) {
        replay_fail(r, &err);
        return;
    }
    r->has[event->record.partition] = number;
    if (--r->unknown > 0)
        return;
    if (kafka_consumer_unassign(r->consumer, NULL, 0, &err) != STATUS_OK)
        replay_fail(r, &err);
    else
        start_sending(r);
}

static void
on_event(struct replay *r, const struct kafka_event *event)
{
    struct error err;

    if (event->kind == KAFKA_EVENT_RECORD) {
        on_last_record(r, event);
    } else if (event->kind == KAFKA_EVENT_OUTSIDE) {
        (void)error_set(&err, STATUS_BADDATA,
                        "cannot resume: the last record of partition %d of "
                        "topic %s was just deleted",
                        event->partition, r->settings->events_topic);
        replay_fail(r, &err);
    } else if (event->kind == KAFKA_EVENT_FATAL) {
        replay_fail(r, &event->error);
    } /* in other trouble librdkafka goes on trying */
}

void
find_on_record(void *ctx)
{
    struct replay *r = ctx;

    while (kafka_consumer_next(r->consumer, &r->event) == STATUS_OK)
        on_event(r, &r->event);
}
