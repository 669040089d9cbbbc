/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Label records and dead letters.
 */
#include "stages/event/label.h"

#include "daemon/base/json_writer.h"
#include "daemon/base/text.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#define LABEL_HEAD "{\"schema\":\"" LABEL_SCHEMA "\",\"source\":{\"topic\":\""
#define DEAD_LETTER_HEAD                                                       \
    "{\"schema\":\"" DEAD_LETTER_SCHEMA "\",\"source\":{\"topic\":\""

/* A string's worst case: every byte becomes \u00XX. */
#define ESCAPED_BYTES 6

/* All keys, brackets and integers of a record, generously. */
#define FRAME_BYTES 512

/* So of one header: base64 of one byte is four, and less a byte later on. */
#define HEADER_BYTES 64

/* All texts of a source. */
#define SOURCE_BYTES (LABEL_TOPIC_MAX + LABEL_CLUSTER_MAX + LABEL_TOPIC_ID_MAX)

#define OFFSET_MAX INT64_C(9007199254740991) /* what a JSON number holds */

static void
put_source(struct json_writer *w, const struct label_source *source)
{
    assert(source->topic != NULL && strlen(source->topic) <= LABEL_TOPIC_MAX);
    assert(source->partition >= 0);
    assert(source->offset >= 0 && source->offset <= OFFSET_MAX);
    json_put_key(w, "source");
    json_open_object(w);
    json_put_key(w, "topic");
    json_put_string(w, source->topic);
    json_put_key(w, "partition");
    json_put_int(w, source->partition);
    json_put_key(w, "offset");
    json_put_int(w, source->offset);
    json_put_key(w, "generation");
    json_put_uint(w, source->generation);
    if (source->cluster != NULL) {
        assert(strlen(source->cluster) <= LABEL_CLUSTER_MAX);
        json_put_key(w, "cluster");
        json_put_string(w, source->cluster);
    }
    if (source->topic_id != NULL) {
        assert(strlen(source->topic_id) <= LABEL_TOPIC_ID_MAX);
        json_put_key(w, "topic_id");
        json_put_string(w, source->topic_id);
    }
    json_close_object(w);
}

static void
put_teacher(struct json_writer *w, const struct label *label)
{
    const char *version =
        label->teacher_version != NULL ? label->teacher_version : "";

    if (label->teacher_name == NULL)
        return;
    assert(strlen(label->teacher_name) <= LABEL_TEACHER_MAX);
    assert(strlen(version) <= LABEL_VERSION_MAX);
    json_put_key(w, "teacher");
    json_open_object(w);
    json_put_key(w, "name");
    json_put_string(w, label->teacher_name);
    json_put_key(w, "version");
    json_put_string(w, version);
    json_close_object(w);
}

static void
put_soft_label(struct json_writer *w, const struct label *label,
               const float *logits)
{
    json_put_key(w, "soft_label");
    json_open_object(w);
    for (size_t t = 0; logits != NULL && t < label->task_count; t++) {
        size_t width = event_logit_width(&label->tasks[t]);
        bool is_finite = true;

        for (size_t k = 0; k < width; k++)
            is_finite = is_finite && isfinite(logits[k]);
        if (is_finite) {
            json_put_key(w, label->tasks[t].name);
            json_open_array(w);
            for (size_t k = 0; k < width; k++)
                json_put_float(w, logits[k]);
            json_close_array(w);
        }
        logits += width;
    }
    json_close_object(w);
}

static void
put_choice(struct json_writer *w, const struct label_choice *choice)
{
    if (choice == NULL)
        return;
    assert(strlen(choice->by) <= LABEL_WAY_MAX);
    assert(choice->rate > 0.0 && choice->rate <= 1.0);
    json_put_key(w, "sample");
    json_open_object(w);
    json_put_key(w, "by");
    json_put_string(w, choice->by);
    json_put_key(w, "rate");
    json_put_float(w, (float)choice->rate);
    json_put_key(w, "chosen");
    json_put_bool(w, choice->is_chosen);
    json_close_object(w);
}

static void
put_imagined(struct json_writer *w, const struct label *label)
{
    assert(label->imagined_count <= LABEL_IMAGINED_MAX);
    if (label->imagined_count == 0)
        return;
    json_put_key(w, "imagined");
    json_open_array(w);
    for (size_t i = 0; i < label->imagined_count; i++) {
        const struct label_imagined *event = &label->imagined[i];

        json_open_object(w);
        put_soft_label(w, label, event->logits);
        json_put_key(w, "event");
        json_put_raw(w, event->event, event->event_bytes);
        json_close_object(w);
    }
    json_close_array(w);
}

