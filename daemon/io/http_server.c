/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libmicrohttpd without threads of its own: the loop watches its epoll
 * descriptor and keeps its timer. Its own timeout counts silence alone, so a
 * client that trickles is cut here, by shutting its socket down.
 *
 *   watch, timer --> MHD_run --> on_request --> handle --> answer or stream
 *
 * A stream's connection is suspended while there is nothing to send. Every
 * HEARTBEAT_MS of silence a line feed is sent: a suspended connection cannot
 * see that its client is gone.
 */
#include "daemon/io/http_server.h"

#include "daemon/base/bytes.h"
#include "daemon/base/clock.h"
#include "daemon/base/logging.h"
#include "daemon/base/macros.h"
#include "daemon/base/object.h"

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SERVER_MAGIC  0x48545053u
#define CONN_MAGIC    0x48434f4eu
#define SPARE         8u /* connections accepted beyond, while one is cut */
#define SWEEP_MS      250u
#define HEARTBEAT_MS  5000u
#define STREAM_BLOCK  4096u
#define LAST_TURNS    16
#define NS_PER_MS     1000000u
#define NOTE_TEXT_MAX 256

enum conn_state {
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
    bool is_answered;
    bool is_too_big;
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
    void *ctx;
    struct MHD_Daemon *daemon;
    struct watch *watch;
    struct timer *timer;
    struct http_exchange *first;
    unsigned connection_count;
    unsigned stream_count;
    size_t answers_used;
    bool is_closing;
};

/* ---- connections ---- */

static void
cut(struct http_exchange *x)
{
    if (x->state == CONN_CUT)
        return;
    x->state = CONN_CUT;
    (void)shutdown(x->fd, SHUT_RDWR);
}

