/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages in every format: where the event in them is, and what is refused.
 * The messages of tests/data/fixtures/cloudevents.json come from the
 * CloudEvents SDK for Python (tests/support/make_cloudevents.py).
 */
#include "stages/event/batch_columns.h"
#include "stages/event/decoder.h"
#include "stages/event/envelope.h"

#include "daemon/base/json.h"

#include "tests/support/check.h"

#include <stdlib.h>

#define HEADERS_MAX 16

static struct envelope e;
static struct error err;

static struct record_header
header(const char *name, const char *value)
{
    return (struct record_header){
        name, value, value == NULL ? RECORD_HEADER_NULL : strlen(value)};
}

static enum status
open_text(enum event_format format, const char *value,
          const struct record_header *headers, size_t header_count)
{
    return envelope_open(format, value, strlen(value), headers, header_count,
                         &e, &err);
}

/* The event that was found, as text. */
static const char *
found(void)
{
    static char text[4096];

    (void)snprintf(text, sizeof(text), "%.*s", (int)e.event_bytes, e.event);
    return text;
}

static void
a_json_message_is_the_event(void)
{
    CHECK_INT(open_text(EVENT_FORMAT_JSON, " {\"a\":1}", NULL, 0), STATUS_OK);
    CHECK_STR(found(), " {\"a\":1}");
    CHECK(!e.has_schema_id && e.schema_guid == NULL);
    CHECK_STR(e.id, "");
    CHECK_INT(e.time_ms, 0);
    /* What is no JSON is the decoder's to tell, but for this. */
    CHECK_INT(open_text(EVENT_FORMAT_JSON, "x", NULL, 0), STATUS_OK);
    CHECK_INT(
        envelope_open(EVENT_FORMAT_JSON, "\0\0\0\0\7{}", 7, NULL, 0, &e, &err),
        STATUS_MALFORMED);
    CHECK_HAS(err.text, "events.format: confluent");
}

static void
a_tombstone_has_no_event(void)
{
    for (int format = 0; format < 3; format++) {
        CHECK_INT(envelope_open((enum event_format)format, NULL, 0, NULL, 0, &e,
                                &err),
                  STATUS_MALFORMED);
        CHECK_HAS(err.text, "tombstone");
    }
}

static void
confluent_frames_are_cut_off(void)
{
    static const char framed[] = "\0\x01\x02\x03\xfe{\"a\":1}";

    CHECK_INT(envelope_open(EVENT_FORMAT_CONFLUENT, framed, sizeof(framed) - 1,
                            NULL, 0, &e, &err),
              STATUS_OK);
    CHECK_STR(found(), "{\"a\":1}");
    CHECK(e.has_schema_id);
    CHECK_INT(e.schema_id, 0x010203fe);
    /* Nothing behind the frame is left to the decoder: an empty record. */
    CHECK_INT(
        envelope_open(EVENT_FORMAT_CONFLUENT, framed, 5, NULL, 0, &e, &err),
        STATUS_OK);
    CHECK_INT(e.event_bytes, 0);
}

static void
what_has_no_frame_is_refused(void)
{
    CHECK_INT(open_text(EVENT_FORMAT_CONFLUENT, "{\"a\":1}", NULL, 0),
              STATUS_MALFORMED);
    CHECK_STR(err.text, "byte 0 is 0x7b, expected 0x00 and a schema's id "
                        "before the event (events.format: json is for events "
                        "without)");
    CHECK_INT(open_text(EVENT_FORMAT_CONFLUENT, "", NULL, 0), STATUS_MALFORMED);
    for (size_t n = 1; n < 5; n++)
        CHECK_INT(envelope_open(EVENT_FORMAT_CONFLUENT, "\0\0\0\0", n, NULL, 0,
                                &e, &err),
                  STATUS_MALFORMED);
}

