/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_HTTP_CALLS_H
#define IO_HTTP_CALLS_H

#include "daemon/io/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * HTTP requests of the loop that never wait (libcurl's multi-socket
 * interface): to one peer, as one identity, several at a time, over
 * connections that are kept.
 *
 *   http_calls_send --> (the loop turns) --> done(ctx, reply), exactly once,
 *                                            or http_call_cancel
 *
 * No redirect is followed, so that credentials stay with the peer; nothing is
 * taken from the environment: no proxy, no .netrc. Names are resolved on a
 * thread of libcurl's. Thread: loop, all of it.
 */
struct http_calls;
struct http_call; /* one that is under way */

#define HTTP_CALLS_MAX        256
#define HTTP_CALL_HEADERS_MAX 8
#define HTTP_CALL_HEADERS_LEN 1024 /* names and values of them, together */

struct http_header {
    const char *name;
    const char *value;
};

struct http_calls_spec {
    size_t calls_max;        /* under way at once, 1 to HTTP_CALLS_MAX */
    size_t reply_bytes_max;  /* of one reply's body */
    uint64_t connect_ms;     /* longest wait for a connection, TLS included */
    bool only_http1;         /* else HTTP/2 where TLS offers it */
    const char *ca_file;     /* PEM; NULL or "": the system's */
    const char *certificate; /* the client's, PEM; NULL or "": none */
    const char *key;         /* its key; NULL or "": in certificate */
    const char *bearer;      /* token; NULL or "": none */
    const char *user;        /* of basic auth; NULL or "": none */
    const char *password;    /* of user */
    const struct http_header *headers; /* with every request; secret, too */
    size_t header_count;
    const char *agent; /* the User-Agent */
};

/*
 * http_calls_new. Borrows spec until return. CONFIG when a header cannot be
 * one (control characters, an empty name), both bearer and user are given, or
 * a file cannot be read; NOMEM.
 */
must_check enum status http_calls_new(struct http_calls **out, struct loop *l,
                                      const struct http_calls_spec *spec,
                                      struct error *err);

/* http_calls_free drops what is under way, without a done, frees *self and
 * sets it NULL; NULL is fine. Not legal inside done. */
void http_calls_free(struct http_calls **self);

/* What came of a request. Valid until done returns. */
struct http_reply {
    /*
     * OK: the peer answered in HTTP, whatever the code, and all of it came.
     * REFUSED: no connection, no name, cut in the middle, or not HTTP;
     * TIMEOUT; TOOBIG: beyond reply_bytes_max; DENIED: TLS, one side does not
     * trust the other; CONFIG: the URL, a certificate or the CA file cannot
     * be used; NOMEM.
     */
    enum status status;
    const char *error; /* why, without secrets; "" when OK */
    unsigned code;     /* 200 ...; 0 unless OK */
    const char *body;  /* not ended by a 0 */
    size_t body_bytes;
    const char *type; /* Content-Type; "" without */
    bool has_retry_after;
    uint64_t retry_after_ms; /* as the peer says, hostile values and all */
    bool has_head_bytes;     /* Inference-Header-Content-Length, a number */
    uint64_t head_bytes;
    uint64_t took_us; /* from send to here */
};

typedef void (*http_done_fn)(void *ctx, const struct http_reply *reply);

struct http_request {
    const char *url;
    const struct http_header *headers; /* of this request alone */
    size_t header_count;
    const char *body; /* NULL: GET, else POST; stays the caller's, unchanged,
                         until done or cancel */
    size_t body_bytes;
    uint64_t timeout_ms; /* of all of it, so that a slow drip ends; > 0 */
    http_done_fn done;   /* may send and cancel other calls */
    void *ctx;
};

/*
 * http_calls_send starts a request and lends *out until its done begins. done
 * is never called inside of it. AGAIN: calls_max are under way; CONFIG: no
 * http or https URL, or a header that cannot be one; TOOBIG: headers beyond
 * their maximum; NOMEM. Allocates nothing of its own once warm; libcurl does.
 */
must_check enum status http_calls_send(struct http_calls *c,
                                       const struct http_request *request,
                                       struct http_call **out,
                                       struct error *err);

/* http_calls_under_way counts them; those in their done are none. */
size_t http_calls_under_way(const struct http_calls *c);

/* http_call_cancel drops the call, without a done, and sets *call NULL; NULL
 * is fine. */
void http_call_cancel(struct http_call **call);

#endif