static bool
is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void
put_event(struct json_writer *w, const struct label *label)
{
    const char *event = label->event;
    size_t len = label->event_bytes;
    size_t from;

    assert(event != NULL);
    while (len > 0 && is_space(event[0])) {
        event++;
        len--;
    }
    while (len > 0 && is_space(event[len - 1]))
        len--;
    assert(len >= 2 && event[0] == '{');
    json_put_key(w, "event");
    json_put_raw(w, event, len);
    if (w->is_full)
        return;
    from = w->len - len;
    for (size_t i = from; i < w->len; i++) {
        if (w->buf[i] == '\n' || w->buf[i] == '\r')
            w->buf[i] = ' ';
    }
}

/* Closes the record and puts its line feed. */
static enum status
finish(struct json_writer *w, size_t *len, struct error *err)
{
    json_close_object(w);
    if (w->is_full || w->len == w->capacity)
        return error_set(err, STATUS_TOOBIG,
                         "record does not fit into %zu bytes", w->capacity);
    w->buf[w->len++] = '\n';
    *len = w->len;
    return STATUS_OK;
}

enum status
label_write(const struct label *label, char *buf, size_t capacity, size_t *len,
            struct error *err)
{
    struct json_writer w;

    assert(label != NULL && len != NULL && err != NULL);
    json_writer_init(&w, buf, capacity, 0);
    json_open_object(&w);
    json_put_key(&w, "schema");
    json_put_string(&w, LABEL_SCHEMA);
    put_source(&w, &label->source);
    put_teacher(&w, label);
    put_soft_label(&w, label, label->logits);
    put_choice(&w, label->choice);
    put_event(&w, label);
    put_imagined(&w, label);
    return finish(&w, len, err);
}

size_t
label_bytes_max(const struct event_task *tasks, size_t task_count,
                size_t event_bytes)
{
    size_t texts =
        SOURCE_BYTES + LABEL_TEACHER_MAX + LABEL_VERSION_MAX + LABEL_WAY_MAX;
    size_t bytes = FRAME_BYTES + event_bytes + texts * ESCAPED_BYTES;

    for (size_t t = 0; t < task_count; t++) {
        bytes += strlen(tasks[t].name) * ESCAPED_BYTES + 8;
        bytes += event_logit_width(&tasks[t]) * 20;
    }
    return bytes;
}

/* Reads `word` and moves *at behind it. */
static bool
expect(const char **at, const char *end, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(end - *at) < len || memcmp(*at, word, len) != 0)
        return false;
    *at += len;
    return true;
}

static bool
read_integer(const char **at, const char *end, int64_t max, int64_t *out)
{
    const char *start = *at;
    int64_t value = 0;

    while (*at < end && **at >= '0' && **at <= '9') {
        int digit = **at - '0';

        if (value > (max - digit) / 10)
            return false;
        value = value * 10 + digit;
        ++*at;
    }
    *out = value;
    return *at > start;
}

/* A name and its closing quote. Topics hold letters, digits and ._-, and file
 * names and Kafka's ids little more, so an escape is simply not understood.
 * name may be NULL. */
static bool
read_name(const char **at, const char *end, size_t max, char *name)
{
    const char *start = *at;
    size_t len;

    while (*at < end && **at != '"' && **at != '\\')
        ++*at;
    len = (size_t)(*at - start);
    if (*at == end || **at == '\\' || len > max)
        return false;
    if (name != NULL) {
        memcpy(name, start, len);
        name[len] = '\0';
    }
    ++*at;
    return true;
}

/* A name that may be left out, behind its key. */
static bool
pass_name(const char **at, const char *end, const char *key, size_t max)
{
    return !expect(at, end, key) || read_name(at, end, max, NULL);
}

enum status
record_source(const char *bytes, size_t len, char *topic, int32_t *partition,
              int64_t *offset, uint32_t *generation, struct error *err)
{
    const char *at = bytes;
    const char *end = bytes + len;
    int64_t values[3];

    assert(partition != NULL && offset != NULL);
    assert(generation != NULL && err != NULL);
    if ((expect(&at, end, LABEL_HEAD) || expect(&at, end, DEAD_LETTER_HEAD)) &&
        read_name(&at, end, LABEL_TOPIC_MAX, topic) &&
        expect(&at, end, ",\"partition\":") &&
        read_integer(&at, end, INT32_MAX, &values[0]) &&
        expect(&at, end, ",\"offset\":") &&
        read_integer(&at, end, OFFSET_MAX, &values[1]) &&
        expect(&at, end, ",\"generation\":") &&
        read_integer(&at, end, UINT32_MAX, &values[2]) &&
        pass_name(&at, end, ",\"cluster\":\"", LABEL_CLUSTER_MAX) &&
        pass_name(&at, end, ",\"topic_id\":\"", LABEL_TOPIC_ID_MAX) &&
        expect(&at, end, "},\"")) {
        *partition = (int32_t)values[0];
        *offset = values[1];
        *generation = (uint32_t)values[2];
        return STATUS_OK;
    }
    return error_set(
        err, STATUS_MALFORMED,
        "byte %zu: not the beginning of a record that distilld wrote",
        (size_t)(at - bytes));
}

