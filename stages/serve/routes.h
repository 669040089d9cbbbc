/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVE_ROUTES_H
#define SERVE_ROUTES_H

#include "stages/serve/host.h"

#include "daemon/base/bytes.h"
#include "daemon/io/http_server.h"

/*
 * From paths to answers. Thread: loop.
 */
struct routes {
    struct host **hosts;
    size_t host_count;
    struct bytes page; /* answers are put together here */
    bool is_draining;
    const struct http_server *server;
};

/* routes_handle answers a request, or hands it to a host. ctx is the struct
 * routes. */
void routes_handle(void *ctx, struct http_exchange *x);

/* routes_refuse answers {"error": why}, with Retry-After where a later try may
 * succeed. */
void routes_refuse(void *ctx, struct http_exchange *x, unsigned code,
                   const char *why);

/* routes_write_metrics writes the page of /metrics into r->page. */
must_check enum status routes_write_metrics(struct routes *r,
                                            struct error *err);

#endif
