/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EVENT_ENVELOPE_H
#define EVENT_ENVELOPE_H

#include "stages/event/feature_id.h"
#include "stages/event/spec.h"

#include "daemon/base/error.h"
#include "daemon/base/record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Where the event is in a message of the events topic, by events.format.
 * Finds the JSON object and looks at what is around it; the event itself is
 * for the decoder to judge.
 *
 * json         The value is the event.
 *
 * confluent    The value is a byte 0, the schema's id (32 bits, big-endian)
 *              and the event; or, where a header __value_schema_id names the
 *              schema (0 and an id, or 1 and a GUID of 16 bytes), the event
 *              alone. The header wins, as with Confluent's own readers.
 *
 * cloudevents  Structured mode, when the content-type is
 *              application/cloudevents+json: the value is an object with the
 *              attributes and, in `data`, the event. Else binary mode: the
 *              attributes are headers ce_NAME, content-type, if given, is that
 *              of JSON, and the value is the event. A value with neither
 *              header is taken for structured, since some writers leave the
 *              content-type out. Both need specversion 1.0, id, source and
 *              type.
 *
 * Of a header that comes twice, the last counts; names are compared without
 * case. What is refused, as MALFORMED with the reason: a tombstone; a value
 * without the frame or the attributes; data_base64 and data that is no object;
 * data of another type than JSON; formats of CloudEvents other than JSON, and
 * batches; an attribute that comes twice.
 *
 * An event has its id and time at events.id and events.time. One that came as
 * a CloudEvent and has none there that can be read falls back on the attributes
 * `id` and `time`, see envelope_fall_back; where events.id or events.time is
 * empty, events have none, whatever the attributes say. An id longer than
 * FEATURE_ID_BYTES_MAX or without UTF-8, and a time that cannot be read, are as
 * if they were not there.
 */

struct columns;
struct event_meta;

/* What was found. event and schema_guid point into the message. */
struct envelope {
    const char *event;
    size_t event_bytes;
    bool has_schema_id; /* confluent, by its id */
    uint32_t schema_id;
    const unsigned char *schema_guid;  /* confluent, 16 bytes; or NULL */
    int64_t time_ms;                   /* cloudevents; 0: none */
    char id[FEATURE_ID_BYTES_MAX + 1]; /* cloudevents; "": none */
};

/*
 * envelope_open finds the event in a message.
 *
 * value    as it came, value_bytes of it; NULL: a tombstone
 * headers  header_count of them, in the order of the message
 *
 * MALFORMED says what the message lacks, and names the setting where another
 * format fits. Thread: any. Allocates: nothing.
 */
must_check enum status envelope_open(enum event_format format,
                                     const void *value, size_t value_bytes,
                                     const struct record_header *headers,
                                     size_t header_count, struct envelope *out,
                                     struct error *err);

/*
 * envelope_fall_back gives row `row`, decoded from the envelope's event, the
 * envelope's id and time where it has none of its own. spec is the decoder's.
 * Thread: any. Allocates: nothing.
 */
void envelope_fall_back(const struct envelope *e, const struct event_spec *spec,
                        struct columns *c, size_t row, struct event_meta *meta);

/* record_header_find lends the last header of this name, or NULL. Thread:
 * any. */
const struct record_header *
record_header_find(const struct record_header *headers, size_t header_count,
                   const char *name);

#endif
