/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REPLAY_REPLAY_PRIV_H
#define REPLAY_REPLAY_PRIV_H

#include "stages/kafka_settings.h"
#include "stages/replay/input.h"
#include "stages/replay/pace.h"
#include "stages/replay/replay.h"
#include "stages/replay/route.h"

#include "daemon/io/calls.h"
#include "daemon/io/kafka_consumer.h"
#include "daemon/io/kafka_producer.h"

/*
 * What the files of a replay share. Everything is the loop's, but for what is
 * said to be the calls thread's.
 *
 *   replay.c  the course of it, counts, end
 *   find.c    what the topic is, and what of the input it has already
 *   send.c    lines into records, when they are due
 */

enum replay_phase {
    REPLAY_FINDING,  /* asks what the topic is */
    REPLAY_RESUMING, /* reads the last record of each partition */
    REPLAY_SENDING,
    REPLAY_ENDING, /* sends no more; waits for what is not acknowledged */
    REPLAY_ENDED,
};

/* Which replay, and so which partition each line is for, in a header. */
#define REPLAY_HEADER    "distilld-replay"
#define REPLAY_MARK_SIZE 512

/* What an attempt found; the calls thread's while the call is under way. */
struct replay_finding {
    struct kafka_topic topic;
    struct kafka_offset last[KAFKA_PARTITIONS_MAX]; /* OFFSET_NONE: empty */
    bool has_created;
    enum status status;
    struct error error;
};

struct replay {
    unsigned magic;
    const struct settings *settings;
    const struct replay_options *options;
    enum replay_phase phase;
    struct loop *loop;
    struct timer *timer; /* of the next attempt, or of the next event */
    struct timer *deadline;
    struct timer *progress;
    struct calls *calls;
    struct call call;
    struct kafka_settings kafka;
    struct kafka_producer *producer;
    struct kafka_target *target;
    struct kafka_consumer *consumer; /* NULL unless it resumes */
    struct kafka_event event;        /* of it */
    struct replay_finding found;
    int32_t partition_count;
    char mark[REPLAY_MARK_SIZE]; /* behind the line number in the header */
    uint64_t has[KAFKA_PARTITIONS_MAX]; /* the last line that is there */
    size_t unknown;                     /* partitions of has[] */
    struct replay_input *input;
    struct route route;
    struct pace pace;
    struct replay_line line; /* the next; where has_line */
    struct routed routed;
    int32_t partition;
    uint64_t due_ns;
    bool has_line;
    uint64_t pass;
    struct replay_counts counts;
    uint64_t read_bytes; /* of its file */
    uint64_t started_ns; /* when the first was due; 0: none was */
    uint64_t logged_ns;
    uint64_t input_bytes; /* 0: unknown */
    bool was_signalled;
    enum status status;
    struct error error;
};

/* replay_enter is the only place that changes the phase. */
void replay_enter(struct replay *r, enum replay_phase next);

/* replay_fail ends it with an error, the first one counts. */
void replay_fail(struct replay *r, const struct error *err);

/* replay_finish ends it when nothing waits for an acknowledgement. */
void replay_finish(struct replay *r);

/* find_begin asks for the topic, again and again until a broker answers. */
void find_begin(struct replay *r);

/* find_mark writes the header's value for a line; gives its length. */
size_t find_mark(const struct replay *r, uint64_t number, char *out,
                 size_t size);

/* find_on_record is the consumer's on_wake. */
void find_on_record(void *ctx);

/* send_begin opens the input. */
must_check enum status send_begin(struct replay *r, struct error *err);

/* send_lines sends what is due; also the input's on_lines. */
void send_lines(void *ctx);

/* send_on_delivered is the producer's. */
void send_on_delivered(void *ctx, void *opaque, size_t count,
                       const struct error *err);

#endif
