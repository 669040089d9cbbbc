/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_WORKER_H
#define IO_WORKER_H

#include "daemon/io/loop.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * A thread that does to items what the loop may not do itself: it blocks, or
 * it computes. Items go out through one bounded ring and come back through
 * another, in order:
 *
 *   loop  -- worker_offer -->  [ring]  --> work(item)   thread
 *   loop  <--  done(item)  --  [ring]  <--
 *
 * Work cannot fail: what went wrong is a field of the item. At most `slots`
 * items are on their way; then worker_offer says AGAIN, and the next done is
 * the sign that there is room.
 */
struct worker;

struct worker_spec {
    const char *name; /* of the thread, at most 15 bytes */
    size_t slots;
    void *ctx;
    void (*work)(void *ctx, void *item); /* thread: the worker's */
    void (*done)(void *ctx, void *item); /* thread: loop; the item is its */
    /* When no item waits; true: there is more to do, call again. May be NULL.
     * Thread: the worker's. */
    bool (*idle)(void *ctx);
    /* Once, after worker_stop and the last item. May be NULL. Thread: the
     * worker's. */
    void (*finish)(void *ctx);
    /* Once, after finish and the last done: worker_free is legal from here on.
     * Thread: loop. */
    void (*stopped)(void *ctx);
};

/* worker_new starts the thread. Borrows spec until return; keeps ctx. */
must_check enum status worker_new(struct worker **out, struct loop *l,
                                  const struct worker_spec *spec,
                                  struct error *err);

/* worker_has_room says whether worker_offer would take an item now. Thread:
 * loop. */
bool worker_has_room(const struct worker *w);

/* worker_offer takes *item, or returns AGAIN and leaves it. Thread: loop. */
must_check enum status worker_offer(struct worker *w, void **item);

/* worker_stop lets the thread finish what it has; later calls do nothing.
 * Thread: loop. */
void worker_stop(struct worker *w);

/* worker_free joins the thread, frees *self, sets it NULL; NULL is fine.
 * Legal after stopped was called, or while no item is under way: then it stops
 * the thread itself and stopped is not called. Thread: loop. */
void worker_free(struct worker **self);

/*
 * worker_give_up is worker_free at any time: it waits until the thread has
 * finished the items that it was offered, which are the caller's again without
 * a done; neither stopped nor finish's outcome is told. Blocks. Thread: loop,
 * when it turns no more.
 */
void worker_give_up(struct worker **self);

#endif
