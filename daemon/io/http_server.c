/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libmicrohttpd without threads of its own: the loop watches its epoll
 * descriptor and keeps its timer. Its own timeout counts silence alone, so a
 * client that trickles is cut here, by shutting its socket down.
 *
 *   watch, timer --> MHD_run --> on_request --> handle --> answer or stream
 */
#include "daemon/base/clock.h"
#include "daemon/base/logging.h"
#include "daemon/base/macros.h"
#include "daemon/base/object.h"
#include "daemon/io/http_server_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SERVER_MAGIC  0x48545053u
#define SPARE         8u /* connections accepted beyond, while one is cut */
#define SWEEP_MS      250u
#define LAST_TURNS    16
#define NOTE_TEXT_MAX 256
#define BODY_KEPT     65536u /* bytes that the next request may use again */

/* ---- connections ---- */

static void
cut(struct http_exchange *x)
{
    if (x->state == CONN_CUT)
        return;
    x->state = CONN_CUT;
    (void)shutdown(x->fd, SHUT_RDWR);
}

/* The connection that has asked for nothing for longest gives way, one that was
 * answered before one that never asked. */
static void
make_room(struct http_server *s)
{
    struct http_exchange *oldest = NULL;

    for (struct http_exchange *x = s->first; x != NULL; x = x->next) {
        if (x->state <= CONN_READING &&
            (oldest == NULL || x->state < oldest->state ||
             (x->state == oldest->state && x->started_ns < oldest->started_ns)))
            oldest = x;
    }
    if (oldest != NULL)
        cut(oldest);
}

static void
open_connection(struct http_server *s, struct MHD_Connection *connection,
                void **context)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct http_exchange *x = calloc(1, sizeof(*x));

    *context = x;
    if (x == NULL || info == NULL) {
        if (info != NULL)
            (void)shutdown(info->connect_fd, SHUT_RDWR);
        free(x);
        *context = NULL;
        return;
    }
    x->magic = CONN_MAGIC;
    x->server = s;
    x->connection = connection;
    x->fd = info->connect_fd;
    x->state = CONN_READING;
    x->started_ns = clock_now_ns();
    bytes_init(&x->body, s->limits.body_bytes);
    if (s->connection_count >= s->limits.connections_max)
        make_room(s);
    x->next = s->first;
    if (s->first != NULL)
        s->first->previous = x;
    s->first = x;
    s->connection_count++;
}

/* Gives back what the request has of what all requests share. */
static void
forget_request(struct http_exchange *x)
{
    x->server->answers_used -= x->answer_bytes;
    x->server->bodies_used -= x->body_bytes;
    x->answer_bytes = 0;
    x->body_bytes = 0;
}

static void
close_connection(struct http_server *s, void **context)
{
    struct http_exchange *x = *context;

    *context = NULL;
    if (x == NULL)
        return;
    OBJ_CHECK(x, CONN_MAGIC);
    http_stream_end(x);
    if (x->deferred != NULL)
        MHD_destroy_response(x->deferred);
    forget_request(x);
    if (x->next != NULL)
        x->next->previous = x->previous;
    if (x->previous != NULL)
        x->previous->next = x->next;
    else
        s->first = x->next;
    s->connection_count--;
    s->has_closed = true;
    bytes_fini(&x->body);
    x->magic = 0;
    free(x);
}

static void
on_connection(void *ctx, struct MHD_Connection *connection, void **context,
              enum MHD_ConnectionNotificationCode what)
{
    struct http_server *s = ctx;

    OBJ_CHECK(s, SERVER_MAGIC);
    if (what == MHD_CONNECTION_NOTIFY_STARTED)
        open_connection(s, connection, context);
    else
        close_connection(s, context);
}

static struct http_exchange *
find_exchange(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info != NULL ? info->socket_context : NULL;
}

