/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_RECORD_H
#define BASE_RECORD_H

#include <stddef.h>
#include <stdint.h>

/*
 * What one record of a log is made of, whoever keeps the log. Everything is
 * borrowed.
 */

#define RECORD_HEADERS_MAX 128

struct record_header {
    const char *name;
    const void *value;
    size_t value_bytes; /* RECORD_HEADER_NULL: value is NULL */
};

#define RECORD_HEADER_NULL SIZE_MAX

struct record {
    const char *value;
    size_t value_bytes;
    const void *key; /* NULL: none */
    size_t key_bytes;
    const struct record_header *headers;
    size_t header_count;
    int32_t partition;
    int64_t offset;
    int64_t timestamp_ms; /* the log's own; 0: it has none */
};

#endif
