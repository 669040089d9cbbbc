/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop, listened to.
 */
#include "daemon/heartbeat.h"

#include "daemon/base/clock.h"
#include "daemon/base/logging.h"
#include "daemon/base/macros.h"
#include "daemon/base/object.h"
#include "daemon/io/service_manager.h"

#include <stdlib.h>

#define HEARTBEAT_MAGIC 0x48424541u
#define NS_PER_MS       1000000u

/* Seconds. 5 ms is what a callback may take. */
static const double lag_bounds[] = {0.001, 0.002, 0.005, 0.01, 0.025, 0.05,
                                    0.1,   0.25,  1,     2.5,  10};
static const double turn_bounds[] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025,
                                     0.005,  0.01,    0.025,  0.1,   1};

struct heartbeat {
    unsigned magic;
    struct timer *timer;
    uint64_t stall_ns;
    uint64_t beat_ns;    /* when the timer last fired */
    uint64_t stalled_ns; /* when a stall was last seen; 0: never */
    uint64_t stall_length_ns;
    uint64_t watchdog_ns; /* between two words to the watchdog; 0: none */
    uint64_t told_ns;
    struct histogram lag;
    struct histogram turns;
};

/* Looks how long the loop has been away. */
static void
look(struct heartbeat *h, uint64_t now)
{
    uint64_t gap = now - h->beat_ns;

    if (gap < h->stall_ns + (uint64_t)HEARTBEAT_MS * NS_PER_MS)
        return;
    h->stalled_ns = now;
    h->stall_length_ns = gap;
}

static void
on_beat(void *ctx)
{
    struct heartbeat *h = ctx;
    uint64_t now = clock_now_ns();
    uint64_t gap = now - h->beat_ns;
    uint64_t period = (uint64_t)HEARTBEAT_MS * NS_PER_MS;

    look(h, now);
    if (h->stalled_ns == now)
        log_warn("loop_stalled", "seconds=%.3f", (double)gap / 1e9);
    histogram_add(&h->lag, gap > period ? (double)(gap - period) / 1e9 : 0);
    h->beat_ns = now;
    if (h->watchdog_ns > 0 && now - h->told_ns + period >= h->watchdog_ns) {
        h->told_ns = now;
        service_manager_tell("WATCHDOG=1");
    }
}

static void
on_turn(void *ctx, uint64_t busy_ns)
{
    struct heartbeat *h = ctx;

    histogram_add(&h->turns, (double)busy_ns / 1e9);
}

enum status
heartbeat_new(struct heartbeat **out, struct loop *l, uint64_t stall_ms,
              struct error *err)
{
    struct heartbeat *h = calloc(1, sizeof(*h));
    enum status st;

    if (h == NULL)
        return error_set(err, STATUS_NOMEM, "no memory for a heartbeat");
    h->magic = HEARTBEAT_MAGIC;
    h->stall_ns = stall_ms * NS_PER_MS;
    h->watchdog_ns = service_manager_watchdog_ms() * NS_PER_MS;
    h->beat_ns = clock_now_ns();
    histogram_init(&h->lag, lag_bounds, COUNT(lag_bounds));
    histogram_init(&h->turns, turn_bounds, COUNT(turn_bounds));
    st = timer_new(&h->timer, l, on_beat, h, err);
    if (st == STATUS_OK)
        st = loop_measure(l, on_turn, h, err);
    if (st != STATUS_OK) {
        heartbeat_free(&h);
        return st;
    }
    timer_start(h->timer, HEARTBEAT_MS, HEARTBEAT_MS);
    *out = h;
    return STATUS_OK;
}

void
heartbeat_free(struct heartbeat **self)
{
    struct heartbeat *h;

    if (*self == NULL)
        return;
    OBJ_TAKE(h, self, HEARTBEAT_MAGIC);
    timer_free(&h->timer);
    h->magic = 0;
    free(h);
}

bool
heartbeat_is_well(struct heartbeat *h, double *stall_seconds)
{
    uint64_t now = clock_now_ns();

    OBJ_CHECK(h, HEARTBEAT_MAGIC);
    look(h, now); /* this very question may be the first after a stall */
    *stall_seconds = (double)h->stall_length_ns / 1e9;
    return h->stalled_ns == 0 || now - h->stalled_ns > h->stall_ns;
}

const struct histogram *
heartbeat_lag(const struct heartbeat *h)
{
    OBJ_CHECK(h, HEARTBEAT_MAGIC);
    return &h->lag;
}

const struct histogram *
heartbeat_turns(const struct heartbeat *h)
{
    OBJ_CHECK(h, HEARTBEAT_MAGIC);
    return &h->turns;
}
