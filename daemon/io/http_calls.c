/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl's multi-socket interface on the loop: libcurl says which sockets to
 * watch and when to be called at the latest; every call of ours into it is
 * followed by a look at what has ended.
 */
#include "daemon/io/http_calls.h"

#include "daemon/base/bytes.h"
#include "daemon/base/object.h"
#include "daemon/io/http_curl_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define CALLS_MAGIC 0x48434c53u
#define CALL_MAGIC  0x4843414cu

/* Two families of addresses are tried at once, and a resolver's thread reports
 * through a socket. */
#define SOCKETS_PER_CALL 4
#define HEADER_MAX       4096
#define HEAD_BYTES_NAME  "Inference-Header-Content-Length"
#define RETRY_S_MAX      ((curl_off_t)UINT32_MAX)
#define URL_LOG_MAX      ((int)200)

/* A socket of libcurl's that is watched. */
struct peer_socket {
    struct http_calls *calls;
    struct watch *watch;
    curl_socket_t fd;
    struct peer_socket *next; /* free ones */
};

struct http_call {
    unsigned magic;
    struct http_calls *calls;
    CURL *easy;
    bool is_under_way;
    http_done_fn done;
    void *ctx;
    struct bytes body;
    enum status body_status; /* why the body was refused, or OK */
    char curl_error[CURL_ERROR_SIZE];
    /* This request's headers, before those of all requests. */
    struct curl_slist own[HTTP_CALL_HEADERS_MAX];
    char own_text[HTTP_CALL_HEADERS_LEN];
    struct http_call *next; /* free ones */
};

struct http_calls {
    unsigned magic;
    struct loop *loop;
    CURLM *multi;
    struct timer *timer;
    struct curl_slist *headers; /* of every request */
    size_t calls_max;
    size_t call_count; /* made: one more, for a done that sends the next */
    size_t under_way;
    bool is_reporting;
    struct http_call *calls;
    struct http_call *free_calls;
    struct peer_socket *sockets;
    struct peer_socket *free_sockets;
};

static void report_ended(struct http_calls *c);

static bool
is_given(const char *text)
{
    return text != NULL && *text != '\0';
}

/* ---- libcurl and the loop ---- */

static void
on_timer(void *ctx)
{
    struct http_calls *c = ctx;
    int running;
    long ms = -1;

    (void)curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    /* Where it finds that the time has not quite come, it asks for no other
     * one, since that is the one it asked for. */
    if (curl_multi_timeout(c->multi, &ms) == CURLM_OK && ms >= 0)
        timer_start(c->timer, ms > 0 ? (uint64_t)ms : 1, 0);
    report_ended(c);
}

/* The socket may be forgotten in here. */
static void
on_socket(void *ctx, unsigned events)
{
    struct peer_socket *s = ctx;
    struct http_calls *c = s->calls;
    int what = 0;
    int running;

    if ((events & WATCH_READ) != 0)
        what |= CURL_CSELECT_IN;
    if ((events & WATCH_WRITE) != 0)
        what |= CURL_CSELECT_OUT;
    if ((events & WATCH_FAILED) != 0)
        what |= CURL_CSELECT_ERR;
    (void)curl_multi_socket_action(c->multi, s->fd, what, &running);
    report_ended(c);
}

/* libcurl's: call me in ms; below 0: no more. */
static int
on_curl_timer(CURLM *multi, long ms, void *ctx)
{
    struct http_calls *c = ctx;

    (void)multi;
    if (ms < 0)
        timer_stop(c->timer);
    else
        timer_start(c->timer, (uint64_t)ms, 0);
    return 0;
}

static void
forget_socket(struct http_calls *c, struct peer_socket *s)
{
    watch_free(&s->watch);
    (void)curl_multi_assign(c->multi, s->fd, NULL);
    s->next = c->free_sockets;
    c->free_sockets = s;
}

static struct peer_socket *
watch_socket(struct http_calls *c, curl_socket_t fd)
{
    struct peer_socket *s = c->free_sockets;
    struct error err;

    if (s == NULL)
        return NULL;
    s->fd = fd;
    if (watch_new(&s->watch, c->loop, fd, on_socket, s, &err) != STATUS_OK)
        return NULL;
    c->free_sockets = s->next;
    (void)curl_multi_assign(c->multi, fd, s);
    return s;
}

