/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a message: the first says which format and headers it has, the
 * others are the value, or a header's. What is found lies within the value;
 * what structured mode finds is an object, the same one that a tree of the
 * value has at data.
 */
#include "stages/event/envelope.h"

#include "daemon/base/json.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TEXT(name, text)                                                       \
    {                                                                          \
        name, text, sizeof(text) - 1                                           \
    }

static struct record_header headers[] = {
    TEXT("ce_specversion", "1.0"),
    TEXT("ce_source", "s"),
    TEXT("ce_type", "t"),
    {NULL, NULL, RECORD_HEADER_NULL},
    TEXT("ce_id", "1"),
};
static const char *const names[] = {"ce_id", "ce_time", "content-type",
                                    "__value_schema_id"};

static void
check_structured(const char *value, size_t bytes, const struct envelope *e)
{
    struct json_limits limits = {.bytes_max = 1 << 20, .depth_max = 64};
    struct cJSON *root = NULL;
    struct cJSON *event = NULL;
    struct error err;
    enum status st;

    assert(e->event_bytes >= 2 && e->event[0] == '{');
    assert(e->event[e->event_bytes - 1] == '}');
    if (json_parse(&root, value, bytes, &limits, NULL, &err) != STATUS_OK)
        return; /* a key twice, somewhere: nothing here looks for those */
    st = json_parse(&event, e->event, e->event_bytes, &limits, NULL, &err);
    assert(st == STATUS_OK);
    assert(json_count(event) == json_count(json_member(root, "data")));
    assert(e->id[0] == '\0' ||
           strcmp(e->id, json_string(json_member(root, "id"))) == 0);
    json_free(&root);
    json_free(&event);
}

/* The value stands alone, so that a step beyond its end is seen. */
static void
check_message(uint8_t choice, const char *value, size_t bytes)
{
    enum event_format format = (enum event_format)(choice % 3);
    bool has_headers = (choice & 0x40) != 0;
    struct envelope e;
    struct error err = {.status = STATUS_OK};
    enum status st;

    st = envelope_open(format, value, bytes, headers, has_headers ? 5 : 0, &e,
                       &err);
    if (st != STATUS_OK) {
        assert(st == STATUS_MALFORMED && err.text[0] != '\0');
        return;
    }
    assert(e.event >= value);
    assert(e.event + e.event_bytes <= value + bytes);
    assert(strlen(e.id) <= FEATURE_ID_BYTES_MAX && e.time_ms >= 0);
    if (format == EVENT_FORMAT_CLOUDEVENTS && !has_headers)
        check_structured(value, bytes, &e);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t header_bytes = size > 1 ? data[1] % 64 : 0;
    char *value;

    if (size < 2 || size - 2 < header_bytes)
        return 0;
    headers[3].name = names[(data[0] >> 4) % 4];
    headers[3].value = data + 2;
    headers[3].value_bytes = header_bytes;
    size -= 2 + header_bytes;
    value = malloc(size + 1);
    assert(value != NULL);
    memcpy(value + 1, data + 2 + header_bytes, size);
    check_message(data[0], value + 1, size);
    free(value);
    return 0;
}
