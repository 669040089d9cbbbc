/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_HTTP_SERVER_H
#define IO_HTTP_SERVER_H

#include "daemon/base/bytes.h"
#include "daemon/io/address.h"
#include "daemon/io/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A small HTTP server on the loop (libmicrohttpd): one request a connection, or
 * one after the other where keep_alive_ms is set, each answered at once, later,
 * or by a stream that goes on. Everything about a client is bounded, so that
 * none holds the loop, a place, or memory for ever:
 *
 *   - a connection has request_ms from connecting, or from its next request's
 *     head, to the answer's last byte, however it trickles; between requests
 *     it has keep_alive_ms. Then it is cut
 *   - when all places are taken, the oldest connection without a complete
 *     request gives way to a new one
 *   - a head of more than head_bytes, a body of more than body_bytes is
 *     refused (431, 413), and what all bodies and all answers under way hold is
 *     limited (503)
 *   - a stream has a buffer of stream_bytes; what does not fit is the sender's
 *     to drop, and a client that takes nothing for request_ms is cut
 *
 * Thread: loop, all of it.
 */
struct http_server;
struct http_exchange; /* a request, and the answer that it waits for */
struct http_stream;

struct http_limits {
    unsigned connections_max;
    unsigned streams_max;
    uint64_t request_ms;
    uint64_t keep_alive_ms; /* 0: the answer ends the connection */
    size_t head_bytes;
    size_t body_bytes;
    size_t bodies_bytes; /* 0: not limited but by connections_max */
    size_t answers_bytes;
    size_t stream_bytes;
};

struct http_server_spec {
    const struct address *address;
    struct http_limits limits;
    /* A whole request has come: answers it (http_answer, http_stream_open)
     * before it returns, or says that it will (http_defer). */
    void (*handle)(void *ctx, struct http_exchange *x);
    /* The server itself says no (413, 503, 500): answers, with http_answer, in
     * the owner's form. NULL: a line of text. */
    void (*refuse)(void *ctx, struct http_exchange *x, unsigned code,
                   const char *why);
    void *ctx;
};

/* http_server_new listens. Borrows spec until return; keeps ctx. As
 * address_listen; NOMEM, IO. */
must_check enum status http_server_new(struct http_server **out, struct loop *l,
                                       const struct http_server_spec *spec,
                                       struct error *err);

/* http_server_free cuts every connection (streams are told), frees *self and
 * sets it NULL; NULL is fine. Not from inside handle. */
void http_server_free(struct http_server **self);

/* http_server_drain accepts no connection any more, and lets each end with the
 * answer that it waits for; those that wait for none are cut. */
void http_server_drain(struct http_server *s);

/* http_server_address lends where it listens, with the port it got. */
const struct address *http_server_address(const struct http_server *s);

/* http_server_connections counts the clients that are connected. */
unsigned http_server_connections(const struct http_server *s);

/* What was asked. Lent until handle returns. */
const char *http_method(const struct http_exchange *x);
const char *http_path(const struct http_exchange *x);
/* http_query lends an argument's value, "" for one without, NULL for none. */
const char *http_query(const struct http_exchange *x, const char *name);
/* http_header lends a header's value, NULL for none. */
const char *http_header(const struct http_exchange *x, const char *name);
/* http_body lends the request's body; *len may be 0. */
const char *http_body(const struct http_exchange *x, size_t *len);

/* http_take_body gives the body away and takes an empty one with memory to be
 * used again for it. Legal until handle returns. */
void http_take_body(struct http_exchange *x, struct bytes *body);

struct http_answer {
    unsigned code;
    const char *type; /* of the content */
    const void *data; /* copied */
    size_t len;
    const char *header; /* one more header, or NULL */
    const char *value;
};

/* http_answer answers; a second answer to the same request does nothing. */
void http_answer(struct http_exchange *x, const struct http_answer *a);

/*
 * http_defer says that http_answer will come later, after handle returned, and
 * surely: until then the client waits, without a limit of the server's. What
 * was asked is not to be looked at any more. Whoever frees the server first
 * forgets the exchange.
 */
void http_defer(struct http_exchange *x);

/*
 * http_stream_open answers 200 and gives a stream to write the content to, in
 * chunks, until http_stream_close or the client's end: then on_end is called
 * once and the stream is gone. AGAIN, with nothing answered, when there are
 * streams_max already. NOMEM.
 */
must_check enum status http_stream_open(struct http_stream **out,
                                        struct http_exchange *x,
                                        const char *type,
                                        void (*on_end)(void *ctx), void *ctx,
                                        struct error *err);

/* http_stream_write takes n bytes, or AGAIN and none: no room. */
must_check enum status http_stream_write(struct http_stream *s,
                                         const void *data, size_t n);

/* http_stream_close ends the content behind what was written; on_end comes
 * when it is gone, not from inside this call. */
void http_stream_close(struct http_stream *s);

#endif
