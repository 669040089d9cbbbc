/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls against a scripted server: a thread a connection, plain sockets, what
 * it answers is in the path. getaddrinfo is replaced by one that can hang.
 */
#include "daemon/base/macros.h"
#include "daemon/io/http_calls.h"

#include "tests/support/check.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEADLINE_MS     20000 /* of a test that would hang */
#define CONNECTIONS_MAX 64
#define REQUEST_MAX     (1 << 20)
#define REPLY_MAX       65536
#define LONG_MS         15000
#define SHORT_MS        200

/* ---- a resolver that hangs ---- */

static sem_t resolver_gate;
static atomic_int resolver_waits;

int
getaddrinfo(const char *restrict node, const char *restrict service,
            const struct addrinfo *restrict hints,
            struct addrinfo **restrict out)
{
    int (*real)(const char *, const char *, const struct addrinfo *,
                struct addrinfo **);

    if (strcmp(node, "hangs.example") == 0) {
        atomic_fetch_add(&resolver_waits, 1);
        (void)sem_wait(&resolver_gate);
        atomic_fetch_sub(&resolver_waits, 1);
        return EAI_AGAIN;
    }
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    return real(node, service, hints, out);
}

/* ---- the server ---- */

struct server {
    int fd;
    unsigned port;
    pthread_t thread;
    pthread_t peers[CONNECTIONS_MAX];
    int peer_fds[CONNECTIONS_MAX];
    atomic_int peer_count;
    atomic_int requests;
};

struct peer {
    struct server *server;
    int fd;
};

static bool
say(int fd, const char *text)
{
    size_t n = strlen(text);

    return send(fd, text, n, MSG_NOSIGNAL) == (ssize_t)n;
}

/* Reads a request; gives its length, 0 at the end. */
static size_t
read_request(int fd, char *text)
{
    size_t used = 0;

    for (;;) {
        char *end;
        const char *length;
        size_t wanted;
        ssize_t n = recv(fd, text + used, REQUEST_MAX - 1 - used, 0);

        if (n <= 0)
            return 0;
        used += (size_t)n;
        text[used] = '\0';
        end = strstr(text, "\r\n\r\n");
        if (end == NULL)
            continue;
        length = strstr(text, "Content-Length: ");
        wanted = (size_t)(end + 4 - text);
        if (length != NULL && length < end)
            wanted += strtoul(length + 16, NULL, 10);
        if (used >= wanted)
            return used;
    }
}

static void
drip(int fd)
{
    (void)say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n");
    while (say(fd, "x"))
        (void)usleep(20000); /* the drip itself, not a wait */
}

static void
reset(int fd)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};

    (void)say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
}

static void
echo(int fd, const char *request, size_t n)
{
    char head[256];

    (void)snprintf(head, sizeof(head),
                   "HTTP/1.1 200 OK\r\nContent-Type: text/echo\r\n"
                   "inference-header-content-length: 17\r\n"
                   "Content-Length: %zu\r\n\r\n",
                   n);
    (void)say(fd, head);
    (void)send(fd, request, n, MSG_NOSIGNAL);
}

/* Answers; false: the connection ends. */
static bool
answer(int fd, const char *request, size_t n)
{
    const char *path = strchr(request, ' ') + 1;

    if (strncmp(path, "/echo", 5) == 0)
        echo(fd, request, n);
    else if (strncmp(path, "/busy", 5) == 0)
        (void)say(fd, "HTTP/1.1 429 No\r\nRetry-After: 3\r\n"
                      "Content-Length: 4\r\n\r\nbusy");
    else if (strncmp(path, "/away", 5) == 0)
        (void)say(fd, "HTTP/1.1 307 Go\r\nLocation: /echo\r\n"
                      "Content-Length: 0\r\n\r\n");
    else if (strncmp(path, "/huge", 5) == 0)
        (void)say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\nx");
    else if (strncmp(path, "/chunks", 7) == 0) {
        (void)say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        while (say(fd, "10\r\n0123456789abcdef\r\n"))
            ;
        return false;
    } else if (strncmp(path, "/cut", 4) == 0) {
        (void)say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
        return false;
    } else if (strncmp(path, "/reset", 6) == 0) {
        reset(fd);
        return false;
    } else if (strncmp(path, "/garbage", 8) == 0) {
        (void)say(fd, "\x01\x02 what is this\r\n\r\n");
        return false;
    } else if (strncmp(path, "/drip", 5) == 0) {
        drip(fd);
        return false;
    }
    return true; /* anything else: silence */
}

