/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_CALLS_H
#define IO_CALLS_H

#include "daemon/io/loop.h"

#include <stdbool.h>

/*
 * A thread for calls that block, one after the other, so that the loop never
 * does. A call is its owner's struct; while it is under way its owner touches
 * nothing that work touches.
 */
struct calls;

struct call {
    void (*work)(void *ctx); /* thread: of the calls; may block */
    void (*done)(void *ctx); /* thread: loop, after work */
    void *ctx;
    bool is_under_way; /* the loop's; calls keeps it */
};

/* calls_new starts the thread. */
must_check enum status calls_new(struct calls **out, struct loop *l,
                                 struct error *err);

/* calls_begin puts a call, which is not under way, at the end of the line.
 * Keeps a borrow until done. Thread: loop. */
void calls_begin(struct calls *c, struct call *call);

/* calls_free waits for the calls under way, joins the thread, frees *self and
 * sets it NULL; NULL is fine. Their done is not called any more. Thread:
 * loop. */
void calls_free(struct calls **self);

#endif
