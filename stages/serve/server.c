/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hosts, the HTTP server in front of them, the thread that loads newer
 * versions, and the end.
 */
#include "stages/serve/server.h"

#include "stages/serve/routes.h"

#include "daemon/base/clock.h"
#include "daemon/base/logging.h"
#include "daemon/base/object.h"
#include "daemon/io/worker.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define REFRESH_MS    1000
#define DRAIN_TICK_MS 20
#define DRAIN_MS      30000  /* for what is under way */
#define LINGER_MS     1000   /* for clients to take the last answers */
#define REQUEST_MS    30000  /* for a client to send, or to take an answer */
#define KEEP_ALIVE_MS 120000 /* between requests */
#define HEAD_BYTES    16384
#define SHARED_BYTES  ((size_t)512 << 20) /* bodies, and answers, of all */
#define PAGE_BYTES    ((size_t)16 << 20)

struct server {
    const struct serve_spec *spec;
    struct loop *loop;
    struct host *hosts[SERVE_MODELS_MAX];
    bool is_refreshing[SERVE_MODELS_MAX];
    struct routes routes;
    struct http_server *http;
    struct worker *loader;
    struct timer *refresh;
    struct timer *drain;
    uint64_t drain_ns; /* when it began */
    uint64_t quiet_ns; /* since when nothing waits; 0: not yet */
    enum status st;
    struct error *err;
};

/* ---- newer versions ---- */

static void
on_refresh(void *ctx)
{
    struct server *s = ctx;

    for (size_t i = 0; i < s->routes.host_count; i++) {
        void *item = s->hosts[i];

        if (s->is_refreshing[i] || !host_may_refresh(s->hosts[i]))
            continue;
        s->is_refreshing[i] = worker_offer(s->loader, &item) == STATUS_OK;
    }
}

static void
load(void *ctx, void *item)
{
    (void)ctx;
    host_refresh(item);
}

static void
on_loaded(void *ctx, void *item)
{
    struct server *s = ctx;

    host_adopt(item);
    for (size_t i = 0; i < s->routes.host_count; i++) {
        if (s->hosts[i] == item)
            s->is_refreshing[i] = false;
    }
}

static void
on_loader_stopped(void *ctx)
{
    (void)ctx;
}

/* ---- the end ---- */

static void
on_drain(void *ctx)
{
    struct server *s = ctx;
    uint64_t now = clock_now_ns();
    size_t waiting = 0;

    for (size_t i = 0; i < s->routes.host_count; i++)
        waiting += host_waiting(s->hosts[i]);
    if (waiting > 0 && now - s->drain_ns > DRAIN_MS * UINT64_C(1000000)) {
        s->st = error_set(s->err, STATUS_TIMEOUT,
                          "stopped with %zu requests unanswered", waiting);
        loop_stop(s->loop);
        return;
    }
    if (waiting > 0)
        return;
    if (s->quiet_ns == 0)
        s->quiet_ns = now;
    if (http_server_connections(s->http) == 0 ||
        now - s->quiet_ns > LINGER_MS * UINT64_C(1000000))
        loop_stop(s->loop);
}

static void
on_signal(void *ctx)
{
    struct server *s = ctx;

    if (s->routes.is_draining)
        s->spec->give_up(status_exit_code(STATUS_TIMEOUT));
    log_info("serve_stopping", "connections=%u",
             http_server_connections(s->http));
    s->routes.is_draining = true;
    s->drain_ns = clock_now_ns();
    timer_stop(s->refresh);
    http_server_drain(s->http);
    timer_start(s->drain, DRAIN_TICK_MS, DRAIN_TICK_MS);
}

/* ---- the beginning ---- */