/* An answer is gone, or given up: the connection is ready for the next. */
static void
on_completed(void *ctx, struct MHD_Connection *connection, void **request,
             enum MHD_RequestTerminationCode how)
{
    struct http_server *s = ctx;
    struct http_exchange *x = find_exchange(connection);

    OBJ_CHECK(s, SERVER_MAGIC);
    *request = NULL;
    if (x == NULL || how != MHD_REQUEST_TERMINATED_COMPLETED_OK ||
        x->state == CONN_CUT || s->limits.keep_alive_ms == 0)
        return;
    http_stream_end(x);
    forget_request(x);
    if (x->body.capacity > BODY_KEPT)
        bytes_fini(&x->body);
    else
        bytes_clear(&x->body);
    x->is_answered = false;
    x->is_too_big = false;
    x->is_crowded = false;
    x->state = CONN_IDLE;
    x->started_ns = clock_now_ns();
}

print_like(2, 0) static void on_library_note(void *ctx, const char *format,
                                             va_list args)
{
    char text[NOTE_TEXT_MAX];

    (void)ctx;
    (void)vsnprintf(text, sizeof(text), format, args);
    for (char *p = text; *p != '\0'; p++) {
        if (*p == '"' || (unsigned char)*p < ' ')
            *p = ' ';
    }
    log_debug("http_library", "text=\"%s\"", text);
}

/* ---- requests ---- */

static void
take_body(struct http_exchange *x, const char *data, size_t n)
{
    struct http_server *s = x->server;
    struct error err;

    if (x->is_too_big || x->is_crowded)
        return;
    if (s->limits.bodies_bytes > 0 &&
        s->bodies_used + n > s->limits.bodies_bytes) {
        x->is_crowded = true;
        return;
    }
    x->is_too_big = bytes_append(&x->body, data, n, &err) != STATUS_OK;
    if (x->is_too_big)
        return;
    x->body_bytes += n;
    s->bodies_used += n;
}

static void
answer_text(struct http_exchange *x, unsigned code, const char *text)
{
    http_answer(x, &(struct http_answer){.code = code,
                                         .type = "text/plain; charset=utf-8",
                                         .data = text,
                                         .len = strlen(text)});
}

/* Says no, in the form that the server's owner has for it. */
static void
refuse(struct http_exchange *x, unsigned code, const char *why)
{
    char line[NOTE_TEXT_MAX];

    if (x->server->refuse != NULL) {
        x->server->refuse(x->server->ctx, x, code, why);
        return;
    }
    (void)snprintf(line, sizeof(line), "%s\n", why);
    answer_text(x, code, line);
}

/* The body announced is too long: refuses before it comes. */
static bool
refuses_length(struct http_exchange *x)
{
    const char *text = http_header(x, MHD_HTTP_HEADER_CONTENT_LENGTH);

    return text != NULL &&
           strtoull(text, NULL, 10) > x->server->limits.body_bytes;
}

/* Called with the head, with each part of the body, and at the end. */
static enum MHD_Result
on_request(void *ctx, struct MHD_Connection *connection, const char *url,
           const char *method, const char *version, const char *upload,
           size_t *upload_bytes, void **request)
{
    struct http_server *s = ctx;
    struct http_exchange *x = find_exchange(connection);

    (void)version;
    OBJ_CHECK(s, SERVER_MAGIC);
    if (x == NULL || x->state == CONN_CUT)
        return MHD_NO;
    OBJ_CHECK(x, CONN_MAGIC);
    x->method = method;
    x->path = url;
    if (*request == NULL) {
        *request = x;
        if (x->state == CONN_IDLE) {
            x->state = CONN_READING;
            x->started_ns = clock_now_ns();
        }
        if (refuses_length(x))
            refuse(x, MHD_HTTP_CONTENT_TOO_LARGE, "body too long");
        return MHD_YES;
    }
    if (*upload_bytes > 0) {
        take_body(x, upload, *upload_bytes);
        *upload_bytes = 0;
        return MHD_YES;
    }
    if (x->deferred != NULL) {
        struct MHD_Response *response = x->deferred;

        x->deferred = NULL;
        x->is_answered = MHD_queue_response(connection, x->deferred_code,
                                            response) == MHD_YES;
        MHD_destroy_response(response);
        return x->is_answered ? MHD_YES : MHD_NO;
    }
    if (x->is_answered)
        return MHD_YES;
    if (x->is_too_big)
        refuse(x, MHD_HTTP_CONTENT_TOO_LARGE, "body too long");
    else if (x->is_crowded)
        refuse(x, MHD_HTTP_SERVICE_UNAVAILABLE,
               "too many bodies are under way");
    else
        s->handle(s->ctx, x);
    if (x->state == CONN_DEFERRED || x->deferred != NULL)
        return MHD_YES;
    if (!x->is_answered)
        refuse(x, MHD_HTTP_INTERNAL_SERVER_ERROR, "no answer");
    return x->is_answered ? MHD_YES : MHD_NO;
}

