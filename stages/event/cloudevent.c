/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CloudEvents: attributes, media types, and structured mode in JSON. The text
 * is checked as JSON first, so that the steps through it need no checks.
 */
#include "stages/event/cloudevent.h"

#include "stages/event/event_time.h"

#include "daemon/base/json.h"
#include "daemon/base/macros.h"
#include "daemon/base/text.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

#define TYPE_SHOWN 80

/* The attributes are one level around the event. */
static const struct json_limits limits = {.bytes_max = INT32_MAX - 1,
                                          .depth_max = EVENT_DEPTH_MAX + 1};

/* ---- Attributes ---- */

void
cloudevent_take_id(const char *text, size_t len, struct envelope *out)
{
    if (len > FEATURE_ID_BYTES_MAX || text_utf8_prefix(text, len) != len ||
        memchr(text, '\0', len) != NULL)
        return;
    memcpy(out->id, text, len);
    out->id[len] = '\0';
}

void
cloudevent_take_time(const char *text, size_t len, struct envelope *out)
{
    int64_t time_ms = 0;

    /* RFC 3339 only: it begins with a year and a dash. */
    if (len > 4 && text[4] == '-' &&
        event_time_text(text, len, TIME_AUTO, &time_ms))
        out->time_ms = time_ms;
}

enum status
cloudevent_refuse_type(const char *what, const char *text, size_t len,
                       const char *expected, struct error *err)
{
    char shown[TYPE_SHOWN + 1];
    size_t n = len < TYPE_SHOWN ? len : TYPE_SHOWN;

    for (size_t i = 0; i < n; i++)
        shown[i] = (char)(text[i] >= ' ' && text[i] <= '~' ? text[i] : '?');
    shown[n] = '\0';
    return error_set(err, STATUS_MALFORMED, "%s is '%s', expected %s", what,
                     shown, expected);
}

/* The parameters of a media type, from its first semicolon; false for a
 * charset that is not UTF-8. */
static bool
is_utf8_type(const char *text, size_t len)
{
    static const char key[] = "charset=";
    static const char *const names[] = {"utf-8", "utf8", "us-ascii"};
    size_t i = 0;
    size_t n = 0;

    while (i + sizeof(key) - 1 <= len &&
           strncasecmp(text + i, key, sizeof(key) - 1) != 0)
        i++;
    if (i + sizeof(key) - 1 > len)
        return true;
    i += sizeof(key) - 1;
    i += i < len && text[i] == '"';
    while (i + n < len && strchr("\"; \t", text[i + n]) == NULL)
        n++;
    for (size_t k = 0; k < COUNT(names); k++) {
        if (n == strlen(names[k]) && strncasecmp(text + i, names[k], n) == 0)
            return true;
    }
    return false;
}

enum status
cloudevent_check_type(const char *what, const char *text, size_t len,
                      struct error *err)
{
    size_t n = 0; /* of the type itself */
    size_t start = 0;
    bool is_json;

    while (n < len && text[n] != ';' && text[n] != ' ' && text[n] != '\t')
        n++;
    while (start < n && text[start] != '/')
        start++;
    start++; /* of the subtype */
    is_json = (n == start + 4 && strncasecmp(text + start, "json", 4) == 0) ||
              (n > start + 5 && strncasecmp(text + n - 5, "+json", 5) == 0);
    if (is_json && is_utf8_type(text + n, len - n))
        return STATUS_OK;
    return cloudevent_refuse_type(what, text, len, "JSON in UTF-8", err);
}

/* ---- Steps through a text that is JSON for sure ---- */

static const char *
skip_space(const char *at, const char *end)
{
    while (at < end && strchr(" \t\r\n", *at) != NULL)
        at++;
    return at;
}

/* From the opening quote to behind the closing one. */
static const char *
skip_string(const char *at)
{
    for (at++; *at != '"'; at++)
        at += *at == '\\';
    return at + 1;
}

static const char *
skip_value(const char *at, const char *end)
{
    size_t depth = 0;

    do {
        if (*at == '"') {
            at = skip_string(at);
            continue;
        }
        depth += *at == '{' || *at == '[';
        depth -= *at == '}' || *at == ']';
        at++;
    } while (at < end && (depth > 0 || strchr(",:}] \t\r\n", *at) == NULL));
    return at;
}

