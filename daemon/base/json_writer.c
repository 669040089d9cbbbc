/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON into a buffer that never grows.
 */
#include "daemon/base/json_writer.h"

#include "daemon/base/digits.h"
#include "daemon/base/text.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static void
put_bytes(struct json_writer *w, const char *bytes, size_t len)
{
    if (w->is_full || len > w->capacity - w->len) {
        w->is_full = true;
        return;
    }
    memcpy(w->buf + w->len, bytes, len);
    w->len += len;
}

static void
put_line_break(struct json_writer *w)
{
    if (w->indent == 0)
        return;
    put_bytes(w, "\n", 1);
    for (unsigned i = 0; i < w->indent * w->depth; i++)
        put_bytes(w, " ", 1);
}

/* What comes before a value or a key: nothing after a key, else a comma where
 * something is there already, and the line break. */
static void
begin_item(struct json_writer *w)
{
    if (w->is_after_key) {
        w->is_after_key = false;
        return;
    }
    if (w->depth == 0)
        return;
    if ((w->has_item >> (w->depth - 1) & 1u) != 0)
        put_bytes(w, ",", 1);
    w->has_item |= 1u << (w->depth - 1);
    put_line_break(w);
}

static void
open_level(struct json_writer *w, const char *bracket)
{
    begin_item(w);
    assert(w->depth < JSON_WRITER_DEPTH_MAX);
    w->has_item &= ~(1u << w->depth);
    w->depth++;
    put_bytes(w, bracket, 1);
}

static void
close_level(struct json_writer *w, const char *bracket)
{
    bool has_item;

    assert(w->depth > 0 && !w->is_after_key);
    w->depth--;
    has_item = (w->has_item >> w->depth & 1u) != 0;
    if (has_item)
        put_line_break(w);
    put_bytes(w, bracket, 1);
}

static void
put_escaped(struct json_writer *w, unsigned char byte)
{
    static const char names[] = "btn?fr"; /* of 8 to 13; 11 has none */
    char escape[7];

    if (byte == '"' || byte == '\\') {
        escape[0] = '\\';
        escape[1] = (char)byte;
        put_bytes(w, escape, 2);
    } else if (byte >= 8 && byte <= 13 && byte != 11) {
        escape[0] = '\\';
        escape[1] = names[byte - 8];
        put_bytes(w, escape, 2);
    } else {
        (void)snprintf(escape, sizeof(escape), "\\u%04x", byte);
        put_bytes(w, escape, 6);
    }
}

static void
put_quoted(struct json_writer *w, const char *text, size_t len)
{
    size_t from = 0;

    put_bytes(w, "\"", 1);
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)text[i];

        if (byte >= 0x20 && byte != '"' && byte != '\\')
            continue;
        put_bytes(w, text + from, i - from);
        put_escaped(w, byte);
        from = i + 1;
    }
    put_bytes(w, text + from, len - from);
    put_bytes(w, "\"", 1);
}

void
json_writer_init(struct json_writer *w, char *buf, size_t capacity,
                 unsigned indent)
{
    assert(w != NULL && (buf != NULL || capacity == 0));
    *w = (struct json_writer){
        .buf = buf, .capacity = capacity, .indent = indent};
}

void
json_open_object(struct json_writer *w)
{
    open_level(w, "{");
}

void
json_close_object(struct json_writer *w)
{
    close_level(w, "}");
}

void
json_open_array(struct json_writer *w)
{
    open_level(w, "[");
}

void
json_close_array(struct json_writer *w)
{
    close_level(w, "]");
}

void
json_put_key(struct json_writer *w, const char *key)
{
    assert(!w->is_after_key && w->depth > 0);
    begin_item(w);
    put_quoted(w, key, strlen(key));
    put_bytes(w, ": ", w->indent > 0 ? 2 : 1);
    w->is_after_key = true;
}

void
json_put_string(struct json_writer *w, const char *text)
{
    json_put_text(w, text, strlen(text));
}

void
json_put_text(struct json_writer *w, const char *text, size_t len)
{
    begin_item(w);
    put_quoted(w, text, len);
}

void
json_put_base64(struct json_writer *w, const void *bytes, size_t len)
{
    size_t need = TEXT_BASE64_BYTES(len);

    begin_item(w);
    put_bytes(w, "\"", 1);
    if (w->is_full || need > w->capacity - w->len) {
        w->is_full = true;
        return;
    }
    w->len += text_base64(w->buf + w->len, bytes, len);
    put_bytes(w, "\"", 1);
}

void
json_put_int(struct json_writer *w, int64_t value)
{
    char text[DIGITS_MAX];
    size_t len = digits_int(text, value);

    begin_item(w);
    put_bytes(w, text, len);
}

void
json_put_uint(struct json_writer *w, uint64_t value)
{
    char text[DIGITS_MAX];
    size_t len = digits_uint(text, value);

    begin_item(w);
    put_bytes(w, text, len);
}

void
json_put_bool(struct json_writer *w, bool value)
{
    begin_item(w);
    put_bytes(w, value ? "true" : "false", value ? 4 : 5);
}

void
json_put_null(struct json_writer *w)
{
    begin_item(w);
    put_bytes(w, "null", 4);
}

void
json_put_float(struct json_writer *w, float value)
{
    char text[DIGITS_MAX];
    size_t len;

    if (!isfinite(value)) {
        json_put_null(w);
        return;
    }
    len = digits_float(text, value);
    begin_item(w);
    put_bytes(w, text, len);
}

void
json_put_double(struct json_writer *w, double value)
{
    char text[40];
    int len;

    if (!isfinite(value)) {
        json_put_null(w);
        return;
    }
    len = snprintf(text, sizeof(text), "%.17g", value);
    begin_item(w);
    put_bytes(w, text, (size_t)len);
}

void
json_put_raw(struct json_writer *w, const char *json, size_t len)
{
    begin_item(w);
    put_bytes(w, json, len);
}