/* Bytes as a string under key, or under the other in base64 where they are no
 * text: UTF-8 without NUL. */
static void
put_bytes(struct json_writer *w, const char *key, const char *base64_key,
          const char *bytes, size_t len)
{
    if (text_utf8_prefix(bytes, len) == len &&
        (len == 0 || memchr(bytes, 0, len) == NULL)) {
        json_put_key(w, key);
        json_put_text(w, bytes, len);
    } else {
        json_put_key(w, base64_key);
        json_put_base64(w, bytes, len);
    }
}

static void
put_headers(struct json_writer *w, const struct dead_letter *letter)
{
    if (letter->header_count == 0)
        return;
    json_put_key(w, "headers");
    json_open_array(w);
    for (size_t i = 0; i < letter->header_count; i++) {
        const struct record_header *h = &letter->headers[i];

        json_open_object(w);
        put_bytes(w, "name", "name_base64", h->name, strlen(h->name));
        if (h->value != NULL && h->value_bytes != RECORD_HEADER_NULL) {
            put_bytes(w, "value", "value_base64", h->value, h->value_bytes);
        } else {
            json_put_key(w, "value");
            json_put_null(w);
        }
        json_close_object(w);
    }
    json_close_array(w);
}

static void
put_payload(struct json_writer *w, const struct dead_letter *letter)
{
    bool is_cut = letter->payload_bytes > letter->payload_max;
    size_t len = is_cut ? letter->payload_max : letter->payload_bytes;
    size_t text = text_utf8_prefix(letter->payload, len);

    /* A cut may fall into a character, which then goes as a whole. */
    if (is_cut && len - text <= 3 &&
        text_utf8_prefix(letter->payload + text, letter->payload_bytes - text) >
            0)
        len = text;
    put_bytes(w, "payload", "payload_base64", letter->payload, len);
    if (!is_cut)
        return;
    assert(letter->sha256 != NULL && strlen(letter->sha256) == 64);
    json_put_key(w, "payload_bytes");
    json_put_uint(w, letter->payload_bytes);
    json_put_key(w, "payload_sha256");
    json_put_string(w, letter->sha256);
}

enum status
dead_letter_write(const struct dead_letter *letter, char *buf, size_t capacity,
                  size_t *len, struct error *err)
{
    struct json_writer w;
    size_t reason;

    assert(letter != NULL && letter->reason != NULL && len != NULL);
    assert(letter->payload != NULL || letter->payload_bytes == 0);
    reason = strnlen(letter->reason, ERROR_TEXT_MAX);
    json_writer_init(&w, buf, capacity, 0);
    json_open_object(&w);
    json_put_key(&w, "schema");
    json_put_string(&w, DEAD_LETTER_SCHEMA);
    put_source(&w, &letter->source);
    json_put_key(&w, "reason");
    json_put_text(&w, letter->reason, text_utf8_prefix(letter->reason, reason));
    if (letter->stage != NULL) {
        assert(strlen(letter->stage) <= LABEL_STAGE_MAX);
        json_put_key(&w, "stage");
        json_put_string(&w, letter->stage);
    }
    if (letter->key != NULL)
        put_bytes(&w, "key", "key_base64", letter->key, letter->key_bytes);
    put_headers(&w, letter);
    put_payload(&w, letter);
    return finish(&w, len, err);
}

size_t
dead_letter_bytes_max(size_t payload_max)
{
    return FRAME_BYTES +
           (ERROR_TEXT_MAX + SOURCE_BYTES + LABEL_STAGE_MAX + payload_max) *
               ESCAPED_BYTES;
}

size_t
dead_letter_extra_bytes(const struct dead_letter *letter)
{
    size_t bytes = letter->key == NULL ? 0 : letter->key_bytes * ESCAPED_BYTES;

    for (size_t i = 0; i < letter->header_count; i++) {
        const struct record_header *h = &letter->headers[i];

        bytes += HEADER_BYTES + strlen(h->name) * ESCAPED_BYTES;
        if (h->value != NULL && h->value_bytes != RECORD_HEADER_NULL)
            bytes += h->value_bytes * ESCAPED_BYTES;
    }
    return bytes;
}
