/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_JSON_WRITER_H
#define BASE_JSON_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Writes JSON into a caller's buffer, commas by itself. Deterministic: the
 * same calls give the same bytes. What does not fit sets is_full, and every
 * later call does nothing; look once, at the end:
 *
 *     json_writer_init(&w, buf, sizeof(buf), 0);
 *     json_open_object(&w);
 *     json_put_key(&w, "rows");
 *     json_put_int(&w, 7);
 *     json_close_object(&w);
 *     if (w.is_full) ...
 *
 * All functions: thread: the one that has the writer. Allocate: nothing.
 */

#define JSON_WRITER_DEPTH_MAX 32

struct json_writer {
    char *buf;
    size_t capacity;
    size_t len;
    unsigned indent; /* spaces a level; 0: everything on one line */
    unsigned depth;
    uint32_t has_item; /* bit d: something is at depth d already */
    bool is_after_key;
    bool is_full;
};

/* json_writer_init borrows buf until the last call. */
void json_writer_init(struct json_writer *w, char *buf, size_t capacity,
                      unsigned indent);

void json_open_object(struct json_writer *w);
void json_close_object(struct json_writer *w);
void json_open_array(struct json_writer *w);
void json_close_array(struct json_writer *w);

void json_put_key(struct json_writer *w, const char *key);
void json_put_string(struct json_writer *w, const char *text);

/* json_put_text is json_put_string for len bytes of UTF-8. */
void json_put_text(struct json_writer *w, const char *text, size_t len);

/* json_put_base64 puts bytes as a string in base64. */
void json_put_base64(struct json_writer *w, const void *bytes, size_t len);

void json_put_int(struct json_writer *w, int64_t value);
void json_put_uint(struct json_writer *w, uint64_t value);
void json_put_bool(struct json_writer *w, bool value);
void json_put_null(struct json_writer *w);

/* json_put_float and json_put_double put the number with 9 and 17 digits at
 * most: reading it gives the same bits. null for NaN and infinities. */
void json_put_float(struct json_writer *w, float value);
void json_put_double(struct json_writer *w, double value);

/* json_put_raw puts a value that is JSON already. */
void json_put_raw(struct json_writer *w, const char *json, size_t len);

#endif
