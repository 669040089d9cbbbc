/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_LOOP_H
#define IO_LOOP_H

#include "daemon/base/error.h"

#include <stdint.h>

/*
 * The event loop (libuv). One thread runs it; everything below is that
 * thread's, but for wakeup_send. Callbacks never block.
 */
struct loop;
struct wakeup;
struct timer;
struct watch;

typedef void (*loop_fn)(void *ctx);

must_check enum status loop_new(struct loop **out, struct error *err);

/* loop_free closes what is still open in the loop, frees it, sets it NULL. */
void loop_free(struct loop **self);

/* loop_run turns until loop_stop is called. */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);

/*
 * loop_measure calls fn after every turn with the time that the turn's
 * callbacks took together, waiting not counted: none of them took longer. At
 * most once a loop. IO.
 */
typedef void (*loop_turn_fn)(void *ctx, uint64_t busy_ns);

must_check enum status loop_measure(struct loop *l, loop_turn_fn fn, void *ctx,
                                    struct error *err);

/* loop_on_signal calls fn on the loop for every signal signum. */
must_check enum status loop_on_signal(struct loop *l, int signum, loop_fn fn,
                                      void *ctx, struct error *err);

/*
 * A wakeup lets other threads call fn on the loop. Sends coalesce: fn handles
 * all there is to handle. Freed on the loop, after the senders have ended.
 */
must_check enum status wakeup_new(struct wakeup **out, struct loop *l,
                                  loop_fn fn, void *ctx, struct error *err);
void wakeup_send(struct wakeup *w); /* thread: any */
void wakeup_free(struct wakeup **self);

/* A timer calls fn once after `after_ms`, or again every `every_ms`. */
must_check enum status timer_new(struct timer **out, struct loop *l, loop_fn fn,
                                 void *ctx, struct error *err);
void timer_start(struct timer *t, uint64_t after_ms, uint64_t every_ms);
void timer_stop(struct timer *t);
void timer_free(struct timer **self);

/* What a watch waits for and reports, or-ed. */
enum watch_event {
    WATCH_READ = 1,
    WATCH_WRITE = 2,
    WATCH_FAILED = 4, /* alone: the descriptor is broken (a socket's error, a
                         peer that is gone); the watch has stopped */
};

typedef void (*watch_fn)(void *ctx, unsigned events);

/*
 * A watch calls fn while a descriptor of somebody else's (a library's epoll
 * descriptor, an eventfd, a socket) is ready: it reports a state, again and
 * again until the state was dealt with. The descriptor becomes non-blocking
 * and stays its owner's, who closes it after watch_free; one watch a
 * descriptor. A watch may be stopped and freed from inside fn.
 */
must_check enum status watch_new(struct watch **out, struct loop *l, int fd,
                                 watch_fn fn, void *ctx, struct error *err);
/* watch_start waits for `events` (READ, WRITE or both) from now on, in place
 * of what it waited for. */
must_check enum status watch_start(struct watch *w, unsigned events,
                                   struct error *err);
void watch_stop(struct watch *w);
void watch_free(struct watch **self);

#endif