/*
 * libcurl's: watch fd for `what`. A socket that cannot be watched is left to
 * its call's timeout: an error told from here would end every call, and all
 * later ones.
 */
static int
on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *ctx,
               void *assigned)
{
    struct http_calls *c = ctx;
    struct peer_socket *s = assigned;
    struct error err;
    unsigned events = 0;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (s != NULL)
            forget_socket(c, s);
        return 0;
    }
    if (s == NULL)
        s = watch_socket(c, fd);
    if (s == NULL)
        return 0;
    if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
        events |= WATCH_READ;
    if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
        events |= WATCH_WRITE;
    if (events == 0)
        watch_stop(s->watch);
    else if (watch_start(s->watch, events, &err) != STATUS_OK)
        forget_socket(c, s);
    return 0;
}

/* ---- a reply ---- */

/* libcurl's write callback: a result other than n ends the transfer. */
static size_t
on_body(char *data, size_t one, size_t n, void *ctx)
{
    struct http_call *call = ctx;
    struct error err;

    (void)one;
    call->body_status = bytes_append(&call->body, data, n, &err);
    return call->body_status == STATUS_OK ? n : 0;
}

static bool
read_count(uint64_t *out, const char *text)
{
    uint64_t value = 0;

    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9' || value > UINT64_MAX / 10 - 1)
            return false;
        value = value * 10 + (uint64_t)(*text - '0');
    }
    *out = value;
    return true;
}

static void
read_head(struct http_reply *r, CURL *easy)
{
    struct curl_header *header = NULL;
    char *type = NULL;
    curl_off_t retry_s = 0;
    long code = 0;

    (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &code);
    (void)curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &type);
    (void)curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &retry_s);
    r->code = (unsigned)code;
    r->type = type != NULL ? type : "";
    if (retry_s > 0) {
        r->has_retry_after = true;
        r->retry_after_ms =
            (uint64_t)(retry_s < RETRY_S_MAX ? retry_s : RETRY_S_MAX) * 1000;
    }
    if (curl_easy_header(easy, HEAD_BYTES_NAME, 0, CURLH_HEADER, -1, &header) ==
        CURLHE_OK)
        r->has_head_bytes = read_count(&r->head_bytes, header->value);
}

static void
read_reply(struct http_reply *r, struct http_call *call, CURLcode rc)
{
    curl_off_t took_us = 0;

    *r = (struct http_reply){.error = "", .body = "", .type = ""};
    (void)curl_easy_getinfo(call->easy, CURLINFO_TOTAL_TIME_T, &took_us);
    r->took_us = took_us > 0 ? (uint64_t)took_us : 0;
    r->status = call->body_status != STATUS_OK ? call->body_status
                                               : http_curl_status(rc);
    if (r->status == STATUS_OK) {
        read_head(r, call->easy);
        r->body_bytes = call->body.used;
        r->body = call->body.used > 0 ? call->body.data : "";
    } else if (r->status == STATUS_TOOBIG) {
        (void)snprintf(call->curl_error, sizeof(call->curl_error),
                       "a reply of more than %zu bytes", call->body.max);
        r->error = call->curl_error;
    } else {
        r->error = call->curl_error[0] != '\0' ? call->curl_error
                                               : curl_easy_strerror(rc);
    }
}

static void
end_call(struct http_call *call)
{
    struct http_calls *c = call->calls;

    (void)curl_multi_remove_handle(c->multi, call->easy);
    call->is_under_way = false;
    c->under_way--;
}

static void
put_back(struct http_call *call)
{
    bytes_clear(&call->body);
    call->next = call->calls->free_calls;
    call->calls->free_calls = call;
}

/* The call is free only after its done, which may send the next meanwhile. */
static void
report_call(struct http_call *call, CURLcode rc)
{
    struct http_calls *c = call->calls;
    struct http_reply reply;

    OBJ_CHECK(call, CALL_MAGIC);
    end_call(call);
    read_reply(&reply, call, rc);
    c->is_reporting = true;
    call->done(call->ctx, &reply);
    c->is_reporting = false;
    put_back(call);
}

