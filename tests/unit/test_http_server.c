/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server on a loop of its own, asked by plain sockets of the same thread:
 * a script of steps goes on whenever the loop turns.
 */
#include "daemon/base/macros.h"
#include "daemon/io/http_server.h"

#include "tests/support/check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define TURN_MS     2
#define DEADLINE_MS 20000
#define CLIENTS_MAX 16
#define TEXT_MAX    65536

struct client {
    int fd;
    char text[TEXT_MAX]; /* that came, ended */
    size_t len;
    int is_at_end;
};

struct world {
    struct loop *loop;
    struct http_server *server;
    struct timer *turn;
    struct client clients[CLIENTS_MAX];
    size_t client_count;
    unsigned turns;
    int (*is_done)(struct world *w);
    int is_late;
    /* What the handler does and saw. */
    struct http_exchange *deferred;
    struct http_exchange *waiting; /* deferred before that */
    struct http_stream *stream;
    unsigned handled;
    unsigned ended;
    enum status stream_status;
    char seen[256];
};

static void
read_client(struct client *c)
{
    while (!c->is_at_end && c->len + 1 < TEXT_MAX) {
        ssize_t n =
            recv(c->fd, c->text + c->len, TEXT_MAX - 1 - c->len, MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        c->is_at_end = n <= 0;
        c->len += n > 0 ? (size_t)n : 0;
        c->text[c->len] = '\0';
    }
}

static void
on_turn(void *ctx)
{
    struct world *w = ctx;

    for (size_t i = 0; i < w->client_count; i++)
        read_client(&w->clients[i]);
    w->turns++;
    w->is_late = w->turns > DEADLINE_MS / TURN_MS;
    if (w->is_done(w) || w->is_late)
        loop_stop(w->loop);
}

/* Turns the loop until is_done says so. */
static void
wait_for(struct world *w, int (*is_done)(struct world *w))
{
    w->is_done = is_done;
    w->turns = 0;
    timer_start(w->turn, TURN_MS, TURN_MS);
    loop_run(w->loop);
    timer_stop(w->turn);
    CHECK(!w->is_late);
}

static struct client *
ask(struct world *w, const char *request)
{
    struct client *c = &w->clients[w->client_count++];
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port =
                                 htons(http_server_address(w->server)->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    size_t n = strlen(request);

    memset(c, 0, sizeof(*c));
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_INT(connect(c->fd, (const struct sockaddr *)&to, sizeof(to)), 0);
    CHECK_INT(send(c->fd, request, n, MSG_NOSIGNAL), n);
    return c;
}

static void
refuse_in_json(void *ctx, struct http_exchange *x, unsigned code,
               const char *why)
{
    char text[256];

    (void)ctx;
    (void)snprintf(text, sizeof(text), "{\"error\":\"%s\"}", why);
    http_answer(x, &(struct http_answer){.code = code,
                                         .type = "application/json",
                                         .data = text,
                                         .len = strlen(text)});
}

static void
open_world_for(struct world *w, void (*handle)(void *, struct http_exchange *),
               uint64_t keep_alive_ms, size_t bodies_bytes)
{
    struct address address;
    struct error err;
    struct http_server_spec spec = {
        .address = &address,
        .limits = {.connections_max = 4,
                   .streams_max = 1,
                   .request_ms = 300,
                   .keep_alive_ms = keep_alive_ms,
                   .bodies_bytes = bodies_bytes,
                   .head_bytes = 4096,
                   .body_bytes = 64,
                   .answers_bytes = 3000,
                   .stream_bytes = 1000},
        .handle = handle,
        .refuse = keep_alive_ms > 0 ? refuse_in_json : NULL,
        .ctx = w,
    };

    memset(w, 0, sizeof(*w));
    CHECK_INT(address_parse(&address, "127.0.0.1:0", &err), STATUS_OK);
    CHECK_INT(loop_new(&w->loop, &err), STATUS_OK);
    CHECK_INT(timer_new(&w->turn, w->loop, on_turn, w, &err), STATUS_OK);
    CHECK_INT(http_server_new(&w->server, w->loop, &spec, &err), STATUS_OK);
}

static void
open_world(struct world *w, void (*handle)(void *, struct http_exchange *))
{
    open_world_for(w, handle, 0, 0);
}

static void
close_world(struct world *w)
{
    http_server_free(&w->server);
    timer_free(&w->turn);
    loop_free(&w->loop);
    for (size_t i = 0; i < w->client_count; i++)
        (void)close(w->clients[i].fd);
}

static int
all_at_end(struct world *w)
{
    for (size_t i = 0; i < w->client_count; i++) {
        if (!w->clients[i].is_at_end)
            return 0;
    }
    return 1;
}

static void
answer(struct http_exchange *x, const char *text)
{
    http_answer(x, &(struct http_answer){.code = 200,
                                         .type = "text/plain",
                                         .data = text,
                                         .len = strlen(text)});
}

static void
on_echo(void *ctx, struct http_exchange *x)
{
    struct world *w = ctx;
    const char *argument = http_query(x, "q");
    const char *header = http_header(x, "x-name");
    size_t len = 0;
    const char *body = http_body(x, &len);

    w->handled++;
    (void)snprintf(
        w->seen, sizeof(w->seen), "%s %s q=%s h=%s b=%.*s", http_method(x),
        http_path(x), argument != NULL ? argument : "none",
        header != NULL ? header : "none", (int)len, body != NULL ? body : "");
    answer(x, w->seen);
    answer(x, "a second answer does nothing");
}

static void
test_what_was_asked_arrives_whole(void)
{
    static struct world w;
    struct client *c;

    open_world(&w, on_echo);
    c = ask(&w, "POST /a%20b?q=1%262&q=3 HTTP/1.1\r\nHost: x\r\nX-Name: n\r\n"
                "Content-Length: 5\r\n\r\nhello");
    wait_for(&w, all_at_end);
    CHECK_HAS(c->text, "HTTP/1.1 200");
    CHECK_HAS(c->text, "Connection: close");
    CHECK_HAS(c->text, "\r\n\r\nPOST /a b q=1&2 h=n b=hello");
    c = ask(&w, "GET /x?q HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_for(&w, all_at_end);
    CHECK_HAS(c->text, "GET /x q= h=none b=");
    c = ask(&w, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_for(&w, all_at_end);
    CHECK_HAS(c->text, "GET /x q=none h=none b=");
    CHECK_INT(w.handled, 3);
    close_world(&w);
}

static void
test_a_body_that_is_too_long_is_not_handled(void)
{
    static struct world w;
    char request[512];
    char body[101];

    memset(body, 'a', 100);
    body[100] = '\0';
    open_world(&w, on_echo);
    (void)snprintf(
        request, sizeof(request),
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n%s", body);
    (void)ask(&w, request);
    (void)snprintf(request, sizeof(request),
                   "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
                   "chunked\r\n\r\n64\r\n%s\r\n0\r\n\r\n",
                   body);
    (void)ask(&w, request);
    wait_for(&w, all_at_end);
    CHECK_HAS(w.clients[0].text, " 413 ");
    CHECK_HAS(w.clients[1].text, " 413 ");
    CHECK_INT(w.handled, 0);
    close_world(&w);
}

static void
test_who_is_slow_is_cut(void)
{
    static struct world w;

    open_world(&w, on_echo);
    (void)ask(&w, "");
    (void)ask(&w, "GET / HTTP/1.1\r\nX: ");
    wait_for(&w, all_at_end);
    CHECK_INT(w.clients[0].len, 0);
    CHECK(strstr(w.clients[1].text, " 200 ") == NULL);
    CHECK_INT(w.handled, 0);
    CHECK_INT(http_server_connections(w.server), 0);
    close_world(&w);
}

static int
last_is_at_end(struct world *w)
{
    return w->clients[w->client_count - 1].is_at_end;
}

static void
test_the_oldest_gives_way(void)
{
    static struct world w;
    struct client *c;

    open_world(&w, on_echo);
    for (int i = 0; i < 12; i++)
        (void)ask(&w, "GET");
    c = ask(&w, "GET /mine HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_for(&w, last_is_at_end);
    CHECK_HAS(c->text, "GET /mine");
    wait_for(&w, all_at_end);
    close_world(&w);
}

static void
on_defer(void *ctx, struct http_exchange *x)
{
    struct world *w = ctx;

    w->waiting = w->deferred;
    w->deferred = x;
    http_defer(x);
}

static int
is_deferred(struct world *w)
{
    return w->deferred != NULL;
}

static int
are_two_deferred(struct world *w)
{
    return w->waiting != NULL;
}

static void
test_answers_take_no_more_than_they_may(void)
{
    char large[2001];
    static struct world w;
    int refused = 0;

    memset(large, 'a', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    open_world(&w, on_defer);
    for (int round = 0; round < 2; round++) {
        (void)ask(&w, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        (void)ask(&w, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        wait_for(&w, are_two_deferred);
        answer(w.waiting, large);
        answer(w.deferred, large); /* there is room for one at a time */
        w.waiting = NULL;
        w.deferred = NULL;
        wait_for(&w, all_at_end);
    }
    for (size_t i = 0; i < w.client_count; i++) {
        refused += strstr(w.clients[i].text, " 503 ") != NULL;
        CHECK((strstr(w.clients[i].text, " 200 ") != NULL) ==
              (strstr(w.clients[i].text, large) != NULL));
    }
    CHECK_INT(refused, 2);
    close_world(&w);
}

static int
is_past_its_time(struct world *w)
{
    return w->turns > 500 / TURN_MS;
}

static void
test_a_deferred_answer(void)
{
    static struct world w;
    struct client *c;

    open_world(&w, on_defer);
    c = ask(&w, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_for(&w, is_deferred);
    /* It may take longer than a client may. */
    wait_for(&w, is_past_its_time);
    CHECK_INT(c->len, 0);
    CHECK(!c->is_at_end);
    answer(w.deferred, "at last");
    wait_for(&w, all_at_end);
    CHECK_HAS(c->text, "\r\n\r\nat last");
    w.deferred = NULL;
    c = ask(&w, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_for(&w, is_deferred);
    http_server_free(&w.server);
    read_client(c);
    CHECK_HAS(c->text, " 503 ");
    close_world(&w);
}

static void
on_stream_end(void *ctx)
{
    struct world *w = ctx;

    w->ended++;
    w->stream = NULL;
}

static void
on_stream(void *ctx, struct http_exchange *x)
{
    struct world *w = ctx;
    struct http_stream *stream = NULL;
    struct error err;

    w->handled++;
    w->stream_status =
        http_stream_open(&stream, x, "text/plain", on_stream_end, w, &err);
    if (w->stream_status == STATUS_OK)
        w->stream = stream;
    else
        answer(x, err.text);
}

static int
has_stream(struct world *w)
{
    return w->stream != NULL;
}

static int
has_first_part(struct world *w)
{
    return strstr(w->clients[0].text, "part 1") != NULL;
}

static int
has_ended(struct world *w)
{
    return w->ended == 1;
}

static void
test_a_stream_goes_on_until_it_is_closed(void)
{
    static struct world w;

    open_world(&w, on_stream);
    (void)ask(&w, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_for(&w, has_stream);
    CHECK_INT(http_stream_write(w.stream, "part 1", 6), STATUS_OK);
    wait_for(&w, has_first_part);
    /* A second one is refused, and the first one does not mind. */
    (void)ask(&w, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_for(&w, last_is_at_end);
    CHECK_HAS(w.clients[1].text, "1 streams are open already");
    wait_for(&w, is_past_its_time);
    CHECK(!w.clients[0].is_at_end);
    CHECK_INT(http_stream_write(w.stream, "part 2", 6), STATUS_OK);
    http_stream_close(w.stream);
    CHECK_INT(http_stream_write(w.stream, "part 3", 6), STATUS_AGAIN);
    wait_for(&w, all_at_end);
    CHECK_HAS(w.clients[0].text, "part 2");
    CHECK_HAS(w.clients[0].text, "\r\n0\r\n\r\n");
    CHECK(strstr(w.clients[0].text, "part 3") == NULL);
    wait_for(&w, has_ended);
    close_world(&w);
}

static void
test_a_stream_is_bounded_and_ends_with_its_client(void)
{
    static struct world w;
    char block[600];

    memset(block, 'a', sizeof(block));
    open_world(&w, on_stream);
    (void)ask(&w, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_for(&w, has_stream);
    CHECK_INT(http_stream_write(w.stream, block, sizeof(block)), STATUS_OK);
    CHECK_INT(http_stream_write(w.stream, block, sizeof(block)), STATUS_AGAIN);
    CHECK_INT(http_stream_write(w.stream, block, 1001), STATUS_AGAIN);
    (void)shutdown(w.clients[0].fd, SHUT_RDWR);
    wait_for(&w, has_ended);
    CHECK(w.stream == NULL);
    close_world(&w);
    CHECK_INT(w.ended, 1);
}

static void
test_a_stream_ends_with_the_server(void)
{
    static struct world w;

    open_world(&w, on_stream);
    (void)ask(&w, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_for(&w, has_stream);
    CHECK_INT(http_stream_write(w.stream, "last words", 10), STATUS_OK);
    http_server_free(&w.server);
    CHECK_INT(w.ended, 1);
    read_client(&w.clients[0]);
    CHECK_HAS(w.clients[0].text, "last words");
    CHECK_HAS(w.clients[0].text, "\r\n0\r\n\r\n");
    close_world(&w);
}

/* How often a text is in what a client got. */
static int
count(const struct client *c, const char *text)
{
    int n = 0;

    for (const char *at = c->text; (at = strstr(at, text)) != NULL; at++)
        n++;
    return n;
}

static int
second_came(struct world *w)
{
    return count(&w->clients[0], "\r\n\r\nPOST") == 2;
}

#define POST(body)                                                             \
    "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n" body

static void
test_one_request_after_the_other(void)
{
    static struct world w;
    struct client *c;

    open_world_for(&w, on_echo, 600, 0);
    c = ask(&w, POST("hello") POST("again"));
    wait_for(&w, second_came);
    CHECK_INT(count(c, "Connection: close"), 0);
    CHECK_HAS(c->text, "b=hello");
    CHECK_HAS(c->text, "b=again");
    CHECK(!c->is_at_end);
    /* Longer than request_ms, and then the end. */
    wait_for(&w, all_at_end);
    CHECK(w.turns * TURN_MS > 300);
    CHECK_INT(w.handled, 2);
    close_world(&w);
}

static void
on_take(void *ctx, struct http_exchange *x)
{
    struct world *w = ctx;
    struct bytes mine;
    size_t len = 1;

    bytes_init(&mine, 64);
    http_take_body(x, &mine);
    (void)http_body(x, &len);
    CHECK_INT(len, 0);
    w->handled++;
    (void)snprintf(w->seen, sizeof(w->seen), "POST took %.*s", (int)mine.used,
                   mine.data);
    bytes_fini(&mine);
    answer(x, w->seen);
}

static void
test_a_body_may_be_taken(void)
{
    static struct world w;

    open_world_for(&w, on_take, 600, 0);
    (void)ask(&w, POST("hello") POST("again"));
    wait_for(&w, second_came);
    CHECK_HAS(w.clients[0].text, "took hello");
    CHECK_HAS(w.clients[0].text, "took again");
    close_world(&w);
}

static void
test_what_the_server_refuses_it_says_as_its_owner_does(void)
{
    static struct world w;

    open_world_for(&w, on_echo, 600, 4);
    (void)ask(&w, POST("hello"));
    (void)ask(&w, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 65\r\n\r\n");
    wait_for(&w, all_at_end);
    CHECK_HAS(w.clients[0].text, "HTTP/1.1 503");
    CHECK_HAS(w.clients[0].text,
              "{\"error\":\"too many bodies are under way\"}");
    CHECK_HAS(w.clients[1].text, "HTTP/1.1 413");
    CHECK_HAS(w.clients[1].text, "{\"error\":\"body too long\"}");
    CHECK_INT(w.handled, 0);
    close_world(&w);
}

static int
first_came(struct world *w)
{
    return count(&w->clients[0], "\r\n\r\nPOST") == 1;
}

static void
test_draining_ends_connections(void)
{
    static struct world w;
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int late;

    open_world_for(&w, on_echo, 60000, 0);
    (void)ask(&w, POST("hello"));
    wait_for(&w, first_came);
    to.sin_port = htons(http_server_address(w.server)->port);
    http_server_drain(w.server);
    late = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_INT(connect(late, (const struct sockaddr *)&to, sizeof(to)), -1);
    (void)close(late);
    wait_for(&w, all_at_end);
    CHECK_INT(http_server_connections(w.server), 0);
    close_world(&w);
}

int
main(void)
{
    RUN(test_what_was_asked_arrives_whole);
    RUN(test_a_body_that_is_too_long_is_not_handled);
    RUN(test_who_is_slow_is_cut);
    RUN(test_the_oldest_gives_way);
    RUN(test_answers_take_no_more_than_they_may);
    RUN(test_a_deferred_answer);
    RUN(test_a_stream_goes_on_until_it_is_closed);
    RUN(test_a_stream_is_bounded_and_ends_with_its_client);
    RUN(test_a_stream_ends_with_the_server);
    RUN(test_one_request_after_the_other);
    RUN(test_a_body_may_be_taken);
    RUN(test_what_the_server_refuses_it_says_as_its_owner_does);
    RUN(test_draining_ends_connections);
    return check_report();
}
