/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_KAFKA_CONSUMER_H
#define IO_KAFKA_CONSUMER_H

#include "daemon/base/record.h"
#include "daemon/io/kafka.h"
#include "daemon/io/loop.h"

/*
 * A consumer of one topic, as a member of a group or with partitions that are
 * assigned by hand. It never commits or stores an offset by itself, and never
 * decides where to go on: an offset that is not in the log is an event.
 *
 * Events are pulled: the loop is woken when there may be some, and then calls
 * kafka_consumer_next until it says AGAIN. Who stops earlier calls
 * kafka_consumer_wake, or is not woken again. As a member of a group it must be
 * called at least every max.poll.interval.ms, events or not.
 *
 * Thread: loop, but for the calls that block.
 */
struct kafka_consumer;

/* A partition, and an offset in it: the next record to read. */
struct kafka_offset {
    int32_t partition;
    int64_t offset; /* KAFKA_OFFSET_NONE: there is none */
};

#define KAFKA_OFFSET_NONE INT64_C(-1)

enum kafka_event_kind {
    KAFKA_EVENT_RECORD,
    KAFKA_EVENT_END,       /* of partition for now, at offset */
    KAFKA_EVENT_ASSIGNED,  /* offsets: partitions given; answer with assign */
    KAFKA_EVENT_REVOKED,   /* offsets: partitions taken; answer with unassign */
    KAFKA_EVENT_LOST,      /* likewise, but they are somebody else's already */
    KAFKA_EVENT_COMMITTED, /* a commit ended; error says how */
    KAFKA_EVENT_OUTSIDE,   /* offset of partition is not in the log */
    KAFKA_EVENT_TROUBLE,   /* error; librdkafka goes on trying */
    KAFKA_EVENT_FATAL,     /* error; this consumer is of no more use */
};

/* Lent until the next kafka_consumer_next. */
struct kafka_event {
    enum kafka_event_kind kind;
    struct record record;
    int32_t partition;
    int64_t offset;
    struct kafka_offset offsets[KAFKA_PARTITIONS_MAX];
    size_t offset_count;
    struct error error;
};

struct kafka_consumer_spec {
    struct kafka_properties properties;
    const char *topic;
    const char *group; /* NULL: assigned by hand */
    loop_fn on_wake;
    void *ctx;
};

/* kafka_consumer_open makes a consumer; it connects beside. Borrows spec until
 * return. CONFIG. */
must_check enum status
kafka_consumer_open(struct kafka_consumer **out, struct loop *l,
                    const struct kafka_consumer_spec *spec, struct error *err);

/* kafka_consumer_mute ends the calls of on_wake. Before a free beside the loop.
 */
void kafka_consumer_mute(struct kafka_consumer *c);

/* kafka_consumer_free leaves the group, if it is in one, and frees *self; NULL
 * is fine. Blocks until the group knows. Thread: loop, or any once muted. */
void kafka_consumer_free(struct kafka_consumer **self);

/* kafka_consumer_client lends the handle for the calls of kafka.h. */
struct rd_kafka_s *kafka_consumer_client(struct kafka_consumer *c);

/* kafka_consumer_next gives the next event, or AGAIN when there is none. The
 * one before is not valid any more. */
must_check enum status kafka_consumer_next(struct kafka_consumer *c,
                                           struct kafka_event *event);

/*
 * kafka_consumer_must_nudge says that so much was read since it last said so
 * that the client may have room for more and not know it: below librdkafka
 * 2.2, one that has fetched enough looks again only when its broker's thread
 * has something else to do, a second later at worst.
 */
bool kafka_consumer_must_nudge(struct kafka_consumer *c);

/* kafka_consumer_nudge gives the threads of these partitions' brokers something
 * to do: it asks for their end. Blocks. Thread: any but the loop. */
void kafka_consumer_nudge(struct kafka_consumer *c,
                          const struct kafka_offset *offsets, size_t count);

/* kafka_consumer_wake calls on_wake soon. */
void kafka_consumer_wake(struct kafka_consumer *c);

/* kafka_consumer_headers fills headers of the record of the last event and
 * gives their count; TOOBIG when they are more than RECORD_HEADERS_MAX. Lent
 * as the record. */
must_check enum status
kafka_consumer_headers(struct kafka_consumer *c,
                       struct record_header out[RECORD_HEADERS_MAX],
                       size_t *count, struct error *err);

/* kafka_consumer_subscribe joins the group. */
must_check enum status kafka_consumer_subscribe(struct kafka_consumer *c,
                                                struct error *err);

/*
 * kafka_consumer_assign begins to read at the offsets, which are all that is
 * assigned or, where the group's protocol is cooperative, what is added; by
 * hand it replaces what was assigned. What was fetched before is forgotten.
 */
must_check enum status kafka_consumer_assign(struct kafka_consumer *c,
                                             const struct kafka_offset *offsets,
                                             size_t count, struct error *err);

/* kafka_consumer_is_cooperative says whether the group's last rebalance gave
 * and took single partitions, not all of them. */
bool kafka_consumer_is_cooperative(const struct kafka_consumer *c);

/* kafka_consumer_unassign stops reading these partitions (all, where the
 * protocol is eager). */
must_check enum status
kafka_consumer_unassign(struct kafka_consumer *c,
                        const struct kafka_offset *offsets, size_t count,
                        struct error *err);

/* kafka_consumer_seek goes on reading assigned partitions at the offsets. */
must_check enum status kafka_consumer_seek(struct kafka_consumer *c,
                                           const struct kafka_offset *offsets,
                                           size_t count, struct error *err);

/* kafka_consumer_pause stops fetching assigned partitions, or goes on; what
 * was fetched is forgotten and fetched again. */
must_check enum status kafka_consumer_pause(struct kafka_consumer *c,
                                            const struct kafka_offset *offsets,
                                            size_t count, bool is_paused,
                                            struct error *err);

/* kafka_consumer_commit begins to commit; KAFKA_EVENT_COMMITTED follows. */
must_check enum status kafka_consumer_commit(struct kafka_consumer *c,
                                             const struct kafka_offset *offsets,
                                             size_t count, const char *metadata,
                                             struct error *err);

/* kafka_consumer_commit_now commits and waits for the answer. Blocks. Thread:
 * any but the loop. */
must_check enum status
kafka_consumer_commit_now(struct kafka_consumer *c,
                          const struct kafka_offset *offsets, size_t count,
                          const char *metadata, struct error *err);

/* kafka_consumer_end_offset is the offset behind the partition's last record,
 * as the last fetch told; KAFKA_OFFSET_NONE before. */
int64_t kafka_consumer_end_offset(struct kafka_consumer *c, int32_t partition);

/* What the group has committed. */
struct kafka_committed {
    int64_t offset; /* KAFKA_OFFSET_NONE: nothing */
    char metadata[128];
};

/* kafka_consumer_committed asks for partitions 0 to count - 1. REFUSED. Blocks.
 * Thread: any but the loop. */
must_check enum status kafka_consumer_committed(struct kafka_consumer *c,
                                                size_t count, int timeout_ms,
                                                struct kafka_committed *out,
                                                struct error *err);

/* kafka_consumer_range asks for a partition's first offset and the one behind
 * its last record. REFUSED. Blocks. Thread: any but the loop. */
must_check enum status kafka_consumer_range(struct kafka_consumer *c,
                                            int32_t partition, int timeout_ms,
                                            int64_t *first, int64_t *end,
                                            struct error *err);

#endif