const char *
http_method(const struct http_exchange *x)
{
    OBJ_CHECK(x, CONN_MAGIC);
    return x->method;
}

const char *
http_path(const struct http_exchange *x)
{
    OBJ_CHECK(x, CONN_MAGIC);
    return x->path;
}

struct query {
    const char *name;
    const char *value;
};

static enum MHD_Result
on_argument(void *ctx, enum MHD_ValueKind kind, const char *name,
            const char *value)
{
    struct query *q = ctx;

    (void)kind;
    if (strcmp(q->name, name) != 0)
        return MHD_YES;
    q->value = value != NULL ? value : "";
    return MHD_NO;
}

const char *
http_query(const struct http_exchange *x, const char *name)
{
    struct query q = {.name = name};

    OBJ_CHECK(x, CONN_MAGIC);
    (void)MHD_get_connection_values(x->connection, MHD_GET_ARGUMENT_KIND,
                                    on_argument, &q);
    return q.value;
}

const char *
http_header(const struct http_exchange *x, const char *name)
{
    OBJ_CHECK(x, CONN_MAGIC);
    return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}

const char *
http_body(const struct http_exchange *x, size_t *len)
{
    OBJ_CHECK(x, CONN_MAGIC);
    *len = x->body.used;
    return x->body.data;
}

void
http_take_body(struct http_exchange *x, struct bytes *body)
{
    struct bytes taken = x->body;

    OBJ_CHECK(x, CONN_MAGIC);
    x->body = *body;
    x->body.max = x->server->limits.body_bytes;
    bytes_clear(&x->body);
    *body = taken;
}

/* ---- answers ---- */

void
http_resume(struct http_exchange *x)
{
    MHD_resume_connection(x->connection);
    if (x->server->is_closing)
        return;
    x->server->must_turn = true;
    timer_start(x->server->timer, 0, 0);
}

void
http_queue_response(struct http_exchange *x, unsigned code,
                    struct MHD_Response *response)
{
    if (x->server->limits.keep_alive_ms == 0 || x->server->is_draining)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION,
                                      "close");
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL,
                                  "no-store");
    (void)MHD_add_response_header(response, "X-Content-Type-Options",
                                  "nosniff");
    if (x->state == CONN_DEFERRED) {
        x->deferred = response;
        x->deferred_code = code;
        x->state = CONN_ANSWERING;
        x->started_ns = clock_now_ns();
        http_resume(x);
        return;
    }
    if (x->state == CONN_READING)
        x->state = CONN_ANSWERING;
    x->is_answered =
        MHD_queue_response(x->connection, code, response) == MHD_YES;
    MHD_destroy_response(response);
}