static void *
run_peer(void *ctx)
{
    struct peer *p = ctx;
    char *text = malloc(REQUEST_MAX);
    size_t n;

    while (text != NULL && (n = read_request(p->fd, text)) > 0) {
        atomic_fetch_add(&p->server->requests, 1);
        if (!answer(p->fd, text, n))
            break;
    }
    (void)shutdown(p->fd, SHUT_RDWR);
    free(text);
    free(p);
    return NULL;
}

static void *
run_server(void *ctx)
{
    struct server *s = ctx;

    for (int i = 0; i < CONNECTIONS_MAX; i++) {
        struct peer *p = malloc(sizeof(*p));

        p->server = s;
        p->fd = accept(s->fd, NULL, NULL);
        if (p->fd < 0) {
            free(p);
            break;
        }
        s->peer_fds[i] = p->fd;
        (void)pthread_create(&s->peers[i], NULL, run_peer, p);
        atomic_store(&s->peer_count, i + 1);
    }
    return NULL;
}

static void
open_server(struct server *s)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);

    memset(s, 0, sizeof(*s));
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_INT(bind(s->fd, (struct sockaddr *)&at, sizeof(at)), 0);
    CHECK_INT(listen(s->fd, 16), 0);
    CHECK_INT(getsockname(s->fd, (struct sockaddr *)&at, &len), 0);
    s->port = ntohs(at.sin_port);
    (void)pthread_create(&s->thread, NULL, run_server, s);
}

static void
close_server(struct server *s)
{
    (void)shutdown(s->fd, SHUT_RDWR);
    (void)pthread_join(s->thread, NULL);
    for (int i = 0; i < atomic_load(&s->peer_count); i++)
        (void)shutdown(s->peer_fds[i], SHUT_RDWR);
    for (int i = 0; i < atomic_load(&s->peer_count); i++) {
        (void)pthread_join(s->peers[i], NULL);
        (void)close(s->peer_fds[i]);
    }
    (void)close(s->fd);
}

/* ---- the world ---- */

struct world {
    struct loop *loop;
    struct timer *deadline;
    struct http_calls *calls;
    struct server server;
    unsigned done;
    unsigned wanted; /* calls to wait for */
    bool is_late;
    struct http_reply reply; /* the last one's; pointers are not kept */
    char body[REPLY_MAX];
    char type[64];
    char error[256];
    const char *next; /* path that done asks for */
};

static void
on_deadline(void *ctx)
{
    struct world *w = ctx;

    w->is_late = true;
    loop_stop(w->loop);
}

static void
open_world(struct world *w, const struct http_calls_spec *spec)
{
    struct error err;

    memset(w, 0, sizeof(*w));
    open_server(&w->server);
    CHECK_INT(loop_new(&w->loop, &err), STATUS_OK);
    CHECK_INT(timer_new(&w->deadline, w->loop, on_deadline, w, &err),
              STATUS_OK);
    CHECK_INT(http_calls_new(&w->calls, w->loop, spec, &err), STATUS_OK);
}

static void
close_world(struct world *w)
{
    CHECK(!w->is_late);
    http_calls_free(&w->calls);
    timer_free(&w->deadline);
    loop_free(&w->loop);
    close_server(&w->server);
}

static struct http_calls_spec
a_spec(void)
{
    return (struct http_calls_spec){
        .calls_max = 4,
        .reply_bytes_max = REPLY_MAX - 1,
        .connect_ms = LONG_MS,
        .agent = "test/1",
    };
}

static enum status send_to(struct world *w, const char *path, uint64_t ms,
                           struct http_call **call);

static void
on_done(void *ctx, const struct http_reply *reply)
{
    struct world *w = ctx;
    struct http_call *call;

    w->reply = *reply;
    memcpy(w->body, reply->body, reply->body_bytes);
    w->body[reply->body_bytes] = '\0';
    (void)snprintf(w->type, sizeof(w->type), "%s", reply->type);
    (void)snprintf(w->error, sizeof(w->error), "%s", reply->error);
    if (w->next != NULL) {
        const char *path = w->next;

        w->next = NULL;
        CHECK_INT(send_to(w, path, LONG_MS, &call), STATUS_OK);
    }
    /* What is sent in here must not have touched the reply. */
    CHECK(memcmp(w->body, reply->body, reply->body_bytes) == 0);
    w->done++;
    if (w->done == w->wanted)
        loop_stop(w->loop);
}