static unsigned
read_unit(const char *at)
{
    unsigned unit = 0;

    for (int i = 0; i < 4; i++) {
        unsigned c = (unsigned char)at[i];

        unit = unit * 16 + (c <= '9' ? c - '0' : (c | 0x20u) - 'a' + 10);
    }
    return unit;
}

static size_t
put_character(char out[4], unsigned c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

/* Reads the character at *at, escaped or not, into out; moves *at on. */
static size_t
read_character(const char **at, char out[4])
{
    static const char escapes[] = "bfnrt";
    static const char meanings[] = "\b\f\n\r\t";
    const char *p = *at;
    const char *escape;
    unsigned c;

    if (*p != '\\') {
        out[0] = *p;
        *at = p + 1;
        return 1;
    }
    if (p[1] != 'u') {
        escape = strchr(escapes, p[1]);
        out[0] = p[1];
        if (escape != NULL)
            out[0] = meanings[escape - escapes];
        *at = p + 2;
        return 1;
    }
    c = read_unit(p + 2);
    p += 6;
    if (c >= 0xD800 && c <= 0xDBFF) { /* the second half follows for sure */
        c = 0x10000 + ((c - 0xD800) << 10) + (read_unit(p + 2) - 0xDC00);
        p += 6;
    }
    *at = p;
    return put_character(out, c);
}

/* A text of JSON without its quotes and escapes. */
struct text {
    char bytes[FEATURE_ID_BYTES_MAX + 1];
    size_t len; /* FEATURE_ID_BYTES_MAX + 1: longer, and bytes are "" */
};

/* Reads the string whose opening quote is at `at`. */
static void
read_text(const char *at, struct text *out)
{
    out->len = 0;
    for (at++; *at != '"' && out->len <= FEATURE_ID_BYTES_MAX;) {
        char c[4];
        size_t n = read_character(&at, c);

        if (out->len + n > FEATURE_ID_BYTES_MAX) {
            out->len = FEATURE_ID_BYTES_MAX + 1;
            out->bytes[0] = '\0';
            return;
        }
        memcpy(out->bytes + out->len, c, n);
        out->len += n;
    }
    out->bytes[out->len] = '\0';
}

/* ---- Structured mode ---- */

enum member {
    MEMBER_SPECVERSION,
    MEMBER_ID,
    MEMBER_SOURCE,
    MEMBER_TYPE,
    MEMBER_TIME,
    MEMBER_CONTENT_TYPE,
    MEMBER_DATA,
    MEMBER_DATA_BASE64,
    MEMBER_COUNT,
};

static const char *const member_names[MEMBER_COUNT] = {
    [MEMBER_SPECVERSION] = "specversion",
    [MEMBER_ID] = "id",
    [MEMBER_SOURCE] = "source",
    [MEMBER_TYPE] = "type",
    [MEMBER_TIME] = "time",
    [MEMBER_CONTENT_TYPE] = "datacontenttype",
    [MEMBER_DATA] = "data",
    [MEMBER_DATA_BASE64] = "data_base64",
};

/* Where each member's value is; NULL: there is none. null is as if it were
 * not there, but for data. */
struct members {
    const char *at[MEMBER_COUNT];
    const char *data_end;
};

static enum status
note_member(struct members *m, const char *key, const char *value,
            const char *end, struct error *err)
{
    struct text name;

    read_text(key, &name);
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        if (name.len != strlen(member_names[i]) ||
            memcmp(name.bytes, member_names[i], name.len) != 0)
            continue;
        if (m->at[i] != NULL)
            return error_set(err, STATUS_MALFORMED,
                             "CloudEvent: %s comes twice", member_names[i]);
        m->at[i] = value;
        if (i == MEMBER_DATA)
            m->data_end = end;
    }
    return STATUS_OK;
}

/* at is on the brace that opens the object. */
static enum status
find_members(const char *at, const char *end, struct members *m,
             struct error *err)
{
    enum status st = STATUS_OK;

    at = skip_space(at + 1, end);
    while (*at == '"' && st == STATUS_OK) {
        const char *key = at;
        const char *value = skip_space(skip_string(at), end) + 1;

        value = skip_space(value, end);
        at = skip_value(value, end);
        st = note_member(m, key, value, at, err);
        at = skip_space(at, end);
        if (*at == ',')
            at = skip_space(at + 1, end);
    }
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        if (i != MEMBER_DATA && m->at[i] != NULL && *m->at[i] == 'n')
            m->at[i] = NULL;
    }
    return st;
}

