/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_KAFKA_H
#define IO_KAFKA_H

#include "daemon/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What Kafka's consumers and producers share (librdkafka): how they are
 * configured, and what can be asked about topics. The calls that say so block,
 * and are for a thread that may wait, never for the loop.
 */

#define KAFKA_TOPIC_MAX      249
#define KAFKA_PARTITIONS_MAX 1024
#define KAFKA_CLUSTER_MAX    63
#define KAFKA_TOPIC_ID_MAX   31

/* One of librdkafka's configuration properties. */
struct kafka_property {
    const char *name;
    const char *value;
};

struct kafka_properties {
    const struct kafka_property *common;
    size_t common_count;
    const struct kafka_property *own; /* of the client; they override */
    size_t own_count;
};

enum kafka_role {
    KAFKA_CONSUMER,
    KAFKA_PRODUCER,
};

/* kafka_version_text lends the version of librdkafka in use. Thread: any. */
const char *kafka_version_text(void);

/*
 * kafka_property_check says whether librdkafka takes a property, without
 * connecting anywhere, and whether this version of it is known to do what the
 * property asks for: CONFIG with the reason, mostly in librdkafka's own words.
 * Thread: any.
 */
must_check enum status
kafka_property_check(const struct kafka_property *property, struct error *err);

/* What is known of a topic. */
struct kafka_topic {
    char name[KAFKA_TOPIC_MAX + 1];
    int32_t partition_count;             /* 0: the topic does not exist */
    char cluster[KAFKA_CLUSTER_MAX + 1]; /* "": the broker does not tell */
    char id[KAFKA_TOPIC_ID_MAX + 1];     /* "": librdkafka cannot ask */
    size_t record_bytes_max;             /* that the topic takes; 0: unknown */
};

/* How a topic is to be when it has to be created. */
struct kafka_topic_wish {
    const char *name;
    int32_t partitions;
    int32_t replication_factor;
};

/* A client to ask with; either kind of handle lends its own. */
struct rd_kafka_s;

/*
 * kafka_topic_describe asks what a topic is; one that does not exist has 0
 * partitions and is no error. REFUSED when no broker answers within timeout,
 * DENIED. Blocks. Thread: any but the loop.
 */
must_check enum status kafka_topic_describe(struct rd_kafka_s *client,
                                            const char *name, int timeout_ms,
                                            struct kafka_topic *out,
                                            struct error *err);

/*
 * kafka_topic_create creates a topic whose records bear the time of their
 * arrival (LogAppendTime), so that retention does not delete old events that
 * are replayed. One that is there already is fine. Blocks. Thread: any but the
 * loop.
 */
must_check enum status kafka_topic_create(struct rd_kafka_s *client,
                                          const struct kafka_topic_wish *wish,
                                          int timeout_ms, struct error *err);

#endif
