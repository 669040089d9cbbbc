/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a message to the event in it.
 */
#include "stages/event/envelope.h"

#include "stages/event/cloudevent.h"
#include "stages/event/decoder.h"

#include "daemon/base/macros.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

#define FRAME_BYTES     5u
#define GUID_BYTES      16u
#define SCHEMA_HEADER   "__value_schema_id"
#define STRUCTURED_TYPE "application/cloudevents"
#define STRUCTURED_JSON "application/cloudevents+json"

const struct record_header *
record_header_find(const struct record_header *headers, size_t header_count,
                   const char *name)
{
    assert((headers != NULL || header_count == 0) && name != NULL);
    for (size_t i = header_count; i > 0; i--) {
        if (strcasecmp(headers[i - 1].name, name) == 0)
            return &headers[i - 1];
    }
    return NULL;
}

static bool
is_null(const struct record_header *h)
{
    return h == NULL || h->value == NULL ||
           h->value_bytes == RECORD_HEADER_NULL;
}

/* ---- Confluent's frame ---- */

static uint32_t
read_big_endian(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 |
           (uint32_t)at[2] << 8 | (uint32_t)at[3];
}

/* The schema as a header names it; the value has no frame then. */
static enum status
read_schema_header(const struct record_header *h, struct envelope *out,
                   struct error *err)
{
    const unsigned char *bytes = h->value;

    if (h->value_bytes == 1 + GUID_BYTES && bytes[0] == 1) {
        out->schema_guid = bytes + 1;
        return STATUS_OK;
    }
    if (h->value_bytes == FRAME_BYTES && bytes[0] == 0) {
        out->has_schema_id = true;
        out->schema_id = read_big_endian(bytes + 1);
        return STATUS_OK;
    }
    return error_set(err, STATUS_MALFORMED,
                     "header " SCHEMA_HEADER ": %zu bytes, expected 0 and an "
                     "id of 4 bytes, or 1 and a GUID of 16",
                     h->value_bytes);
}

static enum status
open_confluent(const struct record_header *headers, size_t header_count,
               struct envelope *out, struct error *err)
{
    const struct record_header *h =
        record_header_find(headers, header_count, SCHEMA_HEADER);
    unsigned first;

    if (!is_null(h))
        return read_schema_header(h, out, err);
    if (out->event_bytes == 0)
        return error_set(err, STATUS_MALFORMED,
                         "empty value, expected byte 0 and a schema's id");
    first = (unsigned char)out->event[0];
    if (first != 0)
        return error_set(err, STATUS_MALFORMED,
                         "byte 0 is 0x%02x, expected 0x00 and a schema's id "
                         "before the event (events.format: json is for events "
                         "without)",
                         first);
    if (out->event_bytes < FRAME_BYTES)
        return error_set(err, STATUS_MALFORMED,
                         "%zu bytes, expected byte 0, a schema's id of 4 bytes "
                         "and an event",
                         out->event_bytes);
    out->has_schema_id = true;
    out->schema_id = read_big_endian((const unsigned char *)out->event + 1);
    out->event += FRAME_BYTES;
    out->event_bytes -= FRAME_BYTES;
    return STATUS_OK;
}

static enum status
open_json(const struct envelope *out, struct error *err)
{
    if (out->event_bytes >= FRAME_BYTES && out->event[0] == '\0')
        return error_set(err, STATUS_MALFORMED,
                         "byte 0 is 0x00, as in Confluent's frame, expected an "
                         "event (events.format: confluent reads those)");
    return STATUS_OK;
}

/* ---- CloudEvents ---- */

/* The attribute as a header has it; false where there is none, or an empty
 * one. */
static bool
find_attribute(const struct record_header *headers, size_t header_count,
               const char *name, const char **text, size_t *len)
{
    const struct record_header *h =
        record_header_find(headers, header_count, name);

    if (is_null(h) || h->value_bytes == 0)
        return false;
    *text = h->value;
    *len = h->value_bytes;
    return true;
}

static enum status
open_binary(const struct record_header *headers, size_t header_count,
            struct envelope *out, struct error *err)
{
    static const char *const needed[] = {"ce_id", "ce_source", "ce_type"};
    const char *text = NULL;
    size_t len = 0;
    enum status st;