static enum status
send_to(struct world *w, const char *path, uint64_t ms, struct http_call **call)
{
    char url[128];
    struct error err;
    struct http_request q = {
        .url = url, .timeout_ms = ms, .done = on_done, .ctx = w};

    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", w->server.port,
                   path);
    return http_calls_send(w->calls, &q, call, &err);
}

static void
wait_for(struct world *w, unsigned wanted)
{
    w->wanted = wanted;
    timer_start(w->deadline, DEADLINE_MS, 0);
    if (w->done < wanted)
        loop_run(w->loop);
    timer_stop(w->deadline);
    CHECK_INT(w->done, wanted);
}

/* Sends one and waits for it. */
static void
ask(struct world *w, const char *path, uint64_t ms)
{
    struct http_call *call;

    CHECK_INT(send_to(w, path, ms, &call), STATUS_OK);
    wait_for(w, w->done + 1);
}

/* ---- tests ---- */

static void
test_request_and_reply(void)
{
    struct http_header common[] = {{"X-Key", "k1"}, {"X-Empty", ""}};
    struct http_header own[] = {{"Content-Type", "a/b"}, {"X-Own", "o1"}};
    struct http_calls_spec spec = a_spec();
    struct world w;
    char url[64];
    char body[3000];
    struct http_request q = {.url = url,
                             .headers = own,
                             .header_count = COUNT(own),
                             .body = body,
                             .body_bytes = sizeof(body),
                             .timeout_ms = LONG_MS,
                             .done = on_done,
                             .ctx = &w};
    struct http_call *call;
    struct error err;

    spec.headers = common;
    spec.header_count = COUNT(common);
    spec.bearer = "secret";
    (void)setenv("http_proxy", "http://127.0.0.1:1", 1);
    open_world(&w, &spec);
    memset(body, 'b', sizeof(body));
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u/echo", w.server.port);
    CHECK_INT(http_calls_send(w.calls, &q, &call, &err), STATUS_OK);
    CHECK_INT(http_calls_under_way(w.calls), 1);
    CHECK_INT(w.done, 0);
    wait_for(&w, 1);
    CHECK_INT(http_calls_under_way(w.calls), 0);
    CHECK_INT(w.reply.status, STATUS_OK);
    CHECK_INT(w.reply.code, 200);
    CHECK_STR(w.type, "text/echo");
    CHECK(w.reply.has_head_bytes && w.reply.head_bytes == 17);
    CHECK(!w.reply.has_retry_after);
    CHECK_HAS(w.body, "POST /echo HTTP/1.1\r\n");
    CHECK_HAS(w.body, "\r\nX-Key: k1\r\n");
    CHECK_HAS(w.body, "\r\nX-Empty:\r\n");
    CHECK_HAS(w.body, "\r\nX-Own: o1\r\n");
    CHECK_HAS(w.body, "\r\nContent-Type: a/b\r\n");
    CHECK_HAS(w.body, "\r\nAuthorization: Bearer secret\r\n");
    CHECK_HAS(w.body, "\r\nUser-Agent: test/1\r\n");
    CHECK_HAS(w.body, "\r\nContent-Length: 3000\r\n");
    CHECK(strstr(w.body, "Expect") == NULL);
    CHECK_HAS(w.body, "\r\n\r\nbbbbbbbb");

    /* The next has neither body nor headers of the one before. */
    ask(&w, "/echo", LONG_MS);
    CHECK_HAS(w.body, "GET /echo HTTP/1.1\r\n");
    CHECK_HAS(w.body, "\r\nX-Key: k1\r\n");
    CHECK(strstr(w.body, "X-Own") == NULL);
    CHECK(strstr(w.body, "Content-Length") == NULL);
    CHECK_INT(atomic_load(&w.server.peer_count), 1);
    close_world(&w);
    (void)unsetenv("http_proxy");
}

