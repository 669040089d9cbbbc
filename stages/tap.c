/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bucket of tokens a client: it fills with the rate, up to one second's
 * worth, and each record takes one.
 */
#include "stages/tap.h"

#include "daemon/base/clock.h"
#include "daemon/base/object.h"

#include <stdlib.h>
#include <string.h>

#define TAP_MAGIC   0x54415050u
#define CLIENTS_MAX 8
#define LINE_MAX    ((size_t)128 << 10)

struct tap_client {
    struct tap *tap;
    struct http_stream *stream; /* NULL: the place is free */
    enum tap_kind kind;
    double rate;
    double tokens;
    uint64_t filled_ns;
    uint64_t left; /* records until it ends */
};

struct tap {
    unsigned magic;
    struct tap_client clients[CLIENTS_MAX];
    unsigned counts[TAP_KINDS]; /* of clients */
    struct bytes line;
};

enum status
tap_new(struct tap **out, struct error *err)
{
    struct tap *t = calloc(1, sizeof(*t));

    if (t == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a tap");
    t->magic = TAP_MAGIC;
    bytes_init(&t->line, LINE_MAX);
    for (size_t i = 0; i < CLIENTS_MAX; i++)
        t->clients[i].tap = t;
    *out = t;
    return STATUS_OK;
}

void
tap_free(struct tap **self)
{
    struct tap *t;

    if (*self == NULL)
        return;
    OBJ_TAKE(t, self, TAP_MAGIC);
    for (size_t i = 0; i < CLIENTS_MAX; i++)
        assert(t->clients[i].stream == NULL);
    bytes_fini(&t->line);
    t->magic = 0;
    free(t);
}

/* The stream is gone. */
static void
on_stream_end(void *ctx)
{
    struct tap_client *c = ctx;

    c->stream = NULL;
    c->tap->counts[c->kind]--;
}

enum status
tap_attach(struct tap *t, enum tap_kind kind, unsigned rate, uint64_t limit,
           struct http_exchange *x, struct error *err)
{
    struct tap_client *c = NULL;
    enum status st;

    OBJ_CHECK(t, TAP_MAGIC);
    assert(rate > 0 && rate <= TAP_RATE_MAX);
    for (size_t i = 0; i < CLIENTS_MAX && c == NULL; i++) {
        if (t->clients[i].stream == NULL)
            c = &t->clients[i];
    }
    if (c == NULL)
        return error_set(err, STATUS_AGAIN, "%d clients look already",
                         CLIENTS_MAX);
    st = http_stream_open(&c->stream, x, "application/x-ndjson", on_stream_end,
                          c, err);
    if (st != STATUS_OK)
        return st;
    c->kind = kind;
    c->rate = rate;
    c->tokens = 1;
    c->filled_ns = clock_now_ns();
    c->left = limit > 0 ? limit : UINT64_MAX;
    t->counts[kind]++;
    return STATUS_OK;
}

/* Whether a client may have a record now. */
static bool
may_have(struct tap_client *c, enum tap_kind kind, uint64_t now)
{
    if (c->stream == NULL || c->kind != kind || c->left == 0)
        return false;
    c->tokens += c->rate * (double)(now - c->filled_ns) / 1e9;
    c->filled_ns = now;
    if (c->tokens > c->rate)
        c->tokens = c->rate > 1 ? c->rate : 1;
    return c->tokens >= 1;
}

bool
tap_wants(struct tap *t, enum tap_kind kind)
{
    uint64_t now;

    if (t == NULL || t->counts[kind] == 0)
        return false;
    OBJ_CHECK(t, TAP_MAGIC);
    now = clock_now_ns();
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        if (may_have(&t->clients[i], kind, now))
            return true;
    }
    return false;
}

void
tap_show(struct tap *t, enum tap_kind kind, const char *data, size_t n)
{
    uint64_t now = clock_now_ns();
    struct error err;

    OBJ_CHECK(t, TAP_MAGIC);
    bytes_clear(&t->line);
    if (bytes_append(&t->line, data, n, &err) != STATUS_OK ||
        bytes_append(&t->line, "\n", 1, &err) != STATUS_OK)
        return; /* too long to be looked at */
    /* A line break inside of JSON is white space. */
    for (size_t i = 0; i < n; i++) {
        if (t->line.data[i] == '\n' || t->line.data[i] == '\r')
            t->line.data[i] = ' ';
    }
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        struct tap_client *c = &t->clients[i];

        if (!may_have(c, kind, now) ||
            http_stream_write(c->stream, t->line.data, t->line.used) !=
                STATUS_OK)
            continue;
        c->tokens--;
        if (--c->left == 0)
            http_stream_close(c->stream);
    }
}

static void
show_lines(struct tap *t, enum tap_kind kind, const struct bytes *lines)
{
    size_t at = 0;

    while (at < lines->used && tap_wants(t, kind)) {
        const char *line = lines->data + at;
        const char *feed = memchr(line, '\n', lines->used - at);
        size_t n = feed != NULL ? (size_t)(feed - line) : lines->used - at;

        if (n > 0)
            tap_show(t, kind, line, n);
        at += n + 1;
    }
}

void
tap_show_batch(struct tap *t, const struct batch *b)
{
    if (t == NULL)
        return;
    OBJ_CHECK(t, TAP_MAGIC);
    for (size_t i = 0; i < columns_real(b->columns) && b->raw.used > 0 &&
                       tap_wants(t, TAP_EVENTS);
         i++)
        tap_show(t, TAP_EVENTS, b->raw.data + b->rows[i].start,
                 b->rows[i].bytes);
    show_lines(t, TAP_LABELS, &b->labels);
    show_lines(t, TAP_DEAD_LETTERS, &b->dead_letters);
}

void
tap_close(struct tap *t)
{
    OBJ_CHECK(t, TAP_MAGIC);
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        if (t->clients[i].stream != NULL)
            http_stream_close(t->clients[i].stream);
    }
}