    if (!find_attribute(headers, header_count, "ce_specversion", &text, &len) ||
        len != 3 || memcmp(text, "1.0", 3) != 0)
        return error_set(err, STATUS_MALFORMED,
                         "header ce_specversion is not 1.0, expected an event "
                         "of CloudEvents 1.0");
    for (size_t i = 0; i < COUNT(needed); i++) {
        if (!find_attribute(headers, header_count, needed[i], &text, &len))
            return error_set(err, STATUS_MALFORMED,
                             "header %s is missing or empty, expected it in a "
                             "CloudEvent",
                             needed[i]);
    }
    if (find_attribute(headers, header_count, "content-type", &text, &len)) {
        st = cloudevent_check_type("header content-type", text, len, err);
        if (st != STATUS_OK)
            return st;
    }
    if (find_attribute(headers, header_count, "ce_id", &text, &len))
        cloudevent_take_id(text, len, out);
    if (find_attribute(headers, header_count, "ce_time", &text, &len))
        cloudevent_take_time(text, len, out);
    return STATUS_OK;
}

/* A media type without its parameters. */
static bool
is_media_type(const char *text, size_t len, const char *type)
{
    size_t n = strlen(type);

    if (len < n || strncasecmp(text, type, n) != 0)
        return false;
    while (n < len && (text[n] == ' ' || text[n] == '\t'))
        n++;
    return n == len || text[n] == ';';
}

static enum status
open_cloudevent(const struct record_header *headers, size_t header_count,
                struct envelope *out, struct error *err)
{
    const char *type = NULL;
    size_t len = 0;
    bool has_type =
        find_attribute(headers, header_count, "content-type", &type, &len);
    bool has_version =
        record_header_find(headers, header_count, "ce_specversion") != NULL;

    if (has_type && len >= strlen(STRUCTURED_TYPE) &&
        strncasecmp(type, STRUCTURED_TYPE, strlen(STRUCTURED_TYPE)) == 0) {
        if (!is_media_type(type, len, STRUCTURED_JSON))
            return cloudevent_refuse_type("header content-type", type, len,
                                          STRUCTURED_JSON, err);
        return cloudevent_open(out, err);
    }
    if (has_version)
        return open_binary(headers, header_count, out, err);
    if (has_type)
        return error_set(err, STATUS_MALFORMED,
                         "no CloudEvent: neither a header ce_specversion nor a "
                         "content-type of " STRUCTURED_JSON
                         " (events.format: json is for bare events)");
    return cloudevent_open(out, err);
}

/* ---- All of them ---- */

enum status
envelope_open(enum event_format format, const void *value, size_t value_bytes,
              const struct record_header *headers, size_t header_count,
              struct envelope *out, struct error *err)
{
    assert(out != NULL && err != NULL);
    out->event = value;
    out->event_bytes = value_bytes;
    out->has_schema_id = false;
    out->schema_id = 0;
    out->schema_guid = NULL;
    out->time_ms = 0;
    out->id[0] = '\0';
    if (value == NULL)
        return error_set(err, STATUS_MALFORMED,
                         "no value (a tombstone), expected an event");
    switch (format) {
    case EVENT_FORMAT_JSON:
        return open_json(out, err);
    case EVENT_FORMAT_CLOUDEVENTS:
        return open_cloudevent(headers, header_count, out, err);
    case EVENT_FORMAT_CONFLUENT:
        return open_confluent(headers, header_count, out, err);
    }
    return error_set(err, STATUS_INTERNAL, "envelope: format %d", (int)format);
}

void
envelope_fall_back(const struct envelope *e, const struct event_spec *spec,
                   struct columns *c, size_t row, struct event_meta *meta)
{
    assert(e != NULL && spec != NULL && c != NULL && meta != NULL);
    assert(row < c->row_count);
    if (spec->id_path != NULL && meta->id[0] == '\0')
        memcpy(meta->id, e->id, strlen(e->id) + 1);
    if (spec->time_path != NULL && c->time_ms[row] == 0) {
        c->time_ms[row] = e->time_ms;
        meta->time_ms = e->time_ms;
    }
}