static void
test_basic_auth(void)
{
    struct http_calls_spec spec = a_spec();
    struct world w;

    spec.user = "Aladdin";
    spec.password = "open sesame";
    open_world(&w, &spec);
    ask(&w, "/echo", LONG_MS);
    CHECK_HAS(w.body,
              "\r\nAuthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n");
    close_world(&w);
}

static void
test_other_codes_are_replies(void)
{
    struct http_calls_spec spec = a_spec();
    struct world w;

    open_world(&w, &spec);
    ask(&w, "/busy", LONG_MS);
    CHECK_INT(w.reply.status, STATUS_OK);
    CHECK_INT(w.reply.code, 429);
    CHECK(w.reply.has_retry_after && w.reply.retry_after_ms == 3000);
    CHECK_STR(w.body, "busy");
    ask(&w, "/away", LONG_MS);
    CHECK_INT(w.reply.status, STATUS_OK);
    CHECK_INT(w.reply.code, 307);
    CHECK_INT(w.reply.body_bytes, 0);
    CHECK_INT(atomic_load(&w.server.requests), 2); /* followed nowhere */
    close_world(&w);
}

static void
test_room(void)
{
    struct http_calls_spec spec = a_spec();
    struct world w;
    struct http_call *call;

    spec.calls_max = 1;
    open_world(&w, &spec);
    w.next = "/busy";
    CHECK_INT(send_to(&w, "/echo", LONG_MS, &call), STATUS_OK);
    CHECK_INT(send_to(&w, "/echo", LONG_MS, &call), STATUS_AGAIN);
    wait_for(&w, 2); /* the second was sent by the first's done */
    CHECK_STR(w.body, "busy");
    CHECK_INT(atomic_load(&w.server.peer_count), 1);
    for (unsigned i = 0; i < 50; i++)
        ask(&w, "/echo", LONG_MS);
    CHECK_INT(w.reply.code, 200);
    CHECK_INT(atomic_load(&w.server.peer_count), 1);
    close_world(&w);
}

static void
check_failure(struct world *w, const char *path, uint64_t ms, enum status st)
{
    ask(w, path, ms);
    CHECK_INT(w->reply.status, st);
    CHECK_INT(w->reply.code, 0);
    CHECK_INT(w->reply.body_bytes, 0);
    CHECK(*w->error != '\0');
}

static void
test_failures(void)
{
    struct http_calls_spec spec = a_spec();
    struct world w;

    open_world(&w, &spec);
    check_failure(&w, "/cut", LONG_MS, STATUS_REFUSED);
    check_failure(&w, "/reset", LONG_MS, STATUS_REFUSED);
    check_failure(&w, "/garbage", LONG_MS, STATUS_REFUSED);
    check_failure(&w, "/silence", SHORT_MS, STATUS_TIMEOUT);
    check_failure(&w, "/drip", SHORT_MS, STATUS_TIMEOUT);
    check_failure(&w, "/huge", LONG_MS, STATUS_TOOBIG);
    CHECK_HAS(w.error, "65535");
    check_failure(&w, "/chunks", LONG_MS, STATUS_TOOBIG);
    CHECK_HAS(w.error, "65535");
    ask(&w, "/echo", LONG_MS);
    CHECK_INT(w.reply.code, 200);
    close_world(&w);
}

static void
test_nobody_there(void)
{
    struct http_calls_spec spec = a_spec();
    struct world w;
    unsigned port;

    open_world(&w, &spec);
    port = w.server.port;
    close_server(&w.server);
    check_failure(&w, "/echo", LONG_MS, STATUS_REFUSED);
    CHECK(port != 0);
    open_server(&w.server);
    ask(&w, "/echo", LONG_MS);
    CHECK_INT(w.reply.code, 200);
    close_world(&w);
}

static void
test_cancel(void)
{
    struct http_calls_spec spec = a_spec();
    struct world w;
    struct http_call *silent[4];
    struct http_call *none = NULL;
    struct http_call *call;

    open_world(&w, &spec);
    for (unsigned i = 0; i < COUNT(silent); i++)
        CHECK_INT(send_to(&w, "/silence", LONG_MS, &silent[i]), STATUS_OK);
    CHECK_INT(send_to(&w, "/echo", LONG_MS, &call), STATUS_AGAIN);
    http_call_cancel(&none);
    http_call_cancel(&silent[0]);
    CHECK(silent[0] == NULL);
    CHECK_INT(http_calls_under_way(w.calls), 3);
    ask(&w, "/echo", LONG_MS);
    http_call_cancel(&silent[2]);
    ask(&w, "/echo", LONG_MS);
    CHECK_INT(w.done, 2);
    CHECK_INT(http_calls_under_way(w.calls), 2);
    close_world(&w); /* with two under way, which are never done */
    CHECK_INT(w.done, 2);
}

