/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_HTTP_SERVER_PRIV_H
#define IO_HTTP_SERVER_PRIV_H

#include "daemon/base/bytes.h"
#include "daemon/io/http_server.h"

#include <microhttpd.h>

/*
 * What http_server.c (connections, requests) and http_stream.c share.
 */

#define CONN_MAGIC 0x48434f4eu
#define NS_PER_MS  1000000u

enum conn_state {
    CONN_IDLE,      /* answered, and no next request yet */
    CONN_READING,   /* no complete request yet */
    CONN_DEFERRED,  /* suspended until an answer comes */
    CONN_ANSWERING, /* an answer is under way */
    CONN_STREAMING,
    CONN_CUT, /* its socket is shut down; the library will let it go */
};

/* A connection, and the one request on it. */
struct http_exchange {
    unsigned magic;
    struct http_server *server;
    struct MHD_Connection *connection;
    struct http_exchange *next; /* in server->first, newest first */
    struct http_exchange *previous;
    enum conn_state state;
    int fd;
    uint64_t started_ns;
    const char *method;
    const char *path;
    struct bytes body;
    size_t answer_bytes; /* counted in server->answers_used */
    size_t body_bytes;   /* counted in server->bodies_used */
    bool is_answered;
    bool is_too_big;
    bool is_crowded; /* the bodies of all are too much */
    struct http_stream *stream;
    struct MHD_Response *deferred; /* to be queued when it is resumed */
    unsigned deferred_code;
};

struct http_stream {
    struct http_exchange *exchange;
    struct bytes buffer;
    size_t sent; /* of the buffer */
    uint64_t written_ns;
    void (*on_end)(void *ctx);
    void *ctx;
    bool is_suspended;
    bool is_closed;
};

struct http_server {
    unsigned magic;
    struct loop *loop;
    struct address address;
    struct http_limits limits;
    void (*handle)(void *ctx, struct http_exchange *x);
    void (*refuse)(void *ctx, struct http_exchange *x, unsigned code,
                   const char *why);
    void *ctx;
    struct MHD_Daemon *daemon;
    struct watch *watch;
    struct timer *timer;
    struct http_exchange *first;
    unsigned connection_count;
    unsigned stream_count;
    size_t answers_used;
    size_t bodies_used;
    uint64_t swept_ns;
    bool has_closed; /* a connection, in this turn */
    bool must_turn;  /* again, at once */
    bool is_draining;
    bool is_closing;
};

/* http_queue_response hands a response to the library; takes it. */
void http_queue_response(struct http_exchange *x, unsigned code,
                         struct MHD_Response *response);

/* http_resume lets a suspended connection go on, in a turn that comes at once:
 * the library does not see it by itself. */
void http_resume(struct http_exchange *x);

/* http_is_client_gone says whether the client has closed its end behind what
 * it sent. */
bool http_is_client_gone(const struct http_exchange *x);

/* http_stream_end frees a connection's stream, where there is one. */
void http_stream_end(struct http_exchange *x);

/* http_stream_sweep looks whether anybody is left to take a stream that has
 * nothing to send, so that there is room in its buffer. */
void http_stream_sweep(struct http_stream *stream, uint64_t now);

#endif
