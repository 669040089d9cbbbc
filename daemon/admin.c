/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routes and the token.
 */
#include "daemon/admin.h"

#include "daemon/base/logging.h"
#include "daemon/base/object.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ADMIN_MAGIC 0x41444d49u
#define TEXT_MAX    1024

/* What a client of the admin port may take of the process. */
static const struct http_limits limits = {
    .connections_max = 32,
    .streams_max = 4,
    .head_bytes = 16384,
    .body_bytes = 4096,
    .answers_bytes = 16u << 20,
    .stream_bytes = 256u << 10,
};

struct admin {
    unsigned magic;
    struct admin_spec spec;
    struct http_server *server;
};

void
admin_answer_text(struct http_exchange *x, unsigned code, const char *format,
                  ...)
{
    char text[TEXT_MAX];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(text, sizeof(text) - 1, format, args);
    va_end(args);
    n = n < 0 ? 0 : n > TEXT_MAX - 2 ? TEXT_MAX - 2 : n;
    text[n++] = '\n';
    http_answer(x, &(struct http_answer){.code = code,
                                         .type = "text/plain; charset=utf-8",
                                         .data = text,
                                         .len = (size_t)n});
}

void
admin_answer_json(struct http_exchange *x, unsigned code, const char *text,
                  size_t len)
{
    http_answer(x, &(struct http_answer){.code = code,
                                         .type = "application/json",
                                         .data = text,
                                         .len = len});
}

/* Takes as long for a wrong token as for the right one. */
static bool
is_token(const char *given, const char *token)
{
    size_t given_len = strlen(given);
    size_t token_len = strlen(token);
    unsigned difference = given_len != token_len;

    for (size_t i = 0; i < token_len; i++) {
        unsigned char c = i < given_len ? (unsigned char)given[i] : 0;

        difference |= c ^ (unsigned char)token[i];
    }
    return difference == 0;
}

/* Whether the client may; if not, it was told. */
static bool
admits(const struct admin *a, enum admin_access access, struct http_exchange *x)
{
    static const char scheme[] = "Bearer ";
    const char *given = http_header(x, "Authorization");
    static const char refusal[] = "the bearer token is missing or wrong\n";

    if (access == ADMIN_OPEN)
        return true;
    if (*a->spec.token == '\0') {
        if (access == ADMIN_GUARDED)
            return true;
        admin_answer_text(x, 403, "off: no admin.token is configured");
        return false;
    }
    if (given != NULL && strncmp(given, scheme, sizeof(scheme) - 1) == 0 &&
        is_token(given + sizeof(scheme) - 1, a->spec.token))
        return true;
    http_answer(x, &(struct http_answer){.code = 401,
                                         .type = "text/plain; charset=utf-8",
                                         .data = refusal,
                                         .len = sizeof(refusal) - 1,
                                         .header = "WWW-Authenticate",
                                         .value = "Bearer"});
    return false;
}

static void
answer_unknown(const struct admin *a, struct http_exchange *x)
{
    char text[TEXT_MAX];
    size_t used =
        (size_t)snprintf(text, sizeof(text), "no such page; there are:\n");

    for (size_t i = 0; i < a->spec.route_count && used < sizeof(text); i++) {
        int n = snprintf(text + used, sizeof(text) - used, "%s %s\n",
                         a->spec.routes[i].method, a->spec.routes[i].path);

        used += n > 0 ? (size_t)n : 0;
    }
    if (used > sizeof(text) - 1)
        used = sizeof(text) - 1;
    http_answer(x, &(struct http_answer){.code = 404,
                                         .type = "text/plain; charset=utf-8",
                                         .data = text,
                                         .len = used});
}

static void
answer_wrong_method(struct http_exchange *x, const char *allowed)
{
    static const char text[] = "not with this method\n";

    http_answer(x, &(struct http_answer){.code = 405,
                                         .type = "text/plain; charset=utf-8",
                                         .data = text,
                                         .len = sizeof(text) - 1,
                                         .header = "Allow",
                                         .value = allowed});
}

static void
on_request(void *ctx, struct http_exchange *x)
{
    struct admin *a = ctx;
    const char *method = http_method(x);
    const struct admin_route *other = NULL;

    OBJ_CHECK(a, ADMIN_MAGIC);
    if (strcmp(method, "HEAD") == 0)
        method = "GET";
    for (size_t i = 0; i < a->spec.route_count; i++) {
        const struct admin_route *r = &a->spec.routes[i];

        if (strcmp(r->path, http_path(x)) != 0)
            continue;
        other = r;
        if (strcmp(r->method, method) != 0)
            continue;
        if (admits(a, r->access, x))
            r->handle(a->spec.ctx, x);
        return;
    }
    if (other != NULL)
        answer_wrong_method(x, other->method);
    else
        answer_unknown(a, x);
}

enum status
admin_new(struct admin **out, struct loop *l, const struct admin_spec *spec,
          struct error *err)
{
    struct admin *a = calloc(1, sizeof(*a));
    struct http_server_spec server = {
        .address = &spec->address,
        .limits = limits,
        .handle = on_request,
        .ctx = a,
    };
    char text[ADDRESS_TEXT_MAX];
    enum status st;

    if (a == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for an admin port");
    a->magic = ADMIN_MAGIC;
    a->spec = *spec;
    server.limits.request_ms = spec->client_timeout_ms;
    st = http_server_new(&a->server, l, &server, err);
    if (st != STATUS_OK) {
        admin_free(&a);
        return st;
    }
    address_format(http_server_address(a->server), text);
    log_info("admin_listening", "address=%s", text);
    if (!address_is_loopback(&spec->address))
        log_warn("admin_is_public",
                 "address=%s text=\"who reaches it reads metrics, status and "
                 "settings; %s\"",
                 text,
                 *spec->token == '\0' ? "commands are off"
                                      : "commands need the token");
    *out = a;
    return STATUS_OK;
}

void
admin_free(struct admin **self)
{
    struct admin *a;

    if (*self == NULL)
        return;
    OBJ_TAKE(a, self, ADMIN_MAGIC);
    http_server_free(&a->server);
    a->magic = 0;
    free(a);
}
