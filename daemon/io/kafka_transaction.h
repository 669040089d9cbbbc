/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_KAFKA_TRANSACTION_H
#define IO_KAFKA_TRANSACTION_H

#include "daemon/io/kafka_consumer.h"
#include "daemon/io/kafka_producer.h"

/*
 * Transactions of a producer with a transactional_id: what it sent and how far
 * a group's member has read become visible together, or not at all. Everything
 * here blocks, without a limit while brokers are away, and needs the loop to
 * serve the producer meanwhile. Thread: any but the loop, one call at a time.
 */

/* How a call ended. What may have happened and may not have is BROKEN: a new
 * producer with the same id finds out, and fences what is still under way. */
enum transaction_outcome {
    TRANSACTION_DONE,
    TRANSACTION_ABORTED, /* nothing of it counts; the producer goes on */
    TRANSACTION_BROKEN,  /* the producer is of no more use */
    TRANSACTION_FENCED,  /* likewise: another one has its id */
    TRANSACTION_DENIED,  /* likewise: the brokers do not allow it */
};

/* transaction_init ends what an earlier producer with this id left open.
 * Once, before the first begin. */
enum transaction_outcome transaction_init(struct kafka_producer *p,
                                          struct error *err);

/* transaction_begin opens one. */
enum transaction_outcome transaction_begin(struct kafka_producer *p,
                                           struct error *err);

/*
 * transaction_commit adds offsets (of topic, as member's group has read it; 0:
 * none) and commits; what cannot be committed is aborted. err says why, unless
 * DONE.
 */
enum transaction_outcome transaction_commit(struct kafka_producer *p,
                                            struct kafka_consumer *member,
                                            const char *topic,
                                            const struct kafka_offset *offsets,
                                            size_t count, struct error *err);

/* transaction_abort gives ABORTED, or why it could not. */
enum transaction_outcome transaction_abort(struct kafka_producer *p,
                                           struct error *err);

#endif
