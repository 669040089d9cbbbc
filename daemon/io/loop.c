/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libuv, and nothing of it outside of this folder.
 */
#include "daemon/io/loop.h"

#include "daemon/base/object.h"

#include <stdbool.h>
#include <stdlib.h>
#include <uv.h>

#define LOOP_MAGIC  0x4c4f4f50u
#define SIGNALS_MAX 4

struct signal_watch {
    uv_signal_t handle;
    loop_fn fn;
    void *ctx;
};

struct loop {
    unsigned magic;
    uv_loop_t uv;
    struct signal_watch signals[SIGNALS_MAX];
    unsigned signal_count;
    uv_prepare_t meter; /* runs before each wait: a turn's end */
    bool has_meter;
    loop_turn_fn on_turn;
    void *turn_ctx;
    uint64_t turn_ns;
    uint64_t idle_ns; /* waited so far, by libuv's count */
};

struct wakeup {
    uv_async_t handle;
    loop_fn fn;
    void *ctx;
};

struct timer {
    uv_timer_t handle;
    loop_fn fn;
    void *ctx;
};

struct watch {
    uv_poll_t handle;
    watch_fn fn;
    void *ctx;
};

static void
on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void
on_signal(uv_signal_t *handle, int signum)
{
    struct signal_watch *s = handle->data;

    (void)signum;
    s->fn(s->ctx);
}

static void
on_async(uv_async_t *handle)
{
    struct wakeup *w = handle->data;

    w->fn(w->ctx);
}

static void
on_timer(uv_timer_t *handle)
{
    struct timer *t = handle->data;

    t->fn(t->ctx);
}

/* On a status below 0 libuv has stopped the handle already. */
static void
on_poll(uv_poll_t *handle, int status, int events)
{
    struct watch *w = handle->data;
    unsigned seen = 0;

    if (status < 0) {
        (void)uv_poll_stop(handle);
        w->fn(w->ctx, WATCH_FAILED);
        return;
    }
    if ((events & UV_READABLE) != 0)
        seen |= WATCH_READ;
    if ((events & UV_WRITABLE) != 0)
        seen |= WATCH_WRITE;
    if (seen != 0)
        w->fn(w->ctx, seen);
}