static enum status
open_host(struct server *s, size_t i, struct error *err)
{
    struct host_spec spec = {
        .name = s->spec->models[i].name,
        .version = {.path = s->spec->models[i].path,
                    .rows_max = s->spec->rows_max,
                    .threads = s->spec->threads,
                    .body_bytes_max = s->spec->body_bytes_max},
        .batch_delay_ms = s->spec->batch_delay_ms,
        .waiting_max = s->spec->waiting_max,
    };
    enum status st = host_new(&s->hosts[i], s->loop, &spec, err);

    if (st != STATUS_OK)
        return st;
    for (size_t k = 0; k < i; k++) {
        if (strcmp(host_name(s->hosts[k]), host_name(s->hosts[i])) == 0)
            return error_set(err, STATUS_CONFIG,
                             "two models are called %s: -m NAME=CHECKPOINT "
                             "gives one another name",
                             host_name(s->hosts[i]));
    }
    s->routes.host_count = i + 1;
    log_info("version_served", "model=%s version=%s path=\"%s\"",
             host_name(s->hosts[i]), host_version(s->hosts[i])->number_text,
             spec.version.path);
    return STATUS_OK;
}

static enum status
listen_for_clients(struct server *s, struct error *err)
{
    struct http_server_spec spec = {
        .address = &s->spec->address,
        .limits = {.connections_max = s->spec->connections_max,
                   .streams_max = 0,
                   .request_ms = REQUEST_MS,
                   .keep_alive_ms = KEEP_ALIVE_MS,
                   .head_bytes = HEAD_BYTES,
                   .body_bytes = s->spec->body_bytes_max,
                   .bodies_bytes = SHARED_BYTES,
                   .answers_bytes = SHARED_BYTES},
        .handle = routes_handle,
        .refuse = routes_refuse,
        .ctx = &s->routes,
    };
    char text[ADDRESS_TEXT_MAX];
    enum status st = http_server_new(&s->http, s->loop, &spec, err);

    if (st != STATUS_OK)
        return st;
    s->routes.server = s->http;
    address_format(http_server_address(s->http), text);
    log_info("serve_listening", "address=%s", text);
    return STATUS_OK;
}

static enum status
open_server(struct server *s, struct error *err)
{
    struct worker_spec loader = {
        .name = "loader",
        .slots = SERVE_MODELS_MAX,
        .ctx = s,
        .work = load,
        .done = on_loaded,
        .stopped = on_loader_stopped,
    };
    enum status st = loop_new(&s->loop, err);

    bytes_init(&s->routes.page, PAGE_BYTES);
    s->routes.hosts = s->hosts;
    for (size_t i = 0; i < s->spec->model_count && st == STATUS_OK; i++)
        st = open_host(s, i, err);
    if (st == STATUS_OK)
        st = worker_new(&s->loader, s->loop, &loader, err);
    if (st == STATUS_OK)
        st = timer_new(&s->refresh, s->loop, on_refresh, s, err);
    if (st == STATUS_OK)
        st = timer_new(&s->drain, s->loop, on_drain, s, err);
    if (st == STATUS_OK)
        st = loop_on_signal(s->loop, SIGTERM, on_signal, s, err);
    if (st == STATUS_OK)
        st = loop_on_signal(s->loop, SIGINT, on_signal, s, err);
    if (st == STATUS_OK)
        st = listen_for_clients(s, err);
    return st;
}

static void
close_server(struct server *s)
{
    http_server_free(&s->http);
    worker_give_up(&s->loader);
    for (size_t i = 0; i < SERVE_MODELS_MAX; i++)
        host_free(&s->hosts[i]);
    timer_free(&s->refresh);
    timer_free(&s->drain);
    bytes_fini(&s->routes.page);
    loop_free(&s->loop);
}

enum status
serve_run(const struct serve_spec *spec, struct error *err)
{
    struct server *s = calloc(1, sizeof(*s));
    enum status st;

    if (s == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a server");
    s->spec = spec;
    s->st = STATUS_OK;
    s->err = err;
    st = open_server(s, err);
    if (st == STATUS_OK) {
        timer_start(s->refresh, REFRESH_MS, REFRESH_MS);
        loop_run(s->loop);
        st = s->st;
        log_info("serve_stopped", "requests=%s",
                 st == STATUS_OK ? "answered" : "left");
    }
    close_server(s);
    free(s);
    return st;
}
