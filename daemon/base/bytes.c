/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bounded growing bytes.
 */
#include "daemon/base/bytes.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 256

void
bytes_init(struct bytes *b, size_t max)
{
    assert(b != NULL);
    *b = (struct bytes){.max = max};
}

void
bytes_fini(struct bytes *b)
{
    assert(b != NULL);
    free(b->data);
    *b = (struct bytes){.max = b->max};
}

enum status
bytes_reserve(struct bytes *b, size_t n, struct error *err)
{
    size_t capacity = b->capacity > 0 ? b->capacity : FIRST_CAPACITY;
    char *grown;

    assert(b->used <= b->capacity);
    if (n > b->max || b->used > b->max - n)
        return error_set(err, STATUS_TOOBIG, "more than %zu bytes", b->max);
    if (n <= b->capacity - b->used)
        return STATUS_OK;
    while (capacity < b->used + n)
        capacity = capacity > b->max / 2 ? b->max : capacity * 2;
    grown = realloc(b->data, capacity);
    if (grown == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for %zu bytes",
                         capacity);
    b->data = grown;
    b->capacity = capacity;
    return STATUS_OK;
}

enum status
bytes_append(struct bytes *b, const void *data, size_t n, struct error *err)
{
    enum status st = bytes_reserve(b, n, err);

    if (st != STATUS_OK)
        return st;
    if (n > 0)
        memcpy(b->data + b->used, data, n);
    b->used += n;
    return STATUS_OK;
}

void
bytes_clear(struct bytes *b)
{
    b->used = 0;
}