/* The text of an attribute; MALFORMED unless it is one, and not empty. */
static enum status
read_attribute(const struct members *m, enum member which, struct text *out,
               struct error *err)
{
    const char *at = m->at[which];

    if (at != NULL && *at == '"') {
        read_text(at, out);
        if (out->len > 0)
            return STATUS_OK;
    }
    return error_set(err, STATUS_MALFORMED,
                     "CloudEvent: %s %s, expected a text", member_names[which],
                     at == NULL   ? "is missing"
                     : *at == '"' ? "is empty"
                                  : "is no text");
}

static enum status
check_version(const struct members *m, struct error *err)
{
    struct text text;
    enum status st;

    if (m->at[MEMBER_SPECVERSION] == NULL)
        return error_set(err, STATUS_MALFORMED,
                         "no CloudEvent: neither headers ce_specversion and "
                         "content-type nor a specversion in the value "
                         "(events.format: json is for bare events)");
    st = read_attribute(m, MEMBER_SPECVERSION, &text, err);
    if (st == STATUS_OK && strcmp(text.bytes, "1.0") != 0)
        return error_set(err, STATUS_MALFORMED,
                         "CloudEvent: specversion is not 1.0, expected an "
                         "event of CloudEvents 1.0");
    return st;
}

static enum status
check_data(const struct members *m, struct error *err)
{
    const char *data = m->at[MEMBER_DATA];

    if (m->at[MEMBER_DATA_BASE64] != NULL)
        return error_set(err, STATUS_MALFORMED,
                         "CloudEvent: data_base64 is not read, expected the "
                         "event as an object in data");
    if (data == NULL || *data == '{')
        return data != NULL
                   ? STATUS_OK
                   : error_set(err, STATUS_MALFORMED,
                               "CloudEvent: data is missing, expected the "
                               "event as an object");
    return error_set(err, STATUS_MALFORMED,
                     "CloudEvent: data is no object, expected the event");
}

static enum status
read_attributes(const struct members *m, struct envelope *out,
                struct error *err)
{
    struct text text;
    enum status st;

    st = read_attribute(m, MEMBER_SOURCE, &text, err);
    if (st == STATUS_OK)
        st = read_attribute(m, MEMBER_TYPE, &text, err);
    if (st == STATUS_OK)
        st = read_attribute(m, MEMBER_ID, &text, err);
    if (st != STATUS_OK)
        return st;
    cloudevent_take_id(text.bytes, text.len, out);
    if (m->at[MEMBER_TIME] != NULL && *m->at[MEMBER_TIME] == '"') {
        read_text(m->at[MEMBER_TIME], &text);
        cloudevent_take_time(text.bytes, text.len, out);
    }
    if (m->at[MEMBER_CONTENT_TYPE] == NULL)
        return STATUS_OK;
    st = read_attribute(m, MEMBER_CONTENT_TYPE, &text, err);
    if (st == STATUS_OK && text.len > FEATURE_ID_BYTES_MAX)
        st = error_set(err, STATUS_MALFORMED,
                       "CloudEvent: datacontenttype is too long");
    if (st == STATUS_OK)
        st = cloudevent_check_type("CloudEvent: datacontenttype", text.bytes,
                                   text.len, err);
    return st;
}

enum status
cloudevent_open(struct envelope *out, struct error *err)
{
    const char *end = out->event + out->event_bytes;
    struct members m = {0};
    const char *at;
    enum status st;

    assert(out->event != NULL);
    st = json_check(out->event, out->event_bytes, &limits, NULL, err);
    if (st == STATUS_TOOBIG)
        err->status = st = STATUS_MALFORMED; /* no broker takes such */
    if (st != STATUS_OK)
        return st;
    at = skip_space(out->event, end);
    if (*at != '{')
        return error_set(err, STATUS_MALFORMED,
                         "not an object, expected a CloudEvent");
    st = find_members(at, end, &m, err);
    if (st == STATUS_OK)
        st = check_version(&m, err);
    if (st == STATUS_OK)
        st = check_data(&m, err);
    if (st == STATUS_OK)
        st = read_attributes(&m, out, err);
    if (st != STATUS_OK)
        return st;
    out->event = m.at[MEMBER_DATA];
    out->event_bytes = (size_t)(m.data_end - out->event);
    return STATUS_OK;
}
