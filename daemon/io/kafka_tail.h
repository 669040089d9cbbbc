/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_KAFKA_TAIL_H
#define IO_KAFKA_TAIL_H

#include "daemon/base/bytes.h"
#include "daemon/io/kafka.h"

/*
 * The last records of a topic's partitions, to see how far somebody came.
 * Everything here blocks. Thread: any but the loop, one at a time.
 */
struct kafka_tail;

/* kafka_tail_open makes a client of its own; borrows topic. CONFIG. */
must_check enum status
kafka_tail_open(struct kafka_tail **out,
                const struct kafka_properties *properties, const char *topic,
                struct error *err);
void kafka_tail_close(struct kafka_tail **self);

/* kafka_tail_client lends the handle for the calls of kafka.h. */
struct rd_kafka_s *kafka_tail_client(struct kafka_tail *t);

/* kafka_tail_read writes the value of a partition's last record, empty where it
 * has none. REFUSED. */
must_check enum status kafka_tail_read(struct kafka_tail *t, int32_t partition,
                                       int timeout_ms, struct bytes *value,
                                       struct error *err);

#endif