static void
report_ended(struct http_calls *c)
{
    CURLMsg *message;
    int left;

    assert(!c->is_reporting);
    while ((message = curl_multi_info_read(c->multi, &left)) != NULL) {
        char *private = NULL;

        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE,
                                &private);
        report_call((struct http_call *)(void *)private, message->data.result);
    }
}

/* ---- headers ---- */

/* Writes "Name: value" (of an empty value "Name;", in libcurl's notation). */
static enum status
write_header(char *out, size_t room, const struct http_header *h, size_t *len,
             struct error *err)
{
    int n;

    if (*h->name == '\0')
        return error_set(err, STATUS_CONFIG, "a header without a name");
    for (const char *p = h->name; *p != '\0'; p++) {
        if (*p <= ' ' || *p > '~' || strchr("\"(),/:;<=>?@[\\]{}", *p) != NULL)
            return error_set(err, STATUS_CONFIG,
                             "header '%.64s': the name has characters that "
                             "HTTP does not allow",
                             h->name);
    }
    for (const char *p = h->value; *p != '\0'; p++) {
        if (((unsigned char)*p < ' ' && *p != '\t') || *p == '\x7f')
            return error_set(
                err, STATUS_CONFIG,
                "header '%.64s': the value has a control character", h->name);
    }
    n = *h->value == '\0' ? snprintf(out, room, "%s;", h->name)
                          : snprintf(out, room, "%s: %s", h->name, h->value);
    if (n < 0 || (size_t)n >= room)
        return error_set(err, STATUS_TOOBIG, "header '%.64s': too long",
                         h->name);
    *len = (size_t)n;
    return STATUS_OK;
}

static enum status
add_line(struct http_calls *c, const char *line, struct error *err)
{
    struct curl_slist *more = curl_slist_append(c->headers, line);

    if (more == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a header");
    c->headers = more;
    return STATUS_OK;
}

static enum status
add_header(struct http_calls *c, const struct http_header *h, struct error *err)
{
    char line[HEADER_MAX];
    size_t len;
    enum status st = write_header(line, sizeof(line), h, &len, err);

    if (st == STATUS_TOOBIG)
        st = STATUS_CONFIG;
    if (st == STATUS_OK)
        st = add_line(c, line, err);
    return st;
}

/* "Expect:" keeps libcurl from waiting for a 100 before a large body. */
static enum status
make_headers(struct http_calls *c, const struct http_calls_spec *spec,
             struct error *err)
{
    enum status st = add_line(c, "Expect:", err);
    char bearer[HEADER_MAX];

    for (size_t i = 0; st == STATUS_OK && i < spec->header_count; i++)
        st = add_header(c, &spec->headers[i], err);
    if (st != STATUS_OK || !is_given(spec->bearer))
        return st;
    if (is_given(spec->user))
        return error_set(err, STATUS_CONFIG,
                         "a bearer token and a user: only one can be sent");
    if (snprintf(bearer, sizeof(bearer), "Bearer %s", spec->bearer) >=
        HEADER_MAX)
        return error_set(err, STATUS_CONFIG, "the bearer token is too long");
    return add_header(
        c, &(struct http_header){.name = "Authorization", .value = bearer},
        err);
}

/* The request's own headers in front of the common ones; no memory is taken. */
static enum status
write_own_headers(struct http_call *call, const struct http_request *q,
                  struct curl_slist **out, struct error *err)
{
    char *text = call->own_text;
    size_t room = sizeof(call->own_text);

    if (q->header_count > HTTP_CALL_HEADERS_MAX)
        return error_set(err, STATUS_TOOBIG, "more than %d headers",
                         HTTP_CALL_HEADERS_MAX);
    *out = call->calls->headers;
    for (size_t i = q->header_count; i-- > 0;) {
        size_t len = 0;
        enum status st = write_header(text, room, &q->headers[i], &len, err);

        if (st != STATUS_OK)
            return st;
        call->own[i].data = text;
        call->own[i].next = *out;
        *out = &call->own[i];
        text += len + 1;
        room -= len + 1;
    }
    return STATUS_OK;
}

/* ---- life ---- */

static enum status
check_file(const char *path, const char *what, struct error *err)
{
    if (is_given(path) && access(path, R_OK) != 0)
        return error_set(err, STATUS_CONFIG, "%s %.300s: cannot be read", what,
                         path);
    return STATUS_OK;
}

static void
configure_tls(CURL *easy, const struct http_calls_spec *spec)
{
    if (is_given(spec->ca_file))
        (void)curl_easy_setopt(easy, CURLOPT_CAINFO, spec->ca_file);
    if (is_given(spec->certificate)) {
        (void)curl_easy_setopt(easy, CURLOPT_SSLCERT, spec->certificate);
        (void)curl_easy_setopt(easy, CURLOPT_SSLKEY,
                               is_given(spec->key) ? spec->key
                                                   : spec->certificate);
    }
}

/* What holds for all requests; it stays from one to the next. */
static enum status
configure(struct http_call *call, const struct http_calls_spec *spec,
          struct error *err)
{
    CURL *easy = call->easy;
    CURLcode rc = CURLE_OK;

    http_curl_restrict(easy);
    configure_tls(easy, spec);
    (void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                           spec->only_http1 ? (long)CURL_HTTP_VERSION_1_1
                                            : (long)CURL_HTTP_VERSION_2TLS);
    (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                           (long)spec->connect_ms);
    (void)curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    /* A name that does not resolve is left to its thread: without this libcurl
     * waits for the thread when such a call ends. */
    (void)curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE,
                           (curl_off_t)spec->reply_bytes_max);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    (void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->curl_error);
    (void)curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    if (is_given(spec->agent))
        rc = curl_easy_setopt(easy, CURLOPT_USERAGENT, spec->agent);
    if (rc == CURLE_OK && is_given(spec->user)) {
        (void)curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        rc = curl_easy_setopt(easy, CURLOPT_USERNAME, spec->user);
        if (rc == CURLE_OK)
            rc = curl_easy_setopt(easy, CURLOPT_PASSWORD,
                                  spec->password != NULL ? spec->password : "");
    }
    if (rc != CURLE_OK)
        return error_set(err, STATUS_NOMEM, "no memory for HTTP calls");
    return STATUS_OK;
}

