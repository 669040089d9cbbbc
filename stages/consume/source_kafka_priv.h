/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONSUME_SOURCE_KAFKA_PRIV_H
#define CONSUME_SOURCE_KAFKA_PRIV_H

#include "stages/consume/source.h"
#include "stages/event/envelope.h"
#include "stages/topics.h"

#include "daemon/io/calls.h"
#include "daemon/io/kafka_consumer.h"

/*
 * A topic as a source, in three files: source_kafka.c takes records and ties
 * it together, source_kafka_group.c gives and takes partitions and commits,
 * source_kafka_resolve.c finds out where to begin.
 *
 *   CONNECTING -> JOINING -> RESOLVING -> READING -> LEAVING -> STOPPED
 *                    ^           ^        |    |
 *                    |           +--------+    +-> RETURNING, and back: what
 *                    +--------- DRAINING <+        was handed on is not safe
 */

#define SOURCE_KAFKA_MAGIC 0x4b534f55u

#define SOURCE_STATES(X)                                                       \
    X(CONNECTING) /* waits for brokers and topics */                           \
    X(JOINING)    /* waits for partitions of the group */                      \
    X(RESOLVING)  /* asks where to begin; other partitions are read */         \
    X(READING)                                                                 \
    X(RETURNING) /* waits for what is under way, then reads it again */        \
    X(DRAINING)  /* partitions are taken away: waits for what is under way */  \
    X(LEAVING)                                                                 \
    X(STOPPED)

enum source_state {
#define STATE(name) SOURCE_##name,
    SOURCE_STATES(STATE)
#undef STATE
};

/* A partition. settled <= next. */
struct source_part {
    bool is_assigned;
    bool is_read;      /* and its offsets are known */
    bool is_fetched;   /* the client has it */
    int64_t wanted;    /* where to begin, while it is not read; or NONE */
    int64_t next;      /* behind what was handed on */
    int64_t settled;   /* behind what is safe */
    int64_t committed; /* or is being committed */
};

/* Where a partition begins. */
struct source_answer {
    int64_t offset;
    int64_t lost;      /* records that the log does not have any more */
    int64_t labeled;   /* below it labels are there; of by hand alone */
    bool is_committed; /* the group has this offset */
};

/* A question is a snapshot: the calls thread looks at nothing else. */
struct source_question {
    bool is_asked[KAFKA_PARTITIONS_MAX];
    int64_t wanted[KAFKA_PARTITIONS_MAX];
    size_t part_count;
    struct kafka_topic topic;
};

struct source {
    unsigned magic;
    enum source_state state;
    struct consume *consume;
    struct pipeline *pipeline;
    struct kafka_consumer *consumer;
    struct timer *tick;
    struct timer *flush;
    const char *topic;
    enum event_format format;
    bool reads_events;
    bool is_by_hand;        /* it has all partitions; else the group's */
    bool has_group;         /* offsets are committed to a group */
    bool commits_elsewhere; /* in the producer's transactions */
    bool has_failed;
    bool is_connected;
    bool is_topic_known; /* while CONNECTING */
    bool is_topics_idle;
    bool is_flush_set;
    bool is_paused;
    uint64_t flush_ms;
    uint64_t stalled_ns; /* since when a record finds no room; 0: it does */
    uint64_t away_ns;    /* since when brokers are away, while they are */
    uint64_t trouble_ns; /* when trouble was last logged */

    struct kafka_event event; /* the last one */
    struct record_header headers[RECORD_HEADERS_MAX];
    struct envelope envelope;
    bool has_record; /* event is a record that found no room */

    struct kafka_topic known;
    struct log_identity input;
    struct source_part parts[KAFKA_PARTITIONS_MAX];
    size_t part_count;
    struct kafka_offset offsets[KAFKA_PARTITIONS_MAX]; /* for one call */

    struct call nudge;
    struct kafka_offset nudged[KAFKA_PARTITIONS_MAX];
    size_t nudged_count;

    struct call resolve;
    bool resolve_is_stale; /* its answer is not wanted any more */
    bool must_resolve;     /* again, at the next tick */
    struct source_question question;
    struct kafka_committed committed[KAFKA_PARTITIONS_MAX];
    struct source_answer answers[KAFKA_PARTITIONS_MAX];
    size_t first_count; /* partitions when the group began, as the calls
                           thread found out */
    enum status answer_status;
    struct error answer_error;

    struct kafka_offset taken[KAFKA_PARTITIONS_MAX]; /* that are taken away */
    size_t taken_count;
    unsigned drain_ticks;
    struct call last_commit;
    struct kafka_offset last[KAFKA_PARTITIONS_MAX];
    size_t last_count;
    bool last_is_leaving; /* it leaves the group, too */
    enum status last_status;
    struct error last_error;
    char metadata[128]; /* of commits */

    uint64_t assigned; /* partitions, over all rebalances */
    uint64_t revoked;
    uint64_t given_up;
    uint64_t lost; /* records that retention took before they were read */
};

/* ---- source_kafka.c ---- */

void source_enter(struct source *s, enum source_state next);
void source_fail(struct source *s, const struct error *err);

/* source_expect is source_fail unless st is OK: of calls that go wrong only
 * when the client is of no more use. */
void source_expect(struct source *s, enum status st, const struct error *err);

/* source_go_on_leaving leaves when nothing is under way. */
void source_go_on_leaving(struct source *s);

/* ---- source_kafka_group.c ---- */

/* source_seek reads on at next, whatever the client has fetched. */
void source_seek(struct source *s);

/* source_begin_epoch goes back to what is settled: what was handed on behind it
 * is handed on again. */
void source_begin_epoch(struct source *s);

/* source_list_read lists the partitions that are read, at next. */
size_t source_list_read(const struct source *s, struct kafka_offset *out);

/* source_commit begins to commit what is settled. */
void source_commit(struct source *s);

/* source_begin_last_commit commits on the calls thread, and leaves the group
 * there when the source is LEAVING. */
void source_begin_last_commit(struct source *s);
void source_last_commit(void *ctx);      /* thread: calls */
void source_last_commit_done(void *ctx); /* thread: loop */

/* source_is_drained says whether all that was handed on has come home. */
bool source_is_drained(struct source *s);

void source_go_on_draining(struct source *s);
void source_on_assigned(struct source *s);
void source_on_revoked(struct source *s);
void source_on_lost(struct source *s);

/* ---- source_kafka_resolve.c ---- */

/* source_resolve asks where the partitions begin that are assigned and not
 * read. */
void source_resolve(struct source *s);
void source_answer_question(void *ctx); /* thread: calls */
void source_on_resolved(void *ctx);     /* thread: loop */

/* source_lose_position asks again about a partition whose next record is not in
 * the log. */
void source_lose_position(struct source *s, int32_t partition);

/* source_is_another says that the topic was made anew. */
enum status source_is_another(const char *topic, struct error *err);

#endif
