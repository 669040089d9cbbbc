/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REPLAY_ROUTE_H
#define REPLAY_ROUTE_H

#include "stages/event/spec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What replay has to know of an event: its key, its time, and the partition
 * that they are for.
 */

#define ROUTE_KEY_MAX 256

struct route {
    const char *key_path;  /* NULL: no keys */
    const char *time_path; /* NULL: times are not needed */
    enum time_unit time_unit;
};

struct routed {
    char key[ROUTE_KEY_MAX]; /* not terminated */
    size_t key_bytes;
    bool has_key;
    bool has_time;
    int64_t time_ms;
};

/*
 * route_read finds key and time in an event. A key is a text, an integer up to
 * JSON_INTEGER_MAX or a boolean, as the text that it is; an event that is no
 * JSON, or whose key is something else or longer than ROUTE_KEY_MAX, has none.
 * Thread: any.
 * Allocates: a tree, for its own time.
 */
void route_read(const struct route *r, const char *event, size_t len,
                struct routed *out);

/* route_partition is where Kafka's Java clients send a record with this key:
 * murmur2 modulo partition_count, which is above 0. Thread: any. */
int32_t route_partition(const void *key, size_t len, int32_t partition_count);

#endif
