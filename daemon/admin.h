/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_ADMIN_H
#define DAEMON_ADMIN_H

#include "daemon/io/http_server.h"

/*
 * The admin port: routes a request to one of a table of handlers, after it has
 * looked whether the client may. It knows nothing of what they answer.
 * Thread: loop.
 */

enum admin_access {
    ADMIN_OPEN,     /* anybody who reaches the port */
    ADMIN_GUARDED,  /* who has the token; where none is set, anybody */
    ADMIN_COMMANDS, /* who has the token; where none is set, nobody */
};

struct admin_route {
    const char *method; /* GET answers HEAD too */
    const char *path;
    enum admin_access access;
    void (*handle)(void *ctx, struct http_exchange *x);
};

struct admin_spec {
    struct address address;
    uint64_t client_timeout_ms; /* for a request and its answer */
    const char *token;          /* "": none; borrowed until admin_free */
    const struct admin_route *routes;
    size_t route_count; /* borrowed until admin_free */
    void *ctx;
};

struct admin;

/* admin_new listens, and logs where. As http_server_new. */
must_check enum status admin_new(struct admin **out, struct loop *l,
                                 const struct admin_spec *spec,
                                 struct error *err);
void admin_free(struct admin **self);

/* admin_answer_text answers with a line of text. */
print_like(3, 4) void admin_answer_text(struct http_exchange *x, unsigned code,
                                        const char *format, ...);

/* admin_answer_json answers with a JSON text. */
void admin_answer_json(struct http_exchange *x, unsigned code, const char *text,
                       size_t len);

#endif
