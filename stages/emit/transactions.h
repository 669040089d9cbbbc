/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EMIT_TRANSACTIONS_H
#define EMIT_TRANSACTIONS_H

#include "stages/pipeline.h"

#include "daemon/io/kafka_transaction.h"

/*
 * The transactions of a sink's producer, one after the other: each step is a
 * call on the pipeline's calls thread, and on_step tells how it ended.
 *
 *   CLOSED -- init --> READY -- begin --> OPEN -- commit, abort --> READY
 *
 * A step that ends neither DONE nor ABORTED leaves CLOSED. Thread: loop.
 */
struct transactions;

enum transactions_state {
    TRANSACTIONS_CLOSED,
    TRANSACTIONS_READY,
    TRANSACTIONS_OPEN,
    TRANSACTIONS_BUSY, /* a step is under way */
};

enum transactions_step {
    TRANSACTIONS_INIT,
    TRANSACTIONS_BEGIN,
    TRANSACTIONS_COMMIT,
    TRANSACTIONS_ABORT,
};

typedef void (*transactions_fn)(void *ctx, enum transactions_step step,
                                enum transaction_outcome outcome,
                                const struct error *err);

must_check enum status transactions_new(struct transactions **out,
                                        struct pipeline *p,
                                        transactions_fn on_step, void *ctx,
                                        struct error *err);
void transactions_free(struct transactions **self);

/* transactions_id lends the producer's transactional.id: the one of the
 * settings, or one that no other process has. */
const char *transactions_id(const struct transactions *t);

enum transactions_state transactions_state(const struct transactions *t);

/* transactions_do begins a step of a producer, which is borrowed until
 * on_step. after: COMMIT commits these positions with it. */
void transactions_do(struct transactions *t, enum transactions_step step,
                     struct kafka_producer *producer,
                     const struct positions *after);

/* transactions_close says that the producer is of no more use; no step is under
 * way. */
void transactions_close(struct transactions *t);

/* transactions_report counts how they ended. */
void transactions_report(const struct transactions *t, struct role_report *r);

#endif
