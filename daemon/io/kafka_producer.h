/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_KAFKA_PRODUCER_H
#define IO_KAFKA_PRODUCER_H

#include "daemon/base/record.h"
#include "daemon/io/kafka.h"
#include "daemon/io/loop.h"

/*
 * An idempotent producer that waits and never gives up: a record stays with it
 * until a broker has acknowledged it, however long that takes. What it accepts
 * for one partition is written in that order and without a gap; where that
 * cannot be kept, it fails as a whole (on_failed), and nothing behind the gap
 * was or will be written by it.
 *
 * Thread: loop, but for the calls that block.
 */
struct kafka_producer;
struct kafka_target; /* a topic to produce to */

struct kafka_producer_spec {
    struct kafka_properties properties;
    const char *transactional_id; /* NULL: no transactions */
    size_t batch_bytes_max; /* of records that go together, where one alone is
                             * not more than that; 0: as configured */

    /*
     * count records with this opaque are settled: acknowledged, where err is
     * NULL, and otherwise given up. Consecutive ones come in one call.
     */
    void (*on_delivered)(void *ctx, void *opaque, size_t count,
                         const struct error *err);
    /* The producer is of no more use; what it holds will be given up. Called
     * once. */
    void (*on_failed)(void *ctx, const struct error *err);
    void *ctx;
};

/* kafka_producer_open makes a producer; it connects beside. Borrows spec until
 * return. CONFIG. */
must_check enum status
kafka_producer_open(struct kafka_producer **out, struct loop *l,
                    const struct kafka_producer_spec *spec, struct error *err);

/* kafka_producer_give_up lets everything fail that is not acknowledged yet:
 * on_delivered follows for each. */
void kafka_producer_give_up(struct kafka_producer *p);

/* kafka_producer_mute ends the callbacks: what is still held goes on its way
 * unseen. Before a free beside the loop. */
void kafka_producer_mute(struct kafka_producer *p);

/* kafka_producer_free gives up what is held, without callbacks, and frees
 * *self; NULL is fine. Muted first, it may be called by any thread; blocks for
 * as long as threads take to end. */
void kafka_producer_free(struct kafka_producer **self);

/* kafka_producer_client lends the handle for the calls of kafka.h. */
struct rd_kafka_s *kafka_producer_client(struct kafka_producer *p);

/* kafka_producer_target lends a topic until kafka_producer_free. */
must_check enum status kafka_producer_target(struct kafka_producer *p,
                                             const char *topic,
                                             struct kafka_target **out,
                                             struct error *err);

/* Any partition: by the hash of the key, or at random without one. */
#define KAFKA_PARTITION_ANY (-1)

/*
 * kafka_producer_send enqueues a record (partition, key, value and headers;
 * its offset and time are the log's to give). The value is borrowed until it
 * is delivered, the rest until return. AGAIN: the queue is full, and
 * on_delivered is the sign that there is room. TOOBIG: larger than the topic
 * takes; nothing was enqueued. Allocates: librdkafka's message.
 */
must_check enum status kafka_producer_send(struct kafka_producer *p,
                                           struct kafka_target *target,
                                           const struct record *record,
                                           void *opaque, struct error *err);

/* kafka_producer_pending counts records that are not settled. */
size_t kafka_producer_pending(const struct kafka_producer *p);

#endif