/* The oldest connection that has not asked for anything yet gives way. */
static void
make_room(struct http_server *s)
{
    struct http_exchange *oldest = NULL;

    for (struct http_exchange *x = s->first; x != NULL; x = x->next) {
        if (x->state == CONN_READING)
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

static void
end_stream(struct http_exchange *x)
{
    struct http_stream *stream = x->stream;

    if (stream == NULL)
        return;
    x->stream = NULL;
    x->server->stream_count--;
    bytes_fini(&stream->buffer);
    stream->on_end(stream->ctx);
    free(stream);
}

static void
close_connection(struct http_server *s, void **context)
{
    struct http_exchange *x = *context;

    *context = NULL;
    if (x == NULL)
        return;
    OBJ_CHECK(x, CONN_MAGIC);
    end_stream(x);
    if (x->deferred != NULL)
        MHD_destroy_response(x->deferred);
    s->answers_used -= x->answer_bytes;
    if (x->next != NULL)
        x->next->previous = x->previous;
    if (x->previous != NULL)
        x->previous->next = x->next;
    else
        s->first = x->next;
    s->connection_count--;
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

static struct http_exchange *
find_exchange(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info != NULL ? info->socket_context : NULL;
}

static void
take_body(struct http_exchange *x, const char *data, size_t n)
{
    struct error err;

    if (x->is_too_big)
        return;
    x->is_too_big = bytes_append(&x->body, data, n, &err) != STATUS_OK;
}

static void
answer_text(struct http_exchange *x, unsigned code, const char *text)
{
    http_answer(x, &(struct http_answer){.code = code,
                                         .type = "text/plain; charset=utf-8",
                                         .data = text,
                                         .len = strlen(text)});
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
        if (refuses_length(x))
            answer_text(x, MHD_HTTP_CONTENT_TOO_LARGE, "body too long\n");
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
        answer_text(x, MHD_HTTP_CONTENT_TOO_LARGE, "body too long\n");
    else
        s->handle(s->ctx, x);
    if (x->state == CONN_DEFERRED)
        return MHD_YES;
    if (!x->is_answered)
        answer_text(x, MHD_HTTP_INTERNAL_SERVER_ERROR, "no answer\n");
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

/* ---- answers ---- */

/* Hands a response to the library; takes it. */
static void
queue_response(struct http_exchange *x, unsigned code,
               struct MHD_Response *response)
{
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
        MHD_resume_connection(x->connection);
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
    queue_response(x, answer.code, response);
}

void
http_defer(struct http_exchange *x)
{
    OBJ_CHECK(x, CONN_MAGIC);
    assert(x->state == CONN_READING && !x->is_answered);
    x->state = CONN_DEFERRED;
    MHD_suspend_connection(x->connection);
}

/* ---- streams ---- */

static ssize_t
on_stream_read(void *ctx, uint64_t position, char *out, size_t room)
{
    struct http_exchange *x = ctx;
    struct http_stream *stream = x->stream;
    size_t n;

    (void)position;
    OBJ_CHECK(x, CONN_MAGIC);
    if (stream == NULL)
        return MHD_CONTENT_READER_END_OF_STREAM;
    n = stream->buffer.used - stream->sent;
    if (n == 0 && stream->is_closed)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (n == 0) {
        stream->is_suspended = true;
        MHD_suspend_connection(x->connection);
        return 0;
    }
    n = n < room ? n : room;
    memcpy(out, stream->buffer.data + stream->sent, n);
    stream->sent += n;
    x->started_ns = clock_now_ns(); /* it takes what it is sent */
    if (stream->sent == stream->buffer.used) {
        stream->sent = 0;
        bytes_clear(&stream->buffer);
    }
    return (ssize_t)n;
}

static void
wake_stream(struct http_stream *stream)
{
    if (!stream->is_suspended)
        return;
    stream->is_suspended = false;
    stream->exchange->started_ns = clock_now_ns();
    MHD_resume_connection(stream->exchange->connection);
}

enum status
http_stream_open(struct http_stream **out, struct http_exchange *x,
                 const char *type, void (*on_end)(void *ctx), void *ctx,
                 struct error *err)
{
    struct http_server *s = x->server;
    struct http_stream *stream;
    struct MHD_Response *response;

    OBJ_CHECK(x, CONN_MAGIC);
    assert(!x->is_answered && on_end != NULL);
    if (s->stream_count >= s->limits.streams_max)
        return error_set(err, STATUS_AGAIN, "%u streams are open already",
                         s->stream_count);
    stream = calloc(1, sizeof(*stream));
    response =
        stream == NULL
            ? NULL
            : MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK,
                                                on_stream_read, x, NULL);
    if (response == NULL) {
        free(stream);
        return error_set(err, STATUS_NOMEM, "no memory for a stream");
    }
    bytes_init(&stream->buffer, s->limits.stream_bytes);
    stream->exchange = x;
    stream->on_end = on_end;
    stream->ctx = ctx;
    stream->written_ns = clock_now_ns();
    x->stream = stream;
    x->state = CONN_STREAMING;
    s->stream_count++;
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    queue_response(x, MHD_HTTP_OK, response);
    *out = stream;
    return STATUS_OK;
}

enum status
http_stream_write(struct http_stream *stream, const void *data, size_t n)
{
    struct bytes *b = &stream->buffer;
    struct error err;

    OBJ_CHECK(stream->exchange, CONN_MAGIC);
    if (stream->sent > 0) {
        memmove(b->data, b->data + stream->sent, b->used - stream->sent);
        b->used -= stream->sent;
        stream->sent = 0;
    }
    if (stream->is_closed || bytes_append(b, data, n, &err) != STATUS_OK)
        return STATUS_AGAIN;
    stream->written_ns = clock_now_ns();
    wake_stream(stream);
    return STATUS_OK;
}

void
http_stream_close(struct http_stream *stream)
{
    OBJ_CHECK(stream->exchange, CONN_MAGIC);
    stream->is_closed = true;
    wake_stream(stream);
}

/* ---- the loop ---- */

/* Whether the client has closed its end behind what it sent. */
static bool
is_client_gone(const struct http_exchange *x)
{
    char byte;

    return recv(x->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/* Looks whether anybody is left to take a stream that has nothing to send, so
 * that there is room in its buffer. */
static void
sweep_stream(struct http_stream *stream, uint64_t now)
{
    uint64_t longest = HEARTBEAT_MS * (uint64_t)NS_PER_MS;

    if (is_client_gone(stream->exchange) ||
        (now - stream->written_ns >= longest &&
         http_stream_write(stream, "\n", 1) != STATUS_OK))
        http_stream_close(stream);
}

/* Cuts what is too slow, and what is gone. */
static void
sweep(struct http_server *s)
{
    uint64_t now = clock_now_ns();
    uint64_t longest = s->limits.request_ms * NS_PER_MS;

    for (struct http_exchange *x = s->first; x != NULL; x = x->next) {
        struct http_stream *stream = x->stream;

        if (stream != NULL && stream->is_suspended) {
            sweep_stream(stream, now);
            continue;
        }
        /* The library is told once of data and end together, reads the data
         * and misses the end. */
        if ((x->state == CONN_READING && is_client_gone(x)) ||
            (x->state != CONN_DEFERRED && now - x->started_ns > longest))
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
    (void)MHD_run(s->daemon);
    if (MHD_get_timeout(s->daemon, &library_ms) == MHD_YES &&
        library_ms < wait_ms)
        wait_ms = library_ms;
    else if (s->connection_count == 0)
        return;
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
    unsigned seconds = (unsigned)((s->limits.request_ms + 999) / 1000);
    const union MHD_DaemonInfo *info;
    unsigned flags =
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;

    s->daemon = MHD_start_daemon(
        flags | (s->address.is_v6 ? MHD_USE_IPv6 : 0), 0, NULL, NULL,
        on_request, s, MHD_OPTION_EXTERNAL_LOGGER, on_library_note, NULL,
        MHD_OPTION_LISTEN_SOCKET, *listener, MHD_OPTION_CONNECTION_LIMIT, limit,
        MHD_OPTION_CONNECTION_TIMEOUT, seconds,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, s->limits.head_bytes,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_END);
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
            answer_text(x, MHD_HTTP_SERVICE_UNAVAILABLE, "stopping\n");
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