static void
a_schema_may_stand_in_a_header(void)
{
    static const char guid[] = "\x01"
                               "0123456789abcdef";
    struct record_header h = {"__value_schema_id", guid, 17};

    CHECK_INT(open_text(EVENT_FORMAT_CONFLUENT, "{}", &h, 1), STATUS_OK);
    CHECK_STR(found(), "{}");
    CHECK(e.schema_guid != NULL && memcmp(e.schema_guid, guid + 1, 16) == 0);
    CHECK(!e.has_schema_id);
    h.value = "\0\0\0\1\2";
    h.value_bytes = 5;
    CHECK_INT(open_text(EVENT_FORMAT_CONFLUENT, "{}", &h, 1), STATUS_OK);
    CHECK_INT(e.schema_id, 258);
    for (size_t n = 0; n < 24; n++) {
        h.value = "\x02"
                  "0123456789abcdef0123456789";
        h.value_bytes = n;
        CHECK_INT(open_text(EVENT_FORMAT_CONFLUENT, "{}", &h, 1),
                  STATUS_MALFORMED);
    }
    /* A null header is none. */
    h = header("__value_schema_id", NULL);
    CHECK_INT(open_text(EVENT_FORMAT_CONFLUENT, "{}", &h, 1), STATUS_MALFORMED);
    CHECK_HAS(err.text, "byte 0");
}

/* ---- CloudEvents ---- */

static size_t
read_headers(const struct cJSON *object, struct record_header *headers)
{
    size_t count = 0;

    for (const struct cJSON *c = json_first(object); c != NULL;
         c = json_next(c)) {
        CHECK(count < HEADERS_MAX);
        if (count < HEADERS_MAX)
            headers[count++] = header(json_key(c), json_string(c));
    }
    return count;
}

static void
check_vector(const struct cJSON *v)
{
    const char *name = json_string(json_member(v, "name"));
    const char *value = json_string(json_member(v, "value"));
    const char *problem = json_string(json_member(v, "problem"));
    struct record_header headers[HEADERS_MAX];
    size_t count = read_headers(json_member(v, "headers"), headers);
    int64_t time_ms = 0;
    enum status st = open_text(EVENT_FORMAT_CLOUDEVENTS, value, headers, count);

    if (problem != NULL) {
        CHECK_INT(st, STATUS_MALFORMED);
        CHECK_HAS(err.text, problem);
        return;
    }
    CHECK_INT(st, STATUS_OK);
    if (st != STATUS_OK) {
        (void)printf("  %s: %s\n", name, err.text);
        return;
    }
    CHECK(e.event >= value && e.event + e.event_bytes <= value + strlen(value));
    CHECK_STR(found(), json_string(json_member(v, "event")));
    CHECK_STR(e.id, json_string(json_member(v, "id")));
    CHECK(json_integer(json_member(v, "time_ms"), &time_ms));
    CHECK_INT(e.time_ms, time_ms);
}

static void
messages_of_the_sdk_are_read(void)
{
    static char text[1 << 16];
    struct json_limits limits = {.bytes_max = sizeof(text), .depth_max = 16};
    FILE *f = fopen("tests/data/fixtures/cloudevents.json", "r");
    struct cJSON *root = NULL;
    size_t n = f == NULL ? 0 : fread(text, 1, sizeof(text), f);
    size_t count = 0;

    CHECK(f != NULL); /* run from the root of the tree */
    if (f == NULL)
        return;
    (void)fclose(f);
    CHECK_INT(json_parse(&root, text, n, &limits, NULL, &err), STATUS_OK);
    for (const struct cJSON *v = json_first(root); v != NULL;
         v = json_next(v), count++)
        check_vector(v);
    CHECK(count >= 12);
    json_free(&root);
}

#define BINARY                                                                 \
    header("ce_specversion", "1.0"), header("ce_id", "1"),                     \
        header("ce_source", "/s"), header("ce_type", "t")

