/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/io/loop.h"

#include "tests/support/check.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEADLINE_MS 20000 /* of a test that would hang */

struct world {
    struct loop *loop;
    struct timer *deadline;
    struct watch *watch;
    int fd;
    unsigned calls;
    unsigned seen; /* events, or-ed */
    bool is_late;
};

static void
on_deadline(void *ctx)
{
    struct world *w = ctx;

    w->is_late = true;
    loop_stop(w->loop);
}

static void
open_world(struct world *w, int fd, watch_fn fn)
{
    struct error err;

    memset(w, 0, sizeof(*w));
    w->fd = fd;
    CHECK_INT(loop_new(&w->loop, &err), STATUS_OK);
    CHECK_INT(timer_new(&w->deadline, w->loop, on_deadline, w, &err),
              STATUS_OK);
    timer_start(w->deadline, DEADLINE_MS, 0);
    CHECK_INT(watch_new(&w->watch, w->loop, fd, fn, w, &err), STATUS_OK);
}

static void
close_world(struct world *w)
{
    CHECK(!w->is_late);
    watch_free(&w->watch);
    timer_free(&w->deadline);
    loop_free(&w->loop);
}

/* Leaves the state alone the first time: it must be reported again. */
static void
on_event(void *ctx, unsigned events)
{
    struct world *w = ctx;
    uint64_t value;

    w->calls++;
    w->seen |= events;
    if (w->calls < 2)
        return;
    CHECK_INT(read(w->fd, &value, sizeof(value)), sizeof(value));
    loop_stop(w->loop);
}

static void
test_state_is_reported_until_dealt_with(void)
{
    struct world w;
    struct error err;
    uint64_t one = 1;
    int fd = eventfd(0, EFD_CLOEXEC);

    open_world(&w, fd, on_event);
    CHECK_INT(watch_start(w.watch, WATCH_READ, &err), STATUS_OK);
    CHECK_INT(write(fd, &one, sizeof(one)), sizeof(one));
    loop_run(w.loop);
    CHECK_INT(w.calls, 2);
    CHECK_INT(w.seen, WATCH_READ);
    /* watch_new made it non-blocking: nothing is left, and read says so. */
    CHECK_INT(read(fd, &one, sizeof(one)), -1);
    close_world(&w);
    (void)close(fd);
}

static void
on_free_itself(void *ctx, unsigned events)
{
    struct world *w = ctx;

    w->calls++;
    w->seen |= events;
    watch_free(&w->watch);
    loop_stop(w->loop);
}

static void
test_freed_from_inside(void)
{
    struct world w;
    struct error err;
    int fds[2];

    CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    open_world(&w, fds[0], on_free_itself);
    CHECK_INT(watch_start(w.watch, WATCH_READ | WATCH_WRITE, &err), STATUS_OK);
    loop_run(w.loop);
    CHECK_INT(w.calls, 1);
    CHECK_INT(w.seen, WATCH_WRITE);
    close_world(&w);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static void
on_any(void *ctx, unsigned events)
{
    struct world *w = ctx;

    w->calls++;
    w->seen |= events;
    loop_stop(w->loop);
}

static void
test_stopped_and_started_again(void)
{
    struct world w;
    struct error err;
    int fds[2];

    CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    open_world(&w, fds[0], on_any);
    CHECK_INT(watch_start(w.watch, WATCH_WRITE, &err), STATUS_OK);
    watch_stop(w.watch);
    /* Only the second start's events count: nothing is there to be read until
     * the peer goes. */
    CHECK_INT(watch_start(w.watch, WATCH_READ, &err), STATUS_OK);
    (void)close(fds[1]);
    loop_run(w.loop);
    CHECK_INT(w.calls, 1);
    CHECK((w.seen & WATCH_WRITE) == 0);
    close_world(&w);
    (void)close(fds[0]);
}

/* A pipe without a reader is broken for its writer. */
static void
test_failure_is_told_and_ends_it(void)
{
    struct world w;
    struct error err;
    int fds[2];

    CHECK_INT(pipe(fds), 0);
    open_world(&w, fds[1], on_any);
    CHECK_INT(watch_start(w.watch, WATCH_READ, &err), STATUS_OK);
    (void)close(fds[0]);
    loop_run(w.loop);
    CHECK_INT(w.calls, 1);
    CHECK_INT(w.seen, WATCH_FAILED);
    close_world(&w);
    (void)close(fds[1]);
}

static void
test_what_cannot_be_watched(void)
{
    struct world w;
    struct watch *second = NULL;
    struct error err;
    int fd = eventfd(0, EFD_CLOEXEC);

    open_world(&w, fd, on_any);
    CHECK_INT(watch_start(w.watch, WATCH_READ, &err), STATUS_OK);
    CHECK_INT(watch_new(&second, w.loop, fd, on_any, &w, &err), STATUS_IO);
    CHECK(second == NULL);
    CHECK_INT(watch_new(&second, w.loop, 9999, on_any, &w, &err), STATUS_IO);
    CHECK_HAS(err.text, "9999");
    close_world(&w);
    (void)close(fd);
}

int
main(void)
{
    RUN(test_state_is_reported_until_dealt_with);
    RUN(test_freed_from_inside);
    RUN(test_stopped_and_started_again);
    RUN(test_failure_is_told_and_ends_it);
    RUN(test_what_cannot_be_watched);
    return check_report();
}
