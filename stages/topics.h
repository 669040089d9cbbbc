/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STAGES_TOPICS_H
#define STAGES_TOPICS_H

#include "stages/pipeline.h"

#include "daemon/io/kafka.h"

/*
 * The topics of a role: asks brokers what they are, creates those that are
 * missing, and waits for what is not there yet, a broker too, with a message
 * now and then. Blocking calls are made on the pipeline's calls thread.
 *
 * Thread: loop.
 */
struct topics;

/* topics_are_needed says whether a log of this role is in Kafka. */
bool topics_are_needed(const struct settings *s, enum role role);

/* topics_new prepares what the settings of p->role want. */
must_check enum status topics_new(struct topics **out, struct pipeline *p,
                                  struct error *err);
void topics_free(struct topics **self);

/* topics_consumer_properties and topics_producer_properties lend librdkafka's
 * properties as the settings have them, until topics_free. */
const struct kafka_properties *
topics_consumer_properties(const struct topics *t);
const struct kafka_properties *
topics_producer_properties(const struct topics *t);

/*
 * topics_prepare asks through client (borrowed until topics_stop has called
 * back) until everything the role needs is there, then calls on_ready, and asks
 * again every TOPICS_REFRESH_MS, calling on_ready when something has changed.
 * on_failed: it will never be there.
 */
struct topics_callbacks {
    void (*on_ready)(void *ctx);
    void (*on_failed)(void *ctx, const struct error *err);
    void *ctx;
};

#define TOPICS_REFRESH_MS 10000

void topics_prepare(struct topics *t, struct rd_kafka_s *client,
                    const struct topics_callbacks *callbacks);

/* topics_stop asks no more; true: nothing is under way. Otherwise on_ready or
 * on_failed will not be called, but on_idle once. */
bool topics_stop(struct topics *t, void (*on_idle)(void *ctx));

/* topics_answered_ns is when the last question that brokers answered was
 * begun, as clock_now_ns; 0: none was. */
uint64_t topics_answered_ns(const struct topics *t);

/* These lend what is known, as of the last on_ready. */
const struct kafka_topic *topics_input(const struct topics *t);
const struct kafka_topic *topics_labels(const struct topics *t);
const struct kafka_topic *topics_dead_letters(const struct topics *t);

#endif