static void
binary_attributes_must_be_there(void)
{
    struct record_header h[] = {BINARY, header("content-type", "text/json")};

    CHECK_INT(open_text(EVENT_FORMAT_CLOUDEVENTS, "{}", h, 5), STATUS_OK);
    CHECK_INT(open_text(EVENT_FORMAT_CLOUDEVENTS, "{}", h, 4), STATUS_OK);
    for (size_t i = 0; i < 4; i++) {
        struct record_header kept = h[i];

        h[i] = header(kept.name, "");
        CHECK_INT(open_text(EVENT_FORMAT_CLOUDEVENTS, "{}", h, 5),
                  STATUS_MALFORMED);
        CHECK_HAS(err.text, kept.name);
        h[i] = header(kept.name, NULL);
        CHECK_INT(open_text(EVENT_FORMAT_CLOUDEVENTS, "{}", h, 5),
                  STATUS_MALFORMED);
        h[i] = kept;
    }
    h[0] = header("ce_specversion", "1.1");
    CHECK_INT(open_text(EVENT_FORMAT_CLOUDEVENTS, "{}", h, 5),
              STATUS_MALFORMED);
}

static void
data_must_be_json(void)
{
    static const char *const good[] = {
        "application/json", "Application/JSON; charset=UTF-8",
        "application/vnd.x+json", "text/json;charset=\"utf-8\"",
        "application/json ; a=b"};
    static const char *const bad[] = {"text/plain",
                                      "application/json; charset=latin1",
                                      "application/jsonp",
                                      "json",
                                      "/",
                                      "application/xml+jso",
                                      "application/+json",
                                      "+json",
                                      "application/protobuf;x=json"};
    struct record_header h[] = {BINARY, header("Content-Type", "")};

    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        h[4] = header("Content-Type", good[i]);
        CHECK_INT(open_text(EVENT_FORMAT_CLOUDEVENTS, "{}", h, 5), STATUS_OK);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        h[4] = header("content-type", bad[i]);
        CHECK_INT(open_text(EVENT_FORMAT_CLOUDEVENTS, "{}", h, 5),
                  STATUS_MALFORMED);
        CHECK_HAS(err.text, "expected JSON in UTF-8");
    }
}

static void
the_last_header_of_a_name_counts(void)
{
    struct record_header h[] = {header("ce_id", ""), BINARY,
                                header("CE_ID", "2"),
                                header("ce_time", "2026-11-23T15:59:58Z")};

    CHECK_INT(open_text(EVENT_FORMAT_CLOUDEVENTS, "{}", h, 7), STATUS_OK);
    CHECK_STR(e.id, "2");
    CHECK_INT(e.time_ms, 1795449598000);
    CHECK(record_header_find(h, 7, "ce_id") == &h[5]);
    CHECK(record_header_find(h, 7, "ce") == NULL);
    CHECK(record_header_find(NULL, 0, "ce") == NULL);
}

static void
attributes_that_cannot_be_used_are_left_out(void)
{
    char id[300];
    struct record_header h[] = {
        BINARY, header("ce_time", "yesterday"), {"ce_id", id, 257}};

    memset(id, 'x', sizeof(id));
    CHECK_INT(open_text(EVENT_FORMAT_CLOUDEVENTS, "{}", h, 6), STATUS_OK);
    CHECK_STR(e.id, "");
    CHECK_INT(e.time_ms, 0);
    h[5].value_bytes = 256;
    CHECK_INT(open_text(EVENT_FORMAT_CLOUDEVENTS, "{}", h, 6), STATUS_OK);
    CHECK_INT(strlen(e.id), 256);
    id[3] = '\0';
    CHECK_INT(open_text(EVENT_FORMAT_CLOUDEVENTS, "{}", h, 6), STATUS_OK);
    CHECK_STR(e.id, "");
    id[3] = '\xff';
    CHECK_INT(open_text(EVENT_FORMAT_CLOUDEVENTS, "{}", h, 6), STATUS_OK);
    CHECK_STR(e.id, "");
    /* A number is no time of CloudEvents. */
    h[4] = header("ce_time", "1795449598");
    CHECK_INT(open_text(EVENT_FORMAT_CLOUDEVENTS, "{}", h, 5), STATUS_OK);
    CHECK_INT(e.time_ms, 0);
}

