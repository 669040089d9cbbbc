/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One attempt after the other on the calls thread, a timer between them.
 */
#include "stages/topics.h"

#include "stages/kafka_settings.h"

#include "daemon/base/clock.h"
#include "daemon/base/logging.h"
#include "daemon/base/object.h"
#include "daemon/io/calls.h"

#include <stdlib.h>
#include <string.h>

#define TOPICS_MAGIC 0x544f5049u
#define TIMEOUT_MS   3000
#define RETRY_MS     500
#define SAY_SECONDS  10

enum which {
    EVENTS,
    LABELS,
    DEAD_LETTERS,
    TOPIC_KINDS,
};

/* What an attempt found. */
struct finding {
    struct kafka_topic topics[TOPIC_KINDS];
    enum status status;
    struct error error;
};

struct topics {
    unsigned magic;
    struct pipeline *pipeline;
    const struct settings *settings;
    const char *names[TOPIC_KINDS]; /* NULL: not needed */
    bool may_create[TOPIC_KINDS];
    struct kafka_settings kafka;
    struct rd_kafka_s *client;
    struct topics_callbacks callbacks;
    void (*on_idle)(void *ctx);
    struct timer *timer;
    struct call call;
    struct finding found; /* the calls thread's while the call is under way */
    struct kafka_topic known[TOPIC_KINDS];
    uint64_t begun_ns;    /* the last attempt */
    uint64_t answered_ns; /* the last one that was answered; 0: none */
    bool is_ready;        /* once */
    bool is_stopping;
    uint64_t said_ns;  /* when waiting was last told of */
    bool has_said_few; /* that labels have too few partitions */
};

/* ---- the calls thread ---- */

static enum status
create(struct topics *t, enum which which, struct error *err)
{
    const struct settings *s = t->settings;
    struct kafka_topic_wish wish = {
        .name = t->names[which],
        .partitions = (int32_t)s->create_topics_partitions,
        .replication_factor = (int32_t)s->create_topics_replication_factor,
    };
    int32_t events = t->found.topics[EVENTS].partition_count;
    enum status st;

    if (which == LABELS && wish.partitions < events)
        wish.partitions = events;
    st = kafka_topic_create(t->client, &wish, TIMEOUT_MS, err);
    if (st == STATUS_OK)
        log_info("topic_created",
                 "topic=%s partitions=%d replication_factor=%d", wish.name,
                 wish.partitions, wish.replication_factor);
    return st;
}

/* Looks at one topic; TIMEOUT while it is not there. */
static enum status
look_at(struct topics *t, enum which which, struct error *err)
{
    struct kafka_topic *topic = &t->found.topics[which];
    enum status st = kafka_topic_describe(t->client, t->names[which],
                                          TIMEOUT_MS, topic, err);

    if (st != STATUS_OK || topic->partition_count > 0)
        return st;
    if (!t->may_create[which] || !t->settings->create_topics_enabled)
        return error_set(err, STATUS_TIMEOUT, "topic %s does not exist%s",
                         t->names[which],
                         t->may_create[which] ? ", and create_topics.enabled "
                                                "is false"
                                              : " yet");
    st = create(t, which, err);
    if (st == STATUS_OK)
        st = error_set(err, STATUS_TIMEOUT, "topic %s is being created",
                       t->names[which]);
    return st;
}

static void
on_attempt(void *ctx)
{
    struct topics *t = ctx;
    struct error *err = &t->found.error;
    enum status st = STATUS_OK;

    for (int i = 0; i < TOPIC_KINDS && st == STATUS_OK; i++) {
        if (t->names[i] != NULL)
            st = look_at(t, (enum which)i, err);
    }
    t->found.status = st;
}

/* ---- the loop ---- */

static void
attempt(void *ctx)
{
    struct topics *t = ctx;

    if (t->is_stopping || t->call.is_under_way)
        return;
    t->begun_ns = clock_now_ns();
    calls_begin(t->pipeline->calls, &t->call);
}

/* The labels of partition p go to partition p. */
static void
check_partitions(struct topics *t)
{
    int32_t events = t->known[EVENTS].partition_count;
    int32_t labels = t->known[LABELS].partition_count;
    bool are_few =
        t->names[EVENTS] != NULL && t->names[LABELS] != NULL && labels < events;

    if (are_few && !t->has_said_few)
        log_error("labels_partitions_few",
                  "topic=%s partitions=%d events=%d text=\"partitions from %d "
                  "on are paused until the topic is grown\"",
                  t->names[LABELS], labels, events, labels);
    t->has_said_few = are_few;
}