void
http_answer(struct http_exchange *x, const struct http_answer *a)
{
    static const char busy[] = "too many answers are under way\n";
    struct http_answer answer = *a;
    struct http_server *s = x->server;
    struct MHD_Response *response;
    char *copy;

    OBJ_CHECK(x, CONN_MAGIC);
    if (x->is_answered || x->deferred != NULL)
        return;
    if (s->answers_used + a->len > s->limits.answers_bytes)
        answer = (struct http_answer){.code = MHD_HTTP_SERVICE_UNAVAILABLE,
                                      .type = "text/plain",
                                      .data = busy,
                                      .len = sizeof(busy) - 1};
    copy = malloc(answer.len + 1);
    if (copy == NULL)
        return;
    memcpy(copy, answer.data, answer.len);
    response = MHD_create_response_from_buffer(answer.len, copy,
                                               MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        free(copy);
        return;
    }
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                                  answer.type);
    if (answer.header != NULL)
        (void)MHD_add_response_header(response, answer.header, answer.value);
    x->answer_bytes = answer.len;
    s->answers_used += answer.len;
    http_queue_response(x, answer.code, response);
}

void
http_defer(struct http_exchange *x)
{
    OBJ_CHECK(x, CONN_MAGIC);
    assert(x->state == CONN_READING && !x->is_answered);
    x->state = CONN_DEFERRED;
    MHD_suspend_connection(x->connection);
}

/* ---- the loop ---- */