#define ATTRIBUTES "\"specversion\":\"1.0\",\"source\":\"s\",\"type\":\"t\","

static void
structured_events_are_cut_out(void)
{
    static const char *const types[] = {"application/cloudevents+json",
                                        "Application/CloudEvents+JSON ;a=b"};
    static const char value[] =
        " {" ATTRIBUTES "\"time\":\"2026-11-23T15:59:58.1\\u002b05:30\",\n"
        "\"\\u0069d\":\"\\u00e9\\ud83d\\ude00\\n\\/\", \"x\" : [{\"data\":1}],"
        "\"data\" : {\"a\":\"}\\\"\"}\t, \"subject\":null} ";

    for (size_t i = 0; i < 2; i++) {
        struct record_header h = header("content-type", types[i]);

        CHECK_INT(open_text(EVENT_FORMAT_CLOUDEVENTS, value, &h, 1), STATUS_OK);
        CHECK_STR(found(), "{\"a\":\"}\\\"\"}");
        CHECK_STR(e.id, "\xc3\xa9\xf0\x9f\x98\x80\n/");
        CHECK_INT(e.time_ms, 1795429798100);
    }
    /* Some writers say nothing in headers. */
    CHECK_INT(open_text(EVENT_FORMAT_CLOUDEVENTS, value, NULL, 0), STATUS_OK);
    CHECK_STR(found(), "{\"a\":\"}\\\"\"}");
}

struct refusal {
    const char *value;
    const char *why;
};

static void
structured_events_must_be_whole(void)
{
    static const struct refusal refusals[] = {
        {"", "empty record"},
        {"{", "expected a key"},
        {"[]", "not an object"},
        {"{}", "events.format: json"},
        {"{\"user_id\":1}", "events.format: json"},
        {"{\"specversion\":1.0}", "specversion is no text"},
        {"{\"specversion\":\"0.3\"}", "specversion is not 1.0"},
        {"{" ATTRIBUTES "\"data\":{}}", "id is missing"},
        {"{" ATTRIBUTES "\"id\":\"\",\"data\":{}}", "id is empty"},
        {"{" ATTRIBUTES "\"id\":1,\"data\":{}}", "id is no text"},
        {"{" ATTRIBUTES "\"id\":null,\"data\":{}}", "id is missing"},
        {"{" ATTRIBUTES "\"id\":\"1\"}", "data is missing"},
        {"{" ATTRIBUTES "\"id\":\"1\",\"data\":null}", "data is no object"},
        {"{" ATTRIBUTES "\"id\":\"1\",\"data\":\"{}\"}", "data is no object"},
        {"{" ATTRIBUTES "\"id\":\"1\",\"data_base64\":\"e30=\"}",
         "data_base64 is not read"},
        {"{" ATTRIBUTES "\"id\":\"1\",\"data\":{},\"d\\u0061ta\":{\"a\":1}}",
         "data comes twice"},
        {"{" ATTRIBUTES "\"id\":\"1\",\"id\":\"2\",\"data\":{}}",
         "id comes twice"},
        {"{" ATTRIBUTES "\"id\":\"1\",\"data\":{},\"datacontenttype\":\"a/b\"}",
         "datacontenttype is 'a/b', expected JSON in UTF-8"},
        {"{" ATTRIBUTES "\"id\":\"1\",\"data\":{}} x", "more after the end"},
    };
    struct record_header h =
        header("content-type", "application/cloudevents+json");

    for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
        CHECK_INT(open_text(EVENT_FORMAT_CLOUDEVENTS, refusals[i].value, &h, 1),
                  STATUS_MALFORMED);
        CHECK_HAS(err.text, refusals[i].why);
    }
}