static enum status
make_calls(struct http_calls *c, const struct http_calls_spec *spec,
           struct error *err)
{
    size_t sockets = c->call_count * SOCKETS_PER_CALL;

    c->calls = calloc(c->call_count, sizeof(*c->calls));
    c->sockets = calloc(sockets, sizeof(*c->sockets));
    if (c->calls == NULL || c->sockets == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for HTTP calls");
    for (size_t i = 0; i < sockets; i++) {
        c->sockets[i].calls = c;
        c->sockets[i].next = c->free_sockets;
        c->free_sockets = &c->sockets[i];
    }
    for (size_t i = 0; i < c->call_count; i++) {
        struct http_call *call = &c->calls[i];
        enum status st;

        call->magic = CALL_MAGIC;
        call->calls = c;
        bytes_init(&call->body, spec->reply_bytes_max);
        call->easy = curl_easy_init();
        if (call->easy == NULL)
            return error_set(err, STATUS_NOMEM, "no memory for HTTP calls");
        st = configure(call, spec, err);
        if (st != STATUS_OK)
            return st;
        put_back(call);
    }
    return STATUS_OK;
}

static enum status
make_multi(struct http_calls *c, struct error *err)
{
    c->multi = curl_multi_init();
    if (c->multi == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for HTTP calls");
    (void)curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
    (void)curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    (void)curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    (void)curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    (void)curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)c->calls_max);
    return STATUS_OK;
}

