/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packing headers, and reading them back.
 */
#include "stages/event/headers.h"

#include "stages/event/envelope.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#define LENGTHS_BYTES 6
#define VALUE_NULL    UINT32_MAX

static void
put_lengths(unsigned char *at, size_t name, uint32_t value)
{
    at[0] = (unsigned char)(name & 0xff);
    at[1] = (unsigned char)(name >> 8);
    for (unsigned i = 0; i < 4; i++)
        at[2 + i] = (unsigned char)(value >> (8 * i) & 0xff);
}

enum status
headers_pack(struct bytes *out, const struct record_header *headers,
             size_t count, struct error *err)
{
    enum status st = STATUS_OK;

    for (size_t i = 0; i < count && st == STATUS_OK; i++) {
        const struct record_header *h = &headers[i];
        unsigned char lengths[LENGTHS_BYTES];
        size_t name = strlen(h->name);
        bool is_null = h->value_bytes == RECORD_HEADER_NULL;

        if (name > UINT16_MAX || (!is_null && h->value_bytes >= VALUE_NULL))
            return error_set(err, STATUS_TOOBIG,
                             "header of %zu and %zu bytes is too long", name,
                             h->value_bytes);
        put_lengths(lengths, name,
                    is_null ? VALUE_NULL : (uint32_t)h->value_bytes);
        st = bytes_append(out, lengths, sizeof(lengths), err);
        if (st == STATUS_OK)
            st = bytes_append(out, h->name, name + 1, err);
        if (st == STATUS_OK && !is_null)
            st = bytes_append(out, h->value, h->value_bytes, err);
    }
    return st;
}

size_t
headers_unpack(const char *bytes, size_t len,
               struct record_header out[RECORD_HEADERS_MAX])
{
    const unsigned char *at = (const unsigned char *)bytes;
    const unsigned char *end = at + len;
    size_t count = 0;

    while (at < end) {
        struct record_header *h = &out[count++];
        size_t name = (size_t)at[0] | (size_t)at[1] << 8;
        uint32_t value = (uint32_t)at[2] | (uint32_t)at[3] << 8 |
                         (uint32_t)at[4] << 16 | (uint32_t)at[5] << 24;

        assert(count <= RECORD_HEADERS_MAX);
        h->name = (const char *)at + LENGTHS_BYTES;
        at += LENGTHS_BYTES + name + 1;
        h->value = value == VALUE_NULL ? NULL : at;
        h->value_bytes = value == VALUE_NULL ? RECORD_HEADER_NULL : value;
        at += value == VALUE_NULL ? 0 : value;
    }
    assert(at == end);
    return count;
}

int64_t
headers_event_time(const struct record_header *headers, size_t count)
{
    const struct record_header *h =
        record_header_find(headers, count, HEADER_EVENT_TIME);
    const char *text = h != NULL ? h->value : NULL;
    int64_t ms = 0;

    if (text == NULL || h->value_bytes == 0 || h->value_bytes > 15)
        return 0;
    for (size_t i = 0; i < h->value_bytes; i++) {
        if (text[i] < '0' || text[i] > '9')
            return 0;
        ms = ms * 10 + (text[i] - '0');
    }
    return ms;
}