static void
other_forms_of_cloudevents_are_refused(void)
{
    static const char *const types[] = {
        "application/cloudevents", "application/cloudevents+avro",
        "application/cloudevents-batch+json", "application/cloudevents+jsonx"};
    struct record_header h;

    for (size_t i = 0; i < 4; i++) {
        h = header("content-type", types[i]);
        CHECK_INT(open_text(EVENT_FORMAT_CLOUDEVENTS, "{}", &h, 1),
                  STATUS_MALFORMED);
        CHECK_HAS(err.text, "expected application/cloudevents+json");
    }
    h = header("content-type", "application/json");
    CHECK_INT(open_text(EVENT_FORMAT_CLOUDEVENTS, "{}", &h, 1),
              STATUS_MALFORMED);
    CHECK_HAS(err.text, "no CloudEvent");
}

/* ---- What an event falls back on ---- */

static void
an_event_falls_back_on_the_attributes(void)
{
    static const struct event_feature features[] = {
        {.name = "u", .kind = FEATURE_CATEGORICAL, .path = "u"}};
    struct event_spec spec = {.features = features,
                              .feature_count = 1,
                              .id_path = "id",
                              .time_path = "ts"};
    struct record_header h[] = {BINARY,
                                header("ce_time", "2026-11-23T15:59:58Z")};
    struct event_meta meta;
    struct decoder *d = NULL;
    struct columns *c = NULL;

    CHECK_INT(decoder_new(&d, &spec, &err), STATUS_OK);
    CHECK_INT(columns_new(&c, &spec, 3, &err), STATUS_OK);
    CHECK_INT(open_text(EVENT_FORMAT_CLOUDEVENTS, "{\"u\":1}", h, 5),
              STATUS_OK);
    CHECK_INT(decoder_decode(d, e.event, e.event_bytes, c, 0, &meta, &err),
              STATUS_OK);
    envelope_fall_back(&e, &spec, c, 0, &meta);
    CHECK_STR(meta.id, "1");
    CHECK_INT(meta.time_ms, 1795449598000);
    CHECK_INT(c->time_ms[0], 1795449598000);
    /* Its own win. */
    CHECK_INT(open_text(EVENT_FORMAT_CLOUDEVENTS,
                        "{\"id\":\"own\",\"ts\":1795449000}", h, 5),
              STATUS_OK);
    CHECK_INT(decoder_decode(d, e.event, e.event_bytes, c, 1, &meta, &err),
              STATUS_OK);
    envelope_fall_back(&e, &spec, c, 1, &meta);
    CHECK_STR(meta.id, "own");
    CHECK_INT(c->time_ms[1], 1795449000000);
    /* Where events have no id and time, attributes change nothing. */
    spec.id_path = NULL;
    spec.time_path = NULL;
    CHECK_INT(decoder_decode(d, "{}", 2, c, 2, &meta, &err), STATUS_OK);
    envelope_fall_back(&e, &spec, c, 2, &meta);
    CHECK_STR(meta.id, "");
    CHECK_INT(c->time_ms[2], 0);
    columns_free(&c);
    decoder_free(&d);
}

int
main(void)
{
    RUN(a_json_message_is_the_event);
    RUN(a_tombstone_has_no_event);
    RUN(confluent_frames_are_cut_off);
    RUN(what_has_no_frame_is_refused);
    RUN(a_schema_may_stand_in_a_header);
    RUN(messages_of_the_sdk_are_read);
    RUN(binary_attributes_must_be_there);
    RUN(data_must_be_json);
    RUN(the_last_header_of_a_name_counts);
    RUN(attributes_that_cannot_be_used_are_left_out);
    RUN(structured_events_are_cut_out);
    RUN(structured_events_must_be_whole);
    RUN(other_forms_of_cloudevents_are_refused);
    RUN(an_event_falls_back_on_the_attributes);
    return check_report();
}