static enum status
send_hanging(struct world *w, uint64_t ms, struct http_call **call)
{
    struct http_request q = {.url = "http://hangs.example:1/",
                             .timeout_ms = ms,
                             .done = on_done,
                             .ctx = w};
    struct error err;

    return http_calls_send(w->calls, &q, call, &err);
}

/* The resolver stays stuck until the calls have ended: waiting for it would
 * never end. */
static void
test_stuck_resolver(void)
{
    struct http_calls_spec spec = a_spec();
    struct world w;
    struct http_call *call;

    (void)sem_init(&resolver_gate, 0, 0);
    open_world(&w, &spec);
    CHECK_INT(send_hanging(&w, SHORT_MS, &call), STATUS_OK);
    ask(&w, "/echo", LONG_MS);
    CHECK_INT(w.reply.code, 200);
    wait_for(&w, 2);
    CHECK_INT(w.reply.status, STATUS_TIMEOUT);
    CHECK_INT(send_hanging(&w, LONG_MS, &call), STATUS_OK);
    ask(&w, "/silence", SHORT_MS);
    http_call_cancel(&call);
    CHECK_INT(send_hanging(&w, LONG_MS, &call), STATUS_OK);
    ask(&w, "/silence", SHORT_MS);
    close_world(&w);
    CHECK(atomic_load(&resolver_waits) > 0);
    while (atomic_load(&resolver_waits) > 0) {
        (void)sem_post(&resolver_gate);
        (void)usleep(1000);
    }
}

static void
check_bad_spec(const struct http_calls_spec *spec, const char *says)
{
    struct loop *loop = NULL;
    struct http_calls *calls = NULL;
    struct error err;

    CHECK_INT(loop_new(&loop, &err), STATUS_OK);
    CHECK_INT(http_calls_new(&calls, loop, spec, &err), STATUS_CONFIG);
    CHECK(calls == NULL);
    CHECK_HAS(err.text, says);
    CHECK(strstr(err.text, "s3cret") == NULL);
    loop_free(&loop);
}

static void
test_what_cannot_be_used(void)
{
    struct http_header split = {"X-Key", "s3cret\r\nHost: other"};
    struct http_header name = {"X Key", "s3cret"};
    struct http_calls_spec spec = a_spec();
    struct world w;
    struct http_call *call;
    struct error err;

    spec.header_count = 1;
    spec.headers = &split;
    check_bad_spec(&spec, "control character");
    spec.headers = &name;
    check_bad_spec(&spec, "HTTP does not allow");
    spec = a_spec();
    spec.bearer = "s3cret";
    spec.user = "me";
    check_bad_spec(&spec, "only one");
    spec.user = NULL;
    spec.ca_file = "/nowhere/ca.pem";
    check_bad_spec(&spec, "/nowhere/ca.pem");

    spec = a_spec();
    open_world(&w, &spec);
    CHECK_INT(http_calls_send(w.calls,
                              &(struct http_request){.url = "file:///etc/x",
                                                     .timeout_ms = 1,
                                                     .done = on_done},
                              &call, &err),
              STATUS_CONFIG);
    CHECK_INT(http_calls_send(w.calls,
                              &(struct http_request){.url = "http://h/",
                                                     .headers = &split,
                                                     .header_count = 1,
                                                     .timeout_ms = 1,
                                                     .done = on_done},
                              &call, &err),
              STATUS_CONFIG);
    CHECK_INT(http_calls_under_way(w.calls), 0);
    close_world(&w);
}

int
main(void)
{
    RUN(test_request_and_reply);
    RUN(test_basic_auth);
    RUN(test_other_codes_are_replies);
    RUN(test_room);
    RUN(test_failures);
    RUN(test_nobody_there);
    RUN(test_cancel);
    RUN(test_stuck_resolver);
    RUN(test_what_cannot_be_used);
    return check_report();
}