enum status
loop_new(struct loop **out, struct error *err)
{
    struct loop *l = calloc(1, sizeof(*l));
    int rc;

    if (l == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for the event loop");
    rc = uv_loop_init(&l->uv);
    if (rc != 0) {
        free(l);
        return error_set(err, STATUS_IO, "event loop: %s", uv_strerror(rc));
    }
    l->magic = LOOP_MAGIC;
    *out = l;
    return STATUS_OK;
}

void
loop_free(struct loop **self)
{
    struct loop *l;
    int rc;

    if (*self == NULL)
        return;
    OBJ_TAKE(l, self, LOOP_MAGIC);
    if (l->has_meter)
        uv_close((uv_handle_t *)&l->meter, NULL);
    for (unsigned i = 0; i < l->signal_count; i++)
        uv_close((uv_handle_t *)&l->signals[i].handle, NULL);
    (void)uv_run(&l->uv, UV_RUN_DEFAULT); /* the close callbacks */
    rc = uv_loop_close(&l->uv);
    assert(rc == 0); /* a wakeup, timer or watch was not freed */
    l->magic = 0;
    free(l);
}

void
loop_run(struct loop *l)
{
    OBJ_CHECK(l, LOOP_MAGIC);
    (void)uv_run(&l->uv, UV_RUN_DEFAULT);
}

void
loop_stop(struct loop *l)
{
    OBJ_CHECK(l, LOOP_MAGIC);
    uv_stop(&l->uv);
}

static void
on_turn_end(uv_prepare_t *handle)
{
    struct loop *l = handle->data;
    uint64_t now = uv_hrtime();
    uint64_t idle = uv_metrics_idle_time(&l->uv);
    uint64_t waited = idle - l->idle_ns;
    uint64_t passed = now - l->turn_ns;

    l->turn_ns = now;
    l->idle_ns = idle;
    l->on_turn(l->turn_ctx, passed > waited ? passed - waited : 0);
}

enum status
loop_measure(struct loop *l, loop_turn_fn fn, void *ctx, struct error *err)
{
    int rc;

    OBJ_CHECK(l, LOOP_MAGIC);
    assert(!l->has_meter && fn != NULL);
    rc = uv_loop_configure(&l->uv, UV_METRICS_IDLE_TIME);
    if (rc == 0)
        rc = uv_prepare_init(&l->uv, &l->meter);
    if (rc != 0)
        return error_set(err, STATUS_IO, "measuring the event loop: %s",
                         uv_strerror(rc));
    l->has_meter = true;
    l->on_turn = fn;
    l->turn_ctx = ctx;
    l->turn_ns = uv_hrtime();
    l->meter.data = l;
    (void)uv_prepare_start(&l->meter, on_turn_end);
    uv_unref((uv_handle_t *)&l->meter);
    return STATUS_OK;
}

enum status
loop_on_signal(struct loop *l, int signum, loop_fn fn, void *ctx,
               struct error *err)
{
    struct signal_watch *s;
    int rc;

    OBJ_CHECK(l, LOOP_MAGIC);
    assert(l->signal_count < SIGNALS_MAX);
    s = &l->signals[l->signal_count];
    rc = uv_signal_init(&l->uv, &s->handle);
    if (rc != 0)
        return error_set(err, STATUS_IO, "signal %d: %s", signum,
                         uv_strerror(rc));
    l->signal_count++;
    s->handle.data = s;
    s->fn = fn;
    s->ctx = ctx;
    rc = uv_signal_start(&s->handle, on_signal, signum);
    if (rc != 0)
        return error_set(err, STATUS_IO, "signal %d: %s", signum,
                         uv_strerror(rc));
    return STATUS_OK;
}

enum status
wakeup_new(struct wakeup **out, struct loop *l, loop_fn fn, void *ctx,
           struct error *err)
{
    struct wakeup *w = calloc(1, sizeof(*w));
    int rc;

    OBJ_CHECK(l, LOOP_MAGIC);
    if (w == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a wakeup");
    rc = uv_async_init(&l->uv, &w->handle, on_async);
    if (rc != 0) {
        free(w);
        return error_set(err, STATUS_IO, "wakeup: %s", uv_strerror(rc));
    }
    w->handle.data = w;
    w->fn = fn;
    w->ctx = ctx;
    *out = w;
    return STATUS_OK;
}

void
wakeup_send(struct wakeup *w)
{
    int rc = uv_async_send(&w->handle);

    assert(rc == 0);
}

void
wakeup_free(struct wakeup **self)
{
    if (*self == NULL)
        return;
    uv_close((uv_handle_t *)&(*self)->handle, on_closed);
    *self = NULL;
}

enum status
timer_new(struct timer **out, struct loop *l, loop_fn fn, void *ctx,
          struct error *err)
{
    struct timer *t = calloc(1, sizeof(*t));

    OBJ_CHECK(l, LOOP_MAGIC);
    if (t == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a timer");
    (void)uv_timer_init(&l->uv, &t->handle);
    t->handle.data = t;
    t->fn = fn;
    t->ctx = ctx;
    *out = t;
    return STATUS_OK;
}

void
timer_start(struct timer *t, uint64_t after_ms, uint64_t every_ms)
{
    (void)uv_timer_start(&t->handle, on_timer, after_ms, every_ms);
}

void
timer_stop(struct timer *t)
{
    (void)uv_timer_stop(&t->handle);
}

void
timer_free(struct timer **self)
{
    if (*self == NULL)
        return;
    uv_close((uv_handle_t *)&(*self)->handle, on_closed);
    *self = NULL;
}

enum status
watch_new(struct watch **out, struct loop *l, int fd, watch_fn fn, void *ctx,
          struct error *err)
{
    struct watch *w = calloc(1, sizeof(*w));
    int rc;

    OBJ_CHECK(l, LOOP_MAGIC);
    assert(fn != NULL);
    if (w == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a watch");
    rc = uv_poll_init(&l->uv, &w->handle, fd);
    if (rc != 0) {
        free(w);
        return error_set(err, STATUS_IO, "watch of descriptor %d: %s", fd,
                         uv_strerror(rc));
    }
    w->handle.data = w;
    w->fn = fn;
    w->ctx = ctx;
    *out = w;
    return STATUS_OK;
}

enum status
watch_start(struct watch *w, unsigned events, struct error *err)
{
    int wanted = 0;
    int rc;

    assert(events != 0 &&
           (events & ~(unsigned)(WATCH_READ | WATCH_WRITE)) == 0);
    if ((events & WATCH_READ) != 0)
        wanted |= UV_READABLE;
    if ((events & WATCH_WRITE) != 0)
        wanted |= UV_WRITABLE;
    rc = uv_poll_start(&w->handle, wanted, on_poll);
    if (rc != 0)
        return error_set(err, STATUS_IO, "watch: %s", uv_strerror(rc));
    return STATUS_OK;
}

void
watch_stop(struct watch *w)
{
    (void)uv_poll_stop(&w->handle);
}

void
watch_free(struct watch **self)
{
    if (*self == NULL)
        return;
    uv_close((uv_handle_t *)&(*self)->handle, on_closed);
    *self = NULL;
}