bool
http_is_client_gone(const struct http_exchange *x)
{
    char byte;

    return recv(x->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/* Cuts what is too slow, and what is gone. */
static void
sweep(struct http_server *s)
{
    uint64_t now = clock_now_ns();
    uint64_t longest = s->limits.request_ms * NS_PER_MS;
    uint64_t idlest = s->limits.keep_alive_ms * NS_PER_MS;

    if (now - s->swept_ns < (uint64_t)SWEEP_MS * NS_PER_MS)
        return;
    s->swept_ns = now;
    for (struct http_exchange *x = s->first; x != NULL; x = x->next) {
        struct http_stream *stream = x->stream;

        if (stream != NULL && stream->is_suspended) {
            http_stream_sweep(stream, now);
            continue;
        }
        /* The library is told once of data and end together, reads the data
         * and misses the end. */
        if ((x->state <= CONN_READING && http_is_client_gone(x)) ||
            (x->state == CONN_IDLE &&
             (s->is_draining || now - x->started_ns > idlest)) ||
            (x->state > CONN_IDLE && x->state != CONN_DEFERRED &&
             now - x->started_ns > longest))
            cut(x);
    }
}

/* Lets the library do all it can, and plans the next look at it. */
static void
turn(struct http_server *s)
{
    MHD_UNSIGNED_LONG_LONG wait_ms = SWEEP_MS;
    MHD_UNSIGNED_LONG_LONG library_ms;

    if (s->is_closing)
        return;
    sweep(s);
    s->has_closed = false;
    s->must_turn = false;
    (void)MHD_run(s->daemon);
    if (MHD_get_timeout(s->daemon, &library_ms) == MHD_YES &&
        library_ms < wait_ms)
        wait_ms = library_ms;
    else if (s->connection_count == 0 && !s->must_turn)
        return;
    /* Where all places were taken, the library looks only in its next turn
     * whether there is one again. */
    if (s->must_turn ||
        (s->has_closed && s->connection_count + 1 >= s->limits.connections_max))
        wait_ms = 0;
    timer_start(s->timer, wait_ms, 0);
}

static void
on_timer(void *ctx)
{
    turn(ctx);
}

static void
on_ready(void *ctx, unsigned events)
{
    struct http_server *s = ctx;

    if ((events & WATCH_FAILED) != 0)
        log_error("http_server_failed",
                  "text=\"its descriptor is broken; nobody is answered\"");
    else
        turn(s);
}

static enum status
start_library(struct http_server *s, int *listener, struct error *err)
{
    unsigned limit = s->limits.connections_max + SPARE;
    uint64_t longest = s->limits.request_ms > s->limits.keep_alive_ms
                           ? s->limits.request_ms
                           : s->limits.keep_alive_ms;
    unsigned seconds = (unsigned)((longest + 999) / 1000);
    const union MHD_DaemonInfo *info;
    unsigned flags =
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;

    s->daemon = MHD_start_daemon(
        flags | (s->address.is_v6 ? MHD_USE_IPv6 : 0), 0, NULL, NULL,
        on_request, s, MHD_OPTION_EXTERNAL_LOGGER, on_library_note, NULL,
        MHD_OPTION_LISTEN_SOCKET, *listener, MHD_OPTION_CONNECTION_LIMIT, limit,
        MHD_OPTION_CONNECTION_TIMEOUT, seconds,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, s->limits.head_bytes,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, s,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, s, MHD_OPTION_END);
    if (s->daemon == NULL)
        return error_set(err, STATUS_IO, "the HTTP server does not start");
    *listener = -1; /* the library closes it */
    info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (info == NULL || info->epoll_fd < 0)
        return error_set(err, STATUS_IO,
                         "libmicrohttpd has no epoll on this system");
    return watch_new(&s->watch, s->loop, info->epoll_fd, on_ready, s, err);
}

enum status
http_server_new(struct http_server **out, struct loop *l,
                const struct http_server_spec *spec, struct error *err)
{
    struct http_server *s = calloc(1, sizeof(*s));
    int listener = -1;
    enum status st;

    if (s == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for an HTTP server");
    s->magic = SERVER_MAGIC;
    s->loop = l;
    s->address = *spec->address;
    s->limits = spec->limits;
    s->handle = spec->handle;
    s->refuse = spec->refuse;
    s->ctx = spec->ctx;
    st = timer_new(&s->timer, l, on_timer, s, err);
    if (st == STATUS_OK)
        st = address_listen(&s->address, &listener, err);
    if (st == STATUS_OK)
        st = start_library(s, &listener, err);
    if (st == STATUS_OK)
        st = watch_start(s->watch, WATCH_READ, err);
    if (listener >= 0)
        (void)close(listener);
    if (st != STATUS_OK) {
        http_server_free(&s);
        return st;
    }
    *out = s;
    return STATUS_OK;
}

void
http_server_free(struct http_server **self)
{
    struct http_server *s;

    if (*self == NULL)
        return;
    OBJ_TAKE(s, self, SERVER_MAGIC);
    s->is_closing = true;
    watch_free(&s->watch);
    timer_free(&s->timer);
    /* The library must not be stopped with suspended connections. */
    for (struct http_exchange *x = s->first; x != NULL; x = x->next) {
        if (x->stream != NULL)
            http_stream_close(x->stream);
        if (x->state == CONN_DEFERRED)
            refuse(x, MHD_HTTP_SERVICE_UNAVAILABLE, "stopping");
    }
    if (s->daemon != NULL) {
        /* Ends of streams and last answers go out, as far as nobody makes
         * them wait. */
        for (int i = 0; i < LAST_TURNS && s->connection_count > 0; i++)
            (void)MHD_run(s->daemon);
        MHD_stop_daemon(s->daemon);
    }
    assert(s->first == NULL);
    s->magic = 0;
    free(s);
}

void
http_server_drain(struct http_server *s)
{
    MHD_socket listener;

    OBJ_CHECK(s, SERVER_MAGIC);
    if (s->is_draining)
        return;
    s->is_draining = true;
    listener = MHD_quiesce_daemon(s->daemon);
    if (listener != MHD_INVALID_SOCKET)
        (void)close(listener);
    s->swept_ns = 0;
    turn(s);
}

const struct address *
http_server_address(const struct http_server *s)
{
    OBJ_CHECK(s, SERVER_MAGIC);
    return &s->address;
}

unsigned
http_server_connections(const struct http_server *s)
{
    OBJ_CHECK(s, SERVER_MAGIC);
    return s->connection_count;
}
