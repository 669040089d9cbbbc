/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_HTTP_CLIENT_H
#define IO_HTTP_CLIENT_H

#include "daemon/base/bytes.h"
#include "daemon/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * An HTTP client for commands that may wait (libcurl): everything here blocks,
 * and is not for the loop. Connections go straight to the host, past proxies
 * of the environment. Thread: one at a time.
 */
struct http_client;

/* http_client_new. Thread: the process's first, before others start. NOMEM. */
must_check enum status http_client_new(struct http_client **out,
                                       struct error *err);
void http_client_free(struct http_client **self);

struct http_client_request {
    const char *url;     /* http or https */
    const char *token;   /* bearer token; "": none */
    uint64_t timeout_ms; /* for all of it; 0: only for connecting */
    /* Asked several times a second; true: stop. May be NULL. */
    bool (*is_stopped)(void *ctx);
    void *ctx;
};

/*
 * http_client_get overwrites body with the content of a 200 answer. Any other
 * answer is REFUSED (DENIED for 401 and 403) with the beginning of its text in
 * *err; REFUSED also when nobody answers, TIMEOUT, TOOBIG beyond body's
 * maximum, END when is_stopped said so, USAGE for what is no URL.
 */
must_check enum status http_client_get(struct http_client *c,
                                       const struct http_client_request *q,
                                       struct bytes *body, struct error *err);

/*
 * http_client_stream hands the content of a 200 answer to take as it comes,
 * until the server ends it or take says false (END). Otherwise as
 * http_client_get.
 */
typedef bool (*http_take_fn)(void *ctx, const char *data, size_t n);

must_check enum status http_client_stream(struct http_client *c,
                                          const struct http_client_request *q,
                                          http_take_fn take, struct error *err);

#endif