enum status
http_calls_new(struct http_calls **out, struct loop *l,
               const struct http_calls_spec *spec, struct error *err)
{
    struct http_calls *c = calloc(1, sizeof(*c));
    enum status st;

    assert(spec->calls_max >= 1 && spec->calls_max <= HTTP_CALLS_MAX);
    assert(spec->reply_bytes_max >= 1);
    if (c == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(c);
        return error_set(err, STATUS_NOMEM, "no memory for HTTP calls");
    }
    c->magic = CALLS_MAGIC;
    c->loop = l;
    c->calls_max = spec->calls_max;
    c->call_count = spec->calls_max + 1;
    st = check_file(spec->ca_file, "CA file", err);
    if (st == STATUS_OK)
        st = check_file(spec->certificate, "client certificate", err);
    if (st == STATUS_OK)
        st = check_file(spec->key, "client key", err);
    if (st == STATUS_OK)
        st = make_headers(c, spec, err);
    if (st == STATUS_OK)
        st = timer_new(&c->timer, l, on_timer, c, err);
    if (st == STATUS_OK)
        st = make_multi(c, err);
    if (st == STATUS_OK)
        st = make_calls(c, spec, err);
    if (st != STATUS_OK) {
        http_calls_free(&c);
        return st;
    }
    *out = c;
    return STATUS_OK;
}

void
http_calls_free(struct http_calls **self)
{
    struct http_calls *c;

    if (*self == NULL)
        return;
    OBJ_TAKE(c, self, CALLS_MAGIC);
    assert(!c->is_reporting);
    for (size_t i = 0; c->calls != NULL && i < c->call_count; i++) {
        struct http_call *call = &c->calls[i];

        if (call->is_under_way)
            end_call(call);
        curl_easy_cleanup(call->easy); /* NULL is fine */
        bytes_fini(&call->body);
        call->magic = 0;
    }
    (void)curl_multi_cleanup(c->multi); /* forgets its sockets; so is NULL */
    timer_free(&c->timer);
    curl_slist_free_all(c->headers);
    curl_global_cleanup();
    free(c->calls);
    free(c->sockets);
    c->magic = 0;
    free(c);
}

/* ---- a request ---- */

static bool
is_http_url(const char *url)
{
    return strncasecmp(url, "http://", 7) == 0 ||
           strncasecmp(url, "https://", 8) == 0;
}

static bool
set_request(struct http_call *call, const struct http_request *q,
            struct curl_slist *headers)
{
    CURL *easy = call->easy;
    CURLcode rc = curl_easy_setopt(easy, CURLOPT_URL, q->url);

    (void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)q->timeout_ms);
    if (q->body == NULL) {
        (void)curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
        return rc == CURLE_OK;
    }
    (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, q->body);
    (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                           (curl_off_t)q->body_bytes);
    (void)curl_easy_setopt(easy, CURLOPT_POST, 1L);
    return rc == CURLE_OK;
}

enum status
http_calls_send(struct http_calls *c, const struct http_request *q,
                struct http_call **out, struct error *err)
{
    struct http_call *call;
    struct curl_slist *headers = NULL;
    enum status st;

    OBJ_CHECK(c, CALLS_MAGIC);
    assert(q->done != NULL && q->timeout_ms > 0);
    if (c->under_way == c->calls_max || c->free_calls == NULL)
        return error_set(err, STATUS_AGAIN, "%zu HTTP calls are under way",
                         c->under_way);
    if (!is_http_url(q->url))
        return error_set(err, STATUS_CONFIG,
                         "%.*s: no URL that begins with http:// or https://",
                         URL_LOG_MAX, q->url);
    call = c->free_calls;
    st = write_own_headers(call, q, &headers, err);
    if (st != STATUS_OK)
        return st;
    call->done = q->done;
    call->ctx = q->ctx;
    call->body_status = STATUS_OK;
    call->curl_error[0] = '\0';
    if (!set_request(call, q, headers) ||
        curl_multi_add_handle(c->multi, call->easy) != CURLM_OK)
        return error_set(err, STATUS_NOMEM, "no memory for an HTTP call");
    c->free_calls = call->next;
    call->is_under_way = true;
    c->under_way++;
    *out = call;
    return STATUS_OK;
}

size_t
http_calls_under_way(const struct http_calls *c)
{
    OBJ_CHECK(c, CALLS_MAGIC);
    return c->under_way;
}

void
http_call_cancel(struct http_call **call)
{
    struct http_call *gone;

    if (*call == NULL)
        return;
    OBJ_TAKE(gone, call, CALL_MAGIC);
    assert(gone->is_under_way);
    end_call(gone);
    put_back(gone);
}