static void
take_finding(struct topics *t)
{
    bool has_changed = !t->is_ready;

    for (int i = 0; i < TOPIC_KINDS; i++)
        has_changed =
            has_changed || strcmp(t->known[i].id, t->found.topics[i].id) != 0 ||
            t->known[i].partition_count != t->found.topics[i].partition_count;
    memcpy(t->known, t->found.topics, sizeof(t->known));
    t->is_ready = true;
    t->answered_ns = t->begun_ns;
    t->said_ns = 0;
    timer_start(t->timer, TOPICS_REFRESH_MS, 0);
    if (!has_changed)
        return;
    check_partitions(t);
    t->callbacks.on_ready(t->callbacks.ctx);
}

static void
on_attempt_done(void *ctx)
{
    struct topics *t = ctx;
    const struct error *err = &t->found.error;
    enum status_class class = status_class(t->found.status);

    if (t->is_stopping) {
        t->on_idle(t->callbacks.ctx);
        return;
    }
    if (t->found.status == STATUS_OK) {
        take_finding(t);
        return;
    }
    if (class != CLASS_RETRY) {
        t->callbacks.on_failed(t->callbacks.ctx, err);
        return;
    }
    if (!t->is_ready &&
        (t->said_ns == 0 || clock_seconds_since(t->said_ns) >= SAY_SECONDS)) {
        t->said_ns = clock_now_ns();
        log_warn("kafka_waiting", "role=%s text=\"%s\"",
                 t->pipeline->role == ROLE_TRAIN ? "train" : "annotate",
                 err->text);
    }
    timer_start(t->timer, RETRY_MS, 0);
}

void
topics_prepare(struct topics *t, struct rd_kafka_s *client,
               const struct topics_callbacks *callbacks)
{
    OBJ_CHECK(t, TOPICS_MAGIC);
    t->client = client;
    t->callbacks = *callbacks;
    attempt(t);
}

bool
topics_stop(struct topics *t, void (*on_idle)(void *ctx))
{
    OBJ_CHECK(t, TOPICS_MAGIC);
    t->is_stopping = true;
    t->on_idle = on_idle;
    timer_stop(t->timer);
    return !t->call.is_under_way;
}

uint64_t
topics_answered_ns(const struct topics *t)
{
    OBJ_CHECK(t, TOPICS_MAGIC);
    return t->answered_ns;
}

const struct kafka_topic *
topics_input(const struct topics *t)
{
    OBJ_CHECK(t, TOPICS_MAGIC);
    return &t->known[t->names[EVENTS] != NULL ? EVENTS : LABELS];
}

const struct kafka_topic *
topics_labels(const struct topics *t)
{
    OBJ_CHECK(t, TOPICS_MAGIC);
    return &t->known[LABELS];
}

const struct kafka_topic *
topics_dead_letters(const struct topics *t)
{
    OBJ_CHECK(t, TOPICS_MAGIC);
    return &t->known[DEAD_LETTERS];
}

const struct kafka_properties *
topics_consumer_properties(const struct topics *t)
{
    OBJ_CHECK(t, TOPICS_MAGIC);
    return &t->kafka.consumer;
}

const struct kafka_properties *
topics_producer_properties(const struct topics *t)
{
    OBJ_CHECK(t, TOPICS_MAGIC);
    return &t->kafka.producer;
}

/* ---- life ---- */

static bool
reads_events(const struct settings *s, enum role role)
{
    return role == ROLE_ANNOTATE || s->train_input == TRAIN_INPUT_EVENTS;
}

bool
topics_are_needed(const struct settings *s, enum role role)
{
    return (reads_events(s, role) ? s->events_log : s->labels_log) ==
           LOG_KIND_KAFKA;
}

enum status
topics_new(struct topics **out, struct pipeline *p, struct error *err)
{
    const struct settings *s = p->settings;
    struct topics *t = calloc(1, sizeof(*t));
    enum status st;

    if (t == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for topics");
    t->magic = TOPICS_MAGIC;
    t->pipeline = p;
    t->settings = s;
    t->call = (struct call){on_attempt, on_attempt_done, t, false};
    if (reads_events(s, p->role))
        t->names[EVENTS] = s->events_topic;
    if (p->role == ROLE_ANNOTATE || t->names[EVENTS] == NULL)
        t->names[LABELS] = s->labels_topic;
    t->names[DEAD_LETTERS] = s->dead_letters_topic;
    /* Labels are made by who knows how many partitions events have. */
    t->may_create[EVENTS] = true;
    t->may_create[LABELS] = p->role == ROLE_ANNOTATE;
    t->may_create[DEAD_LETTERS] = true;
    st = kafka_settings_init(&t->kafka, s, err);
    if (st == STATUS_OK)
        st = timer_new(&t->timer, p->loop, attempt, t, err);
    if (st != STATUS_OK) {
        topics_free(&t);
        return st;
    }
    *out = t;
    return STATUS_OK;
}

void
topics_free(struct topics **self)
{
    struct topics *t;

    if (*self == NULL)
        return;
    OBJ_TAKE(t, self, TOPICS_MAGIC);
    timer_free(&t->timer);
    kafka_settings_fini(&t->kafka);
    t->magic = 0;
    free(t);
}
