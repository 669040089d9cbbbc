/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_HEARTBEAT_H
#define DAEMON_HEARTBEAT_H

#include "daemon/io/loop.h"
#include "daemon/metrics.h"

#include <stdbool.h>

/*
 * Whether the event loop turns, measured from inside: a timer that should
 * fire every HEARTBEAT_MS, how late it is, and how long each turn's callbacks
 * took. It also tells a service manager's watchdog that the loop lives.
 *
 * A loop that stands still can tell nobody. Who asks then waits, and is to
 * take silence for death; once the loop turns again, heartbeat_is_well says
 * false for as long as the stall was allowed to last, so that a loop that
 * stalls over and over is seen too. Thread: loop.
 */

#define HEARTBEAT_MS 100

struct heartbeat;

/* heartbeat_new starts it; a stall is longer than stall_ms. NOMEM, IO. */
must_check enum status heartbeat_new(struct heartbeat **out, struct loop *l,
                                     uint64_t stall_ms, struct error *err);

/* heartbeat_free stops it, frees *self, sets it NULL; NULL is fine. The loop
 * must not turn after it. */
void heartbeat_free(struct heartbeat **self);

/* heartbeat_is_well says whether the loop did not stall lately; if it did,
 * *stall_seconds is how long. */
bool heartbeat_is_well(struct heartbeat *h, double *stall_seconds);

/* heartbeat_lag lends how late the timer was, in seconds. */
const struct histogram *heartbeat_lag(const struct heartbeat *h);

/* heartbeat_turns lends how long the callbacks of a turn took together. */
const struct histogram *heartbeat_turns(const struct heartbeat *h);

#endif
